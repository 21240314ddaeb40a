"""What contacts say of being mailed, channel by channel: which facts speak, and who is heard (DESIGN.md 3, 5).

Per channel the latest by `at` of closing and opening facts decides, ties closed; one for all channels speaks for each.
"""

from __future__ import annotations

from engine.conditions.fact import Fact

Consent = dict[str, list[int]]
"""`[at, 1 open or 0 closed]` of the fact that decides, by channel; under ALL of those that speak for each."""

ALL = ""
CHANNEL_LENGTH_MAX = 64
"""Characters of a channel's name; a definition may name no longer one."""
CLOSING = frozenset(("opt_out", "block", "complaint"))
SPEAKING = CLOSING | {"opt_in", "consent"}
"""Types that say whether the contact may be mailed."""


def consent_of(fact: Fact) -> tuple[list[str], int] | None:
    """The channels (ALL for every one) and 1 for opening, 0 for closing; None for a fact that says neither.

    What names its channel in no text or list of texts closes all channels, but opens none.
    """
    kind = fact.type
    if kind not in SPEAKING:
        return None
    properties = fact.properties
    if kind == "consent":
        said = properties.get("status")
        if said not in ("granted", "revoked"):
            return None
        opening = 1 if said == "granted" else 0
    else:
        opening = 1 if kind == "opt_in" else 0
    channel = properties.get("channel")
    if channel is None:
        return [ALL], opening
    named = [each for each in (channel if type(channel) is list else [channel]) if type(each) is str and each]
    if not named:
        return ([] if opening else [ALL]), opening
    return [ALL if each == "all" else each[:CHANNEL_LENGTH_MAX] for each in named], opening


def status(consent: Consent, channel: str) -> int | None:
    """1 open, 0 closed, None unknown: the later of the channel's own and the one for all; closed on a tie."""
    own, every = consent.get(channel), consent.get(ALL)
    if own is None or every is None:
        entry = own or every
        return None if entry is None else entry[1]
    if own[0] == every[0]:
        return own[1] & every[1]
    return own[1] if own[0] > every[0] else every[1]
