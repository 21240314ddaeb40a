"""Every kind of condition, and the one type that stands for any of them: an object with the condition's name as its
only key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from engine.conditions import boolean
from engine.conditions.aggregate import Aggregate
from engine.conditions.boolean import AllOf, AnyOf, NoneOf, Not
from engine.conditions.consent import Consents
from engine.conditions.did import Did
from engine.conditions.held import Held
from engine.conditions.in_list import InList
from engine.conditions.in_segment import InSegment
from engine.conditions.known import Known
from engine.conditions.local_time import LocalTime
from engine.conditions.missed import Missed
from engine.conditions.profile import Profile
from engine.conditions.quiet import Quiet
from engine.conditions.regularly import Regularly
from engine.conditions.rfm import Rfm
from engine.conditions.sample import Sample
from engine.conditions.sequence import Sequence
from engine.conditions.streak import Streak
from engine.conditions.tags import Tags

NAMES = (
    "all",
    "any",
    "none",
    "not",
    "did",
    "aggregate",
    "profile",
    "held",
    "tags",
    "in_list",
    "known",
    "quiet",
    "sequence",
    "missed",
    "streak",
    "regularly",
    "rfm",
    "sample",
    "in_segment",
    "local_time",
    "consent",
)
TAG = "\0"
"""Marks the union's own entries in the places that pydantic reports, so that they can be told from keys."""


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        names = [key for key in value if key in NAMES]
        return TAG + names[0] if len(value) == 1 and names else None
    fields = getattr(type(value), "model_fields", None)
    return TAG + str(next(iter(fields))).rstrip("_") if fields else None


Condition = Annotated[
    Annotated[AllOf, Tag(TAG + "all")]
    | Annotated[AnyOf, Tag(TAG + "any")]
    | Annotated[NoneOf, Tag(TAG + "none")]
    | Annotated[Not, Tag(TAG + "not")]
    | Annotated[Did, Tag(TAG + "did")]
    | Annotated[Aggregate, Tag(TAG + "aggregate")]
    | Annotated[Profile, Tag(TAG + "profile")]
    | Annotated[Held, Tag(TAG + "held")]
    | Annotated[Tags, Tag(TAG + "tags")]
    | Annotated[InList, Tag(TAG + "in_list")]
    | Annotated[Known, Tag(TAG + "known")]
    | Annotated[Quiet, Tag(TAG + "quiet")]
    | Annotated[Sequence, Tag(TAG + "sequence")]
    | Annotated[Missed, Tag(TAG + "missed")]
    | Annotated[Streak, Tag(TAG + "streak")]
    | Annotated[Regularly, Tag(TAG + "regularly")]
    | Annotated[Rfm, Tag(TAG + "rfm")]
    | Annotated[Sample, Tag(TAG + "sample")]
    | Annotated[InSegment, Tag(TAG + "in_segment")]
    | Annotated[LocalTime, Tag(TAG + "local_time")]
    | Annotated[Consents, Tag(TAG + "consent")],
    Discriminator(_kind),
]
"""Any condition."""

for _model in (AllOf, AnyOf, NoneOf, Not):
    _model.model_rebuild(_types_namespace={"Condition": Condition, **vars(boolean)})
