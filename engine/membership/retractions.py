"""Retractions: `event_retracted` takes back what the contact's facts with one id have said (DESIGN.md 3).

Every fact with that id that was taken before stops counting, once the retraction is taken; where there is none, the
next one with that id is dead on arrival, if its `at` is at most 30 days after the retraction's. A retraction stays
whatever names it. What has left the journal can't be taken back, and a retraction speaks as long as the journal keeps
it; that a fact was dead on arrival is journaled with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.membership.ids import id_digest

RETRACTION = "event_retracted"
RETRACTION_WAITS = 30 * DAY
RETRACTIONS_MAX = 1_000
"""Ids of one contact whose facts are awaited, 20 bytes each; beyond it those whose time is over by the as-of are
forgotten, then the oldest."""


def retracted_id(fact: Fact) -> str | None:
    """The id that a retraction names; None where it names none, and the fact retracts nothing."""
    named = fact.properties.get("id")
    return named if type(named) is str and named else None


def counting(history: Sequence[Fact]) -> Sequence[Fact]:
    """The facts that are not taken back; `history` and the result are in the order in which the facts were taken."""
    if all(fact.type != RETRACTION and not fact.dead for fact in history):
        return history
    gone: set[int] = set()
    places: dict[str, list[int]] = {}
    for place, fact in enumerate(history):
        if fact.type != RETRACTION:
            places.setdefault(fact.id, []).append(place)
            if fact.dead:
                gone.add(place)
        elif (named := retracted_id(fact)) is not None:
            gone.update(places.pop(named, ()))
    return [fact for place, fact in enumerate(history) if place not in gone]


def await_fact(contact: Contact, event_id: str, at: int) -> None:
    """Note that a retraction at `at` (ms) waits for the next fact with this id."""
    waiting = contact.retractions
    if waiting is None:
        waiting = contact.retractions = []
    digest = id_digest(event_id)
    for entry in waiting:
        if entry[0] == digest:
            entry[1] = max(entry[1], at)
            return
    if len(waiting) >= RETRACTIONS_MAX:
        in_time = [entry for entry in waiting if entry[1] + RETRACTION_WAITS >= contact.as_of]
        waiting = contact.retractions = in_time[-RETRACTIONS_MAX + 1 :]
    waiting.append([digest, at])


def dead_on_arrival(contact: Contact, fact: Fact) -> bool:
    """Whether a retraction came before this fact and in time for it; the next fact with its id is a new one."""
    waiting = contact.retractions or []
    digest = id_digest(fact.id)
    for place, (awaited, at) in enumerate(waiting):
        if awaited == digest:
            contact.retractions = [*waiting[:place], *waiting[place + 1 :]] or None
            return fact.type != RETRACTION and fact.at <= int(at) + RETRACTION_WAITS
    return False
