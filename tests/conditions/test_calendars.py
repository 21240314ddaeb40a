"""Months, gaps and overlaps of many zones, by hand and against an independent library."""

from __future__ import annotations

import zoneinfo
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import PlainDateTime

from engine.conditions.clocks import offset_at, pieces
from engine.conditions.instants import (
    DAY,
    HOUR,
    MINUTE,
    add_months,
    format_instant,
    instant_of,
    parse_duration,
    parse_instant,
)
from engine.conditions.zones import zone_names
from tests.conditions.calendars import END, START, ZONES, changes, in_zone, instants, later, shown, zone_named

TABLE = [
    # Month ends and leap days, by the day that the zone shows.
    ("Europe/Berlin", "2026-01-31T12:00:00+01:00", "P1M", "2026-02-28T12:00:00+01:00"),
    ("America/New_York", "2023-12-31T23:59:59.999-05:00", "P2M", "2024-02-29T23:59:59.999-05:00"),
    ("Australia/Lord_Howe", "2027-08-31T06:00:00+10:30", "P6M", "2028-02-29T06:00:00+11:00"),
    ("America/Sao_Paulo", "2026-03-31T00:00:00-03:00", "P1M", "2026-04-30T00:00:00-03:00"),
    ("Asia/Kathmandu", "2024-02-29T00:00:00+05:45", "P1Y", "2025-02-28T00:00:00+05:45"),
    ("Africa/Casablanca", "2096-02-29T10:00:00+00:00", "P4Y", "2100-02-28T10:00:00+00:00"),
    ("Pacific/Apia", "2026-10-31T09:00:00+13:00", "P1M", "2026-11-30T09:00:00+13:00"),
    ("Asia/Kathmandu", "2026-01-30T18:20:00Z", "P1M", "2026-02-28T00:05:00+05:45"),  # the 31st there
    # What the clocks skip: the later side.
    ("Europe/Berlin", "2026-02-28T02:30:00+01:00", "P1M", "2026-03-28T02:30:00+01:00"),
    ("Europe/Berlin", "2025-03-29T02:30:00+01:00", "P1Y", "2026-03-29T03:30:00+02:00"),
    ("America/New_York", "2026-01-08T02:00:00-05:00", "P2M", "2026-03-08T03:00:00-04:00"),
    ("America/St_Johns", "2010-02-14T00:01:00-03:30", "P1M", "2010-03-14T01:01:00-02:30"),
    ("Australia/Lord_Howe", "2025-10-04T02:29:59.999+10:30", "P1Y", "2026-10-04T02:59:59.999+11:00"),
    ("America/Sao_Paulo", "2018-09-04T00:00:00-03:00", "P2M", "2018-11-04T01:00:00-02:00"),
    ("Africa/Cairo", "2026-03-24T00:00:00+02:00", "P1M", "2026-04-24T01:00:00+03:00"),
    ("Pacific/Apia", "2011-11-30T00:00:00-10:00", "P1M", "2011-12-31T00:00:00+14:00"),  # a day that did not come
    ("Africa/Casablanca", "2026-02-22T02:30:00+00:00", "P1M", "2026-03-22T03:30:00+01:00"),  # after Ramadan
    # What they show twice: the earlier.
    ("Europe/Berlin", "2026-09-25T02:30:00+02:00", "P1M", "2026-10-25T02:30:00+02:00"),
    ("America/New_York", "2025-11-01T01:59:59.999-04:00", "P1Y", "2026-11-01T01:59:59.999-04:00"),
    ("America/St_Johns", "2010-10-07T00:00:30-02:30", "P1M", "2010-11-07T00:00:30-02:30"),
    ("Australia/Lord_Howe", "2026-01-05T01:30:00+11:00", "P3M", "2026-04-05T01:30:00+11:00"),
    ("America/Sao_Paulo", "2018-01-17T23:30:00-02:00", "P1M", "2018-02-17T23:30:00-02:00"),
    ("Africa/Cairo", "2026-09-29T23:15:00+03:00", "P1M", "2026-10-29T23:15:00+03:00"),
    ("Africa/Casablanca", "2026-01-15T02:30:00+01:00", "P1M", "2026-02-15T02:30:00+01:00"),
    ("Antarctica/Casey", "2010-02-04T23:30:00+11:00", "P1M", "2010-03-04T23:30:00+11:00"),
    # The wall time stays over a change; days and hours are lengths.
    ("Europe/Berlin", "2026-03-15T12:00:00+01:00", "P1M", "2026-04-15T12:00:00+02:00"),
    ("Europe/Berlin", "2026-02-28T12:00:00+01:00", "P1M1D", "2026-03-29T13:00:00+02:00"),
    ("Pacific/Apia", "2011-12-15T12:00:00-10:00", "P1M", "2012-01-15T12:00:00+14:00"),
    ("Europe/Moscow", "2010-10-31T02:30:00+03:00", "P1M", "2010-11-30T02:30:00+03:00"),
]


@pytest.mark.parametrize(("zone", "at", "length", "ends"), TABLE)
def test_the_table_of_calendars(zone: str, at: str, length: str, ends: str) -> None:
    duration, start = parse_duration(length), parse_instant(at)
    wanted = format_instant(parse_instant(ends))
    assert format_instant(duration.after(start, zone_named(zone))) == wanted
    assert format_instant(later(start, duration.months, duration.millis, zone)) == wanted


@pytest.mark.parametrize("zone", ZONES)
def test_months_that_end_where_the_clocks_change(zone: str) -> None:
    """The wall times on both sides of each change of many years, from a month, a quarter and a year before."""
    where = zone_named(zone)
    for change in changes(zone):
        for months in (1, 3, 12):
            for step in range(-150, 151, 15):
                start = later(change, -months, step * MINUTE, zone)
                for at in (start - 1, start):
                    assert add_months(at, months, where) == later(at, months, 0, zone), (format_instant(at), months)


@pytest.mark.parametrize("zone", ZONES)
def test_month_ends_and_leap_days_of_every_year(zone: str) -> None:
    where = zone_named(zone)
    for year in range(1996, 2110):
        for month, day in ((1, 29), (1, 31), (2, 28), (2, 29 if year % 4 == 0 and year != 2100 else 28), (8, 31)):
            at = in_zone(PlainDateTime(year, month, day, 12, 30), zone)
            for months in (1, 6, 12, 48):
                assert add_months(at, months, where) == later(at, months, 0, zone), (format_instant(at), months)


@given(st.data(), st.sampled_from(ZONES), st.integers(1, 36), st.integers(0, 40 * DAY))
def test_durations_anywhere(data: st.DataObject, zone: str, months: int, fixed: int) -> None:
    at = data.draw(instants(zone))
    length = parse_duration(f"P{months}MT{fixed // 1000}S")
    assert length.after(at, zone_named(zone)) == later(at, months, fixed // 1000 * 1000, zone)
    assert length.after(at, zone_named(zone)) - at <= length.longest()


@pytest.mark.parametrize("zone", ZONES)
def test_wall_times_where_the_clocks_change(zone: str) -> None:
    where = zone_named(zone)
    for change in changes(zone):
        for off in range(-4 * HOUR, 4 * HOUR + 1, 5 * MINUTE):
            wall = shown(change, zone).to_plain().add(milliseconds=off, naive_arithmetic_ok=True)
            assert instant_of(wall.to_stdlib(), where) == in_zone(wall, zone), (zone, wall)


@pytest.mark.parametrize("zone", ZONES)
def test_offsets_and_when_they_change(zone: str) -> None:
    where = zone_named(zone)
    found = list(pieces(START, END, where))
    assert (found[0][0], found[-1][1]) == (START, END)
    turns = [b for (_, end, before), (b, _, after) in pairwise(found) if end == b and before != after]
    assert tuple(turns) == changes(zone)
    for begins, stops, offset in found:
        for at in (begins, (begins + stops) // 2, stops - 1):
            assert offset == offset_at(at, where) == shown(at, zone).offset.total("milliseconds")


def test_no_zone_changes_its_clocks_twice_in_a_day() -> None:
    """What engine.conditions.clocks counts on; of all zones, and of the years that facts are of."""
    start = parse_instant("1970-01-01")
    for zone in zone_names():
        found = changes(zone, start, END)
        assert all(after - before > DAY for before, after in pairwise(found)), zone


def test_the_zones_are_those_of_the_pinned_package() -> None:
    assert zoneinfo.TZPATH == ()
    named = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    assert zone_names() == set(named)
