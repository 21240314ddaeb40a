"""The definitions' own log: reading `segments.definitions`, and changing it as one transaction (DESIGN.md 5).

A change starts its transactional producer first, which fences any other change under way, and reads the topic then: so
versions are counted on what is there, and of two changes at once one is told to try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

import topics
from engine.conditions.instants import format_instant
from engine.definitions import Definition, Model, Segment, canonical_form, check, read_definition
from engine.worker.clients import close_quietly, reader, transactional_producer
from engine.worker.clock import wall
from engine.worker.settings import Settings

TRANSACTIONAL_ID: Final = "segment-engine-definitions"
"""One for all: the topic is one for all groups, and whoever changes it last fences the others."""
POLL_MS: Final = 500

Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with `model:` before it."""


class DefinitionLogError(Exception):
    """The definitions could not be read or changed; nothing was changed. The text is one readable paragraph."""


class Record(msgspec.Struct):
    """One record of `segments.definitions`: a version of a definition, `at` RFC 3339, `definition` canonical.

    `segment` is the second part of the key: a segment's id, or a model's with `model:` before it.
    """

    workspace: str
    segment: str
    version: int
    state: str = "active"
    author: str = ""
    at: str = ""
    note: str = ""
    definition: dict[str, Any] | None = None

    @property
    def active(self) -> bool:
        """Whether the definition is in force."""
        return self.state == "active" and self.definition is not None

    def document(self) -> Definition:
        """The definition. Raises DefinitionErrors for one that this engine does not understand."""
        return read_definition(self.definition, f"{self.workspace}/{self.segment} version {self.version}")


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did to one definition; `segment` as in Record, `version` the one in force now."""

    workspace: str
    segment: str
    result: Literal["created", "changed", "unchanged"]
    version: int


_decode = msgspec.json.Decoder(Record).decode


async def read_records(settings: Settings) -> dict[Key, Record]:
    """The latest record of every definition that ever was, by its key. Raises DefinitionLogError."""
    async with _told(settings), _reading(settings) as consumer:
        return await _read(consumer)


async def apply(
    settings: Settings, definitions: Sequence[Definition], *, author: str = "", note: str = "", make_topics: bool = True
) -> list[Applied]:
    """Puts definitions in force as one change, and makes their topics (SEGMENT_TOPICS) before.

    Versions go up by one where the canonical form differs; where it does not, nothing is written. Raises
    DefinitionErrors if they cannot run together with those in force, DefinitionLogError for everything else.
    """
    async with _told(settings), _reading(settings) as consumer, _changing(settings) as producer:
        known = await _read(consumer)
        found = [_outcome(known, definition) for definition in definitions]
        changed = [pair for pair in zip(found, definitions, strict=True) if pair[0].result != "unchanged"]
        if changed:
            after = _after(known, definitions)
            _check(after, settings)
            if make_topics and settings.segment_topics:
                await _make_topics(settings, after, [definition for _, definition in changed])
            at = format_instant(wall())
            await _write(producer, [_record(each, definition, author, note, at) for each, definition in changed])
        return found


def _outcome(known: Mapping[Key, Record], definition: Definition) -> Applied:
    record = known.get(definition.key)
    if record is None:
        return Applied(*definition.key, "created", 1)
    if not record.active:
        return Applied(*definition.key, "created", record.version + 1)
    if record.definition == canonical_form(definition):
        return Applied(*definition.key, "unchanged", record.version)
    return Applied(*definition.key, "changed", record.version + 1)


def _after(known: Mapping[Key, Record], definitions: Sequence[Definition]) -> dict[Key, Definition]:
    """What will be in force."""
    new = {definition.key: definition for definition in definitions}
    old = {key: record.document() for key, record in known.items() if record.active and key not in new}
    return old | new


def _check(after: Mapping[Key, Definition], settings: Settings) -> None:
    segments = [each for each in after.values() if isinstance(each, Segment)]
    models = [each for each in after.values() if isinstance(each, Model)]
    check(segments, models, journal_retention=settings.journal_retention)
    if len(after) > settings.definitions_max:
        raise DefinitionLogError(
            f"{len(after)} definitions would be active; DEFINITIONS_MAX allows {settings.definitions_max}. "
            "Delete some, or raise it."
        )


async def _make_topics(settings: Settings, after: Mapping[Key, Definition], changed: Iterable[Definition]) -> None:
    wanted = [each.key for each in changed if isinstance(each, Segment) and each.topic]
    all_of_them = {key for key, each in after.items() if isinstance(each, Segment) and each.topic}
    if len(all_of_them) > settings.segment_topics_max:
        raise DefinitionLogError(
            f"{len(all_of_them)} segments would have a topic of their own; SEGMENT_TOPICS_MAX allows "
            f"{settings.segment_topics_max}. Say topic: false in those that nobody subscribes to by themselves "
            "(segments.transitions carries them all), or raise it."
        )
    try:
        declared = [topics.segment_topic(*key, partitions=settings.segment_topic_partitions) for key in wanted]
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


def _record(applied: Applied, definition: Definition, author: str, note: str, at: str) -> Record:
    return Record(*definition.key, applied.version, "active", author, at, note, canonical_form(definition))


async def _write(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """All records onto both topics in one transaction."""
    async with producer.transaction():
        sent = []
        for record in records:
            key, value = f"{record.workspace}/{record.segment}".encode(), orjson.dumps(msgspec.to_builtins(record))
            sent.append(await producer.send(topics.DEFINITIONS.name, value, key, partition=0))
            sent.append(await producer.send(topics.HISTORY.name, value, key, partition=0))
        await asyncio.gather(*sent)


async def _read(consumer: AIOKafkaConsumer) -> dict[Key, Record]:
    """Everything from the first record to the end as it is now."""
    tp = TopicPartition(topics.DEFINITIONS.name, 0)
    end = (await consumer.end_offsets([tp]))[tp]
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    known: dict[Key, Record] = {}
    while await consumer.position(tp) < end:
        for record in (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
            workspace, _, name = (record.key or b"").decode(errors="replace").partition("/")
            if record.value is None:
                known.pop((workspace, name), None)
                continue
            try:
                known[workspace, name] = _decode(record.value)
            except msgspec.DecodeError as error:
                raise DefinitionLogError(
                    f"The record of {workspace}/{name} at offset {record.offset} of {tp.topic} is not a definition "
                    f"({error}). Another program wrote it; put a right one in its place."
                ) from error
    return known


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = reader(settings, "definition-log")
    try:
        await consumer.start()
        if topics.DEFINITIONS.name not in await consumer.topics():
            raise DefinitionLogError(
                f"The topic {topics.DEFINITIONS.name} is not on {settings.brokers}. "
                "Make the topics: segment-engine topics create"
            )
        yield consumer
    finally:
        await close_quietly(consumer)


@asynccontextmanager
async def _changing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = transactional_producer(settings, TRANSACTIONAL_ID)
    try:
        await producer.start()
        yield producer
    finally:
        await close_quietly(producer)


@asynccontextmanager
async def _told(settings: Settings) -> AsyncIterator[None]:
    """Within the time for a start and a commit; what Kafka says becomes one paragraph."""
    limit = (settings.request_timeout + settings.commit_timeout) / 1000
    try:
        async with asyncio.timeout(limit):
            yield
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
