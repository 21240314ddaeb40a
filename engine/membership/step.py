"""One contact: a fact is taken, deadlines fire, a changed plan is taken up (DESIGN.md 4 and 5).

The steps change the contact in place and put what came of it into the batch. They read no clock and do no I/O:
instants, plan and
history are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.conditions.aggregating import NeedsHistory
from engine.conditions.contact import UNTIL, Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature
from engine.conditions.instants import NEVER
from engine.membership.attributes import CHANGES
from engine.membership.batch import Batch
from engine.membership.gate import CLOSING, consent_of, record_consent
from engine.membership.judge import Change, judge
from engine.membership.placement import split_key
from engine.membership.plan import Plan, WorkspacePlan
from engine.membership.refunds import REFUNDS_MAX, effective, order_of
from engine.membership.transitions import Transition

History = Callable[[], list[Fact]]
"""The contact's facts so far that the journal keeps, the newest included, in the order in which they were taken."""
Cause = tuple[str, str | None, str | None, int | None]
CLOCK: Cause = ("clock", None, None, None)
_CONSENT = CLOSING | {"opt_in", "consent"}
_MONEY = frozenset(("purchase", "refund"))


class Stuck(AssertionError):
    """A verdict claims to hold until an instant that is not ahead: a condition is broken."""


def take_fact(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, clock: int, old_clock: int, history: History, batch: Batch
) -> None:
    """Take one new fact of a contact: fire what is due before it, apply it, judge as of it, note the transitions."""
    at = fact.at
    if contact.deadline < at and at >= contact.as_of:
        fire(workspace, contact, fact.key, at, clock, batch)
    as_of = contact.as_of
    late = at < as_of or at < old_clock
    ordered_anew = at <= as_of
    if at > as_of:
        contact.as_of = as_of = at
    first = contact.facts == 0
    contact.facts += 1
    touched = _apply(workspace, contact, fact, as_of, ordered_anew, history)
    if at < contact.known_at:
        contact.known_at = at
        if not first:
            touched += workspace.by_age
    if first:
        pins = workspace.pins.get(fact.contact) if workspace.pins else None
        touched = tuple(sorted({*touched, *workspace.everyone, *(pins or ())}))
    now_due = contact.deadline <= as_of
    if now_due:  # a deadline at the very instant of the fact is checked with it
        touched += due_ranks(workspace, contact, as_of)
    if not touched:
        return
    segments = workspace.together(touched)
    changes, until = judge(workspace, contact, fact.contact, segments, as_of)
    if now_due:
        contact.deadline = next_deadline(contact)
    elif until < contact.deadline:
        contact.deadline = until
    if changes:
        kind = fact.type
        if kind in _CONSENT:
            said = consent_of(fact)
            closing = said is not None and not said[1]
        else:
            closing = False
        cause: Cause = ("list" if kind in ("list_added", "list_removed") else "event", fact.id, kind, at)
        leaving: Cause = ("opt_out", fact.id, kind, at) if closing else cause
        publish(contact, fact.contact, changes, as_of, clock, late, cause, leaving, batch)


def _apply(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, ordered_anew: bool, history: History
) -> tuple[int, ...]:
    """Bring features, attributes, consent up to date; the ranks of the segments that the fact touches."""
    kind = fact.type
    bits = 0
    mended: list[Feature] = []
    money = kind in _MONEY and _mend(workspace, contact, fact, as_of, history, mended)
    probes, _ = workspace.probes(kind)
    features = contact.features
    for probe in probes:
        if not probe.since <= fact.at < probe.until:
            continue
        test = probe.test
        if test is not None and not test(fact.properties):
            continue
        bits |= probe.bit
        for feature, role in probe.takers:
            if money and feature in mended:
                continue
            key = feature.key
            value = features.get(key)
            if ordered_anew and feature.ordered:
                value = feature.fold(effective(history()), as_of)
            else:
                try:
                    value = feature.add(value, fact, role, as_of)
                except NeedsHistory:
                    value = feature.fold(effective(history()), as_of)
            if value is None:
                features.pop(key, None)
            else:
                features[key] = value
    touched = workspace.touched(kind, bits) if bits else ()
    if mended:
        touched += workspace.using(mended)
    change = CHANGES.get(kind)
    if change is not None:
        touched += change(contact, fact, workspace)
    elif kind in _CONSENT:
        touched += _consent(workspace, contact, fact)
    return touched


def _consent(workspace: WorkspacePlan, contact: Contact, fact: Fact) -> tuple[int, ...]:
    """Note what a fact says of consent; the ranks of the segments whose gate it opened or closed."""
    said = consent_of(fact)
    if said is None:
        return ()
    before = [gate(contact.consent) for gate, _ in workspace.gates]
    record_consent(contact, said[0], fact.at, said[1])
    touched: tuple[int, ...] = ()
    for (gate, ranks), was_open in zip(workspace.gates, before, strict=True):
        is_open = gate(contact.consent)
        if is_open and not was_open:
            touched += ranks
        elif was_open and not is_open:
            # Only those with an entry can have been in or be due; the others stay out.
            touched += tuple(rank for rank in ranks if workspace.segments[rank].key in contact.members)
    return touched


def _mend(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, history: History, mended: list[Feature]
) -> bool:
    """Work out a refund, or a purchase whose refund came before it; `mended` gets the features that this settles."""
    order = order_of(fact)
    if order is None:
        return False
    if fact.type == "refund":
        refunds = contact.refunds
        if refunds is None:
            refunds = contact.refunds = []
        if all(known[0] != order for known in refunds):
            refunds.append([order, fact.at])
            if len(refunds) > REFUNDS_MAX:
                del refunds[0]
    elif contact.refunds is None or all(known[0] != order for known in contact.refunds):
        return False
    facts = history()
    before, after = effective([each for each in facts if each is not fact]), effective(facts)
    for feature in workspace.money:
        value = feature.mend(contact.features.get(feature.key), before, after, as_of)
        mended.append(feature)
        if value is None:
            contact.features.pop(feature.key, None)
        else:
            contact.features[feature.key] = value
    return True


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
    return tuple(
        segment.rank
        for each, entry in contact.members.items()
        if entry[UNTIL] <= at and (segment := by_key.get(each)) is not None
    )


def next_deadline(contact: Contact) -> int:
    """The earliest instant at which any segment's answer may change by itself."""
    return min((entry[UNTIL] for entry in contact.members.values()), default=NEVER)


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
    plan: Plan, workspace: WorkspacePlan, contact: Contact, key: bytes, clock: int, history: History, batch: Batch
) -> None:
    """Bring a contact up to a changed plan: new features from its history, every segment judged, the difference
    published.

    The instant is the clock, or the contact's as-of where that is later.
    """
    t = max(clock, contact.as_of)
    contact_id = split_key(key)[1]
    missing = [feature for feature_key, feature in workspace.features.items() if feature_key not in contact.features]
    contact.features = {each: value for each, value in contact.features.items() if each in workspace.features}
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
        cause = ("backfill" if change[0].version == 1 else "definition", None, None, None)
        publish(contact, contact_id, [change], t, clock, False, cause, cause, batch)
    if len(batch.transitions) > published:
        contact.as_of = t
    contact.plan = plan.fingerprint
    contact.deadline = next_deadline(contact)
