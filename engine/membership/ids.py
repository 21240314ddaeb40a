"""Which event ids a contact has seen: the same id again within `DEDUP` of the first one's arrival is a duplicate.

The last few ids are in the contact's state. Older ones are in its journal, which is append-only; they are read from
there only
for contacts that have so many facts, and remembered while there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xxhash import xxh3_64_intdigest

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER

IDS_INLINE = 32
"""Ids in the state itself, 18 bytes each."""
IDS_REMEMBERED = 1_000_000
"""Older ids in memory for all contacts of a partition, about 100 MB."""
UNKNOWN_ARRIVAL = -1
NONE_GONE = -2


def id_digest(event_id: str) -> int:
    """63 bits that stand for an event id within one contact."""
    return xxh3_64_intdigest(event_id.encode()) >> 1


class SeenIds:
    """The older ids of the contacts that have many, by store key: digest → arrival."""

    def __init__(self, dedup: int) -> None:
        self._dedup = dedup
        self._older: dict[bytes, dict[int, int]] = {}
        self._remembered = 0

    def is_new(self, fact: Fact, contact: Contact, history: Callable[[], Iterable[Fact]]) -> bool:
        """Whether the fact's id was not seen within `DEDUP` before its arrival; if so it is noted as seen.

        `history` gives the contact's facts so far, in any order.
        """
        digest = id_digest(fact.id)
        arrival = fact.arrival
        ids = contact.ids
        first = ids.get(digest)
        if first is not None:
            if arrival is None or first < 0 or arrival - first < self._dedup:
                return False
        elif contact.ids_gone != NONE_GONE and (arrival is None or arrival - contact.ids_gone < self._dedup):
            older = self._older_of(fact.key, history)
            first = older.get(digest)
            if first is not None and (arrival is None or first < 0 or arrival - first < self._dedup):
                return False
        ids[digest] = UNKNOWN_ARRIVAL if arrival is None else arrival
        if len(ids) > IDS_INLINE:
            self._make_room(fact.key, contact)
        return True

    def _make_room(self, key: bytes, contact: Contact) -> None:
        digest = next(iter(contact.ids))
        arrival = contact.ids.pop(digest)
        contact.ids_gone = max(contact.ids_gone, NEVER if arrival < 0 else arrival)
        older = self._older.get(key)
        if older is not None:
            older[digest] = arrival
            self._remembered += 1

    def _older_of(self, key: bytes, history: Callable[[], Iterable[Fact]]) -> dict[int, int]:
        older = self._older.get(key)
        if older is None:
            older = {
                id_digest(fact.id): UNKNOWN_ARRIVAL if fact.arrival is None else fact.arrival for fact in history()
            }
            while self._older and self._remembered + len(older) > IDS_REMEMBERED:
                self._remembered -= len(self._older.pop(next(iter(self._older))))
            self._older[key] = older
            self._remembered += len(older)
        return older
