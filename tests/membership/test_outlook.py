"""One contact over all its segments: why it is in, until when, and what changes next if nothing happens."""

from __future__ import annotations

from typing import Any

from engine.conditions.instants import format_instant, parse_instant
from engine.membership import outlook as looked
from engine.membership.moment import Known, done
from engine.membership.outlook import Outlook, looking_out
from engine.membership.placement import store_key
from engine.membership.replay import Replay
from tests.driver import definitions, fact, given, line_of

TEA = """
segment: buyers
name: Bought lately
when: {did: {event: purchase, within: P30D}}
---
segment: tea-again
name: Tea, three months on
when:
  all:
    - did: {event: purchase, where: {items.category: tea}}
    - not: {did: {event: purchase, where: {items.category: tea}, within: P3M}}
---
segment: picked
include: [c-1]
---
segment: vip
when: {any: [{tags: {any: vip}}, {aggregate: {fn: sum, of: amount, event: purchase, is: {gte: 1000}}}]}
---
segment: letter
when: {all: [{in_segment: buyers}, {none: [{tags: {any: bored}}]}]}
"""
FACTS = [
    fact("2026-01-31T10:00Z", "purchase", named="p-1", amount=400, items=[{"category": "tea"}]),
    fact("2026-01-31T10:00Z", "purchase", named="p-2", amount=700),
]


def look(segments: str, facts: list[dict[str, Any]], until: str = "", why: bool = True) -> tuple[Replay, Outlook]:
    replay = given(segments, facts).replay()
    for each in facts:
        replay.take(line_of(each))
    if until:
        replay.until(parse_instant(until))
    return replay, outlook_of(replay, why)


def outlook_of(replay: Replay, why: bool = True) -> Outlook:
    key, partition = store_key("default", "c-1"), replay.partition
    state = replay.contacts.get(key)
    assert state is not None
    known = Known(
        plan=partition.plan, workspace="default", contact="c-1", state=state, history=replay.contacts.journal(key),
        clock=partition.clock, dedup=1, journal_retention=partition.journal_retention,
    )  # fmt: skip
    return done(looking_out(known, state, why))


def at(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)


def test_why_the_contact_is_in_each_of_its_segments() -> None:
    _, found = look(TEA, FACTS)
    why = {each.segment: each.why for each in found.segments}
    p1, p2 = ("purchase p-1 of 2026-01-31T10:00:00.000Z", "purchase p-2 of 2026-01-31T10:00:00.000Z")
    assert why == {
        "buyers": f"bought something in the last 30 days (2 facts, the newest {p2}); entered by {p1}",
        "letter": f"is in the segment buyers; not: has the tag bored; entered by {p1}",
        "picked": f"the segment includes the contact by name; entered by {p1}",
        "vip": f"the sum of amount over purchase is at least 1000 (2 facts, the newest {p2}); entered by {p2}",
    }
    about = {each.segment: (each.version, at(each.since), each.sequence) for each in found.segments}
    assert set(about.values()) == {(1, "2026-01-31T10:00:00.000Z", 1)}
    until = {each.segment: at(each.next.at) for each in found.segments if each.next is not None}
    end = "2026-03-02T10:00:00.000Z"
    assert until == {"buyers": end, "letter": end, "picked": None, "vip": None}
    assert at(found.segments[0].not_before) == end


def test_r15_r48_what_time_alone_will_bring_is_told_in_order() -> None:
    _, found = look(TEA, FACTS)
    assert [(at(each.at), each.change, each.segment, each.name) for each in found.changes] == [
        ("2026-03-02T10:00:00.000Z", "exit", "buyers", "Bought lately"),
        ("2026-03-02T10:00:00.000Z", "exit", "letter", ""),
        ("2026-04-30T10:00:00.000Z", "enter", "tea-again", "Tea, three months on"),
    ]
    assert found.until is None


def test_what_was_told_to_come_is_what_comes() -> None:
    replay, found = look(TEA, FACTS)
    came = replay.until(parse_instant("2030-01-01T00:00:00Z"))
    assert [(each.segment, each.change, each.at) for each in came] == [
        (each.segment, each.change, each.at) for each in found.changes
    ]


def test_a_condition_that_comes_and_goes_every_day_hides_no_other() -> None:
    daily = "segment: morning\nwhen: {local_time: {from: '09:00', to: '10:00'}}\n---" + TEA
    _, found = look(daily, FACTS)
    assert [each.segment for each in found.changes] == [
        "morning",
        *(each.segment for each in look(TEA, FACTS)[1].changes),
    ]
    assert (found.changes[0].change, at(found.changes[0].at)) == ("enter", "2026-02-01T09:00:00.000Z")
    assert found.until is not None  # what comes every day never ends
    assert found.until > found.changes[-1].at


def test_the_changes_that_are_told_are_bounded_and_their_end_is_said() -> None:
    many = "\n---\n".join(
        f"segment: s-{days}\nwhen: {{did: {{event: purchase, within: P{days}D}}}}" for days in range(1, 31)
    )
    _, found = look(many, FACTS)
    assert [each.segment for each in found.changes] == [f"s-{days}" for days in range(1, looked.CHANGES_MAX + 1)]
    assert at(found.until) == "2026-02-20T10:00:00.000Z"


def test_segments_beyond_the_bound_are_listed_without_a_reason() -> None:
    many = "\n---\n".join(f"segment: s-{number:03}\nwhen: {{did: {{event: purchase}}}}" for number in range(104))
    _, found = look(many, FACTS)
    assert len(found.segments) == 104
    assert [each.why is None for each in found.segments] == [False] * looked.EXPLAINED_MAX + [True] * 4


def test_a_contact_that_is_still_being_filled_is_told_as_it_was_published() -> None:
    replay, _ = look(TEA, FACTS)
    # The next definitions are taken up, and the fill has not come to this contact.
    changed = definitions(TEA.replace("within: P30D", "within: P1D"))
    other = Replay(*changed)
    replay.partition.change_plan(other.partition.plan)
    found = outlook_of(replay)
    assert found.filling
    assert "buyers" in [each.segment for each in found.segments]
    assert {each.why for each in found.segments} == {None}
    assert found.changes == []


def test_only_what_makes_it_so_is_named() -> None:
    rules = {
        "not: {all: [{tags: {any: x}}, {did: {event: purchase}}]}": "not: has the tag x",
        "not: {any: [{tags: {any: x}}, {tags: {any: y}}]}": "not: has the tag x; not: has the tag y",
        "any: [{tags: {any: x}}, {did: {event: purchase}}]": "bought something at least once (2 facts, the newest ",
        "not: {none: [{tags: {any: x}}, {did: {event: purchase}}]}": "bought something at least once (2 facts, ",
    }
    for rule, why in rules.items():
        _, found = look(f"segment: s\nwhen: {{{rule}}}", FACTS)
        said = found.segments[0].why or ""
        assert said.startswith(why), (rule, said)
        assert ("tag" in said) == ("tag" in why)


def test_a_long_rule_names_some_of_its_conditions() -> None:
    parts = ", ".join(f"{{tags: {{none: t-{number}}}}}" for number in range(9))
    _, found = look(f"segment: plain\nwhen: {{all: [{parts}]}}", FACTS)
    why = found.segments[0].why
    assert why is not None
    assert "; and 4 more; entered" in why
