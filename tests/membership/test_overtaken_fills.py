"""Changes that come before every contact is under the change before: cheap, and the same as if all were judged anew."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definitions import Definition, Segment, parse_segment, read_segment
from engine.membership import step
from engine.membership.judge import judge
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.plan import Plan, compile_plan
from engine.membership.replay import DEDUP, GRACE, JOURNAL_RETENTION, SKEW, read_line
from engine.membership.transitions import Transition
from tests.driver import documents, fact, line_of, rows
from tests.membership import random_conditions, random_edits
from tests.membership.choices import Seeded
from tests.membership.test_applied_later import facts_of

SCENES = 60
THREE = "\n---\n".join(f"segment: s{n}\nwhen: {{did: {{event: purchase, within: P{n}0D}}}}" for n in (1, 2, 3))


class Slow:
    """One partition in memory whose fills are cut off by the next change."""

    def __init__(self, plan: Plan, forgetful: bool) -> None:
        """`forgetful`: contacts that are neither under the plan nor under the last filled one are judged wholly."""
        self.contacts = MemoryContacts()
        self.partition = Partition(
            plan, self.contacts, grace=GRACE, dedup=DEDUP, journal_retention=JOURNAL_RETENTION
        )  # fmt: skip
        self.found: list[Transition] = []
        self._forgetful = forgetful

    def take(self, line: bytes, number: int) -> None:
        each = read_line(line, number, skew=SKEW, max_event_bytes=1 << 20)
        self.partition.take((each,))  # type: ignore[arg-type]
        self.pass_time(None)

    def pass_time(self, to: int | None) -> None:
        while not self.partition.pass_time(to, 100):
            pass
        self._commit()

    def change(self, plan: Plan, part: slice) -> None:
        """Takes a plan up and fills some of the contacts."""
        self.partition.change_plan(plan)
        if self._forgetful:
            self.partition._lately.clear()
        self.partition.fill(sorted(self.contacts.contacts)[part])
        self._commit()

    def end(self, to: int) -> None:
        self.partition.fill(sorted(self.contacts.contacts))
        self.partition.fill_ended()
        self._commit()
        self.pass_time(to)

    def _commit(self) -> None:
        batch = self.partition.drain()
        self.contacts.commit(batch)
        self.found += batch.transitions


def test_a_contact_of_the_change_before_is_judged_for_the_difference_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(compile_plan([(each, 1) for each in documents(THREE)]), False)
    for number, who in enumerate("ab"):
        slow.take(line_of(fact("2026-01-01", "purchase", who)), number)
    judged: list[str] = []

    def noted(workspace: Any, contact: Any, name: str, segments: Any, t: int) -> Any:
        judged.extend(f"{name} {each.id}" for each in segments)
        return judge(workspace, contact, name, segments, t)

    monkeypatch.setattr(step, "judge", noted)
    slow.change(compile_plan([(each, 2) for each in documents(THREE.replace("P10D", "P15D"))]), slice(1))
    assert judged == ["a s1"]
    judged.clear()
    slow.change(
        compile_plan([(each, 3) for each in documents(THREE.replace("P10D", "P15D").replace("P20D", "P25D"))]), slice(2)
    )
    assert judged == ["a s2", "b s1", "b s2"]


def _plan(there: dict[str, Any], gone: dict[str, Segment], paused: set[str], version: int) -> Plan:
    segments = [(read_segment(document), version) for document in there.values()]
    retired = [("default", name, version) for name in gone if name not in there]
    return compile_plan(segments, retired, paused=[("default", each) for each in paused])


def test_overtaken_fills_publish_what_judging_all_anew_does() -> None:
    moved = 0
    for number in range(SCENES):
        choices = Seeded(f"overtaken {number}")
        there = {each["segment"]: each for each in random_conditions.segments(choices)}
        ever: dict[str, Any] = dict(there)
        paused: set[str] = set()
        lines = facts_of(choices, list(there.values()))
        first = _plan(there, ever, paused, 1)
        both = [Slow(first, forgetful) for forgetful in (False, True)]
        for start in range(0, len(lines), 5):
            for place, line in enumerate(lines[start : start + 5], start):
                for each in both:
                    each.take(line, place)
            random_edits.edit(choices, there, paused, number)
            ever |= there
            plan = _plan(there, ever, paused, start + 2)
            part = slice(start % 3, None, 1 + start % 2)
            for each in both:
                each.change(plan, part)
        to = both[0].partition.clock + 40 * 86_400_000
        for each in both:
            each.end(to)
        assert rows(both[0].found) == rows(both[1].found), number
        moved += len(both[0].found)
    assert moved > 10 * SCENES


def test_pins_are_placed_some_at_a_time() -> None:
    named = ", ".join(f"p{n}" for n in range(10))
    segment: Definition = parse_segment(f"segment: vips\ninclude: [{named}]")
    assert isinstance(segment, Segment)
    slow = Slow(compile_plan([(segment, 1)]), False)
    partition = slow.partition
    assert partition.place_pins(4)  # no clock yet: nobody is known as of it
    partition.pass_time(1_700_000_000_000, 0)
    assert not partition.place_pins(4)
    assert len(partition.batch.transitions) == 4
    assert not partition.place_pins(4)
    assert partition.place_pins(4)
    assert partition.place_pins(4)
    assert sorted(t.contact for t in partition.drain().transitions) == [f"p{n}" for n in range(10)]
