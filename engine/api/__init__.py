"""The HTTP interface of a worker: health, metrics, segments, contacts, members. It reads and never changes."""
