"""A partition that leaves its worker while its members are read: the reading ends, nothing is held up, and the next
owner gives them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from engine.state.readings import ReadingEnded
from engine.worker import snapshot
from tests.conftest import Kafka
from tests.worker.scene import Scene

pytestmark = pytest.mark.kafka


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path / "data")
    await made.prepare()
    yield made
    await made.stop()


async def test_a_partition_that_leaves_ends_its_readings_and_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SLICE", 3)
    await scene.define("clickers", {"did": {"event": "click"}})
    engine = await scene.start()
    contacts = [scene.contact_in(number, besides) for number in (0, 1) for besides in range(9)]
    await scene.send(*(scene.event(contact) for contact in contacts))
    await scene.taken(len(contacts))
    found = engine.members_snapshot(scene.workspace, "clickers")
    pieces = found.pieces()
    first = [name.decode() for rows, _ in [await anext(pieces), await anext(pieces)] for name, _ in rows]
    assert set(first) < set(contacts)
    engine = await scene.restart()  # the store of before is closed, or this could not open it
    with pytest.raises(ReadingEnded):
        async for _ in pieces:
            pass
    again = engine.members_snapshot(scene.workspace, "clickers")
    read = [orjson.loads(line) async for rows, _ in again.pieces() for _, line in rows]
    assert [row["contact"] for row in read] == sorted(contacts, key=str.encode)
    about = again.partitions()
    assert [each["partition"] for each in about] == [0, 1]
    assert [each["offsets"][scene.inputs[0]] for each in about] == [9, 9]
    assert all(each["version"] == 1 and not each["filling"] and each["as_of"] is not None for each in about)
