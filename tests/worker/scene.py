"""One engine inside the test, on the session's Kafka, with topics, group and workspace of its own.

Being in the same process, it can be made to fail at a chosen instruction; what it did is judged from the topics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from engine.conditions.instants import format_instant
from engine.definitions.document import canonical
from engine.definitions.reading import read_segment
from engine.membership.placement import partition_of
from engine.worker.clock import wall
from engine.worker.engine import SegmentEngine
from engine.worker.preflight import look
from engine.worker.settings import Settings
from engine.worker.units import Unit
from tests.conftest import Kafka
from tests.integration.harness_kafka import Record, read_topic, send_all
from topics import create, declared

PARTITIONS = 2
WITHIN = 40.0
"""Seconds for anything to come true on a busy machine."""
PULSE = 0.05

Json = dict[str, Any]


class Inline:
    """Agents that compute at once: Faust's are tested with the whole process."""

    async def facts(self, unit: Unit) -> None:
        unit.run()

    async def deadlines(self, unit: Unit) -> None:
        unit.run()

    async def definitions(self, unit: Unit) -> None:
        unit.run()


class Scene:
    """Names of one test, what it publishes, and the engine that is running for it."""

    def __init__(self, kafka: Kafka, folder: Path, **settings: Any) -> None:
        self.brokers = kafka.brokers
        self.workspace = kafka.unique("ws")
        self.inputs = (kafka.unique("in-a"), kafka.unique("in-b"))
        self.group = kafka.unique("group")
        self.folder = folder
        self.more = settings
        self.engine: SegmentEngine | None = None
        self._sent = 0
        self._versions: dict[str, int] = {}

    def settings(self, **more: Any) -> Settings:
        chosen: dict[str, Any] = {
            "brokers": self.brokers,
            "group": self.group,
            "data_dir": self.folder,
            "input_topics": self.inputs,
            "partitions": PARTITIONS,
            "clock": "events",
            "grace": 0,
            "worker_id": "one",
            "segment_topics": False,
            "session_timeout": 6_000,
            **self.more,
            **more,
        }
        return Settings(**chosen)

    async def prepare(self) -> None:
        """Makes the topics."""
        await create(self.brokers, declared(self.group, self.inputs), partitions=PARTITIONS)

    async def define(self, segment: str, when: Json, **more: Any) -> None:
        """Publishes a definition of this test's workspace."""
        document = {"segment": segment, "name": segment, "description": segment, "workspace": self.workspace}
        self._versions[segment] = version = self._versions.get(segment, 0) + 1
        value = {
            "workspace": self.workspace,
            "segment": segment,
            "version": version,
            "state": "active",
            "definition": canonical(read_segment({**document, "when": when, **more})),
        }
        key = f"{self.workspace}/{segment}".encode()
        await asyncio.to_thread(send_all, self.brokers, [("segments.definitions", key, orjson.dumps(value))])

    def event(self, contact: str, kind: str = "click", at: int | None = None, **more: Any) -> tuple[bytes, bytes]:
        """Key and value of an event of this test's workspace; `at` in milliseconds, default now."""
        self._sent += 1
        value = {
            "id": f"{self.workspace}-{self._sent}",
            "type": kind,
            "contact": contact,
            "workspace": self.workspace,
            "at": format_instant(wall() if at is None else at),
            "properties": {},
            **more,
        }
        return self.key(contact), orjson.dumps(value)

    def key(self, contact: str) -> bytes:
        return f"{self.workspace}/{contact}".encode()

    def contact_in(self, number: int, besides: int = 0) -> str:
        """The name of a contact whose place is this partition number; others with another `besides`."""
        fitting = (n for n in range(10_000) if partition_of(self.key(f"c{n}"), PARTITIONS) == number)
        return next(f"c{n}" for place, n in enumerate(fitting) if place == besides)

    async def send(self, *events: tuple[bytes, bytes], topic: int = 0) -> None:
        """Publishes keys and values to one of the inputs."""
        await asyncio.to_thread(send_all, self.brokers, [(self.inputs[topic], key, value) for key, value in events])

    async def start(self, **more: Any) -> SegmentEngine:
        """Starts an engine and waits until it is ready."""
        settings = self.settings(**more)
        engine = SegmentEngine(settings, await look(settings), Inline())
        await engine.start()
        self.engine = engine
        await until(lambda: engine.ready()[0], "the engine is ready", engine)
        return engine

    async def stop(self) -> None:
        if self.engine is not None:
            engine, self.engine = self.engine, None
            await engine.stop()

    async def kill(self) -> None:
        """Ends the engine without a chance to finish anything, as far as that is possible within one process."""
        engine, self.engine = self.engine, None
        assert engine is not None
        for task in [*engine._running.values(), *engine._tasks]:
            task.cancel()
        await asyncio.sleep(0)
        await engine.stop()

    async def restart(self, **more: Any) -> SegmentEngine:
        await self.stop()
        return await self.start(**more)

    async def read(self, topic: str) -> list[Record]:
        return await asyncio.to_thread(read_topic, self.brokers, topic)

    async def transitions(self) -> list[Json]:
        """This test's transitions, partition by partition."""
        return await self.transitions_of(self.workspace)

    async def transitions_of(self, workspace: str) -> list[Json]:
        """Those of another workspace that this test uses."""
        found = await self.read("segments.transitions")
        return [v for r in found if r.value is not None and (v := orjson.loads(r.value))["workspace"] == workspace]

    async def letters(self) -> list[Record]:
        """The dead letters of this test's inputs."""
        names = {topic.encode() for topic in self.inputs}
        return [r for r in await self.read("events.dead-letter") if r.headers.get("origin-topic") in names]

    async def seen(self, count: int) -> list[Json]:
        """Waits for so many transitions of this test and gives all there are."""
        found: list[Json] = []

        async def enough() -> bool:
            nonlocal found
            found = await self.transitions()
            return len(found) >= count

        await until_async(enough, f"{count} transitions", self.engine, lambda: found)
        return found

    async def taken(self, count: int) -> None:
        """Waits until the engine has committed so many facts since it started."""
        engine = self.engine
        assert engine is not None
        await until(lambda: counted(engine, "segment_engine_facts_total") >= count, f"{count} facts", engine)


def counted(engine: SegmentEngine, name: str, **labels: str) -> float:
    """A metric's value; 0 when it was never set."""
    return engine.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(check: Callable[[], bool], what: str, engine: SegmentEngine | None = None) -> None:
    """Polls a condition with a deadline; an engine that failed ends the wait with its error."""

    async def checked() -> bool:
        return check()

    await until_async(checked, what, engine)


async def until_async(
    check: Callable[[], Any], what: str, engine: SegmentEngine | None = None, found: Callable[[], Any] = lambda: ""
) -> None:
    failed = engine._failed if engine is not None else asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(WITHIN):
            while not await check():
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(failed), PULSE)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN:.0f} s: {what}; {found()}") from None
