"""Reads the inputs: one consumer for all partitions of the worker, records parsed into each partition's inbox.

Back-pressure: a topic's partition whose buffer is full is not asked for; what was fetched of it stays with the
consumer, which fetches no more of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from engine.conditions.fact import Fact
from engine.membership.facts import Rejected, read_fact
from engine.worker.clients import close_quietly, group_consumer, wait_event
from engine.worker.clock import wall
from engine.worker.inbox import Inbox
from engine.worker.placement import origin_of
from engine.worker.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 200
"""Longest wait for records; also how old the knowledge of an empty topic's end may be before it is looked at again."""
CREATE_TIME: Final = 0
"""Type of a record's timestamp that its sender gave."""
RECORD_BYTES: Final = 100
"""Added to a record's value for the size of what is buffered."""


class Lane:
    """One partition number's inbox, and how its owner is woken."""

    def __init__(self, number: int, topics: tuple[str, ...]) -> None:
        self.number = number
        self.inbox = Inbox(topics)
        self.wake = asyncio.Event()
        self.open = False
        self.gone = ""
        """Why the partition must start anew: an offset that the broker does not have; else empty."""
        self.tps = {topic: TopicPartition(topic, number) for topic in topics}


class Intake(ConsumerRebalanceListener):  # type: ignore[misc]
    """The worker's consumer of all inputs."""

    def __init__(
        self,
        settings: Settings,
        topics: tuple[str, ...],
        forwarding: str,
        *,
        assigned: Callable[[set[int]], Awaitable[None]],
        revoked: Callable[[], Awaitable[None]],
    ) -> None:
        """`topics` are all inputs, `forwarding` the one of them that the engine writes itself."""
        self._settings = settings
        self._topics = topics
        self._forwarding = forwarding
        self._assigned = assigned
        self._revoked = revoked
        self._consumer = group_consumer(settings, settings.group, settings.member, reset="none")
        self._lanes: dict[int, Lane] = {}
        self.problem = ""
        """Why partitions that were assigned cannot run; empty when all can."""
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Joins the group; partitions come by the callback. Raises KafkaError."""
        await self._consumer.start()
        self._consumer.subscribe(topics=list(self._topics), listener=self)

    async def stop(self) -> None:
        await close_quietly(self._consumer)

    def rejoin(self) -> None:
        """Gives every partition up and asks the group for some again."""
        self._consumer.subscribe(topics=list(self._topics), listener=self)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            log.info("Partitions revoked: %s", sorted({tp.partition for tp in revoked}))
        await self._revoked()
        self._lanes.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)  # until each is restored and its position known
        numbers = {tp.partition for tp in assigned}
        log.info("Partitions assigned: %s", sorted(numbers))
        whole = {n for n in numbers if all(TopicPartition(t, n) in assigned for t in self._topics)}
        self.problem = ""
        if whole != numbers:
            self.problem = (
                f"partitions {sorted(numbers - whole)} came without all of their topics: have the inputs the same "
                "number of partitions, and all workers of the group the same INPUT_TOPICS?"
            )
            log.error("%s", self.problem)
        await self._assigned(whole)

    def lane(self, number: int) -> Lane:
        """The lane of an assigned partition number, closed until `open_lane`."""
        return self._lanes.setdefault(number, Lane(number, self._topics))

    def open_lane(self, lane: Lane, offsets: dict[str, int]) -> None:
        """Begins to read a partition at these offsets, by topic. Raises IllegalStateError when it is not assigned."""
        lane.inbox.seek(offsets)
        lane.gone = ""
        try:
            for topic, tp in lane.tps.items():
                self._consumer.seek(tp, offsets[topic])
            self._consumer.resume(*lane.tps.values())
        except AssertionError:
            raise IllegalStateError("there is no assignment: the group is about to make one") from None
        lane.open = True
        self._changed.set()

    def close_lane(self, lane: Lane) -> None:
        """Reads no more of a partition."""
        lane.open = False
        self._lanes.pop(lane.number, None)

    def pause_lane(self, lane: Lane) -> None:
        """Reads no more of a partition until `open_lane`."""
        lane.open = False
        with contextlib.suppress(*_NOT_OURS):
            self._consumer.pause(*lane.tps.values())

    async def committed(self, lane: Lane) -> bool:
        """Whether the group has committed offsets of this partition's inputs. Raises KafkaError."""
        return any([await self._consumer.committed(tp) is not None for tp in lane.tps.values()])

    def room(self) -> None:
        """Some partition has taken records: there is room for more."""
        self._changed.set()

    async def run(self) -> None:
        """Reads until cancelled. Raises KafkaError when the group or the broker refuses for good."""
        while True:
            wanted = self._wanted()
            if not wanted:
                self._changed.clear()
                # Still polls: a member that never does is thrown out of its group.
                await wait_event(self._changed, POLL_MS / 1000)
                wanted = self._wanted()
            await self._poll(wanted or [_NOTHING])

    def _wanted(self) -> list[TopicPartition]:
        limit = self._settings.fetch_bytes
        return [
            lane.tps[source.topic]
            for lane in self._lanes.values()
            if lane.open
            for source in lane.inbox.sources
            if source.bytes < limit
        ]

    async def _poll(self, wanted: list[TopicPartition]) -> None:
        epochs = {number: (lane, lane.inbox.epoch) for number, lane in self._lanes.items()}
        try:
            found = await self._consumer.getmany(*wanted, timeout_ms=0 if wanted[0] is _NOTHING else POLL_MS)
        except OffsetOutOfRangeError as error:
            self._out_of_range(error.args[0])
            return
        except NoOffsetForPartitionError:  # told of a partition that is not open yet: `open_lane` says where it starts
            return
        touched = set()
        for tp, records in found.items():
            lane = self._lanes.get(tp.partition)
            if lane is None or not lane.open:
                continue  # `open_lane` says where to go on
            if (lane, lane.inbox.epoch) != epochs.get(tp.partition):
                self._seek_back(lane, tp)
                continue
            self._add(lane, tp.topic, records)
            touched.add(lane)
            if len(found) > 1:
                await asyncio.sleep(0)  # a second of parsing would hold heartbeats up
        for lane in list(self._lanes.values()):
            if lane.open and await self._look(lane):
                touched.add(lane)
        for lane in touched:
            lane.wake.set()

    def _seek_back(self, lane: Lane, tp: TopicPartition) -> None:
        """Has what was fetched across a seek fetched again: the consumer is behind it, the buffer is not."""
        position = lane.inbox.by_topic[tp.topic].position
        with contextlib.suppress(*_NOT_OURS):
            self._consumer.seek(tp, position)

    def _out_of_range(self, offsets: dict[TopicPartition, int]) -> None:
        """The broker has no such offsets any more: their partitions start anew, and count there what is lost."""
        for tp, offset in offsets.items():
            lane = self._lanes.get(tp.partition)
            if lane is not None and lane.open:
                lane.gone = f"{tp.topic}/{tp.partition} has no offset {offset} any more"
                lane.wake.set()

    def _add(self, lane: Lane, topic: str, records: list[Any]) -> None:
        skew, longest = self._settings.skew, self._settings.max_event_bytes
        latest = wall() + skew
        here = f"{topic}/{lane.number}/"
        read: list[Fact | Rejected] = []
        size = 0
        forwarded = topic == self._forwarding
        for record in records:
            value = record.value or b""
            size += len(value) + RECORD_BYTES
            try:
                place, arrival = origin_of(record) if forwarded else (here + str(record.offset), record.timestamp)
                if arrival > latest and record.timestamp_type == CREATE_TIME:  # the sender's clock, not the broker's
                    detail = f"the record's timestamp is {arrival - latest + skew} ms ahead; {skew} ms are allowed"
                    read.append(Rejected("too_far_ahead", detail))
                    continue
                read.append(read_fact(value, arrival=arrival, fallback_id=place, skew=skew, max_bytes=longest))
            except MemoryError:
                raise
            except Exception as error:  # a poison record never stops a partition
                log.exception("Cannot read %s%d; it becomes a dead letter", here, record.offset)
                read.append(Rejected("engine_error", f"{type(error).__name__}: {error}"))
        lane.inbox.by_topic[topic].add(read, records, size)

    async def _look(self, lane: Lane) -> bool:
        """Notes how far each topic is fetched; True when a topic without records came to its end."""
        changed = False
        for source in lane.inbox.sources:
            tp = lane.tps[source.topic]
            try:
                stable = self._consumer.last_stable_offset(tp)
                position = await self._consumer.position(tp)
            except (*_NOT_OURS, KafkaError):
                return False
            if stable is not None and (stable != source.stable or position != source.position):
                before = source.fetched
                if not lane.open:
                    return False
                source.stable = stable
                source.position = max(position, source.position or 0)
                changed = changed or (source.fetched and not before)
        return changed


_NOT_OURS = (IllegalStateError, AssertionError)
"""What the consumer says of a partition whose revocation is under way, and of all while there is no assignment."""
_NOTHING = TopicPartition("-", -1)
"""Asked for when nothing is wanted: `getmany()` without a partition would give everything."""
