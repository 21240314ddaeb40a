"""Why a contact is in a segment, or is not, and when that will change (DESIGN.md 1).

Everything is asked of the real core: the leaves' own verdicts on the contact's state, the real judge walking a copy of
it through its deadlines, and for an instant in the past a partition in memory that takes the contact's journaled facts
up to then. So a past answer is by the present definitions; what the journal has forgotten is said, never guessed.
At an instant everything that happens at it counts: facts and deadlines at it are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from engine.conditions.boolean import parts_of
from engine.conditions.channels import SPEAKING, consent_of
from engine.conditions.contact import SEQUENCE, SINCE, UNTIL, Contact
from engine.conditions.evidence import Leaf
from engine.conditions.fact import Fact
from engine.conditions.in_segment import InSegment
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Verdict
from engine.definitions.near import near_segment
from engine.membership import explanation as told
from engine.membership.batch import Batch
from engine.membership.explanation import Explanation, Instant, UnknownContact, UnknownSegment
from engine.membership.flips import Shape, smallest_sets
from engine.membership.judge import judge
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import Plan, WorkspacePlan
from engine.membership.planned import PlannedSegment, segment_key
from engine.membership.refunds import effective
from engine.membership.transitions import Transition

FACTS_SHOWN: Final = 20
"""Facts that are shown under one leaf, the newest; their number is told."""
STEPS_MAX: Final = 2_000
"""Checks in a row that may change nothing before the search for a change ends: some ten milliseconds."""
LEAF_STEPS_MAX: Final = 5_000
"""The same for all leaves of one explanation together."""
FOLDED_MAX: Final = 20_000
"""Facts that are taken anew only to find what a transition came from: a second of work or less."""
NESTED_MAX: Final = 5
"""How deep segments in segments are explained."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one contact: its state as of the partition's `clock` (ms), and its journaled facts as they were
    taken. `state` None: nothing. `dedup` and `journal_retention` are the partition's (ms). Nothing of it is changed."""

    plan: Plan
    workspace: str
    contact: str
    state: Contact | None
    history: Sequence[Fact]
    clock: int
    dedup: int
    journal_retention: int


def explain(known: Known, segment: str, at: int | None = None, nested: int = 1) -> Explanation:
    """Why the contact is in the segment or is not at `at` (ms; None: now, which is the partition's clock).

    Segments named by `in_segment` are explained too, `nested` levels deep. Raises Unknown for a contact or a segment
    that is not there.
    """
    workspace = known.plan.workspace(known.workspace)
    planned = workspace.by_key.get(segment_key(known.workspace, segment))
    if planned is None:
        names = [(name, each.id) for name, other in known.plan.workspaces.items() for each in other.segments]
        raise UnknownSegment(known.workspace, segment, near_segment(known.workspace, segment, names))
    state = known.state
    if state is None or (not state.facts and state.known_at >= NEVER):
        raise UnknownContact(known.workspace, known.contact)
    t = max(known.clock, state.as_of) if at is None else at
    then = _Then(known, state, workspace, t)
    return then.explain(then.workspace.by_key[planned.key], min(nested, NESTED_MAX))


class _Alone:
    """One contact and its journal; the `Contacts` of a partition that holds nobody else."""

    def __init__(self, key: bytes, contact: Contact | None = None, history: Sequence[Fact] = ()) -> None:
        self._key = key
        self.contact = contact
        self._history = list(history)

    def get(self, key: bytes) -> Contact | None:
        return self.contact if key == self._key else None

    def put(self, key: bytes, contact: Contact) -> None:
        self.contact = contact

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """It is here."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        return self._history

    def commit(self, batch: Batch) -> list[Transition]:
        """Adds the batch's facts to the journal."""
        self._history += batch.journal.get(self._key, ())
        return batch.transitions


class _Then:
    """The contact at an instant: its state then, the transitions that are known to have led there, and the facts."""

    def __init__(self, known: Known, state: Contact, workspace: WorkspacePlan, t: int) -> None:
        self.known, self.t = known, t
        self._steps = LEAF_STEPS_MAX
        self._explained: dict[int, Explanation] = {}
        key = store_key(known.workspace, known.contact)
        horizon = known.clock - known.journal_retention  # what is older may be gone at any time
        kept = [fact for fact in known.history if fact.at > horizon]
        taken = [fact for fact in kept if fact.at <= t]
        self.is_past = t < state.as_of
        self.transitions: list[Transition] = []
        if self.is_past or len(taken) <= FOLDED_MAX:
            self.contact, self.transitions = _folded(known, key, state, taken, t)
        if not self.is_past:
            self.contact, since = _passed_on(known, key, state, t)
            self.transitions += since
        self.workspace = workspace.for_contact(self.contact)
        self.facts = effective(taken)
        older = max(0, state.facts - len(kept))
        self.basis = told.Basis("journal" if self.is_past else "state", len(taken), older)

    def explain(self, planned: PlannedSegment, nested: int) -> Explanation:
        """The explanation for one segment."""
        contact, t = self.contact, self.t
        entry = contact.members.get(planned.key)
        member = entry is not None and entry[SEQUENCE] & 1 == 1
        since = entry[SINCE] if entry is not None and entry[SEQUENCE] else None
        decided, needed = self._decided(planned, member)
        document = planned.document
        rule = None
        smallest: list[list[str]] = []
        if document.when is not None:
            rule = self._node(planned, document.when, "when", nested)
            if rule.truth is member and decided.by not in ("include", "unknown"):
                smallest = _mark(rule, document.when)
                if not smallest:
                    needed.append("the rule itself would have to be another: no change of its conditions changes it")
        return Explanation(
            workspace=planned.workspace,
            segment=planned.id,
            name=document.name,
            version=planned.version,
            contact=self.known.contact,
            at=Instant(t),
            member=member,
            since=None if since is None else Instant(since),
            cause=None if since is None else self._cause(planned, since, member),
            decided=decided,
            rule=rule,
            smallest=smallest,
            needed=needed,
            next=self._next_change(planned),
            basis=self.basis,
        )

    def _cause(self, planned: PlannedSegment, since: int, member: bool) -> told.Cause | None:
        change = "enter" if member else "exit"
        for each in reversed(self.transitions):
            if each.segment == planned.id and each.workspace == planned.workspace:
                if (each.at, each.change) != (since, change):
                    return None
                at = None if each.cause_at is None else Instant(each.cause_at)
                return told.Cause(each.cause_kind, each.cause_id, each.cause_type, at)
        return None

    # --- what decided

    def _decided(self, planned: PlannedSegment, member: bool) -> tuple[told.Decision, list[str]]:
        """What decided, and what beside the rule would have to change for the answer to change."""
        contact = self.contact
        if contact.known_at > self.t:
            return told.Decision("unknown", "no fact names the contact by then"), ["a fact would have to name it"]
        if not contact.facts and not contact.members and self.basis.older:
            return told.Decision("unknown", "the journal keeps none of the facts of then"), []
        pinned = self._pinned(planned)
        closed = planned.gate is not None and not planned.gate(contact.consent)
        needed = ["the contact would have to be taken off exclude"] if pinned is False else []
        if closed:
            needed.append(f"the contact would have to be mailable {_channel(planned)}")
        above = None if member else self._above(planned)
        if above is not None:
            needed.append(f"the contact would have to leave {above.id}")
        if pinned is False:
            return told.Decision("exclude", "the segment excludes the contact by name"), needed
        if closed:
            said = f"the contact may not be mailed {_channel(planned)}"
            return told.Decision("gate", said, facts=[_shown(fact) for fact in self._consent_facts(planned)]), needed
        own = pinned or planned.rule(contact, self.t)[0]
        if above is not None and own:
            assert planned.group is not None
            said = f"{above.id}, of higher priority in group {planned.group}, is in"
            return told.Decision("group", said, segment=above.id), needed
        if pinned:
            needed.append("the contact would have to be taken off include, and the rule not to hold")
            return told.Decision("include", "the segment includes the contact by name"), needed
        return told.Decision("rule", "the rule holds" if own else "the rule does not hold"), needed

    def _above(self, planned: PlannedSegment) -> PlannedSegment | None:
        """The segment of a higher priority in its group that the contact is in."""
        mates = (each for each in self.workspace.segments if each.group is not None and each.group == planned.group)
        higher = (each for each in mates if each.priority > planned.priority)
        return next((each for each in higher if self.contact.is_member(each.key)), None)

    def _consent_facts(self, planned: PlannedSegment) -> list[Fact]:
        """The last facts about the channel, and about all of them."""
        mailable = planned.document.mailable
        channel = None if isinstance(mailable, bool) else mailable.channel
        last: dict[str, Fact] = {}
        for fact in self.facts:
            said = consent_of(fact) if fact.type in SPEAKING else None
            for each in said[0] if said is not None else ():
                if channel is None or each in ("", channel):
                    last[each] = fact
        found = {id(fact): fact for fact in last.values()}
        return sorted(found.values(), key=lambda fact: fact.at)[-FACTS_SHOWN:]

    # --- the rule

    def _node(self, planned: PlannedSegment, condition: Any, path: str, nested: int) -> told.Node:
        evaluate: Evaluate = condition.compile(planned.scope)
        truth, until = evaluate(self.contact, self.t)
        kind = next(iter(type(condition).model_fields)).rstrip("_")
        node = told.Node(kind, path, condition.describe(), truth, _instant(until))
        parts = parts_of(condition)
        if parts is None:
            self._leaf(planned, node, condition, evaluate, until, nested)
        elif kind == "not":
            node.children = [self._node(planned, parts[1][0], f"{path}.not", nested)]
        else:
            each = enumerate(parts[1])
            node.children = [self._node(planned, child, f"{path}.{kind}[{index}]", nested) for index, child in each]
        return node

    def _leaf(
        self, planned: PlannedSegment, node: told.Node, leaf: Leaf, evaluate: Evaluate, until: int, nested: int
    ) -> None:
        rests_on = leaf.evidence(planned.scope, self.facts, self.t)
        node.facts, node.facts_all = [_shown(fact) for fact in rests_on[-FACTS_SHOWN:]], len(rests_on)
        if not isinstance(leaf, InSegment):
            node.next = self._next_truth(evaluate, node.truth, until)
            return
        other = self.workspace.by_key.get(segment_key(planned.workspace, leaf.in_segment))
        if other is None:
            node.next = told.Next(None)
            return
        node.next = self._next_change(other)
        if nested > 0:
            if other.key not in self._explained:
                self._explained[other.key] = self.explain(other, nested - 1)
            node.nested = self._explained[other.key]

    def _next_truth(self, evaluate: Evaluate, truth: bool, until: int) -> told.Next:
        """When a leaf's truth changes if nothing happens: from `until` to `until`."""
        while until < NEVER:
            if self._steps == 0:
                return told.Next(Instant(until), exact=False)
            self._steps -= 1
            found, following = evaluate(self.contact, until)
            if found is not truth:
                return told.Next(Instant(until))
            until = following
        return told.Next(None)

    def _next_change(self, planned: PlannedSegment) -> told.Next:
        """When the whole answer changes if nothing happens: a copy of the state is judged at each of its deadlines."""
        segments = self._needed_by(planned)
        contact = _copied(self.contact)
        keys = {segment.key for segment in segments}
        contact.members = {key: entry for key, entry in contact.members.items() if key in keys}
        was = contact.is_member(planned.key)
        t, due = self.t, _earliest(contact)
        for _ in range(STEPS_MAX):
            if due >= NEVER or (not was and self._own(planned, contact, t) == (False, NEVER)):
                return told.Next(None)
            judge(self.workspace, contact, self.known.contact, segments, due)
            if contact.is_member(planned.key) is not was:
                return told.Next(Instant(due))
            t, due = due, _earliest(contact)
        return told.Next(_instant(due), exact=due >= NEVER)

    def _own(self, planned: PlannedSegment, contact: Contact, t: int) -> Verdict:
        """The segment's answer without its group."""
        pinned = self._pinned(planned)
        return planned.answer(contact, t) if pinned is None else planned.pinned_answer(contact, pinned)

    def _pinned(self, planned: PlannedSegment) -> bool | None:
        """Whether the segment includes the contact by name (True), excludes it (False), or neither."""
        return self.workspace.pins.get(self.known.contact, {}).get(planned.rank)

    def _needed_by(self, planned: PlannedSegment) -> list[PlannedSegment]:
        """The segment, those of its group, and all that these nest, in the order of judging."""
        by_id = {each.id: each for each in self.workspace.segments}
        wanted: set[int] = set()
        todo = [planned]
        while todo:
            each = todo.pop()
            if each.rank not in wanted:
                wanted.add(each.rank)
                todo += [by_id[name] for name in each.scope.nested if name in by_id]
                if each.group is not None:
                    todo += [mate for mate in self.workspace.segments if mate.group == each.group]
        return [self.workspace.segments[rank] for rank in sorted(wanted)]


def _folded(
    known: Known, key: bytes, state: Contact, taken: Sequence[Fact], t: int
) -> tuple[Contact, list[Transition]]:
    """The contact's facts taken anew by a partition in memory, up to `t`."""
    contacts, first = _Alone(key), min((fact.at for fact in taken), default=t + 1)
    partition = Partition(
        known.plan, contacts, grace=0, dedup=known.dedup, journal_retention=known.journal_retention,
        owns=lambda each: each == key,
    )  # fmt: skip
    found: list[Transition] = []
    if state.known_at < first:  # pinned before its first fact, or its first facts are no longer kept
        partition.pass_time(state.known_at, 0)
        partition.place_pins()
        found += contacts.commit(partition.drain())
        if contacts.contact is None:
            contacts.contact = Contact(plan=known.plan.fingerprint, known_at=state.known_at)
    for fact in taken:
        fact = copy(fact)
        fact.workspace, fact.contact, fact.key = known.workspace, known.contact, key
        partition.take((fact,))
        found += contacts.commit(partition.drain())
    while not partition.pass_time(t + 1, 1):
        pass
    found += contacts.commit(partition.drain())
    return contacts.contact or Contact(), found


def _passed_on(known: Known, key: bytes, state: Contact, t: int) -> tuple[Contact, list[Transition]]:
    """A copy of the state, brought up to the definitions in force if it is not yet, once time has come to `t`."""
    contacts = _Alone(key, _copied(state), known.history)
    assert contacts.contact is not None
    partition = Partition(
        known.plan, contacts, clock=min(known.clock, t), grace=0, dedup=known.dedup,
        journal_retention=known.journal_retention,
    )  # fmt: skip
    partition.fill((key,))
    partition.arm(key, contacts.contact.deadline)
    while not partition.pass_time(t + 1, 1):
        pass
    return contacts.contact, partition.drain().transitions


def _copied(contact: Contact) -> Contact:
    """A contact of its own, down to the last list."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(contact), type=Contact)


def _earliest(contact: Contact) -> int:
    return min((entry[UNTIL] for entry in contact.members.values()), default=NEVER)


def _mark(rule: told.Node, condition: Any) -> list[list[str]]:
    """The smallest sets of leaves, by path, that change the rule's truth; those of the first are marked."""
    leaves: dict[str, list[told.Node]] = {}
    sets = smallest_sets(_shape(rule, condition, leaves))
    for same in sets[0] if sets else ():
        for node in leaves[same]:
            node.would_change = True
    return [sorted(node.path for same in each for node in leaves[same]) for each in sets]


def _shape(node: told.Node, condition: Any, leaves: dict[str, list[told.Node]]) -> Shape:
    parts = parts_of(condition)
    if parts is None:
        same = condition.model_dump_json(by_alias=True)
        leaves.setdefault(same, []).append(node)
        return Shape("", node.truth, same)
    pairs = zip(node.children, parts[1], strict=True)
    return Shape(node.condition, node.truth, children=tuple(_shape(*pair, leaves) for pair in pairs))


def _shown(fact: Fact) -> told.FactShown:
    return told.FactShown(fact.id, fact.type, Instant(fact.at))


def _instant(until: int) -> Instant | None:
    return None if until >= NEVER else Instant(until)


def _channel(planned: PlannedSegment) -> str:
    mailable = planned.document.mailable
    if isinstance(mailable, bool):
        return "on any channel"
    return f"on {mailable.channel}" + (", which takes a granted consent" if mailable.consent else "")
