"""What segments need of each other and of models, and the order in which they are judged.

What is nested comes first, a group as one, then by id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from engine.conditions.in_segment import InSegment
from engine.conditions.rfm import RfmOptions
from engine.definitions.document import Segment


class Cycle(ValueError):
    """Segments that need each other's answer, in `path`, the first again at the end."""

    def __init__(self, path: list[str]) -> None:
        self.path = path
        super().__init__(" → ".join(path))


def nested(segment: Segment) -> set[str]:
    """The ids of the segments that the rule asks for by `in_segment`."""
    return set(_nested(segment.when))


def _nested(part: Any) -> Iterator[str]:
    if isinstance(part, InSegment):
        yield part.in_segment
        return
    for name in ("all", "any", "none"):
        for child in getattr(part, name, None) or ():
            yield from _nested(child)
    if hasattr(part, "not_"):
        yield from _nested(part.not_)


def named_models(part: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every model that a rule scores by, with the path of its name."""
    if isinstance(part, RfmOptions):
        yield f"{path}.model", part.model
    elif isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from named_models(getattr(part, name), f"{path}.{field.alias or name}")
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from named_models(child, f"{path}[{index}]")


def judging_order(segments: Sequence[Segment]) -> list[Segment]:
    """One workspace's segments so that each comes after those it nests, and a group's stand together. Raises Cycle."""
    by_id = {segment.segment: segment for segment in segments}
    units: dict[str, list[str]] = {}
    unit_of: dict[str, str] = {}
    for name in sorted(by_id):
        group = by_id[name].group
        unit = f"\0{group.name}" if group is not None else name
        unit_of[name] = unit
        units.setdefault(unit, []).append(name)
    needs = {
        unit: {name: sorted(each for each in nested(by_id[name]) if each in by_id) for name in names}
        for unit, names in units.items()
    }
    done: dict[str, bool] = {}
    order: list[Segment] = []

    def visit(unit: str, path: list[tuple[str, str]]) -> None:
        if unit in done:
            if not done[unit]:
                start = next(index for index, (on_path, _) in enumerate(path) if on_path == unit)
                raise Cycle(_spoken(path[start:]))
            return
        done[unit] = False
        for name in units[unit]:
            for other in needs[unit][name]:
                visit(
                    unit_of[other],
                    [*path, (unit, name), (unit_of[other], other)] if unit_of[other] == unit else [*path, (unit, name)],
                )
        done[unit] = True
        order.extend(by_id[name] for name in units[unit])

    for unit in sorted(units, key=lambda each: units[each][0]):
        visit(unit, [])
    return order


def _spoken(path: list[tuple[str, str]]) -> list[str]:
    names = list(dict.fromkeys(name for _, name in path))
    return [*names, names[0]]
