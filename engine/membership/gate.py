"""The consent gate: whether a contact may be mailed (DESIGN.md 5).

Per channel the latest by `at` of closing and opening facts decides, ties closed; one for all channels speaks for each.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.conditions.channels import ALL, Consent, status
from engine.definitions.document import Mailable

Gate = Callable[[Consent | None], bool]
"""Whether the gate is open, from the contact's consent."""


def gate_of(mailable: bool | Mailable) -> Gate | None:
    """The gate of a segment; None where there is none."""
    if mailable is False:
        return None
    if mailable is True:
        return some_channel_open
    channel, required = mailable.channel, mailable.consent == "required"

    def one(consent: Consent | None) -> bool:
        found = status(consent, channel) if consent is not None else None
        return not required if found is None else found == 1

    return one


def some_channel_open(consent: Consent | None) -> bool:
    """A channel that nobody closed: one unknown so far follows the facts for all channels."""
    if consent is None:
        return True
    every = consent.get(ALL)
    if every is None or every[1]:
        return True
    return any(status(consent, channel) == 1 for channel in consent)
