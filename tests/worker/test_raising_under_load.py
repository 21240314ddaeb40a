"""A core that raises on one contact while facts never stop coming: deadlines, fills and facts all go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from engine.conditions.instants import format_instant
from engine.definitions.reading import read_segment
from engine.membership import partition as core_module
from engine.membership import step
from engine.membership.facts import read_fact
from engine.membership.placement import store_key
from engine.membership.plan import Plan, compile_plan
from engine.state.contacts import Memory
from engine.state.store import Store
from engine.worker.commit import Changes, Committed
from engine.worker.filling import FillTurns
from engine.worker.intake import Lane
from engine.worker.metrics import Metrics
from engine.worker.partition import PartitionLoop
from engine.worker.settings import Settings
from tests.worker.scene import Inline
from tests.worker.test_poison_records import Record

TOPIC = "events.clicks"
BEGAN = 1_700_000_000_000
TURNS = 60


class Commits:
    """Takes what is committed, at once."""

    def __init__(self) -> None:
        self.published: list[Any] = []

    async def commit(self, changes: Changes, offsets: dict[str, int], identity: bytes | None) -> Committed:
        self.published += [orjson.loads(value or b"") for _, value, _ in changes.transitions]
        return Committed(1, None, 0.0)

    def changed(self, segment: str, change: str) -> list[str]:
        return sorted(t["contact"] for t in self.published if (t["segment"], t["change"]) == (segment, change))


def plan_of(*conditions: str) -> Plan:
    """Of segments that are named after the event that they ask for within a second, or ever: `name` or `name!`."""
    found = []
    for event in conditions:
        within = {} if event.endswith("!") else {"within": "PT1S"}
        name = event.rstrip("!")
        document = {"segment": name, "name": name, "description": name, "when": {"did": {"event": name, **within}}}
        found.append((read_segment(document), 1))
    return compile_plan(found)


class Running:
    """A partition's loop over a store, without Kafka: turns are taken by hand."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.commits = Commits()
        self.lane = Lane(0, (TOPIC,))
        self.lane.inbox.seek({TOPIC: 0})
        self._sent = 0
        shared = SimpleNamespace(
            settings=Settings(clock="events", grace=0, partitions=1),
            intake=SimpleNamespace(lane=lambda _: self.lane, room=lambda: None),
            committer=lambda _: self.commits,
            agents=Inline(),
            plan=lambda: self.plan,
            memory=Memory(1 << 24),
            metrics=Metrics(),
            turns=FillTurns(share=1.0),
            forwarding="events.forwarded",
            letter_bytes=1 << 20,
            committed=lambda: None,
        )
        self.loop = PartitionLoop(cast(Any, shared), 0)
        self.loop.store = Store(folder)

    def send(self, contact: str, event: str, at: int) -> None:
        """One fact, `at` in ms after the beginning; nothing is behind it on the broker."""
        value = {"id": str(self._sent), "type": event, "contact": contact, "at": format_instant(BEGAN + at)}
        record = Record(self._sent, orjson.dumps(value), contact.encode())
        fact = read_fact(record.value or b"", arrival=BEGAN + at, fallback_id="", skew=0, max_bytes=1 << 20)
        self.lane.inbox.by_topic[TOPIC].add([fact], [record], 100)
        self.lane.inbox.by_topic[TOPIC].stable = self._sent = self._sent + 1


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    found = Running(tmp_path / "0", plan_of("click"))
    await found.loop._build()
    yield found
    assert found.loop.store is not None
    found.loop.core = found.loop._filling = None
    found.loop.store.close()


async def test_a_fill_passes_a_contact_that_the_core_raises_on_however_many_facts_come(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        running.send(f"c{number:03}", "order", number)
    await running.loop._turn()
    real = step.take_up_plan

    def fragile(plan: Any, filled: Any, contact: Any, key: bytes, *rest: Any) -> None:
        real(plan, filled, contact, key, *rest)
        if key == store_key("default", "c150"):
            raise RuntimeError("poison")

    monkeypatch.setattr(core_module, "take_up_plan", fragile)
    running.plan = plan_of("click", "order!")
    for number in range(TURNS):
        running.send("busy", "view", 1_000 + number)
        await running.loop._turn()
    assert not running.loop.filling
    assert len(running.commits.changed("order", "enter")) == 199


async def test_deadlines_fire_while_what_was_raised_on_is_looked_for_and_facts_never_stop(running: Running) -> None:
    for name in ("a", "b"):
        running.send(name, "click", 0)
    await running.loop._turn()
    running.loop._careful = 10_000
    for number in range(TURNS):
        running.send("busy", "view", 900 + 10 * number)
        await running.loop._turn()
    assert running.commits.changed("click", "exit") == ["a", "b"]
    assert running.loop._careful < 10_000 - TURNS // 3


async def test_a_deadline_that_was_raised_on_takes_no_durable_clock_back(running: Running) -> None:
    running.send("a", "view", 5_000)
    await running.loop._turn()
    assert running.loop._position.clock == BEGAN + 5_000
    assert running.loop.core is not None
    running.loop.core.arm(store_key("default", "a"), BEGAN)  # as a restart does with one that was passed over
    running.loop._careful = 10
    running.send("busy", "view", 6_000)
    await running.loop._turn()
    assert running.loop._position.clock >= BEGAN + 5_000
