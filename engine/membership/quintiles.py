"""A population's quintiles of recency, frequency and money, from facts: the cut points of a model, fixed from then on.

The facts go through the very core that judges segments, so repeated ids, refunds and retractions count as they do
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final, Literal

from engine.conditions.fact import Fact
from engine.conditions.feature import Feature
from engine.conditions.instants import DAY, LAST_INSTANT, Duration
from engine.conditions.money import MILLION, plain_amount
from engine.conditions.rfm import Figures, figures
from engine.conditions.scope import Scope
from engine.conditions.scoring import Scoring
from engine.conditions.zones import UTC_CALENDAR
from engine.membership.facts import Rejected
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.plan import Plan, WorkspacePlan

Units = Literal["exact", "whole"]
FIFTHS: Final = (1, 2, 3, 4)
ONE: Final = {"recency": DAY, "frequency": 1, "monetary": MILLION}
"""A whole unit of what is scored: a day, a purchase, a unit of money; in milliseconds, purchases and millionths."""


def quantile(values: Sequence[Fraction | int], fifths: int) -> Fraction:
    """The quantile at so many fifths of `values`, ascending and not empty; between two of them by proportion.

    Type 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages (1996): what R and numpy do.

    >>> [float(quantile([1, 2, 3, 4, 10], fifths)) for fifths in (1, 2, 3, 4)]
    [1.8, 2.6, 3.4, 5.2]
    """
    place = Fraction((len(values) - 1) * fifths, 5)
    below = floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * Fraction(values[above] - values[below])


def cut(quintile: Fraction, one: int, units: Units) -> int:
    """The first whole number that is no longer in the fifth up to `quintile`.

    `exact`: the next one above it. `whole`: one unit above it or the next, as the R package rfm has it.

    >>> [cut(Fraction(1482, 5), 1, units) for units in ("exact", "whole")], cut(Fraction(4), 1, "exact")
    ([297, 298], 5)
    """
    return floor(quintile) + 1 if units == "exact" else ceil(quintile + one)


def cut_points(population: Sequence[Figures], units: Units) -> dict[str, list[Any]]:
    """The `cuts` of a model from the figures of its contacts, as they are written in a document.

    Raises ValueError where there is nothing to take quintiles of.
    """
    money = [each.monetary * MILLION for each in population if each.monetary is not None]
    if not money:
        raise ValueError("no purchase that counts has an amount" if population else "no contact has such a purchase")
    columns: dict[str, Sequence[Fraction | int]] = {
        "recency": sorted(each.recency for each in population),
        "frequency": sorted(each.frequency for each in population),
        "monetary": sorted(money),
    }
    cuts = {
        name: [cut(quantile(values, fifths), ONE[name], units) for fifths in FIFTHS] for name, values in columns.items()
    }
    return {
        "recency": [str(Duration(0, millis)) for millis in cuts["recency"]],
        "frequency": cuts["frequency"],
        "monetary": [plain_amount(millionths) for millionths in cuts["monetary"]],
    }


class Population:
    """The contacts of one workspace, and what a model would score of each at one instant."""

    def __init__(self, scoring: Scoring, workspace: str, at: int, *, dedup: int) -> None:
        """`at` and `dedup` in milliseconds. Of `scoring` only the last cut of frequency matters: in a window no more
        purchases are counted."""
        self.facts = 0
        """Taken so far: those of the workspace, up to `at`, each id once."""
        self._at = at
        self._workspace = workspace
        features: dict[int, Feature] = {}
        self._figures = figures(scoring, Scope(UTC_CALENDAR, features, lambda _: 0))
        self._contacts = MemoryContacts()
        plan = Plan(0, {workspace: WorkspacePlan((), features)}, {})
        self._partition = Partition(plan, self._contacts, grace=0, dedup=dedup, journal_retention=LAST_INSTANT)

    def take(self, fact: Fact) -> Rejected | None:
        """One fact more, in any order of `at`; those of other workspaces or after `at` are passed over."""
        if fact.at > self._at or fact.workspace != self._workspace:
            return None
        self._partition.take((fact,))
        batch = self._partition.drain()
        self._contacts.commit(batch)
        self.facts += batch.facts
        return batch.refused[0][1] if batch.refused else None

    def figures(self) -> list[Figures]:
        """Of every contact with a purchase that counts."""
        found = (self._figures(contact, self._at) for contact in self._contacts.contacts.values())
        return [each for each in found if each is not None]
