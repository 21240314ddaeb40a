"""What is allowed and still likely a mistake: told by `segments check`, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from engine.conditions.aggregate import AggregateOptions
from engine.conditions.counting import highest_asked, truths
from engine.conditions.did import DidOptions
from engine.conditions.instants import parse_instant
from engine.conditions.paths import parse_path
from engine.conditions.scoring import Scoring
from engine.conditions.values import Test, compare
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
    if isinstance(part, AggregateOptions | DidOptions) and _nothing_between(part.since, part.until):
        yield f"{path}.until: nothing lies between {part.since} and {part.until}: are they the wrong way round?"
    if isinstance(part, DidOptions):
        yield from _count(part, f"{path}.count")
    if isinstance(part, Test) and part.between is not None and (compare(*part.between) or 0) > 0:
        low, high = part.between
        yield f"{path}.between: no value is at or above {low} and at or below {high}: are they the wrong way round?"
    if isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from _advice(getattr(part, name), f"{path}.{field.alias or name}")
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from _advice(child, f"{path}[{index}]")
    elif isinstance(part, dict):
        for name, child in part.items():
            yield from _advice(child, f"{path}.{name}")


def _nothing_between(since: str | None, until: str | None) -> bool:
    return since is not None and until is not None and parse_instant(since) >= parse_instant(until)


def _count(options: DidOptions, path: str) -> Iterator[str]:
    """What is odd about a count that none, or every, number of events meets."""
    most = 1 if options.first else options.of_last
    highest = highest_asked(options.count)
    possible = truths(options.count, highest)
    if most is not None:
        possible = possible[: most + 1]
    if not any(possible):
        reach = f" that may be at most {most} here" if most is not None else ""
        yield f"{path}: no number of events{reach} meets it, so nobody is ever in by it"
    elif all(possible):
        yield f"{path}: every number of events meets it, so it holds for everybody"
