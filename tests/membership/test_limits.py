"""What one contact, one definition or one fact may cost: beyond it a clear refusal, never a stop."""

from __future__ import annotations

from typing import Any

import pytest

from engine.conditions.contact import Contact
from engine.conditions.instants import HOUR, format_instant, parse_instant
from engine.definitions import DefinitionErrors, parse_segment
from engine.membership.partition import CONTACT_SIZE_MAX, GROWTH_MAX
from engine.membership.replay import Replay
from engine.state.codec import encode_contact
from tests.driver import fact, given, line_of

CLICKED = "segment: clicked\nwhen: {did: {event: click}}"


def replayed(segment: str, facts: list[dict[str, Any]]) -> Replay:
    replay = Replay([parse_segment(segment)])
    for each in facts:
        replay.take(line_of(each))
    return replay


def the_contact(replay: Replay) -> Contact:
    return replay.contacts.contacts[b"\x07defaultc-1"]


def test_a_contact_that_holds_too_much_takes_no_more_but_an_opt_out_and_what_is_taken_back() -> None:
    text = "x" * 200_000
    facts = [fact("2026-01-01", "contact_updated", named=f"u-{n}", **{f"a{n}": text}) for n in range(100)]
    replay = replayed(CLICKED, facts)
    assert replay.rejected["contact_too_large"] > 40
    assert len(encode_contact(the_contact(replay))) < CONTACT_SIZE_MAX + 4 * GROWTH_MAX
    replay.take(line_of(fact("2026-01-02", "click")))
    assert replay.members("clicked") == set()
    replay.take(line_of(fact("2026-01-02", "opt_out")))
    assert the_contact(replay).consent == {"": [parse_instant("2026-01-02"), 0]}
    for number in range(100):
        replay.take(line_of({**fact("2026-01-03", "event_retracted"), "properties": {"id": f"u-{number}"}}))
    assert the_contact(replay).attributes == {}
    replay.take(line_of(fact("2026-01-04", "click")))
    assert the_contact(replay).features


@pytest.mark.parametrize(
    ("condition", "properties"),
    [
        ("aggregate: {fn: distinct, of: v, event: go, is: {gte: 1}}", {"v": "%05d" + "x" * 100_000}),
        ("missed: {after: go, expect: end, within: PT1H, match: v}", {"v": "%05d" + "x" * 100_000}),
        ("streak: {of: go, without: end, match: v, at_least: 1000}", {"v": "%05d" + "x" * 100_000}),
        ("aggregate: {fn: last, of: v, event: go, is: x}", {"v": "%05d" + "x" * 100_000}),
        ("tags: {any: t}", {"tags": "%05d" + "x" * 100_000}),
    ],
)
def test_long_texts_do_not_fill_the_state(condition: str, properties: dict[str, str]) -> None:
    facts = []
    for number in range(60):
        filled = {name: value % number for name, value in properties.items()}
        facts.append(fact("2026-01-01", "tags_added" if "tags" in filled else "go", named=f"{number}", **filled))
    assert len(encode_contact(the_contact(replayed(f"segment: s\nwhen: {{{condition}}}", facts)))) < 20_000


def test_a_payload_too_large_for_a_record_leaves_its_large_fields_out() -> None:
    segment = "segment: s\npayload: [a, b, c, city]\nwhen: {did: {event: go}}"
    profile = dict.fromkeys("abc", "x" * 200000)
    facts = [fact("2026-01-01", "contact_updated", **profile), fact("2026-01-01", "contact_updated", city="Kazan")]
    seen = given(segment, [*facts, fact("2026-01-02", "go")]).at()
    assert seen.transitions[0]["payload"] == {"a": None, "b": None, "c": None, "city": "Kazan"}


@pytest.mark.parametrize("number", ["1e30", "1e999", "12345678901234567890123456789.5", "-0.0", "1" + "0" * 400])
def test_any_number_may_be_matched(number: str) -> None:
    segment = "segment: s\nwhen: {missed: {after: go, expect: end, within: PT1H, match: m}}"
    line = '{"type":"%s","contact":"c-1","at":"2026-01-01T00:00:00Z","properties":{"m":%s}}'
    seen = given(segment, [(line % ("go", number)).encode()]).at("2026-01-02")
    assert seen.members("s") == {"c-1"}
    both = [(line % (kind, number)).encode() for kind in ("go", "end")]
    assert given(segment, both).at("2026-01-02").members("s") == set()


def test_a_regular_expression_takes_time_in_proportion() -> None:
    segment = 'segment: s\nwhen: {did: {event: go, where: {m: {matches: "^(a+)+$"}}}}'
    assert given(segment, [fact("2026-01-01", "go", m="a" * 50_000 + "!")]).at().members("s") == set()
    assert given(segment, [fact("2026-01-01", "go", m="a" * 50_000)]).at().members("s") == {"c-1"}
    with pytest.raises(DefinitionErrors, match="RE2"):
        parse_segment('segment: s\nwhen: {did: {event: go, where: {m: {matches: "(?=a)"}}}}')


def test_a_deadline_that_comes_back_is_armed_once() -> None:
    segment = "segment: s\nwhen: {any: [{did: {event: go, within: PT1H}}, {did: {event: go, within: P300D, count: 2}}]}"
    segment = segment.replace("count: 2", "count: {gte: 2}")
    replay = Replay([parse_segment(segment)])
    start = parse_instant("2026-01-01")
    for number in range(400):
        replay.take(line_of(fact(format_instant(start + number * 3 * HOUR), "go", named=str(number))))
        replay.until(start + number * 3 * HOUR + 2 * HOUR)
    assert len(replay.partition._armed) == 1


@pytest.mark.parametrize(
    ("fn", "test"), [("distinct", "{gte: 1}"), ("max", "{gte: 1}"), ("min", "{gte: 0}"), ("first", "{gte: 0}")]
)
def test_a_hot_contact_costs_about_the_same_per_fact(fn: str, test: str) -> None:
    segment = f"segment: s\nwhen: {{aggregate: {{fn: {fn}, of: v, event: go, within: P90D, is: {test}}}}}"
    start = parse_instant("2026-01-01")
    facts = [fact(format_instant(start + n * 60_000), "go", named=str(n), v=n % 977) for n in range(3_000)]
    replay = replayed(segment, facts)
    assert replay.members("s") == {"c-1"}
    assert len(encode_contact(the_contact(replay))) < 100_000


OLD_SENT = [fact(f"2024-01-0{day}", "sent", named=f"s{day}", m=f"m{day}") for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        (
            "streak: {of: sent, without: read, match: m, at_least: 3}",
            [*OLD_SENT, fact("2026-01-01", "x"), fact("2025-12-01", "read", m="other")],
        ),
        (
            "missed: {after: sent, expect: read, within: PT2H, match: m}",
            [OLD_SENT[0], fact("2026-01-01", "x", named="x"), fact("2026-01-01", "read", m="other")],
        ),
    ],
)
def test_what_is_older_than_the_journal_outlives_a_late_fact(condition: str, facts: list[dict[str, Any]]) -> None:
    assert given(f"segment: s\nwhen: {{{condition}}}", facts).at("2026-01-02").members("s") == {"c-1"}


@pytest.mark.parametrize("fn", ["last", "max"])
def test_a_purchase_after_its_refund_counts_beside_what_is_older_than_the_journal(fn: str) -> None:
    segment = f"segment: s\nwhen: {{aggregate: {{fn: {fn}, of: amount, event: purchase, is: {{gte: 100}}}}}}"
    facts = [
        fact("2024-01-01", "purchase", order_id="o", amount=10),
        fact("2026-01-01", "refund", order_id="n", amount=1),
        fact("2026-01-02", "purchase", order_id="n", amount=500),
    ]
    assert given(segment, facts).at().members("s") == {"c-1"}


def test_a_refund_of_everything_waits_for_one_purchase_only_where_there_was_none() -> None:
    segment = "segment: s\nwhen: {did: {event: purchase}}"
    bought = [fact(f"2026-01-{day:02d}", "purchase", order_id="7", amount=1, named=str(day)) for day in (1, 10)]
    refund = fact("2026-01-02", "refund", order_id="7")
    assert given(segment, [bought[0], refund, bought[1]]).at().members("s") == {"c-1"}
    assert given(segment, [refund, bought[1]]).at().members("s") == set()


def test_changes_of_one_instant_are_one_change() -> None:
    at = "2026-01-02T00:00:00Z"
    lead = {"segment": "lead", "when": {"not": {"in_segment": "buyer"}}}
    buyer = {"segment": "buyer", "when": {"did": {"event": "purchase"}}}
    changes = [{"at": at, "apply": lead}, {"at": at, "apply": buyer}]
    seen = given(CLICKED, [fact("2026-01-01", "purchase")], changes).replayed("2026-01-03")
    assert seen.told() == [f"enter buyer {at[:-1]}.000Z backfill"]


def test_what_is_in_force_already_changes_nothing() -> None:
    replay = replayed(CLICKED, [fact("2026-01-01", "click")])
    assert replay.change([parse_segment(CLICKED)]) == []
