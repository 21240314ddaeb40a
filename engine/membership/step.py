"""One contact: a fact is taken, deadlines fire, a changed plan is taken up (DESIGN.md 4 and 5).

The steps change the contact in place and put what came of it into the batch. They read no clock and do no I/O:
instants, plan and
history are arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from engine.conditions.aggregating import NeedsHistory
from engine.conditions.channels import SPEAKING, consent_of
from engine.conditions.contact import CAUSE, FILLED_FIRST, REDEFINED, SEQUENCE, SINCE, UNTIL, Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature
from engine.conditions.first_touch import FirstTouch
from engine.conditions.instants import NEVER
from engine.membership.attributes import CHANGES
from engine.membership.batch import Batch, MemberRow
from engine.membership.consents import hear
from engine.membership.filled import Filled
from engine.membership.judge import Change, judge
from engine.membership.mending import MONEY, History, change_zone, refund, retract
from engine.membership.placement import split_key
from engine.membership.plan import Plan, TypePlan, WorkspacePlan
from engine.membership.refunds import effective
from engine.membership.retractions import RETRACTION, dead_on_arrival
from engine.membership.transitions import Transition

Cause = tuple[str, str | None, str | None, int | None]
CLOCK: Cause = ("clock", None, None, None)
DEFINITION: Cause = ("definition", None, None, None)
BACKFILL: Cause = ("backfill", None, None, None)
_LISTS = frozenset(("list_added", "list_removed"))
SPECIAL = SPEAKING | MONEY | frozenset(CHANGES) | {RETRACTION}
"""Types that do more to a contact than feed features."""


class Stuck(AssertionError):
    """A verdict claims to hold until an instant that is not ahead: a condition is broken."""


def take_fact(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, clock: int, old_clock: int, history: History, batch: Batch
) -> None:
    """Take one new fact of a contact: fire what is due before it, apply it, judge as of it, note the transitions."""
    at = fact.at
    as_of = contact.as_of
    if workspace.own:
        workspace = workspace.for_contact(contact)
    if contact.deadline < at and at >= as_of:
        fire(workspace, contact, fact.key, at, clock, batch)
        as_of = contact.as_of
    ordered_anew = at <= as_of
    late = at < as_of or at < old_clock
    if at > as_of:
        contact.as_of = as_of = at
    first = contact.facts == 0
    contact.facts += 1
    kind = fact.type
    plan = workspace.of_type(kind)
    special = kind in SPECIAL
    bits = 0
    more: tuple[int, ...] = ()
    mended: Sequence[Feature] = ()
    if (contact.retractions is not None and dead_on_arrival(contact, fact)) or fact.dead:
        fact.dead = True  # it is already where the journal is taken anew
    else:
        if special:
            more, mended = _change(workspace, contact, fact, as_of, history, batch)
        touch = workspace.touch
        if touch is not None and touch.may_be_in(fact.raw):
            came = touch.add(contact.features.get(touch.key), fact, 0, as_of)
            if came is not None:
                contact.features[touch.key] = came
        if plan.probes:
            bits = _feed(plan, contact, fact, as_of, ordered_anew, history, mended)
        if special and workspace.own:
            present = workspace.for_contact(contact)
            if present is not workspace:
                more += (*workspace.touched(plan, bits), *workspace.own)
                change_zone(workspace, present, contact, as_of, history)
                workspace, bits = present, 0
    if at < contact.known_at and not fact.dead:
        contact.known_at = at
        if not first:
            more += workspace.by_age
    if first:
        for feature in workspace.of_contact:
            contact.features[feature.key] = feature.of_contact(fact.workspace, fact.contact)
        pins = workspace.pins.get(fact.contact) if workspace.pins else None
        more += (*workspace.everyone, *pins) if pins is not None else workspace.everyone
    now_due = contact.deadline <= as_of
    if now_due:  # a deadline at the very instant of the fact is checked with it
        more += due_ranks(workspace, contact, as_of)
    touched = plan.ranks.get(bits) or workspace.touched(plan, bits) if bits else ()
    if more:
        segments = workspace.together(tuple(sorted({*touched, *more})))
    elif touched:
        segments = plan.segments[bits]
    else:
        return
    changes, until = judge(workspace, contact, fact.contact, segments, as_of)
    if now_due:
        contact.deadline = next_deadline(contact)
    elif until < contact.deadline:
        contact.deadline = until
    if changes:
        entering, leaving = _causes(fact)
        publish(workspace.touch, contact, fact.contact, changes, as_of, clock, late, entering, leaving, batch)


def _causes(fact: Fact) -> tuple[Cause, Cause]:
    """The cause of enters, and that of exits."""
    kind = fact.type
    cause: Cause = ("list" if kind in _LISTS else "event", fact.id, kind, fact.at)
    if kind in SPEAKING and (said := consent_of(fact)) is not None and not said[1]:
        return cause, ("opt_out", fact.id, kind, fact.at)
    return cause, cause


def _feed(
    plan: TypePlan, contact: Contact, fact: Fact, as_of: int, ordered_anew: bool, history: History,
    mended: Sequence[Feature],
) -> int:  # fmt: skip
    """Give the fact to the features that take it and have not yet; the bits of the probes that passed."""
    bits = 0
    features = contact.features
    properties = fact.decoded
    folded: set[int] | None = set() if ordered_anew else None
    for probe in plan.probes:
        if probe.bounded and not probe.since <= fact.at < probe.until:
            continue
        test = probe.test
        if test is not None:
            if properties is None:
                properties = fact.properties
            if not test(properties):
                continue
        bits |= probe.bit
        for feature, key, role in probe.takers:
            if mended and feature in mended:
                continue
            try:
                if folded is not None and feature.ordered:
                    if key in folded:  # with this fact in all its roles
                        continue
                    folded.add(key)
                    raise NeedsHistory
                value = feature.add(features.get(key), fact, role, as_of)
            except NeedsHistory:
                value = _anew(feature, features.get(key), fact, role, as_of, history)
            if value is not None:
                features[key] = value
            else:
                features.pop(key, None)
    return bits


def _anew(feature: Feature, value: Any, fact: Fact, role: int, as_of: int, history: History) -> Any:
    """The value with a fact that can't be added to it: from the journal, and what else it has from facts that the
    journal no longer holds. Where the fact itself is no later than those its place among them is unknown, and what goes
    by the order of facts is left as it is."""
    horizon, facts = history.horizon, history()
    if feature.ordered:
        if fact.at > horizon:
            return feature.fold(effective(facts), as_of, feature.older(value, horizon))
        return feature.add(value, fact, role, as_of) if fact.at == as_of else value
    others = [each for each in facts if each is not fact]
    after = effective([*others, fact])
    if feature.counted_until(max(horizon, 0)) <= as_of:  # all that counts is in the journal
        return feature.fold(after, as_of)
    return feature.mend(value, effective(others), after, as_of)


def _change(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, history: History, batch: Batch
) -> tuple[tuple[int, ...], Sequence[Feature]]:
    """Bring up to date what a fact says of attributes, tags, lists, consent, refunds and retractions; the ranks of the
    segments that look at what changed, and the features that have taken the fact with it."""
    kind = fact.type
    change = CHANGES.get(kind)
    if change is not None:
        return change(contact, fact, workspace), ()
    if kind in SPEAKING:
        return hear(workspace, contact, fact), ()
    if kind in MONEY:
        return refund(workspace, contact, fact, as_of, history)
    return retract(workspace, contact, fact, as_of, history, batch)


def fire(workspace: WorkspacePlan, contact: Contact, key: bytes, before: int, clock: int, batch: Batch) -> None:
    """Fire the contact's deadlines strictly before `before`, each at its own instant, and set its next one."""
    if workspace.own:
        workspace = workspace.for_contact(contact)
    contact_id = ""
    while contact.deadline < before:
        at = contact.deadline
        batch.deadlines += 1
        due = due_ranks(workspace, contact, at)
        if due:
            contact_id = contact_id or split_key(key)[1]
            changes, _ = judge(workspace, contact, contact_id, workspace.together(due), at)
            if changes:
                contact.as_of = at
                publish(workspace.touch, contact, contact_id, changes, at, clock, False, CLOCK, CLOCK, batch)
        contact.deadline = next_deadline(contact)
        if contact.deadline <= at:
            raise Stuck(f"contact {key!r} has a deadline at {contact.deadline}, not after {at}")


def due_ranks(workspace: WorkspacePlan, contact: Contact, at: int) -> tuple[int, ...]:
    """The ranks of the segments whose answer may have changed by itself by `at`."""
    by_key = workspace.by_key
    due: list[int] = []
    for each, entry in contact.members.items():
        if entry[UNTIL] <= at and each in by_key:
            due.append(by_key[each].rank)
    return tuple(due)


def next_deadline(contact: Contact) -> int:
    """The earliest instant at which any segment's answer may change by itself."""
    earliest = NEVER
    for entry in contact.members.values():
        if entry[UNTIL] < earliest:
            earliest = entry[UNTIL]
    return earliest


def publish(
    touch: FirstTouch | None, contact: Contact, contact_id: str, changes: Sequence[Change], at: int, clock: int,
    late: bool, entering: Cause, leaving: Cause, batch: Batch,
) -> None:  # fmt: skip
    """Put the changes into the batch as transitions; `touch` tells where the contact came from."""
    source = source_of(touch, contact)
    for segment, sequence, until in changes:
        payload = segment.payload(contact) if segment.payload is not None else None
        cause = entering if sequence & 1 else leaving
        batch.transitions.append(
            Transition(
                segment.workspace,
                segment.id,
                segment.version,
                contact_id,
                sequence,
                at,
                clock,
                late,
                until,
                cause,
                payload,
                segment.kept,
                contact.erased_at,
                source,
            )
        )


def source_of(touch: FirstTouch | None, contact: Contact) -> str:
    """Where the contact came from; empty where nothing says."""
    if touch is None:
        return ""
    came = contact.features.get(touch.key)
    return "" if came is None else str(came[1])


def take_up_plan(
    plan: Plan, filled: Filled, contact: Contact, key: bytes, at: int, clock: int, history: History, batch: Batch,
    under: Filled | None = None,
) -> None:  # fmt: skip
    """Bring a contact up to a plan: new features from its history, what changed judged, the difference published.

    `filled` is what all contacts were last wholly brought up to, `under` what this one was, where that is another plan
    and known: of a contact that is under one of them only the segments that rest on something else since, and all that
    depend on these, are judged; of another, all. The instant is `at`, at which the partition took the plan up, or the
    contact's as-of where that is later: deadlines before it have fired, those after it are the caller's to fire.
    """
    t = max(at, contact.as_of)
    workspace_name, contact_id = split_key(key)
    workspace = plan.workspace(workspace_name)
    if contact.plan == filled.fingerprint:
        under = filled
    if under is None:
        ranks, new = None, tuple(each for each in workspace.features if each not in contact.features)
    else:
        ranks, new = workspace.since(under, workspace_name)
    workspace = workspace.for_contact(contact)
    missing = [workspace.features[each] for each in new]
    source = source_of(plan.touch, contact)  # of exits from the last segment of a workspace, whose features go with it
    contact.features = {each: value for each, value in contact.features.items() if each in workspace.features}
    for identity in workspace.of_contact:  # also of a contact that has no fact: one that is pinned
        contact.features[identity.key] = identity.of_contact(workspace_name, contact_id)
    if missing and contact.facts:
        facts = effective(history())
        for feature in missing:
            value = feature.fold(facts, contact.as_of, feature.forgotten(contact, history.horizon))
            if value is not None:
                contact.features[feature.key] = value
    switching = under is None or bool(plan.unkept or under.unkept)
    were = {each for each, entry in contact.members.items() if entry[SEQUENCE] & 1} if switching else ()
    segments = workspace.segments if ranks is None else workspace.together(ranks)
    changes, _ = judge(workspace, contact, contact_id, segments, t)
    published = len(batch.transitions)
    gone: list[int] = []
    for segment_key, entry in contact.members.items():
        if segment_key not in workspace.by_key:
            entry[UNTIL] = NEVER
            if entry[SEQUENCE] & 1 and segment_key in plan.retired:
                gone.append(segment_key)
    for segment_key in sorted(gone, key=lambda each: plan.retired[each]):
        entry = contact.members[segment_key]
        entry[SEQUENCE] += 1
        entry[SINCE] = t
        entry[CAUSE:] = [REDEFINED]
        name, segment, version = plan.retired[segment_key]
        left = Transition(
            name,
            segment,
            version,
            contact_id,
            entry[SEQUENCE],
            t,
            clock,
            False,
            NEVER,
            DEFINITION,
            None,
            True,
            contact.erased_at,
            source,
        )
        batch.transitions.append(left)
    for change in changes:
        first = change[0].key not in filled.segments
        cause = BACKFILL if first else DEFINITION
        contact.members[change[0].key][CAUSE:] = [FILLED_FIRST if first else REDEFINED]
        publish(workspace.touch, contact, contact_id, [change], t, clock, False, cause, cause, batch)
    if switching:
        turned = None if under is None else plan.unkept ^ under.unkept
        batch.members += _switched(workspace, contact, contact_id, were, turned, clock)
    if len(batch.transitions) > published:
        contact.as_of = t
    contact.plan = plan.fingerprint
    contact.deadline = next_deadline(contact)


def _switched(
    workspace: WorkspacePlan, contact: Contact, contact_id: str, were: Collection[int],
    turned: Collection[int] | None, clock: int,
) -> Iterable[MemberRow]:  # fmt: skip
    """What `segments.members` is to say of a contact, where the switch of a segment that it was or is in was turned.

    `were` are the keys of the segments that it was in before, `turned` of those whose switch was; None: nobody knows.
    Those who come or go are told by their transitions, unless the switch says otherwise.
    """
    for key, entry in contact.members.items():
        segment = workspace.by_key.get(key)
        if segment is None or (turned is not None and key not in turned):
            continue
        if not segment.kept:
            if key in were:
                yield segment.workspace, segment.id, contact_id, None
        elif entry[SEQUENCE] & 1 and key in were:
            payload = segment.payload(contact) if segment.payload is not None else None
            stands = Transition(
                segment.workspace, segment.id, segment.version, contact_id, entry[SEQUENCE], entry[SINCE], clock, False,
                entry[UNTIL], DEFINITION, payload, True, contact.erased_at,
            )  # fmt: skip
            yield segment.workspace, segment.id, contact_id, stands
