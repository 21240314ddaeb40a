"""Random facts of every type that conditions look at, crowded on few ids and on the edges of windows: in order, or
late; twice, refunded, retracted, with an arrival of their own or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from engine.conditions.instants import DAY, HOUR, MINUTE, SECOND, format_instant, parse_instant
from tests.membership.choices import Choices, between, chance, one, some
from tests.membership.random_conditions import NUMBERS, TEXTS, TYPES, Json, value, without_none

START = parse_instant("2026-01-28T22:00:00Z")
CONTACTS = ("a", "b", "c")
SPECIAL = (
    "refund",
    "contact_updated",
    "contact_updated",
    "tags_added",
    "tags_removed",
    "list_added",
    "list_removed",
    "opt_out",
    "opt_in",
    "consent",
    "event_retracted",
)
AMOUNTS = (2, 1, 10, 2, 2.5, 0, "3", 0.1, 0.2, "tea")
OWN_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "nowhere", None, 7)
HOURS = ("00:00:00", "22:00:00", "02:30:00", "09:00:00.5")
SHARED_IDS = 12
"""Ids that several facts may have."""


def offset(choices: Choices) -> int:
    """Milliseconds after START: a full hour or day, or just beside."""
    beside = one(choices, (0, 0, 0, 1, -1))
    return (choices.below(13) * HOUR, choices.below(61) * HOUR, choices.below(71) * DAY)[choices.below(3)] + beside


def date(choices: Choices) -> Any:
    """A date near the facts, or years before, in one of the ways to write it; or no date at all."""
    form = choices.below(10)
    if form == 9:
        return one(choices, ("tea", 20260129, None, True))
    day = format_instant(START + between(choices, -10, 75) * DAY)[:10]
    if chance(choices, 3):
        day = f"{between(choices, 1999, 2025)}{day[4:]}"
        day = day.replace("-02-28", "-02-28" if int(day[:4]) % 4 else "-02-29")
    if form == 6:
        return [day, format_instant(START + choices.below(90) * DAY)[:10]]
    return day if form < 3 else f"{day}T{one(choices, HOURS)}{one(choices, ('', 'Z', '-05:00'))}"


def properties(choices: Choices) -> Json:
    """Those of behaviour."""
    found: Json = {}
    if choices.below(3):
        found["kind"] = value(choices, (*TEXTS, None))
    if choices.below(3):
        found["amount"] = one(choices, AMOUNTS)
    if choices.below(3):
        found["id"] = one(choices, ("m1", "m1", "m2", 3, "3", ["m1"]))
    if choices.below(3):
        found["order_id"] = one(choices, ("o1", "o2"))
    if chance(choices, 3):
        found["items"] = [item(choices) for _ in range(choices.below(3))]
    if chance(choices, 4):
        found["labels"] = some(choices, TEXTS, 0, 2)
    if chance(choices, 4):
        found["a.b"] = {"c.d": value(choices, NUMBERS)}
    return found


def item(choices: Choices) -> Json:
    """One line of a basket."""
    found: Json = {}
    if choices.below(3):
        found["kind"] = value(choices, TEXTS)
    if choices.below(3):
        found["price"] = one(choices, NUMBERS)
    return found


def attributes(choices: Choices) -> Json:
    """Some of the contact's."""
    found: Json = {}
    for name in some(choices, ("city", "score", "deep", "born", "visit", "timezone", "a.b"), 2, 5):
        if name == "city":
            found[name] = value(choices, (*TEXTS, None))
        elif name == "deep":
            found[name] = {"x": value(choices, NUMBERS)}
        elif name == "timezone":
            found[name] = one(choices, OWN_ZONES)
        elif name in ("born", "visit"):
            found[name] = date(choices)
        else:
            found[name] = value(choices, (*NUMBERS, None))
    return found


def properties_of(choices: Choices, kind: str) -> Json:
    """The properties of a fact of this type."""
    if kind == "contact_updated":
        return attributes(choices)
    if kind in ("tags_added", "tags_removed"):
        return {"tags": some(choices, ("x", "y"), 1, 2)}
    if kind in ("list_added", "list_removed"):
        return {"list": one(choices, ("l1", "l2"))}
    if kind in ("opt_out", "opt_in", "consent"):
        channel = one(choices, (None, "all", "email", "sms"))
        return without_none({"channel": channel, "status": one(choices, ("granted", "revoked"))})
    if kind == "refund":
        amount = one(choices, (None, 1, 2.5, 10, -1, "x"))
        return without_none({"order_id": one(choices, ("o1", "o2")), "amount": amount})
    if kind == "event_retracted":
        return {"id": f"e{choices.below(SHARED_IDS)}"} if choices.below(12) else one(choices, ({}, {"id": 7}))
    return properties(choices)


def types_for(rules: Any) -> tuple[str, ...]:
    """The types of facts that may change the verdict of some conditions."""
    if isinstance(rules, str):
        return (rules,) if rules in TYPES else ("read", "refund") if rules == "re*" else OF_CONTACT.get(rules, ())
    if isinstance(rules, Mapping):
        return tuple(kind for key, part in rules.items() for kind in (*OF_CONTACT.get(key, ()), *types_for(part)))
    return tuple(kind for part in rules for kind in types_for(part)) if isinstance(rules, list) else ()


OF_CONTACT: dict[str, tuple[str, ...]] = {
    "profile": ("contact_updated",),
    "held": ("contact_updated",),
    "local_time": ("contact_updated",),
    "tags": ("tags_added", "tags_removed"),
    "in_list": ("list_added", "list_removed"),
    "consent": ("opt_in", "opt_out", "consent"),
    "rfm": ("purchase",),
    "contact": ("contact_updated",),
    "refund": ("refund",),
    "event_retracted": ("event_retracted",),
    "contact_updated": ("contact_updated",),
    "opt_out": ("opt_out",),
}


def fact(choices: Choices, contacts: tuple[str, ...] = CONTACTS, favoured: tuple[str, ...] = ()) -> Json:
    """One event, `at` in milliseconds after START under "offset"; `id` above 11 for one of its own."""
    kind = one(choices, (favoured or TYPES, TYPES, SPECIAL, favoured or SPECIAL)[choices.below(4)])
    return {
        "type": kind,
        "contact": one(choices, contacts),
        "offset": offset(choices),
        "id": choices.below(2 * SHARED_IDS),
        "properties": properties_of(choices, kind),
    }


def lines(
    choices: Choices,
    in_order: bool,
    contacts: tuple[str, ...] = CONTACTS,
    most: int = 14,
    favoured: tuple[str, ...] = (),
    erasing: bool = False,
) -> list[bytes]:
    """Facts as JSON lines in arrival order: by `at`, or in any order; sometimes each with its arrival.

    `favoured`: types that come more often. `erasing`: contacts are erased now and then, and facts of before come again.
    """
    found = [fact(choices, contacts, favoured) for _ in range(between(choices, 1, most))]
    if erasing:
        for event in found:
            if chance(choices, 6):
                event.update(type="contact_erased", properties={})
    if in_order:
        found.sort(key=lambda event: event["offset"])
    lines = written(found, START if chance(choices, 4) else None)
    if erasing:
        for _ in range(choices.below(4)):
            again = choices.below(len(lines))
            lines.insert(between(choices, again + 1, len(lines)), lines[again])
    return lines


def written(found: list[Json], arrivals_from: int | None) -> list[bytes]:
    """The facts as lines; the clock of arrivals begins there (ms) and never goes back, None for no arrivals."""
    written_lines = []
    for number, event in enumerate(found):
        at = START + event["offset"]
        own = event["id"] >= SHARED_IDS
        line = {
            **{name: value for name, value in event.items() if name != "offset"},
            "id": f"n{number}" if own else f"e{event['id']}",
            "at": format_instant(at),
        }
        if arrivals_from is not None:
            # Now and then a minute before its time, which is less than the skew, or a second after it.
            arrivals_from = max(arrivals_from, at + (-MINUTE, 0, 0, SECOND, 0)[number % 5])
            line["arrives"] = format_instant(arrivals_from)
        written_lines.append(orjson.dumps(line))
    return written_lines
