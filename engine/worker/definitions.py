"""The definitions in force: read wholly before the first partition starts, followed from then on (DESIGN.md 5).

A change is compiled into a plan once for the worker; each partition takes it up in its own loop. A definition that
cannot be understood leaves the plan as it was and is told loudly: what the engine can't run exactly, it refuses.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from engine.definitions.document import Segment
from engine.definitions.model import Model, is_model
from engine.definitions.reading import read_definition
from engine.membership.plan import Plan, compile_plan
from engine.worker.clients import close_quietly, reader
from engine.worker.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 500
FOLLOW_MS: Final = 20
"""Between two looks for the rest of a change that is committed: its records come in one fetch or a few."""
RETRY_SECONDS: Final = 1.0
START_SECONDS: Final = 60.0
"""Longest time to read all definitions at start: ten thousand of them take a second or two."""


class DefinitionsUnusable(Exception):
    """What is in force cannot be run by this engine. The text is one paragraph that says what to do."""


class Definition(msgspec.Struct):
    """One record of `segments.definitions`; the document in canonical form under `definition`, `state` active, paused
    or deleted, since `at` (RFC 3339).

    `segment` is the second part of the key: a segment's id, or a model's with `model:` before it.
    """

    workspace: str
    segment: str
    version: int
    definition: dict[str, Any] | None = None
    state: str = "active"
    at: str = ""

    @property
    def in_force(self) -> bool:
        """Whether there is such a definition, active or paused."""
        return self.state != "deleted" and self.definition is not None

    @property
    def has_topic(self) -> bool:
        """Whether there is such a segment, and it has a topic of its own."""
        key = self.workspace, self.segment
        return self.in_force and not is_model(key) and (self.definition or {}).get("topic") is not False


_decode = msgspec.json.Decoder(Definition).decode


class Definitions:
    """Follows the definitions topic and keeps the plan of them all."""

    def __init__(self, settings: Settings, topic: str, changed: Callable[[], None]) -> None:
        """`changed` is called when there is a new plan."""
        self._settings = settings
        self._tp = TopicPartition(topic, 0)
        self._changed = changed
        self._reader = reader(settings, "definitions")
        self._known: dict[tuple[str, str], Definition] = {}
        self._read_to = 0
        self._offsets: dict[tuple[str, str], int] = {}
        self._active: dict[tuple[str, str], Segment] = {}
        self._unreadable: dict[tuple[str, str], str] = {}
        """What is wrong with the newest records that are no definitions; while there are any, the plan stays."""
        self.plan: Plan = compile_plan([])
        self.problem = ""
        """Why the newest definitions are not in force; empty when they are."""

    async def start(self) -> None:
        """Reads everything there is and compiles it. Raises KafkaError, TimeoutError, DefinitionsUnusable."""
        await self._reader.start()
        self._reader.assign([self._tp])
        await self._reader.seek_to_beginning(self._tp)
        await self._read_to_end()
        self._compile()
        if self.problem:  # there is no plan before: running without it would let every member leave
            raise DefinitionsUnusable(
                f"The worker does not start: {self.problem}. Put a definition that this engine understands in force "
                "(segment-engine segments apply), or run the version of the engine that it was written for"
            )
        log.info("Definitions read: %d segments in force", len(self._active))

    async def run(self) -> None:
        """Follows the topic until cancelled. Raises KafkaError when the broker refuses for good."""
        taken = False
        while True:
            try:
                found = await self._reader.getmany(self._tp, timeout_ms=POLL_MS)
                if found:
                    taken = True
                    self._take(found[self._tp])
                if not taken:
                    continue
                await self._read_to_end()
            except (KafkaError, TimeoutError) as error:
                if not getattr(error, "retriable", True):
                    raise
                # What was taken is compiled once the broker is back: half a change is another plan.
                log.warning("The definitions cannot be read: %r; those before stay in force", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            taken, before = False, self.plan
            # Thousands of definitions take seconds: facts go on meanwhile.
            await asyncio.to_thread(self._compile)
            if self.plan is not before:
                log.info("Definitions changed: %d segments in force", len(self._active))
                self._changed()

    async def stop(self) -> None:
        await close_quietly(self._reader)

    async def _read_to_end(self) -> None:
        """Takes all that is committed. A change is one transaction, so at its end none is half read.

        Raises TimeoutError after START_SECONDS.
        """
        until = time.monotonic() + START_SECONDS
        while await self._reader.position(self._tp) < (await self._reader.end_offsets([self._tp]))[self._tp]:
            if time.monotonic() > until:
                raise TimeoutError(f"the definitions were not read within {START_SECONDS:.0f} s")
            for records in (await self._reader.getmany(self._tp, timeout_ms=FOLLOW_MS)).values():
                self._take(records)

    def segment(self, workspace: str, name: str) -> Segment | None:
        """The active definition of a segment."""
        return self._active.get((workspace, name))

    def segments(self) -> list[tuple[Segment, int]]:
        """The segments in force, active and paused, with their versions."""
        return [(segment, self._known[key].version) for key, segment in self._active.items()]

    def state(self, workspace: str, name: str) -> str:
        """`active` or `paused` of a segment in force, `deleted` of one that was, empty of one that never was."""
        known = self._known.get((workspace, name))
        return "" if known is None else known.state

    def record(self, key: tuple[str, str]) -> Definition | None:
        """The newest record of a definition; None where there never was any."""
        return self._known.get(key)

    def offset(self, key: tuple[str, str]) -> int:
        """Where in the topic that record is; -1 where there is none."""
        return self._offsets.get(key, -1)

    def known(self) -> dict[tuple[str, str], Definition]:
        """The newest record of every definition that ever was, as far as the topic was read."""
        return {key: copy(each) for key, each in self._known.items()}

    def _take(self, records: list[Any]) -> None:
        for record in records:
            self._read_to = record.offset + 1
            workspace, _, name = (record.key or b"").decode(errors="replace").partition("/")
            self._offsets[workspace, name] = record.offset
            if record.value is None:
                known = self._known.get((workspace, name))
                if known is not None:
                    known.state, known.definition = "deleted", None
                self._unreadable.pop((workspace, name), None)
                continue
            try:
                found = _decode(record.value)
            except msgspec.DecodeError as error:
                log.error("Definition %s/%s at offset %d is unreadable: %s", workspace, name, record.offset, error)
                self._unreadable[workspace, name] = f"{workspace}/{name} at offset {record.offset}: {error}"
                continue
            self._unreadable.pop((workspace, name), None)
            self._known[found.workspace, found.segment] = found

    def _compile(self) -> None:
        if self._unreadable:
            self.problem = f"the newest definitions are not in force: {'; '.join(self._unreadable.values())}"
            return
        try:
            active, plan = compiled(self._known, self._read_to, self._settings.source)
        except Exception as error:
            self.problem = f"the newest definitions are not in force: {error}"
            log.exception("The newest definitions cannot be compiled; those before stay in force")
            return
        for name, workspace in plan.workspaces.items():
            workspace.ready_for(self.plan.workspace(name))
        self.problem = ""
        self._active, self.plan = active, plan


def compiled(
    known: Mapping[tuple[str, str], Definition], read_to: int, source: Sequence[str] = ()
) -> tuple[dict[tuple[str, str], Segment], Plan]:
    """The segments in force, active and paused, and the plan of all that is known; `source` is the setting SOURCE.

    Raises DefinitionErrors, Cycle, LookupError for what cannot run.
    """
    active: dict[tuple[str, str], Segment] = {}
    models: list[Model] = []
    retired: list[tuple[str, str, int]] = []
    for key, each in known.items():
        if each.state == "deleted" or each.definition is None:
            if not is_model(key):
                retired.append((*key, each.version))
            continue
        found = read_definition(each.definition, f"{key[0]}/{key[1]}")
        if isinstance(found, Segment):
            active[key] = found
        else:
            models.append(found)
    segments = [(segment, known[key].version) for key, segment in active.items()]
    paused = [key for key in active if known[key].state == "paused"]
    return active, compile_plan(segments, retired, models, paused, read_to, source)
