"""Copies transitions to the topics of single segments, exactly once, apart from the partitions' commits (DESIGN.md 6).

A consumer group and transactional producers of its own, one for each partition of `segments.transitions`; the group's
offsets, committed in the transactions, are its only state. A contact's transitions keep their order: they are in one
partition here and go to one partition there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from engine.definitions.document import Segment
from engine.worker.clients import (
    close_quietly,
    discard,
    group_consumer,
    partition_counts,
    transactional_producer,
)
from engine.worker.commit import COMMON_BATCH_BYTES, TRANSITION_HEADERS_BYTES, Row, is_fenced, pack
from engine.worker.metrics import Metrics
from engine.worker.settings import Settings
from topics import TopicsError, create, segment_topic

log = logging.getLogger(__name__)

POLL_MS: Final = 500
RECORDS_MAX: Final = 5_000
"""Transitions of one transaction."""
LINGER_SECONDS: Final = 0.02
"""After the first transitions of a transaction, for more to come: mailers do not notice, brokers do."""
LOOK_SECONDS: Final = 30.0
"""Between two looks for the topic of a segment that is no longer defined."""
RETRY_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


class Address(msgspec.Struct):
    """The part of a transition that tells where it belongs."""

    workspace: str
    segment: str


_decode = msgspec.json.Decoder(Address).decode


class Fanout(ConsumerRebalanceListener):  # type: ignore[misc]
    """The copying service of one worker."""

    def __init__(
        self,
        settings: Settings,
        transitions: str,
        metrics: Metrics,
        segment: Callable[[str, str], Segment | None],
    ) -> None:
        """`segment` gives the active definition of (workspace, id)."""
        self._settings = settings
        self._group = f"{settings.group}-fanout"
        self._topic = transitions
        self._metrics = metrics
        self._segment = segment
        self._consumer = group_consumer(settings, self._group, settings.member, fetch_wait_ms=POLL_MS)
        self._producers: dict[int, AIOKafkaProducer] = {}
        self._owned: frozenset[TopicPartition] = frozenset()
        """What the last assignment gave; empty during a rebalance, when the consumer still tells the one before."""
        self._counts: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        self._busy = asyncio.Lock()

    async def start(self) -> None:
        """Joins the group. Raises KafkaError."""
        await self._consumer.start()
        self._consumer.subscribe(topics=[self._topic], listener=self)

    async def stop(self) -> None:
        async with self._busy:
            await self._drop_producers()
        await close_quietly(self._consumer)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._owned = frozenset()
        async with self._busy:
            await self._drop_producers()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)  # until each has a producer and its position is known
        self._owned = frozenset(assigned)

    def rejoin(self) -> None:
        """Gives every partition up and asks the group for some again."""
        self._owned = frozenset()
        self._consumer.subscribe(topics=[self._topic], listener=self)

    async def run(self) -> None:
        """Copies until cancelled. Raises KafkaError when the group is refused for good."""
        failures = 0
        while True:
            try:
                await self._open()
                await self._copy()
                failures = 0
            except (KafkaError, IllegalOperation, TimeoutError, TopicsError, AssertionError) as error:
                failures += 1
                log.warning("Fan-out: %s: %s; going on from what was committed", type(error).__name__, error)
                async with self._busy:
                    fenced = any(is_fenced(producer) for producer in self._producers.values())
                    await self._drop_producers()
                    if fenced:  # by whom the group gave the partition to; opening again would fence them in turn
                        self.rejoin()
                    else:
                        # Not ours any more: its revocation is under way, or there is no assignment at all.
                        with contextlib.suppress(KafkaError, AssertionError):
                            self._consumer.pause(*self._owned)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])

    async def _open(self) -> None:
        """For partitions without a producer: the producer first, then where the group has come to."""
        async with self._busy:
            for tp in sorted(self._owned):
                if tp.partition in self._producers or tp not in self._owned:
                    continue
                producer = transactional_producer(self._settings, f"{self._group}-{tp.partition}")
                try:
                    async with asyncio.timeout(self._settings.commit_timeout / 1000):
                        await producer.start()
                except BaseException:
                    discard(producer)
                    raise
                if tp not in self._owned:  # revoked meanwhile, and its callback waits for us
                    discard(producer)
                    return
                self._producers[tp.partition] = producer
                offset = await self._consumer.committed(tp)
                if offset is None:
                    offset = (await self._consumer.beginning_offsets([tp]))[tp]
                self._consumer.seek(tp, offset)
                self._consumer.resume(tp)

    async def _copy(self) -> None:
        tps = [tp for tp in self._owned if tp.partition in self._producers]
        if not tps:
            await asyncio.sleep(POLL_MS / 1000)
            return
        found = await self._consumer.getmany(*tps, timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        if not found:
            return
        await asyncio.sleep(LINGER_SECONDS)
        more = await self._consumer.getmany(*tps, timeout_ms=0, max_records=RECORDS_MAX)
        for tp, records in more.items():
            found.setdefault(tp, []).extend(records)
        async with self._busy:
            todo = [(tp, records) for tp, records in found.items() if tp.partition in self._producers]
            # All of them end, well or not, before producers are dropped.
            ended = await asyncio.gather(*(self._transaction(tp, r) for tp, r in todo), return_exceptions=True)
            for outcome in ended:
                if outcome is not None:
                    raise outcome

    async def _transaction(self, tp: TopicPartition, records: list[Any]) -> None:
        producer = self._producers[tp.partition]
        rows: dict[str, list[Row]] = {}
        copied = 0
        for record in records:
            address = _decode(record.value)
            topic = f"segments.{address.workspace}.{address.segment}"
            if await self._count(topic, address):
                rows.setdefault(topic, []).append((record.key, record.value, list(record.headers)))
                copied += 1
        async with asyncio.timeout(self._settings.commit_timeout / 1000):
            await producer.begin_transaction()
            sent = []
            for topic, part in rows.items():
                number = tp.partition % self._counts[topic]
                batches = pack(producer, part, COMMON_BATCH_BYTES, TRANSITION_HEADERS_BYTES)
                sent += [await producer.send_batch(packed, topic, partition=number) for packed in batches]
            await producer.send_offsets_to_transaction({tp: records[-1].offset + 1}, self._group)
            await asyncio.gather(*sent)
            await producer.commit_transaction()
        self._metrics.fanned_out.inc(copied)

    async def _count(self, topic: str, address: Address) -> int:
        """Partitions of a segment's topic; 0 when the segment has none."""
        definition = self._segment(address.workspace, address.segment)
        if definition is not None and not definition.topic:
            return 0
        count = self._counts.get(topic, 0)
        if not count and (
            definition is not None or time.monotonic() - self._looked.get(topic, -LOOK_SECONDS) > LOOK_SECONDS
        ):
            self._looked[topic] = time.monotonic()
            count = (await partition_counts(self._settings, [topic])).get(topic, 0)
            if not count and definition is not None:
                count = self._settings.segment_topic_partitions
                wanted = segment_topic(address.workspace, address.segment, partitions=count)
                replication = self._settings.replication or None
                await create(self._settings.brokers, [wanted], partitions=count, replication=replication)
                log.warning("Made the missing topic %s", topic)
            if not count:
                log.warning("Transitions of %s/%s have no topic to go to", address.workspace, address.segment)
            self._counts[topic] = count
        return count

    async def _drop_producers(self) -> None:
        producers, self._producers = self._producers, {}
        for producer in producers.values():
            discard(producer)
