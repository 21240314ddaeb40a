"""What is allowed and still likely a mistake: told by `segments check`, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from engine.conditions.aggregate import AggregateOptions
from engine.conditions.paths import parse_path
from engine.conditions.scoring import Scoring
from engine.definitions.model import Definition, Model

SUMMED = ("sum", "avg", "min", "max")
MONEY = ("amount", "price")


def advice(definition: Definition) -> list[str]:
    """Sentences about one definition, each with its path."""
    if isinstance(definition, Model):
        return list(_currency(definition, definition.amount, "amount"))
    return list(_advice(definition.when, "when"))


def _currency(part: AggregateOptions | Scoring, of: str, path: str) -> Iterator[str]:
    if parse_path(of)[-1] in MONEY and not any("currency" in test for test in part.where):
        yield (
            f"{path}: {of} is taken as it is, in whatever currency it came: "
            "if there may be several, add a test such as where: {currency: EUR}"
        )


def _advice(part: Any, path: str) -> Iterator[str]:
    if isinstance(part, AggregateOptions) and part.fn in SUMMED:
        yield from _currency(part, part.of, path)
    if isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from _advice(getattr(part, name), f"{path}.{field.alias or name}")
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from _advice(child, f"{path}[{index}]")
