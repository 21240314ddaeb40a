"""`consent`: what the contact's last word on a channel is.

Per channel the latest by `at` of `opt_out`, `block`, `complaint`, `consent revoked` against `opt_in`, `consent granted`
decides; of two at one instant the closing one. One for all channels speaks for each. Where nobody has said anything,
consent is unknown. `channel: all` asks for what was said for all channels at once.

A segment of those who opted out needs `mailable: false`: the consent gate lets nobody else in.

>>> Consents.model_validate({"consent": {"channel": "email", "is": "granted"}}).describe()
'consent for email is granted'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from engine.conditions.channels import ALL, CHANNEL_LENGTH_MAX, consent_of, status
from engine.conditions.contact import Contact
from engine.conditions.document import Document
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict

STATUS = {"granted": 1, "revoked": 0, "unknown": None}


class ConsentOptions(Document):
    """`channel`, and what its consent must be."""

    channel: Annotated[str, Field(min_length=1, max_length=CHANNEL_LENGTH_MAX)]
    """The channel; `all`: what was said for all channels at once."""
    is_: Annotated[Literal["granted", "revoked", "unknown"], Field(alias="is")]
    """`granted`, `revoked` or `unknown`."""


class Consents(Document):
    """`consent: {channel, is}`"""

    consent: ConsentOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The last word is the one asked for."""
        channel, wanted = self.consent.channel, STATUS[self.consent.is_]
        scope.channels.add(channel)

        def evaluate(contact: Contact, t: int) -> Verdict:
            return (None if contact.consent is None else status(contact.consent, channel)) is wanted, NEVER

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The facts that had the last word: of one instant, all that say what counts."""
        speaks = {ALL, self.consent.channel}
        said = [
            (fact, spoken[1])
            for fact in facts
            if (spoken := consent_of(fact)) is not None and not speaks.isdisjoint(spoken[0])
        ]
        last = max((fact.at for fact, _ in said), default=0)
        words = [(fact, opening) for fact, opening in said if fact.at == last]
        return [fact for fact, opening in words if opening == min(each for _, each in words)]

    def describe(self) -> str:
        """Plain words."""
        return f"consent for {self.consent.channel} is {self.consent.is_}"


EXAMPLES = (
    Example(
        "Who granted e-mail, and who took it back",
        """
        segment: may-email
        when: {consent: {channel: email, is: granted}}
        ---
        segment: took-it-back
        mailable: false
        when: {consent: {channel: email, is: revoked}}
        """,
        """
        2026-05-01T10:00:00Z consent c-1 {"channel": "email", "status": "granted"}
        2026-05-08T10:00:00Z opt_out c-1 {"channel": "sms"}
        2026-05-09T10:00:00Z opt_out c-1
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter may-email c-1 event
        2026-05-09T10:00:00.000Z exit may-email c-1 opt_out
        2026-05-09T10:00:00.000Z enter took-it-back c-1 event
        """,
    ),
)
