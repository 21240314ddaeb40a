"""A file of people into the staging database, row by row; bad rows counted, some shown, all written where asked."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from engine.cli.errors import UserError
from engine.cli.importing.columns import HEADER_ROWS, BadRow, Columns, Mapping, find_columns
from engine.cli.importing.rows import Bad, PeopleFile, Row
from engine.cli.importing.staging import Staging

SHOWN_MAX: Final = 20
"""Bad rows that are told of by themselves; the others are counted, and written with --errors."""
REASONS_MAX: Final = 100
"""Different reasons that are counted apart."""
HEADER_LOOK: Final = 200
"""Rows, bad ones among them, in which the header is looked for."""
LOOK_ROWS: Final = 2_000
"""Rows between two looks at how far the reading is."""


class BadRows:
    """What became of bad rows: `count`, the first few in `shown`, how many for which reason, all of them in a file."""

    def __init__(self, file: io.TextIOBase | None = None) -> None:
        self.count = 0
        self.shown: list[Bad] = []
        self.reasons: Counter[str] = Counter()
        self._write = None if file is None else csv.writer(file).writerow
        if self._write is not None:
            self._write(("line", "reason", "text"))

    def add(self, bad: Bad) -> None:
        """One more."""
        self.count += 1
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(bad)
        if bad.reason in self.reasons or len(self.reasons) < REASONS_MAX:
            self.reasons[bad.reason] += 1
        if self._write is not None:
            self._write((bad.line, bad.reason, bad.text))

    def lines(self, file: str) -> Iterator[str]:
        """What is said of them, a line each."""
        for each in self.shown:
            yield f"{file}:{each.line}: {each.reason}{f': {each.text!r}' if each.text else ''}"
        if self.count > len(self.shown):
            reasons = ", ".join(f"{number:,} times {reason}" for reason, number in self.reasons.most_common(5))
            yield f"{self.count:,} bad rows in all, {len(self.shown)} shown; --errors FILE writes them all: {reasons}"


class Read:
    """What was read: its columns, how many rows with anything in them, and of bad ones whose contact is unknown."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.rows = 0
        self.nameless = 0


def stage(
    file: PeopleFile,
    mapping: Mapping,
    staging: Staging,
    bad: BadRows,
    *,
    header: bool = True,
    told: Callable[[float, int], None] | None = None,
) -> Read:
    """Reads all rows into `staging`; `told` of the share that is read, and of how many rows.

    Raises UserError where the columns are not those asked for, or no row has anything in it.
    """
    first = list(islice(_filled(file), HEADER_LOOK))
    good = [row for row in first if isinstance(row, Row)]
    if not good:
        bads = [f"line {row.line}: {row.reason}" for row in first if isinstance(row, Bad)]
        raise UserError(f"There is nothing to import: {bads[0] if bads else 'no row has a value'}.")
    columns = find_columns(good[:HEADER_ROWS], mapping, header=header)
    file.width = columns.width  # what a quote left open has run together is seen by it, so all are read anew
    found = Read(columns)
    for row in _filled(file):
        if row.line <= columns.line:
            continue
        found.rows += 1
        if isinstance(row, Bad):
            bad.add(row)
            found.nameless += 1
        else:
            _take(row, columns, staging, bad, found)
        if told is not None and found.rows % LOOK_ROWS == 0:
            told(file.done(), found.rows)
    for each in staging.flush():
        bad.add(each)
    return found


def _take(row: Row, columns: Columns, staging: Staging, bad: BadRows, found: Read) -> None:
    try:
        person = columns.person(row.cells)
    except BadRow as error:
        bad.add(Bad(row.line, str(error), error.text))
        if error.contact is None:
            found.nameless += 1
        else:
            staging.keep(error.contact)
        return
    for each in staging.add(person, row.line):
        bad.add(each)


def _filled(file: PeopleFile) -> Iterator[Row | Bad]:
    """The rows that hold anything."""
    return (row for row in file.rows() if isinstance(row, Bad) or any(each not in (None, "") for each in row.cells))


def errors_file(path: Path) -> io.TextIOWrapper:
    """The file of `--errors`, new. Raises UserError."""
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"The file {path} cannot be written: {error.strerror}.") from None
