"""What has come of the facts taken and the deadlines fired since the last commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.membership.facts import Rejected
from engine.membership.transitions import Transition

MemberRow = tuple[str, str, str, Transition | None]
"""Workspace, segment, contact, and the enter that is to stand there; None where nothing is to."""


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

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        """The same, read as it is asked for, each with its number among all facts that the contact ever had, from 0;
        of those numbered below `contact.journal_gone` some may be missing."""

    def drop(self, key: bytes) -> None:
        """There is no such contact any more: it was erased."""

    def mark(self, digest: bytes) -> int:
        """The instant (ms) of the last committed erasure under this digest; NEVER_ERASED where there was none."""


class Batch:
    """Changed contacts, new facts by contact (one journal chunk each: number `contact.journal_next - 1`),
    transitions, what was erased, counts."""

    __slots__ = (
        "contacts", "deadlines", "duplicates", "erased", "facts", "gone", "journal", "kept", "late", "marks", "members",
        "refused", "shortened", "transitions", "unmet", "unplaced",
    )  # fmt: skip

    def __init__(self) -> None:
        self.contacts: dict[bytes, Contact] = {}
        self.journal: dict[bytes, list[Fact]] = {}
        self.transitions: list[Transition] = []
        self.members: list[MemberRow] = []
        """What `segments.members` is to say beside these transitions, and before them: its switch was turned."""
        self.refused: list[tuple[Fact, Rejected]] = []
        """Facts that were not taken, as their contact holds too much already."""
        self.gone: dict[bytes, int] = {}
        """Erased contacts, and how many chunks their committed journal has at most: numbers from 0. What of them is in
        `contacts`, `kept` and `journal` is of after the erasure."""
        self.kept: dict[bytes, list[list[Fact]]] = {}
        """All that the journal still holds of an erased contact, whose facts since the erasure had come already: chunks
        from number 0 on."""
        self.marks: dict[bytes, int] = {}
        """Erasures: digest of the contact, instant (ms)."""
        self.shortened: set[bytes] = set()
        """Contacts whose journal may be without its facts numbered below `journal_gone`."""
        self.facts = 0
        self.duplicates = 0
        self.late = 0
        self.deadlines = 0
        self.erased = 0
        """Facts that were not taken, as their contact was erased at their instant or later."""
        self.unmet = 0
        """Retractions that found no fact to undo: it has not come, or the journal no longer holds it."""
        self.unplaced = 0
        """Facts that came so late that the journal no longer holds what was before and after them: what goes by the
        order of facts is without them."""
