"""The rows of one sheet of an XLSX workbook, streamed: of the file only its texts are in memory.

Measured on 1,000,000 rows of five columns: see the pin of openpyxl in pyproject.toml.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from engine.cli.errors import UserError
from engine.cli.importing.rows import Bad, Cell, Row
from engine.conditions.spelling import near_name

TEXTS_BYTES_MAX: Final = 512 << 20
"""The workbook's table of texts, unpacked: it is held in memory, about as large. A million names have some 40 MB."""
COLUMNS_MAX: Final = 1_000
"""Cells of a row that are looked at; the format allows 16,384, which a stray cell at the edge would cost in each."""


class XlsxFile:
    """The rows of a sheet, the first unless named; see engine.cli.importing.rows.PeopleFile. Raises UserError."""

    def __init__(self, path: Path, sheet: str | None = None) -> None:
        self.width = 0
        self._path = path
        _bounded(path)
        from openpyxl import load_workbook

        self._file = path.open("rb")  # by its name the library refuses a workbook that is called otherwise
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # styles and extensions that it passes over
                self._book: Any = load_workbook(self._file, read_only=True, data_only=True, keep_links=False)
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of the library
            self._file.close()
            raise self._damaged(error) from None
        names: list[str] = [each.title for each in self._book.worksheets]
        name = _chosen(path, names, sheet)
        self._sheet: Any = self._book[name]
        self._rows = self._sheet.max_row or 0
        self._sheet.reset_dimensions()  # programs write wrong ones, and rows beyond them would be lost
        self._at = 0
        more = f" (the first of {len(names)}; another: --sheet)" if sheet is None and len(names) > 1 else ""
        self.told = f"XLSX, sheet {name!r}{more}"

    def rows(self) -> Iterator[Row | Bad]:
        """All rows that hold anything."""
        found: Iterator[tuple[Cell, ...]] = self._sheet.iter_rows(max_col=None, values_only=True)
        try:
            for self._at, cells in enumerate(found, 1):
                if any(each is not None for each in cells):
                    if any(each is not None for each in cells[COLUMNS_MAX:]):
                        yield Bad(self._at, f"it has a value beyond column {COLUMNS_MAX:,}")
                    else:
                        yield Row(self._at, list(cells[:COLUMNS_MAX]))
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of the library
            raise self._damaged(error) from None

    def close(self) -> None:
        """Closes the file."""
        self._book.close()
        self._file.close()

    def done(self) -> float:
        """The share of the rows that the sheet says it has."""
        return min(1.0, self._at / self._rows) if self._rows else 0.0

    def _damaged(self, error: Exception) -> UserError:
        why = " ".join(str(error).split())[:200]
        return UserError(
            f"The workbook {self._path} cannot be read ({type(error).__name__}: {why}). Open and save it anew, or save "
            "the sheet as CSV in UTF-8."
        )


def _bounded(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            for each in archive.infolist():
                if each.filename.lower().endswith("sharedstrings.xml") and each.file_size > TEXTS_BYTES_MAX:
                    raise UserError(
                        f"The texts of {path} have {each.file_size >> 20} MiB unpacked; at most "
                        f"{TEXTS_BYTES_MAX >> 20} MiB are read. Save the sheet as CSV, which is read line by line."
                    )
    except BadZipFile as error:
        raise UserError(f"The workbook {path} is damaged: {error}.") from None


def _chosen(path: Path, names: list[str], sheet: str | None) -> str:
    if not names:
        raise UserError(f"The workbook {path} has no sheet with cells.")
    if sheet is None:
        return names[0]
    if sheet not in names:
        near = near_name(sheet, names)
        raise UserError(
            f"The workbook {path} has no sheet {sheet!r}. {f'Did you mean {near!r}? ' if near else ''}"
            f"It has: {', '.join(names[:20])}."
        )
    return sheet
