"""Kafka as the tests see it: topics written with murmur2 placement and read to their end, committed records only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration.harness import Program, wait_until

READ_WITHIN = 120.0  # seconds for reading a whole topic


class Record(NamedTuple):
    """One record; `timestamp` in ms since the epoch as the broker keeps it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def producer(brokers: str, **more: str | int | bool) -> Producer:
    """An idempotent producer that places keys as the Java client does."""
    return Producer(
        {
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
            "log_level": 2,
            **more,
        }
    )


def send_all(brokers: str, records: Iterable[tuple[str, bytes, bytes]], **more: str | int | bool) -> int:
    """Publishes (topic, key, value); returns their number once all are acknowledged, KafkaException if one is not."""
    sender, refused, count = producer(brokers, **more), list[KafkaError](), 0

    def answered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error)

    for topic, key, value in records:
        count += 1
        while True:
            try:
                sender.produce(topic, value, key, on_delivery=answered)
                break
            except BufferError:
                sender.poll(0.1)
        if count % 10_000 == 0:
            sender.poll(0)
    if sender.flush(READ_WITHIN) or refused:
        raise KafkaException(refused[0] if refused else KafkaError(KafkaError._TIMED_OUT))
    return count


def create_topics(
    brokers: str, topics: Sequence[str], partitions: int, config: Mapping[str, str] | None = None
) -> None:
    """Makes topics that must not exist yet."""
    settings = {"retention.ms": "-1", **(config or {})}
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    made = admin.create_topics([NewTopic(topic, partitions, 1, config=settings) for topic in topics])
    for future in made.values():
        future.result(30)


def topic_names(brokers: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": brokers, "log_level": 2}).list_topics(timeout=20).topics)


def _reader(brokers: str, group: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end of a partition is told by an answer to a fetch
            "log_level": 2,
        }
    )


def partitions_of(reader: Consumer, topic: str) -> list[int]:
    known = reader.list_topics(topic, timeout=20).topics[topic]
    return sorted(int(part) for part in known.partitions)


def records(brokers: str, topics: Sequence[str], *, isolation: str = "read_committed") -> Iterator[Record]:
    """Every record of the topics from the first to the end at the time of asking; each partition in offset order.

    With read_committed the end is the last stable offset: what an open transaction hides is not waited for.
    """
    reader = _reader(brokers, "tests-reader", isolation)
    deadline = time.monotonic() + READ_WITHIN
    try:
        places = [(topic, part) for topic in topics for part in partitions_of(reader, topic)]
        reader.assign([TopicPartition(topic, part, 0) for topic, part in places])
        left = set(places)
        while left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sorted(left)} could not be read to the end within {READ_WITHIN:.0f} s")
            for message in reader.consume(2000, 0.05):
                error = message.error()
                if error is None:
                    yield _record(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        reader.close()


def _record(message: Message) -> Record:
    topic, part, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert part is not None
    assert offset is not None
    headers = {name: value.encode() if isinstance(value, str) else value for name, value in message.headers() or []}
    key, value = message.key(), message.value()
    assert not isinstance(key, str)
    assert not isinstance(value, str)
    return Record(topic, part, offset, message.timestamp()[1], key, value, headers)


def read_topic(brokers: str, topic: str, *, isolation: str = "read_committed") -> list[Record]:
    """The topic's records, partition by partition."""
    return read_topics(brokers, [topic], isolation=isolation)[topic]


def read_topics(brokers: str, topics: Sequence[str], *, isolation: str = "read_committed") -> dict[str, list[Record]]:
    """The records of each topic, partition by partition; one pass over all of them."""
    found: dict[str, list[Record]] = {topic: [] for topic in topics}
    for record in records(brokers, topics, isolation=isolation):
        found[record.topic].append(record)
    return {topic: sorted(read, key=lambda record: (record.partition, record.offset)) for topic, read in found.items()}


def latest(found: Iterable[Record]) -> dict[bytes, bytes]:
    """What a compacted topic holds: the last value of each key that is no tombstone."""
    values: dict[bytes, bytes] = {}
    for record in found:
        assert record.key is not None
        if record.value is None:
            values.pop(record.key, None)
        else:
            values[record.key] = record.value
    return values


class Progress:
    """How far a consumer group has come in some topics, as lag tools see it. Closed by `close()`.

    A broker that is starting, or whose coordinator moves, is no error: the last known figure stands until it answers.
    """

    def __init__(self, brokers: str, group: str, topics: Sequence[str]) -> None:
        self._reader = _reader(brokers, group, "read_committed")
        self._partitions = [
            TopicPartition(topic, part) for topic in topics for part in partitions_of(self._reader, topic)
        ]
        self._committed = 0

    def committed(self) -> int:
        """Records that the group has committed, over all partitions."""
        try:
            found = self._reader.committed(self._partitions, timeout=5)
        except KafkaException as failure:
            if not _passing(failure):
                raise
        else:
            self._committed = sum(max(0, each.offset) for each in found)
        return self._committed

    def ends(self) -> int:
        """Records that the topics hold; KafkaException while the broker is away."""
        return sum(self._end(each) for each in self._partitions)

    def _end(self, partition: TopicPartition) -> int:
        marks = self._reader.get_watermark_offsets(partition, timeout=5)
        assert marks is not None
        return int(marks[1])

    def caught_up(self) -> bool:
        """Whether the group has committed everything that the topics hold; False while the broker is away."""
        try:
            return self.ends() <= self.committed()
        except KafkaException as failure:
            if not _passing(failure):
                raise
            return False

    def close(self) -> None:
        self._reader.close()


def _passing(failure: KafkaException) -> bool:
    error: KafkaError = failure.args[0]
    away = (
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    )
    return bool(error.retriable()) or error.code() in away


def wait_consumed(
    brokers: str, group: str, topics: Sequence[str], within: float, alive: Program | None = None
) -> float:
    """Seconds until the group has committed everything that the topics hold.

    Raises TimedOut after `within` seconds, and at once when `alive` is a program that has ended.
    """
    progress = Progress(brokers, group, topics)
    what = f"group {group} to commit the end of {', '.join(topics)}"
    try:
        return wait_until(progress.caught_up, within, what, alive=alive)
    finally:
        progress.close()
