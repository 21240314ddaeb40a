"""What the journal no longer holds of a contact, and whose answers may rest on it (DESIGN.md 5).

The journal keeps a contact's facts for JOURNAL_RETENTION, and no more of them than JOURNAL_FACTS and JOURNAL_BYTES. A
condition that is new, or asks something else than before, is folded from what is there: of earlier facts it knows
nothing, and that is said wherever its answers are.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.conditions.contact import Contact
from engine.conditions.feature import Feature
from engine.membership.plan import WorkspacePlan
from engine.membership.planned import PlannedSegment


def lacking(workspace: WorkspacePlan, contact: Contact, horizon: int, folded: Collection[int], t: int) -> list[Feature]:
    """Of the features that are folded from the journal, those in which facts at or before `horizon` might count at `t`.

    `folded` are keys of features; `horizon` is the contact's (`horizon_of`, ms). None where the contact is known only
    since then: nothing of it is missing. That some are told does not mean that there were such facts, only that nobody
    can know.
    """
    if contact.known_at > horizon or not contact.facts:
        return []
    return [
        feature
        for key in folded
        if (feature := workspace.features.get(key)) is not None
        and any(intake.since <= horizon and intake.until > contact.known_at for intake in feature.intakes)
        and feature.counted_until(horizon) > t
    ]


def unheld(
    workspace: WorkspacePlan, contact: Contact, horizon: int, folded: Collection[int], t: int
) -> tuple[PlannedSegment, ...]:
    """The segments whose answer for the contact at `t` (ms) may rest on facts that the journal no longer holds, in the
    order of judging; with those that nest them, or share a group with them.

    `folded` are the keys of the features whose value comes, or would come, from the journal alone: those that the
    contact's state does not have yet. A feature that was kept up to date since before the horizon lacks nothing.
    """
    ranks = workspace.using(lacking(workspace, contact, horizon, folded, t))
    return workspace.together(ranks) if ranks else ()


def horizon_of(contact: Contact, clock: int, journal_retention: int) -> int:
    """The instant up to which the contact's facts may be missing from its journal (all in ms)."""
    return max(clock - journal_retention, contact.journal_since)
