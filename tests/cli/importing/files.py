"""Files of people, written and read as `lists import` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from openpyxl import Workbook

from engine.cli.importing.columns import read_mapping
from engine.cli.importing.reading import BadRows, Read, stage
from engine.cli.importing.rows import PeopleFile, open_people
from engine.cli.importing.staging import Staging


@dataclass
class Seen:
    """What was read of a file: attributes and tags by contact, bad rows by line, rows folded into others."""

    file: PeopleFile
    people: dict[str, tuple[dict[str, Any], list[str]]]
    bad: dict[int, str]
    folded: int
    read: Read


def seen(path: Path, *attributes: str, contact: str | None = None, tags: str | None = None, header: bool = True,
         bytes_max: int = 200_000, **how: str) -> Seen:  # fmt: skip
    """Reads a file whole."""
    file, bad = open_people(path, **how), BadRows()
    base = path.with_name(f"{path.name}.staged")
    base.unlink(missing_ok=True)
    with Staging(base, bytes_max) as staging:
        mapping = read_mapping(None, contact, attributes, tags, ())
        with closing(file):
            read = stage(file, mapping, staging, bad, header=header)
        people = {
            each.contact: (orjson.loads(each.attributes or b"{}"), orjson.loads(each.tags or b"[]"))
            for each in staging.people()
        }
        assert bad.count == len(bad.shown)
        return Seen(file, people, {each.line: each.reason for each in bad.shown}, staging.folded, read)


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    """A CSV file of this text."""
    path = folder / "people.csv"
    path.write_bytes(text.encode(encoding))
    return path


def workbook(folder: Path, rows: Iterable[Sequence[Any]], *, title: str = "People", empty: str | None = None) -> Path:
    """An XLSX file of these rows, with another sheet before them if `empty` names one."""
    book = Workbook(write_only=True)
    if empty is not None:
        book.create_sheet(empty)
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(list(row))
    path = folder / "people.xlsx"
    book.save(path)
    return path
