"""The consent gate: whether a contact may be mailed (DESIGN.md 5).

Per channel the latest by `at` of closing and opening facts decides, ties closed; one for all channels speaks for each.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.definitions.document import Mailable

Consent = dict[str, list[int]]
Gate = Callable[[Consent | None], bool]
"""Whether the gate is open, from the contact's consent: `[at, 1 open or 0 closed]` a channel, "" for all of them."""

ALL = ""
CHANNELS_MAX = 1_000
"""Named channels that one contact's consent knows. Beyond it openings are not noted, and a closing takes the place of
the
oldest opening: who asked not to be mailed is never forgotten."""
CHANNEL_LENGTH_MAX = 64
"""Characters of a channel's name; a definition may name no longer one."""
CLOSING = frozenset(("opt_out", "block", "complaint"))


def consent_of(fact: Fact) -> tuple[list[str], int] | None:
    """The channels ("" for all) and 1 for opening, 0 for closing; None for a fact that says neither.

    What names its channel in no text or list of texts closes all channels, but opens none.
    """
    kind = fact.type
    properties = fact.properties
    if kind in CLOSING:
        opening = 0
    elif kind == "opt_in":
        opening = 1
    elif kind == "consent":
        said = properties.get("status")
        if said not in ("granted", "revoked"):
            return None
        opening = 1 if said == "granted" else 0
    else:
        return None
    channel = properties.get("channel")
    if channel is None:
        return [ALL], opening
    named = [each for each in (channel if type(channel) is list else [channel]) if type(each) is str]
    if not named:
        return ([] if opening else [ALL]), opening
    return [ALL if each == "all" else each[:CHANNEL_LENGTH_MAX] for each in named], opening


def record_consent(contact: Contact, channel: str, at: int, opening: int) -> None:
    """Note one fact; the latest by `at` stays, closed on a tie."""
    consent = contact.consent
    if consent is None:
        consent = contact.consent = {}
    entry = consent.get(channel)
    if entry is None:
        if len(consent) >= CHANNELS_MAX and channel != ALL:
            open_ones = [name for name, (_, is_open) in consent.items() if is_open and name != ALL]
            if opening or not open_ones:
                return
            del consent[min(open_ones, key=lambda name: consent[name][0])]
        consent[channel] = [at, opening]
    elif at > entry[0]:
        entry[0], entry[1] = at, opening
    elif at == entry[0] and not opening:
        entry[1] = 0


def status(consent: Consent, channel: str) -> int | None:
    """1 open, 0 closed, None unknown: the later of the channel's own and the one for all; closed on a tie."""
    own, every = consent.get(channel), consent.get(ALL)
    if own is None or every is None:
        entry = own or every
        return None if entry is None else entry[1]
    if own[0] == every[0]:
        return own[1] & every[1]
    return own[1] if own[0] > every[0] else every[1]


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
