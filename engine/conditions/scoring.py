"""What a model of recency, frequency and money says: which purchases count, and the cut points of its scores.

A score goes from 1 to 5. The shorter the time since the last purchase, the better: below the first cut point it is 5,
from the last one on 1. The more often and the more, the better: below the first cut point it is 1, from the last one on
5. A value that lies on a cut point has reached it: of recency that costs a point, of the others it gains one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from engine.conditions.document import COUNT_MAX, Document, Path, Window, mistake
from engine.conditions.feature import EventDocument
from engine.conditions.instants import Duration
from engine.conditions.money import AMOUNT_MAX, MILLION
from engine.conditions.values import exact

CUTS = 4
"""Cut points of one score."""
SCORES = range(1, CUTS + 2)


def _amount(value: Any) -> int | float:
    if type(value) in (int, float) and abs(value) < AMOUNT_MAX and Fraction(exact(value)) * MILLION % 1 == 0:
        found: int | float = value
        return found
    raise mistake(
        "amount", f"{value!r} is not an amount", f"write a number below {AMOUNT_MAX} with at most six decimals"
    )


def _count(value: Any) -> int:
    if type(value) is int and 1 <= value <= COUNT_MAX:
        return value
    raise mistake("count", f"{value!r} is not a number of purchases", f"write a whole number from 1 to {COUNT_MAX}")


def _lengths(cuts: list[Duration]) -> list[Duration]:
    _ascending(cuts, [cut.longest() for cut in cuts])
    return cuts


def _numbers(cuts: list[Any]) -> list[Any]:
    _ascending(cuts, cuts)
    return cuts


def _ascending(cuts: Sequence[object], values: Sequence[Any]) -> None:
    for before, after in zip(range(len(cuts)), range(1, len(cuts)), strict=False):
        if values[after] < values[before]:
            problem = f"the cut points do not ascend: {cuts[after]} stands after {cuts[before]}"
            raise mistake("cuts", problem, "write them from the least to the greatest; equal ones leave a score empty")


Four = Field(min_length=CUTS, max_length=CUTS)
Amount = Annotated[
    int | float,
    BeforeValidator(_amount),
    WithJsonSchema({"type": "number", "exclusiveMinimum": -AMOUNT_MAX, "exclusiveMaximum": AMOUNT_MAX}),
]
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": COUNT_MAX})]


class Cuts(Document):
    """Four cut points each, ascending; equal ones leave a score empty."""

    recency: Annotated[list[Window], Four, AfterValidator(_lengths)]
    """Time since the last purchase: 5 below the first, 1 from the last on."""
    frequency: Annotated[list[Count], Four, AfterValidator(_numbers)]
    """Numbers of purchases: 1 below the first, 5 from the last on."""
    monetary: Annotated[list[Amount], Four, AfterValidator(_numbers)]
    """Amounts, exact to a millionth: 1 below the first, 5 from the last on."""


class Scoring(EventDocument):
    """What judging needs of a model: the purchases that count, within their window, and the cut points.

    >>> cuts = {"recency": ["P30D", "P60D", "P90D", "P180D"], "frequency": [2, 3, 5, 8], "monetary": [5, 10, 20, 50]}
    >>> [frequency_score(Cuts.model_validate(cuts), count) for count in (1, 2, 7, 8)]
    [1, 2, 4, 5]
    """

    amount: Path
    """Where the money stands in a purchase."""
    monetary: Literal["average", "total"] = "average"
    """What is scored: the average purchase, or the total."""
    within: Window | None = None
    """The window in which purchases count; any time by default."""
    cuts: Cuts
    """The cut points, four a score."""


def recency_score(reached: int) -> int:
    """The score of a last purchase from which so many cut points have been reached."""
    return SCORES[-1] - reached


def frequency_score(cuts: Cuts, count: int) -> int:
    """The score of so many purchases, at least one."""
    return SCORES[0] + bisect_right(cuts.frequency, count)


def monetary_score(cuts: Sequence[int], total: int, count: int) -> int:
    """The score of `total / count`, exactly; `cuts` and `total` in millionths."""
    return SCORES[0] + sum(cut * count <= total for cut in cuts)
