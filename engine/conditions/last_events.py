"""The first event ever and the last so many events: the features of `did` with `first` and with `of_last`.

Both hold instants and no ends of windows, so that conditions with different bounds share them.
"""

from __future__ import annotations

from bisect import bisect_left

from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake
from engine.conditions.values import PropertyTest


class FirstEvent(Feature):
    """`at` of the first matching event (ms)."""

    def __init__(self, intake: Intake, identity: str) -> None:
        super().__init__(f"first|{identity}", (intake,))

    def add(self, value: int | None, fact: Fact, role: int, as_of: int) -> int:
        return fact.at if value is None or fact.at < value else value

    def mend(self, value: int | None, before: list[Fact], after: list[Fact], as_of: int) -> int | None:
        was, now = self.fold(before, as_of), self.fold(after, as_of)
        if value is None or value == was:
            found: int | None = now
            return found
        return value if now is None else min(value, now)  # it came before all that the history holds


class LastEvents(Feature):
    """The last `keep` events of the intake in order of `at`, then arrival: a number each, 2·`at` (ms), and 1 more
    where the event passes `test`.

    A late event finds its place without the history: those that it pushes out are the oldest either way.
    """

    def __init__(self, intake: Intake, identity: str, test: PropertyTest | None, keep: int) -> None:
        super().__init__(f"last_of|{identity}|{keep}", (intake,))
        self.test = test
        self.keep = keep

    def add(self, value: list[int] | None, fact: Fact, role: int, as_of: int) -> list[int]:
        passes = self.test is None or self.test(fact.properties)
        value = [] if value is None else value
        value.insert(bisect_left(value, 2 * fact.at + 2), 2 * fact.at + passes)  # after all of the same instant
        if len(value) > self.keep:
            del value[0]
        return value

    def mend(self, value: list[int] | None, before: list[Fact], after: list[Fact], as_of: int) -> list[int] | None:
        # What the history lacks is older than all that it holds.
        was, now = self.fold(before, as_of) or [], self.fold(after, as_of) or []
        older = (value or [])[: max(len(value or ()) - len(was), 0)]
        return [*older, *now][-self.keep :] or None
