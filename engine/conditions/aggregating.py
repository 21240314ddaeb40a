"""The features behind `aggregate`: totals, extremes, different values, first and last, in a window or over all time.

A value in the state is plain JSON. Amounts are whole millionths in totals, and as they were written everywhere else.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cmp_to_key, lru_cache
from typing import Any

from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength
from engine.conditions.instants import NEVER
from engine.conditions.money import MILLION, amount, millionths, plain_amount, within_bounds
from engine.conditions.paths import flat, reader
from engine.conditions.values import Where, compare, compile_values, number

ValueReader = Callable[[Fact], list[Any] | None]
ValuesTest = Callable[[list[Any]], bool]
INT_MAX = (1 << 63) - 1


def split_where(path: str, where: Where) -> tuple[Where, Where]:
    """The tests on the event, and those that may be on elements of the list that `path` leads into."""
    head = path.partition(".")[0]
    inner = {tested: test for tested, test in where.items() if tested.partition(".")[0] == head}
    return {tested: test for tested, test in where.items() if tested not in inner}, inner


def value_reader(path: str, inner: Where) -> ValueReader:
    """A function from a fact to the values at `path`; None for a fact that the tests of `inner` turn away.

    Where the path leads into a list, each element counts that passes the tests on the same list. A purchase that
    refunds
    have lessened shows what is left as its `amount`.
    """
    parts = tuple(path.split("."))
    tests = [(tuple(tested.split(".")), compile_values(test)) for tested, test in inner.items()]
    own = reader(path)

    def read(fact: Fact) -> list[Any] | None:
        if not tests:
            found = own(fact.properties)
        else:
            found = _picked(fact.properties, parts, tests)
            if not found and not all(passes(_reader(tested)(fact.properties)) for tested, passes in tests):
                return None
        return [plain_amount(fact.left)] if found and fact.left is not None and path == "amount" else found

    return read


@lru_cache(maxsize=1_024)
def _reader(parts: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    return reader(".".join(parts)) if parts else (lambda value: flat([value]))


def _picked(source: Any, of: tuple[str, ...], tests: list[tuple[tuple[str, ...], ValuesTest]]) -> list[Any]:
    """The values at `of` below `source`; in a list those of the elements that pass the tests on that list."""
    depth, value = 0, source
    while type(value) is not list and depth < len(of):
        value = value.get(of[depth]) if type(value) is dict else None
        depth += 1
    if type(value) is not list:
        holds = all(passes(_read(source, tested)) for tested, passes in tests)
        return flat([value]) if holds else []
    same: list[tuple[tuple[str, ...], ValuesTest]] = []
    other: list[tuple[tuple[str, ...], ValuesTest]] = []
    for tested, passes in tests:
        on_list = tested[:depth] == of[:depth] and (len(tested) > depth or len(of) == depth)
        (same if on_list else other).append((tested, passes))
    if not all(passes(_read(source, tested)) for tested, passes in other):
        return []
    rest = [(tested[depth:], passes) for tested, passes in same]
    return [found for element in value for found in _picked(element, of[depth:], rest)]


def _read(source: Any, parts: tuple[str, ...]) -> list[Any]:
    return _reader(parts)(source) if not parts or type(source) is dict else []


def storable(value: Any) -> Any:
    """A JSON value as the state can hold it: whole numbers beyond 64 bits become their text, which compares as a
    number."""
    kind = type(value)
    if kind is int and not -INT_MAX <= value <= INT_MAX:
        return str(value)
    if kind is list:
        return [storable(each) for each in value]
    if kind is dict:
        return {name: storable(each) for name, each in value.items()}
    return value


def _order(a: Any, b: Any) -> int:
    return compare(a, b) or 0


def _numeric(values: Iterable[Any]) -> list[Any]:
    """The values that are finite numbers."""
    found = []
    for value in values:
        figure = number(value)
        if figure is not None and figure == figure and abs(figure) != float("inf"):
            found.append(storable(value))
    return found


class _Totals(Feature):
    """What sums and counts share."""

    def __init__(self, fn: str, identity: str, intake: Intake, read: ValueReader) -> None:
        super().__init__(f"{fn}|{identity}", (intake,))
        self.fn = fn
        self.read = read

    def parts(self, fact: Fact) -> list[int]:
        """Millionths of each value (of `count`: 0 for each)."""
        values = self.read(fact) or ()
        if self.fn == "count":
            return [0] * len(values)
        return [part for part in map(millionths, values) if part is not None]

    def figure(self, total: int, count: int) -> list[Any]:
        """The result, as values to test; empty where there is none."""
        if self.fn == "sum":
            return [amount(total)]
        if self.fn == "count":
            return [count]
        return [Fraction(total, count * MILLION)] if count else []


class EverTotal(_Totals):
    """`[sum in millionths, number of values]` over all time."""

    def __init__(self, fn: str, intake: Intake, identity: str, read: ValueReader) -> None:
        super().__init__(fn, f"ever|{identity}", intake, read)

    def add(self, value: list[int] | None, fact: Fact, role: int, as_of: int) -> list[int] | None:
        parts = self.parts(fact)
        if not parts:
            return value
        total, count = value or (0, 0)
        return [within_bounds(total + sum(parts)), count + len(parts)]

    def mend(self, value: list[int] | None, before: list[Fact], after: list[Fact], as_of: int) -> list[int]:
        # The difference only: the sum may go further back than the history.
        (total, count), (a, n), (b, m) = (
            value or (0, 0),
            self.fold(after, as_of) or (0, 0),
            self.fold(before, as_of) or (0, 0),
        )
        return [within_bounds(total + a - b), count + n - m]


class NeedsHistory(Exception):
    """The value was shortened and this fact needs what was dropped: fold it anew from the history."""


class WindowTotal(_Totals):
    """`[end of its window, millionths]` of each value, by end.

    With `enough`, only the newest values that reach it are kept, as older ones end before them and can't matter; a
    negative
    value breaks that rule, so while one is in the window everything is kept.
    """

    def __init__(
        self, fn: str, intake: Intake, identity: str, read: ValueReader, window: WindowLength, enough: int | None
    ) -> None:
        super().__init__(fn, f"{window.identity}|{enough}|{identity}", intake, read)
        self.window = window
        self.enough = enough

    def add(self, value: list[list[int]] | None, fact: Fact, role: int, as_of: int) -> list[list[int]] | None:
        end = self.window.end(fact.at)
        if end <= as_of:
            return value
        parts = self.parts(fact)
        if self.enough is not None and value is not None and any(part < 0 for part in parts):
            raise NeedsHistory
        return self._shorten(self._insert(value, end, parts), as_of)

    def fold(self, facts: Iterable[Fact], as_of: int) -> Any:
        value: list[list[int]] | None = None
        for fact in facts:
            if self.intakes[0].takes(fact) and (end := self.window.end(fact.at)) > as_of:
                value = self._insert(value, end, self.parts(fact))
        return self._shorten(value, as_of)

    def _insert(self, value: list[list[int]] | None, end: int, parts: list[int]) -> list[list[int]] | None:
        if not parts:
            return value
        value = [] if value is None else value
        for part in parts:
            if not value or end >= value[-1][0]:
                value.append([end, part])
            else:
                insort(value, [end, part])
        return value

    def _shorten(self, value: list[list[int]] | None, as_of: int) -> list[list[int]] | None:
        if value is None:
            return None
        if value[0][0] <= as_of:
            del value[: bisect_right(value, as_of, key=lambda entry: entry[0])]
        if self.enough is not None and len(value) > 1:
            total = 0
            for index in range(len(value) - 1, -1, -1):
                part = value[index][1]
                if part < 0:
                    return value
                total += part
                if total >= self.enough:
                    if all(entry[1] >= 0 for entry in value[:index]):
                        del value[:index]
                    break
        return value or None


class EverValue(Feature):
    """min, max: the value; first, last: `[at, value or None]`; distinct: the different values. Over all time."""

    def __init__(self, fn: str, intake: Intake, identity: str, read: ValueReader) -> None:
        super().__init__(f"{fn}|ever|{identity}", (intake,))
        self.fn = fn
        self.read = read

    def add(self, value: Any, fact: Fact, role: int, as_of: int) -> Any:
        values = self.read(fact)
        if values is None:
            return value
        match self.fn:
            case "first":
                if not values or (value is not None and value[0] <= fact.at):
                    return value
                return [fact.at, storable(values[0])]
            case "last":
                if value is not None and value[0] > fact.at:
                    return value
                return [fact.at, storable(values[-1]) if values else None]
            case "distinct":
                for each in map(storable, values):
                    value = value or []
                    if not any(_same(each, known) for known in value):
                        value.append(each)
                return value
        best = _best(self.fn, _numeric(values) + ([] if value is None else [value]))
        return best[0] if best else None

    def mend(self, value: Any, before: list[Fact], after: list[Fact], as_of: int) -> Any:
        # The value may go further back than the history: what did not come from it stays.
        was, now = self.fold(before, as_of), self.fold(after, as_of)
        if self.fn == "distinct":
            older = [each for each in value or () if not any(_same(each, known) for known in was or ())]
            return [*older, *(each for each in now or () if not any(_same(each, known) for known in older))] or None
        return now if value == was else value

    def figure(self, value: Any, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and how long it stands."""
        if self.fn == "distinct":
            return [len(value or ())], NEVER
        if value is None:
            return [], NEVER
        found = value[1] if self.fn in ("first", "last") else value
        return [] if found is None else [found], NEVER


class WindowValues(Feature):
    """`[end of its window, value]` of each value, by end; for min, max and distinct."""

    def __init__(self, fn: str, intake: Intake, identity: str, read: ValueReader, window: WindowLength) -> None:
        super().__init__(f"{fn}|{window.identity}|{identity}", (intake,))
        self.fn = fn
        self.read = read
        self.window = window

    def add(self, value: list[list[Any]] | None, fact: Fact, role: int, as_of: int) -> list[list[Any]] | None:
        end = self.window.end(fact.at)
        if end <= as_of:
            return value
        read = self.read(fact) or ()
        values = list(map(storable, read)) if self.fn == "distinct" else _numeric(read)
        if not values:
            return value
        value = [entry for entry in value if entry[0] > as_of] if value else []
        for each in values:
            insort(value, [end, each], key=lambda entry: entry[0])
        return value

    def figure(self, value: list[list[Any]] | None, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and until when it stands."""
        alive = [entry for entry in value or () if entry[0] > t]
        until = alive[0][0] if alive else NEVER
        if self.fn == "distinct":
            different: list[Any] = []
            for _, each in alive:
                if not any(_same(each, known) for known in different):
                    different.append(each)
            return [len(different)], until
        return _best(self.fn, [each for _, each in alive]), until


class WindowEnds(Feature):
    """`[at, end of its window, value or None]` of each event, in order; for first and last."""

    def __init__(self, fn: str, intake: Intake, identity: str, read: ValueReader, window: WindowLength) -> None:
        super().__init__(f"{fn}|{window.identity}|{identity}", (intake,))
        self.fn = fn
        self.read = read
        self.window = window

    def add(self, value: list[list[Any]] | None, fact: Fact, role: int, as_of: int) -> list[list[Any]] | None:
        end = self.window.end(fact.at)
        values = self.read(fact)
        if end <= as_of or values is None or (self.fn == "first" and not values):
            return value
        kept = [entry for entry in value or () if entry[1] > as_of]
        value_at = -1 if self.fn == "last" else 0
        insort(kept, [fact.at, end, storable(values[value_at]) if values else None], key=lambda entry: entry[0])
        if self.fn == "last":
            # An earlier event matters only where its window ends later: by the calendar of months that happens.
            return [
                entry for index, entry in enumerate(kept) if all(entry[1] > later[1] for later in kept[index + 1 :])
            ]
        return kept

    def figure(self, value: list[list[Any]] | None, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and until when it stands."""
        alive = [entry for entry in value or () if entry[1] > t]
        if not alive:
            return [], NEVER
        found = alive[-1 if self.fn == "last" else 0]
        return [] if found[2] is None else [found[2]], found[1]


def _best(fn: str, values: list[Any]) -> list[Any]:
    if not values:
        return []
    return [(min if fn == "min" else max)(values, key=cmp_to_key(_order))]


def _same(a: Any, b: Any) -> bool:
    """Whether two values are one: by JSON type and value, 1 and 1.0 alike."""
    return a == b and (type(a) is bool) == (type(b) is bool)
