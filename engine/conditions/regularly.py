"""`regularly`: `count` is met in at least so many of the last `periods` periods, counted back from now.

Period k = 1, 2, … holds the events at e with e + (k - 1) · P ≤ t < e + k · P: an event passes from one period to the
next, and out of the last, as time goes on. Months go by the calendar, each from the event itself: what happened on
31 January is in the second period of P1M from 28 February on and in the third from 31 March on. A count that 0 meets is
met by an empty period too.

>>> rule = {"event": "purchase", "period": "P1M", "periods": 6, "at_least": 4}
>>> Regularly.model_validate({"regularly": rule}).describe()
'bought something at least once in at least 4 of the last 6 periods of 1 month'
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from engine.conditions.contact import Contact
from engine.conditions.counting import highest_asked, truths
from engine.conditions.document import Document, Window, mistake
from engine.conditions.evidence import counted
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, WindowLength, intake_of
from engine.conditions.instants import NEVER, Duration
from engine.conditions.periods import PeriodInstants, bounded
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import AnyTest, Test
from engine.conditions.wording import count_words, done_words, duration_words

AT_LEAST_ONE = Test(gte=1)
PERIODS_MAX = 100
"""The most periods that may be looked back at."""
PASSES_MAX = PERIODS_MAX
"""Instants at which events pass into another period that one verdict looks ahead to, as many as one event may need; if
the truth outlasts them all, it is asked again at the next one."""


class RegularlyOptions(EventDocument):
    """In how many of which periods the number of events must meet `count`."""

    count: AnyTest = AT_LEAST_ONE
    """The test of the number of events in one period; 0 is a number too."""
    period: Window
    """How long a period is; months go by the calendar."""
    periods: Annotated[int, Field(ge=1, le=PERIODS_MAX)]
    """How many periods are looked back at."""
    at_least: Annotated[int, Field(ge=1, le=PERIODS_MAX)]
    """In how many of them `count` must be met."""

    @field_validator("count")
    @classmethod
    def _a_count(cls, test: Test) -> Test:
        highest_asked(test)
        return test

    @model_validator(mode="after")
    def _fit_together(self) -> RegularlyOptions:
        if self.at_least > self.periods:
            problem = f"{self.at_least} of {self.periods} periods can't be"
            raise mistake("at_least", problem, f"at_least is a number from 1 to {self.periods}", at=("at_least",))
        bounded(highest_asked(self.count), self.periods, "periods")
        return self

    @property
    def span(self) -> Duration:
        """All periods together."""
        return self.so_many(self.periods)

    def so_many(self, periods: int) -> Duration:
        """The length of so many periods."""
        return Duration(self.period.months * periods, self.period.millis * periods)


class Regularly(Document):
    """`regularly: {event, where, count, period, periods, at_least}`"""

    regularly: RegularlyOptions

    def compile(self, scope: Scope) -> Evaluate:
        """Enough periods meet the count."""
        options = self.regularly
        intake, identity = intake_of(options.event, options.where, scope.calendar)
        highest, bounds = highest_asked(options.count), self._bounds(scope)
        key = scope.share(PeriodInstants(intake, identity, bounds, highest)).key
        passes, wanted, periods = truths(options.count, highest), options.at_least, options.periods
        by_empty, length = periods if passes[0] else 0, bounds[1].fixed

        def evaluate(contact: Contact, t: int) -> Verdict:
            instants: list[int] = contact.features.get(key) or []
            met_by = passes + [passes[highest]] * len(instants)
            counts, met = [0] * (periods + 1), by_empty
            ahead: list[tuple[int, int, int]] = []  # when an event passes on, out of which period, and its `at`
            for at in instants:
                if length is not None:
                    period = (t - at) // length + 1
                else:
                    period = bisect_right(bounds, t, key=lambda bound: bound.end(at))
                if period <= periods:
                    met += met_by[counts[period] + 1] - met_by[counts[period]]
                    counts[period] += 1
                    ahead.append((bounds[period].end(at), period, at))
            heapify(ahead)
            now = met >= wanted
            for _ in range(PASSES_MAX):
                if not ahead:
                    return now, NEVER
                instant = ahead[0][0]
                while ahead and ahead[0][0] == instant:
                    _, period, at = heappop(ahead)
                    counts[period] -= 1
                    met -= met_by[counts[period] + 1] - met_by[counts[period]]
                    if period < periods:
                        met += met_by[counts[period + 1] + 1] - met_by[counts[period + 1]]
                        counts[period + 1] += 1
                        heappush(ahead, (bounds[period + 1].end(at), period + 1, at))
                if (met >= wanted) is not now:
                    return now, instant
            return now, ahead[0][0] if ahead else NEVER

        return evaluate

    def _bounds(self, scope: Scope) -> tuple[WindowLength, ...]:
        return tuple(scope.window(self.regularly.so_many(count)) for count in range(self.regularly.periods + 1))

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The matching events in any of the periods."""
        intake, _ = intake_of(self.regularly.event, self.regularly.where, scope.calendar)
        return counted(intake, self._bounds(scope)[-1], facts, t)

    def describe(self) -> str:
        """Plain words."""
        options = self.regularly
        often = count_words(options.count)
        said = done_words(options.event, options.where)
        said = f"never {said}" if often == "never" else f"{said} {often}"
        length = duration_words(options.period)
        if options.periods == 1:
            return f"{said} in the last {length}"
        enough = "each" if options.at_least == options.periods else f"at least {options.at_least}"
        return f"{said} in {enough} of the last {options.periods} periods of {length}"


EXAMPLES = (
    Example(
        "Bought in three of the last four weeks",
        """
        segment: regulars
        when: {regularly: {event: purchase, period: P7D, periods: 4, at_least: 3}}
        """,
        """
        2026-05-01T10:00:00Z purchase c-1 {"amount": 10}
        2026-05-07T10:00:00Z purchase c-1 {"amount": 10}
        2026-05-15T10:00:00Z purchase c-1 {"amount": 10}
        """,
        "2026-07-01T00:00:00Z",
        """
        2026-05-15T10:00:00.000Z enter regulars c-1 event
        2026-05-21T10:00:00.000Z exit regulars c-1 clock
        2026-05-22T10:00:00.000Z enter regulars c-1 clock
        2026-05-28T10:00:00.000Z exit regulars c-1 clock
        """,
    ),
)
