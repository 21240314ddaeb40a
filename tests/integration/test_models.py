"""A model of cut points on a real Kafka: applied with a segment as one change, and then in a new version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from engine.definitions import Definition, read_definition
from engine.worker import definition_log
from tests.conftest import Kafka
from tests.integration.harness_kafka import latest
from tests.worker.scene import Json, Scene

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000
DAY = 86_400_000


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path)
    await made.prepare()
    yield made
    await made.stop()


def model(scene: Scene, frequency: list[int], recency: list[str]) -> Definition:
    cuts = {"recency": recency, "frequency": frequency, "monetary": [50, 100, 200, 500]}
    document = {"model": "shop", "workspace": scene.workspace, "event": "purchase", "amount": "amount", "cuts": cuts}
    return read_definition(document)


def segment(scene: Scene) -> Definition:
    rule = {"rfm": {"model": "shop", "recency": {"gte": 4}, "frequency": {"gte": 2}}}
    return read_definition({"segment": "good", "workspace": scene.workspace, "when": rule})


async def applied(scene: Scene, *definitions: Definition) -> list[tuple[str, str, int]]:
    found = await definition_log.apply(scene.settings(), definitions, author="anna")
    return [(each.segment, each.result, each.version) for each in found]


def brief(found: list[Json]) -> list[tuple[str, str, str, str, int]]:
    return sorted((t["contact"], t["change"], t["at"][:10], t["cause"]["kind"], t["sequence"]) for t in found)


async def test_a_model_and_then_a_new_version_of_it(scene: Scene) -> None:
    first = model(scene, [2, 3, 5, 8], ["P30D", "P60D", "P90D", "P180D"])
    assert await applied(scene, first, segment(scene)) == [("model:shop", "created", 1), ("good", "created", 1)]
    engine = await scene.start()
    purchases = [scene.event(each, "purchase", NOON) for each in ("once", "twice", "thrice")]
    purchases += [scene.event(each, "purchase", NOON + 1) for each in ("twice", "thrice")]
    purchases += [scene.event("thrice", "purchase", NOON + 2)]
    await scene.send(*purchases)
    enters = [("thrice", "enter", "2026-05-28", "event", 1), ("twice", "enter", "2026-05-28", "event", 1)]
    assert brief(await scene.seen(2)) == enters

    assert await applied(scene, first, segment(scene)) == [("model:shop", "unchanged", 1), ("good", "unchanged", 1)]
    stricter = model(scene, [3, 4, 5, 8], ["P10D", "P20D", "P90D", "P180D"])
    assert await applied(scene, stricter) == [("model:shop", "changed", 2)]
    exits = [("twice", "exit", "2026-05-28", "definition", 2)]
    assert brief(await scene.seen(3)) == sorted(enters + exits)
    assert await engine.members(scene.workspace, "good") == (["thrice"], None)

    # Time goes by the new cut points: twenty days after the last purchase the fourth point is gone.
    await scene.send(*(scene.event(scene.contact_in(number), at=NOON + 40 * DAY) for number in (0, 1)))
    gone = [("thrice", "exit", "2026-06-17", "clock", 2)]
    assert brief(await scene.seen(4)) == sorted(enters + exits + gone)

    key = f"{scene.workspace}/model:shop".encode()
    kept = [r.value for r in await scene.read("segments.definitions.history") if r.key == key]
    assert [orjson.loads(value or b"")["version"] for value in kept] == [1, 2]
    assert orjson.loads(latest(await scene.read("segments.definitions"))[key])["definition"]["model"] == "shop"


async def test_after_a_restart_the_model_is_in_force(scene: Scene) -> None:
    await applied(scene, model(scene, [2, 3, 5, 8], ["P30D", "P60D", "P90D", "P180D"]), segment(scene))
    await scene.start()
    await scene.send(scene.event("a", "purchase", NOON))
    await scene.taken(1)
    await scene.restart()
    await scene.send(scene.event("a", "purchase", NOON + 1))
    assert brief(await scene.seen(1)) == [("a", "enter", "2026-05-28", "event", 1)]
