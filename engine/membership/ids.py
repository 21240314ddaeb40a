"""Which event ids a contact has seen: the same id again within `DEDUP` of the first one's arrival is a duplicate.

The last few ids are in the contact's state. Older ones are in its journal, which is append-only; they are read from
there only
for contacts that have so many facts, and remembered while there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xxhash import xxh3_64_digest

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER

IDS_INLINE = 32
"""Ids in the state itself: a digest and an arrival, 8 bytes each. Packed, as they are half of what a state holds."""
ENTRY_BYTES = 16
IDS_REMEMBERED = 250_000
"""Older ids in memory for all contacts of a partition, about 40 MB."""
UNKNOWN_ARRIVAL = -1
NONE_GONE = -2


def id_digest(event_id: str) -> bytes:
    """8 bytes that stand for an event id within one contact: two ids of 100,000 share them once in 4 billion
    contacts."""
    return xxh3_64_digest(event_id.encode())


class SeenIds:
    """The older ids of the contacts that have many, by store key: digest → arrival."""

    def __init__(self, dedup: int) -> None:
        self._dedup = dedup
        self._older: dict[bytes, dict[bytes, int]] = {}
        self._remembered = 0
        self._arrival: int | None = None
        self._stamp = UNKNOWN_ARRIVAL.to_bytes(8, "big", signed=True)

    def is_new(self, fact: Fact, contact: Contact, history: Callable[[], Iterable[Fact]]) -> bool:
        """Whether the fact's id was not seen within `DEDUP` before its arrival; if so it is noted as seen.

        `history` gives the contact's facts so far, in any order.
        """
        digest = id_digest(fact.id)
        arrival = fact.arrival
        ids = contact.ids
        place = ids.find(digest)
        while place % ENTRY_BYTES and place >= 0:  # it straddles two entries
            place = ids.find(digest, place + 1)
        if place >= 0:
            first = int.from_bytes(ids[place + 8 : place + ENTRY_BYTES], "big", signed=True)
            if self._is_within(arrival, first):
                return False
            ids = ids[:place] + ids[place + ENTRY_BYTES :]
        elif contact.ids_gone != NONE_GONE and self._is_within(arrival, contact.ids_gone):
            found = self._older_of(fact.key, history).get(digest)
            if found is not None and self._is_within(arrival, found):
                return False
        if arrival != self._arrival:
            self._arrival = arrival
            self._stamp = (UNKNOWN_ARRIVAL if arrival is None else arrival).to_bytes(8, "big", signed=True)
        contact.ids = ids = ids + digest + self._stamp
        if len(ids) > IDS_INLINE * ENTRY_BYTES:
            self._make_room(fact.key, contact)
        return True

    def forget(self, key: bytes) -> None:
        """Nothing is remembered of the contact with this store key: it was erased."""
        self._remembered -= len(self._older.pop(key, ()))

    def lose(self, key: bytes, facts: Iterable[Fact]) -> None:
        """The contact's journal has let these facts go: their ids are known no more, but for the last few."""
        older = self._older.get(key)
        if older is None:
            return
        for fact in facts:
            digest = id_digest(fact.id)
            if older.get(digest) == (UNKNOWN_ARRIVAL if fact.arrival is None else fact.arrival):
                del older[digest]
                self._remembered -= 1

    def _is_within(self, arrival: int | None, first: int) -> bool:
        return arrival is None or first < 0 or arrival - first < self._dedup

    def _make_room(self, key: bytes, contact: Contact) -> None:
        digest, stamp = contact.ids[:8], contact.ids[8:ENTRY_BYTES]
        contact.ids = contact.ids[ENTRY_BYTES:]
        arrival = int.from_bytes(stamp, "big", signed=True)
        contact.ids_gone = max(contact.ids_gone, NEVER if arrival < 0 else arrival)
        older = self._older.get(key)
        if older is not None:
            older[digest] = arrival
            self._remembered += 1
            if self._remembered > IDS_REMEMBERED:
                self._forget()

    def _older_of(self, key: bytes, history: Callable[[], Iterable[Fact]]) -> dict[bytes, int]:
        older = self._older.get(key)
        if older is None:
            older = {
                id_digest(fact.id): UNKNOWN_ARRIVAL if fact.arrival is None else fact.arrival for fact in history()
            }
            self._older[key] = older
            self._remembered += len(older)
            if self._remembered > IDS_REMEMBERED:
                self._forget()
        return older

    def _forget(self) -> None:
        """Drop the contacts remembered longest, down to half: they are read from their journals again when needed."""
        while self._older and self._remembered > IDS_REMEMBERED // 2:
            self._remembered -= len(self._older.pop(next(iter(self._older))))
