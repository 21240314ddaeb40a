"""Contacts in memory: for replay and tests, where nothing outlives the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.conditions.contact import NEVER_ERASED, Contact
from engine.conditions.fact import Fact
from engine.membership.batch import Batch


class MemoryContacts:
    """Every contact and its whole journal, in dictionaries."""

    def __init__(self) -> None:
        self.contacts: dict[bytes, Contact] = {}
        self._journal: dict[bytes, list[Fact]] = {}
        self._gone: dict[bytes, int] = {}
        """How many facts the journals have let go, where any."""
        self._marks: dict[bytes, int] = {}

    def get(self, key: bytes) -> Contact | None:
        """The contact, or None."""
        return self.contacts.get(key)

    def put(self, key: bytes, contact: Contact) -> None:
        """Keep a new contact."""
        self.contacts[key] = contact

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """Nothing to do: all are in memory."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        """The facts committed so far."""
        return self.journal(key)

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        """The same with the number of each among all the contact's facts."""
        return enumerate(self.journal(key), self._gone.get(key, 0))

    def journal(self, key: bytes) -> Sequence[Fact]:
        """The contact's facts as they were taken."""
        return self._journal.get(key, ())

    def drop(self, key: bytes) -> None:
        """Forget an erased contact; its journal goes with the commit."""
        self.contacts.pop(key, None)

    def mark(self, digest: bytes) -> int:
        """The instant (ms) of the last erasure under this digest."""
        return self._marks.get(digest, NEVER_ERASED)

    def commit(self, batch: Batch) -> None:
        """Take erased facts out of the journal, and add the batch's."""
        for key in batch.gone:
            self._journal.pop(key, None)
            self._gone.pop(key, None)
        for key, chunks in batch.kept.items():
            self._journal[key] = [fact for chunk in chunks for fact in chunk]
        self._marks.update(batch.marks)
        for key, facts in batch.journal.items():
            self._journal.setdefault(key, []).extend(facts)
        for key in batch.shortened:
            gone = batch.contacts[key].journal_gone if key in batch.contacts else 0
            del self._journal.get(key, [])[: max(0, gone - self._gone.get(key, 0))]
            self._gone[key] = gone
