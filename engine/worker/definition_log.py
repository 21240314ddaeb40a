"""The definitions' own log: reading `segments.definitions` and its history, and changing them as one transaction
(DESIGN.md 5).

A change starts its transactional producer first, which fences any other change under way and ends what a killed one
left open, and reads the topic then: so versions are counted on what is there, and of two changes at once one is told to
try again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

import topics
from engine.conditions.instants import format_instant
from engine.definitions import Definition, Segment
from engine.worker.clients import close_quietly, reader, transactional_producer
from engine.worker.clock import wall
from engine.worker.definition_changes import Applied, Change, make, missing_text
from engine.worker.definition_record import DefinitionLogError, DefinitionsMoved, Key, Record, called, listed
from engine.worker.settings import Settings

__all__ = [
    "Applied",
    "Change",
    "DefinitionLogError",
    "DefinitionsMoved",
    "History",
    "Key",
    "Record",
    "apply",
    "called",
    "change",
    "listed",
    "missing_text",
    "read_history",
    "read_records",
    "read_to",
    "read_version",
    "restore",
]

TRANSACTIONAL_ID: Final = "segment-engine-definitions"
"""One for all: the topic is one for all groups, and whoever changes it last fences the others."""
POLL_MS: Final = 500
RECORD_BYTES_MAX: Final = topics.DEFINITIONS.max_message_bytes - 65_536
"""Of one record, and of a batch of several: what the topics take, less room for what frames it."""
HISTORY_KEPT: Final = 1_000
"""Versions of one definition that are held while its history is read, the newest; the topic keeps them all."""

_decode = msgspec.json.Decoder(Record).decode
_Renew = Callable[[], None]
"""Says that Kafka has answered, so that the time for an answer begins anew."""


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one definition, oldest first, the newest HISTORY_KEPT of them; `older` were left out."""

    records: list[Record]
    older: int = 0


async def read_records(settings: Settings) -> dict[Key, Record]:
    """The latest record of every definition that ever was, by its key. Raises DefinitionLogError."""
    async with _told(settings) as renew, _reading(settings) as consumer:
        return await _read(consumer, renew)


async def read_to(settings: Settings) -> int:
    """The offset behind the last record of `segments.definitions`. Raises DefinitionLogError."""
    found = 0
    async with _told(settings) as renew, _reading(settings) as consumer:
        async for _, _, offset in _values(consumer, topics.DEFINITIONS.name, renew):
            found = offset + 1
    return found


async def read_history(settings: Settings, key: Key) -> History:
    """The versions of one definition; none for one that never was. Raises DefinitionLogError.

    The topic is read whole, as it has one partition and is never compacted; of others nothing is kept.
    """
    kept: deque[Record] = deque(maxlen=HISTORY_KEPT)
    count = 0
    async with _told(settings) as renew, _reading(settings) as consumer:
        async for record in _versions(consumer, renew, key):
            kept.append(record)
            count += 1
    return History(list(kept), count - len(kept))


async def read_version(settings: Settings, key: Key, version: int) -> Record:
    """One version of a definition that holds a text. Raises DefinitionLogError where there is none such."""
    async with _told(settings) as renew, _reading(settings) as consumer:
        return await _version(consumer, renew, key, version)


async def change(settings: Settings, asked: Change, *, make_topics: bool = True) -> list[Applied]:
    """Makes a change, all of it in one transaction or nothing, and the topics that it needs (SEGMENT_TOPICS) before.

    Each definition named that is different then goes up by one version; where all are as asked, nothing is written.
    Raises DefinitionErrors if what would be in force cannot run together, DefinitionsMoved where a version is not as
    expected, DefinitionLogError for everything else.
    """
    async with _told(settings) as renew, _reading(settings) as consumer, _changing(settings) as producer:
        known = await _read(consumer, renew)
        return await _make(settings, producer, known, asked, renew, make_topics=make_topics)


async def apply(
    settings: Settings,
    definitions: Sequence[Definition],
    *,
    author: str = "",
    note: str = "",
    expected: Mapping[Key, int | None] | None = None,
    make_topics: bool = True,
) -> list[Applied]:
    """Puts definitions in force as one `change`; one that is paused stays so."""
    asked = Change(apply=definitions, expected=expected or {}, author=author, note=note)
    return await change(settings, asked, make_topics=make_topics)


async def restore(
    settings: Settings,
    key: Key,
    version: int,
    *,
    author: str = "",
    note: str = "",
    expected: Mapping[Key, int | None] | None = None,
) -> Applied:
    """Puts the text of an older version in force again, as a new version and a `change` like any other.

    What is paused stays so, what is deleted is created anew. Raises DefinitionLogError for a version without a text.
    """
    async with _told(settings) as renew, _reading(settings) as consumer, _changing(settings) as producer:
        known = await _read(consumer, renew)
        old = await _version(consumer, renew, key, version)
        asked = Change(
            apply=[old.document()], expected=expected or {}, author=author, note=note or f"version {version} restored"
        )
        (applied,) = await _make(settings, producer, known, asked, renew)
        return applied


async def _make(
    settings: Settings,
    producer: AIOKafkaProducer,
    known: Mapping[Key, Record],
    asked: Change,
    renew: _Renew,
    *,
    make_topics: bool = True,
) -> list[Applied]:
    made = make(known, asked, format_instant(wall()), settings)
    if not made.records:
        return made.applied
    if make_topics and settings.segment_topics:
        renew()
        await _make_topics(settings, made.new_topics)
        renew()
    offsets = await _write(producer, made.records)
    return [replace(each, offset=offsets.get(each.key)) for each in made.applied]


async def _make_topics(settings: Settings, segments: Sequence[Segment]) -> None:
    try:
        declared = [topics.segment_topic(*each.key, partitions=settings.segment_topic_partitions) for each in segments]
        if declared:
            await topics.create(
                settings.brokers,
                declared,
                partitions=settings.partitions,
                replication=settings.replication or None,
                timeout_ms=settings.request_timeout,
            )
    except (ValueError, topics.TopicsError) as error:
        raise DefinitionLogError(str(error)) from error


async def _write(producer: AIOKafkaProducer, records: Sequence[Record]) -> dict[Key, int]:
    """All records onto both topics in one transaction; their offsets in `segments.definitions`."""
    values = [orjson.dumps(msgspec.to_builtins(record)) for record in records]
    for record, value in zip(records, values, strict=True):
        if len(value) > RECORD_BYTES_MAX:
            raise DefinitionLogError(
                f"{called(record.key)} has {len(value):,} bytes in canonical form; at most {RECORD_BYTES_MAX:,} are "
                "allowed, and nothing was changed. Split it into several segments (in_segment), or put long lists of "
                "contacts on a list (in_list)."
            )
    sent: dict[Key, Any] = {}
    others = []
    try:
        async with producer.transaction():
            for record, value in zip(records, values, strict=True):
                key = f"{record.workspace}/{record.segment}".encode()
                sent[record.key] = await producer.send(topics.DEFINITIONS.name, value, key, partition=0)
                others.append(await producer.send(topics.HISTORY.name, value, key, partition=0))
            await asyncio.gather(*sent.values(), *others)
    except ProducerFenced:
        raise
    except KafkaError as error:
        raise DefinitionLogError(
            f"Kafka did not confirm the change ({type(error).__name__}{f': {error}' if str(error) else ''}): it was "
            "made as a whole or not at all. Look at what is in force (segment-engine segments list); making the same "
            "change again does no harm."
        ) from error
    return {key: (await future).offset for key, future in sent.items()}


async def _read(consumer: AIOKafkaConsumer, renew: _Renew) -> dict[Key, Record]:
    """What there is now: the latest record of each key."""
    known: dict[Key, Record] = {}
    async for key, value, offset in _values(consumer, topics.DEFINITIONS.name, renew):
        place = _key(key)
        if value is None:
            known.pop(place, None)
        else:
            known[place] = _record(place, value, topics.DEFINITIONS.name, offset)
    return known


async def _versions(consumer: AIOKafkaConsumer, renew: _Renew, key: Key) -> AsyncIterator[Record]:
    wanted = "/".join(key).encode()
    async for found, value, offset in _values(consumer, topics.HISTORY.name, renew):
        if found == wanted and value is not None:
            yield _record(key, value, topics.HISTORY.name, offset)


async def _version(consumer: AIOKafkaConsumer, renew: _Renew, key: Key, version: int) -> Record:
    texts: deque[int] = deque(maxlen=HISTORY_KEPT)
    found: Record | None = None
    async for record in _versions(consumer, renew, key):
        if record.definition is not None:
            texts.append(record.version)
        if record.version == version:
            found = record
    if found is not None and found.definition is not None:
        return found
    if not texts and found is None:
        known = await _read(consumer, renew)
        if key not in known:
            raise DefinitionLogError(missing_text(key, known))
        raise DefinitionLogError(
            f"{topics.HISTORY.name} holds no text of {called(key)}, which is {known[key].told()}: another program "
            "wrote it. Apply it from a file."
        )
    why = f"is the one that deleted {called(key)}" if found is not None else f"of {called(key)} never was"
    raise DefinitionLogError(
        f"Version {version} {why}: there is no text to take. Versions with a text: {_ranges(texts)}; "
        f"segment-engine segments history {called(key)} tells what changed in each."
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in short.

    >>> _ranges([1, 2, 3, 5])
    '1–3, 5'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in found)


async def _values(
    consumer: AIOKafkaConsumer, topic: str, renew: _Renew
) -> AsyncIterator[tuple[bytes, bytes | None, int]]:
    """Key, value and offset of every record of a topic, from the first to the end as it is now."""
    tp = TopicPartition(topic, 0)
    end = (await consumer.end_offsets([tp]))[tp]
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    while await consumer.position(tp) < end:
        for record in (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
            renew()
            yield record.key or b"", record.value, record.offset


def _key(key: bytes) -> Key:
    workspace, _, name = key.decode(errors="replace").partition("/")
    return workspace, name


def _record(key: Key, value: bytes, topic: str, offset: int) -> Record:
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise DefinitionLogError(
            f"The record of {called(key)} at offset {offset} of {topic} is not a definition ({error}). Another program "
            "wrote it; put a right one in its place."
        ) from error


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = reader(settings, "definition-log")
    try:
        await consumer.start()
        missing = {topics.DEFINITIONS.name, topics.HISTORY.name} - await consumer.topics()
        if missing:
            raise DefinitionLogError(
                f"{' and '.join(sorted(missing))} {'is' if len(missing) == 1 else 'are'} not on {settings.brokers}. "
                "Make the topics: segment-engine topics create"
            )
        yield consumer
    finally:
        await close_quietly(consumer)


@asynccontextmanager
async def _changing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = transactional_producer(settings, TRANSACTIONAL_ID, batch_bytes=RECORD_BYTES_MAX)
    try:
        await producer.start()
        yield producer
    finally:
        await close_quietly(producer)


@asynccontextmanager
async def _told(settings: Settings) -> AsyncIterator[_Renew]:
    """Within the time for a start and a commit, or what renews it; what Kafka says becomes one paragraph."""
    seconds = (settings.request_timeout + settings.commit_timeout) / 1000
    try:
        async with asyncio.timeout(seconds) as limit:
            yield lambda: limit.reschedule(asyncio.get_running_loop().time() + seconds)
    except ProducerFenced as error:
        raise DefinitionLogError(
            "Somebody else changed definitions at the same moment; nothing of this change was made. Look at what is in "
            "force now (segment-engine segments list) and try again."
        ) from error
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        why = f" ({type(error).__name__}{f': {error}' if str(error) else ''})"
        raise DefinitionLogError(
            f"Kafka at {settings.brokers} does not answer as it should{why}. Check the setting BROKERS and that the "
            "brokers run; for a local one: segment-engine broker"
        ) from error
