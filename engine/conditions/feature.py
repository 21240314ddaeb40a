"""Features: what is kept up to date per contact from events, shared by every condition that asks for the same.

A feature names the facts it takes (`Intake`), adds one fact to its value, and can be folded anew from a history. Its
key is
a digest of its identity: events, tests, window, operator, threshold and time zone together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import Document, EventNames
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, NEVER, Duration, parse_instant
from engine.conditions.values import PropertyTest, Where, compile_where, where_identity, where_words
from engine.conditions.zones import Calendar


def digest(identity: str) -> int:
    """A positive 63-bit number that stands for `identity` in states; equal on every machine."""
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "big") >> 1


class EventDocument(Document):
    """`event` and `where`: which events are meant."""

    event: EventNames
    """The event types: one, a list, or a prefix such as `message_*`."""
    where: Where = Field(default_factory=dict)
    """Tests of the event's properties, by path; all of them hold."""


class BoundedDocument(EventDocument):
    """Events with fixed bounds: `since` ≤ at < `until`."""

    since: str | None = None
    """Only events at or after this instant; without an offset it is in the time zone of the segment."""
    until: str | None = None
    """Only events before this instant."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The facts that a feature takes in one of its roles (such as the `of` and the `without` of a streak)."""

    names: frozenset[str]
    prefixes: tuple[str, ...]
    test: PropertyTest | None
    test_identity: str
    since: int
    until: int
    role: int = 0

    def takes_type(self, event_type: str) -> bool:
        """Whether events of this type are meant."""
        return event_type in self.names or event_type.startswith(self.prefixes)

    def takes(self, fact: Fact) -> bool:
        """Whether this fact is meant: type, instant and tests."""
        return (
            self.takes_type(fact.type)
            and self.since <= fact.at < self.until
            and (self.test is None or self.test(fact.properties))
        )


def intake_of(
    events: list[str],
    where: Where,
    calendar: Calendar,
    since: str | None = None,
    until: str | None = None,
    role: int = 0,
) -> tuple[Intake, str]:
    """The intake of a document's events, and its identity."""
    names = sorted({name for name in events if not name.endswith("*")})
    prefixes = sorted({name[:-1] for name in events if name.endswith("*")})
    first = 0 if since is None else parse_instant(since, calendar.zone)
    end = NEVER if until is None else parse_instant(until, calendar.zone)
    tests = where_identity(where)
    intake = Intake(frozenset(names), tuple(prefixes), compile_where(where), tests, first, end, role)
    bounds = f"{since}@contact|{until}" if calendar.own and (since or until) else f"{first}|{end}"
    return intake, f"{names}|{prefixes}|{tests}|{bounds}"


@dataclass(frozen=True, slots=True)
class WindowLength:
    """A window's length, and the calendar that its months follow."""

    length: Duration
    calendar: Calendar

    def end(self, at: int) -> int:
        """The first instant at which an event at `at` no longer counts."""
        return self.length.after(at, self.calendar.zone)

    def latest_end(self, at: int) -> int:
        """No event at `at` or before counts at this instant or later."""
        # By months an earlier event may end later on the day that the end of a month cuts both to: by less than a day,
        # and a change of the clock.
        return self.end(at) if self.length.months == 0 else min(self.end(at) + 2 * DAY, NEVER)

    @property
    def fixed(self) -> int | None:
        """Milliseconds, where no calendar is asked."""
        return None if self.length.months else self.length.millis

    @property
    def identity(self) -> str:
        """Equal for windows that always end at the same instants."""
        return f"{self.length}@{self.calendar.name if self.length.months else 'UTC'}"


class Feature(ABC):
    """A value per contact; None stands for that of a contact without any fact in it."""

    ordered: ClassVar[bool] = False
    """Whether facts must come in order of `at`: a late one has the value folded anew from the history."""

    def __init__(self, identity: str, intakes: tuple[Intake, ...]) -> None:
        self.identity = identity
        self.key = digest(identity)
        self.intakes = intakes

    @abstractmethod
    def add(self, value: Any, fact: Fact, role: int, as_of: int) -> Any:
        """The value with one more fact, taken in `role`; what can no longer count at or after `as_of` may be
        dropped."""

    def counted_until(self, at: int) -> int:
        """No event at `at` or before has a say at this instant or later (ms); NEVER where events count for good."""
        return NEVER

    def older(self, value: Any, horizon: int) -> Any:
        """Of an ordered feature's value, what came from events at or before `horizon`, which the history lacks."""
        return None

    def forgotten(self, contact: Contact, horizon: int) -> Any:
        """For a first fill: the value that the contact's state itself tells of, from facts at or before `horizon`."""
        return None

    def fold(self, facts: Iterable[Fact], as_of: int, value: Any = None) -> Any:
        """The value, on from `value`, from facts in order of `at`, then arrival; of an ordered feature's facts at one
        instant, role 0
        first."""
        taken = [(fact, intake.role) for fact in facts for intake in self.intakes if intake.takes(fact)]
        if self.ordered:
            taken.sort(key=lambda pair: (pair[0].at, pair[1]))
        for fact, role in taken:
            value = self.add(value, fact, role, as_of)
        return value

    def mend(self, value: Any, before: list[Fact], after: list[Fact], as_of: int) -> Any:
        """The value once refunds have turned the history `before` into `after`."""
        return self.fold(after, as_of, self.beyond(value, before))

    def beyond(self, value: Any, history: list[Fact]) -> Any:
        """Of an unordered feature's value, what did not come from `history`, which is all that the journal holds."""
        return None


def apart(kept: Iterable[Any] | None, known: Iterable[Any]) -> list[Any] | None:
    """The entries of a value that are not among the `known`, each of which stands for one; None where there are none.

    >>> apart([1, 2, 2, 5], [5, 2])
    [1, 2]
    """
    rest = Counter(tuple(entry) if type(entry) is list else entry for entry in known)
    found = []
    for entry in kept or ():
        name = tuple(entry) if type(entry) is list else entry
        if rest[name] > 0:
            rest[name] -= 1
        else:
            found.append(entry)
    return found or None


class ContactFeature(Feature):
    """A value that follows from who the contact is and from no fact: set once, and whatever facts do it stays."""

    def __init__(self, identity: str) -> None:
        super().__init__(identity, ())

    @abstractmethod
    def of_contact(self, workspace: str, contact: str) -> Any:
        """The value of the contact with this id in this workspace, never None."""

    def add(self, value: Any, fact: Fact, role: int, as_of: int) -> Any:
        return value

    def mend(self, value: Any, before: list[Fact], after: list[Fact], as_of: int) -> Any:
        return value


def event_words(events: list[str], where: Where) -> str:
    """Plain words for the events meant."""
    said = [f"any {name}" if name.endswith("*") else name.replace("_", " ") for name in events]
    return " or ".join(said) + where_words(where)
