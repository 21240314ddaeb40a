"""Files of people, read: rows of CSV and XLSX, their columns and cells, duplicates folded on disk."""
