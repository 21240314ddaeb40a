"""Why a contact is in a segment, or is not, and when that will change (DESIGN.md 1).

Everything is asked of the real core: the leaves' own verdicts on the contact's state, and the real judge walking a copy
of it through its deadlines. What is said of a past instant is by the present definitions; what the journal has
forgotten is said, never guessed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from engine.conditions.boolean import parts_of
from engine.conditions.channels import SPEAKING, consent_of
from engine.conditions.contact import CAUSE, FILLED_FIRST, SEQUENCE, SINCE, UNTIL, Contact
from engine.conditions.evidence import Leaf
from engine.conditions.fact import Fact
from engine.conditions.in_segment import InSegment
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Verdict
from engine.definitions.near import near_segment
from engine.membership import explanation as told
from engine.membership.explanation import Explanation, Instant, UnknownContact, UnknownSegment
from engine.membership.flips import Shape, smallest_sets
from engine.membership.judge import judge
from engine.membership.moment import Known, Moment, Slices, copied, done, moment_of
from engine.membership.planned import PlannedSegment, segment_key
from engine.membership.unheld import lacking

FACTS_SHOWN: Final = 20
"""Facts that are shown under one leaf, the newest; their number is told."""
VERDICTS_MAX: Final = 10_000
"""Verdicts in search of the next change of the answer, and those of nested segments: some ten milliseconds. Beyond them
it is only told until when nothing changes."""
LEAF_VERDICTS_MAX: Final = 5_000
"""The same of all leaves together."""
STEPS_MIN: Final = 20
"""Deadlines at which each segment is judged in any case."""
NESTED_MAX: Final = 5
"""How deep segments in segments are explained."""


def explain(known: Known, segment: str, at: int | None = None, nested: int = 1) -> Explanation:
    """Why the contact is in the segment or is not at `at` (ms; None: now, which is the partition's clock).

    Of segments named by `in_segment` it is told whether the contact is in, since when and what decided, and `nested`
    levels deep their rules too. Raises Unknown for a contact or a segment that is not there, and for an instant too far
    ahead.
    """
    return done(explaining(known, segment, at, nested))


def explaining(known: Known, segment: str, at: int | None = None, nested: int = 1) -> Slices[Explanation]:
    """`explain` in slices of some ten milliseconds."""
    workspace = known.plan.workspace(known.workspace)
    planned = workspace.by_key.get(segment_key(known.workspace, segment))
    if planned is None:
        names = [(name, each.id) for name, other in known.plan.workspaces.items() for each in other.segments]
        raise UnknownSegment(known.workspace, segment, near_segment(known.workspace, segment, names))
    state = known.state
    if state is None or (not state.facts and state.known_at >= NEVER):
        raise UnknownContact(known.workspace, known.contact)
    moment = yield from moment_of(known, state, max(known.clock, state.as_of) if at is None else at)
    answers = Answers(moment)
    return (yield from answers.explain(moment.workspace.by_key[planned.key], min(nested, NESTED_MAX)))


class Answers:
    """What is asked of one contact at one instant; what one answer took is not asked again for the next."""

    def __init__(self, moment: Moment) -> None:
        self.known, self.t, self.contact, self.facts = moment.known, moment.t, moment.contact, moment.facts
        self.workspace, self.basis = moment.workspace, moment.basis
        self._moment = moment
        self._verdicts, self._leaf_verdicts = VERDICTS_MAX, LEAF_VERDICTS_MAX
        self._explained: dict[tuple[int, bool], Explanation] = {}
        self._changes: dict[int, told.Next] = {}

    def explain(self, planned: PlannedSegment, nested: int) -> Slices[Explanation]:
        """The explanation for one segment of the moment's own plan; without its rule where `nested` is negative."""
        contact, t = self.contact, self.t
        entry = contact.members.get(planned.key)
        member = entry is not None and entry[SEQUENCE] & 1 == 1
        since = entry[SINCE] if entry is not None and entry[SEQUENCE] else None
        decided, needed = self._decided(planned, member)
        following = self._next_change(planned)
        document = planned.document
        rule = None
        smallest: list[list[str]] = []
        if document.when is not None and nested >= 0:
            rule = yield from self._node(planned, document.when, "when", nested)
            if rule.truth is member and decided.by not in ("include", "unknown", "paused"):
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
            next=following,
            basis=self.basis,
        )

    def _cause(self, planned: PlannedSegment, since: int, member: bool) -> told.Cause | None:
        entry = self.contact.members.get(planned.key, ())
        if len(entry) > CAUSE:
            return told.Cause("backfill" if entry[CAUSE] == FILLED_FIRST else "definition")
        change = "enter" if member else "exit"
        for each in reversed(self._moment.transitions):
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
        if planned.paused:
            needed.append("the segment would have to be resumed")
            said = "the segment is paused: nobody enters, and who is in stays in"
            return told.Decision("paused", said), needed
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

    def _node(self, planned: PlannedSegment, condition: Any, path: str, nested: int) -> Slices[told.Node]:
        evaluate: Evaluate = condition.compile(planned.scope)
        truth, until = evaluate(self.contact, self.t)
        kind = next(iter(type(condition).model_fields)).rstrip("_")
        node = told.Node(kind, path, condition.describe(), truth, _instant(until))
        parts = parts_of(condition)
        if parts is None:
            yield from self._leaf(planned, node, condition, evaluate, until, nested)
            return node
        node.children = []
        for index, child in enumerate(parts[1]):
            place = f"{path}.not" if kind == "not" else f"{path}.{kind}[{index}]"
            node.children.append((yield from self._node(planned, child, place, nested)))
        return node

    def _leaf(
        self, planned: PlannedSegment, node: told.Node, leaf: Leaf, evaluate: Evaluate, until: int, nested: int
    ) -> Slices[None]:
        yield
        rests_on = leaf.evidence(planned.scope, self.facts, self.t)
        node.facts, node.facts_all = [_shown(fact) for fact in rests_on[-FACTS_SHOWN:]], len(rests_on)
        node.unheld = self._unheld(planned, leaf)
        if not isinstance(leaf, InSegment):
            node.next = self._next_truth(evaluate, node.truth, until)
            return
        other = self.workspace.by_key.get(segment_key(planned.workspace, leaf.in_segment))
        if other is None:
            node.next = told.Next(None)
            return
        node.next = self._next_change(other)
        place = other.key, nested > 0
        if place not in self._explained:
            self._explained[place] = yield from self.explain(other, nested - 1)
        node.nested = self._explained[place]

    def _unheld(self, planned: PlannedSegment, leaf: Any) -> bool:
        """Whether facts that the journal no longer holds might have a say in the leaf."""
        since, state = self.basis.since, self.known.state
        if since is None or state is None:
            return False
        own = replace(planned.scope, uses=set())
        leaf.compile(own)
        return bool(lacking(self.workspace, state, since, own.uses, self.t))

    def _next_truth(self, evaluate: Evaluate, truth: bool, until: int) -> told.Next:
        """When a leaf's truth changes if nothing happens: from `until` to `until`."""
        while until < NEVER:
            if self._leaf_verdicts == 0:
                return told.Next(Instant(until), exact=False)
            self._leaf_verdicts -= 1
            found, following = evaluate(self.contact, until)
            if found is not truth:
                return told.Next(Instant(until))
            until = following
        return told.Next(None)

    def _next_change(self, planned: PlannedSegment) -> told.Next:
        """When the whole answer changes if nothing happens."""
        if planned.key not in self._changes:
            self._changes[planned.key] = self._walk(planned)
        return self._changes[planned.key]

    def _walk(self, planned: PlannedSegment) -> told.Next:
        """The same: a copy of the state is judged at each of its deadlines."""
        segments = self._needed_by(planned)
        contact = copied(self.contact)
        keys = {segment.key for segment in segments}
        contact.members = {key: entry for key, entry in contact.members.items() if key in keys}
        was = contact.is_member(planned.key)
        t, due = self.t, _earliest(contact)
        for _ in range(max(STEPS_MIN, self._verdicts // len(segments))):
            if due >= NEVER or (not was and self._own(planned, contact, t) == (False, NEVER)):
                return told.Next(None)
            self._verdicts -= len(segments)
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
        by_key = self.workspace.by_key
        wanted: set[int] = set()
        todo = [planned]
        while todo:
            each = todo.pop()
            if each.rank not in wanted:
                wanted.add(each.rank)
                keys = (segment_key(each.workspace, name) for name in each.scope.nested)
                todo += [by_key[key] for key in keys if key in by_key]
                if each.group is not None:
                    todo += [mate for mate in self.workspace.segments if mate.group == each.group]
        return [self.workspace.segments[rank] for rank in sorted(wanted)]


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
