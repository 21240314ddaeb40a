"""What has come of the facts taken and the deadlines fired since the last commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.membership.facts import Rejected
from engine.membership.transitions import Transition


class Contacts(Protocol):
    """Where states come from: memory, a store, or a dictionary."""

    def get(self, key: bytes) -> Contact | None:
        """The contact with this store key, decoded; the core changes it in place and reports it in `Batch.contacts`."""

    def put(self, key: bytes, contact: Contact) -> None:
        """Keep a new contact."""

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """These contacts will be asked for next."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        """The committed journal of the contact, in the order in which its facts were taken."""


class Batch:
    """Changed contacts, new facts by contact (one journal chunk each: number `contact.journal_next - 1`),
    transitions, counts."""

    __slots__ = ("contacts", "deadlines", "duplicates", "facts", "journal", "late", "refused", "transitions", "unmet")

    def __init__(self) -> None:
        self.contacts: dict[bytes, Contact] = {}
        self.journal: dict[bytes, list[Fact]] = {}
        self.transitions: list[Transition] = []
        self.refused: list[tuple[Fact, Rejected]] = []
        """Facts that were not taken, as their contact holds too much already."""
        self.facts = 0
        self.duplicates = 0
        self.late = 0
        self.deadlines = 0
        self.unmet = 0
        """Retractions that found no fact to undo: it has not come, or the journal no longer holds it."""
