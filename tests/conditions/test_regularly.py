"""`regularly`: periods counted back from now, by hand at the edges and against a naive count."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from engine.conditions import regularly as module
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, HOUR, Duration, format_instant, parse_duration, parse_instant
from engine.conditions.regularly import Regularly
from engine.conditions.zones import zone_of
from engine.definitions import DefinitionErrors, canonical, parse_segment
from tests.conditions.evidence import evidence
from tests.conditions.judged import Moment, hold_against
from tests.conditions.test_did import moments, passes
from tests.driver import Row, fact, given, line_of


def segment(options: str) -> str:
    return f"segment: s\nwhen: {{regularly: {{event: click, {options}}}}}"


def clicks(*days: int, month: int = 5) -> list[Row]:
    return [fact(f"2026-{month:02d}-{day:02d}T10:00Z", "click") for day in days]


def test_the_docstring_holds() -> None:
    assert doctest.testmod(module).failed == 0


def test_periods_go_with_the_clock() -> None:
    # 1 and 8 May: in both of the last two weeks from 8 May on, until that of 1 May is two weeks ago.
    rule = segment("period: P7D, periods: 2, at_least: 2")
    assert given(rule, clicks(1, 8)).at("2026-07-01").told() == [
        "enter s 2026-05-08T10:00:00.000Z event",
        "exit s 2026-05-15T10:00:00.000Z clock",
    ]
    assert given(rule, clicks(1, 7)).at("2026-07-01").told() == [
        "enter s 2026-05-08T10:00:00.000Z clock",
        "exit s 2026-05-14T10:00:00.000Z clock",
    ]


def test_events_of_one_week_are_one_week() -> None:
    assert given(segment("period: P7D, periods: 2, at_least: 2"), clicks(1, 1, 1)).at("2026-07-01").told() == []


def test_count_is_asked_of_each_period() -> None:
    rule = segment("count: {gte: 2}, period: P7D, periods: 3, at_least: 2")
    assert given(rule, clicks(1, 2, 8)).at("2026-07-01").told() == []
    # 1 and 2 May are one pair, 9 and 12 May another; each is apart while its first alone is in the next period.
    assert given(rule, clicks(1, 2, 9, 12)).at("2026-07-01").told() == [
        "enter s 2026-05-12T10:00:00.000Z event",
        "exit s 2026-05-15T10:00:00.000Z clock",
        "enter s 2026-05-19T10:00:00.000Z clock",
        "exit s 2026-05-22T10:00:00.000Z clock",
    ]


def test_an_empty_period_meets_a_count_that_none_meets() -> None:
    rule = segment("count: {lte: 1}, period: P7D, periods: 2, at_least: 2")
    assert given(rule, [fact("2026-05-01", "view")]).at("2026-07-01").told() == [
        "enter s 2026-05-01T00:00:00.000Z event"
    ]
    assert given(rule, clicks(1, 1)).at("2026-07-01").told() == [
        "enter s 2026-05-01T10:00:00.000Z event",
        "exit s 2026-05-01T10:00:00.000Z event",
        "enter s 2026-05-15T10:00:00.000Z clock",
    ]


def test_a_verdict_looks_ahead_as_far_as_one_event_goes_and_never_too_far() -> None:
    rule = segment("period: P1D, periods: 100, at_least: 1")
    scene = given(rule, clicks(1))
    assert scene.at().of("s")[0]["not_before"] == "2026-08-09T10:00:00.000Z"
    # Three events change their periods at three hundred instants until the last of them is out of all.
    facts = [fact(f"2026-05-01T{hour}:00Z", "click") for hour in (10, 11, 12)]
    rule = segment("count: {between: [1, 5]}, period: P1D, periods: 100, at_least: 1")
    assert given(rule, facts).at("2027-01-01").told() == [
        "enter s 2026-05-01T10:00:00.000Z event",
        "exit s 2026-08-09T12:00:00.000Z clock",
    ]


def test_months_go_by_the_calendar_from_the_event() -> None:
    # 31 January is in the first month until 28 February, in the second until 31 March.
    rule = segment("period: P1M, periods: 2, at_least: 2")
    facts = [*clicks(31, month=1), *clicks(15, month=2)]
    assert given(rule, facts).at("2026-07-01").told() == [
        "enter s 2026-02-28T10:00:00.000Z clock",
        "exit s 2026-03-15T10:00:00.000Z clock",
    ]
    facts = [*clicks(31, month=1), *clicks(28, month=2), *clicks(20, month=3)]
    assert given(rule, facts).at("2026-07-01").told() == [
        "enter s 2026-02-28T10:00:00.000Z event",
        "exit s 2026-04-20T10:00:00.000Z clock",
    ]


def test_a_late_event_and_a_refund_count_in_their_periods() -> None:
    rule = "segment: s\nwhen: {regularly: {event: purchase, period: P7D, periods: 2, at_least: 2}}"
    facts = [fact("2026-05-10", "purchase"), fact("2026-05-01", "purchase", order_id="A", amount=5)]
    refund = fact("2026-05-11", "refund", order_id="A")
    assert given(rule, facts).at("2026-07-01").told() == [
        "enter s 2026-05-10T00:00:00.000Z event",
        "exit s 2026-05-15T00:00:00.000Z clock",
    ]
    assert given(rule, [*facts, refund]).at("2026-07-01").told() == [
        "enter s 2026-05-10T00:00:00.000Z event",
        "exit s 2026-05-11T00:00:00.000Z event",
    ]


def test_many_events_are_few_instants_and_the_same_answers() -> None:
    rule = segment("period: P1D, periods: 5, at_least: 5, count: {gte: 2}")
    start = parse_instant("2026-05-01T00:00:00Z")
    facts = [fact(format_instant(start + n * HOUR // 2), "click") for n in range(600)]
    replay = given(rule, []).replay()
    told = [each for line in facts for each in replay.take(line_of(line))]
    told += replay.until(start + 60 * DAY)
    last = start + 599 * HOUR // 2
    assert [(each.change, each.at) for each in told] == [
        # From the fifth day on there are two in each; the last two are both in one period until the earlier leaves it.
        ("enter", start + 4 * DAY + HOUR // 2),
        ("exit", last - HOUR // 2 + DAY),
    ]
    [contact] = replay.contacts.contacts.values()
    [value] = contact.features.values()
    assert len(value) <= 4 * 6


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("period: P7D, periods: 4, at_least: 5", "at_least"),
        ("period: P7D, periods: 4, at_least: 0", "at_least"),
        ("period: P7D, periods: 0, at_least: 1", "periods"),
        ("period: P1D, periods: 101, at_least: 1", "periods"),
        ("period: PT0S, periods: 4, at_least: 1", "period"),
        ("period: P1M, periods: 14, at_least: 1", "periods"),
        ("period: P2Y, periods: 1, at_least: 1", "period"),
        ("period: P7D, periods: 4, at_least: 1, count: {gte: 2501}", "periods"),
        ("period: P7D, periods: 4, at_least: 1, count: {gte: 2.5}", "count"),
        ("period: P7D, periods: 4", "at_least"),
    ],
)
def test_a_mistake_is_told_with_its_place(options: str, path: str) -> None:
    with pytest.raises(DefinitionErrors) as told:
        given(segment(options), []).replay()
    [error] = told.value.errors
    assert error.path.partition("when.regularly.")[2].startswith(path), error


def test_a_thousand_events_in_ten_periods_may_be_asked_for() -> None:
    parse_segment(segment("period: P7D, periods: 10, at_least: 1, count: {gte: 1000}"))


def test_evidence_is_what_lies_in_the_periods() -> None:
    rule = "{regularly: {event: click, period: P7D, periods: 2, at_least: 1}}"
    assert evidence(rule, clicks(1, 8, 9), "2026-05-15T10:00:00Z") == ["line/2", "line/3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at_least": 3}, "clicked at least once in at least 3 of the last 4 periods of 7 days"),
        ({"at_least": 4, "count": {"eq": 0}}, "never clicked in each of the last 4 periods of 7 days"),
    ],
)
def test_it_says_what_it_means(options: dict[str, Any], words: str) -> None:
    rule = {"event": "click", "period": "P7D", "periods": 4, **options}
    assert Regularly.model_validate({"regularly": rule}).describe() == words


def test_the_canonical_form_fills_in_the_count() -> None:
    written, filled = (
        canonical(parse_segment(segment(f"period: P7D, periods: 2, at_least: 1{more}")))
        for more in ("", ", count: {gte: 1}")
    )
    assert written == filled


counts = st.sampled_from(
    [
        {"gte": 1},
        {"gte": 2},
        {"eq": 0},
        {"eq": 1},
        {"lte": 1},
        {"ne": 1},
        {"in": [0, 2]},
        {"between": [1, 2]},
        {"gt": 2},
    ]
)
rules = st.integers(1, 4).flatmap(
    lambda periods: st.fixed_dictionaries(
        {
            "event": st.sampled_from(["view", ["view", "purchase"]]),
            "where": st.sampled_from([{}, {"item": "tea"}]),
            "count": counts,
            "period": st.sampled_from(["PT1H", "P1D", "P2D", "P1M", "P1M1D"]),
            "periods": st.just(periods),
            "at_least": st.integers(1, periods),
        }
    )
)


def naive(rule: dict[str, Any], ends: Any) -> Any:
    types = {rule["event"]} if isinstance(rule["event"], str) else set(rule["event"])

    def truth(facts: Sequence[Fact], t: int) -> bool:
        matching = [
            one for one in facts
            if one.type in types and (not rule["where"] or one.properties.get("item") == "tea")
        ]  # fmt: skip
        met = 0
        for number in range(1, rule["periods"] + 1):
            inside = [one for one in matching if ends(one.at, number - 1) <= t < ends(one.at, number)]
            met += passes(rule["count"], len(inside))
        return met >= int(rule["at_least"])

    return truth


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(rules, moments, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), st.booleans())
def test_every_verdict_is_the_naive_count(rule: dict[str, Any], found: list[Moment], zone: str, sort: bool) -> None:
    if sort:
        found = sorted(found, key=lambda each: each["at"])
    own, period = zone_of(zone), parse_duration(rule["period"])

    def end(at: int, number: int) -> int:
        return Duration(period.months * number, period.millis * number).after(at, own)

    hold_against(
        {"regularly": rule}, found, naive(rule, end), lambda at: [end(at, n + 1) for n in range(rule["periods"])], zone
    )
