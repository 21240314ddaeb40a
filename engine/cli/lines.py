"""JSON lines in and out: bounded lines with their numbers, a progress bar on a terminal, a reader who leaves early."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from engine.cli.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_BYTES_MAX: Final = 16 << 20
"""What is kept of one line: far above the longest event, so that a longer one is refused and never held in memory."""
PROGRESS_BYTES: Final = 1 << 18
"""Bytes read between two looks of the progress bar."""


@contextmanager
def open_lines(source: str, doing: str) -> Iterator[Iterator[tuple[int, bytes]]]:
    """The lines of a file, or of standard input for `-`, without their ends, numbered from 1; blank ones are left out.

    `doing` names the work beside the progress bar. Raises UserError for a file that cannot be read.
    """
    if source == "-":
        yield _numbered(sys.stdin.buffer)
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed below
        size = Path(source).stat().st_size
    except OSError as error:
        raise UserError(f"The file {source} cannot be read: {error.strerror}.") from None
    with file:
        if not shows_progress():
            yield _numbered(file)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn(doing), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield _watched(file, progress, progress.add_task(doing, total=size))


def shows_progress() -> bool:
    """Whether a progress bar has a terminal to itself."""
    return sys.stderr.isatty() and not sys.stdout.isatty()


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends the command quietly when whoever reads its standard output has gone, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must not raise again when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LINE_BYTES_MAX):
        number += 1
        while not line.endswith(b"\n") and len(line) >= LINE_BYTES_MAX:
            rest = file.readline(LINE_BYTES_MAX)
            if not rest or rest.endswith(b"\n"):
                break
        if line := line.strip():
            yield number, line


def _watched(file: IO[bytes], progress: Progress, task: TaskID) -> Iterator[tuple[int, bytes]]:
    told = 0
    for number, line in _numbered(file):
        yield number, line
        if (at := file.tell()) - told >= PROGRESS_BYTES:
            told = at
            progress.update(task, completed=at)
