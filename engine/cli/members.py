"""`segment-engine members`: all members of a segment, whichever workers have them, as one whole snapshot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from engine.cli.asking import agent_option, url_option
from engine.cli.errors import UserError
from engine.cli.lines import reader_may_leave
from engine.cli.options import settings_of, workspace_option
from engine.cli.output import Format, emit, output_option, safe_in_spreadsheets

if TYPE_CHECKING:
    from engine.cli.snapshot import Roll

OWN: Final = ("contact", "since", "sequence")
"""Columns of every list of members."""


@click.command()
@click.argument("segment", metavar="ID")
@workspace_option
@url_option
@agent_option
@click.option("--columns", metavar="PATH,…", default="", help="Attributes to add, such as name,city,address.zip.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Into a file, whole or not at all."
)
@click.option(
    "--spreadsheet-safe", is_flag=True, help="With csv: a ' before text that a spreadsheet would take for a formula."
)
@output_option
@click.pass_context
def command(
    ctx: click.Context, segment: str, workspace: str, url: str | None, agent: str | None, columns: str,
    out: Path | None, spreadsheet_safe: bool, output: Format,
) -> int:  # fmt: skip
    """The members of a segment, over all workers, in the order of their ids: each once, and all of one instant of each
    partition, whatever happens while they are read.

    With each: since when, and the number of its last transition (odd: an enter). What is not whole is not handed on:
    the command says so and ends with exit code 1. A csv has a header row and is quoted by RFC 4180; a value is text as
    it is, or JSON, nothing where there is none. Text that begins with = + - @ is left as it is, as phone numbers
    do; a spreadsheet may take it for a formula, which --spreadsheet-safe prevents.
    """
    from engine.cli.snapshot import Cut, read_roll

    wanted = list(dict.fromkeys(each.strip() for each in columns.split(",") if each.strip()))
    if spreadsheet_safe and output != "csv":
        raise UserError("--spreadsheet-safe changes what a csv holds; with it goes -o csv.")
    try:
        roll = read_roll(url or settings_of(ctx).url, workspace, segment, wanted, agent)
    except Cut as error:
        said = "" if out is None else f" {out} is as it was."
        print(f"segment-engine: The members did not come whole, none is written. {error}{said}", file=sys.stderr)
        return 1
    rows, names = _rows(roll, workspace, output), [*OWN, *map(_named, wanted)]
    if spreadsheet_safe:
        rows = map(safe_in_spreadsheets, rows)
    with reader_may_leave(), _into(out) as file:
        emit(rows, names, output, out=file)
    print(roll.told(), file=sys.stderr)
    return 0


def _rows(roll: Roll, workspace: str, output: Format) -> Iterator[dict[str, Any]]:
    for row in roll.rows():
        attributes = row.pop("attributes", {})
        if output in ("table", "csv"):
            yield row | {_named(path): value for path, value in attributes.items()}
        else:
            about = {"workspace": workspace, "segment": roll.header["segment"], **row}
            yield about | ({"attributes": attributes} if roll.columns else {})


def _named(path: str) -> str:
    """The column of an attribute, told from those that every list has."""
    return f"attribute {path}" if path in OWN else path


@contextmanager
def _into(path: Path | None) -> Iterator[IO[str] | None]:
    """A file that takes the place of `path` when all is written, and only then; None for standard output."""
    if path is None:
        yield None
        return
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file that could be replaced; leave --out away and send the output there.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise UserError(f"The file {path} cannot be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)
