"""What is allowed and still likely a mistake: told by `segments check`, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from engine.conditions.aggregate import AggregateOptions
from engine.conditions.paths import parse_path
from engine.definitions.document import Segment

SUMMED = ("sum", "avg", "min", "max")
MONEY = ("amount", "price")


def advice(segment: Segment) -> list[str]:
    """Sentences about one definition, each with its path."""
    return list(_advice(segment.when, "when"))


def _advice(part: Any, path: str) -> Iterator[str]:
    if isinstance(part, AggregateOptions):
        last = parse_path(part.of)[-1]
        if part.fn in SUMMED and last in MONEY and not any("currency" in test for test in part.where):
            yield (
                f"{path}: {part.of} is taken as it is, in whatever currency it came: "
                "if there may be several, add a test such as where: {currency: EUR}"
            )
    if isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from _advice(getattr(part, name), f"{path}.{field.alias or name}")
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from _advice(child, f"{path}[{index}]")
