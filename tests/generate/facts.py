"""Facts on all five topics, the same for the same shape: duplicates, refunds, opt-outs, profile changes, messages,
browsing.

On-time facts arrive LATENCY after their instant, so every topic holds them in the order of their instants, and a
contact's facts can be put in order across topics by `at` alone. A share may be late: half of it overtakes within
GRACE, half arrives long after.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from tests.generate.contacts import TOPIC_OF, Story

LATENCY = 40  # ms between a fact and its arrival
DAY = 86_400_000
SECOND_WORKSPACE = "outlet"


class Sent(NamedTuple):
    """One record as it is published: `at` and `arrives` in ms since the epoch."""

    topic: str
    fact: dict[str, Any]
    at: int
    arrives: int
    duplicate: bool

    @property
    def contact(self) -> tuple[str, str]:
        """Workspace and contact."""
        return self.fact.get("workspace", "default"), self.fact["contact"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What to generate.

    `facts` counts records, duplicates included. `late` and `duplicates` are shares of them; `same_instant` is the
    share that takes the very millisecond of the contact's fact before. `outlet` is the share of contacts that live in
    a second workspace, under ids that the first one has too. `start` in ms since the epoch, `grace` in ms.
    """

    facts: int = 100_000
    contacts: int = 2_000
    seed: int = 11
    start: int = 1_767_225_600_000  # 2026-01-01T00:00:00Z
    days: float = 60.0
    late: float = 0.0
    duplicates: float = 0.02
    same_instant: float = 0.0
    outlet: float = 0.1
    grace: int = 1_000

    def __post_init__(self) -> None:
        if self.facts < 0 or self.contacts < 1 or self.days <= 0:
            raise ValueError("facts must not be negative; contacts and days must be positive")
        for name in ("late", "duplicates", "same_instant", "outlet"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share between 0 and 1")


def generate(shape: Shape) -> list[Sent]:
    """All records in arrival order, across topics."""
    rng = random.Random(shape.seed)
    copies = int(shape.facts * shape.duplicates)
    made: list[Sent] = []
    for name, instants in _instants(rng, shape, shape.facts - copies).items():
        made.extend(_contact(rng, shape, name, instants))
    made.extend(_copy(rng, rng.choice(made)) for _ in range(copies if made else 0))
    # The place in `made` breaks ties of arrival: a copy never comes before its original.
    return [sent for _, _, sent in sorted((sent.arrives, place, sent) for place, sent in enumerate(made))]


def by_topic(sent: Iterable[Sent]) -> dict[str, list[Sent]]:
    """The records of each topic, in arrival order."""
    found: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        found[each.topic].append(each)
    return dict(found)


def late_contacts(sent: Sequence[Sent], grace: int) -> set[tuple[str, str]]:
    """Contacts with a fact that came after a newer one of theirs, or by more than `grace` after a newer one of
    anybody's.

    `sent` in arrival order. Ignored duplicates are no facts.
    """
    late: set[tuple[str, str]] = set()
    newest, newest_of = 0, dict[tuple[str, str], int]()
    for each in sent:
        if each.duplicate:
            continue
        if each.at < newest_of.get(each.contact, 0) or each.at < newest - grace:
            late.add(each.contact)
        newest = max(newest, each.at)
        newest_of[each.contact] = max(newest_of.get(each.contact, 0), each.at)
    return late


def wire(sent: Sent, *, arrives: bool = False) -> bytes:
    """The record as one JSON line without a newline; with `arrives`, its arrival as `replay` reads it."""
    fact = {**sent.fact, "arrives": instant(sent.arrives)} if arrives else sent.fact
    return orjson.dumps(fact)


def key(sent: Sent) -> bytes:
    """The record's Kafka key."""
    workspace, contact = sent.contact
    return (contact if workspace == "default" else f"{workspace}/{contact}").encode()


def instant(at: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instants(rng: random.Random, shape: Shape, count: int) -> dict[str, list[int]]:
    """For each contact its ascending instants, distinct unless the shape says otherwise. A few contacts are busy."""
    span = int(shape.days * DAY)
    taken: dict[str, set[int]] = defaultdict(set)
    repeated: dict[str, list[int]] = defaultdict(list)
    last: dict[str, int] = {}
    for _ in range(count):
        busy = rng.random() < 0.2
        number = int(shape.contacts * rng.random() ** (3 if busy else 1))
        name, offset = f"c-{number}", rng.randrange(span)
        if name in last and rng.random() < 0.35:  # a session: soon after another of the contact's instants
            offset = last[name] - shape.start + rng.randrange(1, 3_600_000)
        if name in last and rng.random() < shape.same_instant:
            repeated[name].append(last[name])
            continue
        at = shape.start + min(offset, span)
        while at in taken[name]:
            at += 1
        taken[name].add(at)
        last[name] = at
    return {name: sorted([*found, *repeated[name]]) for name, found in sorted(taken.items())}


def _contact(rng: random.Random, shape: Shape, name: str, instants: list[int]) -> list[Sent]:
    workspace = SECOND_WORKSPACE if rng.random() < shape.outlet else "default"
    shown = name if workspace == "default" else f"c-{(int(name.removeprefix('c-')) + 1) % shape.contacts}"
    story, made = Story(rng, name), list[Sent]()
    for number, at in enumerate(instants):
        kind, properties = story.next()
        fact: dict[str, Any] = {"id": f"e-{name}-{number}", "type": kind, "contact": shown, "at": instant(at)}
        if workspace != "default":
            fact["workspace"] = workspace
        fact["properties"] = properties
        made.append(Sent(TOPIC_OF[kind], fact, at, at + LATENCY + _delay(rng, shape), duplicate=False))
    return made


def _delay(rng: random.Random, shape: Shape) -> int:
    """Extra ms in transit: none, under GRACE, or far beyond it."""
    if rng.random() >= shape.late:
        return 0
    if rng.random() < 0.5:
        return rng.randrange(1, max(2, shape.grace - LATENCY))
    return int(2 * shape.grace * 10 ** (rng.random() * 4.5))


def _copy(rng: random.Random, original: Sent) -> Sent:
    """The same id again, at most two days later: the same record, or one with other content."""
    fact = dict(original.fact)
    if rng.random() < 0.5:
        fact["properties"] = {**fact["properties"], "amount": rng.randrange(1, 90_000) / 100, "channel": "email"}
    return original._replace(fact=fact, arrives=original.arrives + rng.randrange(1, 2 * DAY), duplicate=True)
