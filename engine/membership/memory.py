"""Contacts in memory: for replay and tests, where nothing outlives the run."""

from __future__ import annotations

from collections.abc import Sequence

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.membership.batch import Batch


class MemoryContacts:
    """Every contact and its whole journal, in dictionaries."""

    def __init__(self) -> None:
        self.contacts: dict[bytes, Contact] = {}
        self._journal: dict[bytes, list[Fact]] = {}

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

    def journal(self, key: bytes) -> Sequence[Fact]:
        """The contact's facts as they were taken."""
        return self._journal.get(key, ())

    def commit(self, batch: Batch) -> None:
        """Add the batch's facts to the journal."""
        for key, facts in batch.journal.items():
            self._journal.setdefault(key, []).extend(facts)
