"""A whole definition in plain words: who is in, and what holds beside the rule."""

from __future__ import annotations

from engine.conditions.boolean import outline
from engine.conditions.zones import OWN
from engine.definitions.document import Mailable, Segment

NAMED_MAX = 5
"""Pinned contacts that are named; of more only the number is told."""


def describe(segment: Segment) -> str:
    """The definition in one line, in the order in which its parts decide.

    >>> from engine.definitions import parse_segment
    >>> describe(parse_segment("segment: buyers\\nmailable: false\\nwhen: {did: {event: purchase, within: P30D}}"))
    'bought something in the last 30 days; also those who opted out'
    """
    rule = [segment.when.describe()] if segment.when is not None else []
    return "; ".join(rule + _beside(segment))


def describe_lines(segment: Segment) -> list[str]:
    """The definition as lines: the rule a condition a line, those under another further in; then what holds beside it.

    >>> from engine.definitions import parse_segment
    >>> text = "segment: s\\nwhen: {all: [{did: {event: purchase}}, {any: [{in_list: a}, {not: {in_list: b}}]}]}"
    >>> print(*describe_lines(parse_segment(text)), sep="\\n")
    - all of these:
      - bought something at least once
      - at least one of these:
        - is on the list a
        - not (is on the list b)
    """
    rule = outline(segment.when) if segment.when is not None else []
    return rule + [f"- {each}" for each in _beside(segment)]


def _beside(segment: Segment) -> list[str]:
    """What holds beside the rule."""
    parts = []
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
        parts.append(f"only in the highest of group {segment.group.name}, here {segment.group.priority}")
    if segment.timezone != "UTC":
        whose = "each contact's own time zone" if segment.timezone == OWN else segment.timezone
        parts.append(f"by the calendar of {whose}")
    return parts


def _named(contacts: list[str]) -> str:
    return ", ".join(contacts) if len(contacts) <= NAMED_MAX else f"{len(contacts)} pinned contacts"
