"""`profile`: tests of the contact's attributes, all of which hold.

>>> Profile.model_validate({"profile": {"city": "Petersburg"}}).describe()
'city is Petersburg'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import CHILDREN_MAX, Document
from engine.conditions.instants import NEVER
from engine.conditions.paths import parse_path, reader_at
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import Where, compile_values, words


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

    profile: Annotated[Where, Field(min_length=1, max_length=CHILDREN_MAX)]

    def compile(self, scope: Scope) -> Evaluate:
        """Every test holds."""
        tests = []
        for path, test in self.profile.items():
            scope.attributes.add(parse_path(path)[0])
            tests.append((attribute_reader(path), compile_values(test)))

        def evaluate(contact: Contact, t: int) -> Verdict:
            for read, passes in tests:
                if not passes(read(contact)):
                    return False, NEVER
            return True, NEVER

        return evaluate

    def describe(self) -> str:
        """Plain words."""
        return " and ".join(f"{path} {words(test)}" for path, test in self.profile.items())
