"""`aggregate`: sum, avg, min, max, count, distinct, first or last of a property over the events that have it.

No such event: `sum`, `count` and `distinct` are 0, the others have no value and meet nothing but `exists: false`. Of
a list, each
element counts that passes the tests on the same list.

>>> rule = {"fn": "sum", "of": "amount", "event": "purchase", "within": "P90D", "is": {"gte": 500}}
>>> Aggregate.model_validate({"aggregate": rule}).describe()
'the sum of amount of purchase within P90D is at least 500'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from engine.conditions.aggregating import (
    EverTotal,
    EverValue,
    WindowEnds,
    WindowTotal,
    WindowValues,
    split_where,
    value_reader,
)
from engine.conditions.contact import Contact
from engine.conditions.document import Document, InstantText, Path, Window
from engine.conditions.feature import EventDocument, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.money import MILLION
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import AnyTest, Test, compile_values, where_identity, words

Function = Literal["sum", "avg", "min", "max", "count", "distinct", "first", "last"]


class AggregateOptions(EventDocument):
    """`fn` of the property at `of`; all bounds apply; `is` tests the result."""

    fn: Function
    of: Path
    within: Window | None = None
    since: InstantText | None = None
    until: InstantText | None = None
    is_: AnyTest = Field(alias="is")


class Aggregate(Document):
    """`aggregate: {fn, of, event, where, within, since, until, is}`"""

    aggregate: AggregateOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The test of the figure."""
        options = self.aggregate
        outer, inner = split_where(options.of, options.where)
        intake, identity = intake_of(options.event, outer, scope.calendar, options.since, options.until)
        identity = f"{options.of}|{where_identity(inner)}|{identity}"
        read = value_reader(options.of, inner)
        window = scope.window(options.within) if options.within is not None else None
        if options.fn in ("sum", "avg", "count"):
            if window is None:
                return _of_total(options, scope.share(EverTotal(options.fn, intake, identity, read)))
            enough = _enough(options.is_) if options.fn == "sum" else None
            total = scope.share(WindowTotal(options.fn, intake, identity, read, window, enough))
            return _of_window(options, total) if enough is None else _reaches(total, enough)
        passes = figure_test(options.is_)
        if window is None:
            value = scope.share(EverValue(options.fn, intake, identity, read))
            return _of_values(passes, value)
        if options.fn in ("first", "last"):
            return _of_values(passes, scope.share(WindowEnds(options.fn, intake, identity, read, window)))
        return _of_values(passes, scope.share(WindowValues(options.fn, intake, identity, read, window)))

    def describe(self) -> str:
        """Plain words."""
        options = self.aggregate
        names = {
            "avg": "average",
            "min": "least",
            "max": "greatest",
            "count": "number",
            "distinct": "number of different",
        }
        text = f"the {names.get(options.fn, options.fn)} of {options.of} of {event_words(options.event, options.where)}"
        text += f" within {options.within}" if options.within else ""
        text += f" since {options.since}" if options.since else ""
        text += f" until {options.until}" if options.until else ""
        return f"{text} {words(options.is_)}"


def figure_test(test: Test) -> Callable[[list[Any]], bool]:
    """The test of a figure; where there is none it meets nothing but `exists: false`."""
    passes = compile_values(test)
    without = all(name == "exists" and not operand for name, operand in test.operators())
    return lambda figure: passes(figure) if figure else without


def _enough(test: Test) -> int | None:
    """The sum in millionths that must be reached, where the test is only that (and more than nothing); else None."""
    operators = test.operators()
    if len(operators) != 1 or operators[0][0] != "gte":
        return None
    operand = operators[0][1]
    if type(operand) is not int or not 0 < operand < 10**9:
        return None
    return operand * MILLION


def _reaches(feature: WindowTotal, enough: int) -> Evaluate:
    key = feature.key

    def evaluate(contact: Contact, t: int) -> Verdict:
        value = contact.features.get(key)
        if value is None:
            return False, NEVER
        total, negative = 0, False
        for index in range(len(value) - 1, -1, -1):
            end, part = value[index]
            if end <= t:
                break
            total += part
            negative = negative or part < 0
            if total >= enough and not negative:
                return True, end
        if not negative:
            return False, NEVER
        alive = [(end, part) for end, part in value if end > t]
        return sum(part for _, part in alive) >= enough, min(end for end, _ in alive)

    return evaluate


def _of_window(options: AggregateOptions, feature: WindowTotal) -> Evaluate:
    key, figure, passes = feature.key, feature.figure, figure_test(options.is_)

    def evaluate(contact: Contact, t: int) -> Verdict:
        value = contact.features.get(key)
        alive = [entry for entry in value if entry[0] > t] if value is not None else []
        return passes(figure(sum(part for _, part in alive), len(alive))), alive[0][0] if alive else NEVER

    return evaluate


def _of_total(options: AggregateOptions, feature: EverTotal) -> Evaluate:
    key, figure, passes = feature.key, feature.figure, figure_test(options.is_)

    def evaluate(contact: Contact, t: int) -> Verdict:
        total, number = contact.features.get(key) or (0, 0)
        return passes(figure(total, number)), NEVER

    return evaluate


def _of_values(passes: Callable[[list[Any]], bool], feature: EverValue | WindowEnds | WindowValues) -> Evaluate:
    key, figure = feature.key, feature.figure

    def evaluate(contact: Contact, t: int) -> Verdict:
        found, until = figure(contact.features.get(key), t)
        return passes(found), until

    return evaluate
