"""What segments need of each other and of models, and the order in which they are judged.

What is nested comes first, a group as one, then by id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from engine.conditions.boolean import AllOf, AnyOf, NoneOf, Not
from engine.conditions.in_segment import InSegment
from engine.conditions.rfm import Rfm
from engine.definitions.document import Segment
from engine.definitions.source import Place

_TREES: dict[type, str] = {AllOf: "all", AnyOf: "any", NoneOf: "none"}


class Need(NamedTuple):
    """That the rule of `segment` asks at `place` for membership in `other`."""

    segment: str
    place: Place
    other: str


class Cycle(ValueError):
    """Segments that need each other's answer: each of `needs` leads to the next, the last to the first.

    What one of them asks for may be another of its own group, whose answers are one.
    """

    def __init__(self, needs: Sequence[Need]) -> None:
        self.needs = list(needs)
        names: list[str] = []
        for need, after in pairwise([*needs, needs[0]]):
            names += [need.segment] if need.other == after.segment else [need.segment, need.other]
        super().__init__(" → ".join([*names, names[0]]))


def needed(segment: Segment) -> list[Need]:
    """The segments that the rule asks for by `in_segment`, each with the place of its id, by id."""
    needs = [
        Need(segment.segment, (*place, "in_segment"), leaf.in_segment)
        for place, leaf in _leaves(segment.when, ("when",))
        if isinstance(leaf, InSegment)
    ]
    return sorted(needs, key=lambda need: need.other)


def named_models(segment: Segment) -> Iterator[tuple[Place, str]]:
    """Every model that the rule scores by, with the place of its id."""
    for place, leaf in _leaves(segment.when, ("when",)):
        if isinstance(leaf, Rfm):
            yield (*place, "rfm", "model"), leaf.rfm.model


def _leaves(part: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """The conditions of a rule that are not made of others, each with its place."""
    if isinstance(part, Not):
        yield from _leaves(part.not_, (*place, "not"))
        return
    kind = _TREES.get(type(part))
    if kind is None:
        yield place, part
        return
    for index, child in enumerate(getattr(part, kind)):
        yield from _leaves(child, (*place, kind, index))


def judging_order(segments: Sequence[Segment]) -> list[Segment]:
    """One workspace's segments so that each comes after those it nests, and a group's stand together. Raises Cycle."""
    order, cycles = ordered(segments)
    if cycles:
        raise cycles[0]
    return order


@dataclass(slots=True)
class _Visit:
    """A unit that is being visited: what it needs still, and the need that is being followed."""

    unit: str
    rest: Iterator[Need]
    followed: Need | None = None


def ordered(segments: Sequence[Segment]) -> tuple[list[Segment], list[Cycle]]:
    """The order of judging, and every cycle that stands in its way."""
    by_id = {segment.segment: segment for segment in segments}
    units: dict[str, list[str]] = {}
    unit_of: dict[str, str] = {}
    for name in sorted(by_id):
        group = by_id[name].group
        unit_of[name] = unit = f"\0{group.name}" if group is not None else name
        units.setdefault(unit, []).append(name)
    needs = {unit: [need for name in names for need in needed(by_id[name])] for unit, names in units.items()}
    done: dict[str, bool] = {}
    order: list[Segment] = []
    cycles: list[Cycle] = []
    for first in sorted(units, key=lambda each: units[each][0]):
        path = [] if first in done else [_Visit(first, iter(needs[first]))]
        done.setdefault(first, False)
        while path:
            visit = path[-1]
            visit.followed = next((need for need in visit.rest if need.other in by_id), None)
            if visit.followed is None:
                done[visit.unit] = True
                order.extend(by_id[name] for name in units[visit.unit])
                path.pop()
                continue
            unit = unit_of[visit.followed.other]
            if unit not in done:
                done[unit] = False
                path.append(_Visit(unit, iter(needs[unit])))
            elif not done[unit]:
                start = next(index for index, each in enumerate(path) if each.unit == unit)
                cycles.append(Cycle([each.followed for each in path[start:] if each.followed is not None]))
    return order, cycles
