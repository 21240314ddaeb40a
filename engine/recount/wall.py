"""What the wall of a zone shows: clocks, calendar units, anniversaries, and the instants at which each may turn.

Instants are milliseconds since the epoch. A wall time that a zone skips is taken at the later side of the gap, one that
it has twice at the earlier, as everywhere (DESIGN 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from engine.recount.instants import DAY_MS, NEVER, Duration, add

DAY_MINUTES = 24 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
# What lies outside of these has no calendar that Python can show in every zone.
_FIRST = -62_135_596_800_000 + 2 * DAY_MS
_LAST = 253_402_300_800_000 - 2 * DAY_MS


def zone_named(value: Any) -> str | None:
    """The zone that a value names, None if it names none."""
    return value if isinstance(value, str) and value in _zones() else None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def shown(at: int, zone: str) -> datetime:
    """What the wall shows at `at`; at the ends of time, the last that there is to show."""
    return (_EPOCH + timedelta(milliseconds=min(max(at, _FIRST), _LAST))).astimezone(ZoneInfo(zone))


def minute_of_day(at: int, zone: str) -> int:
    """The minutes that the clock shows since midnight, by its face."""
    local = shown(at, zone)
    return local.hour * 60 + local.minute


def unit_of(day: date, unit: str) -> int:
    """The number of the day, week (from Monday), month, quarter or year that a day lies in; the next one has one more.

    >>> unit_of(date(2026, 3, 1), "week") - unit_of(date(2026, 2, 28), "week")  # a Sunday and its Saturday
    0
    """
    if unit == "year":
        return day.year
    if unit == "quarter":
        return day.year * 4 + (day.month - 1) // 3
    if unit == "month":
        return day.year * 12 + day.month - 1
    return day.toordinal() if unit == "day" else (day.toordinal() - 1) // 7  # 1 January of year 1 was a Monday


def first_day(unit: str, number: int) -> date | None:
    """The day with which a unit begins; None if no calendar has it."""
    try:
        if unit == "year":
            return date(number, 1, 1)
        if unit == "quarter":
            return date(number // 4, number % 4 * 3 + 1, 1)
        if unit == "month":
            return date(number // 12, number % 12 + 1, 1)
        return date.fromordinal(number if unit == "day" else number * 7 + 1)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=1 << 16)
def readings(day: date, minute: int, zone: str) -> frozenset[int]:
    """When the wall shows `minute` minutes (up to 1440) after the midnight of `day`: twice in an overlap."""
    try:
        wall = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) + timedelta(minutes=minute)
        both = (wall.replace(fold=fold).astimezone(UTC) - _EPOCH for fold in (0, 1))
        return frozenset(since // timedelta(milliseconds=1) for since in both)
    except (ValueError, OverflowError):
        return frozenset()


@lru_cache(maxsize=1 << 16)
def beginnings(day: date, zone: str) -> frozenset[int]:
    """Instants among which is every one at which the wall comes to `day`, or comes back to it."""
    midnight = readings(day, 0, zone)
    return midnight | {jump for at in midnight for jump in jumps(zone, at - DAY_MS, at + DAY_MS)}


def jumps(zone: str, low: int, high: int) -> Iterator[int]:
    """The instants in `low` < t < `high` at which the zone's clock is put forward or back."""
    for day in range(low // DAY_MS, high // DAY_MS + 1):
        for jump in _jumps_of_day(zone, day):
            if low < jump < high:
                yield jump


def days_between(low: int, high: int, zone: str) -> Iterator[date]:
    """Every day that the wall shows between two instants, and the ones beside."""
    first, last = shown(low, zone).date().toordinal() - 1, shown(high, zone).date().toordinal() + 1
    for number in range(max(first, 1), last + 1):
        yield date.fromordinal(number)


@lru_cache(maxsize=1 << 16)
def _jumps_of_day(zone: str, day: int) -> tuple[int, ...]:
    hours = range(day * DAY_MS, (day + 1) * DAY_MS, _HOUR_MS)
    return tuple(_jump(hour, zone) for hour in hours if _offset(hour, zone) != _offset(hour + _HOUR_MS, zone))


def _jump(hour: int, zone: str) -> int:
    """The first instant after `hour` at which the offset is another; within the hour there is one."""
    low, high = hour, hour + _HOUR_MS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(middle, zone) != _offset(hour, zone) else (middle, high)
    return high


def _offset(at: int, zone: str) -> timedelta | None:
    return shown(at, zone).utcoffset()


def anniversary(at: int, written: int | None, years: int, zone: str) -> int:
    """`at` as many years on (ms): the same wall time, 29 February on the 28th; NEVER beyond the calendar.

    `written` is the wall time of a text without offset: it stays also where the clocks skipped it in the first year.
    """
    if written is None or years == 0:
        return add(at, Duration(12 * years, 0), zone)
    moved = add(written, Duration(12 * years, 0), "UTC")
    try:
        local = (_EPOCH + timedelta(milliseconds=moved)).replace(tzinfo=ZoneInfo(zone))
        return (local.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError:
        return NEVER


def before(at: int, length: Duration, zone: str) -> int:
    """`at` less a duration: months back by the calendar, clamped at month end, then the fixed part."""
    return at if at == NEVER else add(at, Duration(-length.months, -length.millis), zone)
