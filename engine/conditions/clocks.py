"""What the clocks of a time zone show: their offset from UTC, and when it changes.

The zone database tells the offset at an instant, not when it changes next; the changes are found by asking for every
day of a stretch, once. No zone has ever changed its clocks twice within a day (a test asks all of them).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.conditions.instants import DAY, LAST_INSTANT, NEVER, SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STRETCH = 366 * DAY
_STRETCHES_CACHED = 8_192
"""Stretches whose changes are remembered: those of a decade in every zone, some 4 MB."""
OFFSET_MAX = 2 * DAY
"""More than any clock has ever been off UTC, or been put forward or back (ms)."""
_EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND + OFFSET_MAX


def offset_at(t: int, zone: ZoneInfo | None) -> int:
    """How far the clocks of `zone` (None: UTC) are ahead of UTC at `t` (both in ms).

    >>> offset_at(0, ZoneInfo("Europe/Moscow")), offset_at(0, None)
    (10800000, 0)
    """
    if zone is None:
        return 0
    t = min(max(t, _EARLIEST), LAST_INSTANT - OFFSET_MAX)
    return ((_EPOCH + timedelta(milliseconds=t)).astimezone(zone).utcoffset() or timedelta()) // _MILLISECOND


@lru_cache(maxsize=_STRETCHES_CACHED)
def _changes(stretch: int, zone: ZoneInfo) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The instants in a stretch of 366 days when the offset changes, and the offsets: before the first, after each."""
    start = stretch * _STRETCH
    instants: list[int] = []
    offsets = [offset_at(start, zone)]
    for day in range(start, start + _STRETCH, DAY):
        after = offset_at(day + DAY, zone)
        if after != offsets[-1]:
            low, high = day // SECOND, (day + DAY) // SECOND
            while high - low > 1:
                middle = (low + high) // 2
                if offset_at(middle * SECOND, zone) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            instants.append(high * SECOND)
            offsets.append(after)
    return tuple(instants), tuple(offsets)


def piece(t: int, zone: ZoneInfo | None) -> tuple[int, int]:
    """The offset at `t`, and an instant after `t` until which it stays: its change, or a year on if there is none."""
    if zone is None:
        return 0, NEVER
    stretch = t // _STRETCH
    instants, offsets = _changes(stretch, zone)
    place = bisect_right(instants, t)
    if place < len(instants):
        return offsets[place], instants[place]
    following = _changes(stretch + 1, zone)[0]
    return offsets[place], following[0] if following else (stretch + 2) * _STRETCH


def pieces(start: int, end: int, zone: ZoneInfo | None) -> Iterator[tuple[int, int, int]]:
    """The time from `start` to `end` in pieces of one offset: (from, to, offset), one after the other."""
    while start < end:
        offset, stop = piece(start, zone)
        yield start, min(stop, end), offset
        start = stop
