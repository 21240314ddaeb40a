"""What is allowed and still likely a mistake: told by `segments check`, never refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from engine.conditions.aggregate import AggregateOptions
from engine.conditions.counting import highest_asked, truths
from engine.conditions.did import DidOptions
from engine.conditions.instants import NEVER, Duration, parse_instant
from engine.conditions.paths import parse_path
from engine.conditions.scope import Scope
from engine.conditions.scoring import Scoring
from engine.conditions.values import Test, compare
from engine.conditions.wording import duration_words
from engine.definitions.document import Segment
from engine.definitions.model import Definition, Model

SUMMED = ("sum", "avg", "min", "max")
MONEY = ("amount", "price")
NAMED_MAX = 5
"""Segments that one sentence names."""


def advice(definition: Definition) -> list[str]:
    """Sentences about one definition, each with its path."""
    if isinstance(definition, Model):
        return list(_currency(definition, definition.amount, "amount"))
    return list(_advice(definition.when, "when"))


def reaching_back(definitions: Iterable[Definition], retention: int) -> str | None:
    """One sentence about the segments whose rule counts facts of all time, which the journal keeps for `retention` (ms)
    only; None where there is none. Rules by a model that is not among the definitions are passed over."""
    definitions = [*definitions]
    models = {each.model: each for each in definitions if isinstance(each, Model)}
    found = [each.segment for each in definitions if isinstance(each, Segment) and _counts_for_good(each, models)]
    if not found:
        return None
    named = ", ".join(found[:NAMED_MAX]) + (f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else "")
    one = len(found) == 1
    return (
        f"{named} {'counts' if one else 'count'} facts of all time. Where {'it is' if one else 'they are'} new or "
        f"changed, a contact's first answer rests on what the journal still holds of it, the last "
        f"{duration_words(Duration(0, retention))} at most; from then on nothing is forgotten"
    )


def _counts_for_good(segment: Segment, models: Mapping[str, Scoring]) -> bool:
    if segment.when is None:
        return False
    scope = Scope(segment.calendar, {}, lambda _: 0, models=models)
    try:
        segment.when.compile(scope)
    except LookupError:
        return False
    return any(
        feature.counted_until(0) >= NEVER and any(intake.since == 0 for intake in feature.intakes)
        for feature in scope.features.values()
    )


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
