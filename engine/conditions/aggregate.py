"""`aggregate`: sum, avg, min, max, count, distinct, first or last of a property over the events that have it.

No such event: `sum`, `count` and `distinct` are 0, the others have no value and meet nothing but `exists: false`. Of
a list, each
element counts that passes the tests on the same list.

>>> rule = {"fn": "sum", "of": "amount", "event": "purchase", "within": "P90D", "is": {"gte": 500}}
>>> Aggregate.model_validate({"aggregate": rule}).describe()
'the sum of amount over purchase in the last 90 days is at least 500'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field

from engine.conditions.aggregating import (
    EverTotal,
    EverValue,
    WindowEnds,
    WindowTotal,
    WindowValues,
    extreme,
)
from engine.conditions.contact import Contact
from engine.conditions.document import Document, InstantText, Path, Window
from engine.conditions.evidence import counted
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.money import MILLION
from engine.conditions.picking import split_where, value_reader
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import FigureTest, Test, compile_values, where_identity, words
from engine.conditions.wording import bounds_words

Function = Literal["sum", "avg", "min", "max", "count", "distinct", "first", "last"]


class AggregateOptions(EventDocument):
    """`fn` of the property at `of`; all bounds apply; `is` tests the result."""

    fn: Function
    """`sum avg min max count distinct first last`."""
    of: Path
    """The property, by path; of a list each element counts that passes the tests on the same list."""
    within: Window | None = None
    """The window."""
    since: InstantText | None = None
    """Only events at or after this instant; without an offset it is in the time zone of the segment."""
    until: InstantText | None = None
    """Only events before this instant."""
    is_: FigureTest = Field(alias="is")
    """The test of the result."""


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

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The events that have the property; of first, last, min and max the one that has the value."""
        options = self.aggregate
        outer, inner = split_where(options.of, options.where)
        intake, _ = intake_of(options.event, outer, scope.calendar, options.since, options.until)
        read = value_reader(options.of, inner)
        window = scope.window(options.within) if options.within is not None else None
        found = [(fact, read(fact)) for fact in counted(intake, window, facts, t)]
        if options.fn == "last":
            return [fact for fact, values in found if values is not None][-1:]
        having = [fact for fact, values in found if values]
        if options.fn in ("min", "max"):
            return extreme(options.fn, having, read)[:1]
        return having[:1] if options.fn == "first" else having

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
        bounds = bounds_words(options.within, options.since, options.until)
        over = f"over {event_words(options.event, options.where)}{bounds}"
        return f"the {names.get(options.fn, options.fn)} of {options.of} {over} {words(options.is_)}"


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


EXAMPLES = (
    Example(
        "Spent at least 100 on tea in 30 days",
        """
        segment: tea-100
        when:
          aggregate:
            fn: sum
            of: items.price
            event: purchase
            where: {items.category: tea}
            within: P30D
            is: {gte: 100}
        """,
        """
        2026-05-01T10:00:00Z purchase c-1 {"items": [{"category": "tea", "price": 60}, {"category": "mug", "price": 9}]}
        2026-05-11T10:00:00Z purchase c-1 {"items": [{"category": "tea", "price": 40.0}]}
        """,
        "2026-07-01T00:00:00Z",
        """
        2026-05-11T10:00:00.000Z enter tea-100 c-1 event
        2026-05-31T10:00:00.000Z exit tea-100 c-1 clock
        """,
    ),
    Example(
        "The latest order is still open",
        """
        segment: order-open
        when:
          aggregate: {fn: last, of: status, event: order_changed, is: {not_in: [delivered, cancelled], exists: true}}
        """,
        """
        2026-05-01T10:00:00Z order_changed c-1 {"status": "packed"}
        2026-05-02T10:00:00Z order_changed c-1 {"status": "delivered"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter order-open c-1 event
        2026-05-02T10:00:00.000Z exit order-open c-1 event
        """,
    ),
)
