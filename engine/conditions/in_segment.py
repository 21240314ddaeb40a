"""`in_segment`: final membership elsewhere, in the same step; segments form a graph without cycles.

>>> InSegment.model_validate({"in_segment": "buyers"}).describe()
'is in the segment buyers'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from engine.conditions.contact import SEQUENCE, UNTIL, Contact
from engine.conditions.document import Document
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class InSegment(Document):
    """`in_segment: id`"""

    in_segment: Annotated[str, Field(min_length=1, max_length=64)]

    def compile(self, scope: Scope) -> Evaluate:
        """A member of the other segment, which is judged first."""
        scope.nested.add(self.in_segment)
        key = scope.segment_key(self.in_segment)

        def evaluate(contact: Contact, t: int) -> Verdict:
            entry = contact.members.get(key)
            return (False, NEVER) if entry is None else (entry[SEQUENCE] & 1 == 1, entry[UNTIL])

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """None of its own: it rests on what the other segment's answer rests on."""
        return []

    def describe(self) -> str:
        """Plain words."""
        return f"is in the segment {self.in_segment}"


EXAMPLES = (
    Example(
        "A segment as a guard of another",
        """
        segment: sleepers
        when: {quiet: {event: click, for: P60D}}
        ---
        segment: newsletter
        when: {not: {in_segment: sleepers}}
        """,
        """
        2026-01-01T10:00:00Z click c-1
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-01-01T10:00:00.000Z enter newsletter c-1 event
        2026-03-02T10:00:00.000Z exit newsletter c-1 clock
        2026-03-02T10:00:00.000Z enter sleepers c-1 clock
        """,
    ),
)
