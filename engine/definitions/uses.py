"""What a definition is made of and who is made of it: segments by `in_segment`, models by `rfm`."""

from __future__ import annotations

from collections.abc import Iterable

from engine.definitions.document import Segment
from engine.definitions.graph import named_models, needed
from engine.definitions.model import PREFIX, Definition

Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with PREFIX."""


def uses(definition: Definition) -> list[Key]:
    """The segments that the rule asks for and the models that it scores by, each once, by id."""
    if not isinstance(definition, Segment):
        return []
    names = {need.other for need in needed(definition)}
    names |= {f"{PREFIX}{model}" for _, model in named_models(definition)}
    return [(definition.workspace, name) for name in sorted(names)]


def users(definitions: Iterable[Definition]) -> dict[Key, list[Key]]:
    """Who uses each definition that is used by any of these, by key."""
    found: dict[Key, list[Key]] = {}
    for definition in definitions:
        for used in uses(definition):
            found.setdefault(used, []).append(definition.key)
    return {used: sorted(by) for used, by in found.items()}
