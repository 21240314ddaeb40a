"""Lists for people and for programs: `-o table|json|jsonl|csv`, the same columns in each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, Final, Literal, TypeVar

import click
import orjson

Format = Literal["table", "json", "jsonl", "csv"]
FORMATS: Final = ("table", "json", "jsonl", "csv")
PIPE_WIDTH: Final = 10_000
"""Columns of a table that goes into a pipe or a file: nothing is cut for want of a terminal."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, object]


def output_option(command: F) -> F:
    """`-o/--output table|json|jsonl|csv`, passed as `output: Format`."""
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="Form of the list."
    )(command)


def emit(rows: Iterable[Row], columns: Sequence[str], output: Format, *, out: IO[str] | None = None) -> None:
    """Writes `rows` to `out` (default: standard output).

    `table` shows `columns`, lists with commas, nothing for None; `json` is one array and `jsonl` a line for each row as
    it comes, both with every key of the row; `csv` has `columns` in a header row and is written as RFC 4180 has it.
    """
    out = out or sys.stdout
    if output == "jsonl":
        for row in rows:
            out.write(orjson.dumps(dict(row), default=str).decode() + "\n")
            out.flush()
    elif output == "json":
        out.write(orjson.dumps([dict(row) for row in rows], default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif output == "csv":
        _csv(rows, columns, out)
    else:
        _table(rows, columns, out)


def _csv(rows: Iterable[Row], columns: Sequence[str], out: IO[str]) -> None:
    import csv

    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([field(row.get(column)) for column in columns])


def field(value: object) -> str:
    """A value as a csv holds it: text as it is, nothing for None, JSON for the rest."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value, default=str).decode()


def safe_in_spreadsheets(row: Row) -> dict[str, object]:
    """The row with a ' before each text that a spreadsheet would take for a formula."""
    return {
        name: f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value for name, value in row.items()
    }


def _table(rows: Iterable[Row], columns: Sequence[str], out: IO[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    console = Console(file=out, width=None if out.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)
    console.print(table)


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(one) for one in value)
    if isinstance(value, Mapping):
        return orjson.dumps(value, default=str).decode()
    return str(value)
