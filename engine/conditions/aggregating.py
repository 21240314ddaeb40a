"""The features behind `aggregate`: totals, extremes, different values, first and last, in a window or over all time.

A value in the state is plain JSON. Amounts are whole millionths in totals, and as they were written everywhere else.
"""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from hashlib import blake2b
from typing import Any

from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength, apart
from engine.conditions.instants import NEVER
from engine.conditions.money import MILLION, amount, millionths, within_bounds
from engine.conditions.picking import ValueReader
from engine.conditions.values import exact, number

INT_MAX = (1 << 63) - 1
VALUE_LENGTH_MAX = 4_096
"""Characters of a text that first, last, min and max keep, so that a state stays small."""
KEY_LENGTH_MAX = 64
"""Characters of a value that `distinct` keeps as it is."""


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
    if kind is Decimal:  # what refunds left of an amount
        plain = int(value) if value == value.to_integral_value() else float(value)
        return plain if Decimal(repr(plain)) == value else str(value)
    return value


def carried(value: Any) -> Any:
    """A value that a feature keeps: storable, and no longer than VALUE_LENGTH_MAX; what is longer is cut or left
    out."""
    if type(value) is str:
        return value[:VALUE_LENGTH_MAX]
    if type(value) in (list, dict) and len(repr(value)) > VALUE_LENGTH_MAX:
        return None
    return storable(value)


def distinct_key(value: Any) -> str:
    """The same text for values that are one: by JSON type and value, 1 and 1.0 alike; a digest for what is long."""
    if type(value) is str:
        text = "t" + value
    elif type(value) is bool or type(value) in (list, dict):
        text = "j" + json.dumps(value, sort_keys=True)
    else:
        figure = exact(value)
        if isinstance(figure, Decimal) and figure.is_finite() and abs(figure) < 10**20 and figure == int(figure):
            figure = int(figure)
        text = f"n{figure}"
    return text if len(text) <= KEY_LENGTH_MAX else "#" + blake2b(text.encode(), digest_size=16).hexdigest()


def _order(a: Any, b: Any) -> int:
    """Below, at or above 0 as one number is below, at or above another, also where both are texts."""
    left: Any = _figure(a)
    right: Any = _figure(b)
    return int(left > right) - int(left < right)


def _figure(value: Any) -> Any:
    """The number that a number or a text says; anything else is left as it is."""
    found = number(value)
    return value if found is None else exact(found)


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

    def counted_until(self, at: int) -> int:
        return self.window.latest_end(at)

    def fold(self, facts: Iterable[Fact], as_of: int, value: list[list[int]] | None = None) -> Any:
        for fact in facts:
            if self.intakes[0].takes(fact) and (end := self.window.end(fact.at)) > as_of:
                value = self._insert(value, end, self.parts(fact))
        return self._shorten(value, as_of)

    def beyond(self, value: list[list[int]] | None, history: list[Fact]) -> list[list[int]] | None:
        known = ((self.window.end(fact.at), self.parts(fact)) for fact in history if self.intakes[0].takes(fact))
        return apart(value, ([end, part] for end, parts in known for part in parts))

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
    """min, max: the value; first, last: `[at, value or None]`; distinct: the keys of the values. Over all time."""

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
                return [fact.at, carried(values[0])]
            case "last":
                if value is not None and value[0] > fact.at:
                    return value
                return [fact.at, carried(values[-1]) if values else None]
            case "distinct":
                if values:
                    value = {} if value is None else value
                    for each in values:
                        value[distinct_key(each)] = 1
                return value
        return self._better(_numeric(values), value)

    def _better(self, values: list[Any], value: Any) -> Any:
        found = _best(self.fn, values if value is None else [*values, value])
        return found[0] if found else None

    def mend(self, value: Any, before: list[Fact], after: list[Fact], as_of: int) -> Any:
        # The value may go further back than the history: what did not come from it stays.
        was, now = self.fold(before, as_of), self.fold(after, as_of)
        if self.fn == "distinct":
            return {**{key: 1 for key in value or () if key not in (was or ())}, **(now or {})} or None
        same = value == was
        if self.fn in ("min", "max") and value is not None and was is not None:
            same = _order(value, was) == 0  # of equal ones the last to come stands, which late facts are in no history
        if same or value is None or now is None:
            return now if same else value
        if self.fn in ("first", "last"):
            later = now[0] >= value[0]
            return now if later == (self.fn == "last") else value
        return self._better([now], value)

    def figure(self, value: Any, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and how long it stands."""
        if self.fn == "distinct":
            return [len(value or ())], NEVER
        if value is None:
            return [], NEVER
        found = value[1] if self.fn in ("first", "last") else _figure(value)
        return [] if found is None else [found], NEVER


class WindowValues(Feature):
    """For min, max: `[end of its window, value]` by end, only those that no later-ending value beats.

    For distinct: the newest end by key.
    """

    def __init__(self, fn: str, intake: Intake, identity: str, read: ValueReader, window: WindowLength) -> None:
        super().__init__(f"{fn}|{window.identity}|{identity}", (intake,))
        self.fn = fn
        self.read = read
        self.window = window
        self.sign = -1 if fn == "min" else 1

    def add(self, value: Any, fact: Fact, role: int, as_of: int) -> Any:
        end = self.window.end(fact.at)
        if end <= as_of:
            return value
        read = self.read(fact) or ()
        if self.fn == "distinct":
            return self._add_keys(value, [distinct_key(each) for each in read], end, as_of)
        for each in _numeric(read):
            value = self._add_number(value, end, each, as_of)
        return value

    def counted_until(self, at: int) -> int:
        return self.window.latest_end(at)

    def beyond(self, value: Any, history: list[Fact]) -> Any:
        taken = [fact for fact in history if self.intakes[0].takes(fact)]
        if self.fn == "distinct":
            known = self.fold(history, 0) or {}
            return {key: end for key, end in (value or {}).items() if known.get(key, 0) < end} or None
        return apart(value, ([self.window.end(f.at), each] for f in taken for each in _numeric(self.read(f) or ())))

    def _add_keys(self, value: dict[str, int] | None, keys: list[str], end: int, as_of: int) -> dict[str, int] | None:
        if not keys:
            return value
        value = {} if value is None else value
        for key in keys:
            value[key] = max(end, value.pop(key, 0))
        while (oldest := next(iter(value))) and value[oldest] <= as_of:  # about in order of their ends
            del value[oldest]
        return value

    def _add_number(self, value: list[list[Any]] | None, end: int, number: Any, as_of: int) -> list[list[Any]]:
        kept = value if value is not None else []
        while kept and kept[0][0] <= as_of:
            del kept[0]
        place = bisect_right(kept, end, key=lambda entry: entry[0])
        if place < len(kept) and _order(kept[place][1], number) * self.sign >= 0:
            return kept  # one that ends later is at least as good
        start = place
        while start > 0 and _order(kept[start - 1][1], number) * self.sign <= 0:
            start -= 1
        kept[start:place] = [[end, number]]
        return kept

    def figure(self, value: Any, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and until when it stands."""
        if self.fn == "distinct":
            ends = [end for end in value.values() if end > t] if value else []
            return [len(ends)], min(ends, default=NEVER)
        for end, found in value or ():
            if end > t:
                return [_figure(found)], end
        return [], NEVER


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
        kept = value if value is not None else []
        entry = [fact.at, end, carried(values[-1 if self.fn == "last" else 0]) if values else None]
        if self.fn == "last":
            kept = [each for each in kept if each[1] > as_of]
            insort(kept, entry, key=lambda each: each[0])
            # An earlier event matters only where its window ends later: by the calendar of months that happens.
            return [each for index, each in enumerate(kept) if all(each[1] > later[1] for later in kept[index + 1 :])]
        while kept and kept[0][1] <= as_of:
            del kept[0]
        insort(kept, entry, key=lambda each: each[0])
        return kept

    def beyond(self, value: list[list[Any]] | None, history: list[Fact]) -> list[list[Any]] | None:
        known = {(fact.at, self.window.end(fact.at)) for fact in history if self.intakes[0].takes(fact)}
        return [entry for entry in value or () if (entry[0], entry[1]) not in known] or None

    def counted_until(self, at: int) -> int:
        return self.window.latest_end(at)

    def figure(self, value: list[list[Any]] | None, t: int) -> tuple[list[Any], int]:
        """The result as values to test, and until when it stands."""
        entries: Iterable[list[Any]] = reversed(value or ()) if self.fn == "last" else (value or ())
        for _, end, found in entries:
            if end > t:
                return [] if found is None else [found], end
        return [], NEVER


def extreme(fn: str, facts: Sequence[Fact], read: ValueReader) -> list[Fact]:
    """The facts that have the least (`min`) or the greatest (`max`) number of them all."""
    best = _best(fn, _numeric(value for fact in facts for value in read(fact) or ()))
    return [fact for fact in facts for value in _numeric(read(fact) or ()) if best and _order(value, best[0]) == 0]


def _best(fn: str, values: list[Any]) -> list[Any]:
    if not values:
        return []
    return [(min if fn == "min" else max)(values, key=cmp_to_key(_order))]
