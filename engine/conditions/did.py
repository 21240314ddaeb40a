"""`did`: the number of matching events meets `count`.

>>> from engine.conditions.values import Test
>>> DidOptions.model_validate({"event": "purchase", "within": "P30D", "count": {"gte": 3}}).count.gte
3
"""

from __future__ import annotations

from pydantic import field_validator

from engine.conditions.counting import EverCount, count_feature, count_verdict, highest_asked
from engine.conditions.document import Document, InstantText, Window
from engine.conditions.feature import EventDocument, event_words, intake_of
from engine.conditions.scope import Evaluate, Scope
from engine.conditions.values import AnyTest, Test, words

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

    def describe(self) -> str:
        """Plain words."""
        options = self.did
        text = f"did {event_words(options.event, options.where)}"
        if options.count != AT_LEAST_ONE:
            text += f", a number of times that {words(options.count)}"
        text += f", within {options.within}" if options.within else ""
        text += f", since {options.since}" if options.since else ""
        return text + (f", until {options.until}" if options.until else "")
