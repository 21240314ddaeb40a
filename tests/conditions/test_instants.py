"""Instants and durations: texts, month ends, leap days, and what clocks skip or repeat, by hand and by search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.conditions.instants import (
    DAY,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    NEVER,
    Duration,
    add_months,
    format_instant,
    parse_duration,
    parse_instant,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def after(at: str, duration: str, zone: str | None = None) -> str:
    return format_instant(parse_duration(duration).after(parse_instant(at), None if zone is None else ZoneInfo(zone)))


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01", 0),
        ("2026-05-01T10:00:00.000Z", 1_777_629_600_000),
        ("2026-05-01T10:00:00Z", 1_777_629_600_000),
        ("2026-05-01t10:00:00z", 1_777_629_600_000),
        ("2026-05-01 10:00:00Z", 1_777_629_600_000),
        ("2026-05-01T13:00:00+03:00", 1_777_629_600_000),
        ("2026-05-01T00:30:00.5-09:30", 1_777_629_600_500),
        ("2026-05-01T10:00:00.123999Z", 1_777_629_600_123),
        ("2026-05-01T10:00:00.1Z", 1_777_629_600_100),
        ("9999-12-31T23:59:59.999Z", LAST_INSTANT),
    ],
)
def test_an_instant_in_any_of_its_spellings(text: str, millis: int) -> None:
    assert parse_instant(text) == millis
    assert parse_instant(text) == millis  # once more, from what is remembered


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026", "2026-05", "01.05.2026", "2026-13-01", "2026-02-29", "2026-00-10", "0000-01-01",
        "2026-05-01T24:00:00Z", "2026-05-01T10:60:00Z", "2026-05-01T10:00:60Z", "2026-05-01T10:00:61Z",
        "2026-05-01T10:00:00+24:00",
        "2026-05-01T10:00:00+03:60", "2026-05-01T10:00:00.Z", "2026-05-01T10:00:00ZZ", " 2026-05-01", "2026-05-01\n",
        "2026-05-01T10:00:99.000Z", "٢٠٢٦-05-01", "1777629600000", "1969-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00+00:01", "10000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_instant(text)


def test_without_an_offset_it_is_in_the_zone() -> None:
    moscow, lord_howe = ZoneInfo("Europe/Moscow"), ZoneInfo("Australia/Lord_Howe")
    assert format_instant(parse_instant("2026-05-01", moscow)) == "2026-04-30T21:00:00.000Z"
    assert format_instant(parse_instant("2026-05-01T00:00:00", lord_howe)) == "2026-04-30T13:30:00.000Z"
    assert format_instant(parse_instant("2026-05-01T00:00:00.000Z", moscow)) == "2026-05-01T00:00:00.000Z"


@given(st.integers(0, LAST_INSTANT))
def test_an_instant_reads_back(millis: int) -> None:
    assert parse_instant(format_instant(millis)) == millis


@pytest.mark.parametrize(
    ("text", "months", "millis", "shortest"),
    [
        ("P30D", 0, 30 * DAY, "P30D"),
        ("P2W", 0, 14 * DAY, "P14D"),
        ("PT2H", 0, 2 * HOUR, "PT2H"),
        ("PT90M", 0, 90 * MINUTE, "PT1H30M"),
        ("PT36H", 0, 36 * HOUR, "P1DT12H"),
        ("P3M", 3, 0, "P3M"),
        ("P1Y2M10DT30M", 14, 10 * DAY + 30 * MINUTE, "P1Y2M10DT30M"),
        ("P24M", 24, 0, "P2Y"),
        ("PT0.001S", 0, 1, "PT0.001S"),
        ("PT1.5S", 0, 1_500, "PT1.500S"),
        ("PT0S", 0, 0, "PT0S"),
        ("P1W1D", 0, 8 * DAY, "P8D"),
    ],
)
def test_a_duration_and_its_shortest_form(text: str, months: int, millis: int, shortest: str) -> None:
    assert parse_duration(text) == Duration(months, millis)
    assert str(parse_duration(text)) == shortest
    assert parse_duration(shortest) == Duration(months, millis)


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P30", "30D", "P1DT", "PT1D", "P1H", "P-1D", "-P1D", "P1.5D", "PT1.S", "PT0.0001S", "p1d",
        "P1D ", "P1M1Y", "PT1S1M", "P١D", "P1D\n", "P10000Y", "PT99999999999999999999S",
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("at", "duration", "ends"),
    [
        ("2026-01-31T12:00:00.007Z", "P1M", "2026-02-28T12:00:00.007Z"),
        ("2028-01-31T12:00:00Z", "P1M", "2028-02-29T12:00:00.000Z"),
        ("2026-01-31T00:00:00Z", "P3M", "2026-04-30T00:00:00.000Z"),
        ("2026-08-31T00:00:00Z", "P6M", "2027-02-28T00:00:00.000Z"),
        ("2026-12-31T00:00:00Z", "P2M", "2027-02-28T00:00:00.000Z"),
        ("2026-11-30T00:00:00Z", "P1M", "2026-12-30T00:00:00.000Z"),
        ("2024-02-29T12:00:00Z", "P1Y", "2025-02-28T12:00:00.000Z"),
        ("2024-02-29T12:00:00Z", "P4Y", "2028-02-29T12:00:00.000Z"),
        ("2096-02-29T12:00:00Z", "P4Y", "2100-02-28T12:00:00.000Z"),
        ("2026-01-31T00:00:00Z", "P1M1D", "2026-03-01T00:00:00.000Z"),  # the months first, then the day
        ("2026-01-31T23:00:00Z", "P1MT2H", "2026-03-01T01:00:00.000Z"),
        ("2026-12-31T23:59:59.999Z", "PT0.001S", "2027-01-01T00:00:00.000Z"),
    ],
)
def test_months_clamp_at_month_end(at: str, duration: str, ends: str) -> None:
    assert after(at, duration) == ends


@pytest.mark.parametrize(
    ("zone", "at", "duration", "ends"),
    [
        # Skipped wall times: 02:30 on 29 March in Berlin is taken as 03:30 of summer time, and so on.
        ("Europe/Berlin", "2026-01-29T02:30:00+01:00", "P2M", "2026-03-29T03:30:00+02:00"),
        ("America/New_York", "2026-02-08T02:30:00-05:00", "P1M", "2026-03-08T03:30:00-04:00"),
        ("America/Sao_Paulo", "2018-10-04T00:30:00-03:00", "P1M", "2018-11-04T01:30:00-02:00"),
        ("Australia/Lord_Howe", "2026-09-04T02:15:00+10:30", "P1M", "2026-10-04T02:45:00+11:00"),
        ("Pacific/Apia", "2011-11-30T12:00:00-10:00", "P1M", "2011-12-31T12:00:00+14:00"),  # a whole day was skipped
        # Wall times that come twice: the earlier.
        ("Europe/Berlin", "2026-08-25T02:30:00+02:00", "P2M", "2026-10-25T02:30:00+02:00"),
        ("America/New_York", "2026-10-01T01:30:00-04:00", "P1M", "2026-11-01T01:30:00-04:00"),
        ("Australia/Lord_Howe", "2026-03-05T01:45:00+11:00", "P1M", "2026-04-05T01:45:00+11:00"),
        ("Europe/Moscow", "2014-09-26T01:30:00+04:00", "P1M", "2014-10-26T01:30:00+04:00"),
        # The second of two equal wall times is as good a start as the first.
        ("Europe/Berlin", "2026-10-25T02:30:00+01:00", "P1M", "2026-11-25T02:30:00+01:00"),
        # The wall time stays over a change of the clocks; days are 24 hours all the same.
        ("Europe/Berlin", "2026-03-15T12:00:00+01:00", "P1M", "2026-04-15T12:00:00+02:00"),
        ("Europe/Berlin", "2026-03-28T12:00:00+01:00", "P1D", "2026-03-29T13:00:00+02:00"),
        ("Europe/Berlin", "2026-03-28T12:00:00+01:00", "P1W", "2026-04-04T13:00:00+02:00"),
        # The calendar day is that of the zone: already the 31st in Kathmandu, still the 31st in New York.
        ("Asia/Kathmandu", "2026-01-31T00:00:00+05:45", "P1M", "2026-02-28T00:00:00+05:45"),
        ("America/New_York", "2026-01-31T23:30:00-05:00", "P1M", "2026-02-28T23:30:00-05:00"),
    ],
)
def test_the_calendar_of_a_zone(zone: str, at: str, duration: str, ends: str) -> None:
    assert after(at, duration, zone) == format_instant(parse_instant(ends))


ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Europe/London",
    "Africa/Casablanca", "Asia/Vladivostok", "Pacific/Apia", "UTC",
]  # fmt: skip


def searched(at: int, months: int, zone: ZoneInfo) -> int:
    """The same, found by looking which instants show the wanted wall time: only the unambiguous direction is asked."""
    wall = (EPOCH + timedelta(milliseconds=at)).astimezone(zone).replace(tzinfo=None)
    year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
    day = wall.day
    while True:
        try:
            wanted = wall.replace(year=year, month=month + 1, day=day, fold=0)
            break
        except ValueError:
            day -= 1
    around = [wanted.replace(tzinfo=UTC) + timedelta(hours=hours) for hours in range(-48, 49)]
    offsets = {moment.astimezone(zone).utcoffset() or timedelta() for moment in around}
    moments = sorted(wanted.replace(tzinfo=UTC) - offset for offset in offsets)
    shown = [moment for moment in moments if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wanted]
    if not shown:  # skipped: as long after the last instant before the gap as its wall time is
        before = (wanted.replace(tzinfo=UTC) - timedelta(hours=48)).astimezone(zone).utcoffset() or timedelta()
        shown = [wanted.replace(tzinfo=UTC) - before]
    return (shown[0] - EPOCH) // timedelta(milliseconds=1)


@given(
    st.integers(parse_instant("2005-01-01"), parse_instant("2035-01-01")), st.integers(1, 30), st.sampled_from(ZONES)
)
@example(parse_instant("2026-01-29T01:30:00Z"), 2, "Europe/Berlin")
@example(parse_instant("2026-08-25T00:30:00Z"), 2, "Europe/Berlin")
@example(parse_instant("2011-11-30T22:00:00Z"), 1, "Pacific/Apia")
def test_months_as_a_search_finds_them(at: int, months: int, zone: str) -> None:
    assert add_months(at, months, ZoneInfo(zone)) == searched(at, months, ZoneInfo(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_months_around_every_change_of_the_clocks(zone: str) -> None:
    """Every half hour of the nights when clocks change somewhere, a month on: the crowded version of the above."""
    where = ZoneInfo(zone)
    for day in ("2026-02-08", "2026-02-28", "2026-09-04", "2026-09-25", "2026-10-01"):
        start = parse_instant(day) - 12 * HOUR
        for at in range(start, start + 36 * HOUR, 2 * HOUR + 15 * MINUTE):
            assert add_months(at, 1, where) == searched(at, 1, where), format_instant(at)


def test_beyond_the_calendar_is_never() -> None:
    assert add_months(parse_instant("9999-12-01"), 1, None) == NEVER
    assert add_months(parse_instant("9999-11-30"), 1, None) == parse_instant("9999-12-30")


def test_beyond_the_calendar_of_a_zone_is_never() -> None:
    assert add_months(parse_instant("9999-12-31T23:00:00Z"), 1, ZoneInfo("Asia/Tokyo")) == NEVER


def test_an_instant_beyond_the_calendar_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        parse_instant("9999-12-31T23:59:59", ZoneInfo("America/New_York"))


@given(st.integers(0, 240), st.integers(0, 400 * DAY), st.integers(0, parse_instant("2100-01-01")))
def test_longest_is_an_upper_bound(months: int, millis: int, at: int) -> None:
    duration = Duration(months, millis)
    assert duration.after(at, ZoneInfo("Europe/Berlin")) - at <= duration.longest()
