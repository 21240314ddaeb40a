"""Definitions that change among the facts: what the recount says of it, and that the core publishes the same."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from engine.conditions.instants import DAY
from engine.definitions import canonical, check, read_segment
from engine.membership.replay import Replay
from engine.recount import Change, InForce, recount
from engine.recount.instants import instant
from tests.membership import random_conditions, random_edits, random_facts
from tests.membership.choices import Seeded, between, chance
from tests.recount.given import counted, fact, segment, told

LIVES = int(os.environ.get("EXAMPLES", "150"))
EDITS_OF_LIFE = 5
BOUGHT = {"did": {"event": "purchase", "within": "P30D"}}
CLICKED = {"did": {"event": "click"}}


def change(at: str, *segments: dict[str, Any], **more: Any) -> Change:
    """From `at` on these are in force."""
    paused = [("default", name) for name in more.pop("paused", ())]
    new = [("default", name) for name in more.pop("new", ())]
    return Change(instant(at), InForce(segments, paused=paused), new=new, **more)


def test_a_change_publishes_the_difference_as_of_its_instant() -> None:
    result = counted(
        [segment("s", BOUGHT)],
        [
            fact("2026-01-01T00:00:00Z", "purchase"),
            fact("2026-01-02T00:00:00Z", "click", "c-2"),
            change("2026-01-10T00:00:00Z", segment("s", CLICKED), segment("t", BOUGHT), new=["t"]),
        ],
        "2026-03-01T00:00:00Z",
    )
    assert told(result) == [
        "enter s 2026-01-01T00:00:00.000Z event",
        "exit s 2026-01-10T00:00:00.000Z definition",
        "enter t 2026-01-10T00:00:00.000Z backfill",
        "exit t 2026-01-31T00:00:00.000Z clock",
    ]
    assert told(result, "c-2") == ["enter s 2026-01-10T00:00:00.000Z definition"]


def test_what_fell_due_before_a_change_did_so_under_the_former_definitions() -> None:
    facts: list[dict[str, Any] | Change] = [
        fact("2026-01-01T00:00:00Z", "purchase"),
        change("2026-03-01T00:00:00Z", segment("t", CLICKED)),
    ]
    assert told(counted([segment("s", BOUGHT)], facts)) == [
        "enter s 2026-01-01T00:00:00.000Z event",
        "exit s 2026-01-31T00:00:00.000Z clock",
    ]


def test_of_a_deleted_segment_the_members_leave() -> None:
    facts: list[dict[str, Any] | Change] = [fact("2026-01-01T00:00:00Z", "purchase"), change("2026-01-02T00:00:00Z")]
    result = counted([segment("s", BOUGHT)], facts, "2026-03-01T00:00:00Z")
    assert told(result)[1:] == ["exit s 2026-01-02T00:00:00.000Z definition"]
    assert not any(result.members.values())


def test_in_a_paused_segment_members_stay_until_the_gate_takes_them_out_for_good() -> None:
    facts: list[dict[str, Any] | Change] = [
        fact("2026-01-01T00:00:00Z", "purchase"),
        fact("2026-01-01T00:00:00Z", "purchase", "c-2"),
        change("2026-01-02T00:00:00Z", segment("s", BOUGHT, mailable=True), paused=["s"]),
        fact("2026-01-03T00:00:00Z", "purchase", "c-3"),
        fact("2026-03-03T00:00:00Z", "opt_out"),
        fact("2026-03-04T00:00:00Z", "opt_in"),
        fact("2026-03-05T00:00:00Z", "purchase"),
    ]
    paused = counted([segment("s", BOUGHT, mailable=True)], facts)
    assert told(paused)[1:] == ["exit s 2026-03-03T00:00:00.000Z opt_out"]
    assert paused.members == {("default", "s"): {"c-2"}}
    resumed = counted(
        [segment("s", BOUGHT, mailable=True)],
        [*facts, change("2026-03-06T00:00:00Z", segment("s", BOUGHT, mailable=True))],
    )
    assert told(resumed)[2:] == ["enter s 2026-03-06T00:00:00.000Z definition"]
    assert told(resumed, "c-2")[1:] == ["exit s 2026-03-06T00:00:00.000Z definition"]
    assert told(resumed, "c-3") == []


def test_whom_a_change_did_not_reach_goes_on_under_those_of_before() -> None:
    facts = [fact("2026-01-01T00:00:00Z", "purchase"), fact("2026-01-01T00:00:00Z", "purchase", "c-2")]
    passed_over = change("2026-01-02T00:00:00Z", passed_over={("default", "c-2")})
    reached = change("2026-01-03T00:00:00Z", segment("t", CLICKED))
    result = counted([segment("s", BOUGHT)], [*facts, passed_over, reached], "2026-03-01T00:00:00Z")
    assert told(result)[1:] == ["exit s 2026-01-02T00:00:00.000Z definition"]
    assert told(result, "c-2")[1:] == ["exit s 2026-01-03T00:00:00.000Z definition"]


def test_each_partition_takes_a_change_up_at_its_own_clock() -> None:
    facts = [fact("2026-01-01T00:00:00Z", "purchase", f"c-{n}") for n in range(20)]
    both = InForce([segment("s", BOUGHT)])
    changes = [Change(instant(f"2026-01-0{2 + place}T00:00:00Z"), both, partition=place) for place in (0, 1)]
    result = counted([], [*facts, *changes], partitions=2)
    assert Counter(t["at"] for t in result.transitions).keys() == {each.at for each in changes}
    assert len(result.transitions) == 20


@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "late"])
def test_the_core_publishes_what_the_recount_finds_through_random_lives(in_order: bool) -> None:
    kinds: Counter[str] = Counter()
    compared = 0
    for number in range(LIVES):
        seen, alike = _hold_life(f"life {in_order} {number}", in_order)
        kinds += seen
        compared += alike
    assert compared > (LIVES if in_order else LIVES // 15)
    assert min(kinds[kind] for kind in ("event", "clock", "definition", "backfill")) > LIVES // 4, kinds


def _hold_life(seed: str, in_order: bool) -> tuple[Counter[str], int]:
    """One installation from its first definitions through edits and facts; the causes, and how many contacts were
    compared."""
    choices = Seeded(seed)
    there = {each["segment"]: each for each in random_conditions.segments(choices)}
    segments = [read_segment(document) for document in there.values()]
    check(segments)
    replay, paused = Replay(segments), set[str]()
    versions = Counter(each.key for each in segments)
    first = InForce([canonical(each) for each in segments], versions=dict(versions))
    # All contacts are known before one of them is pinned.
    known = [b'{"type":"known","contact":"%s","at":"2026-01-28T21:00:00Z"}' % each.encode() for each in "abc"]
    lines = known + random_facts.lines(choices, in_order, random_facts.CONTACTS, 60, erasing=chance(choices, 4))
    cuts = sorted(between(choices, len(known), len(lines)) for _ in range(EDITS_OF_LIFE))
    stream: list[bytes | Change] = []
    published = []
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(lines)], strict=True)):
        for line in lines[begin:end]:
            published += replay.take(line)
        stream += lines[begin:end]
        if number == EDITS_OF_LIFE:
            break
        if chance(choices, 3):
            published += replay.until(replay.partition.clock + between(choices, 0, 9) * DAY // 4)
        filled = {("default", name) for name in there}
        edit = random_edits.edit(choices, there, paused, number)
        clock = replay.partition.clock
        published += replay.change(edit.applied, edit.deleted, edit.paused, edit.resumed)
        documents = [canonical(read_segment(document)) for document in there.values()]
        stand_still = [("default", name) for name in paused]
        versions += Counter(edit.keys)
        definitions = InForce(documents, paused=stand_still, versions=dict(versions))
        stream.append(Change(clock, definitions, new=[each.key for each in edit.applied if each.key not in filled]))
    until = replay.partition.clock + between(choices, 0, 90) * DAY
    published += replay.until(until)
    result = recount([], [Change(0, first), *stream], until=until)
    unsettled = {contact for _, contact in result.unsettled}
    for name in there:
        named = replay.members(name) & set(random_facts.CONTACTS)
        assert named == result.members["default", name], f"{seed}: {name}"
    for contact in sorted(set(random_facts.CONTACTS) - unsettled):
        ours = [
            (t.segment, t.version, t.change, t.cause_kind, t.sequence, t.at) for t in published if t.contact == contact
        ]
        theirs = [
            (t["segment"], t["version"], t["change"], t["cause"], t["sequence"], t["at"])
            for t in result.transitions
            if t["contact"] == contact
        ]
        assert ours == theirs, f"{seed}: {contact}"
    return Counter(t.cause_kind for t in published), len(random_facts.CONTACTS) - len(unsettled)
