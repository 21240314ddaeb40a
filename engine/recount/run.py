"""The whole recount: raw facts in arrival order → transitions and members, by a plain walk over every contact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.recount.contact import Walk
from engine.recount.facts import ERASURE, MAX_BYTES, Refused, partition_of, read_fact, wire_key
from engine.recount.instants import BEGINNING, DAY_MS
from engine.recount.life import Change, InForce, Who


@dataclass(slots=True)
class Result:
    """What a recount found.

    transitions: dicts of workspace, segment, contact, change, sequence, at (ms), cause, version (None where versions
        were not given); in order for each contact
    members: for every segment, also an empty one, its members at the end
    late_contacts: those with a fact that was before the contact's as-of, or before its partition's clock, when taken
    unsettled: those of whom something fell due at the very instant at which changed definitions were taken up, or a
        fact came that was before it: what is published then, and as of when, is nobody's promise
    erased_contacts: those that were erased, perhaps to be new since; erased: facts ignored because of it
    rejected: (line counted from 1, reason) of every record that is no fact
    clocks: where the clock of each partition (0 if there is but one) stood at the end, ms
    """

    transitions: list[dict[str, Any]] = field(default_factory=list)
    members: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    late_contacts: set[tuple[str, str]] = field(default_factory=set)
    unsettled: set[tuple[str, str]] = field(default_factory=set)
    erased_contacts: set[tuple[str, str]] = field(default_factory=set)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    duplicates: int = 0
    erased: int = 0
    facts: int = 0
    clocks: dict[int, int] = field(default_factory=dict)


def recount(
    segments: Sequence[Mapping[str, Any]],
    facts: Iterable[Mapping[str, Any] | bytes | Change],
    models: Sequence[Mapping[str, Any]] = (),
    *,
    until: int | None,
    grace: int = 1000,
    skew: int = 300_000,
    dedup: int = 7 * DAY_MS,
    max_bytes: int = MAX_BYTES,
    partitions: int | None = None,
    clock_follows_arrival: bool = True,
    thorough: bool = False,
) -> Result:
    """Evaluates the segments over all facts, from nothing.

    segments: definitions as plain dicts (DESIGN 5), options may be absent; Unsupported for what it can't evaluate.
    models: the models that `rfm` names, in canonical form, of any workspace.
    facts: JSON lines or their objects (DESIGN 3) in the order in which they are taken, each perhaps with `arrives`;
    among them the changes of definitions, of each partition where its facts stood when it took them up.
    until: where the clock goes at the end (ms); None: where the facts left it. Deadlines strictly before it fire.
    grace, skew, dedup (ms), max_bytes of one line: as the engine's settings.
    partitions: each Kafka partition has a clock of its own; None: one clock for all.
    clock_follows_arrival: `arrives` moves the clock, as in `replay`; False: only the facts' `at` do, as in *behind*.
    thorough: look at everything everywhere; slow, and by construction the same answer.
    """
    result = Result()
    first = InForce(segments, models)
    in_force: dict[int, InForce] = {}
    walks: dict[tuple[str, str], Walk] = {}
    places: dict[tuple[str, str], int] = {}
    for line, record in enumerate(facts, 1):
        if isinstance(record, bytes) and not record.strip():
            continue
        if isinstance(record, Change):
            first = _take_up(record, first, in_force, walks, places, result)
            continue
        try:
            fact = read_fact(record, line, skew, max_bytes)
        except Refused as refused:
            result.rejected.append((line, refused.reason))
            continue
        who = (fact.workspace, fact.contact)
        if who not in walks:
            places[who] = partition_of(wire_key(*who), partitions) if partitions else 0
            walks[who] = Walk(in_force.get(places[who], first), *who, result.transitions, thorough)
        clock = result.clocks.get(places[who], BEGINNING)
        if clock_follows_arrival and fact.arrival is not None:
            clock = max(clock, fact.arrival)
        walk = walks[who]
        if fact.type != ERASURE and fact.at <= walk.erased_at:
            result.erased += 1
        elif walk.is_duplicate(fact, dedup):
            result.duplicates += 1
        else:
            result.facts += 1
            if fact.type == ERASURE:
                result.erased_contacts.add(who)
                walk.erase(fact, clock)
            else:
                walk.take(fact, clock)
        result.clocks[places[who]] = max(clock, fact.at - grace)
    if until is not None:
        result.clocks = {place: max(clock, until) for place, clock in result.clocks.items()}
    for who, walk in walks.items():
        walk.pass_time(result.clocks[places[who]])
    _gather(result, [first, *in_force.values()], walks)
    return result


def _take_up(
    change: Change,
    first: InForce,
    in_force: dict[int, InForce],
    walks: Mapping[Who, Walk],
    places: Mapping[Who, int],
    result: Result,
) -> InForce:
    """Every contact that the change is for goes on under it; what those of partitions without one begin under."""
    meant = [change.partition] if change.partition is not None else [0, *result.clocks]
    for place in meant:
        result.clocks[place] = max(result.clocks.get(place, BEGINNING), change.at)
    for who, walk in walks.items():
        if (change.partition is None or places[who] == change.partition) and who not in change.passed_over:
            walk.take_up(change)
    if change.partition is None:
        in_force.clear()
        return change.definitions
    in_force[change.partition] = change.definitions
    return first


def _gather(result: Result, in_force: Sequence[InForce], walks: Mapping[Who, Walk]) -> None:
    for each in in_force:
        for workspace, plan in each.plans.items():
            result.members.update({(workspace, name): set() for name in plan.order})
    for (workspace, contact), walk in walks.items():
        if walk.late:
            result.late_contacts.add((workspace, contact))
        if walk.unsettled:
            result.unsettled.add((workspace, contact))
        for name, sequence in walk.members.items():
            if sequence % 2:
                result.members.setdefault((workspace, name), set()).add(contact)
