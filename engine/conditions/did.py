"""`did`: the number of matching events meets `count`.

>>> Did.model_validate({"did": {"event": "purchase", "within": "P30D", "count": {"gte": 3}}}).describe()
'bought something at least 3 times in the last 30 days'
>>> Did.model_validate({"did": {"event": "purchase", "where": {"items.category": "Chinese tea"}}}).describe()
'bought Chinese tea at least once'
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import field_validator

from engine.conditions.counting import EverCount, count_feature, count_verdict, highest_asked
from engine.conditions.document import Document, InstantText, Window
from engine.conditions.evidence import counted
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, intake_of
from engine.conditions.scope import Evaluate, Scope
from engine.conditions.values import AnyTest, Test
from engine.conditions.wording import bounds_words, count_words, done_words

AT_LEAST_ONE = Test(gte=1)


class DidOptions(EventDocument):
    """How often `event` must have happened; all bounds apply."""

    within: Window | None = None
    since: InstantText | None = None
    until: InstantText | None = None
    count: AnyTest = AT_LEAST_ONE

    @field_validator("count")
    @classmethod
    def _a_count(cls, test: Test) -> Test:
        highest_asked(test)
        return test


class Did(Document):
    """`did: {event, where, within, since, until, count}`"""

    did: DidOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The verdict whether the count is met."""
        options = self.did
        intake, identity = intake_of(options.event, options.where, scope.calendar, options.since, options.until)
        highest = highest_asked(options.count)
        if options.within is None:
            return count_verdict(scope.share(EverCount(intake, identity)), options.count, highest)
        window = scope.window(options.within)
        return count_verdict(scope.share(count_feature(intake, identity, window, highest)), options.count, highest)

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The matching events within the bounds."""
        options = self.did
        intake, _ = intake_of(options.event, options.where, scope.calendar, options.since, options.until)
        return counted(intake, scope.window(options.within) if options.within is not None else None, facts, t)

    def describe(self) -> str:
        """Plain words."""
        options = self.did
        said, often, bounds = done_words(options.event, options.where), count_words(options.count), self.bounds()
        if often == "never":
            return f"never {said}{bounds}"
        return f"{said}{bounds}" if bounds and options.count == AT_LEAST_ONE else f"{said} {often}{bounds}"

    def describe_not(self) -> str:
        """Plain words for the contrary."""
        options = self.did
        if options.count != AT_LEAST_ONE:
            return f"not ({self.describe()})"
        return f"has not {done_words(options.event, options.where, has=True)}{self.bounds()}"

    def deed(self) -> str:
        """Plain words for what is done, however often and whenever."""
        return done_words(self.did.event, self.did.where)

    def bounds(self) -> str:
        """Plain words for when, with a space in front; nothing for any time."""
        options = self.did
        return bounds_words(options.within, options.since, options.until)
