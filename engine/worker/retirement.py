"""Topics of single segments come and go with their segments: the missing are made, those past their time deleted.

A topic is past its time when its segment is deleted, or says `topic: false`, for SEGMENT_TOPIC_RETENTION, nothing was
copied to it for as long, and nothing is left to copy: every partition is wholly filled for what took the topic away,
and of all transitions committed by then none of the segment's is ahead of the fan-out. That is read from Kafka alone,
so it holds whichever worker looks, however often, and whatever was restarted; two that look at once do no harm.

A segment that is applied anew keeps the topic that is still there. Where it is applied within the moments in which the
topic is deleted, the topic is made again; what was copied in between is then in `segments.transitions` alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

import topics
from engine.conditions.instants import parse_instant
from engine.state.changelog import POSITION, changelog_topic
from engine.state.codec import Position, decode_position
from engine.worker.clients import close_quietly, partition_counts, reader
from engine.worker.clock import wall
from engine.worker.definitions import Definitions
from engine.worker.fanout import Fanout, decode_address
from engine.worker.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 30.0
"""Between two looks."""
RETIRED_MAX: Final = 50
"""Topics deleted, and as many made, in one look."""
SETTLE_MILLIS: Final = 5_000
"""For every worker to have read a new definition, however short the retention is."""
UNCOPIED_MAX: Final = 50_000
"""Transitions ahead of the fan-out beyond which a look is put off: it is behind, and nothing is in haste."""
SCAN_MAX: Final = 65_536
"""Offsets of a changelog's end that are looked through for its position: each commit ends with one."""
POLL_MS: Final = 200
LOOK_TIMEOUT_SECONDS: Final = 60.0

Key = tuple[str, str]


def segment_of(topic: str) -> Key | None:
    """Workspace and id of the segment that a topic is named after; None for topics of other kinds."""
    names = topic.split(".")
    return (names[1], names[2]) if len(names) == 3 and names[0] == "segments" and names[1] != "definitions" else None


class Retirement:
    """One worker's looks: only while its fan-out copies partition 0."""

    def __init__(self, settings: Settings, fanout: Fanout, transitions: str, definitions: Definitions) -> None:
        self._settings = settings
        self._fanout = fanout
        self._transitions = transitions
        self._definitions = definitions

    async def run(self) -> None:
        """Looks now and then until cancelled; what Kafka refuses is tried again at the next look."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._fanout.copies(0):
                continue
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                    await self.look()
            except (KafkaError, topics.TopicsError, TimeoutError, OSError, AssertionError) as error:
                log.warning("Topics of segments were not looked through: %s: %s", type(error).__name__, error)

    async def look(self) -> list[str]:
        """Makes what is missing, deletes what is past its time; the names of the deleted. Raises KafkaError,
        TopicsError."""
        settings = self._settings
        there = await topics.names(settings.brokers, timeout_ms=settings.request_timeout)
        await self._make_missing(there)
        found = {topic: key for topic in sorted(there) if (key := segment_of(topic)) is not None}
        past = {topic: key for topic, key in found.items() if self._is_past(key)}
        if not past:
            return []
        client = reader(settings, "retirement")
        try:
            await client.start()
            past = await self._quiet(client, dict(list(past.items())[:RETIRED_MAX]))
            past = await self._settled(client, past)
            past = await self._copied(client, past)
        finally:
            await close_quietly(client)
        gone = [topic for topic, key in past.items() if self._is_past(key)]  # it may have been applied meanwhile
        if gone:
            self._fanout.forget(gone)  # or a producer that asks for one in the moment would make it anew
            await topics.delete(settings.brokers, gone, timeout_ms=settings.request_timeout)
            self._fanout.forget(gone)
            log.info("Deleted the topics of segments that have none any more: %s", ", ".join(gone))
        return gone

    async def _make_missing(self, there: frozenset[str]) -> None:
        settings, count = self._settings, self._settings.segment_topic_partitions
        wanted = [segment.key for segment, _ in self._definitions.segments() if segment.topic]
        declared = [topics.segment_topic(*key, partitions=count) for key in wanted]
        missing = [each for each in declared if each.name not in there][:RETIRED_MAX]
        if missing:
            replication = settings.replication or None
            await topics.create(settings.brokers, missing, partitions=settings.partitions, replication=replication)
            self._fanout.forget([each.name for each in missing])
            log.warning("Made the missing topics %s", ", ".join(each.name for each in missing))

    def _is_past(self, key: Key) -> bool:
        """Whether the segment is known to be without a topic for long enough."""
        record = self._definitions.record(key)
        if record is None or self._definitions.problem or record.has_topic:
            return False
        since = parse_instant(record.at) if record.at else 0
        return since + max(SETTLE_MILLIS, self._settings.segment_topic_retention) <= wall()

    async def _quiet(self, client: AIOKafkaConsumer, past: dict[str, Key]) -> dict[str, Key]:
        """Those to which nothing was copied within the retention."""
        oldest = wall() - self._settings.segment_topic_retention
        counts = await partition_counts(self._settings, list(past)) if past else {}
        found = {}
        for topic, count in counts.items():
            newer = await client.offsets_for_times({TopicPartition(topic, n): oldest for n in range(count)})
            if all(offset is None for offset in newer.values()):
                found[topic] = past[topic]
        return found

    async def _settled(self, client: AIOKafkaConsumer, past: dict[str, Key]) -> dict[str, Key]:
        """Those whose end every partition has wholly taken up: their last transitions are committed."""
        plan, offsets = self._definitions.plan, {topic: self._definitions.offset(key) for topic, key in past.items()}
        past = {topic: key for topic, key in past.items() if plan.read_to > offsets[topic]}
        for number in range(self._settings.partitions if past else 0):
            at = await self._position(client, number)
            if at is None or at.filled is not None:
                return {}
            if at.plan != plan.fingerprint:
                past = {topic: key for topic, key in past.items() if at.read_to > offsets[topic]}
        return past

    async def _position(self, client: AIOKafkaConsumer, number: int) -> Position | None:
        """A partition's committed position, that of nothing where it never had one; None where it was not found."""
        tp = TopicPartition(changelog_topic(self._settings.group), number)
        begin, end = (await client.beginning_offsets([tp]))[tp], (await client.end_offsets([tp]))[tp]
        client.assign([tp])
        back = 16
        while True:
            start = max(begin, end - back)
            found = None
            async for record in _between(client, tp, start, end):
                if record.key == POSITION:
                    found = decode_position(record.value)
            if found is not None:
                return found
            if start == begin:
                return Position(plan=self._definitions.plan.fingerprint)
            if back > SCAN_MAX:
                return None
            back *= 16

    async def _copied(self, client: AIOKafkaConsumer, past: dict[str, Key]) -> dict[str, Key]:
        """Those of which no transition that is committed now is ahead of the fan-out."""
        if not past:
            return past
        ahead: set[Key] = set()
        counts = await partition_counts(self._settings, [self._transitions])
        for number in range(counts[self._transitions]):
            tp = TopicPartition(self._transitions, number)
            end = (await client.end_offsets([tp]))[tp]
            start = await self._fanout.committed(number)
            if start is None:
                start = (await client.beginning_offsets([tp]))[tp]
            if end - start > UNCOPIED_MAX:
                return {}
            client.assign([tp])
            async for record in _between(client, tp, start, end):
                address = decode_address(record.value)
                ahead.add((address.workspace, address.segment))
        return {topic: key for topic, key in past.items() if key not in ahead}


async def _between(client: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    """The committed records from one offset to before another, of a partition that is assigned. Bounded in time by
    whoever looks."""
    client.seek(tp, start)
    while await client.position(tp) < end:
        for record in (await client.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
            if record.offset < end:
                yield record
