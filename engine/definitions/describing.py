"""A whole definition in plain words: who is in, and what holds beside the rule."""

from __future__ import annotations

from engine.definitions.document import Mailable, Segment

NAMED_MAX = 5
"""Pinned contacts that are named; of more only the number is told."""


def describe(segment: Segment) -> str:
    """One sentence a rule, in the order in which they decide.

    >>> from engine.definitions import parse_segment
    >>> describe(parse_segment("segment: buyers\\nmailable: false\\nwhen: {did: {event: purchase, within: P30D}}"))
    'bought something in the last 30 days; also those who opted out'
    """
    parts = []
    if segment.when is not None:
        parts.append(segment.when.describe())
    if segment.include:
        parts.append(f"always {_named(segment.include)}")
    if segment.exclude:
        parts.append(f"never {_named(segment.exclude)}")
    if isinstance(segment.mailable, Mailable):
        wanted = "with consent granted" if segment.mailable.consent else "unless opted out"
        parts.append(f"{wanted} for {segment.mailable.channel}")
    elif not segment.mailable:
        parts.append("also those who opted out")
    if segment.group is not None:
        parts.append(f"only the highest of group {segment.group.name}, here {segment.group.priority}")
    if segment.timezone != "UTC":
        parts.append(f"months in {segment.timezone}")
    return "; ".join(parts)


def _named(contacts: list[str]) -> str:
    return ", ".join(contacts) if len(contacts) <= NAMED_MAX else f"{len(contacts)} pinned contacts"
