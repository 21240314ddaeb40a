"""`quiet`: known for at least `for`, and none of these events in the last `for`; never-buyers are quiet too.

>>> Quiet.model_validate({"quiet": {"event": "purchase", "for": "P30D"}}).describe()
'no purchase for at least 30 days'
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.counting import LastEnd
from engine.conditions.document import Document, Window
from engine.conditions.evidence import counted
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.wording import duration_words


class QuietOptions(EventDocument):
    """Which events are missing, and for how long."""

    for_: Window = Field(alias="for")
    """How long without such an event; whoever is known for less than that is not quiet yet."""


class Quiet(Document):
    """`quiet: {event, where, for}`"""

    quiet: QuietOptions

    def compile(self, scope: Scope) -> Evaluate:
        """Long known, and long without such an event."""
        options = self.quiet
        scope.known = True
        window = scope.window(options.for_)
        intake, identity = intake_of(options.event, options.where, scope.calendar)
        key = scope.share(LastEnd(intake, identity, window)).key

        def evaluate(contact: Contact, t: int) -> Verdict:
            if contact.known_at == NEVER:
                return False, NEVER
            end = window.end(contact.known_at)
            last = contact.features.get(key)
            if last is not None and last > end:
                end = last
            return (False, end) if t < end else (True, NEVER)

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The last such event where it is too recent; the earliest fact where the contact is not known for so long."""
        window = scope.window(self.quiet.for_)
        intake, _ = intake_of(self.quiet.event, self.quiet.where, scope.calendar)
        recent = counted(intake, window, facts, t)[-1:]
        young = [fact for fact in facts[:1] if window.end(fact.at) > t and fact not in recent]
        return young + recent

    def describe(self) -> str:
        """Plain words."""
        said = event_words(self.quiet.event, self.quiet.where)
        return f"no {said} for at least {duration_words(self.quiet.for_)}"


EXAMPLES = (
    Example(
        "Nothing bought for 30 days, whether ever or not",
        """
        segment: quiet-30
        when: {quiet: {event: purchase, for: P30D}}
        """,
        """
        2026-05-01T10:00:00Z click never-bought
        2026-05-01T10:00:00Z purchase bought {"amount": 20}
        2026-05-20T10:00:00Z purchase bought {"amount": 15}
        """,
        "2026-06-30T00:00:00Z",
        """
        2026-05-31T10:00:00.000Z enter quiet-30 never-bought clock
        2026-06-19T10:00:00.000Z enter quiet-30 bought clock
        """,
    ),
)
