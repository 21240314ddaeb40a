"""What the engine remembers of one contact, as it stands in memory and, encoded, in the store and the changelog."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.conditions.instants import NEVER

NO_AS_OF = -1
"""As-of of a contact without any fact: before every instant."""
NO_JOURNAL_BOUND = -1
"""`journal_since` where the bounds of the journal have never been passed."""
NEVER_ERASED = -1
"""`erased_at` of a contact that was not erased: before every instant."""
SEQUENCE, SINCE, UNTIL, CAUSE = 0, 1, 2, 3
"""Places in a membership entry: transitions so far (odd: a member), instant of the last one, instant of the next
check; and only where the last one came from a change of definitions, which: no fact of the contact tells it."""
FILLED_FIRST, REDEFINED = 1, 2
"""What stands at CAUSE: the first fill of the segment, or a change of its definition or of one that it rests on."""


class Contact(msgspec.Struct, array_like=True):
    """One contact's state. Dictionaries are keyed by 63-bit digests (features, segments) or by the users' own names.

    `members` holds `[sequence, since, until]` a segment, and sometimes its cause; `ids` the last event ids, 16 bytes
    each (see engine.membership.ids);
    `attributes`, `tags` and `lists` hold `[at, value]`; `consent` `[at, open]` a channel, "" standing for all of them;
    `size` is how many bytes the state had when last measured, `grown` how many its facts have had since then;
    `refunds` every order `[order_id, at]` that was refunded and whose purchase may still come; `retractions`
    `[digest, at]` of
    the ids whose facts were retracted before they came; `closings` the instant, by channel, of the last closing that an
    opening came after.
    Of the journal, which keeps no more than so many facts and bytes: `journal_since` is the instant up to which facts
    may be missing from it (ms), `journal_gone` how many of `facts` it has let go, the first ones by the order in which
    they were taken, `journal_bytes` what the others take, about.
    `erased_at` is the instant (ms) of the erasure that the contact is new since: at or before it no fact counts.

    A state may be older than a field: new ones go to the end, with a default.
    """

    plan: int = 0
    as_of: int = NO_AS_OF
    known_at: int = NEVER
    deadline: int = NEVER
    facts: int = 0
    members: dict[int, list[int]] = msgspec.field(default_factory=dict)
    features: dict[int, Any] = msgspec.field(default_factory=dict)
    ids: bytes = b""
    ids_gone: int = -2
    journal_next: int = 0
    attributes: dict[str, list[Any]] | None = None
    tags: dict[str, list[int]] | None = None
    lists: dict[str, list[int]] | None = None
    consent: dict[str, list[int]] | None = None
    refunds: list[list[Any]] | None = None
    size: int = 0
    grown: int = 0
    retractions: list[list[Any]] | None = None
    closings: dict[str, int] | None = None
    journal_since: int = NO_JOURNAL_BOUND
    journal_gone: int = 0
    journal_bytes: int = 0
    erased_at: int = NEVER_ERASED

    def is_member(self, segment: int) -> bool:
        """Whether the contact is in the segment with this digest."""
        entry = self.members.get(segment)
        return entry is not None and entry[SEQUENCE] & 1 == 1
