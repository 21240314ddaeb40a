"""What the loop does when the core raises: the batch again, one by one, without what the core cannot take.

The core is not supposed to raise; a fact that makes it do so is a poison record, and must not stop its partition. All
that the failed attempt changed in memory was thrown away before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.batch import Batch
from engine.membership.partition import Partition
from engine.state.codec import UnknownVersion, decode_contact, encode_contact
from engine.state.contacts import StoredContacts
from engine.state.store import StoreError

log = logging.getLogger(__name__)

STOPS: Final = (StoreError, UnknownVersion, MemoryError)
"""No fact's or contact's fault: the worker must stop for these, and nothing be left out."""

T = TypeVar("T")
_Far = tuple[int, int, tuple[int, ...]]
"""How many transitions and rows of members a batch has, and its counts."""
_COUNTS = ("facts", "duplicates", "late", "deadlines", "unmet", "unplaced", "erased")


@dataclass(slots=True)
class _Before:
    """What must be put back if one step fails."""

    clock: int
    contact: bytes | None
    reported: bool
    journal: list[Fact] | None
    kept: list[list[Fact]] | None
    gone: int | None
    marks: dict[bytes, int]
    far: _Far


class WatchedContacts:
    """Contacts that remember which one was asked for last: the one that was at work when the core raised."""

    def __init__(self, contacts: StoredContacts) -> None:
        self._contacts = contacts
        self.last: bytes | None = None

    def get(self, key: bytes) -> Contact | None:
        self.last = key
        return self._contacts.get(key)

    def put(self, key: bytes, contact: Contact) -> None:
        self._contacts.put(key, contact)

    def prefetch(self, keys: Sequence[bytes]) -> None:
        self._contacts.prefetch(keys)

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        return self._contacts.history(key, contact)

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        return self._contacts.numbered(key, contact)

    def drop(self, key: bytes) -> None:
        self._contacts.drop(key)

    def mark(self, digest: bytes) -> int:
        return self._contacts.mark(digest)


def take_one_by_one(core: Partition, contacts: StoredContacts, facts: Sequence[Fact]) -> dict[int, str]:
    """Takes each fact alone; returns the places of those that the core raised on, with the error.

    The core and its contacts are as if the poison had never been: state, journal, transitions, counts and clock.
    """
    poison: dict[int, str] = {}
    contacts.prefetch({fact.key for fact in facts})
    for place, fact in enumerate(facts):
        before = _before(core, contacts, fact.key)
        try:
            core.take([fact])
        except STOPS:
            raise
        except Exception as error:
            log.exception("The core raised on the fact %s of contact %r", fact.id, fact.contact)
            poison[place] = f"{type(error).__name__}: {error}"
            _put_back(core, contacts, fact.key, before)
    return poison


def pass_time_one_by_one(
    core: Partition, watched: WatchedContacts, contacts: StoredContacts, to: int | None, limit: int
) -> bool:
    """Fires deadlines one contact at a time; one that the core raises on waits for its contact's next fact.

    `watched` are the contacts of `core`. False when deadlines are left. Only for a batch without facts: what the
    contact at work had not committed is forgotten.
    """
    for _ in range(limit):
        before = _far(core.batch)
        try:
            if core.pass_time(to, 1):
                return True
        except STOPS:
            raise
        except Exception:
            key = watched.last
            log.exception("The core raised on a deadline of the contact %r; it waits for the contact's next fact", key)
            _undo(core, contacts, key, before)
    return False


def fill_one_by_one(core: Partition, contacts: StoredContacts, keys: Sequence[bytes]) -> None:
    """Brings contacts up to the plan one at a time; one that the core raises on waits for its contact's next fact.

    Good for any batch: whom facts or deadlines have touched in it is under the plan, so nothing uncommitted is lost.
    """
    failed = 0
    for key in keys:
        before = _far(core.batch)
        try:
            core.fill((key,))
        except STOPS:
            raise
        except Exception:
            failed += 1
            if failed == 1:  # a definition that no contact can be judged by would fill the log
                log.exception("The core raised while it brought the contact %r up to new definitions", key)
            _undo(core, contacts, key, before)
    if failed:
        log.error("%d contacts could not be brought up to new definitions: each waits for its next fact", failed)


def _far(batch: Batch) -> _Far:
    return len(batch.transitions), len(batch.members), _counts(batch)


def _shorten(batch: Batch, far: _Far) -> None:
    transitions, members, counts = far
    del batch.transitions[transitions:]
    del batch.members[members:]
    _set_counts(batch, counts)


def _undo(core: Partition, contacts: StoredContacts, key: bytes | None, before: _Far) -> None:
    _shorten(core.batch, before)
    if key is not None:
        core.batch.contacts.pop(key, None)
        contacts.forget(key)


def _before(core: Partition, contacts: StoredContacts, key: bytes) -> _Before:
    contact, batch = contacts.get(key), core.batch
    return _Before(
        core.clock,
        None if contact is None else encode_contact(contact),
        key in batch.contacts,
        list(batch.journal[key]) if key in batch.journal else None,
        batch.kept.get(key),
        batch.gone.get(key),
        dict(batch.marks),
        _far(batch),
    )


def _put_back(core: Partition, contacts: StoredContacts, key: bytes, before: _Before) -> None:
    batch = core.batch
    core.clock = before.clock
    _shorten(batch, before.far)
    _set(batch.journal, key, before.journal)
    _set(batch.kept, key, before.kept)
    _set(batch.gone, key, before.gone)
    batch.marks = before.marks
    if before.contact is None:
        contacts.forget(key)
        core.arm(key, NEVER)
        batch.contacts.pop(key, None)
        if before.gone is not None:  # it was erased in this batch: the store has it still
            contacts.drop(key)
        return
    contact = decode_contact(before.contact)
    contacts.put(key, contact)
    core.arm(key, contact.deadline)  # an erasure takes it off
    if before.reported:
        batch.contacts[key] = contact
    else:
        batch.contacts.pop(key, None)


def _set(places: dict[bytes, T], key: bytes, value: T | None) -> None:
    if value is None:
        places.pop(key, None)
    else:
        places[key] = value


def _counts(batch: Batch) -> tuple[int, ...]:
    return tuple(getattr(batch, name) for name in _COUNTS)


def _set_counts(batch: Batch, counts: tuple[Any, ...]) -> None:
    for name, count in zip(_COUNTS, counts, strict=True):
        setattr(batch, name, count)
