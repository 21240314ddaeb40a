"""What a file of people is to its reader: rows of cells with their lines, and rows that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from engine.cli.errors import UserError

Cell = str | int | float | bool | date | datetime | time | timedelta | None
"""A cell as the file has it: always text in CSV. A datetime has no zone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line that it begins at (in XLSX its row), from 1, and its cells."""

    line: int
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is not loaded: its line from 1, why, and the text that is at fault, shortened."""

    line: int
    reason: str
    text: str = ""


class PeopleFile(Protocol):
    """A file of rows, which may be read more than once; to be closed."""

    told: str
    """How it is read, for people: encoding and delimiter, or the sheet."""
    width: int
    """Columns of the header, to be set once it is known; 0 before."""

    def rows(self) -> Iterator[Row | Bad]:
        """All rows from the first line on; empty ones too. Raises UserError where the file cannot be read on."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...

    def done(self) -> float:
        """The share that was read, 0 to 1; an estimate."""
        ...


def open_people(
    path: Path, *, sheet: str | None = None, delimiter: str | None = None, encoding: str | None = None
) -> PeopleFile:
    """The rows of an .xlsx or .xlsm file, or of any other as CSV. Raises UserError for what cannot be read."""
    from engine.cli.importing.csv_rows import CsvFile
    from engine.cli.importing.xlsx_rows import XlsxFile

    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror}.") from None
    if suffix in (".xls", ".xlsb", ".ods", ".numbers") or head.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{path} is neither CSV nor XLSX. Save it as .xlsx or as CSV in UTF-8, and import that.")
    if head.startswith(b"PK\x03\x04"):
        if delimiter is not None or encoding is not None:
            raise UserError(f"{path} is an XLSX file: --delimiter and --encoding are for CSV.")
        return XlsxFile(path, sheet)
    if suffix in (".xlsx", ".xlsm"):
        raise UserError(f"{path} is no XLSX file, though its name says so: it is damaged, or is CSV by another name.")
    if sheet is not None:
        raise UserError(f"{path} is CSV, which has no sheets: leave --sheet out.")
    if not head:
        raise UserError(f"The file {path} is empty.")
    return CsvFile(path, delimiter, encoding)
