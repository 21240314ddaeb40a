"""Until the workers have taken what is in the inputs: asked of the offsets that the group commits with its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from engine.worker.clients import close_quietly, partition_counts, reader
from engine.worker.settings import Settings

LOOK_SECONDS: Final = 0.25
"""Between two looks at the offsets."""
PEEK_MS: Final = 500
PEEK_BYTES: Final = 65_536

Ends = Mapping[TopicPartition, int]
"""For each partition the offset that everything to be waited for is before."""


class NotTaken(Exception):
    """The workers did not take all in time, or Kafka did not answer. The text is one readable paragraph."""


async def input_ends(settings: Settings) -> dict[TopicPartition, int]:
    """Where the inputs end now, as readers of committed records see it. Raises NotTaken."""
    consumer = reader(settings, "ends")
    try:
        counts = await partition_counts(settings, list(settings.input_topics))
        await consumer.start()
        found: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        )
        return found
    except (KafkaError, OSError) as error:
        raise _silent(settings, error) from error
    finally:
        await close_quietly(consumer)


async def wait_taken(
    settings: Settings, ends: Ends, seconds: float, told: Callable[[int, int], None] | None = None
) -> None:
    """Waits until the group has taken every record before `ends`, `seconds` at most, `told` of how many of how many.

    Offsets are committed with the states they led to, so what is asked of a worker afterwards counts those records.
    Raises NotTaken.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers, request_timeout_ms=settings.request_timeout)
    peeking = reader(settings, "taken", bytes_max=PEEK_BYTES)
    until = time.monotonic() + seconds
    passed: dict[TopicPartition, int] = {}
    first: int | None = None
    try:
        await admin.start()
        await peeking.start()
        while True:
            found = await admin.list_consumer_group_offsets(settings.group, partitions=list(ends))
            behind = {}
            for each, end in ends.items():
                at = max(found[each].offset if each in found else -1, passed.get(each, 0), 0)
                if at < end and (at := await _next_record(peeking, each, at, end)) < end:
                    behind[each] = end - at
                passed[each] = at
            left = sum(behind.values())
            first = left if first is None else max(first, left)
            if told is not None:
                told(first - left, first)
            if not behind:
                return
            if time.monotonic() > until:
                names = ", ".join(f"{each.topic}/{each.partition}" for each in sorted(behind)[:8])
                raise NotTaken(
                    f"The workers of group {settings.group} have not taken {left:,} records within {seconds:.0f} s "
                    f"({names}). Is a worker running, with this GROUP, and without lag?"
                )
            await asyncio.sleep(LOOK_SECONDS)
    except (KafkaError, OSError) as error:
        raise _silent(settings, error) from error
    finally:
        await asyncio.gather(close_quietly(peeking), admin.close())


async def _next_record(consumer: AIOKafkaConsumer, place: TopicPartition, at: int, end: int) -> int:
    """The offset of the first record at or after `at`, `end` if there is none before it.

    The last offsets of a partition may be marks of transactions: nobody takes those, nor commits an offset behind them.
    """
    consumer.assign([place])
    consumer.seek(place, at)
    for record in (await consumer.getmany(place, timeout_ms=PEEK_MS, max_records=1)).get(place, ()):
        return min(int(record.offset), end)
    position: int = await consumer.position(place)
    return min(position, end)


def _silent(settings: Settings, error: Exception) -> NotTaken:
    why = f" ({type(error).__name__}{f': {error}' if str(error) else ''})"
    return NotTaken(f"Kafka at {settings.brokers} does not answer{why}. Check the setting BROKERS.")
