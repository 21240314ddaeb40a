"""Topics of single segments on a real Kafka: made, fed to the last exit, kept for a while, deleted, made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local_broker import LocalBroker
from engine.conditions.instants import format_instant
from engine.worker import fanout as copying
from engine.worker import retirement as retiring
from engine.worker.clients import partition_counts
from engine.worker.clock import wall
from engine.worker.engine import SegmentEngine
from engine.worker.fanout import Fanout
from engine.worker.retirement import Retirement
from tests.conftest import Kafka
from tests.integration.harness_kafka import create_topics, send_all, topic_names
from tests.worker.scene import Scene, until_async

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000
CLICKED = {"did": {"event": "click"}}


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(retiring, "LOOK_SECONDS", 3_600.0)  # the tests look
    monkeypatch.setattr(retiring, "SETTLE_MILLIS", 0)
    made = Scene(kafka, tmp_path, segment_topics=True, segment_topic_retention=0)
    await made.prepare()
    await made.define("clicked", CLICKED)
    yield made
    await made.stop()


def topic_of(scene: Scene, segment: str = "clicked") -> str:
    return f"segments.{scene.workspace}.{segment}"


async def delete(scene: Scene, segment: str = "clicked") -> None:
    scene._versions[segment] += 1
    value = {
        "workspace": scene.workspace,
        "segment": segment,
        "version": scene._versions[segment],
        "state": "deleted",
        "at": format_instant(wall()),
    }
    key = f"{scene.workspace}/{segment}".encode()
    await asyncio.to_thread(send_all, scene.brokers, [("segments.definitions", key, orjson.dumps(value))])


async def look(scene: Scene, **settings: Any) -> list[str]:
    """What one look deletes of this test's topics."""
    engine = scene.engine
    assert engine is not None
    assert engine.fanout is not None
    gone = await Retirement(
        scene.settings(**settings), engine.fanout, "segments.transitions", engine.definitions
    ).look()  # fmt: skip
    return [each for each in gone if scene.workspace in each]


async def there(scene: Scene, segment: str = "clicked") -> bool:
    return topic_of(scene, segment) in await asyncio.to_thread(topic_names, scene.brokers)


async def copied(scene: Scene, *told: str) -> None:
    """Waits until the segment's topic holds just these changes and contacts."""
    found: list[str] = []

    async def all_of_them() -> bool:
        nonlocal found
        records = [orjson.loads(each.value) for each in await scene.read(topic_of(scene)) if each.value]
        found = sorted(f"{each['change']} {each['contact']}" for each in records)
        return len(found) >= len(told)

    await until_async(all_of_them, f"{told} copied", scene.engine, lambda: found)
    assert found == sorted(told)


async def enter(scene: Scene, *contacts: str) -> None:
    await scene.send(*(scene.event(contact, at=NOON) for contact in contacts))
    await copied(scene, *(f"enter {each}" for each in contacts))


async def gone_within(scene: Scene) -> None:
    """Waits until some look has deleted the topic."""

    async def deleted() -> bool:
        return topic_of(scene) in await look(scene)

    await until_async(deleted, "the topic deleted", scene.engine)
    assert not await there(scene)


async def test_the_topic_of_a_deleted_segment_gets_its_exits_and_goes(scene: Scene) -> None:
    await scene.start()
    await enter(scene, "a", "b")
    assert await look(scene) == []
    await delete(scene)
    await copied(scene, "enter a", "enter b", "exit a", "exit b")
    assert await look(scene, segment_topic_retention=60_000) == []  # readable for so long after the last of them
    await gone_within(scene)


async def test_nothing_goes_that_is_left_to_copy_also_by_another_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await scene.start()
    await enter(scene, "a", "b")
    going = Fanout._copy

    async def still(_: Fanout) -> None:
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Fanout, "_copy", still)
    await asyncio.sleep(1.0)  # a read that was under way ends
    await delete(scene)
    await scene.seen(4)
    await settled(engine)
    assert await look(scene) == []
    assert await there(scene)
    monkeypatch.setattr(Fanout, "_copy", going)
    await copied(scene, "enter a", "enter b", "exit a", "exit b")
    await gone_within(scene)


async def test_nothing_goes_before_every_partition_is_filled(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await scene.start()
    quick, slow = scene.contact_in(0), scene.contact_in(1)
    await enter(scene, quick, slow)
    loop = engine._loops[1]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_turn", stands)  # a partition that does not take the deletion up
        await asyncio.sleep(0.5)
        await delete(scene)
        await copied(scene, f"enter {quick}", f"enter {slow}", f"exit {quick}")
        for _ in range(3):
            assert await look(scene) == []
    loop.lane.wake.set()
    await copied(scene, *(f"{change} {each}" for change in ("enter", "exit") for each in (quick, slow)))
    await gone_within(scene)


async def stands() -> bool:
    await asyncio.sleep(0.05)
    return False


async def settled(engine: SegmentEngine) -> None:
    """Waits until every partition has committed what it took up."""

    async def all_of_them() -> bool:
        plan = engine.definitions.plan.fingerprint
        return all(each._position.plan == plan and each._position.filled is None for each in engine._loops.values())

    await until_async(all_of_them, "every partition under the definitions", engine)


async def test_a_segment_applied_anew_keeps_or_gets_its_topic(scene: Scene) -> None:
    engine = await scene.start()
    await enter(scene, "a")
    await delete(scene)
    await copied(scene, "enter a", "exit a")
    await scene.define("clicked", CLICKED)
    await copied(scene, "enter a", "exit a", "enter a")
    assert await look(scene) == []
    assert await there(scene)

    await delete(scene)
    await copied(scene, "enter a", "exit a", "enter a", "exit a")
    await gone_within(scene)
    await scene.define("clicked", CLICKED)
    await copied_again(scene, engine)


async def copied_again(scene: Scene, engine: SegmentEngine) -> None:
    """Waits for the topic that is made anew, and holds just what came after."""
    await until_async(lambda: there(scene), "the topic made again", engine)
    await copied(scene, "enter a")


async def test_a_topic_that_is_missing_is_made_without_any_transition(scene: Scene) -> None:
    engine = await scene.start()
    await scene.define("never", {"did": {"event": "never"}})
    await until_async(lambda: defined(scene, engine, "never"), "the definition read", engine)
    assert not await there(scene, "never")
    await look(scene)
    assert await there(scene, "never")


async def defined(scene: Scene, engine: SegmentEngine, segment: str) -> bool:
    return engine.definitions.segment(scene.workspace, segment) is not None


async def test_switched_off_it_goes_and_what_was_published_before_is_copied(scene: Scene) -> None:
    engine = await scene.start()
    await enter(scene, "a")
    await scene.define("clicked", CLICKED, topic=False)
    await settled(engine)
    await scene.send(scene.event("b", at=NOON))
    await scene.seen(2)
    assert [each["change"] for each in await scene.transitions()] == ["enter", "enter"]
    await copied(scene, "enter a")
    await gone_within(scene)


async def test_topics_of_others_are_left_alone(scene: Scene, kafka: Kafka) -> None:
    foreign = f"segments.{kafka.unique('other')}.topic"
    await asyncio.to_thread(create_topics, scene.brokers, [foreign], 1)
    await scene.start()
    await look(scene)
    assert foreign in await asyncio.to_thread(topic_names, scene.brokers)


async def test_it_goes_though_the_worker_was_away_meanwhile(scene: Scene) -> None:
    await scene.start()
    await enter(scene, "a", "b")
    await delete(scene)
    await scene.kill()
    await scene.start()
    await copied(scene, "enter a", "enter b", "exit a", "exit b")
    await gone_within(scene)


@pytest.fixture(scope="module")
def making(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that makes each topic that somebody asks for by name, as Kafka does unless it is told not to."""
    more = {"auto.create.topics.enable": "true"}
    with LocalBroker(tmp_path_factory.mktemp("making"), more=more) as broker:
        yield Kafka(broker.brokers, broker)


@pytest.mark.parametrize("here", [True, False], ids=["deleted-here", "deleted-by-another-worker"])
async def test_a_deleted_topic_stays_away_where_kafka_makes_topics_by_itself(
    making: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr(retiring, "LOOK_SECONDS", 3_600.0)
    monkeypatch.setattr(retiring, "SETTLE_MILLIS", 0)
    scene = Scene(making, tmp_path, segment_topics=True, segment_topic_retention=0)
    await scene.prepare()
    await scene.define("clicked", CLICKED)
    await scene.define("kept", CLICKED)
    try:
        engine = await scene.start()
        await enter(scene, "a", "b")
        await delete(scene)
        await copied(scene, "enter a", "enter b", "exit a", "exit b")
        with monkeypatch.context() as patch:
            if not here:  # this worker hears of the definition alone, and long before
                await asyncio.sleep(copying.LET_GO_SECONDS + 1.0)
                patch.setattr(Fanout, "forget", lambda *_: None)
            await gone_within(scene)
        assert engine.fanout is not None
        assert engine.fanout._producers
        for _ in range(3):  # what each does by itself every five minutes, and after a lost connection
            await asyncio.gather(*(each.client.force_metadata_update() for each in engine.fanout._producers.values()))
            await asyncio.sleep(0.3)
        assert await partition_counts(scene.settings(), [topic_of(scene)]) == {}
        assert not await there(scene)
        assert await there(scene, "kept")

        await scene.send(scene.event("c", at=NOON))
        await scene.define("clicked", CLICKED)
        await until_async(lambda: there(scene), "the topic made again", engine)
        await copied(scene, "enter a", "enter b", "enter c")
        found = await partition_counts(scene.settings(), [topic_of(scene)])
        assert found == {topic_of(scene): scene.settings().segment_topic_partitions}  # and not as Kafka would
    finally:
        await scene.stop()


async def test_asking_for_a_topic_does_not_make_it(making: Kafka, tmp_path: Path) -> None:
    scene = Scene(making, tmp_path)
    for _ in range(2):
        assert await partition_counts(scene.settings(), [topic_of(scene)]) == {}
    await asyncio.sleep(0.5)
    assert not await there(scene)
