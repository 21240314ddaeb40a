"""Explanations: by example, and against replay: what is said to come next comes, and what is said of then was so."""

from __future__ import annotations

import json
import os
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.conditions.instants import DAY, format_instant, parse_instant
from engine.definitions.document import Segment
from engine.membership import moment
from engine.membership.explain import explaining
from engine.membership.explanation import Cause, Explanation, Node, Unknown, as_json, from_json
from engine.membership.moment import Known, Slices
from engine.membership.placement import store_key
from engine.membership.planned import segment_key
from engine.membership.replay import Replay
from engine.membership.telling import tell
from tests import driver
from tests.driver import Row, documents, fact, line_of
from tests.membership.agreement import MODELS_READ
from tests.membership.agreement import documents as read
from tests.membership.strategies import CONTACTS, KINDS, START, fact_lines, leaves, segment_sets

FEW = settings(
    max_examples=int(os.environ.get("EXAMPLES") or 150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
HORIZON = START + 300 * DAY
"""After every change that the strategies' windows can bring, and before the journal forgets."""
TAKES_BACK = {"refund", "event_retracted"}
SETS = segment_sets(kinds=tuple(KINDS))


def replayed(segments: str, facts: list[Row], until: str | None = None) -> Replay:
    replay = driver.given(segments, facts).replay()
    for each in facts:
        replay.take(line_of(each))
    if until is not None:
        replay.until(parse_instant(until))
    return replay


def explained(segments: str, facts: list[Row], until: str | None = None, at: str | None = None) -> Explanation:
    """Of contact c-1 in the last segment."""
    instant = None if at is None else parse_instant(at)
    return replayed(segments, facts, until).explain("c-1", documents(segments)[-1].segment, at=instant)


def leaf_nodes(node: Node | None) -> list[Node]:
    assert node is not None
    return [leaf for child in node.children for leaf in leaf_nodes(child)] or [node]


def ids(node: Node) -> list[str]:
    return [each.id for each in node.facts]


def marked(found: Explanation) -> list[str]:
    return [leaf.path for leaf in leaf_nodes(found.rule) if leaf.would_change]


TEA = """
segment: tea-again
when:
  all:
    - did: {event: purchase, where: {items.category: tea}}
    - not: {did: {event: purchase, where: {items.category: tea}, within: P3M}}
"""
BOUGHT = [
    fact("2026-01-31T12:00Z", "purchase", named="p1", items=[{"category": "tea"}]),
    fact("2026-02-01", "purchase", named="p2", items=[{"category": "mug"}]),
]


def test_out_because_of_a_recent_purchase_until_three_months_are_over() -> None:
    found = explained(TEA, BOUGHT)
    assert (found.member, found.since, found.decided.by) == (False, None, "rule")
    ever, lately = leaf_nodes(found.rule)
    assert (ever.words, ever.truth, ever.next) == ("bought tea at least once", True, type(found.next)(None))
    assert (lately.words, lately.truth, ids(lately)) == ("bought tea in the last 3 months", True, ["p1"])
    assert lately.path == "when.all[1].not"
    assert lately.next is not None
    assert lately.next.at == found.next.at == parse_instant("2026-04-30T12:00:00Z")
    assert marked(found) == ["when.all[1].not"]
    assert found.smallest == [["when.all[1].not"]]


def test_in_since_the_clock_brought_it_and_for_good() -> None:
    found = explained(TEA, BOUGHT, until="2026-06-01T00:00:00Z")
    assert (found.member, found.since) == (True, parse_instant("2026-04-30T12:00:00Z"))
    assert found.cause is not None
    assert (found.cause.kind, found.cause.event_id) == ("clock", None)
    assert found.next.at is None
    assert ids(leaf_nodes(found.rule)[1]) == []  # it rests on absence
    assert found.smallest == [["when.all[0]"], ["when.all[1].not"]]


def test_the_same_asked_of_the_future_and_of_the_past() -> None:
    early = explained(TEA, BOUGHT, at="2026-05-01T00:00:00Z")
    assert (early.member, early.basis.of) == (True, "state")
    assert early.since == parse_instant("2026-04-30T12:00:00Z")
    late = explained(TEA, [*BOUGHT, fact("2026-07-01", "click")], at="2026-03-01T00:00:00Z")
    assert (late.member, late.basis.of, late.basis.facts) == (False, "journal", 2)
    assert late.next.at == parse_instant("2026-04-30T12:00:00Z")
    assert late.cause is None


def test_at_the_very_instant_of_a_deadline_it_has_fired() -> None:
    assert not explained(TEA, BOUGHT, at="2026-04-30T11:59:59.999Z").member
    assert explained(TEA, BOUGHT, at="2026-04-30T12:00:00Z").member
    more = [*BOUGHT, fact("2026-07-01", "click")]
    assert not explained(TEA, more, at="2026-04-30T11:59:59.999Z").member
    assert explained(TEA, more, at="2026-04-30T12:00:00Z").member


def test_the_event_that_let_it_in_is_named() -> None:
    found = explained("segment: s\nwhen: {did: {event: click, count: {gte: 2}}}", [
        fact("2026-01-01", "click", named="a"), fact("2026-01-02", "click", named="b"), fact("2026-01-03", "view"),
    ])  # fmt: skip
    assert found.cause is not None
    assert (found.cause.kind, found.cause.event_id, found.cause.event_type) == ("event", "b", "click")
    assert found.cause.event_at == found.since == parse_instant("2026-01-02T00:00:00Z")


def test_what_a_definition_brought_is_told_so() -> None:
    replay = replayed("segment: other\nwhen: {did: {event: view}}", BOUGHT)
    replay.until(parse_instant("2026-03-01T00:00:00Z"))
    [later] = documents("segment: buyers\nwhen: {did: {event: purchase}}")
    replay.apply(later)
    found = replay.explain("c-1", "buyers")
    assert (found.member, found.since) == (True, parse_instant("2026-03-01T00:00:00Z"))
    assert found.cause == Cause("backfill")
    assert "when the segment was filled for the first time" in tell(found)
    then = replay.explain("c-1", "buyers", at=parse_instant("2026-02-15T00:00:00Z"))
    assert (then.member, then.since) == (True, BOUGHT and parse_instant("2026-01-31T12:00:00Z"))  # by the present one


GROUP = """
segment: cold
group: {name: maturity, priority: 1}
when: {known: {for: P1D}}
---
segment: warm
group: {name: maturity, priority: 2}
when: {did: {event: quiz_completed, within: P7D}}
---
segment: cool
group: {name: maturity, priority: 0}
when: {did: {event: click}}
"""


def test_out_because_a_higher_one_of_the_group_is_in() -> None:
    facts = [fact("2026-01-01", "click"), fact("2026-01-05", "quiz_completed")]
    found = explained(GROUP, facts)
    assert (found.member, found.decided.by, found.decided.segment) == (False, "group", "warm")
    assert "warm, of higher priority in group maturity, is in" in tell(found)
    assert (found.smallest, found.needed) == ([], ["the contact would have to leave warm"])
    cold = replayed(GROUP, facts).explain("c-1", "cold")
    assert (cold.decided.segment, cold.next.at) == ("warm", parse_instant("2026-01-12T00:00:00Z"))
    assert replayed(GROUP, facts).explain("c-1", "warm").next.at == parse_instant("2026-01-12T00:00:00Z")


def test_out_with_its_rule_not_holding_and_a_higher_one_in() -> None:
    found = replayed(GROUP, [fact("2026-01-05", "quiz_completed")]).explain("c-1", "cool")
    assert (found.decided.by, found.smallest) == ("rule", [["when"]])
    assert found.needed == ["the contact would have to leave warm"]


PINS = """
segment: mailing
mailable: {channel: email, consent: required}
include: [c-1]
exclude: [c-2]
when: {did: {event: purchase}}
"""


def test_the_strongest_decides() -> None:
    facts = [fact("2026-01-01", "purchase", who) for who in ("c-1", "c-2", "c-3")]
    shut = replayed(PINS, facts)
    assert [shut.explain(who, "mailing").decided.by for who in ("c-1", "c-2", "c-3")] == ["gate", "exclude", "gate"]
    assert shut.explain("c-3", "mailing").decided.facts == []  # nobody has said anything
    granted = [fact("2026-01-02", "consent", who, named="yes", channel="email", status="granted")
               for who in ("c-1", "c-2", "c-3")]  # fmt: skip
    free = replayed(PINS, facts + granted)
    assert [free.explain(who, "mailing").decided.by for who in ("c-1", "c-2", "c-3")] == ["include", "exclude", "rule"]
    assert free.explain("c-1", "mailing").smallest == []
    assert len(free.explain("c-2", "mailing").needed) == 1
    revoked = fact("2026-01-03", "opt_out", "c-3", named="no", channel="email")
    closed = replayed(PINS, [*facts, *granted, revoked]).explain("c-3", "mailing")
    assert [each.id for each in closed.decided.facts] == ["no"]
    assert closed.cause is not None
    assert (closed.cause.kind, closed.cause.event_id) == ("opt_out", "no")


def test_a_pinned_contact_that_no_fact_names_is_in() -> None:
    found = replayed("segment: s\ninclude: [c-1]", [fact("2026-01-01", "click", "c-9")], "2026-01-02T00:00:00Z")
    pinned = found.explain("c-1", "s")
    assert (pinned.member, pinned.decided.by, pinned.since) == (True, "include", parse_instant("2026-01-02T00:00:00Z"))
    before = found.explain("c-1", "s", at=parse_instant("2026-01-01T12:00:00Z"))
    assert (before.member, before.decided.by) == (False, "unknown")


def test_nested_segments_are_explained_with_it() -> None:
    text = TEA + "---\nsegment: mail\nwhen: {all: [{in_segment: tea-again}, {tags: {any: vip}}]}"
    found = explained(text, [*BOUGHT, fact("2026-02-02", "tags_added", named="t", tags=["vip"])])
    inner, tag = leaf_nodes(found.rule)
    assert (inner.truth, ids(tag)) == (False, ["t"])
    assert inner.next is not None
    assert inner.next.at == found.next.at == parse_instant("2026-04-30T12:00:00Z")
    assert inner.nested is not None
    assert (inner.nested.segment, inner.nested.member) == ("tea-again", False)
    assert ids(leaf_nodes(inner.nested.rule)[0]) == ["p1"]
    bare = replayed(text, BOUGHT).explain("c-1", "mail", nested=0)
    brief = leaf_nodes(bare.rule)[0].nested
    assert brief is not None
    assert (brief.member, brief.next.at, brief.rule) == (False, inner.next.at, None)


def test_by_the_contacts_own_time_zone() -> None:
    facts = [fact("2026-01-01", "contact_updated", timezone="America/New_York"), fact("2026-03-30T22:30Z", "purchase")]
    text = "segment: month\ntimezone: contact\nwhen: {did: {event: purchase, within: P1M}}"
    found = explained(text, facts)
    [leaf] = leaf_nodes(found.rule)
    assert leaf.next is not None
    assert leaf.next.at == found.next.at == parse_instant("2026-04-30T22:30:00Z")
    assert explained(text, facts[1:]).next.at == parse_instant("2026-04-30T22:30:00Z")
    moscow = fact("2026-01-02", "contact_updated", timezone="Europe/Moscow")
    assert explained(text, [facts[0], moscow, facts[1]]).next.at == parse_instant("2026-04-29T22:30:00Z")
    past = explained(text, [*facts, fact("2026-05-03", "click")], at="2026-04-30T22:29:59.999Z")
    assert (past.member, past.next.at) == (True, found.next.at)


def test_what_happens_twice_in_a_rule_changes_at_once() -> None:
    rule = "{all: [{in_list: a}, {any: [{in_list: a}, {in_list: b}]}, {not: {in_list: c}}]}"
    found = explained(f"segment: s\nwhen: {rule}", [fact("2026-01-01", "click")])
    assert found.smallest == [["when.all[0]", "when.all[1].any[0]"]]
    assert marked(found) == found.smallest[0]


def test_a_rule_that_cannot_change_says_so() -> None:
    found = explained("segment: s\nwhen: {all: [{in_list: a}, {not: {in_list: a}}]}", [fact("2026-01-01", "click")])
    assert found.smallest == []
    assert "no change of its conditions changes it" in found.needed[0]


def test_facts_that_left_the_journal_are_missed_aloud() -> None:
    old = [fact("2024-01-01", "click", named="old"), fact("2026-01-01", "click", named="new")]
    replay = replayed("segment: s\nwhen: {did: {event: click, count: {gte: 2}}}", old)
    found = replay.explain("c-1", "s")
    assert (found.member, found.basis.older, found.cause) == (True, 1, None)
    assert "1 older fact is no longer in the journal" in tell(found)
    then = replay.explain("c-1", "s", at=parse_instant("2025-01-01T00:00:00Z"))
    assert (then.member, then.decided.by) == (False, "unknown")
    assert "the journal keeps none of the facts of then" in tell(then)


def test_the_unknown_is_told_with_what_is_like_it() -> None:
    replay = replayed(TEA, BOUGHT)
    with pytest.raises(Unknown, match=r"There is no segment 'tea-agan' in workspace default\. Did you mean tea-again"):
        replay.explain("c-1", "tea-agan")
    with pytest.raises(Unknown, match=r"No fact names the contact 'c1' in workspace default\. Did you mean c-1"):
        replay.explain("c1", "tea-again")


def test_what_comes_and_goes_every_day_is_followed_for_years_and_not_for_ever() -> None:
    text = "segment: s\nwhen: {all: [{local_time: {from: '09:00', to: '10:00'}}, {in_list: a}]}"
    replay = replayed(text, [fact("2026-01-01", "list_added", list="a")])
    assert replay.explain("c-1", "s", at=parse_instant("2032-05-01T09:30:00Z")).member
    with pytest.raises(Unknown, match=r"2399-05-01T09:30:00.000Z is too far ahead"):
        replay.explain("c-1", "s", at=parse_instant("2399-05-01T09:30:00Z"))
    nine, eleven = "{from: '09:00', to: '10:00'}", "{from: '11:00', to: '12:00'}"
    never = f"segment: s\nwhen: {{all: [{{local_time: {nine}}}, {{local_time: {eleven}}}]}}"
    found = explained(never, [fact("2026-01-01", "click")])
    assert (found.member, found.next.exact) == (False, False)
    assert found.next.at is not None
    assert found.next.at > START + 1_000 * DAY
    assert all(leaf.next is not None and leaf.next.exact for leaf in leaf_nodes(found.rule))
    assert "this does not change before 20" in tell(found)


def test_many_facts_are_told_by_number() -> None:
    facts = [fact(f"2026-01-01T10:{minute:02d}Z", "click", named=f"c{minute}") for minute in range(50)]
    [leaf] = leaf_nodes(explained("segment: s\nwhen: {did: {event: click}}", facts).rule)
    assert (leaf.facts_all, len(leaf.facts), leaf.facts[-1].id) == (50, 20, "c49")


def test_late_facts_are_taken_anew_with_turns_between_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "segment: keen\nwhen: {sequence: {steps: [{event: view}, {event: cart}], within: P9D}}"
    views = [fact(format_instant(START + at), "view") for at in range(1_000)]
    late = [fact(format_instant(START + at), "view") for at in range(40)]  # each has those before it read again
    replay, key = (
        replayed(text, [*views, fact(format_instant(START + 2_000), "cart"), *late]),
        store_key("default", "c-1"),
    )
    history, clock = replay.contacts.journal(key), replay.partition.clock
    known = Known(replay.partition.plan, *("default", "c-1"), replay.contacts.get(key), history, clock, DAY, 400 * DAY)
    turns, cause = _turns(explaining(known, "keen"))
    assert turns > 20
    assert cause is not None
    assert cause.event_type == "cart"
    monkeypatch.setattr(moment, "FOLDED_MAX", 2_000)
    turns, cause = _turns(explaining(known, "keen"))
    assert turns < 15
    assert cause is None  # to find it would take too long


def _turns(work: Slices[Explanation]) -> tuple[int, Cause | None]:
    turns = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Explanation = end.value
            return turns, found.cause
        turns += 1


def test_the_json_reads_back() -> None:
    found = explained(TEA + "---\nsegment: mail\nwhen: {in_segment: tea-again}", BOUGHT)
    document = as_json(found)
    assert document["next"]["at"] == "2026-04-30T12:00:00.000Z"
    assert from_json(document) == found


# --- against replay


def contact_of(line: bytes) -> str:
    found: str = json.loads(line)["contact"]
    return found


def at_of(line: bytes) -> int:
    """The instant of a fact, which is not after its arrival."""
    event = json.loads(line)
    return min(parse_instant(event["at"]), parse_instant(event.get("arrives", event["at"])))


def without_arrival(line: bytes) -> bytes:
    return line_of({name: value for name, value in json.loads(line).items() if name != "arrives"})


def core(segments: list[Segment]) -> Replay:
    return Replay(segments, MODELS_READ)


@FEW
@given(SETS, fact_lines(in_order=True), st.integers(1, 14))
def test_what_is_said_to_come_next_comes(found: list[dict[str, Any]], lines: list[bytes], count: int) -> None:
    segments = read(found)
    replay = core(segments)
    for line in lines[:count]:
        replay.take(line)
    contact = contact_of(lines[:count][-1])
    answers = {segment.segment: replay.explain(contact, segment.segment) for segment in segments}
    # What is due at the clock itself has fired in the answer and is still to come in the replay.
    replay.until(answers["s0"].at + 1)
    inside = {name: contact in replay.members(name) for name in answers}
    assert inside == {name: answer.member for name, answer in answers.items()}
    came: dict[str, int] = {}
    for each in replay.until(HORIZON):
        if each.contact == contact:
            came.setdefault(each.segment, each.at)
    for document in found:
        answer = answers[document["segment"]]
        if answer.next.exact:
            assert answer.next.at == came.get(answer.segment) or (answer.next.at or 0) >= HORIZON
        else:  # what comes and goes by the clock of the day, and never lets anybody in
            assert answer.next.at is not None
            assert answer.next.at > HORIZON
            assert answer.segment not in came
        for leaf in leaf_nodes(answer.rule):
            assert leaf.next is not None
            assert leaf.until is None or leaf.next.at is None or leaf.until <= leaf.next.at
        assert answer.rule is not None
        alone = not answer.rule.children and "group" not in document and answer.decided.by == "rule"
        if alone and answer.next.exact:
            assert answer.rule.next == answer.next


@FEW
@given(SETS, fact_lines(in_order=True), st.data())
def test_what_is_said_of_then_was_so(found: list[dict[str, Any]], lines: list[bytes], data: st.DataObject) -> None:
    segments = read([{name: value for name, value in each.items() if name != "include"} for each in found])
    lines = [without_arrival(line) for line in lines]
    later, then = core(segments), core(segments)
    contact = contact_of(lines[0])
    changes = [each for line in lines for each in later.take(line)] + later.until(HORIZON)
    by_itself = {each.at for each in changes if each.contact == contact and each.cause_kind == "clock"}
    instants = sorted(by_itself or {each.at for each in changes} | set(map(at_of, lines)))
    t = data.draw(st.sampled_from(instants)) + data.draw(st.sampled_from([-1, 0, 0, 1]))
    past = [each for line in lines if at_of(line) <= t for each in then.take(line)]
    since = {each.segment: each.at for each in (*past, *then.until(t + 1)) if each.contact == contact}
    for segment in segments:
        answer = later.explain(contact, segment.segment, at=t)
        assert answer.member == (contact in then.members(segment.segment))
        assert answer.since == since.get(segment.segment)
        assert (answer.decided.by == "unknown") == (at_of(lines[0]) > t)


@FEW
@given(SETS, fact_lines(in_order=False))
def test_what_came_late_counts_by_its_own_instant(found: list[dict[str, Any]], lines: list[bytes]) -> None:
    segments = read(found)
    replay = core(segments)
    for line in lines:
        replay.take(line)
    contact = contact_of(lines[-1])
    state = replay.contacts.contacts[store_key("default", contact)]
    for segment in segments:
        answer = replay.explain(contact, segment.segment, at=state.as_of - 1)
        assert answer.basis.of == "journal"
        if answer.rule is not None and answer.decided.by == "rule":
            assert answer.rule.truth is answer.member
        if state.as_of >= replay.partition.clock:
            now = replay.explain(contact, segment.segment)
            assert now.member == state.is_member(segment_key("default", segment.segment))


@FEW
@given(segment_sets(1, tuple(KINDS)), fact_lines(in_order=False), st.data())
def test_the_smallest_sets_change_the_answer_and_no_smaller_do(
    found: list[dict[str, Any]], lines: list[bytes], data: st.DataObject
) -> None:
    [segment] = read([{**found[0], "mailable": False}])
    replay = core([segment])
    for line in lines:
        replay.take(line)
    contact = data.draw(st.sampled_from([each for each in CONTACTS if each in map(contact_of, lines)]))
    answer = replay.explain(contact, segment.segment)
    assume(answer.decided.by == "rule")
    assert answer.rule is not None
    names = {leaf.path: leaf.words for leaf in leaf_nodes(answer.rule)}
    for each in answer.smallest:
        assert truth(answer.rule, {names[path] for path in each}) is not answer.rule.truth
    smallest = min((len({names[path] for path in each}) for each in answer.smallest), default=len(names) + 1)
    for size in range(smallest):
        for some in combinations(sorted(set(names.values())), size):
            assert truth(answer.rule, set(some)) is answer.rule.truth
    assert marked(answer) == (answer.smallest[0] if answer.smallest else [])


def truth(node: Node, changed: set[str]) -> bool:
    """The truth of a tree once the leaves with these words have changed."""
    if not node.children:
        return node.truth is not (node.words in changed)
    truths = [truth(child, changed) for child in node.children]
    return {"all": all(truths), "any": any(truths)}.get(node.condition, not any(truths))


@FEW
@given(leaves, fact_lines(in_order=True), st.integers(0, 70))
def test_the_facts_that_a_leaf_rests_on_are_enough_for_its_truth(
    leaf: dict[str, Any], lines: list[bytes], days: int
) -> None:
    [segment] = read([{"segment": "s", "mailable": False, "when": leaf}])
    alone = [without_arrival(line).replace(b'"contact": "b"', b'"contact": "a"') for line in lines]
    alone = [line for line in alone if contact_of(line) == "a" and not TAKES_BACK & {json.loads(line)["type"]}]
    assume(alone)
    replay = core([segment])
    for line in alone:
        replay.take(line)
    t = max(replay.partition.clock, replay.contacts.contacts[store_key("default", "a")].as_of) + days * DAY
    [whole] = leaf_nodes(replay.explain("a", "s", at=t).rule)
    rested = {each.id for each in whole.facts}
    again = core([segment])
    first = {"id": "first", "type": "noise", "contact": "a", "at": format_instant(min(map(at_of, alone)))}
    for line in (line_of(first), *(line for line in alone if json.loads(line)["id"] in rested)):
        again.take(line)
    [part] = leaf_nodes(again.explain("a", "s", at=t).rule)
    assert part.truth is whole.truth
