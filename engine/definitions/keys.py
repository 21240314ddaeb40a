"""Which keys a place in a definition allows, read off the documents themselves."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from engine.conditions.registry import NAMES, Condition
from engine.conditions.values import Test
from engine.definitions.document import Segment


def keys_at(place: tuple[str | int, ...], document: type[BaseModel] = Segment) -> list[str]:
    """The keys of the part at `place` of such a document; none where any key may stand."""
    models: list[type[BaseModel]] = [document]
    for part in place:
        if isinstance(part, int):
            continue
        found: list[type[BaseModel]] = []
        for model in models:
            for name, field in model.model_fields.items():
                if part in (name, field.alias):
                    found += _models(field.annotation)
        if found:
            models = found
        elif not any(issubclass(model, Test) for model in models):
            models = [Test]  # a path of `where`; those of `profile` have tests of their own
    names = [field.alias or name for model in models for name, field in model.model_fields.items()]
    return list(NAMES) if set(NAMES) <= set(names) else list(dict.fromkeys(names))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if annotation is Condition or str(annotation) in ("Condition", "ForwardRef('Condition')"):
        return [model for each in get_args(get_args(Condition)[0]) for model in _models(get_args(each)[0])]
    return [model for each in get_args(annotation) for model in _models(each)]
