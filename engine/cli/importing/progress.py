"""How far a long command is: a bar on a terminal, a plain line now and then elsewhere. All on standard error."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from engine.cli.lines import shows_progress

LINE_SECONDS: Final = 10.0
"""Between two plain lines."""


class Progress:
    """Steps of a command, one after the other; a context manager."""

    def __init__(self) -> None:
        self._bar = None
        if shows_progress():
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = None if self._bar is None else self._bar.add_task("", total=1.0)
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, doing: str, share: float) -> None:
        """The step `doing` is done to this share, 0 to 1; 0 where that is not known."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=doing, completed=share)
        elif time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            print(f"{doing}: {share:.0%}" if share else doing, file=sys.stderr)

    def say(self, sentence: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        else:
            print(sentence, file=sys.stderr)
