"""The contacts of one partition as the core sees them: decoded, hot ones in memory, the rest in the store.

Memory is bounded over all partitions of the worker. A contact's cost is estimated as `CONTACT_BYTES` plus
`BYTES_PER_ENCODED` for each byte of its encoded state, averaged over the states encoded or decoded lately: decoded
integers, lists and dictionaries take about that many times the room of their MessagePack. Least recently used leave
first, in two generations: those used since the last turn, and the older ones; a full young generation becomes the old
one, so a use costs one look in a dictionary. That happens between commits only, so a contact with uncommitted changes
never leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

from engine.conditions.contact import NEVER_ERASED, Contact
from engine.conditions.fact import Fact
from engine.state.changelog import ERASED
from engine.state.codec import decode_contact, decode_mark
from engine.state.store import Store

CONTACT_BYTES: Final = 700
"""An empty decoded contact with its key and its place in a dictionary."""
BYTES_PER_ENCODED: Final = 7
"""Bytes in memory for each encoded byte; measured on contacts of the benchmark job."""
SAMPLE: Final = 0.2
"""Weight of the newest batch in the average length."""
CONTACTS_MIN: Final = 1_000
"""Contacts a partition may keep whatever the bound says: less than a batch would only thrash."""


class Memory:
    """The bound in bytes that all partitions of a worker share in equal parts."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._sharers = 0

    def join(self) -> None:
        self._sharers += 1

    def leave(self) -> None:
        self._sharers -= 1

    @property
    def share(self) -> int:
        """Bytes for each partition."""
        return self.bytes_max // max(1, self._sharers)


class StoredContacts:
    """Contacts of one partition over its store; the `Contacts` of `engine.membership.partition`."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self._store = store
        self._memory = memory
        self._young: dict[bytes, Contact] = {}
        self._old: dict[bytes, Contact] = {}
        self._absent: set[bytes] = set()
        self._length = 100.0  # average of encoded states, bytes; corrected by the first batch
        self.made = 0
        """How many more contacts there are than when this was opened; fewer, below 0."""
        memory.join()

    def __len__(self) -> int:
        """Contacts in memory; one that is in both generations counts twice."""
        return len(self._young) + len(self._old)

    def __contains__(self, key: bytes) -> bool:
        """Whether the contact is in memory."""
        return key in self._young or key in self._old

    @property
    def bytes_used(self) -> int:
        """Estimated memory."""
        return int(len(self) * (CONTACT_BYTES + BYTES_PER_ENCODED * self._length))

    def prefetch(self, keys: Iterable[bytes]) -> None:
        """Brings the contacts of a batch into memory by one multi-get."""
        young, old, absent = self._young, self._old, self._absent
        missing = []
        for key in keys:
            if key not in young and key not in absent:  # what was erased is in the store until the commit
                found = old.pop(key, None)
                if found is None:
                    missing.append(key)
                else:
                    young[key] = found
        if not missing:
            return
        total = count = 0
        for key, encoded in zip(missing, self._store.get_many(missing), strict=True):
            if encoded is None:
                self._absent.add(key)
            else:
                young[key] = decode_contact(encoded)
                total += len(encoded)
                count += 1
        self.sample(total, count)

    def get(self, key: bytes) -> Contact | None:
        """The contact under a store key, which the core may change in place; None if there is none."""
        found = self._young.get(key)
        if found is not None or key in self._absent:
            return found
        found = self._old.pop(key, None)
        if found is None:
            encoded = self._store.get(key)
            if encoded is None:
                self._absent.add(key)
                return None
            found = decode_contact(encoded)
        self._young[key] = found
        return found

    def put(self, key: bytes, contact: Contact) -> None:
        """A new contact, or one in place of another."""
        if key in self._absent:
            self._absent.discard(key)
            self.made += 1
        self._young[key] = contact

    def drop(self, key: bytes) -> None:
        """There is no such contact any more, whatever the store has until the commit."""
        self._young.pop(key, None)
        self._old.pop(key, None)
        self._absent.add(key)
        self.made -= 1

    def mark(self, digest: bytes) -> int:
        """The instant (ms) of the last erasure under this digest; NEVER_ERASED where there was none."""
        found = self._store.more(ERASED + digest)
        return NEVER_ERASED if found is None else decode_mark(found)

    def forget(self, key: bytes) -> None:
        """Drops a contact from memory, with whatever was not committed; it is read from the store when asked for."""
        self._young.pop(key, None)
        self._old.pop(key, None)
        self._absent.discard(key)

    @property
    def absent(self) -> Set[bytes]:
        """Store keys asked for since the last `settle` that have no contact yet, or none any more."""
        return self._absent

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        """The committed facts of a contact's journal, in the order in which they were taken."""
        return self._store.history(key) if contact.journal_next else ()

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        """The same, read as it is asked for, each with its number among all the contact's facts."""
        return self._store.numbered(key)

    def let_go(self, keys: Iterable[bytes]) -> list[bytes]:
        """Keys of the journal's chunks of which these contacts, all in memory, have let every fact go."""
        passed: list[bytes] = []
        for key in keys:
            contact = self.get(key)
            if contact is not None and contact.journal_gone:
                passed += self._store.chunks_before(key, contact.journal_gone)
        return passed

    def sample(self, total: int, count: int) -> None:
        """Tells the encoded length of `count` states, `total` bytes together."""
        if count:
            self._length += (total / count - self._length) * SAMPLE

    def settle(self) -> None:
        """After a commit: everything in memory is committed, so what was not used lately may leave."""
        self._absent.clear()
        each = CONTACT_BYTES + BYTES_PER_ENCODED * self._length
        if len(self._young) >= max(CONTACTS_MIN, self._memory.share / each / 2):
            self._old = self._young
            self._young = {}

    def close(self) -> None:
        """Forgets everything, committed or not."""
        self._young, self._old = {}, {}
        self._absent.clear()
        self._memory.leave()
