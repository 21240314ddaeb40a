"""Workers with real stores and no broker, for dry runs: what they hold is what a replay has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import orjson

from engine.api.app import create_app
from engine.api.peers import Peers
from engine.definitions import Definition, Segment, canonical_form
from engine.membership.placement import partition_of, split_key, wire_key
from engine.membership.replay import Replay
from engine.state.codec import Position, encode_chunk, encode_contact, encode_position
from engine.state.store import Meta, Store
from engine.worker.definitions import Definition as Known
from engine.worker.dry_run import Part, Walk
from engine.worker.engine import SegmentEngine
from engine.worker.filling import FillTurns
from engine.worker.proposal import Proposal
from engine.worker.settings import Settings
from tests.api.test_app import Wires

PARTITIONS = 4
Json = dict[str, Any]


def number_of(key: bytes) -> int:
    """The partition of a store key."""
    return partition_of(wire_key(*split_key(key)), PARTITIONS)


def stored(replay: Replay, folder: Path) -> list[Store]:
    """All that a replay knows, in a store a partition."""
    stores = [Store(folder / str(number)) for number in range(PARTITIONS)]
    for number, store in enumerate(stores):
        keys = [key for key in sorted(replay.contacts.contacts) if number_of(key) == number]
        position = Position({}, replay.partition.clock, replay.partition.plan.fingerprint)
        keep(store, replay, keys, position)
    return stores


def keep(store: Store, replay: Replay, keys: Sequence[bytes], position: Position) -> None:
    """These contacts of a replay, each with one chunk of journal."""
    states = {key: encode_contact(replay.contacts.contacts[key]) for key in keys}
    chunks = [(key + (0).to_bytes(4, "big"), encode_chunk(replay.contacts.journal(key))) for key in keys]
    store.write(states, chunks, Meta(position=encode_position(position)))


class Desk:
    """What `/plan` asks of an engine: definitions in force, and partitions with stores."""

    def __init__(self, url: str, replay: Replay, stores: Sequence[Store], numbers: Sequence[int]) -> None:
        self.url = url
        self.partitions = list(numbers)
        self.settings = Settings(brokers="nowhere:9092", partitions=PARTITIONS)
        self.owners: dict[int, str] = {}
        self.roster = SimpleNamespace(owner_of=lambda number: self.owners.get(number))
        self.walks: list[Walk] = []
        self.replay = replay
        self.turns = FillTurns()
        self._stores = stores
        plan = replay.partition.plan
        self.definitions = SimpleNamespace(plan=plan, problem="", known=self.known)

    def known(self) -> dict[tuple[str, str], Known]:
        replay = self.replay
        active = replay._active
        return {
            key: Known(
                *key, version, canonical_form(active[key]) if key in active else None,
                "paused" if key in replay._paused else "active" if key in active else "deleted",
            )
            for key, version in replay._versions.items()
        }  # fmt: skip

    def dry_walk(self, proposal: Proposal, sample: int) -> Walk:
        core = self.replay.partition
        parts = [
            Part(number, self._stores[number], core.plan, core.filled, core.changed_at, 10)
            for number in self.partitions
        ]
        self.walks.append(Walk(parts, proposal, self.settings, self.turns, sample))
        return self.walks[-1]


class Desks:
    """Workers w0, w1 … of one group over the stores of one replay."""

    def __init__(self, replay: Replay, folder: Path, *owned: list[int]) -> None:
        self.replay = replay
        self.stores = stored(replay, folder)
        self.wires = Wires()
        self.workers = [Desk(f"http://w{place}", replay, self.stores, numbers) for place, numbers in enumerate(owned)]
        owners = {number: each.url for each in self.workers for number in each.partitions}
        for place, worker in enumerate(self.workers):
            worker.owners = owners
            engine = cast(SegmentEngine, worker)
            self.wires.apps[f"w{place}"] = httpx.ASGITransport(create_app(engine, Peers(engine, self.wires)))
        self.client = httpx.AsyncClient(transport=self.wires)

    def close(self) -> None:
        for store in self.stores:
            store.close()

    async def ask(self, question: Any, worker: int = 0, own: bool = False) -> tuple[int, list[Json]]:
        """Status, and the lines of the answer."""
        content = question if isinstance(question, bytes) else orjson.dumps(question)
        answer = await self.client.post(
            f"http://w{worker}/plan", content=content, params={"own": "true"} if own else None
        )
        return answer.status_code, [orjson.loads(line) for line in answer.content.split(b"\n") if line]

    async def plan(self, *applied: Definition, worker: int = 0, **more: Any) -> Json:
        """The plan of a change; the last line of the answer."""
        question = {"apply": [canonical_form(each) for each in applied], **more}
        status, lines = await self.ask(question, worker)
        assert status == 200, lines
        found: Json = lines[-1]["plan"]
        return found


def segments_of(plan: Json) -> dict[str, Json]:
    """The plan's rows by id."""
    return {each["segment"]: each for each in plan["segments"]}


def place(segment: Segment | str) -> Json:
    """A key as a question holds it."""
    return {"workspace": "default", "segment": segment if isinstance(segment, str) else segment.segment}


async def until(check: Callable[[], bool], within: float = 10.0) -> None:
    """Comes back when something is so. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            if check():
                return
            await asyncio.sleep(0)


async def turns(ticks: list[int]) -> None:
    """Counts how often the event loop comes round, until cancelled."""
    while True:
        ticks[0] += 1
        await asyncio.sleep(0)
