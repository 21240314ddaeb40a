"""The tests of `profile` on dates, `within`, `ago`, `calendar` and `anniversary` (DESIGN 5), on one attribute's values.

A value is a date if it is RFC 3339 text; without an offset it is wall time of the rule's zone. Each test holds if any
of the values meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from engine.recount import wall
from engine.recount.instants import NEVER, Duration, add, duration, nanoseconds, written
from engine.recount.values import opened

read_duration = lru_cache(maxsize=4096)(duration)
_NONE_MS = Duration(0, 0)


class Day(NamedTuple):
    """A date: its instant, and the wall time that it was written as, if without an offset (both ms)."""

    at: int
    written: int | None


def dates_in(values: Sequence[Any], zone: str) -> list[Day]:
    """Those of the values that are dates."""
    found = ((nanoseconds(value, zone), value) for value in opened(values) if isinstance(value, str))
    return [Day(moment // 10**6, written(value)) for moment, value in found if moment is not None]


def dates_hold(tests: Mapping[str, Any], values: Sequence[Any], t: int, zone: str) -> bool:
    """Whether each of the tests (`within: …`, `ago: …`) is met by any of the values at `t` (ms)."""
    dates = dates_in(values, zone)
    return all(any(_MEETS[name](day, operand, t, zone) for day in dates) for name, operand in tests.items())


def turns(tests: Mapping[str, Any], values: Sequence[Any], zone: str, around: Iterable[int]) -> Iterator[int]:
    """Instants among which are all those at which a test's answer may change, of anniversaries those near `around`."""
    near = {wall.shown(at, zone).year for at in around}
    for day in dates_in(values, zone):
        for name, operand in tests.items():
            yield from _TURNS[name](day, operand, zone, near)


def _bounds(operand: Any) -> tuple[Duration, Duration]:
    if isinstance(operand, str):
        return _NONE_MS, read_duration(operand)
    return read_duration(operand[0]), read_duration(operand[1])


def _within(day: Day, operand: Any, t: int, zone: str) -> bool:
    first, last = _bounds(operand)
    return add(day.at, first, zone) <= t < add(day.at, last, zone)


def _within_turns(day: Day, operand: Any, zone: str, _near: set[int]) -> Iterator[int]:
    return (add(day.at, length, zone) for length in _bounds(operand))


def _ago(day: Day, operand: str, t: int, zone: str) -> bool:
    return add(day.at, read_duration(operand), zone) <= t


def _ago_turns(day: Day, operand: str, zone: str, _near: set[int]) -> Iterator[int]:
    yield add(day.at, read_duration(operand), zone)


def _calendar(day: Day, operand: Mapping[str, Any], t: int, zone: str) -> bool:
    unit = operand["unit"]
    now = wall.unit_of(wall.shown(t, zone).date(), unit)
    return wall.unit_of(wall.shown(day.at, zone).date(), unit) == now + (operand.get("offset") or 0)


def _calendar_turns(day: Day, operand: Mapping[str, Any], zone: str, _near: set[int]) -> Iterator[int]:
    unit = operand["unit"]
    number = wall.unit_of(wall.shown(day.at, zone).date(), unit) - (operand.get("offset") or 0)
    for begins in (wall.first_day(unit, number), wall.first_day(unit, number + 1)):
        if begins is not None:
            yield from wall.beginnings(begins, zone)


def _anniversary(day: Day, operand: Mapping[str, Any], t: int, zone: str) -> bool:
    return any(first <= t < end for first, end in _celebrated(day, operand, zone, {wall.shown(t, zone).year}))


def _anniversary_turns(day: Day, operand: Mapping[str, Any], zone: str, near: set[int]) -> Iterator[int]:
    return (turn for span in _celebrated(day, operand, zone, near) for turn in span)


def _celebrated(day: Day, operand: Mapping[str, Any], zone: str, near: set[int]) -> Iterator[tuple[int, int]]:
    """The spans (from, to) around the anniversaries that are no more than two years from any of the years `near`."""
    born = wall.shown(day.at, zone).year
    after, length = operand.get("within"), read_duration(operand.get("within") or operand["before"])
    for years in sorted({year + beside - born for year in near for beside in (-2, -1, 0, 1, 2)}):
        if years < 0 or (years == 0 and after is None):
            continue
        at = wall.anniversary(day.at, day.written, years, zone)
        if at < NEVER:
            yield (at, add(at, length, zone)) if after is not None else (wall.before(at, length, zone), at)


_MEETS: dict[str, Callable[[Day, Any, int, str], bool]] = {
    "within": _within,
    "ago": _ago,
    "calendar": _calendar,
    "anniversary": _anniversary,
}
_TURNS: dict[str, Callable[[Day, Any, str, set[int]], Iterator[int]]] = {
    "within": _within_turns,
    "ago": _ago_turns,
    "calendar": _calendar_turns,
    "anniversary": _anniversary_turns,
}
DATE_TESTS = frozenset(_MEETS)
