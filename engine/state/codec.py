"""Bytes of states, journal chunks and positions. The first byte of each is the version of its format.

An unknown version is an error, never a guess: what a newer engine wrote must not be read wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.facts import journaled_fact, journaled_type
from engine.membership.filled import Filled

CONTACT_VERSION = 1
CHUNK_VERSION = 2
POSITION_VERSION = 1
MARK_VERSION = 1
FILLED_VERSION = 1

UUID_LENGTH: Final = 36
TYPES: Final = (
    "click", "product_view", "cart_add", "cart_remove", "favourite_add", "search", "quiz_step", "quiz_completed",
    "purchase", "refund", "opt_out", "opt_in", "block", "complaint", "consent", "message_sent", "message_delivered",
    "message_read", "message_clicked", "message_failed", "contact_updated", "tags_added", "tags_removed", "list_added",
    "list_removed", "contact_merged", "contact_erased", "event_retracted",
)  # fmt: skip
"""Types that a chunk names by their place here: new ones go to the end, none may ever move."""

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


class Roll(msgspec.Struct, array_like=True, gc=False):
    """The leading fields with the memberships, as in Contact: to see who is in a segment without decoding the rest."""

    plan: int
    as_of: int
    known_at: int
    deadline: int
    facts: int
    members: dict[int, list[int]]


class Position(msgspec.Struct, array_like=True):
    """How far a partition has come: committed with every transaction, under one key of the changelog.

    `offsets` are the next offsets to take, by input topic. `clock` is in milliseconds, `NO_CLOCK` before the first
    fact; no deadline before it is left. `plan` is the fingerprint of the definitions taken up, `changed_at` the clock
    at which they were, `read_to` how far the definitions' topic was read for them. `filled` is the last store key that
    the fill for this plan has passed, empty before the first, None when every contact is filled.
    """

    offsets: dict[str, int] = {}
    clock: int = NO_CLOCK
    plan: int = 0
    filled: bytes | None = None
    changed_at: int = NO_CLOCK
    read_to: int = -1


_encode = msgspec.msgpack.Encoder().encode
_decode_contact = msgspec.msgpack.Decoder(Contact).decode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_roll = msgspec.msgpack.Decoder(Roll).decode
_decode_filled = msgspec.msgpack.Decoder(Filled).decode
_decode_mark = msgspec.msgpack.Decoder(int).decode
_decode_position = msgspec.msgpack.Decoder(Position).decode
_decode_chunk = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[Any, Any, int, int | None, bytes]]]).decode
_decode_chunk_1 = msgspec.msgpack.Decoder(list[tuple[str, str, int, int | None, bytes]]).decode

_PLACE_OF_TYPE: dict[str, str | int] = {name: place for place, name in enumerate(TYPES)}
_CONTACT_PREFIX = bytes([CONTACT_VERSION])
_CHUNK_PREFIX = bytes([CHUNK_VERSION])
_POSITION_PREFIX = bytes([POSITION_VERSION])
_FILLED_PREFIX = bytes([FILLED_VERSION])


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


def decode_roll(encoded: bytes) -> Roll:
    """The leading fields and the memberships of an encoded contact. Raises UnknownVersion."""
    if encoded[0] != CONTACT_VERSION:
        raise UnknownVersion(_unknown("a contact's state", encoded[0], CONTACT_VERSION))
    return _decode_roll(memoryview(encoded)[1:])


def membership_mark(segment: int) -> bytes:
    """Bytes that every encoded contact holds which remembers anything of the segment with this digest: where they are
    missing nothing need be decoded, where they are found it is not said what of."""
    return _encode(segment)


def encode_chunk(facts: Sequence[Fact], before: int = 0) -> bytes:
    """Facts of one contact, in the order in which they were taken, as one chunk of its journal; `before` is how many
    the contact had before them.

    A chunk is `[before, at of the first, entries]`, an entry `[id, type, at, arrival, properties]`: an id that is a
    UUID as 16 bytes, a type of `TYPES` as its place, `at` less that of the entry before, `arrival` less `at`.
    """
    at = facts[0].at if facts else 0
    entries = []
    last = at
    for fact in facts:
        fact_id, event_type, when, arrival = fact.id, journaled_type(fact) if fact.dead else fact.type, fact.at, None
        if fact.arrival is not None:
            arrival = fact.arrival - when
        entries.append(
            (
                fact_id if len(fact_id) != UUID_LENGTH else _packed_id(fact_id),
                _PLACE_OF_TYPE.get(event_type, event_type),
                when - last,
                arrival,
                bytes(fact.raw),
            )
        )
        last = when
    return _CHUNK_PREFIX + _encode((before, at, entries))


def decode_chunk(encoded: bytes, key: bytes) -> list[Fact]:
    """The facts that `encode_chunk` wrote for the contact with the store key `key`. Raises UnknownVersion."""
    if encoded[0] == 1:
        return [journaled_fact(key, *entry) for entry in _decode_chunk_1(memoryview(encoded)[1:])]
    _, at, entries = _decode_known(encoded)
    found = []
    for fact_id, event_type, later, arrival, raw in entries:
        at += later
        found.append(
            journaled_fact(
                key,
                fact_id if type(fact_id) is str else str(UUID(bytes=fact_id)),
                event_type if type(event_type) is str else TYPES[event_type],
                at,
                None if arrival is None else at + arrival,
                raw,
            )
        )
    return found


def newest_of_chunk(encoded: bytes) -> int:
    """The greatest `at` of a chunk's facts, in milliseconds. Raises UnknownVersion."""
    if encoded[0] == 1:
        return max((entry[2] for entry in _decode_chunk_1(memoryview(encoded)[1:])), default=0)
    _, at, entries = _decode_known(encoded)
    newest = at
    for entry in entries:
        at += entry[2]
        if at > newest:
            newest = at
    return newest


def span_of_chunk(encoded: bytes) -> tuple[int | None, int]:
    """How many facts the contact had before those of the chunk, None where it does not say so (format 1); and how many
    it holds. Raises UnknownVersion."""
    if encoded[0] == 1:
        return None, len(_decode_chunk_1(memoryview(encoded)[1:]))
    before, _, entries = _decode_known(encoded)
    return before, len(entries)


def _decode_known(encoded: bytes) -> tuple[int, int, list[tuple[Any, Any, int, int | None, bytes]]]:
    if encoded[0] != CHUNK_VERSION:
        raise UnknownVersion(_unknown("a journal chunk", encoded[0], CHUNK_VERSION))
    return _decode_chunk(memoryview(encoded)[1:])


def _packed_id(text: str) -> str | bytes:
    """16 bytes for a UUID in its usual spelling, anything else as it is."""
    digits = text.replace("-", "")
    if len(digits) != 32 or not text[8] == text[13] == text[18] == text[23] == "-":
        return text
    try:
        packed = bytes.fromhex(digits)
    except ValueError:
        return text
    return packed if packed.hex() == digits else text


def encode_position(position: Position) -> bytes:
    """A partition's position as bytes."""
    return _POSITION_PREFIX + _encode(position)


def decode_position(encoded: bytes) -> Position:
    """The position that `encode_position` wrote. Raises UnknownVersion."""
    if encoded[0] != POSITION_VERSION:
        raise UnknownVersion(_unknown("a partition's position", encoded[0], POSITION_VERSION))
    return _decode_position(memoryview(encoded)[1:])


def encode_filled(filled: Filled) -> bytes:
    """What a partition's contacts were filled for, as bytes."""
    return _FILLED_PREFIX + _encode(filled)


def decode_filled(encoded: bytes) -> Filled:
    """What `encode_filled` wrote. Raises UnknownVersion."""
    if encoded[0] != FILLED_VERSION:
        raise UnknownVersion(_unknown("what a partition was filled for", encoded[0], FILLED_VERSION))
    return _decode_filled(memoryview(encoded)[1:])


def encode_mark(erased_at: int) -> bytes:
    """When a contact was erased (ms) as bytes."""
    return bytes([MARK_VERSION]) + _encode(erased_at)


def decode_mark(encoded: bytes) -> int:
    """The instant that `encode_mark` wrote. Raises UnknownVersion."""
    if encoded[0] != MARK_VERSION:
        raise UnknownVersion(_unknown("the mark of an erasure", encoded[0], MARK_VERSION))
    return _decode_mark(memoryview(encoded)[1:])


def _unknown(what: str, found: int, known: int) -> str:
    return (
        f"{what} is in format {found}, this engine knows format {known}: run the version that wrote it, "
        "or stop every worker of the group, delete its changelog and journal topics and its DATA_DIR, and start anew"
    )
