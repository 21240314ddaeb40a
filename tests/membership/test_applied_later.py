"""A definition that comes after its facts has the members that it would have had from the start, whenever the journal
holds the facts: conditions of every kind, and windows, tests and thresholds that change while facts come.

More of the same: APPLIED_LATER=5000 in the environment, so many of each; a failure names its number.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from engine.conditions.instants import DAY
from engine.definitions import Segment, check, read_segment
from engine.membership.replay import Replay
from tests.membership import random_conditions, random_edits, random_facts
from tests.membership.agreement import MODELS_READ
from tests.membership.choices import Choices, Seeded, between
from tests.membership.random_conditions import KINDS
from tests.membership.random_facts import CONTACTS, types_for

SCENES = int(os.environ.get("APPLIED_LATER", "0"))
OF_KIND, OF_EDITS = SCENES or 30, SCENES or 150
FACTS = 40


def facts_of(choices: Choices, rules: object) -> list[bytes]:
    in_order = bool(choices.below(2))
    return random_facts.lines(choices, in_order, CONTACTS, FACTS, types_for(rules), erasing=not choices.below(4))


def agree(first: Replay, later: Replay, names: set[str], about: object) -> int:
    """Both have the same members among those that facts made known; how many there are."""
    found = 0
    contacts = first.contacts.contacts
    assert {key for key in contacts if contacts[key].facts} <= later.contacts.contacts.keys(), about
    named = {who for who in CONTACTS if any(key.endswith(who.encode()) and contacts[key].facts for key in contacts)}
    for name in names:
        assert first.members(name) & named == later.members(name) & named, (name, about)
        found += len(first.members(name) & named)
    return found


@pytest.mark.parametrize("kind", [*KINDS])
def test_of_every_kind(kind: str) -> None:
    members = 0
    for number in range(OF_KIND):
        choices = Seeded(f"applied later {kind} {number}")
        documents = random_conditions.segments(choices, 2, (kind,))
        segments: list[Segment] = [read_segment(document) for document in documents]
        check(segments, MODELS_READ)
        lines = facts_of(choices, documents)
        come = between(choices, 0, len(lines))
        first, later = Replay(segments, MODELS_READ), Replay([], MODELS_READ)
        for line in lines:
            first.take(line)
        for line in lines[:come]:
            later.take(line)
        later.change(segments)
        for line in lines[come:]:
            later.take(line)
        end = max(first.partition.clock, later.partition.clock) + between(choices, 0, 60) * DAY // 2
        first.until(end)
        later.until(end)
        members += agree(first, later, {each.segment for each in segments}, f"{kind} {number}")
    assert members >= OF_KIND // 10


def test_after_edits_while_facts_come(capsys: pytest.CaptureFixture[str]) -> None:
    kinds: Counter[str] = Counter()
    members = 0
    for number in range(OF_EDITS):
        choices = Seeded(f"edited {number}")
        there = {each["segment"]: each for each in random_conditions.segments(choices)}
        paused: set[str] = set()
        segments = [read_segment(document) for document in there.values()]
        check(segments)
        lines = facts_of(choices, list(there.values()))
        later = Replay(segments)
        for start in range(0, len(lines), 8):
            for line in lines[start : start + 8]:
                later.take(line)
            edit = random_edits.edit(choices, there, paused, number)
            later.change(edit.applied, edit.deleted, edit.paused, edit.resumed)
            kinds += Counter(apply=len(edit.applied), delete=len(edit.deleted), pause=len(edit.paused))
        later.change([], resumed=[("default", each) for each in paused])
        first = Replay([read_segment(document) for document in there.values()])
        for line in lines:
            first.take(line)
        end = max(first.partition.clock, later.partition.clock) + between(choices, 0, 60) * DAY // 2
        first.until(end)
        later.until(end)
        members += agree(first, later, {*there}, f"edited {number}")
    with capsys.disabled():
        print(f"\n{OF_EDITS} scenes of edits while facts come ({dict(kinds)}): {members} members agree")
    assert members > OF_EDITS
