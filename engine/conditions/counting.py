"""How often events happened in a window: the feature and the verdict that `did`, `quiet` and others share.

In a window the value is the list of the instants at which the last matching events stop counting, ascending, no
longer than
the greatest number that the test can tell apart; without a window it is a plain count.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

from engine.conditions.contact import Contact
from engine.conditions.document import COUNT_MAX, mistake
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength, apart
from engine.conditions.instants import LAST_INSTANT, NEVER
from engine.conditions.scope import Evaluate, Verdict
from engine.conditions.spelling import did_you_mean
from engine.conditions.values import Test, compile_values


class WindowCount(Feature):
    """The ends of the last `keep` matching events' windows, ascending (ms); None: there are none."""

    def __init__(self, intake: Intake, identity: str, window: WindowLength, keep: int) -> None:
        super().__init__(f"count|{identity}|{window.identity}|{keep}", (intake,))
        self.window = window
        self.fixed = window.fixed
        self.keep = keep

    def add(self, value: list[int] | None, fact: Fact, role: int, as_of: int) -> list[int] | None:
        end = fact.at + self.fixed if self.fixed is not None else self.window.end(fact.at)
        if end > LAST_INSTANT:
            end = NEVER
        if end <= as_of:
            return value
        if value is None:
            return [end]
        if end >= value[-1]:
            value.append(end)
        else:
            insort(value, end)
        if len(value) > self.keep or value[0] <= as_of:
            del value[: max(len(value) - self.keep, bisect_right(value, as_of))]
        return value

    def counted_until(self, at: int) -> int:
        return self.window.latest_end(at)

    def beyond(self, value: list[int] | None, history: list[Fact]) -> list[int] | None:
        return apart(value, (self.window.end(fact.at) for fact in history if self.intakes[0].takes(fact)))


class LastEnd(Feature):
    """The end of the last matching event's window: all that telling none from some takes."""

    def __init__(self, intake: Intake, identity: str, window: WindowLength) -> None:
        super().__init__(f"last|{identity}|{window.identity}", (intake,))
        self.window = window
        self.fixed = window.fixed

    def add(self, value: int | None, fact: Fact, role: int, as_of: int) -> int | None:
        end = fact.at + self.fixed if self.fixed is not None else self.window.end(fact.at)
        if end > LAST_INSTANT:
            end = NEVER
        return end if value is None or end > value else value

    def counted_until(self, at: int) -> int:
        return self.window.latest_end(at)

    def beyond(self, value: int | None, history: list[Fact]) -> int | None:
        return None if value == self.fold(history, 0) else value


class EverCount(Feature):
    """How many matching events there have been."""

    def __init__(self, intake: Intake, identity: str) -> None:
        super().__init__(f"ever|{identity}", (intake,))

    def add(self, value: int | None, fact: Fact, role: int, as_of: int) -> int:
        return (value or 0) + 1

    def mend(self, value: int | None, before: list[Fact], after: list[Fact], as_of: int) -> int:
        # The difference only: the count may go further back than the history.
        return (value or 0) + (self.fold(after, as_of) or 0) - (self.fold(before, as_of) or 0)


def highest_asked(test: Test) -> int:
    """The number from which on all counts are alike to the test. Raises the mistake of a bad count test."""
    highest = 0
    for name, operand in test.operators():
        if name not in ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between"):
            problem, hint = f"{name} does not fit a count", "use eq ne in not_in gt gte lt lte between"
            raise mistake("count", problem, hint, at=(name,), key=True)
        several = isinstance(operand, list)
        for index, each in enumerate(operand if several else [operand]):
            if type(each) is not int or not 0 <= each <= COUNT_MAX:
                near = each.strip() if type(each) is str and each.strip().isdecimal() else None
                hint = f"a count is a whole number from 0 to {COUNT_MAX}{did_you_mean(near)}"
                raise mistake("count", f"{each!r} is not a count", hint, at=(name, index) if several else (name,))
            highest = max(highest, each if name in ("gte", "lt") else each + 1)
    return max(highest, 1)


def truths(test: Test, highest: int) -> list[bool]:
    """For each count from 0 to `highest`, whether it passes."""
    check = compile_values(test)
    return [check([count]) for count in range(highest + 1)]


def count_feature(intake: Intake, identity: str, window: WindowLength, highest: int) -> WindowCount | LastEnd:
    """The feature that counts matching events in a window up to `highest`."""
    return LastEnd(intake, identity, window) if highest == 1 else WindowCount(intake, identity, window, highest)


def count_verdict(feature: WindowCount | LastEnd | EverCount, test: Test, highest: int) -> Evaluate:
    """The verdict whether the feature's count passes the test."""
    return verdict_of_count(feature, truths(test, highest))


def verdict_of_count(feature: WindowCount | LastEnd | EverCount, passes: list[bool]) -> Evaluate:
    """The verdict `passes[count]` of the feature's count; counts beyond the list are as its last."""
    key, highest = feature.key, len(passes) - 1
    if isinstance(feature, EverCount):

        def ever(contact: Contact, t: int) -> Verdict:
            count: int = contact.features.get(key, 0)
            return passes[count if count < highest else highest], NEVER

        return ever
    if isinstance(feature, LastEnd):
        without, with_some = passes

        def some(contact: Contact, t: int) -> Verdict:
            end = contact.features.get(key)
            if end is not None and end > t:
                return with_some, end if without is not with_some else NEVER
            return without, NEVER

        return some
    if passes == [False] * highest + [True]:

        def at_least(contact: Contact, t: int) -> Verdict:
            ends = contact.features.get(key)
            if ends is not None and len(ends) >= highest:
                end: int = ends[-highest]
                if end > t:
                    return True, end
            return False, NEVER

        return at_least

    def between(contact: Contact, t: int) -> Verdict:
        ends = contact.features.get(key)
        if ends is None:
            return passes[0], NEVER
        gone = bisect_right(ends, t)
        count = len(ends) - gone
        now = passes[min(count, highest)]
        for index in range(gone, len(ends)):
            count -= 1
            if passes[min(count, highest)] is not now:
                return now, ends[index]
        return now, NEVER

    return between


def verdict_of_spans(spans: Iterable[tuple[int, int]], passes: list[bool], t: int) -> Verdict:
    """The verdict `passes[count]` at `t` of the number of spans [start, end) that hold `t`; counts beyond the list are
    as its last.

    >>> verdict_of_spans([(0, 10), (5, 20), (7, 20)], [False, False, True], 3)
    (False, 5)
    >>> verdict_of_spans([(0, 10), (5, 20), (7, 20)], [False, False, True], 5)
    (True, 20)
    """
    count, highest = 0, len(passes) - 1
    changes: dict[int, int] = {}
    for start, end in spans:
        if end <= t or end <= start:
            continue
        if start <= t:
            count += 1
        else:
            changes[start] = changes.get(start, 0) + 1
        if end < NEVER:
            changes[end] = changes.get(end, 0) - 1
    now = passes[min(count, highest)]
    for instant in sorted(changes):
        count += changes[instant]
        if passes[min(count, highest)] is not now:
            return now, instant
    return now, NEVER
