"""`quiet`: known for at least `for`, and none of these events in the last `for`; never-buyers are quiet too.

>>> Quiet.model_validate({"quiet": {"event": "purchase", "for": "P30D"}}).describe()
'no purchase for P30D'
"""

from __future__ import annotations

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.counting import LastEnd
from engine.conditions.document import Document, Window
from engine.conditions.feature import EventDocument, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class QuietOptions(EventDocument):
    """Which events are missing, and for how long."""

    for_: Window = Field(alias="for")


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

    def describe(self) -> str:
        """Plain words."""
        return f"no {event_words(self.quiet.event, self.quiet.where)} for {self.quiet.for_}"
