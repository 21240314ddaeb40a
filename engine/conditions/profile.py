"""`profile`: tests of the contact's attributes, all of which hold; tests of dates (dates.py) come and go with time.

>>> Profile.model_validate({"profile": {"city": "Petersburg"}}).describe()
'city is Petersburg'
>>> Profile.model_validate({"profile": {"birthday": {"anniversary": {"before": "P7D"}}}}).describe()
'birthday has its anniversary in the next 7 days'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from engine.conditions.contact import Contact
from engine.conditions.dates import AttributeTest, DateVerdict, attribute_words, date_verdicts
from engine.conditions.document import CHILDREN_MAX, Document, Path
from engine.conditions.evidence import attribute_facts
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.paths import parse_path, reader_at
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import compile_values, short_form, spelled_once
from engine.conditions.zones import ATTRIBUTE

Attributes = Annotated[
    dict[Path, Annotated[AttributeTest, BeforeValidator(short_form)]],
    Field(min_length=1, max_length=CHILDREN_MAX),
    BeforeValidator(spelled_once),
]
"""Tests by path, all of which hold."""


def attribute_reader(path: str) -> Callable[[Contact], list[Any]]:
    """A function from a contact to the values at a path of its attributes."""
    name, *rest = parse_path(path)
    read = reader_at(("value", *rest))

    def values(contact: Contact) -> list[Any]:
        entry = contact.attributes.get(name) if contact.attributes is not None else None
        return [] if entry is None else read({"value": entry[1]})

    return values


class Profile(Document):
    """`profile: {path: test}`"""

    profile: Attributes

    def compile(self, scope: Scope) -> Evaluate:
        """Every test holds."""
        tests = []
        dated: list[tuple[Callable[[Contact], list[Any]], DateVerdict]] = []
        for path, test in self.profile.items():
            scope.attributes.add(parse_path(path)[0])
            read = attribute_reader(path)
            if test.operators():
                tests.append((read, compile_values(test)))
            dated += [(read, verdict) for verdict in date_verdicts(test, scope.calendar.zone)]

        def evaluate(contact: Contact, t: int) -> Verdict:
            for read, passes in tests:
                if not passes(read(contact)):
                    return False, NEVER
            return True, NEVER

        if not dated:
            return evaluate

        def evaluate_dates(contact: Contact, t: int) -> Verdict:
            if not evaluate(contact, t)[0]:
                return False, NEVER
            earliest, last = NEVER, -1
            for read, verdict in dated:
                truth, until = verdict(read(contact), t)
                if truth:
                    earliest = min(earliest, until)
                else:
                    last = max(last, until)
            return (True, earliest) if last < 0 else (False, last)

        return evaluate_dates

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The facts that set the tested attributes, or took them away; for dates by the contact's clock, that too."""
        names = {parse_path(path)[0] for path in self.profile}
        if scope.calendar.own and any(test.dated for test in self.profile.values()):
            names.add(ATTRIBUTE)
        return attribute_facts(facts, names)

    def describe(self) -> str:
        """Plain words."""
        return " and ".join(f"{path} {attribute_words(test)}" for path, test in self.profile.items())


EXAMPLES = (
    Example(
        "City and balance, and one of several interests",
        """
        segment: garden-friends
        when:
          profile:
            city: {in: [Petersburg, Moscow]}
            balance: {gte: 500}
            interests: {any_item: {key: garden, value: {gte: 3}}}
        """,
        """
        2026-05-01T10:00:00Z contact_updated c-1 {"city": "Moscow", "balance": "740.50"}
        2026-05-02T10:00:00Z contact_updated c-1 {"interests": [{"key": "garden", "value": 5}]}
        2026-05-03T10:00:00Z contact_updated c-1 {"interests": [{"key": "garden", "value": 1}]}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-02T10:00:00.000Z enter garden-friends c-1 event
        2026-05-03T10:00:00.000Z exit garden-friends c-1 event
        """,
    ),
    Example(
        "Dates: a week from the birthday on, and a contract that ends this month",
        """
        segment: birthday-week
        timezone: Europe/Moscow
        when: {profile: {birthday: {anniversary: {within: P7D}}}}
        ---
        segment: ends-this-month
        timezone: Europe/Moscow
        when: {profile: {ends: {calendar: {unit: month}}}}
        """,
        """
        2026-01-10T10:00:00Z contact_updated c-1 {"birthday": "1990-02-28", "ends": "2026-03-15"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-02-27T21:00:00.000Z enter birthday-week c-1 clock
        2026-02-28T21:00:00.000Z enter ends-this-month c-1 clock
        2026-03-06T21:00:00.000Z exit birthday-week c-1 clock
        2026-03-31T21:00:00.000Z exit ends-this-month c-1 clock
        """,
    ),
)
