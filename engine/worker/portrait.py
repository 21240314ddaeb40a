"""One contact as a whole, in plain JSON: who it is, in which segments and why, what comes next, what it did last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER, format_instant
from engine.membership.moment import Known
from engine.membership.outlook import Outlook, looking_out
from engine.membership.placement import store_key
from engine.membership.plan import Plan
from engine.state.codec import decode_contact
from engine.state.store import Store
from engine.worker.query import in_turns
from engine.worker.settings import Settings

FACTS_SHOWN: Final = 10
"""Last facts, unless asked otherwise."""
FACTS_MAX: Final = 1_000
TEXT_SHOWN: Final = 100
"""Characters of a text in a shown fact's properties."""
ITEMS_SHOWN: Final = 10
"""Elements of a list, and names of an object, there."""
DEPTH_SHOWN: Final = 3
CUT: Final = "…"
"""Stands where something was left out."""


async def show_contact(
    store: Store, plan: Plan, settings: Settings, clock: int, workspace: str, contact: str, facts: int, why: bool
) -> dict[str, Any] | None:
    """A contact's committed state as of `clock` in plain JSON, with its last `facts`; None when it is unknown.

    Instants are RFC 3339. What is read is read at once; the work on it leaves others their turn. Without `why`, of the
    segments only since when.
    """
    key = store_key(workspace, contact)
    encoded = store.get(key)
    if encoded is None:
        return None
    state, history = decode_contact(encoded), store.history(key)
    known = Known(
        plan=plan, workspace=workspace, contact=contact, state=state, history=history, clock=clock,
        dedup=settings.dedup, journal_retention=settings.journal_retention,
    )  # fmt: skip
    outlook = await in_turns(looking_out(known, state, why))
    return {
        "workspace": workspace,
        "contact": contact,
        "known_at": _instant(state.known_at),
        "as_of": _instant(state.as_of),
        "deadline": _instant(state.deadline),
        "facts": state.facts,
        "facts_journaled": len(history),
        **_told(outlook),
        **_profile(state),
        "last_facts": [_fact(each) for each in _newest(history, facts)],
    }


def _told(outlook: Outlook) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(outlook, enc_hook=lambda instant: format_instant(int(instant)))
    found["changes_until"] = found.pop("until")
    return found


def _profile(state: Contact) -> dict[str, Any]:
    return {
        "attributes": {name: pair[1] for name, pair in sorted((state.attributes or {}).items()) if pair[1] is not None},
        "tags": _named(state.tags),
        "lists": _named(state.lists),
        "consent": {
            channel or "all": "granted" if pair[1] else "revoked"
            for channel, pair in sorted((state.consent or {}).items())
        },
    }


def _newest(history: Iterable[Fact], count: int) -> list[Fact]:
    """The last facts by their instants, newest first; of one instant the one that was taken last."""
    kept = sorted((fact for fact in history if not fact.dead), key=lambda fact: fact.at)
    return kept[::-1][:count]


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "type": fact.type,
        "at": format_instant(fact.at),
        "properties": _shortened(fact.properties, DEPTH_SHOWN),
    }


def _shortened(value: Any, depth: int) -> Any:
    """The value, long texts and lists cut, and what lies deep left out: CUT stands for it."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_SHOWN else value[: TEXT_SHOWN - 1] + CUT
    if not isinstance(value, dict | list) or not value:
        return value
    if depth == 0:
        return CUT
    if isinstance(value, list):
        shown = [_shortened(each, depth - 1) for each in value[:ITEMS_SHOWN]]
        return [*shown, CUT] if len(value) > ITEMS_SHOWN else shown
    pairs = list(value.items())
    cut = {CUT: CUT} if len(pairs) > ITEMS_SHOWN else {}
    return {name: _shortened(each, depth - 1) for name, each in pairs[:ITEMS_SHOWN]} | cut


def _named(entries: dict[str, list[int]] | None) -> list[str]:
    return sorted(name for name, entry in (entries or {}).items() if entry[1])


def _instant(instant: int) -> str | None:
    return format_instant(instant) if 0 <= instant < NEVER else None
