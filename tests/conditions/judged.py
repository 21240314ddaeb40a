"""One condition held against what its definition says, told naively: for property tests.

Facts are taken one by one by the very core; after each, the verdict is asked at every instant of interest from as-of
on, and compared with the naive truth; so is what each verdict says of its own end, and what a fold of all features from
the facts that count would answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER, format_instant
from engine.definitions import Model, read_segment
from engine.membership.planned import PlannedSegment
from engine.membership.refunds import effective
from engine.membership.replay import Replay

Truth = Callable[[Sequence[Fact], int], bool]
"""Whether a condition holds at an instant (ms), by all facts that count, in order of `at`, then arrival."""
Moment = Mapping[str, Any]
"""A fact to be taken: `at` in ms, `type`, `properties`."""
KEY = b"\x07defaultc"


def hold_against(
    rule: Mapping[str, Any],
    moments: Sequence[Moment],
    truth: Truth,
    changes: Callable[[int], Iterable[int]],
    zone: str = "UTC",
    models: Sequence[Model] = (),
) -> int:
    """Take the facts in the order given; `changes`: the instants at which a fact at `at` may change the truth.

    Returns how often the naive truth was true.
    """
    segment = read_segment({"segment": "s", "timezone": zone, "mailable": False, "when": rule})
    replay = Replay([segment], models)
    planned = replay.partition.plan.workspace("default").segments[0]
    times = sorted({0, *(m["at"] + d for m in moments for d in (-1, 0, 1))} | _around(moments, changes))
    found = 0
    for number, moment in enumerate(moments):
        line = {"id": f"e{number}", "contact": "c", **moment, "at": format_instant(moment["at"])}
        replay.take(orjson.dumps(line))
        contact = replay.contacts.contacts[KEY]
        facts = effective(replay.contacts.history(KEY, contact))
        asked = [t for t in times if t >= contact.as_of]
        naive = {t: truth(facts, t) for t in asked}
        found += sum(naive.values())
        _agree(planned, contact, naive, "as taken")
        _agree(planned, _afresh(replay, facts, contact.as_of), naive, "folded afresh")
    return found


def _around(moments: Sequence[Moment], changes: Callable[[int], Iterable[int]]) -> set[int]:
    instants = {each for moment in moments for each in changes(moment["at"]) if each < NEVER}
    return {each + d for each in instants for d in (-1, 0, 1)}


def _afresh(replay: Replay, facts: Sequence[Fact], as_of: int) -> Contact:
    contact = Contact(as_of=as_of, known_at=0)
    for feature in replay.partition.plan.workspace("default").features.values():
        value = feature.fold(facts, as_of)
        if value is not None:
            contact.features[feature.key] = value
    return contact


def _agree(planned: PlannedSegment, contact: Contact, naive: Mapping[int, bool], how: str) -> None:
    last_until, last_truth, last_t = -1, False, -1
    for t, wanted in naive.items():
        now, until = planned.rule(contact, t)
        assert now is wanted, (how, format_instant(t), now)
        assert until > t, (how, format_instant(t), until)
        if t < last_until:
            assert now is last_truth, (how, format_instant(last_t), format_instant(t), "until was late")
        if until > last_until or now is not last_truth:
            last_until, last_truth, last_t = until, now, t
