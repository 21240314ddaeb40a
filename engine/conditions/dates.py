"""Tests of a date among the contact's attributes: `within`, `ago`, `calendar`, `anniversary`.

A date `d` is RFC 3339 text, of the years 1 to 9999; without an offset (or without a time) it is wall time in the
rule's zone: the later side of a gap, the earlier of an overlap. What is no such text meets no test; of a list any
element may meet each. Each test names spans of time, [from, to) in milliseconds, in which it holds:

- `within: W`: d ≤ t < d + W, and `within: [from, to]`: d + from ≤ t < d + to;
- `ago: W`: d + W ≤ t;
- `calendar: {unit, offset}`: the clocks show a day of the unit that d lies in, or of one `offset` units before that;
- `anniversary`: A ≤ t < A + W (`within`) or A - W ≤ t < A (`before`), where A is d with the year of another, its
  wall time kept, 29 February on the 28th; d itself is one for `within`, and is none for `before`. The months of
  A - W go back by the calendar before its days do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from engine.conditions.clocks import OFFSET_MAX, offset_at, pieces
from engine.conditions.document import Bounds, Document, Window, mistake
from engine.conditions.instants import (
    DAY,
    LAST_INSTANT,
    NEVER,
    Duration,
    add_months,
    instant_of,
    read_wall_time,
)
from engine.conditions.scope import Verdict
from engine.conditions.values import DATE_TESTS, Test, words
from engine.conditions.wording import duration_words, last_words

Span = tuple[int, int]
"""From, included, to, excluded (ms); either may be NEVER."""
Spans = Sequence[Span]
DateVerdict = Callable[[list[Any], int], Verdict]
"""The verdict on the values of an attribute at an instant."""
Unit = Literal["day", "week", "month", "quarter", "year"]

OFFSET_UNITS_MAX = 1_000
"""How many units `calendar` may look back or ahead."""
_DATES_CACHED = 16_384
"""Texts of dates, and units of calendars, whose instants are remembered: some 5 MB."""
_YEAR = Duration(12, 0)
_SIDES = "write anniversary: {within: P7D} for the days from it on, or {before: P7D} for those ahead of it"
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH_WALL = datetime(1970, 1, 1)  # noqa: DTZ001 - what the clocks show has no zone
_FIRST_DATE = (date(1, 1, 1).toordinal() - _EPOCH_DAY) * DAY + OFFSET_MAX
"""The first two days of the calendar are before it in some zone."""


class CalendarTest(Document):
    """`calendar`: the date lies in the present unit of the calendar, or in another counted from it."""

    unit: Unit
    """`day`, `week` (from Monday), `month`, `quarter` or `year`, by the calendar of the segment's time zone."""
    offset: Annotated[int, Field(ge=-OFFSET_UNITS_MAX, le=OFFSET_UNITS_MAX)] = 0
    """Which one, counted from the present: -1 the one before, 0 this one, 1 the next."""


class AnniversaryTest(Document):
    """`anniversary`: the same day of another year, such as a birthday, was or will be near."""

    within: Window | None = None
    """It began less than so long ago."""
    before: Window | None = None
    """It is ahead by so long or less."""

    @model_validator(mode="after")
    def _one(self) -> AnniversaryTest:
        length = self.within or self.before
        if length is None or None not in (self.within, self.before):
            raise mistake("anniversary", "anniversary needs one of two", _SIDES)
        if length.longest() > (_YEAR.longest() if length.months else 366 * DAY):
            name = "within" if self.before is None else "before"
            raise mistake("anniversary", f"{length} is longer than a year", "write P1Y or less", at=(name,))
        return self


def _in_unit(value: Any) -> Any:
    if not isinstance(value, dict | CalendarTest):
        hint = "write calendar: {unit: month}, or {unit: month, offset: -1} for the month before"
        raise mistake("calendar", f"{value!r} does not say which part of the calendar is meant", hint)
    return value


def _with_side(value: Any) -> Any:
    if not isinstance(value, dict | AnniversaryTest):
        raise mistake("anniversary", f"{value!r} does not say on which side of the anniversary", _SIDES)
    return value


class AttributeTest(Test):
    """A test of an attribute: operators, and tests of dates; all of them hold."""

    within: Bounds | None = None
    """The date is past by less than so long; of a pair `[P2D, P7D]`, by at least the first and less than the second."""
    ago: Window | None = None
    """The date is past by at least so long."""
    calendar: Annotated[CalendarTest, BeforeValidator(_in_unit)] | None = None
    """`{unit: month, offset: -1}`: it lies in the month before this one; or a day, week, quarter or year."""
    anniversary: Annotated[AnniversaryTest, BeforeValidator(_with_side)] | None = None
    """`{within: P7D}`: so long from an anniversary on; `{before: P7D}`: so long ahead of one. 29 February: the 28th."""

    @property
    def dated(self) -> bool:
        """Whether it asks for a date, and so for a calendar."""
        return any(getattr(self, name) is not None for name in DATE_TESTS)


class Date(NamedTuple):
    """A date in a zone: its instant (ms), and the wall time that its anniversaries have."""

    at: int
    wall: datetime


@lru_cache(maxsize=_DATES_CACHED)
def date_of(text: str, zone: ZoneInfo | None) -> Date | None:
    """The date that a text says; None for a text that says none.

    >>> date_of("1965-03-08", None)
    Date(at=-152064000000, wall=datetime.datetime(1965, 3, 8, 0, 0))
    >>> date_of("8 March", None)
    """
    try:
        wall, offset = read_wall_time(text)
        if offset is None:
            at = instant_of(wall, zone)  # and the wall time stays as it was written, also where the clocks skipped it
        else:
            at = instant_of(wall, None) - offset
            wall = _EPOCH_WALL + timedelta(milliseconds=at + offset_at(at, zone))
    except (ValueError, OverflowError):
        return None
    return Date(at, wall) if _FIRST_DATE <= at <= LAST_INSTANT else None


def dates_in(values: list[Any], zone: ZoneInfo | None) -> list[Date]:
    """Those of the values that are dates."""
    found = [date_of(value, zone) for value in values if type(value) is str]
    return [each for each in found if each is not None]


def date_verdicts(test: AttributeTest, zone: ZoneInfo | None) -> list[DateVerdict]:
    """A verdict for each date test of `test`, by the calendar of `zone` (None: UTC)."""
    found: list[DateVerdict] = []
    if test.within is not None:
        found.append(_verdict(_within(test.within, zone), zone))
    if test.ago is not None:
        found.append(_verdict(_ago(test.ago, zone), zone))
    if test.calendar is not None:
        found.append(_verdict(_calendar(test.calendar, zone), zone))
    if test.anniversary is not None:
        found.append(_verdict(_anniversary(test.anniversary, zone), zone))
    return found


def _verdict(spans_of: Callable[[Date, int], Spans], zone: ZoneInfo | None) -> DateVerdict:
    def verdict(values: list[Any], t: int) -> Verdict:
        return holds_until([span for each in dates_in(values, zone) for span in spans_of(each, t)], t)

    return verdict


def holds_until(spans: list[Span], t: int) -> Verdict:
    """Whether `t` lies in any of the spans, and until when that stays so.

    >>> holds_until([(5, 9), (1, 6)], 2), holds_until([(5, 9), (1, 3)], 4), holds_until([(1, 3)], 3)[0]
    ((True, 9), (False, 5), False)
    """
    end = t
    for low, high in sorted(spans):
        if low > end:
            return (True, end) if end > t else (False, low)
        end = max(end, high)
    return (True, end) if end > t else (False, NEVER)


def _within(within: Duration | list[Duration], zone: ZoneInfo | None) -> Callable[[Date, int], Spans]:
    start, end = within if isinstance(within, list) else (Duration(0, 0), within)
    return lambda each, t: [(start.after(each.at, zone), end.after(each.at, zone))]


def _ago(ago: Duration, zone: ZoneInfo | None) -> Callable[[Date, int], Spans]:
    return lambda each, t: [(ago.after(each.at, zone), NEVER)]


def _calendar(test: CalendarTest, zone: ZoneInfo | None) -> Callable[[Date, int], Spans]:
    def spans(each: Date, t: int) -> Spans:
        number = unit_at(test.unit, each.at, zone) - test.offset
        if number < unit_at(test.unit, t - OFFSET_MAX, None):  # over in every zone
            return ()
        return unit_spans(test.unit, number, zone)

    return spans


def _anniversary(test: AnniversaryTest, zone: ZoneInfo | None) -> Callable[[Date, int], Spans]:
    within, before = test.within, test.before

    def spans(each: Date, t: int) -> Spans:
        # No span is longer than a year, and the year is that of UTC: t may lie in those of two years before it, and
        # the next one may be that of the second year after it.
        near = date.fromordinal(t // DAY + _EPOCH_DAY).year - each.wall.year
        found = []
        first = max(near - 2, 0 if within is not None else 1)
        for years in range(first, first + 5):
            at = each.at if years == 0 else _years_after(each.wall, years, zone)
            if at == NEVER:
                break
            if within is not None:
                found.append((at, within.after(at, zone)))
            elif before is not None:
                found.append((_back(at, before, zone), at))
        return found

    return spans


@lru_cache(maxsize=_DATES_CACHED)
def _years_after(wall: datetime, years: int, zone: ZoneInfo | None) -> int:
    try:
        if (wall.month, wall.day) == (2, 29) and not _is_leap(wall.year + years):
            wall = wall.replace(day=28)
        at = instant_of(wall.replace(year=wall.year + years), zone)
    except (ValueError, OverflowError):
        return NEVER
    return at if at <= LAST_INSTANT else NEVER


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _back(at: int, length: Duration, zone: ZoneInfo | None) -> int:
    """The instant that `length` is ahead of `at`: its months back by the calendar, then the rest."""
    return (add_months(at, -length.months, zone) if length.months else at) - length.millis


def unit_at(unit: Unit, t: int, zone: ZoneInfo | None) -> int:
    """The number of the unit that the clocks show at `t`; the unit after it has the next number.

    >>> unit_at("week", 4 * DAY, None) - unit_at("week", 4 * DAY - 1, None)  # 5 January 1970 was a Monday
    1
    """
    number = (t + offset_at(t, zone)) // DAY + _EPOCH_DAY
    if unit == "day":
        return number
    if unit == "week":
        return (number - 1) // 7  # 1 January of the year 1 was a Monday
    day = date.fromordinal(number)
    if unit == "month":
        return day.year * 12 + day.month - 1
    return day.year * 4 + (day.month - 1) // 3 if unit == "quarter" else day.year


def _first_day(unit: Unit, number: int) -> int:
    """The ordinal of the unit's first day. Raises ValueError for one that the calendar lacks."""
    if unit == "day":
        return number
    if unit == "week":
        return number * 7 + 1
    months = number * {"month": 1, "quarter": 3, "year": 12}[unit]
    return date(months // 12, months % 12 + 1, 1).toordinal()


@lru_cache(maxsize=_DATES_CACHED)
def unit_spans(unit: Unit, number: int, zone: ZoneInfo | None) -> Spans:
    """When the clocks show a day of this unit, in spans of one offset."""
    try:
        start, end = ((_first_day(unit, each) - _EPOCH_DAY) * DAY for each in (number, number + 1))
    except (ValueError, OverflowError):
        return ()
    found = [
        (max(begins, start - offset), min(stops, end - offset))
        for begins, stops, offset in pieces(start - OFFSET_MAX, end + OFFSET_MAX, zone)
    ]
    return tuple(
        (low, high if high <= LAST_INSTANT else NEVER) for low, high in found if low < high and low <= LAST_INSTANT
    )


def attribute_words(test: AttributeTest) -> str:
    """The test in plain words.

    >>> attribute_words(AttributeTest.model_validate({"ago": "P18Y", "calendar": {"unit": "month"}}))
    'is at least 18 years ago and lies in this month'
    """
    said = [words(test)] if test.operators() else []
    if isinstance(test.within, list):
        start, end = test.within
        least = f"at least {duration_words(start)} and " if start != Duration(0, 0) else ""
        said.append(f"is {least}less than {duration_words(end)} ago")
    elif test.within is not None:
        said.append(f"is less than {duration_words(test.within)} ago")
    if test.ago is not None:
        said.append(f"is at least {duration_words(test.ago)} ago")
    if test.calendar is not None:
        said.append(f"lies {_unit_words(test.calendar)}")
    if test.anniversary is not None and test.anniversary.within is not None:
        said.append(f"has had its anniversary {last_words(test.anniversary.within)}")
    elif test.anniversary is not None and test.anniversary.before is not None:
        said.append(f"has its anniversary {last_words(test.anniversary.before).replace('last', 'next', 1)}")
    return " and ".join(said)


def _unit_words(test: CalendarTest) -> str:
    """
    >>> [_unit_words(CalendarTest(unit="day", offset=offset)) for offset in (-1, 0, 1, 2)]
    ['in the day before this one', 'in this day', 'in the day after this one', '2 days after this one']
    """
    count, side = abs(test.offset), "before" if test.offset < 0 else "after"
    if count == 0:
        return f"in this {test.unit}"
    return f"in the {test.unit} {side} this one" if count == 1 else f"{count} {test.unit}s {side} this one"
