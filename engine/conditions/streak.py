"""`streak`: the trailing run of `of` events that no agreeing `without` event answered is at least so long.

Those younger than `grace` are passed over; without `match` an answer settles all before it. "Three messages unread in
a row".

>>> streak = Streak.model_validate({"streak": {"of": "message_sent", "without": "message_read", "at_least": 3}})
>>> streak.describe()
'message sent at least 3 times in a row without message read'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Path, Span
from engine.conditions.evidence import in_turn
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.matching import Events, matcher
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.wording import last_words, times

STREAK_MAX = 1_000
"""The longest run that can be asked for."""
YOUNG_MAX = 1_000
"""Events within `grace` that are waited for; with one more the oldest is forgotten."""
OF, WITHOUT = 0, 1
SETTLED, MATCH, OPEN = 0, 1, 2


class StreakOptions(Document):
    """`of` events in a row, `without` an answer that agrees on `match`."""

    of: Events
    """The events that ask for an answer: types, or `{event, where}`."""
    without: Events
    """The answers: types, or `{event, where}`."""
    match: Path | None = None
    """The property by which an answer belongs to an event; without it, an answer settles all before it."""
    at_least: Annotated[int, Field(ge=1, le=STREAK_MAX)]
    """How long the run must be."""
    grace: Span | None = None
    """Events younger than this are passed over."""


class Run(Feature):
    """The last `of` events, oldest first: `[instant from which it is looked at, what it agrees on, 1 while
    unanswered]`."""

    ordered: ClassVar[bool] = True

    def __init__(
        self,
        intakes: tuple[Intake, Intake],
        identity: str,
        match: str | None,
        at_least: int,
        grace: WindowLength | None,
    ) -> None:
        super().__init__(f"streak|{identity}|{match}|{at_least}|{grace.identity if grace else ''}", intakes)
        self.match = matcher(match)
        self.keep = at_least
        self.grace = grace

    def add(self, value: list[list[Any]] | None, fact: Fact, role: int, as_of: int) -> list[list[Any]] | None:
        match = self.match(fact)
        if role == WITHOUT:
            if value is not None and match is not None:
                for entry in value:
                    if entry[MATCH] == match:
                        entry[OPEN] = 0
            return value
        entry = [self.grace.end(fact.at) if self.grace is not None else fact.at, match, 1]
        if value is None:
            return [entry]
        value.append(entry)
        if len(value) > self.keep:
            self._forget(value, as_of)
            if len(value) > self.keep + YOUNG_MAX:
                del value[0]
        return value

    def _forget(self, value: list[list[Any]], as_of: int) -> None:
        """Settled events before the last `keep` settled ones can never matter again."""
        settled = 0
        for index in range(len(value) - 1, -1, -1):
            if value[index][SETTLED] <= as_of:
                settled += 1
                if settled > self.keep:
                    del value[index]

    def older(self, value: list[list[Any]] | None, horizon: int) -> list[list[Any]] | None:
        end = self.grace.end(max(horizon, 0)) if self.grace is not None else horizon
        return [list(entry) for entry in value or () if entry[SETTLED] <= end] or None


class Streak(Document):
    """`streak: {of, without, match, at_least, grace}`"""

    streak: StreakOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The trailing run is long enough."""
        options = self.streak
        of, of_identity = intake_of(options.of.event, options.of.where, scope.calendar, role=OF)
        without, without_identity = intake_of(
            options.without.event, options.without.where, scope.calendar, role=WITHOUT
        )
        grace = scope.window(options.grace) if options.grace is not None else None
        identity = f"{of_identity}|{without_identity}"
        key = scope.share(Run((of, without), identity, options.match, options.at_least, grace)).key
        wanted = options.at_least

        def evaluate(contact: Contact, t: int) -> Verdict:
            value = contact.features.get(key)
            if value is None:
                return False, NEVER
            run, until, broken = 0, NEVER, False
            for index in range(len(value) - 1, -1, -1):
                settled, _, is_open = value[index]
                if settled > t:
                    if settled < until:
                        until = settled
                elif not broken:
                    if is_open:
                        run += 1
                    else:
                        broken = True
                    if run == wanted or broken:
                        if grace is None:
                            break
                        broken = True
            return run >= wanted, until

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The run as far as it goes, and where it is too short the answered event and the answer that end it."""
        options = self.streak
        of, _ = intake_of(options.of.event, options.of.where, scope.calendar, role=OF)
        without, _ = intake_of(options.without.event, options.without.where, scope.calendar, role=WITHOUT)
        match, answers = matcher(options.match), dict[int, Fact]()
        asked: list[Fact] = []
        for fact, role in in_turn(facts, (of, without)):
            if role == OF:
                asked.append(fact)
            elif (agreed := match(fact)) is not None:
                for place, each in enumerate(asked):
                    if match(each) == agreed:
                        answers.setdefault(place, fact)
        grace = scope.window(options.grace) if options.grace is not None else None
        run: list[Fact] = []
        for place in range(len(asked) - 1, -1, -1):
            if grace is not None and grace.end(asked[place].at) > t:
                continue
            if place in answers:
                return [asked[place], answers[place], *run[::-1]] if len(run) < options.at_least else run[::-1]
            run.append(asked[place])
        return run[::-1]

    def describe(self) -> str:
        """Plain words."""
        options = self.streak
        of, without = (event_words(each.event, each.where) for each in (options.of, options.without))
        agreeing = f" of the same {options.match}" if options.match else ""
        grace = f", those of {last_words(options.grace).removeprefix('in ')} passed over" if options.grace else ""
        return f"{of} at least {times(options.at_least)} in a row without {without}{agreeing}{grace}"


EXAMPLES = (
    Example(
        "Three messages unread in a row, each given an hour",
        """
        segment: not-reading
        when:
          streak: {of: message_sent, without: message_read, match: message_id, at_least: 3, grace: PT1H}
        """,
        """
        2026-05-01T10:00:00Z message_sent c-1 {"message_id": "m1"}
        2026-05-02T10:00:00Z message_sent c-1 {"message_id": "m2"}
        2026-05-03T10:00:00Z message_sent c-1 {"message_id": "m3"}
        2026-05-04T10:00:00Z message_read c-1 {"message_id": "m2"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-03T11:00:00.000Z enter not-reading c-1 clock
        2026-05-04T10:00:00.000Z exit not-reading c-1 event
        """,
    ),
)
