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
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from engine.worker.clients import (
    close_quietly,
    discard,
    group_consumer,
    partition_counts,
    transactional_producer,
)
from engine.worker.commit import COMMON_BATCH_BYTES, TRANSITION_HEADERS_BYTES, Row, is_fenced, pack
from engine.worker.definitions import Definition
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
BEHIND_SECONDS: Final = 10.0
BEHIND_PAUSE: Final = 0.1
"""A transaction waits for definitions to be read here for so long in all, however many it lacks, looking after each
pause: a rebalance waits for it. Then its transitions go to their topics if there are any; later ones do not wait for
the same versions."""
LET_GO_SECONDS: Final = 2.0
"""Between two looks for topics that producers need not know any more; far less than before a topic is deleted."""
RETRY_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


class Address(msgspec.Struct):
    """The part of a transition that tells where it belongs."""

    workspace: str
    segment: str
    version: int = 0


decode_address = msgspec.json.Decoder(Address).decode


class Fanout(ConsumerRebalanceListener):  # type: ignore[misc]
    """The copying service of one worker."""

    def __init__(
        self,
        settings: Settings,
        transitions: str,
        metrics: Metrics,
        record: Callable[[tuple[str, str]], Definition | None],
    ) -> None:
        """`record` gives what is known of a segment by its workspace and id."""
        self._settings = settings
        self._group = f"{settings.group}-fanout"
        self._topic = transitions
        self._metrics = metrics
        self._record = record
        self._consumer = group_consumer(settings, self._group, settings.member, fetch_wait_ms=POLL_MS)
        self._producers: dict[int, AIOKafkaProducer] = {}
        self._owned: frozenset[TopicPartition] = frozenset()
        """What the last assignment gave; empty during a rebalance, when the consumer still tells the one before."""
        self._counts: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        self._waited: dict[tuple[str, str], int] = {}
        """Versions that were waited for in vain. Like the others, bounded by the number of segments."""
        self._let_go_at = 0.0
        self._busy, self._looking = asyncio.Lock(), asyncio.Lock()

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

    def copies(self, number: int) -> bool:
        """Whether this worker copies the partition with this number."""
        return number in self._producers and TopicPartition(self._topic, number) in self._owned

    async def committed(self, number: int) -> int | None:
        """How far a partition is copied, whoever does: the next offset; None where none was. Raises KafkaError."""
        found: int | None = await self._consumer.committed(TopicPartition(self._topic, number))
        return found

    def forget(self, names: Iterable[str]) -> None:
        """These topics are made or deleted: they are looked up before they are written to again.

        A producer asks for all topics that it knows by name now and then, and Kafka makes those that are not there
        (`auto.create.topics.enable`, on by default): so it must not know them any more. One that needs them again adds
        them by itself.
        """
        gone = frozenset(names)
        for name in gone:
            self._counts.pop(name, None)
            self._looked.pop(name, None)
        for producer in self._producers.values():
            known = producer.client._topics
            if not gone.isdisjoint(known):
                producer.client.set_topics(known - gone)  # none left: it asks for all there are, which makes none

    def _let_go(self) -> None:
        """Forgets the topics of segments that have none any more: whichever worker deletes them, ours stay deleted."""
        if time.monotonic() - self._let_go_at < LET_GO_SECONDS:
            return
        self._let_go_at = time.monotonic()
        known = {name for producer in self._producers.values() for name in producer.client._topics}
        self.forget(name for name in known if not self._has_topic(name))

    def _has_topic(self, name: str) -> bool:
        _, workspace, segment = name.split(".", 2)
        record = self._record((workspace, segment))
        return record is not None and record.has_topic

    async def run(self) -> None:
        """Copies until cancelled. Raises KafkaError when the group is refused for good."""
        failures = 0
        while True:
            try:
                await self._open()
                self._let_go()  # between transactions: what one needs once more is looked up in the next
                await self._copy()
                failures = 0
            except (KafkaError, IllegalOperation, TimeoutError, TopicsError, AssertionError) as error:
                failures += 1
                log.warning("Fan-out: %s: %s; going on from what was committed", type(error).__name__, error)
                async with self._busy:
                    fenced = any(is_fenced(producer) for producer in self._producers.values())
                    await self._drop_producers()
                    self._counts.clear()  # a topic may have been deleted: looked up, and made where it has to be
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
        counts: dict[str, int] = {}
        copied = 0
        until = time.monotonic() + BEHIND_SECONDS
        for record in records:
            address = decode_address(record.value)
            topic = f"segments.{address.workspace}.{address.segment}"
            if count := await self._count(topic, address, until):
                counts[topic] = count
                rows.setdefault(topic, []).append((record.key, record.value, list(record.headers)))
                copied += 1
        async with asyncio.timeout(self._settings.commit_timeout / 1000):
            await producer.begin_transaction()
            sent = []
            for topic, part in rows.items():
                number = tp.partition % counts[topic]
                batches = pack(producer, part, COMMON_BATCH_BYTES, TRANSITION_HEADERS_BYTES)
                sent += [await producer.send_batch(packed, topic, partition=number) for packed in batches]
            await producer.send_offsets_to_transaction({tp: records[-1].offset + 1}, self._group)
            await asyncio.gather(*sent)
            await producer.commit_transaction()
        self._metrics.fanned_out.inc(copied)

    async def _count(self, topic: str, address: Address, until: float) -> int:
        """Partitions of the topic that a transition goes to; 0 when it goes to none.

        What was published before the segment went, or gave its topic up, still goes to the topic while there is one.
        """
        record = await self._record_of(address, until)
        wanted = record is not None and record.has_topic
        if record is not None and record.in_force and not wanted and address.version == record.version:
            return 0
        count = self._counts.get(topic, 0)
        if count:
            return count
        async with self._looking:  # or another partition would take a look that is under way for its outcome
            count = self._counts.get(topic, 0)
            if count or not (wanted or time.monotonic() - self._looked.get(topic, -LOOK_SECONDS) > LOOK_SECONDS):
                return count
            count = (await partition_counts(self._settings, [topic])).get(topic, 0)
            if not count and wanted:
                count = self._settings.segment_topic_partitions
                missing = segment_topic(address.workspace, address.segment, partitions=count)
                replication = self._settings.replication or None
                await create(self._settings.brokers, [missing], partitions=count, replication=replication)
                log.warning("Made the missing topic %s", topic)
            if not count:
                log.info("Transitions of %s/%s have no topic to go to any more", address.workspace, address.segment)
            self._looked[topic], self._counts[topic] = time.monotonic(), count
        return count

    async def _record_of(self, address: Address, until: float) -> Definition | None:
        """What is known of the segment, once that is as new as the transition: whoever published it knew it.

        Waits until an instant of the monotonic clock at most.
        """
        key = address.workspace, address.segment
        while True:
            record = self._record(key)
            if max(-1 if record is None else record.version, self._waited.get(key, -1)) >= address.version:
                return record
            if time.monotonic() >= until:
                self._waited[key] = address.version
                return record
            await asyncio.sleep(BEHIND_PAUSE)

    async def _drop_producers(self) -> None:
        producers, self._producers = self._producers, {}
        for producer in producers.values():
            discard(producer)
