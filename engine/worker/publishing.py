"""Publishing facts: which topic a type goes to, and where in it (DESIGN.md 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from engine.conditions.fact import Fact
from engine.membership.placement import partition_of, wire_key
from engine.worker.clients import close_quietly, partition_counts, plain_producer
from engine.worker.settings import Settings

BEHAVIOUR: Final = "events.clicks"
"""Where any type goes that no other topic is for."""
TOPICS: Final[dict[str, str]] = {
    **dict.fromkeys(("purchase", "refund"), "events.purchases"),
    **dict.fromkeys(("opt_out", "opt_in", "block", "complaint", "consent"), "events.opt-outs"),
    **dict.fromkeys(
        ("message_sent", "message_delivered", "message_read", "message_clicked", "message_failed"), "events.messages"
    ),
    **dict.fromkeys(("contact_updated", "tags_added", "tags_removed", "list_added", "list_removed"), "events.contacts"),
    **dict.fromkeys(("contact_merged", "contact_erased", "event_retracted"), "events.contacts"),
}
IN_FLIGHT_MAX: Final = 10_000
"""Events sent and not acknowledged: some megabytes."""


class PublishError(Exception):
    """Events could not be published. The text is one readable paragraph; those acknowledged before are published."""


def topic_of(event_type: str, inputs: Sequence[str]) -> str:
    """The topic for a type: the natural one if it is among the inputs, else the first of them.

    >>> topic_of("refund", ["events.clicks", "events.purchases"]), topic_of("refund", ["shop"])
    ('events.purchases', 'shop')
    """
    natural = TOPICS.get(event_type, BEHAVIOUR)
    return natural if natural in inputs else inputs[0]


class Publisher:
    """Sends facts' own bytes, idempotently, in order, to their topics and partitions; an async context manager.

    `published` counts by topic; `ends` tells, once flushed, the offset behind the last event of each partition. Methods
    raise PublishError.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inputs = settings.input_topics
        self._producer: AIOKafkaProducer = plain_producer(settings, "publisher")
        self._counts: dict[str, int] = {}
        self._flying: list[asyncio.Future[Any]] = []
        self.published: dict[str, int] = {}
        self.ends: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        try:
            self._counts = await partition_counts(self._settings, list(self._inputs))
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await close_quietly(self._producer)
            raise self._failed(error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await close_quietly(self._producer)

    async def publish(self, fact: Fact, value: bytes) -> None:
        """Sends `value`, in which `fact` was read; waits only when many are in flight."""
        topic, key = topic_of(fact.type, self._inputs), wire_key(fact.workspace, fact.contact)
        if topic not in self._counts:
            raise PublishError(
                f"The topic {topic} is not on {self._settings.brokers}. Make the topics: segment-engine topics create"
            )
        number = partition_of(key, self._counts[topic])
        try:
            self._flying.append(await self._producer.send(topic, value, key, partition=number))
        except (KafkaError, OSError) as error:
            raise self._failed(error) from error
        self.published[topic] = self.published.get(topic, 0) + 1
        if len(self._flying) >= IN_FLIGHT_MAX:
            await self.flush()

    async def flush(self) -> None:
        """Waits until everything sent is acknowledged."""
        flying, self._flying = self._flying, []
        try:
            for sent in await asyncio.gather(*flying):
                place = TopicPartition(sent.topic, sent.partition)
                self.ends[place] = max(self.ends.get(place, 0), sent.offset + 1)
        except (KafkaError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> PublishError:
        why = f" ({type(error).__name__}{f': {error}' if str(error) else ''})"
        return PublishError(
            f"Kafka at {self._settings.brokers} does not take events{why}. Check the setting BROKERS and that the "
            "brokers run; for a local one: segment-engine broker"
        )
