"""The life of a segment on a running engine: edited, paused, resumed, brought back, deleted; only differences show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.definitions import Definition, read_definition
from engine.worker import definition_log
from engine.worker.definition_log import Applied, Change
from tests.conftest import Kafka
from tests.worker.scene import Json, Scene, until

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path)
    await made.prepare()
    yield made
    await made.stop()


def buyers(scene: Scene, at_least: int) -> Definition:
    rule = {"did": {"event": "purchase", "count": {"gte": at_least}}}
    return read_definition({"segment": "buyers", "workspace": scene.workspace, "when": rule})


def again(scene: Scene) -> Definition:
    return read_definition({"segment": "again", "workspace": scene.workspace, "when": {"in_segment": "buyers"}})


async def buy(scene: Scene, contact: str, times: int) -> None:
    await scene.send(*(scene.event(contact, "purchase", NOON) for _ in range(times)))


def brief(found: list[Json], segment: str = "buyers") -> list[tuple[str, str, str, int, int]]:
    """Each transition of a segment, by contact and sequence: with cause and version."""
    rows = [(t["contact"], t["change"], t["cause"]["kind"], t["version"], t["sequence"]) for t in found
            if t["segment"] == segment]  # fmt: skip
    return sorted(rows, key=lambda row: (row[0], row[4]))


def of_version(found: list[Json], version: int) -> list[tuple[str, str, str, int, int]]:
    return [row for row in brief(found) if row[3] == version]


async def made(scene: Scene, *applied: Applied) -> None:
    """Waits until every partition is under a change and all its contacts are."""
    engine, offsets = scene.engine, [each.offset for each in applied if each.offset is not None]
    assert engine is not None
    assert offsets
    await until(
        lambda: all(row["running"] and not row["filling"] and row["read_to"] > max(offsets) for row in engine.fills()),
        "the change is taken up",
        engine,
    )


async def test_r44_only_differences_show_from_the_first_version_to_the_last(scene: Scene) -> None:
    settings, key = scene.settings(), (scene.workspace, "buyers")
    await definition_log.apply(settings, [buyers(scene, 1), again(scene)])
    await scene.start()
    await buy(scene, "once", 1)
    await buy(scene, "twice", 2)
    entered = [("once", "enter", "event", 1, 1), ("twice", "enter", "event", 1, 1)]
    assert brief(await scene.seen(4)) == entered

    await made(scene, *await definition_log.apply(settings, [buyers(scene, 2)]))
    found = await scene.seen(6)
    assert brief(found) == [entered[0], ("once", "exit", "definition", 2, 2), entered[1]]
    assert brief(found, "again")[1] == ("once", "exit", "definition", 1, 2)  # R51: who nests it follows, unchanged

    # Paused: nobody enters, new versions wait, and what nests it sees it as it stands.
    await made(scene, *await definition_log.change(settings, Change(pause=[key])))
    await made(scene, *await definition_log.apply(settings, [buyers(scene, 1)]))
    await buy(scene, "thrice", 3)
    await scene.taken(6)
    assert len(await scene.transitions()) == 6

    await made(scene, *await definition_log.change(settings, Change(resume=[key])))
    assert of_version(await scene.seen(10), 5) == [
        ("once", "enter", "definition", 5, 3),
        ("thrice", "enter", "definition", 5, 1),
    ]

    await made(scene, await definition_log.restore(settings, key, 2))
    assert of_version(await scene.seen(12), 6) == [("once", "exit", "definition", 6, 4)]

    await made(scene, *await definition_log.change(settings, Change(delete=[key, (scene.workspace, "again")])))
    assert of_version(await scene.seen(16), 7) == [
        ("thrice", "exit", "definition", 7, 2),
        ("twice", "exit", "definition", 7, 2),
    ]

    await made(scene, *await definition_log.apply(settings, [buyers(scene, 3)]))
    found = await scene.seen(17)
    assert [(contact, change, number) for contact, change, _, _, number in of_version(found, 8)] == [
        ("thrice", "enter", 3)
    ]
    assert len(found) == 17
    for contact in ("once", "twice", "thrice"):
        mine = [row for row in brief(found) if row[0] == contact]
        assert [number for *_, number in mine] == list(range(1, len(mine) + 1))
        assert [change for _, change, *_ in mine] == (["enter", "exit"] * len(mine))[: len(mine)]


async def test_r51_a_segment_nested_in_others_moves_them_with_it(scene: Scene) -> None:
    settings = scene.settings()
    bought: Json = {"all": [{"in_segment": "buyers"}, {"not": {"in_segment": "vip"}}]}
    rules: dict[str, Json] = {
        "vip": {"tags": {"any": "vip"}},
        "woo": {"any": [bought, {"profile": {"woo": True}}]},
        "letter": {"all": [{"in_segment": "woo"}, {"did": {"event": "click", "count": {"eq": 0}}}]},
    }
    others = [
        read_definition({"segment": name, "workspace": scene.workspace, "when": rule}) for name, rule in rules.items()
    ]
    await definition_log.apply(settings, [buyers(scene, 2), *others])
    await scene.start()
    await buy(scene, "anna", 2)
    await buy(scene, "boris", 1)
    entered = await scene.seen(3)
    assert [each["segment"] for each in entered] == ["buyers", "woo", "letter"]  # each after those that it nests
    assert len({(each["at"], each["cause"]["event_id"]) for each in entered}) == 1

    await scene.send(scene.event("anna", "tags_added", NOON + 1, properties={"tags": ["vip"]}))
    changes = [(each["change"], each["segment"]) for each in (await scene.seen(6))[3:]]
    assert changes == [("exit", "woo"), ("exit", "letter"), ("enter", "vip")]

    await made(scene, *await definition_log.apply(settings, [buyers(scene, 1)]))
    found = [each for each in await scene.seen(9) if each["contact"] == "boris"]
    assert [each["segment"] for each in found] == ["buyers", "woo", "letter"]
    assert {each["cause"]["kind"] for each in found} == {"definition"}

    with pytest.raises(definition_log.DefinitionLogError, match="is used by"):
        await definition_log.change(settings, Change(delete=[(scene.workspace, "woo")]))


async def test_what_is_paused_stays_so_after_a_restart_and_lets_the_opted_out_go(scene: Scene) -> None:
    settings, key = scene.settings(), (scene.workspace, "buyers")
    await definition_log.apply(settings, [buyers(scene, 1)])
    await scene.start()
    await buy(scene, "in", 1)
    await scene.seen(1)
    await made(scene, *await definition_log.change(settings, Change(pause=[key])))
    await scene.restart()
    await buy(scene, "late", 1)
    await scene.send(scene.event("in", "opt_out", NOON + 1))
    await scene.taken(2)
    gone = [("in", "enter", "event", 1, 1), ("in", "exit", "opt_out", 2, 2)]
    assert brief(await scene.seen(2)) == gone
    await made(scene, *await definition_log.change(settings, Change(resume=[key])))
    assert brief(await scene.seen(3)) == [*gone, ("late", "enter", "definition", 3, 1)]
