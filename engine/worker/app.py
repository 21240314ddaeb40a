"""The Faust application around the engine: settings, supervision, agents, the worker process.

Faust's own consumer, producer, tables and web server are off: they are not on the durable path (DESIGN.md 8).
Micro-batches reach the agents over in-memory channels, one unit of work at a time, and the agents hand the outcome back
to the loop that waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import faust
from mode import Service

from engine.worker import logs
from engine.worker.engine import SegmentEngine
from engine.worker.preflight import Cluster
from engine.worker.settings import Settings
from engine.worker.units import Unit

CHANNEL_UNITS: Final = 1_024
"""Units waiting for an agent: each partition has at most one."""

Extra = Callable[[SegmentEngine], Service]
"""Makes a service that runs beside the engine, such as the HTTP interface."""


class Channels:
    """The agents' channels: where partition loops send their units."""

    def __init__(self, app: faust.App) -> None:
        self._facts = app.channel(maxsize=CHANNEL_UNITS)
        self._deadlines = app.channel(maxsize=CHANNEL_UNITS)
        self._definitions = app.channel(maxsize=CHANNEL_UNITS)

        @app.agent(self._facts, name="facts")
        async def take_facts(units: Any) -> None:
            async for unit in units:
                unit.run()

        @app.agent(self._deadlines, name="deadlines")
        async def fire_deadlines(units: Any) -> None:
            async for unit in units:
                unit.run()

        @app.agent(self._definitions, name="definitions")
        async def take_up_definitions(units: Any) -> None:
            async for unit in units:
                unit.run()

    async def facts(self, unit: Unit) -> None:
        await self._facts.put(cast(Any, unit))

    async def deadlines(self, unit: Unit) -> None:
        await self._deadlines.put(cast(Any, unit))

    async def definitions(self, unit: Unit) -> None:
        await self._definitions.put(cast(Any, unit))


def create_app(settings: Settings, cluster: Cluster, extras: Sequence[Extra] = ()) -> faust.App:
    """The application of one worker; `extras` are services that run beside the engine and end before it."""
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.brokers}",
        datadir=settings.data_dir / settings.group / "faust",
        autodiscover=False,
        web_enabled=False,
        web_tables_enabled=False,
        topic_disable_leader=True,
        store="memory://",
    )
    app.boot_strategy.enable_kafka_consumer = False
    app.boot_strategy.enable_kafka_producer = False
    channels = Channels(app)

    @app.service
    class Engine(Service):
        """The engine's life under Faust's supervision: a failure here ends the worker with exit code 1."""

        engine: SegmentEngine

        async def on_start(self) -> None:
            app.flow_control.resume()  # nothing else does without Faust's consumer, and agents would wait for ever
            self.engine = SegmentEngine(settings, cluster, channels)
            await self.engine.start()
            for make in extras:
                await self.add_runtime_dependency(make(self.engine))

        @Service.task
        async def _watch(self) -> None:
            await self.engine.watch()

        async def on_stop(self) -> None:
            if hasattr(self, "engine"):
                await self.engine.stop()

    return app


def run_worker(settings: Settings, cluster: Cluster, extras: Sequence[Extra] = (), *, loglevel: str = "INFO") -> None:
    """Runs a worker until a signal or a failure; ends the process: 0 after a signal, 1 after a failure."""
    (settings.data_dir / settings.group).mkdir(parents=True, exist_ok=True)
    logs.set_up(loglevel)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, cluster, extras)
    worker = faust.Worker(app, loop=loop, loglevel=loglevel, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None
    worker.execute_from_commandline()
