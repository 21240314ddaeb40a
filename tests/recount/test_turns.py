"""Clocks and calendars: between two instants that the recount calls turns, no answer changes; held against the very
minutes, in zones with every kind of jump."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.recount import wall
from engine.recount.facts import Fact
from engine.recount.instants import DAY_MS, instant, text_of
from engine.recount.past import Past
from engine.recount.rules import make_leaf

HALF_HOUR, QUARTER = 1_800_000, 900_000
# Half an hour forward and back; jumps at midnight, after which the day has no 00:00, or comes to its evening twice; a
# day that there never was; an offset with three quarters of an hour; none at all.
ZONES = {
    "Australia/Lord_Howe": "2026-04-01",
    "Africa/Cairo": "2026-04-20",
    "America/Santiago": "2026-04-01",
    "Pacific/Apia": "2011-12-26",
    "Asia/Kathmandu": "2026-02-25",
    "Europe/Berlin": "2026-10-20",
    "UTC": "2024-02-25",
}
clocks = st.integers(0, 47).map(lambda half: f"{half // 2:02d}:{half % 2 * 30:02d}")
days = st.sampled_from([None, ["mon"], ["sat", "sun"], ["tue", "fri"]])
local_times = (
    st.tuples(clocks, clocks, days)
    .filter(lambda drawn: drawn[0] != drawn[1])
    .map(lambda drawn: ("local_time", {"from": drawn[0], "to": drawn[1], "days": drawn[2]}))
)
short = st.sampled_from(["PT30M", "PT24H", "P1D", "P2D", "P1M", "P1M1D", "P1Y"])
date_tests = st.one_of(
    st.builds(
        lambda unit, offset: {"calendar": {"unit": unit, "offset": offset}},
        st.sampled_from(["day", "week", "month", "quarter", "year"]),
        st.integers(-2, 2),
    ),
    st.builds(lambda word, length: {"anniversary": {word: length}}, st.sampled_from(["within", "before"]), short),
    st.builds(lambda length: {"within": length}, short),
    st.just({"within": ["P1D", "P1M"]}),
    st.builds(lambda length: {"ago": length}, short),
).map(lambda test: ("profile", {"d": test}))


def past_of(at: int, **attributes: Any) -> Past:
    """A contact of which one update is known."""
    past = Past()
    past.take(Fact(1, "1", "contact_updated", "c-1", "default", at, None, attributes))
    return past


@settings(max_examples=int(os.environ.get("EXAMPLES", "80")), deadline=None)
@given(st.sampled_from(sorted(ZONES)), local_times | date_tests, st.integers(-40 * 48, 8 * 48), st.integers(0, 6))
def test_nothing_changes_between_turns(zone: str, condition: tuple[str, Any], halves: int, years: int) -> None:
    start = instant(ZONES[zone])
    date = wall.shown(start + halves * HALF_HOUR, zone).replace(tzinfo=None)
    past = past_of(start - DAY_MS, d=date.replace(year=date.year - years, day=min(date.day, 28)).isoformat())
    leaf = make_leaf(*condition, zone)
    end = start + 8 * DAY_MS
    every = leaf.every_instant(past, start, end)
    turn, before = leaf.next_turn(past, start), leaf.verdict(past, [], start)
    for t in range(start, end, QUARTER):
        assert leaf.verdict(past, [], t) == leaf.verdict(past, [], t + QUARTER - 1), text_of(t)
        answer = leaf.verdict(past, [], t)
        if answer != before:
            assert t in every, text_of(t)
            assert turn == t, text_of(t)
        if turn <= t:
            assert turn == t, text_of(turn)
            turn = leaf.next_turn(past, t)
        before = answer


@pytest.mark.parametrize(
    ("zone", "at", "shows"),
    [
        ("Europe/Berlin", "2026-03-29T00:59:59.999Z", 119),
        ("Europe/Berlin", "2026-03-29T01:00:00Z", 180),
        ("Europe/Berlin", "2026-10-25T00:59:59.999Z", 179),
        ("Europe/Berlin", "2026-10-25T01:00:00Z", 120),
        ("Asia/Kathmandu", "2026-01-01T18:15:00Z", 0),
    ],
)
def test_what_the_clock_shows(zone: str, at: str, shows: int) -> None:
    assert wall.minute_of_day(instant(at), zone) == shows


def test_a_clock_jumps_where_its_zone_says() -> None:
    year = instant("2026-01-01"), instant("2027-01-01")
    jumps = {zone: [text_of(at)[:16] for at in wall.jumps(zone, *year)] for zone in ("Africa/Cairo", "Asia/Kathmandu")}
    assert jumps == {"Africa/Cairo": ["2026-04-23T22:00", "2026-10-29T21:00"], "Asia/Kathmandu": []}
