"""One contact: a fact is taken, deadlines fire, a changed plan is taken up (DESIGN.md 4 and 5).

The steps change the contact in place and put what came of it into the batch. They read no clock and do no I/O:
instants, plan and
history are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.conditions.aggregating import NeedsHistory
from engine.conditions.channels import SPEAKING, Consent, consent_of, status
from engine.conditions.contact import UNTIL, Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature
from engine.conditions.instants import NEVER
from engine.membership.attributes import CHANGES
from engine.membership.batch import Batch
from engine.membership.gate import record_consent
from engine.membership.judge import Change, judge
from engine.membership.placement import split_key
from engine.membership.plan import Plan, TypePlan, WorkspacePlan
from engine.membership.refunds import REFUND_WAITS, REFUNDS_MAX, effective, order_of
from engine.membership.transitions import Transition


class History(Protocol):
    """The contact's facts so far that the journal keeps, the newest included, in the order in which they were taken."""

    @property
    def horizon(self) -> int:
        """Facts at or before this instant are no longer kept (ms)."""

    def __call__(self) -> list[Fact]: ...


Cause = tuple[str, str | None, str | None, int | None]
CLOCK: Cause = ("clock", None, None, None)
_MONEY = frozenset(("purchase", "refund"))
_LISTS = frozenset(("list_added", "list_removed"))
SPECIAL = SPEAKING | _MONEY | frozenset(CHANGES)
"""Types that do more to a contact than feed features."""


class Stuck(AssertionError):
    """A verdict claims to hold until an instant that is not ahead: a condition is broken."""


def take_fact(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, clock: int, old_clock: int, history: History, batch: Batch
) -> None:
    """Take one new fact of a contact: fire what is due before it, apply it, judge as of it, note the transitions."""
    at = fact.at
    as_of = contact.as_of
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
    mended = _mend(workspace, contact, fact, as_of, history) if special and kind in _MONEY else None
    bits = _feed(plan, contact, fact, as_of, ordered_anew, history, mended) if plan.probes else 0
    more: tuple[int, ...] = () if mended is None else workspace.using(mended)
    if special:
        more += _change(workspace, contact, fact)
    if at < contact.known_at:
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
    touched = workspace.touched(plan, bits) if bits else ()
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
        cause: Cause = ("event", fact.id, kind, at)
        leaving = cause
        if special:
            if kind in _LISTS:
                cause = leaving = ("list", fact.id, kind, at)
            elif kind in SPEAKING and (said := consent_of(fact)) is not None and not said[1]:
                leaving = ("opt_out", fact.id, kind, at)
        publish(contact, fact.contact, changes, as_of, clock, late, cause, leaving, batch)


def _feed(
    plan: TypePlan, contact: Contact, fact: Fact, as_of: int, ordered_anew: bool, history: History,
    mended: list[Feature] | None,
) -> int:  # fmt: skip
    """Give the fact to the features that take it; the bits of the probes that passed."""
    bits = 0
    features = contact.features
    for probe in plan.probes:
        if probe.bounded and not probe.since <= fact.at < probe.until:
            continue
        test = probe.test
        if test is not None and not test(fact.properties):
            continue
        bits |= probe.bit
        for feature, key, role in probe.takers:
            if mended is not None and feature in mended:
                continue
            try:
                if ordered_anew and feature.ordered:
                    raise NeedsHistory
                value = feature.add(features.get(key), fact, role, as_of)
            except NeedsHistory:
                older = feature.older(features.get(key), history.horizon)
                value = feature.fold(effective(history()), as_of, older)
            if value is not None:
                features[key] = value
            else:
                features.pop(key, None)
    return bits


def _change(workspace: WorkspacePlan, contact: Contact, fact: Fact) -> tuple[int, ...]:
    """Bring attributes, tags, lists, consent up to date; the ranks of the segments that look at what changed."""
    change = CHANGES.get(fact.type)
    if change is not None:
        return change(contact, fact, workspace)
    return _consent(workspace, contact, fact) if fact.type in SPEAKING else ()


def _consent(workspace: WorkspacePlan, contact: Contact, fact: Fact) -> tuple[int, ...]:
    """Note what a fact says of consent; the ranks of the segments whose gate it opened or closed, or whose rule
    looks at a channel of which the last word is another now."""
    said = consent_of(fact)
    if said is None:
        return ()
    before = [gate(contact.consent) for gate, _ in workspace.gates]
    words = _words(workspace, contact.consent)
    for channel in said[0]:
        record_consent(contact, channel, fact.at, said[1])
    touched: tuple[int, ...] = ()
    for (gate, ranks), was_open in zip(workspace.gates, before, strict=True):
        is_open = gate(contact.consent)
        if is_open and not was_open:
            touched += ranks
        elif was_open and not is_open:
            # Only those with an entry can have been in or be due; the others stay out.
            touched += tuple(rank for rank in ranks if workspace.segments[rank].key in contact.members)
    if words:
        for channel, word in _words(workspace, contact.consent).items():
            if word != words[channel]:
                touched += workspace.by_channel[channel]
    return touched


def _words(workspace: WorkspacePlan, consent: Consent | None) -> dict[str, int | None]:
    """The last word on each channel that some rule looks at."""
    return {channel: None if consent is None else status(consent, channel) for channel in workspace.by_channel}


def _mend(workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, history: History) -> list[Feature] | None:
    """Work out a refund, or a purchase whose refund came before it; the features that this settles, None for
    neither."""
    if fact.type == "purchase" and contact.refunds is None:
        return None
    order = order_of(fact)
    if order is None:
        return None
    if fact.type == "refund":
        refunds = contact.refunds
        if refunds is None:
            refunds = contact.refunds = []
        if all(known[0] != order for known in refunds):
            if len(refunds) >= REFUNDS_MAX:
                waiting = [known for known in refunds if known[1] + REFUND_WAITS >= as_of]
                refunds = contact.refunds = waiting[-REFUNDS_MAX + 1 :]
            refunds.append([order, fact.at])
    elif all(known[0] != order for known in contact.refunds or ()):
        return None
    facts = history()
    before, after = effective([each for each in facts if each is not fact]), effective(facts)
    features = contact.features
    for feature in workspace.money:
        value = features.get(feature.key)
        if feature.ordered:
            value = feature.fold(after, as_of, feature.older(value, history.horizon))
        else:
            value = feature.mend(value, before, after, as_of)
        if value is not None:
            features[feature.key] = value
        else:
            features.pop(feature.key, None)
    return workspace.money


def fire(workspace: WorkspacePlan, contact: Contact, key: bytes, before: int, clock: int, batch: Batch) -> None:
    """Fire the contact's deadlines strictly before `before`, each at its own instant, and set its next one."""
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
                publish(contact, contact_id, changes, at, clock, False, CLOCK, CLOCK, batch)
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
    contact: Contact, contact_id: str, changes: Sequence[Change], at: int, clock: int, late: bool,
    entering: Cause, leaving: Cause, batch: Batch,
) -> None:  # fmt: skip
    """Put the changes into the batch as transitions."""
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
                segment.topic,
            )
        )


def take_up_plan(
    plan: Plan, workspace: WorkspacePlan, before: WorkspacePlan | None, contact: Contact, key: bytes, clock: int,
    history: History, batch: Batch,
) -> None:  # fmt: skip
    """Bring a contact up to a changed plan: new features from its history, every segment judged, the difference
    published.

    The instant is the clock, or the contact's as-of where that is later. `before` is what it was under, None where
    nobody remembers: then a segment's first version and transition are taken for its first fill.
    """
    t = max(clock, contact.as_of)
    workspace_name, contact_id = split_key(key)
    known = contact.features if before is None else before.features
    missing = [feature for feature_key, feature in workspace.features.items() if feature_key not in known]
    contact.features = {each: value for each, value in contact.features.items() if each in workspace.features}
    for identity in workspace.of_contact:  # also of a contact that has no fact: one that is pinned
        contact.features[identity.key] = identity.of_contact(workspace_name, contact_id)
    if missing and contact.facts:
        facts = effective(history())
        for feature in missing:
            value = feature.fold(facts, contact.as_of)
            if value is not None:
                contact.features[feature.key] = value
    changes, _ = judge(workspace, contact, contact_id, workspace.segments, t)
    published = len(batch.transitions)
    for segment_key, entry in contact.members.items():
        if segment_key in plan.retired or segment_key not in workspace.by_key:
            entry[UNTIL] = NEVER
            if entry[0] & 1 and segment_key in plan.retired:
                entry[0] += 1
                entry[1] = t
                name, segment, version = plan.retired[segment_key]
                cause: Cause = ("definition", None, None, None)
                batch.transitions.append(
                    Transition(name, segment, version, contact_id, entry[0], t, clock, False, NEVER, cause, None, True)
                )
    for change in changes:
        planned, sequence, _ = change
        is_new = planned.version == sequence == 1 if before is None else planned.key not in before.by_key
        cause = ("backfill" if is_new else "definition", None, None, None)
        publish(contact, contact_id, [change], t, clock, False, cause, cause, batch)
    if len(batch.transitions) > published:
        contact.as_of = t
    contact.plan = plan.fingerprint
    contact.deadline = next_deadline(contact)
