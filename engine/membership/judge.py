"""Judging one contact at one instant: the verdicts of some segments, who is in, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.conditions.contact import CAUSE, SEQUENCE, SINCE, UNTIL, Contact
from engine.conditions.instants import NEVER
from engine.membership.planned import PlannedSegment

if TYPE_CHECKING:
    from engine.membership.plan import WorkspacePlan

Change = tuple[PlannedSegment, int, int]
"""A segment, the sequence number of its transition (odd: enter), and the instant before which membership stays."""
Outcome = tuple[list[Change], int]


def judge(
    workspace: WorkspacePlan, contact: Contact, contact_id: str, segments: Sequence[PlannedSegment], t: int
) -> Outcome:
    """Judge `segments` at `t` and note who is in, since when and until when, in `contact.members`.

    `segments` are in judging order and closed under nesting and groups (`WorkspacePlan.together`). Returns the
    changes, all
    exits before all enters, and the earliest instant at which one of these segments must be judged again.
    """
    members, consent = contact.members, contact.consent
    pins = workspace.pins.get(contact_id) if workspace.pins else None
    exits: list[Change] = []
    enters: list[Change] = []
    earliest = NEVER
    index, count = 0, len(segments)
    while index < count:
        segment = segments[index]
        index += 1
        if pins is not None or segment.group is not None:
            block = [segment]
            while segment.group is not None and index < count and segments[index].group == segment.group:
                block.append(segments[index])
                index += 1
            until = _judge_group(block, contact, pins, t, exits, enters)
        else:
            gate = segment.gate
            if gate is None or (consent is None and segment.open_unknown) or gate(consent):
                truth, until = segment.rule(contact, t)
            else:
                truth, until = False, NEVER
            entry = members.get(segment.key)
            if entry is None:
                if truth:
                    members[segment.key] = [1, t, until]
                    enters.append((segment, 1, until))
                elif until != NEVER:
                    members[segment.key] = [0, t, until]
            else:
                if (entry[SEQUENCE] & 1) != truth:
                    sequence = entry[SEQUENCE] = entry[SEQUENCE] + 1
                    entry[SINCE] = t
                    if len(entry) > CAUSE:
                        del entry[CAUSE]
                    (enters if truth else exits).append((segment, sequence, until))
                entry[UNTIL] = until
        if until < earliest:
            earliest = until
    return (exits + enters if exits else enters), earliest


def _judge_group(
    block: list[PlannedSegment],
    contact: Contact,
    pins: dict[int, bool] | None,
    t: int,
    exits: list[Change],
    enters: list[Change],
) -> int:
    """Judge the segments of one group (or one segment alone): the highest priority whose own answer is yes is in."""
    answers = [_own_answer(segment, contact, pins, t) for segment in block]
    until = min(answer[1] for answer in answers)
    yes = [segment for segment, (truth, _) in zip(block, answers, strict=True) if truth]
    winner = max(yes, key=lambda segment: segment.priority) if yes else None
    for segment in block:
        truth = segment is winner
        entry = contact.members.get(segment.key)
        if entry is None:
            if not truth and until == NEVER:
                continue
            entry = contact.members[segment.key] = [0, t, until]
        if (entry[SEQUENCE] & 1) != truth:
            entry[SEQUENCE] += 1
            entry[SINCE] = t
            if len(entry) > CAUSE:
                del entry[CAUSE]
            (enters if truth else exits).append((segment, entry[SEQUENCE], until))
        entry[UNTIL] = until
    return until


def _own_answer(segment: PlannedSegment, contact: Contact, pins: dict[int, bool] | None, t: int) -> tuple[bool, int]:
    if pins is not None and segment.rank in pins:
        return segment.pinned_answer(contact, pins[segment.rank])
    return segment.answer(contact, t)
