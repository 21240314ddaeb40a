"""The whole recount: raw facts in arrival order → transitions and members, by a plain walk over every contact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.recount.contact import Walk
from engine.recount.facts import ERASURE, MAX_BYTES, Refused, partition_of, read_fact, wire_key
from engine.recount.instants import BEGINNING, DAY_MS
from engine.recount.plan import Plan


@dataclass(slots=True)
class Result:
    """What a recount found.

    transitions: dicts of workspace, segment, contact, change, sequence, at (ms), cause; in order for each contact
    members: for every segment, also an empty one, its members at the end
    late_contacts: those with a fact that was before the contact's as-of, or before its partition's clock, when taken
    erased_contacts: those that were erased, perhaps to be new since; erased: facts ignored because of it
    rejected: (line counted from 1, reason) of every record that is no fact
    clocks: where the clock of each partition (0 if there is but one) stood at the end, ms
    """

    transitions: list[dict[str, Any]] = field(default_factory=list)
    members: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    late_contacts: set[tuple[str, str]] = field(default_factory=set)
    erased_contacts: set[tuple[str, str]] = field(default_factory=set)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    duplicates: int = 0
    erased: int = 0
    facts: int = 0
    clocks: dict[int, int] = field(default_factory=dict)


def recount(
    segments: Sequence[Mapping[str, Any]],
    facts: Iterable[Mapping[str, Any] | bytes],
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
    facts: JSON lines or their objects (DESIGN 3) in the order in which they are taken, each perhaps with `arrives`.
    until: where the clock goes at the end (ms); None: where the facts left it. Deadlines strictly before it fire.
    grace, skew, dedup (ms), max_bytes of one line: as the engine's settings.
    partitions: each Kafka partition has a clock of its own; None: one clock for all.
    clock_follows_arrival: `arrives` moves the clock, as in `replay`; False: only the facts' `at` do, as in *behind*.
    thorough: look at everything everywhere; slow, and by construction the same answer.
    """
    result = Result()
    models_of = _by_workspace(models)
    plans = {name: Plan(chosen, models_of.get(name, ())) for name, chosen in _by_workspace(segments).items()}
    walks: dict[tuple[str, str], Walk] = {}
    places: dict[tuple[str, str], int] = {}
    for line, record in enumerate(facts, 1):
        if isinstance(record, bytes) and not record.strip():
            continue
        try:
            fact = read_fact(record, line, skew, max_bytes)
        except Refused as refused:
            result.rejected.append((line, refused.reason))
            continue
        who = (fact.workspace, fact.contact)
        if who not in walks:
            plan = plans.setdefault(fact.workspace, Plan(()))
            walks[who] = Walk(plan, *who, result.transitions, thorough)
            places[who] = partition_of(wire_key(*who), partitions) if partitions else 0
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
    _gather(result, plans, walks)
    return result


def _by_workspace(definitions: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    workspaces: dict[str, list[Mapping[str, Any]]] = {}
    for definition in definitions:
        workspaces.setdefault(definition.get("workspace") or "default", []).append(definition)
    return workspaces


def _gather(result: Result, plans: Mapping[str, Plan], walks: Mapping[tuple[str, str], Walk]) -> None:
    for workspace, plan in plans.items():
        result.members.update({(workspace, name): set() for name in plan.order})
    for (workspace, contact), walk in walks.items():
        if walk.late:
            result.late_contacts.add((workspace, contact))
        for name, sequence in walk.members.items():
            if sequence % 2:
                result.members[workspace, name].add(contact)
