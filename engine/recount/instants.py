"""Instants and durations as the recount understands them: integer milliseconds since the epoch, ISO 8601, RFC 3339.

Written a second time on purpose: the recount shares nothing with what it checks.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEVER = 1 << 62
BEGINNING = -NEVER
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<clock>\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)[.,](?P<fraction>\d+))?"
    r"\s?(?P<zone>[Zz]|[+-]\d\d:?[0-5]\d)?)?",
    re.ASCII,
)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<millis>\d{1,3}))?S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Duration:
    """Calendar months, then a fixed length in milliseconds."""

    months: int
    millis: int

    def at_most(self) -> int:
        """A length in milliseconds that this duration never exceeds, whatever the calendar and the zone do."""
        return self.months * 31 * DAY_MS + self.millis + (2 * DAY_MS if self.months else 0)


def duration(text: str) -> Duration:
    """Reads an ISO 8601 duration; ValueError if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(part is not None for part in found.groups()):
        raise ValueError(f"{text!r} is not a duration such as P30D")
    n = {name: int(part or 0) for name, part in found.groupdict().items() if name != "millis"}
    seconds = ((n["weeks"] * 7 + n["days"]) * 24 + n["hours"]) * 3600 + n["minutes"] * 60 + n["seconds"]
    return Duration(n["years"] * 12 + n["months"], seconds * 1000 + int((found["millis"] or "0").ljust(3, "0")))


def add(at: int, length: Duration, zone: str) -> int:
    """`at` (ms) plus `length`: months keep the wall time of `zone` and clamp at month end; NEVER beyond year 9999."""
    return _by_calendar(at, length, zone) if length.months else at + length.millis


def times(length: Duration, n: int) -> Duration:
    """`length` taken n times: its months together, then its fixed parts."""
    return Duration(length.months * n, length.millis * n)


@lru_cache(maxsize=1 << 18)
def _by_calendar(at: int, length: Duration, zone: str) -> int:
    try:
        local = (_EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(zone))
        year, month = divmod(local.year * 12 + local.month - 1 + length.months, 12)
        day = min(local.day, monthrange(year, month + 1)[1])
        # fold=0 takes the later side of a gap and the earlier of an overlap.
        moved = local.replace(year=year, month=month + 1, day=day, fold=0)
        return (moved.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1) + length.millis
    except (OverflowError, ValueError):
        return NEVER


@lru_cache(maxsize=1 << 16)
def nanoseconds(text: str, zone: str = "UTC") -> int | None:
    """An RFC 3339 instant or date as nanoseconds since the epoch, in `zone` if without offset; None if neither."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    offset = (found["zone"] or "").upper()
    try:
        moment = datetime.fromisoformat(f"{found['day']}T{found['clock'] or '00:00:00'}{offset}")
        if not offset:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        seconds = (moment.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)
    except (OverflowError, ValueError):
        return None
    return seconds * 10**9 + int((found["fraction"] or "0")[:9].ljust(9, "0"))


def written(text: str) -> int | None:
    """What the clocks show in an instant or date without offset, as the milliseconds that it would be in UTC."""
    found = _INSTANT.fullmatch(text)
    nanos = nanoseconds(text) if found is not None and not found["zone"] else None
    return None if nanos is None else nanos // 10**6


def instant(text: str, zone: str = "UTC") -> int:
    """An RFC 3339 instant or date in milliseconds, finer digits cut off; ValueError if it is neither."""
    found = nanoseconds(text, zone)
    if found is None:
        raise ValueError(f"{text!r} is not an instant such as 2026-05-01T10:00:00Z")
    return found // 10**6


def text_of(at: int) -> str:
    """`at` (ms) as RFC 3339 UTC with milliseconds."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
