"""The model document that `rfm` names: cut points with an id, a workspace and, in the topic, a version of their own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from engine.conditions.document import Document, InstantText
from engine.conditions.feature import event_words
from engine.conditions.scoring import Scoring
from engine.conditions.wording import bounds_words, duration_words
from engine.definitions.document import Segment, Workspace, canonical, checked_id
from engine.definitions.source import Written

PREFIX = "model:"
"""Before a model's id in keys and lists, so that it is no segment's: their ids hold no colon."""


def _model_id(value: Any) -> str:
    return checked_id(value, "model")


class Computed(Document):
    """Where the cut points of a snapshot come from."""

    at: InstantText
    """As of when they were computed."""
    contacts: Annotated[int, Field(ge=1)]
    """The contacts that had a score then."""
    units: Literal["exact", "whole"] = "exact"
    """How far above a quintile the lower fifth still goes: not at all, or a whole day, purchase and unit of money."""


class _Head(Written):
    """What a model is called; its fields stand first."""

    model: Annotated[str, BeforeValidator(_model_id)]
    """The id: lower-case letters, digits, hyphens."""
    name: Annotated[str, Field(max_length=200)] = ""
    description: Annotated[str, Field(max_length=2_000)] = ""
    workspace: Workspace = "default"


class Model(Scoring, _Head):
    """A model of recency, frequency and money: which purchases count, and the cut points of the scores 1 to 5."""

    computed: Computed | None = None
    """Of a snapshot of a population's quintiles: how it came to be."""

    @property
    def key(self) -> tuple[str, str]:
        """Workspace, and the id with PREFIX: never the key of a segment."""
        return self.workspace, f"{PREFIX}{self.model}"


Definition = Segment | Model
"""Whatever stands in a folder of definitions and in the definitions topic."""


def is_model(key: tuple[str, str]) -> bool:
    """Whether a key, of workspace and name, is that of a model."""
    return key[1].startswith(PREFIX)


def canonical_form(definition: Definition) -> dict[str, Any]:
    """The definition as plain JSON, defaults filled: equal for definitions that mean the same."""
    if isinstance(definition, Segment):
        return canonical(definition)
    return definition.model_dump(mode="json", by_alias=True, exclude_none=True)


def describe_model(model: Model) -> str:
    """One sentence: what is scored, and the cut points.

    >>> cuts = {"recency": ["P30D", "P60D", "P90D", "P180D"], "frequency": [2, 3, 5, 8], "monetary": [5, 10, 20.5, 50]}
    >>> model = {"model": "m", "event": "purchase", "amount": "amount", "within": "P365D", "cuts": cuts}
    >>> for part in describe_model(Model.model_validate(model)).split("; "):
    ...     print(part)
    scores purchase in the last 365 days
    recency from 5 down to 1 at 30 days, 60 days, 90 days, 180 days
    frequency from 1 up to 5 at 2, 3, 5, 8
    average amount from 1 up to 5 at 5, 10, 20.5, 50
    """
    cuts = model.cuts
    return "; ".join(
        (
            f"scores {event_words(model.event, model.where)}{bounds_words(model.within)}",
            f"recency from 5 down to 1 at {', '.join(map(duration_words, cuts.recency))}",
            f"frequency from 1 up to 5 at {', '.join(map(str, cuts.frequency))}",
            f"{model.monetary} {model.amount} from 1 up to 5 at {', '.join(map(str, cuts.monetary))}",
        )
    )
