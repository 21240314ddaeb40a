"""One contact over all its segments: in which it is and why, and what will change next if nothing happens.

Asked of the real core, as explanations are: a copy of the state is taken through its deadlines by a partition in
memory. The work is bounded and done in slices; what was not looked at is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.conditions.contact import SEQUENCE, SINCE, UNTIL, Contact
from engine.conditions.instants import NEVER
from engine.membership.explain import Answers
from engine.membership.explanation import Cause, Explanation, Instant, Next, Node
from engine.membership.memory import MemoryContacts
from engine.membership.moment import Known, Slices, copied, moment_of
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import WorkspacePlan
from engine.membership.planned import PlannedSegment
from engine.membership.telling import cause_words, fact_words

EXPLAINED_MAX: Final = 100
"""Segments whose reason is told, each some milliseconds; of those beyond only since when."""
CHANGES_MAX: Final = 20
"""Changes to come that are told, of each segment its first."""
STEPS_MAX: Final = 2_000
"""Deadlines looked at for them: three years of a condition that comes and goes every day, a tenth of a second."""
STEPS_SLICE: Final = 50
"""Deadlines between two turns: some milliseconds."""
LEAVES_MAX: Final = 5
"""Conditions that a reason names."""
WORDS_MAX: Final = 300
"""Characters of one of them."""


class Membership(msgspec.Struct, frozen=True):
    """One segment that the contact is in: since when, by what and why; without a new fact it does not change before
    `not_before` (None: never), and changes at `next`. `why` None: not looked at."""

    segment: str
    name: str
    version: int
    since: Instant
    sequence: int
    why: str | None = None
    cause: Cause | None = None
    not_before: Instant | None = None
    next: Next | None = None


class Change(msgspec.Struct, frozen=True):
    """What happens to one segment's membership at an instant to come if nothing else does."""

    segment: str
    name: str
    change: str
    at: Instant


class Outlook(msgspec.Struct, frozen=True):
    """The contact at the instant `at`: its segments by id, and the first change of each segment to come, in order.

    Changes are told up to `until`, None: there are no more. While `filling`, the contact has not been judged by the
    definitions in force yet: its segments are those last published, and nothing is said of why and of changes.
    """

    at: Instant
    filling: bool
    segments: list[Membership]
    changes: list[Change]
    until: Instant | None


def looking_out(known: Known, state: Contact, why: bool = True) -> Slices[Outlook]:
    """The outlook of a contact with this state, in slices of some ten milliseconds; without reasons and changes where
    `why` is false."""
    now = max(known.clock, state.as_of)
    workspace = known.plan.workspace(known.workspace)
    filling = state.plan != known.plan.fingerprint
    if filling or not why:
        segments = [_published(each, state) for each in _inside(workspace, state)]
        return Outlook(Instant(now), filling, segments, [], Instant(now))
    moment = yield from moment_of(known, state, now)
    answers = Answers(moment)
    found: list[Membership] = []
    for number, planned in enumerate(_inside(moment.workspace, moment.contact)):
        if number < EXPLAINED_MAX:
            explanation = yield from answers.explain(planned, 0)
            found.append(_explained(planned, moment.contact, explanation))
        else:
            found.append(_published(planned, moment.contact))
        yield
    changes, until = yield from _changes(known, moment.contact, now)
    return Outlook(Instant(now), False, found, changes, until)


def _inside(workspace: WorkspacePlan, contact: Contact) -> list[PlannedSegment]:
    """The segments that the contact is in, by id."""
    found = (workspace.by_key[key] for key in contact.members if key in workspace.by_key and contact.is_member(key))
    return sorted(found, key=lambda each: each.id)


def _published(planned: PlannedSegment, contact: Contact) -> Membership:
    entry = contact.members[planned.key]
    return Membership(planned.id, planned.document.name, planned.version, Instant(entry[SINCE]), entry[SEQUENCE])


def _explained(planned: PlannedSegment, contact: Contact, explanation: Explanation) -> Membership:
    entry = contact.members[planned.key]
    return Membership(
        segment=planned.id,
        name=planned.document.name,
        version=planned.version,
        since=Instant(entry[SINCE]),
        sequence=entry[SEQUENCE],
        why=reason(explanation),
        cause=explanation.cause,
        not_before=Instant(entry[UNTIL]) if entry[UNTIL] < NEVER else None,
        next=explanation.next,
    )


def _changes(known: Known, contact: Contact, now: int) -> Slices[tuple[list[Change], Instant | None]]:
    """The first change of each segment to come, and up to when there are no others."""
    key, contacts = store_key(known.workspace, known.contact), MemoryContacts()
    ahead = copied(contact)
    contacts.put(key, ahead)
    partition = Partition(
        known.plan, contacts, clock=now, grace=0, dedup=known.dedup, journal_retention=known.journal_retention
    )
    partition.arm(key, ahead.deadline)
    found: dict[tuple[str, str], Change] = {}
    names = {each.id: each.document.name for each in known.plan.workspace(known.workspace).segments}
    for step in range(STEPS_MAX):
        due = partition.next_deadline()
        if due >= NEVER:
            return list(found.values()), None
        partition.pass_time(due + 1, 1)
        for each in partition.drain().transitions:
            change = Change(each.segment, names.get(each.segment, ""), each.change, Instant(each.at))
            found.setdefault((each.workspace, each.segment), change)
        if len(found) >= CHANGES_MAX:
            break
        if step % STEPS_SLICE == STEPS_SLICE - 1:
            yield
    return list(found.values())[:CHANGES_MAX], Instant(due)


# --- reasons


def reason(explanation: Explanation) -> str:
    """Why the contact is in, in one line: the conditions that make it so with the newest fact of each, and what the
    enter came from."""
    if explanation.decided.by == "rule" and explanation.rule is not None:
        leaves = list(_holding(explanation.rule))
        said = "; ".join(_leaf_words(each) for each in leaves[:LEAVES_MAX])
        if len(leaves) > LEAVES_MAX:
            said += f"; and {len(leaves) - LEAVES_MAX} more"
    else:
        said = explanation.decided.words
    return said if explanation.cause is None else f"{said}; entered {cause_words(explanation.cause)}"


def _holding(node: Node) -> Iterator[Node]:
    """The leaves that make this condition's truth."""
    if not node.children:
        yield node
        return
    word, truth = node.condition, node.truth
    every = {"all": truth, "any": not truth, "none": truth}.get(word, True)
    wanted = word != "all"  # one true part decides any and none, one false part all
    for child in node.children:
        if every or child.truth is wanted:
            yield from _holding(child)


def _leaf_words(node: Node) -> str:
    words = node.words if len(node.words) <= WORDS_MAX else node.words[: WORDS_MAX - 1] + "…"
    said = words if node.truth else f"not: {words}"
    if not node.facts:
        return said
    many = f"{node.facts_all} facts, the newest " if node.facts_all > 1 else ""
    return f"{said} ({many}{fact_words(node.facts[-1])})"
