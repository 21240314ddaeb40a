"""What `recount --from-topics` reads of a running installation: facts, transitions, definitions, all committed."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from engine.cli.errors import UserError
from engine.cli.recount_definitions import InForce, in_force_of
from engine.recount.instants import BEGINNING, instant, text_of

TRANSITIONS = "segments.transitions"
DEFINITIONS = "segments.definitions"
STALLED_SECONDS = 30.0
"""A topic whose end does not come nearer for so long is given up."""

Order = Literal["arrival", "at"]


class Record(NamedTuple):
    """One record; `timestamp` in ms as the broker keeps it."""

    timestamp: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


async def read_topics(brokers: str, topics: Sequence[str]) -> list[Record]:
    """All committed records of the topics from their start to their present end; raises UserError."""
    consumer = AIOKafkaConsumer(  # without a group it assigns itself every partition of its topics
        *topics,
        bootstrap_servers=brokers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
    except UnknownTopicOrPartitionError:
        await consumer.stop()
        raise UserError(f"not all of {', '.join(topics)} exist: see 'segment-engine topics verify'.") from None
    except KafkaError as error:
        await consumer.stop()
        raise UserError(f"Kafka at {brokers} can't be reached ({error}); is --brokers right?") from None
    try:
        return await _read(consumer)
    except KafkaError as error:
        raise UserError(f"Kafka at {brokers} failed while {', '.join(topics)} were read: {error}") from None
    finally:
        await consumer.stop()


async def _read(consumer: Any) -> list[Record]:
    places = list(consumer.assignment())
    await consumer.seek_to_beginning(*places)
    ends = await consumer.end_offsets(places)
    records: list[Record] = []
    left = [place for place in places if ends[place] > 0]
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + STALLED_SECONDS
    before = -1
    while left:
        for batch in (await consumer.getmany(*left, timeout_ms=200)).values():
            records += [Record(r.timestamp, r.topic, r.partition, r.offset, r.key, r.value) for r in batch]
        positions = {place: await consumer.position(place) for place in left}
        left = [place for place in left if positions[place] < ends[place]]
        if sum(positions.values()) != before:
            before, give_up_at = sum(positions.values()), loop.time() + STALLED_SECONDS
        elif loop.time() > give_up_at:
            raise UserError(f"{left[0].topic} does not come to its end: a transaction may be open; try again.")
    return [r for r in records if r.offset < ends[TopicPartition(r.topic, r.partition)]]


def facts_of(records: Iterable[Record], order: Order, before: int | None) -> list[bytes | Mapping[str, Any]]:
    """The records as facts with `arrives`, in the order in which the engine took them.

    order: `arrival` by the broker's timestamps; `at`: each partition's topics merged by the instants of their heads.
    before: facts at this instant (ms) or later are left out; None: all are given.
    """
    read = [(record, _fact(record)) for record in records if record.value is not None]
    kept = [(record, fact) for record, fact in read if before is None or _at(fact) < before]
    if order == "arrival":
        return [fact for _, fact in sorted(kept, key=lambda pair: pair[0][:4])]
    rows: dict[tuple[int, str], list[tuple[int, str, int, bytes | Mapping[str, Any]]]] = {}
    for record, fact in sorted(kept, key=lambda pair: pair[0].offset):
        row = rows.setdefault((record.partition, record.topic), [])
        row.append((_at(fact), record.topic, record.offset, fact))
    facts: list[bytes | Mapping[str, Any]] = []
    for partition in sorted({partition for partition, _ in rows}):
        heads = [row for (number, _), row in sorted(rows.items()) if number == partition]
        facts += [fact for _, _, _, fact in heapq.merge(*heads, key=lambda row: row[:3])]
    return facts


def transitions_of(records: Iterable[Record], before: int | None) -> list[dict[str, Any]]:
    """The engine's transitions in the order of each partition, those at `before` (ms) or later left out."""
    ordered = sorted(records, key=attrgetter("partition", "offset"))
    rows = [orjson.loads(record.value) for record in ordered if record.value is not None]
    return [row for row in rows if before is None or instant(row["at"]) < before]


def definitions_of(records: Iterable[Record], first_arrival: int | None = None) -> InForce:
    """What is in force by the definitions topic: for each key its last value; `first_arrival` (ms) is that of the first
    fact, None where all facts came before the engine did. Raises UserError.
    """
    from engine.definitions import DefinitionErrors

    latest = {record.key: record.value for record in sorted(records, key=attrgetter("partition", "offset"))}
    try:
        return in_force_of((orjson.loads(value) for value in latest.values() if value is not None), first_arrival)
    except DefinitionErrors as error:
        raise UserError(f"A definition in force is not one that this version understands:\n{error}") from None


def _fact(record: Record) -> bytes | Mapping[str, Any]:
    """The record with its arrival written in; one that is no JSON object is left as it is, to be refused."""
    value = record.value or b""
    end = value.rstrip()
    try:
        is_object = isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object or end == b"{}":
        return value
    # Written into the text: reading and writing the object again could change its numbers.
    return end[:-1] + b',"arrives":"' + text_of(record.timestamp).encode() + b'"}'


def _at(fact: bytes | Mapping[str, Any]) -> int:
    try:
        read = orjson.loads(fact) if isinstance(fact, bytes) else fact
        return min(instant(read["at"]), instant(read["arrives"]))
    except (ValueError, KeyError, TypeError):
        return BEGINNING
