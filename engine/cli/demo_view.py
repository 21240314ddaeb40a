"""What `demo` shows: members by segment, the newest transitions, how far the worker is; plain lines off a terminal."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from engine.cli.watch import line

if TYPE_CHECKING:
    from rich.console import Group

NEWEST: Final = 10
"""Transitions shown: with ten segments the whole fits into a terminal of 30 lines."""


class View:
    """Counts what is published; members are entered less left."""

    def __init__(self, segments: Sequence[Any], facts: int) -> None:
        self._names = {segment.segment: segment.name for segment in segments}
        self._facts = facts
        self._entered: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._newest: deque[dict[str, Any]] = deque(maxlen=NEWEST)
        self.taken = 0
        """Facts that the worker has committed."""
        self.phase = ""

    @property
    def transitions(self) -> int:
        """How many were published."""
        return self._entered.total() + self._left.total()

    def see(self, transition: Mapping[str, Any]) -> None:
        """Counts one transition."""
        counts = self._entered if transition["change"] == "enter" else self._left
        counts[transition["segment"]] += 1
        self._newest.append(dict(transition))

    def rows(self) -> list[tuple[str, str, int, int, int]]:
        """Segment, name, members, entered, left."""
        return [
            (segment, name, self._entered[segment] - self._left[segment], self._entered[segment], self._left[segment])
            for segment, name in sorted(self._names.items())
        ]

    def status(self) -> str:
        """One line: how far."""
        return f"{self.phase}: {self.taken:,} of {self._facts:,} facts, {self.transitions:,} transitions"

    def table(self) -> Group:
        """All of it, for a terminal."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        members = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("segment", "name", "members", "entered", "left"):
            members.add_column(column, justify="left" if column in ("segment", "name") else "right")
        for segment, name, *counts in self.rows():
            members.add_row(segment, name, *(f"{count:,}" for count in counts))
        newest = [Text(line(each), style="green" if each["change"] == "enter" else "yellow") for each in self._newest]
        return Group(Text(self.status(), style="bold"), members, *newest)
