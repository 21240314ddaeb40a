"""`known`: time since the contact's earliest fact.

>>> Known.model_validate({"known": {"within": "P7D"}}).describe()
'known for less than P7D'
"""

from __future__ import annotations

from pydantic import Field, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Window, mistake
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class KnownOptions(Document):
    """`within`: for less than so long; `for`: for at least so long."""

    within: Window | None = None
    for_: Window | None = Field(default=None, alias="for")

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

    def describe(self) -> str:
        """Plain words."""
        if self.known.within is not None:
            return f"known for less than {self.known.within}"
        return f"known for at least {self.known.for_}"
