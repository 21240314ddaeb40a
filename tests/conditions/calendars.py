"""Calendars by `whenever`, which has its own code for months, gaps and overlaps, over the same zone database."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo

import whenever
from hypothesis import strategies as st
from whenever import Instant, PlainDateTime, ZonedDateTime

from engine.conditions.instants import DAY, HOUR, MINUTE, parse_instant
from engine.conditions.zones import zone_of

whenever.reset_tzpath(())

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Moscow",  # kept summer time for years, then gave it up
    "America/New_York",
    "America/St_Johns",  # until 2011 clocks changed a minute after midnight: a minute of the next day came twice
    "America/Sao_Paulo",  # until 2019 days began at 01:00 when summer time did
    "Africa/Cairo",  # so they do here; and the hour before midnight comes twice
    "Africa/Casablanca",  # clocks change for Ramadan, by another calendar
    "Asia/Kathmandu",  # a quarter of an hour off
    "Australia/Lord_Howe",  # summer time is half an hour
    "Pacific/Apia",  # 30 December 2011 did not come
    "Antarctica/Casey",  # back by three hours over midnight, in 2010
)
START, END = parse_instant("2004-01-01"), parse_instant("2038-01-01")


def zone_named(name: str) -> ZoneInfo | None:
    """The zone as the engine takes it."""
    return zone_of(name)


def shown(at: int, zone: str) -> ZonedDateTime:
    """The reading of the clocks at an instant (ms)."""
    return Instant.from_timestamp(at, unit="millisecond").to_tz(zone)


def millis(shown: ZonedDateTime) -> int:
    """The instant (ms) of a reading."""
    return shown.timestamp(unit="millisecond")


def in_zone(wall: PlainDateTime, zone: str) -> int:
    """The instant (ms) of a wall time: the later side of a gap, the earlier of an overlap."""
    return millis(wall.assume_tz(zone, disambiguation="compatible"))


def later(at: int, months: int, fixed: int, zone: str) -> int:
    """The instant some months by the calendar of the zone, and then some milliseconds, after another.

    By the wall time alone: the library's own sum of months keeps the offset of a repeated hour where it can.
    """
    return (in_zone(shown(at, zone).to_plain().add(months=months), zone) if months else at) + fixed


@cache
def changes(zone: str, start: int = START, end: int = END) -> tuple[int, ...]:
    """The instants (ms) in between when the clocks of the zone are put forward or back."""
    found: list[int] = []
    here = shown(start, zone)
    while (there := here.next_transition()) is not None and (at := millis(there)) < end:
        if shown(at - 1, zone).offset != there.offset:
            found.append(at)
        here = there
    return tuple(found)


def instants(zone: str) -> st.SearchStrategy[int]:
    """Instants of some decades, most of them where the clocks of the zone change."""
    near = st.sampled_from([0, 1, -1, MINUTE, HOUR, 90 * MINUTE, 3 * HOUR, DAY])
    around = st.builds(lambda at, off, side: at + off * side, st.sampled_from(changes(zone) or (START,)), near, SIDES)
    return around | st.integers(START, END)


SIDES = st.sampled_from([-1, 1])
