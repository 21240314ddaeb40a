"""`rfm`: scores from 1 to 5 for recency, frequency and money, by a model of cut points (engine.conditions.scoring).

All tests must hold. The purchases that count are those of the model's `event` and `where`, within its window: the last
of them decides recency, their number frequency, and what they cost on average (or in total, if the model says so)
money. Refunds lessen what a purchase cost, and a purchase of which nothing is left counts nowhere. Where no purchase
counts there is no score; no score of money either where none of them has an amount. What has no score meets nothing but
`exists: false`.

A model is a document beside the segments: `model`, its id; `event`, `where` and `within`, as in `did`; `amount`, where
the money stands; `monetary`, `average` or `total`; and `cuts`, four cut points each. Recency is 5 below its first cut
point and falls as time passes: it loses a point on the millisecond at which the last purchase is as old as a cut point.
Frequency and money are 1 below their first cut point and gain one at each.

>>> Rfm.model_validate({"rfm": {"model": "shop-2026", "recency": {"gte": 4}, "monetary": 5}}).describe()
'by the model shop-2026, recency is at least 4 and monetary is 5'
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from engine.conditions.aggregating import EverTotal, EverValue, WindowEnds, WindowTotal
from engine.conditions.boolean import every
from engine.conditions.contact import Contact
from engine.conditions.counting import EverCount, WindowCount, verdict_of_count
from engine.conditions.document import Document, mistake
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import Intake, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.money import MILLION
from engine.conditions.picking import ValueReader, split_where, value_reader
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.scoring import CUTS, SCORES, Scoring, frequency_score, monetary_score, recency_score
from engine.conditions.values import AnyTest, Test, compile_values, exact, where_identity, words

PARTS: Final = ("recency", "frequency", "monetary")
_OPERATORS: Final = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between", "exists")


class RfmOptions(Document):
    """A model, and a test of at least one of its scores, from 1 to 5."""

    model: str = Field(min_length=1, max_length=64)
    """The id of a model of the same workspace."""
    recency: AnyTest | None = None
    """The score of the time since the last purchase."""
    frequency: AnyTest | None = None
    """The score of the number of purchases."""
    monetary: AnyTest | None = None
    """The score of the average purchase, or of their total."""

    @field_validator(*PARTS)
    @classmethod
    def _of_scores(cls, test: Test | None) -> Test | None:
        for name, operand in () if test is None else test.operators():
            if name not in _OPERATORS:
                raise mistake("score", f"{name} does not fit a score", f"use {' '.join(_OPERATORS)}")
            for each in () if name == "exists" else operand if isinstance(operand, list) else [operand]:
                if type(each) is not int or each not in SCORES:
                    hint = f"a score is a whole number from {SCORES[0]} to {SCORES[-1]}"
                    raise mistake("score", f"{each!r} is not a score", hint)
        return test

    @model_validator(mode="after")
    def _tests_something(self) -> RfmOptions:
        if not self.tests():
            raise mistake("rfm", "rfm tests no score", "test recency, frequency or monetary, as in recency: {gte: 4}")
        return self

    def tests(self) -> list[tuple[str, Test]]:
        """The scores that are tested."""
        return [(name, test) for name in PARTS if (test := getattr(self, name)) is not None]


class Rfm(Document):
    """`rfm: {model, recency, frequency, monetary}`"""

    rfm: RfmOptions

    def compile(self, scope: Scope) -> Evaluate:
        """Every score passes its test. Raises LookupError for a model that is not in the scope."""
        scoring = scope.model(self.rfm.model)
        parts = [_PARTS[name](scoring, scope, _score_test(test)) for name, test in self.rfm.tests()]
        return every(parts, True)

    def describe(self) -> str:
        """Plain words."""
        tests = " and ".join(f"{name} {words(test)}" for name, test in self.rfm.tests())
        return f"by the model {self.rfm.model}, {tests}"

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The purchases that count; only the last of them where nothing but recency is tested."""
        scoring = scope.model(self.rfm.model)
        intake, _ = intake_of(scoring.event, scoring.where, scope.calendar)
        window = None if scoring.within is None else scope.window(scoring.within)
        found = [
            fact
            for fact in facts
            if fact.at <= t and intake.takes(fact) and (window is None or t < window.end(fact.at))
        ]
        return found if self.rfm.frequency is not None or self.rfm.monetary is not None else found[-1:]


ScoreTest = Callable[[int | None], bool]
"""Whether a score passes; None stands for no score."""


def _score_test(test: Test) -> ScoreTest:
    passes = compile_values(test)
    truths = {score: passes([score]) for score in SCORES}
    without = all(name == "exists" and not operand for name, operand in test.operators())
    return lambda score: without if score is None else truths[score]


def _amounts(scoring: Scoring, scope: Scope) -> tuple[Intake, str, ValueReader]:
    """As an `aggregate` of the amount has them, so that the features are the same."""
    outer, inner = split_where(scoring.amount, scoring.where)
    intake, identity = intake_of(scoring.event, outer, scope.calendar)
    return intake, f"{scoring.amount}|{where_identity(inner)}|{identity}", value_reader(scoring.amount, inner)


def _last(scoring: Scoring, scope: Scope) -> Callable[[Contact, int], tuple[int | None, int]]:
    """The instant of the last purchase that counts, and until when it does."""
    intake, identity, read = _amounts(scoring, scope)
    if scoring.within is None:
        key = scope.share(EverValue("last", intake, identity, read)).key

        def ever(contact: Contact, t: int) -> tuple[int | None, int]:
            value = contact.features.get(key)
            return (None if value is None else value[0]), NEVER

        return ever
    key = scope.share(WindowEnds("last", intake, identity, read, scope.window(scoring.within))).key

    def last(contact: Contact, t: int) -> tuple[int | None, int]:
        for at, end, _ in reversed(contact.features.get(key) or ()):
            if end > t:
                return at, end
        return None, NEVER

    return last


def _counts(scoring: Scoring, scope: Scope) -> EverCount | WindowCount:
    """How many purchases count, as far as cut points can tell."""
    intake, identity = intake_of(scoring.event, scoring.where, scope.calendar)
    if scoring.within is None:
        return scope.share(EverCount(intake, identity))
    return scope.share(WindowCount(intake, identity, scope.window(scoring.within), scoring.cuts.frequency[-1]))


def _spent(scoring: Scoring, scope: Scope) -> Callable[[Contact, int], tuple[int, int, int]]:
    """Millionths that the purchases that count cost together, how many have an amount, and until when this stands."""
    intake, identity, read = _amounts(scoring, scope)
    if scoring.within is None:
        key = scope.share(EverTotal("avg", intake, identity, read)).key

        def ever(contact: Contact, t: int) -> tuple[int, int, int]:
            total, count = contact.features.get(key) or (0, 0)
            return total, count, NEVER

        return ever
    key = scope.share(WindowTotal("avg", intake, identity, read, scope.window(scoring.within), None)).key

    def spent(contact: Contact, t: int) -> tuple[int, int, int]:
        alive = [entry for entry in contact.features.get(key) or () if entry[0] > t]
        return sum(part for _, part in alive), len(alive), alive[0][0] if alive else NEVER

    return spent


def _recency(scoring: Scoring, scope: Scope, passes: ScoreTest) -> Evaluate:
    last_of = _last(scoring, scope)
    lengths = [scope.window(cut) for cut in scoring.cuts.recency]
    without = passes(None)
    after = [passes(recency_score(reached)) for reached in range(CUTS + 1)]

    def evaluate(contact: Contact, t: int) -> Verdict:
        last, until = last_of(contact, t)
        if last is None:
            return without, NEVER
        drops = sorted(length.end(last) for length in lengths)
        reached = bisect_right(drops, t)
        for index in range(reached, CUTS):
            if after[index + 1] is not after[reached]:
                until = min(until, drops[index])
                break
        return after[reached], until

    return evaluate


def _frequency(scoring: Scoring, scope: Scope, passes: ScoreTest) -> Evaluate:
    counts = range(scoring.cuts.frequency[-1] + 1)
    truths = [passes(frequency_score(scoring.cuts, count) if count else None) for count in counts]
    return verdict_of_count(_counts(scoring, scope), truths)


def _monetary(scoring: Scoring, scope: Scope, passes: ScoreTest) -> Evaluate:
    spent = _spent(scoring, scope)
    cuts = [int(Fraction(exact(cut)) * MILLION) for cut in scoring.cuts.monetary]
    average = scoring.monetary == "average"

    def evaluate(contact: Contact, t: int) -> Verdict:
        total, count, until = spent(contact, t)
        return passes(monetary_score(cuts, total, count if average else 1) if count else None), until

    return evaluate


_PARTS: Final[dict[str, Callable[[Scoring, Scope, ScoreTest], Any]]] = {
    "recency": _recency,
    "frequency": _frequency,
    "monetary": _monetary,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What is scored of one contact: milliseconds since the last purchase, how many count, and the money."""

    recency: int
    frequency: int
    monetary: Fraction | None
    """None where no purchase has an amount."""


def figures(scoring: Scoring, scope: Scope) -> Callable[[Contact, int], Figures | None]:
    """What a contact's scores at an instant are of; None of a contact without a purchase that counts.

    In a window numbers of purchases end at the model's last cut point.
    """
    last_of, counts, spent = _last(scoring, scope), _counts(scoring, scope), _spent(scoring, scope)

    def found(contact: Contact, t: int) -> Figures | None:
        last, _ = last_of(contact, t)
        if last is None:
            return None
        value = contact.features.get(counts.key)
        count = (value or 0) if isinstance(counts, EverCount) else sum(end > t for end in value or ())
        total, amounts, _ = spent(contact, t)
        divisor = amounts if scoring.monetary == "average" else 1
        return Figures(t - last, count, Fraction(total, divisor * MILLION) if amounts else None)

    return found


EXAMPLES = (
    Example(
        "Bought lately, and spends 200 or more at a time",
        """
        model: shop-2026
        event: purchase
        amount: amount
        cuts:
          recency: [P30D, P60D, P90D, P180D]
          frequency: [2, 3, 5, 8]
          monetary: [50, 100, 200, 500]
        ---
        segment: lately-and-much
        when: {rfm: {model: shop-2026, recency: {gte: 4}, monetary: {gte: 4}}}
        """,
        """
        2026-05-01T10:00:00Z purchase c-1 {"amount": 100}
        2026-05-02T10:00:00Z purchase c-1 {"amount": 300}
        2026-05-02T10:00:00Z purchase c-2 {"amount": 199.99}
        """,
        "2026-08-01T00:00:00Z",
        """
        2026-05-02T10:00:00.000Z enter lately-and-much c-1 event
        2026-07-01T10:00:00.000Z exit lately-and-much c-1 clock
        """,
    ),
)
