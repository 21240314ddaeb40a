"""`in_list`: the contact is on a list of people.

>>> InList.model_validate({"in_list": "newsletter"}).describe()
'is on the list newsletter'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import Document
from engine.conditions.evidence import last_naming, listed
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class InList(Document):
    """`in_list: id`"""

    in_list: Annotated[str, Field(min_length=1, max_length=256)]

    def compile(self, scope: Scope) -> Evaluate:
        """On the list now."""
        name = self.in_list
        scope.lists.add(name)

        def evaluate(contact: Contact, t: int) -> Verdict:
            entry = contact.lists.get(name) if contact.lists is not None else None
            return entry is not None and entry[1] == 1, NEVER

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The last fact about the list."""
        return last_naming(facts, ("list_added", "list_removed"), (self.in_list,), listed("list"))

    def describe(self) -> str:
        """Plain words."""
        return f"is on the list {self.in_list}"


EXAMPLES = (
    Example(
        "On a list of contacts",
        """
        segment: fair-2026
        when: {in_list: fair-2026}
        """,
        """
        2026-05-01T10:00:00Z list_added c-1 {"list": "fair-2026"}
        2026-05-20T10:00:00Z list_removed c-1 {"list": "fair-2026"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter fair-2026 c-1 list
        2026-05-20T10:00:00.000Z exit fair-2026 c-1 list
        """,
    ),
)
