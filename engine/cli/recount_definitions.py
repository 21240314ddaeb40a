"""What of the definitions in force a recount of a running installation can hold against: its whole past, its members
alone, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.definitions import Definition, Segment, read_definition
from engine.definitions.model import is_model
from engine.definitions.uses import uses
from engine.recount.instants import instant

Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with `model:` before it."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The `definitions` to recount by, canonical, and what is compared in part: keys of segments.

    Who is in what is paused, or in what rests on it by in_segment or a group, follows no rule now: `still`. What was
    changed or deleted, or came after the first facts, had other transitions in the past than its definition gives: of
    `changed` the members alone are compared, and of what is deleted there must be none.
    """

    definitions: list[dict[str, Any]] = field(default_factory=list)
    still: frozenset[Key] = frozenset()
    changed: frozenset[Key] = frozenset()


def in_force_of(values: Iterable[Mapping[str, Any]], first_arrival: int | None = None) -> InForce:
    """From the latest record of each key of `segments.definitions`. Raises DefinitionErrors.

    What was written after `first_arrival` (ms), that of the first fact, came later than facts; None: nothing did.
    """
    there: dict[Key, Mapping[str, Any]] = {}
    deleted: set[Key] = set()
    for value in values:
        key = value["workspace"], value["segment"]
        if value.get("state", "active") == "deleted" or value.get("definition") is None:
            deleted.add(key)
        else:
            there[key] = value
    read = {key: read_definition(value["definition"], "/".join(key)) for key, value in there.items()}
    still = _resting_on((key for key, value in there.items() if value.get("state") == "paused"), read)
    emptied = {workspace for workspace, _ in deleted}  # nobody knows in which group they were
    seeds = {key for key, value in there.items() if value.get("version", 1) > 1 or _is_later(value, first_arrival)}
    seeds |= {key for key, each in read.items() if _group(each) is not None and key[0] in emptied}
    return InForce(
        [dict(value["definition"]) for key, value in there.items() if key not in still],
        frozenset(still),
        frozenset(key for key in (_resting_on(seeds, read) | deleted) - still if not is_model(key)),
    )


def _is_later(value: Mapping[str, Any], first_arrival: int | None) -> bool:
    return first_arrival is not None and bool(value.get("at")) and instant(value["at"]) > first_arrival


def _resting_on(seeds: Iterable[Key], definitions: Mapping[Key, Definition]) -> set[Key]:
    """These, and what has its members by theirs: who nests or scores by them, and who shares a group."""
    found = set(seeds)
    while True:
        groups = {(key[0], group) for key in found if (group := _group(definitions[key])) is not None}
        more = {
            key
            for key, each in definitions.items()
            if key not in found and (not found.isdisjoint(uses(each)) or (key[0], _group(each)) in groups)
        }
        if not more:
            return found
        found |= more


def _group(definition: Definition) -> str | None:
    return definition.group.name if isinstance(definition, Segment) and definition.group is not None else None
