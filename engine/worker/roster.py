"""Which worker owns which partitions, and where it answers: told and read in the compacted topic `engine.workers`.

Key `group/worker`; value JSON `{"worker", "group", "url", "partitions", "at"}`. Of two workers that claim one
partition the later record counts. Each announcement also measures this machine's clock against the broker's append
time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from engine.conditions.instants import format_instant
from engine.worker.clients import close_quietly, plain_producer, reader, wait_event
from engine.worker.clock import Skew, wall
from engine.worker.settings import Settings

log = logging.getLogger(__name__)

ANNOUNCE_SECONDS: Final = 15.0
"""Between two announcements of an unchanged worker: how old the knowledge of the clocks' skew may be."""
SEND_SECONDS: Final = 10.0
LOG_APPEND_TIME: Final = 1


class Roster:
    """Announces this worker and knows the others of its group."""

    def __init__(self, settings: Settings, topic: str, skew: Skew, owned: Callable[[], list[int]]) -> None:
        """`owned` gives the partition numbers that this worker runs."""
        self._settings = settings
        self._tp = TopicPartition(topic, 0)
        self._skew = skew
        self._owned = owned
        self._producer: AIOKafkaProducer = plain_producer(settings, "roster")
        self._reader = reader(settings, "roster")
        self._owners: dict[int, tuple[str, str]] = {}
        self._changed = asyncio.Event()
        self.url = settings.url
        """Where this worker answers; set anew when the port is known only after listening."""

    async def start(self) -> None:
        """Announces this worker and reads the others. Raises KafkaError, TimeoutError."""
        await self._producer.start()
        await self._reader.start()
        self._reader.assign([self._tp])
        await self._reader.seek_to_beginning(self._tp)
        await self.announce()

    async def stop(self) -> None:
        """Tells that this worker owns nothing any more."""
        try:
            async with asyncio.timeout(2.0):
                await self._send([])
        except (KafkaError, TimeoutError) as error:
            log.warning("Could not announce the end of this worker: %r", error)
        await close_quietly(self._producer)
        await close_quietly(self._reader)

    def changed(self) -> None:
        """Something to announce: partitions came or went."""
        self._changed.set()

    def owner_of(self, number: int) -> str | None:
        """URL of the worker that runs a partition, as far as is known here."""
        found = self._owners.get(number)
        return None if found is None else found[1]

    async def announce(self) -> None:
        """Announces this worker now, and measures the skew. Raises KafkaError, TimeoutError."""
        before = wall()
        async with asyncio.timeout(SEND_SECONDS):
            told = await self._send(self._owned())
        after = wall()
        if told.timestamp_type == LOG_APPEND_TIME:
            self._skew.measure(before, told.timestamp, after)

    async def run_announcing(self) -> None:
        """Announces regularly and on change, until cancelled."""
        while True:
            await wait_event(self._changed, ANNOUNCE_SECONDS)
            self._changed.clear()
            try:
                await self.announce()
            except (KafkaError, TimeoutError) as error:
                log.warning("Could not announce this worker: %r", error)

    async def run_following(self) -> None:
        """Reads what the others announce, until cancelled."""
        while True:
            found = await self._reader.getmany(self._tp, timeout_ms=1_000)
            for record in found.get(self._tp, ()):
                self._take(record)

    def _take(self, record: Any) -> None:
        try:
            told = orjson.loads(record.value) if record.value is not None else {}
            if told.get("group") != self._settings.group:
                return
            worker, url = str(told["worker"]), str(told["url"])
            numbers = {int(number) for number in told["partitions"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("Unreadable record in %s at %d: %r", self._tp.topic, record.offset, error)
            return
        self._owners = {n: owner for n, owner in self._owners.items() if owner[0] != worker or n in numbers}
        self._owners.update(dict.fromkeys(numbers, (worker, url)))

    async def _send(self, numbers: list[int]) -> Any:
        settings = self._settings
        value = {
            "worker": settings.member,
            "group": settings.group,
            "url": self.url,
            "partitions": numbers,
            "at": format_instant(wall()),
        }
        key = f"{settings.group}/{settings.member}".encode()
        return await self._producer.send_and_wait(self._tp.topic, orjson.dumps(value), key, partition=0)
