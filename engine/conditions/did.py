"""`did`: the number of matching events meets `count`.

All bounds apply. `within: [P2D, P7D]` counts an event at e while e + P2D ≤ t < e + P7D. With `first: true` only the
first event ever that matches `event` and `where` is looked at, and the bounds say whether it counts; with `of_last: 20`
only the last 20 events of `event`, whatever `where` says.

>>> Did.model_validate({"did": {"event": "purchase", "within": "P30D", "count": {"gte": 3}}}).describe()
'bought something at least 3 times in the last 30 days'
>>> Did.model_validate({"did": {"event": "purchase", "where": {"items.category": "Chinese tea"}}}).describe()
'bought Chinese tea at least once'
>>> Did.model_validate({"did": {"event": "purchase", "first": True, "within": ["P2D", "P7D"]}}).describe()
'bought something for the first time from 7 days to 2 days ago'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, field_validator, model_validator

from engine.conditions.contact import Contact
from engine.conditions.counting import (
    EverCount,
    count_feature,
    count_verdict,
    highest_asked,
    truths,
    verdict_of_spans,
)
from engine.conditions.document import Bounds, Document, InstantText, mistake
from engine.conditions.evidence import counted
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, Feature, event_words, intake_of
from engine.conditions.instants import NEVER, Duration
from engine.conditions.last_events import FirstEvent, LastEvents
from engine.conditions.periods import PeriodInstants, bounded
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import AnyTest, Test
from engine.conditions.wording import bounds_words, count_words, done_words

AT_LEAST_ONE = Test(gte=1)
OF_LAST_MAX = 1_000
"""The most events that `of_last` may look back at: the state keeps that many instants."""
Spans = Callable[[int], tuple[int, int]]
"""From an event's `at` to the first instant at which it counts, and the first at which it no longer does (ms)."""


def _true_or_nothing(value: Any) -> Any:
    return None if value is False else value


class DidOptions(EventDocument):
    """How often `event` must have happened; all bounds apply."""

    within: Bounds | None = None
    """The window, or `[from, to]`: so long ago at least, and less than so long."""
    since: InstantText | None = None
    """Only events at or after this instant; without an offset it is in the time zone of the segment."""
    until: InstantText | None = None
    """Only events before this instant."""
    count: AnyTest = AT_LEAST_ONE
    """The test of how many there are; 0 is a number too."""
    first: Annotated[StrictBool | None, BeforeValidator(_true_or_nothing)] = None
    """Whether only the first event ever of `event` and `where` counts."""
    of_last: Annotated[int, Field(ge=1, le=OF_LAST_MAX)] | None = None
    """How many of the last events of `event` are looked at, whether they match `where` or not."""

    @field_validator("count")
    @classmethod
    def _a_count(cls, test: Test) -> Test:
        highest_asked(test)
        return test

    @model_validator(mode="after")
    def _fit_together(self) -> DidOptions:
        if self.first and self.of_last is not None:
            hint = "take one of them out: first looks at the first event ever, of_last at the latest ones"
            raise mistake("did", "first and of_last exclude each other", hint, at=("of_last",))
        if isinstance(self.within, list) and not self.first and self.of_last is None:
            start, end = (each.longest() for each in self.within)
            bounded(highest_asked(self.count), -(-end // (end - start)), "within")
        return self


class Did(Document):
    """`did: {event, where, within, since, until, count, first, of_last}`"""

    did: DidOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The verdict whether the count is met."""
        options = self.did
        if options.first:
            return self._first(scope)
        if options.of_last is not None:
            return self._of_last(scope, options.of_last)
        intake, identity = intake_of(options.event, options.where, scope.calendar, options.since, options.until)
        highest = highest_asked(options.count)
        if options.within is None:
            return count_verdict(scope.share(EverCount(intake, identity)), options.count, highest)
        if isinstance(options.within, list):
            start, end = (scope.window(each) for each in options.within)
            feature = scope.share(PeriodInstants(intake, identity, (start, end), highest))
            return self._counting(feature, lambda value: value, scope)
        window = scope.window(options.within)
        return count_verdict(scope.share(count_feature(intake, identity, window, highest)), options.count, highest)

    def _first(self, scope: Scope) -> Evaluate:
        feature = scope.share(FirstEvent(*intake_of(self.did.event, self.did.where, scope.calendar)))
        since, until = self._since_until(scope)
        return self._counting(feature, lambda at: (at,) if since <= at < until else (), scope)

    def _of_last(self, scope: Scope, keep: int) -> Evaluate:
        of_types, _ = intake_of(self.did.event, {}, scope.calendar)
        matching, identity = intake_of(self.did.event, self.did.where, scope.calendar)
        feature = scope.share(LastEvents(of_types, identity, matching.test, keep))
        since, until = self._since_until(scope)

        def counts(value: list[int]) -> list[int]:
            return [each >> 1 for each in value if each & 1 and since <= each >> 1 < until]

        return self._counting(feature, counts, scope)

    def _since_until(self, scope: Scope) -> tuple[int, int]:
        intake, _ = intake_of(self.did.event, {}, scope.calendar, self.did.since, self.did.until)
        return intake.since, intake.until

    def _spans(self, scope: Scope) -> Spans:
        within = self.did.within
        if within is None:
            return lambda at: (at, NEVER)
        if isinstance(within, Duration):
            window = scope.window(within)
            return lambda at: (at, window.end(at))
        start, end = (scope.window(each) for each in within)
        return lambda at: (start.end(at), end.end(at))

    def _counting(self, feature: Feature, instants: Callable[[Any], Sequence[int]], scope: Scope) -> Evaluate:
        """The verdict on how many of the instants in the feature's value lie in the window."""
        key, passes, spans = feature.key, truths(self.did.count, highest_asked(self.did.count)), self._spans(scope)
        highest = len(passes) - 1

        def ever(contact: Contact, t: int) -> Verdict:
            value = contact.features.get(key)
            return passes[min(len(instants(value)), highest) if value is not None else 0], NEVER

        def within(contact: Contact, t: int) -> Verdict:
            value = contact.features.get(key)
            return verdict_of_spans(map(spans, instants(value)) if value is not None else (), passes, t)

        return ever if self.did.within is None else within

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The matching events within the bounds; with `first` the first one, wherever it lies."""
        options = self.did
        intake, _ = intake_of(options.event, options.where, scope.calendar, options.since, options.until)
        if options.first:
            anytime, _ = intake_of(options.event, options.where, scope.calendar)
            return counted(anytime, None, facts, t)[:1]
        if options.of_last is not None:
            of_types, _ = intake_of(options.event, {}, scope.calendar)
            facts = counted(of_types, None, facts, t)[-options.of_last :]
        spans = self._spans(scope)
        found = ((fact, *spans(fact.at)) for fact in counted(intake, None, facts, t))
        return [fact for fact, start, end in found if start <= t < end]

    def describe(self) -> str:
        """Plain words."""
        options = self.did
        said, often, bounds = done_words(options.event, options.where), count_words(options.count), self.bounds()
        if options.first:
            return self._first_words()
        if options.of_last is not None:
            return f"{said} {often} among the last {options.of_last} {event_words(options.event, {})} events{bounds}"
        if often == "never":
            return f"never {said}{bounds}"
        return f"{said}{bounds}" if bounds and options.count == AT_LEAST_ONE else f"{said} {often}{bounds}"

    def _first_words(self) -> str:
        none, one, *_ = truths(self.did.count, highest_asked(self.did.count))
        if one and not none:
            return f"{self.deed()}{self.bounds()}"
        if none and not one:
            return f"not ({self.deed()}{self.bounds()})"
        return f"{self.deed()} {count_words(self.did.count)}{self.bounds()}"

    def describe_not(self) -> str:
        """Plain words for the contrary."""
        options = self.did
        if options.count != AT_LEAST_ONE or options.first or options.of_last is not None:
            return f"not ({self.describe()})"
        return f"has not {done_words(options.event, options.where, has=True)}{self.bounds()}"

    def deed(self) -> str:
        """Plain words for what is done, however often and whenever."""
        said = done_words(self.did.event, self.did.where)
        if self.did.first:
            return f"{said} for the first time"
        return said if self.did.of_last is None else f"{said} among the last {self.did.of_last}"

    def bounds(self) -> str:
        """Plain words for when, with a space in front; nothing for any time."""
        options = self.did
        return bounds_words(options.within, options.since, options.until)


EXAMPLES = (
    Example(
        "Three months after a purchase",
        """
        segment: tea-again
        timezone: Europe/Moscow
        when:
          all:
            - did: {event: purchase, where: {items.category: tea}}
            - not: {did: {event: purchase, where: {items.category: tea}, within: P3M}}
        """,
        """
        2026-01-31T10:00:00Z purchase c-1 {"items": [{"category": "tea", "price": 12}]}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-04-30T10:00:00.000Z enter tea-again c-1 clock
        """,
    ),
    Example(
        "Two to seven days after the first purchase of all",
        """
        segment: welcome
        when: {did: {event: purchase, first: true, within: [P2D, P7D]}}
        """,
        """
        2026-05-01T10:00:00Z purchase c-1 {"amount": 12}
        2026-05-06T10:00:00Z purchase c-1 {"amount": 30}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-03T10:00:00.000Z enter welcome c-1 clock
        2026-05-08T10:00:00.000Z exit welcome c-1 clock
        """,
    ),
    Example(
        "Two of the last three views were of tea",
        """
        segment: into-tea
        when: {did: {event: product_view, where: {category: tea}, of_last: 3, count: {gte: 2}}}
        """,
        """
        2026-05-01T10:00:00Z product_view c-1 {"category": "tea"}
        2026-05-02T10:00:00Z product_view c-1 {"category": "mugs"}
        2026-05-03T10:00:00Z product_view c-1 {"category": "tea"}
        2026-05-04T10:00:00Z product_view c-1 {"category": "mugs"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-03T10:00:00.000Z enter into-tea c-1 event
        2026-05-04T10:00:00.000Z exit into-tea c-1 event
        """,
    ),
)
