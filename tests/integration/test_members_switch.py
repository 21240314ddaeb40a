"""`members_topic` of a segment on a real Kafka: its members leave segments.members and come back in the fill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import Kafka
from tests.integration.harness_kafka import latest
from tests.worker.scene import Scene, until_async

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000
CLICKED = {"did": {"event": "click"}}


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path)
    await made.prepare()
    await made.define("clicked", CLICKED)
    await made.define("bought", {"did": {"event": "purchase"}})
    yield made
    await made.stop()


async def held(scene: Scene, *wanted: str) -> dict[str, str]:
    """Waits until a late joiner would find just these; the transition ids that stand there."""
    found: dict[str, str] = {}

    async def those() -> bool:
        nonlocal found
        rows = latest(await scene.read("segments.members"))
        prefix = f"{scene.workspace}/".encode()
        own = {key.removeprefix(prefix).decode(): value for key, value in rows.items() if key.startswith(prefix)}
        found = {key: orjson.loads(value)["id"] for key, value in own.items()}
        return set(found) == set(wanted)

    await until_async(those, f"{wanted} in segments.members", scene.engine, lambda: found)
    return found


async def test_switched_off_and_on_again_while_facts_come(scene: Scene) -> None:
    await scene.start()
    await scene.send(*(scene.event(each, at=NOON) for each in "abc"), scene.event("a", "purchase", at=NOON))
    before = await held(scene, "clicked/a", "clicked/b", "clicked/c", "bought/a")

    await scene.define("clicked", CLICKED, members_topic=False)
    await held(scene, "bought/a")
    await scene.send(scene.event("d", at=NOON), scene.event("d", "purchase", at=NOON))
    await held(scene, "bought/a", "bought/d")

    await scene.define("clicked", CLICKED)
    everyone = [f"clicked/{each}" for each in "abcd"]
    after = await held(scene, *everyone, "bought/a", "bought/d")
    assert {key: after[key] for key in before} == before  # the enters that they had, under the ids that they had
    assert after["clicked/d"] in {each["id"] for each in await scene.transitions()}
    assert len(await scene.transitions()) == 6  # nothing was published for it


async def test_switched_while_the_worker_was_away(scene: Scene) -> None:
    await scene.start()
    await scene.send(*(scene.event(each, at=NOON) for each in "ab"))
    await held(scene, "clicked/a", "clicked/b")
    await scene.kill()
    await scene.define("clicked", CLICKED, members_topic=False)
    await scene.start()
    await held(scene)
    await scene.kill()
    await scene.define("clicked", CLICKED)
    await scene.start()
    await held(scene, "clicked/a", "clicked/b")


async def test_with_the_switch_of_the_worker_off_nothing_is_written(scene: Scene) -> None:
    await scene.start(members_topic=False)
    await scene.send(scene.event("a", at=NOON))
    await scene.seen(1)
    await scene.define("clicked", CLICKED, members_topic=False)
    await scene.define("clicked", CLICKED)
    await scene.send(scene.event("b", at=NOON))
    await scene.seen(2)
    assert await held(scene) == {}
