"""Which events lie in one or several periods that follow each other, counted back from now: the feature that
`did: {within: [from, to]}` and `regularly` share.

An event at e lies in period k = 1, 2, … at t when bounds[k - 1] after e ≤ t < bounds[k] after e. A test of a count
tells counts apart only up to a highest one, so of many events close together only some can matter: one may be dropped
while at every instant at which it lies in a period so many others lie there too.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from engine.conditions.document import COUNT_MAX, mistake
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength, apart


class PeriodInstants(Feature):
    """`at` of the matching events that may still count, ascending (ms); None: there are none.

    Of 2·`highest` + 1 events in a row, of which the last begins to count before the first ends, or as it ends, the
    middle one is dropped: at every instant at which it counts, all those before it count too, or all those after it do.
    What is left is at most 2·`highest` events in any time as long as the shortest period. By months somewhat more:
    around the end of a month their periods may begin or end in another order than the events came, and those stay.
    """

    def __init__(self, intake: Intake, identity: str, bounds: tuple[WindowLength, ...], highest: int) -> None:
        spelled = ",".join(bound.identity for bound in bounds)
        super().__init__(f"periods|{identity}|{spelled}|{highest}", (intake,))
        self.bounds = bounds
        self.periods = tuple(pairwise(bounds))
        self.highest = highest
        self.row = 2 * highest + 1
        lengths = [bound.fixed for bound in bounds]
        fixed = [length for length in lengths if length is not None]
        self.shortest = min(b - a for a, b in pairwise(fixed)) if len(fixed) == len(lengths) else None
        """Milliseconds of the shortest period, where no calendar is asked."""

    def add(self, value: list[int] | None, fact: Fact, role: int, as_of: int) -> list[int] | None:
        at = fact.at
        if self.bounds[-1].end(at) <= as_of or not self._counts(at):
            return value
        if value is None:
            return [at]
        place = bisect_right(value, at)
        value.insert(place, at)
        if len(value) >= self.row:
            self._thin(value, place)
        gone = 0
        while self.bounds[-1].end(value[gone]) <= as_of:  # ends with one that lasts: what was added does
            gone += 1
        del value[:gone]
        return value

    def _counts(self, at: int) -> bool:
        """Whether any period holds the event at any time: from P30D to P1M is nothing in February."""
        return self.shortest is not None or any(opens.end(at) < closes.end(at) for opens, closes in self.periods)

    def counted_until(self, at: int) -> int:
        return self.bounds[-1].latest_end(at)

    def beyond(self, value: list[int] | None, history: list[Fact]) -> list[int] | None:
        return apart(value, (fact.at for fact in history if self.intakes[0].takes(fact)))

    def _thin(self, value: list[int], place: int) -> None:
        """Drop what the event put in at `place` makes superfluous."""
        start = max(place - self.row + 1, 0)
        while start <= min(place, len(value) - self.row):
            if not self._superfluous(value, start):
                start += 1
                continue
            dropped = start + self.highest
            del value[dropped]
            if dropped == place:
                return
            place -= dropped < place

    def _superfluous(self, value: list[int], start: int) -> bool:
        """Whether the middle one of the row from `start` on can never matter."""
        middle, end = start + self.highest, start + self.row
        if self.shortest is not None:
            return value[end - 1] - value[start] <= self.shortest
        earlier, later, at = value[start:middle], value[middle + 1 : end], value[middle]
        for opens, closes in self.periods:
            if (
                max(map(opens.end, earlier)) > opens.end(at)
                or min(map(closes.end, later)) < closes.end(at)
                or max(map(opens.end, later)) > min(map(closes.end, earlier))
            ):
                return False
        return True


def bounded(highest: int, periods: int, option: str) -> None:
    """Raises the mistake of a condition for which too many instants would have to be kept: `highest` in each of as many
    `periods` as follow each other; it points at `option`."""
    if highest * periods > COUNT_MAX:
        problem = f"{highest} events in each of {periods} periods are more than {COUNT_MAX}, which the state would keep"
        raise mistake("bounds", problem, "ask for fewer events, or for longer and fewer periods", at=(option,))
