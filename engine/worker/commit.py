"""One commit of one partition: everything that a batch changed, in one Kafka transaction (DESIGN.md 7).

Either all of it is committed and the offsets of its records are known, or the outcome is unknown: then the producer,
and everything in memory that the batch changed, is thrown away by the caller, who reads back what was committed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

import topics
from engine.membership.batch import Batch, MemberRow
from engine.membership.facts import Rejected
from engine.membership.placement import wire_key
from engine.membership.transitions import encode, headers
from engine.state.changelog import ERASED, IDENTITY, POSITION, STATE, changelog_topic, journal_key, journal_topic
from engine.state.changelog import transactional_id as id_of
from engine.state.codec import Position, encode_chunk, encode_contact, encode_mark, encode_position
from engine.worker.clients import close_quietly, discard, transactional_producer
from engine.worker.clock import wall
from engine.worker.placement import Headers, origin
from engine.worker.settings import Settings

log = logging.getLogger(__name__)

OWN_BATCH_BYTES: Final = 4 << 20
"""Where a record batch of changelog or journal is cut; a larger single record still goes alone."""
COMMON_BATCH_BYTES: Final = 900_000
"""The same for topics with Kafka's default limit of 1 MiB."""
JOURNAL_CODEC: Final = 4
"""zstd, for the journal: a quarter of the bytes for half a microsecond a fact. States would take 1.7 µs for half."""
TOMBSTONES_MAX: Final = 250_000
"""Chunks of one contact that an erasure tombstones, the newest: 15 MB of the transaction. Of older ones the journal has
let go long since, as it keeps JOURNAL_FACTS, and the retention takes what that has missed."""
RECORD_BYTES: Final = 40
"""Bound of what a record adds to its key, value and headers."""
LETTER_HEAD_BYTES: Final = 1 << 20
"""What is kept of the value of a dead letter that its topic does not take whole."""
LETTER_KEY_BYTES: Final = 64 << 10
LETTER_DETAIL_BYTES: Final = 4_096
LETTER_SPARE_BYTES: Final = 4_096
"""For the other headers of a dead letter, and the frame of its batch."""

TRANSITION_HEADERS_BYTES: Final = 256
"""Bound of a transition's headers: an id, a segment's id and a word, with their names."""

Row = tuple[bytes | None, bytes | None, Headers]


class Fenced(Exception):
    """Another worker has taken the partition over: this one must give it up."""


class CommitUnknown(Exception):
    """Nobody knows whether the transaction was committed. The text says what happened."""


@dataclass(slots=True)
class Letter:
    """A record that is no fact, or that the core could not take."""

    record: Any
    reason: str
    detail: str

    @classmethod
    def of(cls, record: Any, why: Rejected) -> Letter:
        return cls(record, why.reason, why.detail)


def refused_letters(batch: Batch, facts: Sequence[Any], records: Sequence[Any]) -> list[Letter]:
    """Letters for what the core refused of `facts`, whose records are `records` in the same order."""
    refused = batch.refused
    if not refused:
        return []
    places = {id(fact): record for fact, record in zip(facts, records, strict=True)}
    return [Letter.of(places[id(fact)], why) for fact, why in refused]


def letter_row(letter: Letter, limit: int) -> Row:
    """A dead letter of at most about `limit` bytes: the record as it was, or its head with reason and origin.

    A record that its sender compressed may be larger than any topic takes; the header `cut` tells its value's length.
    """
    record = letter.record
    ours = [
        ("reason", letter.reason.encode()),
        ("detail", letter.detail.encode(errors="replace")[:LETTER_DETAIL_BYTES]),
        *origin(record),
    ]
    key, value = record.key, record.value
    size = len(key or b"") + len(value or b"") + LETTER_SPARE_BYTES + LETTER_DETAIL_BYTES
    size += sum(len(name.encode()) + len(content or b"") + 10 for name, content in record.headers)
    if size <= limit:
        return key, value, [*ours, *record.headers]
    room = max(0, limit - LETTER_SPARE_BYTES - LETTER_DETAIL_BYTES)
    key = key[: min(LETTER_KEY_BYTES, room // 2)] if key else key
    head = value[: min(LETTER_HEAD_BYTES, room - len(key or b""))] if value else value
    return key, head, [*ours, ("cut", b"%d" % len(value or b""))]


@dataclass(slots=True)
class Changes:
    """What one commit writes, encoded. `states`, `journal` and `more` go to the local store afterwards as they are.

    `gone` are store keys, `gone_chunks` journal keys of what was erased, or let go as the journal has too much of a
    contact; none of them is written anew.
    `more` are rows of the changelog beside states and position, by their whole key; None removes one.
    """

    states: dict[bytes, bytes] = field(default_factory=dict)
    journal: list[tuple[bytes, bytes]] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    letters: list[Row] = field(default_factory=list)
    forwarded: dict[int, list[Row]] = field(default_factory=dict)
    more: dict[bytes, bytes | None] = field(default_factory=dict)
    gone: list[bytes] = field(default_factory=list)
    gone_chunks: list[bytes] = field(default_factory=list)
    position: bytes = b""
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """Next offsets of the changelog and the journal behind what was committed; None where nothing was written."""

    changelog: int
    journal: int | None
    seconds: float


def encode_changes(
    batch: Batch,
    *,
    members: bool,
    letters: Sequence[Letter] = (),
    misplaced: Iterable[tuple[int, Any]] = (),
    position: Position,
    letter_bytes: int = topics.LETTER_LIMIT,
) -> Changes:
    """Everything a batch changed as bytes; `members` tells whether `segments.members` is kept, `letter_bytes` is the
    limit of the dead-letter topic."""
    now = wall()
    changes = Changes(position=encode_position(position))
    states = changes.states
    total = 0
    for key, contact in batch.contacts.items():
        states[key] = encoded = encode_contact(contact)
        total += len(encoded)
    changes.state_bytes = total
    contacts = batch.contacts
    changes.journal = [
        (
            key + (contacts[key].journal_next - 1).to_bytes(4, "big"),
            encode_chunk(facts, contacts[key].facts - len(facts)),
        )  # journal_key, without the call
        for key, facts in batch.journal.items()
    ]
    if batch.marks:
        _erase(batch, changes)
    if members:
        changes.members += [_member_row(each, now) for each in batch.members]
    for transition in batch.transitions:
        value = encode(transition, now)
        key = wire_key(transition.workspace, transition.contact)
        changes.transitions.append((key, value, headers(transition)))
        if members and transition.kept:
            member = f"{transition.workspace}/{transition.segment}/{transition.contact}".encode()
            changes.members.append((member, value if transition.change == "enter" else None, []))
    changes.letters = [letter_row(letter, letter_bytes) for letter in letters]
    for number, record in misplaced:
        row = (record.key, record.value, [*origin(record), *record.headers])
        changes.forwarded.setdefault(number, []).append(row)
    return changes


def _member_row(row: MemberRow, now: int) -> Row:
    workspace, segment, contact, stands = row
    return f"{workspace}/{segment}/{contact}".encode(), None if stands is None else encode(stands, now), []


def _erase(batch: Batch, changes: Changes) -> None:
    """The tombstones of what was erased, what is left of its journal, and the marks. All the contact's chunks go in one
    transaction, some of them for the second time: which of them are in the topic still, only the broker knows."""
    for key, chunks in batch.kept.items():
        before = 0
        for number, facts in enumerate(chunks):
            changes.journal.append((journal_key(key, number), encode_chunk(facts, before)))
            before += len(facts)
    written = {key for key, _ in changes.journal}
    for key, count in batch.gone.items():
        if key not in batch.contacts:
            changes.gone.append(key)
        numbers = (journal_key(key, number) for number in range(max(0, count - TOMBSTONES_MAX), count))
        changes.gone_chunks += [chunk for chunk in numbers if chunk not in written]
    changes.more.update((ERASED + digest, encode_mark(at)) for digest, at in batch.marks.items())


class Committer:
    """The transactional producer of one partition number, and the topics that it writes."""

    def __init__(
        self,
        settings: Settings,
        number: int,
        *,
        inputs: Sequence[str],
        transitions: str,
        members: str,
        dead_letter: str,
        dead_letter_partitions: int,
        forwarding: str,
    ) -> None:
        self._settings = settings
        self._number = number
        self._inputs = {topic: TopicPartition(topic, number) for topic in inputs}
        self._changelog = changelog_topic(settings.group)
        self._journal = journal_topic(settings.group)
        self._transitions = transitions
        self._members = members
        self._dead_letter = dead_letter
        self._dead_letter_number = number % max(1, dead_letter_partitions)
        self._forwarding = forwarding
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Initialises the producer: fences a former owner and ends what was left open.

        Raises KafkaError, TimeoutError.
        """
        self.abandon()
        producer = transactional_producer(self._settings, id_of(self._settings.group, self._number))
        try:
            async with asyncio.timeout(self._settings.commit_timeout / 1000):
                await producer.start()
        except BaseException:
            discard(producer)
            raise
        self._producer = producer

    def abandon(self) -> None:
        """Lets the producer go without waiting; a transaction it has open is aborted by the next `open`."""
        if self._producer is not None:
            discard(self._producer)
            self._producer = None

    async def close(self) -> None:
        """Closes the producer; there must be no commit under way."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await close_quietly(producer)

    async def commit(self, changes: Changes, offsets: dict[str, int], identity: bytes | None) -> Committed:
        """One transaction. `identity` is written first when the changelog has none yet.

        Raises Fenced or CommitUnknown; after either the producer is gone.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._settings.commit_timeout / 1000):
                ends = await self._transaction(changes, offsets, identity)
        except ProducerFenced as error:
            self.abandon()
            raise Fenced(f"partition {self._number} was taken over by another worker") from error
        # IllegalOperation: what a producer says once it has been fenced between two sends.
        except (KafkaError, IllegalOperation, TimeoutError, OSError, AssertionError) as error:
            fenced = is_fenced(self._producer)
            self.abandon()
            if fenced:
                raise Fenced(f"partition {self._number} was taken over by another worker") from error
            raise CommitUnknown(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self.abandon()
            raise
        return Committed(ends[0], ends[1], loop.time() - began)

    async def _transaction(
        self, changes: Changes, offsets: dict[str, int], identity: bytes | None
    ) -> tuple[int, int | None]:
        producer, number = self._producer, self._number
        assert producer is not None
        log_rows: list[Row] = [(IDENTITY, identity, [])] if identity else []
        log_rows += [(STATE + key, value, []) for key, value in changes.states.items()]
        log_rows += [(STATE + key, None, []) for key in changes.gone]
        log_rows += [(key, value, []) for key, value in changes.more.items()]
        log_rows.append((POSITION, changes.position, []))
        writes: list[tuple[str, int, Any]] = []

        def add(
            topic: str, partition: int, rows: Sequence[Row], limit: int = COMMON_BATCH_BYTES, heads: int | None = None,
            codec: int = 0,
        ) -> None:  # fmt: skip
            writes.extend((topic, partition, packed) for packed in pack(producer, rows, limit, heads, codec))

        add(self._changelog, number, log_rows, OWN_BATCH_BYTES)
        chunks: list[Row] = [(key, None, []) for key in changes.gone_chunks]
        chunks += [(key, value, []) for key, value in changes.journal]
        add(self._journal, number, chunks, OWN_BATCH_BYTES, codec=JOURNAL_CODEC)
        add(self._transitions, number, changes.transitions, heads=TRANSITION_HEADERS_BYTES)
        add(self._members, number, changes.members)
        add(self._dead_letter, self._dead_letter_number, changes.letters)
        for right, rows in changes.forwarded.items():
            add(self._forwarding, right, rows)

        await producer.begin_transaction()
        # The first batch of each topic is queued before anything is awaited, so that one request adds all of them.
        writes.sort(key=_FirstOfEach())
        sent = [(topic, packed, await producer.send_batch(packed, topic, partition=p)) for topic, p, packed in writes]
        futures = [future for _, _, future in sent]
        if offsets:  # only deadlines may have fired
            told = {self._inputs[topic]: offset for topic, offset in offsets.items()}
            futures.append(producer.send_offsets_to_transaction(told, self._settings.group))
        done = await asyncio.gather(*futures)
        await producer.commit_transaction()
        ends: dict[str, int] = {}
        for (topic, packed, _), at in zip(sent, done, strict=False):
            ends[topic] = max(ends.get(topic, 0), at.offset + packed.record_count())
        return ends[self._changelog], ends.get(self._journal)


class _FirstOfEach:
    """Sorts the n-th batch of every topic before the (n + 1)-th of any, keeping their order."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], int] = {}

    def __call__(self, write: tuple[str, int, Any]) -> int:
        turn = self._seen.get(write[:2], 0)
        self._seen[write[:2]] = turn + 1
        return turn


def pack(
    producer: AIOKafkaProducer, rows: Sequence[Row], limit: int, heads: int | None = None, codec: int = 0
) -> list[Any]:
    """Record batches of at most about `limit` bytes each, a larger record alone in its own.

    `heads` bounds the bytes of a record's headers, where that is known; else they are counted. `codec` is Kafka's
    number of how the batches are compressed, 0 for not at all.
    """
    batches: list[Any] = []
    if not rows:
        return batches
    now = wall()
    builder = _builder(producer, codec)
    # The builder behind the public one: the latter costs a third more a record, by keyword arguments and checks.
    append = builder._builder.append
    count = size = 0
    for key, value, head in rows:
        length = (len(key) if key else 0) + (len(value) if value else 0) + RECORD_BYTES
        if heads is not None:
            length += heads
        elif head:
            length += sum(len(name) + len(content or b"") + 10 for name, content in head)
        if size + length > limit and count:
            builder._relative_offset = count
            builder.close()
            batches.append(builder)
            builder = _builder(producer, codec)
            append = builder._builder.append
            count = size = 0
        if append(count, now, key, value, head) is None:
            raise CommitUnknown(f"a record of {length} bytes is larger than any batch may be")
        size += length
        count += 1
    builder._relative_offset = count
    builder.close()
    batches.append(builder)
    return batches


def _builder(producer: AIOKafkaProducer, codec: int) -> Any:
    """A new record batch. aiokafka knows one codec for all batches of a producer; it asks for it just here."""
    producer._message_accumulator._compression_type = codec
    return producer.create_batch()


def new_identity() -> bytes:
    """The identity of a changelog partition that has none."""
    return os.urandom(16)


def is_fenced(producer: AIOKafkaProducer | None) -> bool:
    """Whether the producer failed because a newer one has its transactional id."""
    if producer is None or producer._sender.sender_task is None or not producer._sender.sender_task.done():
        return False
    task = producer._sender.sender_task
    error = None if task.cancelled() else task.exception()
    while error is not None:
        if isinstance(error, ProducerFenced):
            return True
        error = error.__cause__
    return False
