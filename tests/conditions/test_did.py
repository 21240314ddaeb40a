"""`did` with `first`, `of_last` and `within: [from, to]`: edges by hand, and all of it against a naive count."""

from __future__ import annotations

import doctest
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from engine.conditions import counting
from engine.conditions import did as module
from engine.conditions.did import Did
from engine.conditions.document import COUNT_MAX
from engine.conditions.fact import Fact
from engine.conditions.feature import intake_of
from engine.conditions.instants import DAY, HOUR, NEVER, Duration, parse_duration, parse_instant
from engine.conditions.periods import PeriodInstants
from engine.conditions.scope import Scope
from engine.conditions.zones import Calendar, zone_of
from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.membership.replay import Replay
from tests.conditions.evidence import evidence
from tests.conditions.judged import Moment, hold_against
from tests.driver import fact, given, line_of


def segment(options: str, more: str = "") -> str:
    return f"segment: s\n{more}\nwhen: {{did: {{{options}}}}}"


def test_the_docstrings_hold() -> None:
    assert doctest.testmod(module).failed == doctest.testmod(counting).failed == 0


# --- within: [from, to]


def test_an_event_counts_from_so_long_ago_until_so_long_ago_to_the_millisecond() -> None:
    scene = given(segment("event: purchase, within: [P2D, P7D]"), [fact("2026-05-01T10:00Z", "purchase")])
    assert scene.at("2026-06-01").told() == [
        "enter s 2026-05-03T10:00:00.000Z clock",
        "exit s 2026-05-08T10:00:00.000Z clock",
    ]


def test_none_of_them_is_a_number_too() -> None:
    scene = given(
        segment("event: purchase, within: [P2D, P7D], count: {eq: 0}"), [fact("2026-05-01T10:00Z", "purchase")]
    )
    assert scene.at("2026-06-01").told() == [
        "enter s 2026-05-01T10:00:00.000Z event",
        "exit s 2026-05-03T10:00:00.000Z clock",
        "enter s 2026-05-08T10:00:00.000Z clock",
    ]


def test_a_late_event_and_a_refund_change_what_is_still_to_come() -> None:
    rule = segment("event: purchase, within: [P2D, P7D]")
    late = [fact("2026-05-02", "click"), fact("2026-05-01", "purchase", order_id="A", amount=5)]
    assert given(rule, late).at("2026-06-01").told() == [
        "enter s 2026-05-03T00:00:00.000Z clock",
        "exit s 2026-05-08T00:00:00.000Z clock",
    ]
    refunded = [*late, fact("2026-05-04", "refund", order_id="A")]
    assert given(rule, refunded).at("2026-06-01").told() == [
        "enter s 2026-05-03T00:00:00.000Z clock",
        "exit s 2026-05-04T00:00:00.000Z event",
    ]


def test_by_the_calendar_an_earlier_event_may_count_later() -> None:
    # A month after 30 January 23:00 is 28 February 23:00; after 31 January 01:00 it is 28 February 01:00.
    facts = [fact("2026-01-30T23:00Z", "click"), fact("2026-01-31T01:00Z", "click")]
    assert given(segment("event: click, within: [P1M, P1M1D]"), facts).at("2026-06-01").told() == [
        "enter s 2026-02-28T01:00:00.000Z clock",
        "exit s 2026-03-01T23:00:00.000Z clock",
    ]
    assert given(segment("event: click, within: [P1M, P1M1D], count: {gte: 2}"), facts).at("2026-06-01").told() == [
        "enter s 2026-02-28T23:00:00.000Z clock",
        "exit s 2026-03-01T01:00:00.000Z clock",
    ]


def test_a_range_that_some_months_do_not_have_counts_nothing_there() -> None:
    # From 30 days to a month: in February there is none of it.
    rule = segment("event: click, within: [P30D, P1M]")
    assert given(rule, [fact("2026-02-10", "click")]).at("2026-06-01").told() == []
    assert given(rule, [fact("2026-03-10", "click")]).at("2026-06-01").told() == [
        "enter s 2026-04-09T00:00:00.000Z clock",
        "exit s 2026-04-10T00:00:00.000Z clock",
    ]


def held(rule: str, lines: Iterable[dict[str, Any]]) -> Any:
    replay = given(rule, []).replay()
    for line in lines:
        replay.take(line_of(line))
    [contact] = replay.contacts.contacts.values()
    [value] = contact.features.values() or [None]
    return value


def minutes(count: int) -> list[dict[str, Any]]:
    return [fact(f"2026-05-{1 + n // 1440:02d}T{n // 60 % 24:02d}:{n % 60:02d}Z", "click") for n in range(count)]


def test_many_events_in_a_range_are_few_instants() -> None:
    # Seven days of one a minute: of any three days two at most, for each that the count may ask for.
    assert len(held(segment("event: click, within: [P4D, P7D]"), minutes(10_000))) <= 2 * 7
    assert len(held(segment("event: click, within: [P4D, P7D], count: {gte: 3}"), minutes(10_000))) <= 6 * 4
    assert len(held(segment("event: click, within: [P4M, P7M]"), minutes(10_000))) <= 2 * 7


def test_late_events_keep_a_range_small_too() -> None:
    assert len(held(segment("event: click, within: [P4D, P7D]"), reversed(minutes(5_000)))) <= 2 * 7
    shuffled = sorted(minutes(5_000), key=lambda each: each["at"][::-1])
    assert len(held(segment("event: click, within: [P4D, P7D], count: {gte: 3}"), shuffled)) <= 6 * 4


def test_what_has_left_a_range_or_never_comes_into_it_is_not_held() -> None:
    days = [fact(f"2026-{month:02d}-{day:02d}", "click") for month in range(1, 13) for day in range(1, 29)]
    assert len(held(segment("event: click, within: [P2D, P7D], count: {gte: 9}"), days)) == 7
    in_february = [each for each in days if "-02-" in each["at"]]
    assert held(segment("event: click, within: [P30D, P1M]"), in_february) is None
    assert held(segment("event: click, within: [P2D, P7D]"), [fact("2026-02-01", "view"), days[0]]) is None


@pytest.mark.parametrize(
    ("within", "problem"),
    [
        ("[P7D, P2D]", "P7D is not shorter than P2D"),
        ("[P7D, P7D]", "P7D is not shorter than P7D"),
        ("[P7D]", "is not a pair of durations"),
        ("[PT0S, PT0S]", "no time at all"),
        ("[P1D, 2]", "2 is not a duration"),
        ("[PT1H, PT1H0.001S]", f"more than {COUNT_MAX}"),
    ],
)
def test_a_bad_range_is_a_mistake(within: str, problem: str) -> None:
    with pytest.raises(DefinitionErrors) as told:
        parse_segment(segment(f"event: click, within: {within}, count: {{gte: 3}}"))
    [error] = told.value.errors
    assert error.path.startswith("when.did.within")
    assert problem in str(error)


def test_a_range_longer_than_the_journal_is_refused() -> None:
    with pytest.raises(DefinitionErrors, match="longer than the journal keeps"):
        given(segment("event: click, within: [P7D, P2Y]"), []).replay()


# --- first


def test_only_the_first_event_ever_counts() -> None:
    facts = [fact("2026-05-01", "purchase"), fact("2026-06-01", "purchase")]
    assert given(segment("event: purchase, first: true, within: P7D"), facts).at("2026-07-01").told() == [
        "enter s 2026-05-01T00:00:00.000Z event",
        "exit s 2026-05-08T00:00:00.000Z clock",
    ]


def test_the_first_is_the_first_that_matches_whatever_the_bounds() -> None:
    rule = segment("event: purchase, where: {item: tea}, first: true, since: 2026-05-02, until: 2026-05-04")
    tea = [fact(f"2026-05-0{day}", "purchase", item="tea") for day in (1, 2, 3)]
    mug = fact("2026-05-01", "purchase", item="mug")
    assert given(rule, tea).at("2026-07-01").told() == []
    assert given(rule, [mug, *tea[1:]]).at("2026-07-01").told() == ["enter s 2026-05-02T00:00:00.000Z event"]


def test_a_late_event_becomes_the_first_and_a_refund_makes_the_next_one_first() -> None:
    rule = segment("event: purchase, first: true, within: P7D")
    facts = [
        fact("2026-05-10", "purchase"),
        fact("2026-05-01", "purchase", order_id="A", amount=5),
        fact("2026-05-11", "refund", order_id="A", amount=5),
    ]
    assert given(rule, facts[:2]).at("2026-05-11").told() == [
        "enter s 2026-05-10T00:00:00.000Z event",
        "exit s 2026-05-10T00:00:00.000Z event",
    ]
    assert given(rule, facts).at("2026-06-01").told()[2:] == [
        "enter s 2026-05-11T00:00:00.000Z event",
        "exit s 2026-05-17T00:00:00.000Z clock",
    ]


@pytest.mark.parametrize(
    ("count", "outside", "inside"),
    [("{eq: 0}", True, False), ("{lte: 1}", True, True), ("{gte: 2}", False, False), ("{between: [1, 5]}", False, True),
     ("{in: [0, 7]}", True, False), ("{ne: 1}", True, False)],
)  # fmt: skip
def test_the_first_is_one_or_none(count: str, outside: bool, inside: bool) -> None:
    rule = segment(f"event: purchase, first: true, within: P7D, count: {count}")
    scene = given(rule, [fact("2026-05-01", "click"), fact("2026-05-02", "purchase")])
    assert [bool(scene.at(t).members("s")) for t in ("2026-05-02", "2026-06-01")] == [inside, outside]
    assert bool(given(rule, [fact("2026-05-01", "click")]).at().members("s")) is outside


def test_first_false_is_no_first() -> None:
    documents = [parse_segment(segment(f"event: purchase{more}")) for more in ("", ", first: false")]
    assert canonical(documents[0]) == canonical(documents[1])


# --- of_last


def test_the_last_so_many_events_of_the_type_are_looked_at() -> None:
    # R59: of the last three views, at least two in tea.
    rule = segment("event: view, where: {category: tea}, of_last: 3, count: {gte: 2}")
    facts = [fact(f"2026-05-0{day}", "view", category=each) for day, each in enumerate(["tea", "mug", "tea", "mug"], 1)]
    assert given(rule, facts).at("2026-06-01").told() == [
        "enter s 2026-05-03T00:00:00.000Z event",
        "exit s 2026-05-04T00:00:00.000Z event",
    ]


def test_a_late_event_takes_its_place_among_the_last() -> None:
    rule = segment("event: view, where: {category: tea}, of_last: 2, count: {gte: 2}")
    tea = [fact(f"2026-05-0{day}", "view", category="tea") for day in (2, 4)]
    mug = {day: fact(f"2026-05-0{day}", "view", category="mug") for day in (1, 3, 4)}
    assert given(rule, [*tea, mug[1]]).at().members("s") == {"c-1"}
    assert given(rule, [*tea, mug[3]]).at().members("s") == set()
    # At one instant the one that came later is the later one.
    assert given(rule, [*tea, mug[4]]).at().members("s") == set()
    assert given(segment("event: view, where: {category: mug}, of_last: 1"), [*tea, mug[4]]).at().members("s")


def test_of_the_last_only_those_within_the_bounds_count() -> None:
    rule = segment("event: click, of_last: 2, within: P7D, since: 2026-05-02, count: {gte: 1}")
    facts = [fact("2026-05-01", "click")]
    assert given(rule, facts).at("2026-07-01").told() == []
    assert given(rule, [*facts, fact("2026-05-02", "click")]).at("2026-07-01").told() == [
        "enter s 2026-05-02T00:00:00.000Z event",
        "exit s 2026-05-09T00:00:00.000Z clock",
    ]


def test_a_refund_makes_room_for_an_earlier_purchase() -> None:
    rule = segment("event: purchase, where: {item: tea}, of_last: 1")
    facts = [
        fact("2026-05-01", "purchase", item="tea"),
        fact("2026-05-02", "purchase", item="mug", order_id="A", amount=5),
        fact("2026-05-03", "refund", order_id="A"),
    ]
    assert given(rule, facts).at().told() == [
        "enter s 2026-05-01T00:00:00.000Z event",
        "exit s 2026-05-02T00:00:00.000Z event",
        "enter s 2026-05-03T00:00:00.000Z event",
    ]


@pytest.mark.parametrize("options", ["of_last: 0", "of_last: 1001", "of_last: 2.0", "first: 1", "of_last: all"])
def test_bad_options_are_mistakes(options: str) -> None:
    with pytest.raises(DefinitionErrors):
        parse_segment(segment(f"event: click, {options}"))


def test_first_and_of_last_exclude_each_other() -> None:
    with pytest.raises(DefinitionErrors) as told:
        parse_segment("segment: s\nwhen:\n  did:\n    event: click\n    first: true\n    of_last: 3\n")
    [error] = told.value.errors
    assert (error.path, error.line) == ("when.did.of_last", 6)


# --- what the journal no longer holds


def journaled(rule: str, lines: list[dict[str, Any]]) -> list[str]:
    replay = Replay([parse_segment(rule)], journal_retention=30 * DAY)
    found = [each for line in lines for each in replay.take(line_of(line))]
    return [each.change for each in found]


def test_what_a_refund_leaves_goes_further_back_than_the_journal() -> None:
    old = fact("2026-01-01", "purchase", item="tea")
    later = [
        fact("2026-05-01", "purchase", item="mug", order_id="A", amount=5),
        fact("2026-05-02", "refund", order_id="A"),
    ]
    assert journaled(segment("event: purchase, first: true, until: 2026-02-01"), [old, *later]) == ["enter"]
    assert journaled(segment("event: purchase, where: {item: tea}, of_last: 2"), [old, *later]) == ["enter"]


# --- what it rests on, in words


def test_evidence_is_what_counts() -> None:
    facts = [fact(f"2026-05-0{day}", "view", category=each) for day, each in enumerate(["tea", "mug", "tea"], 1)]
    range_ = "{did: {event: view, within: [P1D, P2D]}}"
    assert evidence(range_, facts, "2026-05-04T00:00:00Z") == ["line/3"]
    first = "{did: {event: view, first: true, within: P1D}}"
    assert evidence(first, facts, "2026-05-04T00:00:00Z") == ["line/1"]
    last = "{did: {event: view, where: {category: tea}, of_last: 2}}"
    assert evidence(last, facts, "2026-05-04T00:00:00Z") == ["line/3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"event": "view", "within": ["P2D", "P7D"]}, "did view from 7 days to 2 days ago"),
        ({"event": "view", "first": True, "count": {"eq": 0}}, "not (did view for the first time)"),
        ({"event": "view", "first": True, "count": {"lte": 1}}, "did view for the first time at most once"),
        (
            {"event": "product_view", "where": {"category": "tea"}, "of_last": 5, "count": {"gte": 3}},
            "viewed tea at least 3 times among the last 5 product view events",
        ),
    ],
)
def test_it_says_what_it_means(options: dict[str, Any], words: str) -> None:
    assert Did.model_validate({"did": options}).describe() == words


# --- against a naive count

START = parse_instant("2026-01-28T22:00:00Z")
LENGTHS = ("PT1H", "P1D", "P2D", "P1M", "P1M1D", "P2M", "PT0.001S")
TYPES = ("view", "purchase")
counts = st.one_of(
    st.builds(lambda op, n: {op: n}, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), st.integers(0, 3)),
    st.builds(lambda low, high: {"between": [low, low + high]}, st.integers(0, 2), st.integers(0, 2)),
    st.builds(lambda ns: {"in": ns}, st.lists(st.integers(0, 3), min_size=1, max_size=2)),
)
ranges = st.builds(
    lambda pair: sorted(pair, key=lambda each: parse_duration(each).longest()),
    st.lists(st.sampled_from(LENGTHS), min_size=2, max_size=2, unique=True),
)
bounds = st.none() | st.sampled_from(["2026-01-29", "2026-01-31T00:00:00Z"])
rules = st.builds(
    lambda event, where, within, since, until, count, which: {
        "event": event, "where": where, "within": within, "since": since, "until": until, "count": count, **which,
    },
    st.sampled_from(["view", ["view", "purchase"]]), st.sampled_from([{}, {"item": "tea"}]),
    st.none() | st.sampled_from(LENGTHS) | ranges, bounds, bounds, counts,
    st.sampled_from([{}, {"first": True}, {"of_last": 1}, {"of_last": 2}, {"of_last": 3}]),
)  # fmt: skip
moments = st.lists(
    st.builds(
        lambda kind, offset, properties: {"type": kind, "at": START + offset, "properties": properties},
        st.sampled_from([*TYPES, *TYPES, "refund", "click"]),
        st.builds(lambda hours, ms: hours * HOUR + ms, st.integers(0, 80), st.sampled_from([0, 0, 0, 1])),
        st.fixed_dictionaries(
            {"item": st.sampled_from(["tea", "mug"]), "order_id": st.sampled_from(["A", "B"]), "amount": st.just(5)}
        ),
    ),
    min_size=1,
    max_size=9,
)
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def lengths(within: Any) -> list[Duration]:
    return [parse_duration(each) for each in ([within] if isinstance(within, str) else within or ())]


def naive(rule: dict[str, Any], zone: str) -> Any:
    own = zone_of(zone)
    instant = {name: parse_instant(rule[name], own) for name in ("since", "until") if rule[name] is not None}
    types = {rule["event"]} if isinstance(rule["event"], str) else set(rule["event"])

    def counts(one: Fact, t: int) -> bool:
        if not instant.get("since", 0) <= one.at < instant.get("until", NEVER):
            return False
        spans = [length.after(one.at, own) for length in lengths(rule["within"])]
        if len(spans) == 2:
            return spans[0] <= t < spans[1]
        return t < spans[0] if spans else True

    def truth(facts: Sequence[Fact], t: int) -> bool:
        known = [one for one in facts if one.at <= t and one.type in types]
        matching = [one for one in known if not rule["where"] or one.properties.get("item") == "tea"]
        if rule.get("first"):
            matching = matching[:1]
        elif "of_last" in rule:
            matching = [one for one in known[-rule["of_last"] :] if one in matching]
        return passes(rule["count"], sum(counts(one, t) for one in matching))

    return truth


def passes(test: dict[str, Any], count: int) -> bool:
    [(operator, operand)] = test.items()
    match operator:
        case "between":
            return bool(operand[0] <= count <= operand[1])
        case "in":
            return count in operand
    found: dict[str, bool] = {
        "eq": count == operand, "ne": count != operand, "gt": count > operand, "gte": count >= operand,
        "lt": count < operand, "lte": count <= operand,
    }  # fmt: skip
    return found[operator]


@QUICK
@drawn(rules, moments, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), st.booleans())
def test_every_verdict_is_the_naive_count(rule: dict[str, Any], found: list[Moment], zone: str, sort: bool) -> None:
    if sort:
        found = sorted(found, key=lambda each: each["at"])
    own = zone_of(zone)
    document = {"did": {name: value for name, value in rule.items() if value is not None}}
    hold_against(
        document, found, naive(rule, zone), lambda at: [each.after(at, own) for each in lengths(rule["within"])], zone
    )


wide = st.sampled_from([["P2D", "P5D"], ["P1D", "P8D"], ["P1M", "P2M"], ["PT0S", "P1M"], ["P3D", "P1M"]])
crowds = st.lists(st.integers(0, 200), min_size=1, max_size=60) | st.lists(st.integers(0, 73), min_size=3, max_size=9)


@QUICK
@drawn(st.integers(1, 3), crowds, wide, st.sampled_from(["UTC", "Europe/Berlin"]), st.booleans())
def test_what_is_dropped_can_not_matter(
    highest: int, hours: list[int], within: list[str], zone: str, sort: bool
) -> None:
    scope = Scope(Calendar(zone_of(zone)), {}, hash)
    intake, identity = intake_of(["view"], {}, scope.calendar)
    start, end = (scope.window(parse_duration(each)) for each in within)
    feature = PeriodInstants(intake, identity, (start, end), highest)
    value: list[int] | None = None
    ats = [START + hour * HOUR for hour in (sorted(hours) if sort else hours)]
    for at in ats:
        value = feature.add(value, Fact("c", "view", "", at=at), 0, START)
        if feature.shortest is not None:
            rows = zip(value or (), (value or ())[2 * highest :], strict=False)
            assert all(last - first > feature.shortest for first, last in rows)
    for t in {each + d for at in ats for each in (start.end(at), end.end(at)) for d in (-1, 0)}:
        counted, kept = (sum(start.end(at) <= t < end.end(at) for at in each) for each in (ats, value or ()))
        assert min(counted, highest) == min(kept, highest)
