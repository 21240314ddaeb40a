"""`known`: time since the contact's earliest fact.

>>> Known.model_validate({"known": {"within": "P7D"}}).describe()
'known for less than 7 days'
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Window, mistake
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.wording import duration_words


class KnownOptions(Document):
    """`within`: for less than so long; `for`: for at least so long."""

    within: Window | None = None
    """For less than so long."""
    for_: Window | None = Field(default=None, alias="for")
    """For at least so long."""

    @model_validator(mode="after")
    def _one(self) -> KnownOptions:
        if (self.within is None) == (self.for_ is None):
            raise mistake("known", "known needs one of two", "write known: {within: P7D} or known: {for: P7D}")
        return self


class Known(Document):
    """`known: {within}` or `known: {for}`"""

    known: KnownOptions

    def compile(self, scope: Scope) -> Evaluate:
        """Known for long enough, or not yet too long."""
        scope.known = True
        young = self.known.within is not None
        length = self.known.within or self.known.for_
        assert length is not None
        window = scope.window(length)

        def evaluate(contact: Contact, t: int) -> Verdict:
            if contact.known_at == NEVER:
                return False, NEVER
            end = window.end(contact.known_at)
            return (young, end) if t < end else (not young, NEVER)

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The earliest fact."""
        return list(facts[:1])

    def describe(self) -> str:
        """Plain words."""
        if self.known.within is not None:
            return f"known for less than {duration_words(self.known.within)}"
        assert self.known.for_ is not None
        return f"known for at least {duration_words(self.known.for_)}"


EXAMPLES = (
    Example(
        "New for a week, then no more",
        """
        segment: newcomers
        when: {known: {within: P7D}}
        ---
        segment: regulars
        when: {known: {for: P7D}}
        """,
        """
        2026-05-01T10:00:00Z click c-1
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter newcomers c-1 event
        2026-05-08T10:00:00.000Z exit newcomers c-1 clock
        2026-05-08T10:00:00.000Z enter regulars c-1 clock
        """,
    ),
)
