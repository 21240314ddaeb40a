"""What facts, and facts taken back, do to a contact's consent, and whom that touches (DESIGN.md 3, 5)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.conditions.channels import ALL, Consent, consent_of, status
from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.membership.plan import WorkspacePlan

CHANNELS_MAX = 1_000
"""Named channels that one contact's consent knows. Beyond it openings are not noted, and a closing takes the place of
the oldest opening: who asked not to be mailed is never forgotten."""
Ranks = tuple[int, ...]


def hear(workspace: WorkspacePlan, contact: Contact, fact: Fact) -> Ranks:
    """Note what a fact says of consent; the ranks of the segments that it touches."""
    if consent_of(fact) is None:
        return ()
    before = _standing(workspace, contact.consent)
    _record(contact, fact)
    return _touched(workspace, contact, before)


def hear_again(
    workspace: WorkspacePlan, contact: Contact, gone: Sequence[Fact], left: Sequence[Fact], horizon: int
) -> Ranks:
    """Work out anew the channels of which facts spoke that count no more; the ranks of the segments that it touches.

    `left` are the facts that count, by `at`, then arrival. Where none of them speaks of a channel, a closing stands
    that was at or before `horizon`, the last that the journal forgot; a forgotten opening is not guessed.
    """
    channels = {channel for fact in gone for channel in _channels(fact)}
    if not channels or contact.consent is None:
        return ()
    before = _standing(workspace, contact.consent)
    closings = contact.closings or {}
    for channel in channels:
        contact.consent.pop(channel, None)
        closing = closings.pop(channel, None)
        if closing is not None and closing <= horizon:
            contact.consent[channel] = [closing, 0]
    for fact in left:
        if not channels.isdisjoint(_channels(fact)):
            _record(contact, fact)
    return _touched(workspace, contact, before)


def _channels(fact: Fact) -> list[str]:
    said = consent_of(fact)
    return said[0] if said is not None else []


def _record(contact: Contact, fact: Fact) -> None:
    """Note what one fact says, once or again."""
    said = consent_of(fact)
    if said is not None:
        for channel in said[0]:
            record_consent(contact, channel, fact.at, said[1])


def record_consent(contact: Contact, channel: str, at: int, opening: int) -> None:
    """Note what one fact says of one channel; the latest by `at` stays, closed on a tie."""
    consent = contact.consent
    if consent is None:
        consent = contact.consent = {}
    entry = consent.get(channel)
    if entry is None:
        if len(consent) >= CHANNELS_MAX and channel != ALL:
            open_ones = [name for name, (_, is_open) in consent.items() if is_open and name != ALL]
            if opening or not open_ones:
                return
            oldest = min(open_ones, key=lambda name: consent[name][0])
            del consent[oldest]
            if contact.closings is not None:
                contact.closings.pop(oldest, None)
        consent[channel] = [at, opening]
    elif at > entry[0]:
        if opening and not entry[1]:
            _remember(contact, channel, entry[0])
        entry[0], entry[1] = at, opening
    elif at == entry[0]:
        entry[1] &= opening
    elif entry[1] and not opening:
        _remember(contact, channel, at)


def _remember(contact: Contact, channel: str, closing: int) -> None:
    """Keep a closing that an opening came after: who takes the opening back may find it gone from the journal."""
    closings = contact.closings
    if closings is None:
        closings = contact.closings = {}
    closings[channel] = max(closing, closings.get(channel, closing))


def _standing(workspace: WorkspacePlan, consent: Consent | None) -> tuple[list[bool], dict[str, int | None]]:
    """Which gates are open, and the last word on each channel that some rule looks at."""
    words = {channel: None if consent is None else status(consent, channel) for channel in workspace.by_channel}
    return [gate(consent) for gate, _ in workspace.gates], words


def _touched(workspace: WorkspacePlan, contact: Contact, before: tuple[list[bool], dict[str, int | None]]) -> Ranks:
    """The ranks of the segments whose gate opened or closed, or whose rule looks at a channel of which the last word
    is another now."""
    gates, words = _standing(workspace, contact.consent)
    touched: Ranks = ()
    for (_, ranks), is_open, was_open in zip(workspace.gates, gates, before[0], strict=True):
        if is_open and not was_open:
            touched += ranks
        elif was_open and not is_open:
            # Only those with an entry can have been in or be due; the others stay out.
            touched += tuple(rank for rank in ranks if workspace.segments[rank].key in contact.members)
    for channel, word in words.items():
        if word != before[1][channel]:
            touched += workspace.by_channel[channel]
    return touched
