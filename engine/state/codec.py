"""Bytes of states, journal chunks and positions. The first byte of each is the version of its format.

An unknown version is an error, never a guess: what a newer engine wrote must not be read wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.facts import journal_entry, journaled_fact

CONTACT_VERSION = 1
CHUNK_VERSION = 1
POSITION_VERSION = 1

NO_CLOCK = -1
"""Clock of a partition that has not taken a fact yet."""


class UnknownVersion(Exception):
    """Bytes in a format that this engine does not know: written by a newer one, or not by the engine at all."""


class Header(msgspec.Struct, array_like=True, gc=False):
    """The leading fields of a contact's state, decoded without the rest: for scans of a whole store."""

    plan: int
    as_of: int
    known_at: int
    deadline: int = NEVER


class Position(msgspec.Struct, array_like=True):
    """How far a partition has come: committed with every transaction, under one key of the changelog.

    `offsets` are the next offsets to take, by input topic. `clock` is in milliseconds, `NO_CLOCK` before the first
    fact. `plan` is the fingerprint of the definitions taken up. `filled` is the last store key that the fill for this
    plan has passed, empty before the first, None when every contact is filled.
    """

    offsets: dict[str, int] = {}
    clock: int = NO_CLOCK
    plan: int = 0
    filled: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_contact = msgspec.msgpack.Decoder(Contact).decode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_position = msgspec.msgpack.Decoder(Position).decode
_decode_chunk = msgspec.msgpack.Decoder(list[tuple[str, str, int, int | None, bytes]]).decode

_CONTACT_PREFIX = bytes([CONTACT_VERSION])
_CHUNK_PREFIX = bytes([CHUNK_VERSION])
_POSITION_PREFIX = bytes([POSITION_VERSION])


def encode_contact(contact: Contact) -> bytes:
    """A contact's state as bytes."""
    return _CONTACT_PREFIX + _encode(contact)


def decode_contact(encoded: bytes) -> Contact:
    """The state that `encode_contact` wrote. Raises UnknownVersion."""
    if encoded[0] != CONTACT_VERSION:
        raise UnknownVersion(_unknown("a contact's state", encoded[0], CONTACT_VERSION))
    return _decode_contact(memoryview(encoded)[1:])


def decode_header(encoded: bytes) -> Header:
    """Plan, as-of, known-at and deadline of an encoded contact. Raises UnknownVersion."""
    if encoded[0] != CONTACT_VERSION:
        raise UnknownVersion(_unknown("a contact's state", encoded[0], CONTACT_VERSION))
    return _decode_header(memoryview(encoded)[1:])


def encode_chunk(facts: Sequence[Fact]) -> bytes:
    """Facts of one contact, in the order in which they were taken, as one chunk of its journal."""
    return _CHUNK_PREFIX + _encode([journal_entry(fact) for fact in facts])


def decode_chunk(encoded: bytes, key: bytes) -> list[Fact]:
    """The facts that `encode_chunk` wrote for the contact with the store key `key`. Raises UnknownVersion."""
    if encoded[0] != CHUNK_VERSION:
        raise UnknownVersion(_unknown("a journal chunk", encoded[0], CHUNK_VERSION))
    return [journaled_fact(key, entry) for entry in _decode_chunk(memoryview(encoded)[1:])]


def newest_of_chunk(encoded: bytes) -> int:
    """The greatest `at` of a chunk's facts, in milliseconds. Raises UnknownVersion."""
    if encoded[0] != CHUNK_VERSION:
        raise UnknownVersion(_unknown("a journal chunk", encoded[0], CHUNK_VERSION))
    return max((entry[2] for entry in _decode_chunk(memoryview(encoded)[1:])), default=0)


def encode_position(position: Position) -> bytes:
    """A partition's position as bytes."""
    return _POSITION_PREFIX + _encode(position)


def decode_position(encoded: bytes) -> Position:
    """The position that `encode_position` wrote. Raises UnknownVersion."""
    if encoded[0] != POSITION_VERSION:
        raise UnknownVersion(_unknown("a partition's position", encoded[0], POSITION_VERSION))
    return _decode_position(memoryview(encoded)[1:])


def _unknown(what: str, found: int, known: int) -> str:
    return (
        f"{what} is in format {found}, this engine knows format {known}: run the version that wrote it, "
        "or stop every worker of the group, delete its changelog and journal topics and its DATA_DIR, and start anew"
    )
