"""Instants and durations: integer milliseconds since the epoch inside, RFC 3339 and ISO 8601 outside (DESIGN.md 2, 4).

Days and weeks are fixed lengths; months and years add by calendar in a time zone, keep the wall time, clamp at month
end, take the later side of a gap and the earlier of an overlap.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEVER = 1 << 62
"""Later than every instant: "until nothing more happens"."""

SECOND, MINUTE, HOUR, DAY, WEEK = 1_000, 60_000, 3_600_000, 86_400_000, 604_800_000
FIRST_INSTANT = 0
"""1970-01-01T00:00:00Z: facts before it are refused as a mistake of units."""
LAST_INSTANT = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last that RFC 3339 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,3}))?S)?)?", re.ASCII
)
_CACHED_DAYS = 4_096
"""Days whose text is remembered: 11 years, under 1 MB."""

_days: dict[str, int] = {}
_minutes: dict[str, int] = {f"{m // 60:02d}:{m % 60:02d}:": m * MINUTE for m in range(1440)}
_seconds: dict[str, int] = {f"{ms // 1000:02d}.{ms % 1000:03d}Z": ms for ms in range(MINUTE)}
_minute_texts, _second_texts = list(_minutes), list(_seconds)


def parse_instant(text: str, zone: ZoneInfo | None = None) -> int:
    """Milliseconds of an RFC 3339 date-time or date; without an offset it is in `zone` (default UTC).

    Digits beyond milliseconds are cut off. Raises ValueError for anything else, or outside the years 1970 to 9999.
    """
    if len(text) == 24:  # the wire form YYYY-MM-DDTHH:MM:SS.mmmZ: three look-ups
        day, minute, second = _days.get(text[:11]), _minutes.get(text[11:17]), _seconds.get(text[17:])
        if day is not None and minute is not None and second is not None:
            return day + minute + second
        if minute is not None and second is not None:
            instant = _parse(text, None)
            if text[10] == "T":
                if len(_days) >= _CACHED_DAYS:
                    _days.clear()
                _days[text[:11]] = instant - minute - second
            return instant
    return _parse(text, zone)


def _parse(text: str, zone: ZoneInfo | None) -> int:
    local, offset = read_wall_time(text)
    try:
        instant = instant_of(local, zone) if offset is None else instant_of(local, None) - offset
    except OverflowError:
        instant = -1
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        raise ValueError(f"{text!r} is outside 1970 to 9999")
    return instant


def read_wall_time(text: str) -> tuple[datetime, int | None]:
    """What an RFC 3339 date-time or date says: the wall time, to the millisecond, and the offset from UTC (ms) if any.

    Raises ValueError for anything else.

    >>> read_wall_time("1965-03-08"), read_wall_time("2026-05-01T10:00:00+03:00")[1]
    ((datetime.datetime(1965, 3, 8, 0, 0), None), 10800000)
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 instant such as 2026-05-01T10:00:00.000Z")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    micros = int((fraction or "0").ljust(3, "0")[:3]) * 1_000
    local = datetime(  # noqa: DTZ001 - the zone is for the caller to put on
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros
    )
    if offset is None:
        return local, None
    if offset in "Zz":
        return local, 0
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    if int(offset[-2:]) > 59 or minutes > 24 * 60 - 1:
        raise ValueError(f"{text!r} has an offset that no clock has")
    return local, (-minutes if offset[0] == "-" else minutes) * MINUTE


def instant_of(local: datetime, zone: ZoneInfo | None) -> int:
    """Milliseconds of a wall time in `zone` (None: UTC): the later side of a gap, the earlier of an overlap.

    Raises OverflowError beyond the calendar, whose years are 1 to 9999.
    """
    # fold 0 is just that: before a gap and before the clocks go back the old offset holds.
    return (local.replace(tzinfo=zone or UTC, fold=0).astimezone(UTC) - _EPOCH) // _MILLISECOND


def format_instant(instant: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ` of milliseconds since the epoch."""
    day, rest = divmod(instant, DAY)
    minute, rest = divmod(rest, MINUTE)
    return _format_day(day) + _minute_texts[minute] + _second_texts[rest]


@lru_cache(maxsize=_CACHED_DAYS)
def _format_day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%dT").rjust(11, "0")


@dataclass(frozen=True, slots=True)
class Duration:
    """Calendar months and fixed milliseconds; both at least 0.

    >>> parse_duration("P1Y2M10DT30M")
    Duration(months=14, millis=865800000)
    """

    months: int
    millis: int

    def __str__(self) -> str:
        """The shortest ISO 8601 form, the same for equal durations."""
        years, months = divmod(self.months, 12)
        days, rest = divmod(self.millis, DAY)
        hours, rest = divmod(rest, HOUR)
        minutes, rest = divmod(rest, MINUTE)
        seconds, millis = divmod(rest, SECOND)
        date = "".join(f"{n}{unit}" for n, unit in ((years, "Y"), (months, "M"), (days, "D")) if n)
        second = f"{seconds}.{millis:03d}S" if millis else f"{seconds}S" if seconds else ""
        time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n) + second
        return f"P{date}{'T' + time if time else ''}" if date or time else "PT0S"

    def longest(self) -> int:
        """An upper bound in milliseconds: no month has more than 31 days, no year more than 366, and clocks go back by
        less than a day."""
        years, months = divmod(self.months, 12)
        return years * 366 * DAY + months * 31 * DAY + self.millis + (DAY if self.months else 0)

    def after(self, instant: int, zone: ZoneInfo | None) -> int:
        """The instant this long after `instant`, NEVER beyond the year 9999; months by the calendar of `zone`
        (None: UTC)."""
        end = (add_months(instant, self.months, zone) if self.months else instant) + self.millis
        return end if end <= LAST_INSTANT else NEVER


@lru_cache(maxsize=16_384)
def add_months(instant: int, months: int, zone: ZoneInfo | None) -> int:
    """`instant` plus calendar months in `zone`, wall time kept, the day clamped at month end.

    >>> format_instant(add_months(parse_instant("2026-01-31T12:00:00Z"), 3, None))
    '2026-04-30T12:00:00.000Z'
    """
    try:
        local = (_EPOCH + timedelta(milliseconds=instant)).astimezone(zone or UTC).replace(tzinfo=None)
        year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
        if year > 9999:
            return NEVER
        day = min(local.day, monthrange(year, month + 1)[1])
        return instant_of(local.replace(year=year, month=month + 1, day=day), zone)
    except OverflowError:
        return NEVER


def parse_duration(text: str) -> Duration:
    """The duration of an ISO 8601 text such as P30D, PT2H, P3M. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as P30D, PT2H or P3M")
    years, months, weeks, days, hours, minutes, seconds, fraction = (int(g or 0) for g in (*match.groups()[:7], 0))
    millis = int((match.group(8) or "0").ljust(3, "0")) + fraction
    millis += weeks * WEEK + days * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND
    duration = Duration(years * 12 + months, millis)
    if duration.longest() > LAST_INSTANT:
        raise ValueError(f"{text!r} is longer than any calendar")
    return duration
