"""The fan-out to the topics of segments goes on whatever its group does: each transition is copied, each once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from engine.worker.clients import transactional_producer
from engine.worker.engine import SegmentEngine
from engine.worker.fanout import Fanout
from tests.conftest import Kafka
from tests.worker.scene import PARTITIONS, Json, Scene, until, until_async

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path, segment_topics=True)
    await made.prepare()
    await made.define("clicked", {"did": {"event": "click"}})
    yield made
    await made.stop()


def fanout_of(engine: SegmentEngine) -> Fanout:
    assert engine.fanout is not None
    return engine.fanout


async def send(scene: Scene, *contacts: str) -> None:
    await scene.send(*(scene.event(contact, at=NOON) for contact in contacts))


async def copied(scene: Scene, contacts: list[str]) -> None:
    """Waits until there are as many copies as contacts, and holds them against these."""
    found: list[Json] = []

    async def enough() -> bool:
        nonlocal found
        found = [orjson.loads(r.value) for r in await scene.read(f"segments.{scene.workspace}.clicked") if r.value]
        return len(found) >= len(contacts)

    await until_async(enough, "every transition copied", scene.engine, lambda: found)
    assert sorted(each["contact"] for each in found) == sorted(contacts)


async def test_nothing_is_opened_between_a_revocation_and_the_next_assignment(scene: Scene) -> None:
    """The consumer still tells the assignment before; a producer opened for it would keep the partition paused."""
    fanout = fanout_of(await scene.start())
    await send(scene, "a", "b")
    await copied(scene, ["a", "b"])
    had = fanout._consumer.assignment()
    assert len(had) == PARTITIONS
    await fanout.on_partitions_revoked(had)
    await fanout._open()
    await fanout.on_partitions_assigned(had)
    await send(scene, "c", "d", "e", "f")
    await copied(scene, list("abcdef"))


async def test_a_fan_out_that_was_taken_over_asks_the_group_again(scene: Scene) -> None:
    engine = await scene.start()
    await send(scene, "a", "b", "c", "d")
    await copied(scene, list("abcd"))
    for number in range(PARTITIONS):
        other = transactional_producer(scene.settings(), f"{scene.group}-fanout-{number}")
        await other.start()  # what a new owner does first
        await other.stop()
    await send(scene, "e", "f", "g", "h")
    await copied(scene, list("abcdefgh"))
    await until(lambda: len(fanout_of(engine)._producers) == PARTITIONS, "all partitions again", engine)


async def test_rebalances_while_facts_come_lose_and_repeat_nothing(scene: Scene, tmp_path: Path) -> None:
    engine = await scene.start()
    second = Scene.__new__(Scene)
    second.__dict__.update(scene.__dict__, folder=tmp_path / "second", engine=None)
    names = [f"r{n}" for n in range(9)]
    for turn, name in enumerate(names):
        if turn == 3:
            await second.start(worker_id="two")
        if turn == 6:
            await second.stop()
        if turn % 3 == 1:
            fanout_of(engine).rejoin()
        await send(scene, name)
    await copied(scene, names)
