"""`segment-engine segments progress`, and the waiting of `apply --wait`: how far workers are with what is in force."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import click

from engine.cli.asking import ask, url_option
from engine.cli.errors import UserError
from engine.cli.lines import shows_progress
from engine.cli.options import settings_of
from engine.cli.output import Format, emit, output_option

POLL_SECONDS: Final = 0.5
SAID_SECONDS: Final = 10.0
"""Between two lines where there is no terminal for a bar."""
Step = tuple[int, int, int]
"""Contacts filled, contacts, and partitions left."""
WAIT: Final = 3_600
"""Longest wait unless told otherwise, in seconds."""
COLUMNS: Final = ("partition", "state", "contacts", "filled", "rate", "read_to")


@click.command()
@click.option("--wait", is_flag=True, help="Come back when every contact is under the definitions in force.")
@click.option("--timeout", type=click.IntRange(1), default=WAIT, show_default=True, help="Seconds to wait at most.")
@url_option
@output_option
@click.pass_context
def command(ctx: click.Context, wait: bool, timeout: int, url: str | None, output: Format) -> None:
    """How far each partition is with the definitions in force.

    A changed definition is taken up by each partition at its clock, and its contacts are then brought up to it in
    slices, while facts go on. With --wait the exit code is 1 if that is not done in time.
    """
    settings = settings_of(ctx)
    where = url or settings.url
    if wait:
        from engine.cli.segments_shown import ask as read
        from engine.worker.definition_log import read_to

        wait_until_filled(where, read(read_to(settings)), timeout)
    emit((_row(each) for each in _partitions(where)), COLUMNS, output)


def wait_until_filled(url: str, read_to: int, timeout: float) -> None:
    """Waits until every partition is under the definitions up to the offset `read_to`, and every contact filled.

    Tells how far it is. Raises UserError when no worker answers, SystemExit(1) after `timeout` seconds.
    """
    until = time.monotonic() + timeout
    tell = _teller()
    pause = threading.Event()
    while True:
        rows = _partitions(url)
        left = [row for row in rows if not _is_done(row, read_to)]
        tell(rows, len(left))
        if not left:
            return
        if time.monotonic() > until:
            numbers = ", ".join(str(row["partition"]) for row in left)
            print(f"Not done within {timeout:.0f} s: partitions {numbers}; the workers go on", file=sys.stderr)
            raise SystemExit(1)
        pause.wait(POLL_SECONDS)


def _is_done(row: dict[str, Any], read_to: int) -> bool:
    return bool(row["running"]) and not row["filling"] and row["read_to"] >= read_to


def _partitions(url: str) -> list[dict[str, Any]]:
    found = ask(url, "/fill").get("partitions")
    if not isinstance(found, list):
        raise UserError(f"What answers at {url} is no worker of this version: it tells no partitions.")
    return found


def _row(row: dict[str, Any]) -> dict[str, Any]:
    state = "not running" if not row["running"] else "filling" if row["filling"] else "done"
    return {**row, "state": state}


def _teller() -> Callable[[Sequence[dict[str, Any]], int], None]:
    """What tells people how far it is: a bar on a terminal, else a line now and then."""
    steps = _bar() if shows_progress() else _lines()
    next(steps)

    def tell(rows: Sequence[dict[str, Any]], left: int) -> None:
        contacts = sum(row.get("contacts", 0) for row in rows)
        steps.send((sum(row.get("filled", 0) for row in rows), contacts, left))
        if not left:
            steps.close()

    return tell


def _lines() -> Generator[None, Step, None]:
    said = time.monotonic()
    while True:
        filled, contacts, left = yield
        if left and time.monotonic() - said >= SAID_SECONDS:
            said = time.monotonic()
            print(f"{filled:,} of {contacts:,} contacts; {left} partitions left", file=sys.stderr)


def _bar() -> Generator[None, Step, None]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Filling", total=None)
        while True:
            filled, contacts, _ = yield
            progress.update(task, completed=filled, total=contacts or None)
