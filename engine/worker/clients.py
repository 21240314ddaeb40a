"""Kafka clients of a worker, all made here, so that limits and security are said once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.protocol.metadata import MetadataRequest

from engine.worker.settings import Settings

log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 100
"""Longest wait of the broker for new records. One fetch a connection is in flight, so it also bounds how long a busy
topic waits for idle ones; ten idle fetches a second cost half a percent of a core."""
FETCH_BYTES: Final = 2 << 20
"""Of one partition in one answer: some thousand events, and more than the longest record."""
REQUEST_BYTES_MAX: Final = 16 << 20
"""Largest record batch of the changelog's topic (`topics`): a hot contact's state must fit."""
DISCARD_SECONDS: Final = 5.0
"""An abandoned client is given so long to close its connections; its transactions are fenced anyway."""


class TopicMissing(Exception):
    """A topic that the engine needs is not there, or has another number of partitions. The text says what to do."""


def group_consumer(
    settings: Settings, group: str, member: str, *, fetch_wait_ms: int = FETCH_WAIT_MS, reset: str = "earliest"
) -> AIOKafkaConsumer:
    """A consumer in a group: static member, range assignment, read_committed, commits nothing by itself.

    `reset` tells where to go on when an offset is not there any more; with "none" reading raises.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        client_id=member,
        group_id=group,
        group_instance_id=member,
        partition_assignment_strategy=(RangePartitionAssignor,),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset=reset,
        session_timeout_ms=settings.session_timeout,
        heartbeat_interval_ms=max(200, settings.session_timeout // 4),
        rebalance_timeout_ms=max(settings.session_timeout, settings.shutdown_timeout + settings.commit_timeout),
        max_poll_interval_ms=settings.poll_timeout,
        request_timeout_ms=settings.request_timeout,
        fetch_max_wait_ms=fetch_wait_ms,
        max_partition_fetch_bytes=min(FETCH_BYTES, settings.fetch_bytes),
        metadata_max_age_ms=60_000,
    )


def reader(settings: Settings, name: str, *, bytes_max: int = REQUEST_BYTES_MAX) -> AIOKafkaConsumer:
    """A consumer without a group, read_committed, for reading a topic from where one likes."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        client_id=f"{settings.member}-{name}",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=settings.request_timeout,
        fetch_max_wait_ms=FETCH_WAIT_MS * 5,
        max_partition_fetch_bytes=bytes_max,
    )


def transactional_producer(
    settings: Settings, transactional_id: str, *, batch_bytes: int = REQUEST_BYTES_MAX - 65_536
) -> AIOKafkaProducer:
    """A producer that commits in transactions; starting it ends what an earlier owner of the id left open.

    `batch_bytes` must be below the `max.message.bytes` of what it writes to.
    """
    return AIOKafkaProducer(
        bootstrap_servers=settings.brokers,
        client_id=transactional_id,
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.transaction_timeout,
        request_timeout_ms=settings.request_timeout,
        max_batch_size=batch_bytes,
        max_request_size=REQUEST_BYTES_MAX,
    )


def plain_producer(settings: Settings, name: str) -> AIOKafkaProducer:
    """An idempotent producer for what needs no transaction."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.brokers,
        client_id=f"{settings.member}-{name}",
        enable_idempotence=True,
        request_timeout_ms=settings.request_timeout,
    )


def discard(client: Any) -> None:
    """Closes a client in the background, whatever state it is in; nobody waits for it."""
    task = asyncio.get_running_loop().create_task(_close(client))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def wait_event(event: asyncio.Event, seconds: float) -> bool:
    """Waits at most so long for an event; whether it came. (asyncio.wait_for may swallow a cancellation on 3.11.)"""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def close_quietly(client: Any) -> None:
    """Closes a client within a bounded time, whatever state it is in."""
    await _close(client)


_closing: set[asyncio.Task[None]] = set()


async def _close(client: Any) -> None:
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            await client.stop()
    except Exception as error:  # noqa: BLE001 - it is abandoned: whatever it says changes nothing
        log.debug("Abandoned client: %r", error)


async def topic_settings(settings: Settings, topics: list[str]) -> dict[str, dict[str, str]]:
    """Kafka's settings of topics, by topic and name. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers, request_timeout_ms=settings.request_timeout)
    try:
        await admin.start()
        found: dict[str, dict[str, str]] = {}
        for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, t) for t in topics]):
            for code, _, _, name, entries in answer.resources:
                if not code:
                    found[name] = {entry[0]: entry[1] for entry in entries}
        return found
    finally:
        await admin.close()


async def partition_counts(settings: Settings, topics: list[str]) -> dict[str, int]:
    """Number of partitions of those topics that exist; no other is made by asking, as the admin client's question would
    where Kafka's `auto.create.topics.enable` is on. Raises KafkaError."""
    client = AIOKafkaClient(bootstrap_servers=settings.brokers, request_timeout_ms=settings.request_timeout)
    try:
        await client.bootstrap()
        asked = MetadataRequest(topics, allow_auto_topic_creation=False)
        described = (await client.send(client.get_random_node(), asked)).to_object()["topics"]
        return {t["topic"]: len(t["partitions"]) for t in described if t["error_code"] == 0}
    finally:
        await client.close()
