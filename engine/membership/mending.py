"""What refunds and retractions undo of what was counted before them (DESIGN.md 3): the facts that count are worked out
from the journal as they were before and as they are now, and everything that rests on them is brought up to date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature
from engine.membership.attributes import put_back
from engine.membership.batch import Batch
from engine.membership.consents import hear_again
from engine.membership.plan import WorkspacePlan
from engine.membership.refunds import REFUND_WAITS, REFUNDS_MAX, effective, order_of
from engine.membership.retractions import RETRACTION, await_fact, counting, retracted_id

MONEY = frozenset(("purchase", "refund"))
Mended = tuple[tuple[int, ...], Sequence[Feature]]
"""Ranks of the segments that may have changed, and the features that are up to date with the fact."""
NOTHING: Mended = (), ()


class History(Protocol):
    """The contact's facts so far that the journal keeps, the newest included, in the order in which they were taken."""

    @property
    def horizon(self) -> int:
        """Facts at or before this instant are no longer kept (ms)."""

    def __call__(self) -> list[Fact]: ...


def refund(workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, history: History) -> Mended:
    """Work out a refund, or a purchase whose refund came before it."""
    if fact.type == "purchase" and contact.refunds is None:
        return NOTHING
    order = order_of(fact)
    if order is None:
        return NOTHING
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
        return NOTHING
    facts = history()
    before, after = effective([each for each in facts if each is not fact]), effective(facts)
    _settle(contact, workspace.money, before, after, as_of, history.horizon)
    return workspace.using(workspace.money), workspace.money


def retract(
    workspace: WorkspacePlan, contact: Contact, fact: Fact, as_of: int, history: History, batch: Batch
) -> Mended:
    """Work out a retraction: what its facts had done is undone, or it waits for the next fact with its id."""
    named = retracted_id(fact)
    if named is None:
        return NOTHING
    facts, horizon = history(), history.horizon
    earlier = [each for each in facts if each is not fact]
    if all(each.id != named for each in earlier):
        await_fact(contact, named, fact.at)
        batch.unmet += 1
        return NOTHING
    if fact.at <= horizon:  # the journal does not say it again
        batch.unmet += 1
        return NOTHING
    gone = [each for each in counting(earlier) if each.id == named and each.type != RETRACTION]
    before, after = effective(earlier), effective(facts)
    mended = _touched(workspace, contact, gone)
    _settle(contact, mended, before, after, as_of, horizon)
    ranks = workspace.using(mended) + put_back(workspace, contact, gone, after)
    ranks += hear_again(workspace, contact, gone, after, horizon)
    if any(each.at == contact.known_at for each in gone):
        # Nothing is earlier than the earliest of all, so the journal has every fact.
        known_at = min(each.at for each in counting(facts))
        if known_at != contact.known_at:
            contact.known_at = known_at
            ranks += workspace.by_age
    return ranks, mended


def change_zone(
    before: WorkspacePlan, workspace: WorkspacePlan, contact: Contact, as_of: int, history: History
) -> None:
    """Bring the features that follow the contact's own time zone from the plan of the former zone to that of the
    present one, as if it had always been so; what the journal has forgotten stays as it was counted."""
    facts, horizon, values = effective(history()), history.horizon, contact.features
    for key in workspace.zoned:
        former, feature, value = before.features[key], workspace.features[key], values.get(key)
        older = former.older(value, horizon) if former.ordered else former.mend(value, facts, [], as_of)
        _put(contact, key, feature.fold(facts, as_of, older))


def _touched(workspace: WorkspacePlan, contact: Contact, gone: Sequence[Fact]) -> list[Feature]:
    """The features that any of these facts may have gone into."""
    found: dict[int, Feature] = {}
    for fact in gone:
        if fact.type in MONEY and contact.refunds is not None and order_of(fact) is not None:
            found.update((feature.key, feature) for feature in workspace.money)
        if workspace.touch is not None and workspace.touch.may_be_in(fact.raw):
            found[workspace.touch.key] = workspace.touch
        for probe in workspace.of_type(fact.type).probes:
            if probe.passes(fact):
                found.update((key, feature) for feature, key, _ in probe.takers)
    return list(found.values())


def _settle(
    contact: Contact, features: Iterable[Feature], before: list[Fact], after: list[Fact], as_of: int, horizon: int
) -> None:
    """Bring features up to date, once the facts that count have turned from `before` into `after`."""
    for feature in features:
        value = contact.features.get(feature.key)
        if feature.ordered:
            value = feature.fold(after, as_of, feature.older(value, horizon))
        elif feature.counted_until(max(horizon, 0)) <= as_of:  # all that counts is in the journal
            value = feature.fold(after, as_of)
        else:
            value = feature.mend(value, before, after, as_of)
        _put(contact, feature.key, value)


def _put(contact: Contact, key: int, value: Any) -> None:
    if value is not None:
        contact.features[key] = value
    else:
        contact.features.pop(key, None)
