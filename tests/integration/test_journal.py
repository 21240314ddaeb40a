"""A journal that is full, on a real Kafka: what is let go is gone from the topic, and nothing that is kept is lost."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.membership.placement import store_key
from engine.state.changelog import journal_topic
from engine.state.codec import decode_chunk, decode_contact
from tests.conftest import Kafka
from tests.integration.harness_kafka import latest
from tests.worker.scene import Json, Scene

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000
BOUND, SENT = 1_000, 2_500


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path, journal_facts=BOUND)
    await made.prepare()
    yield made
    await made.stop()


def clicked(count: int, **more: str) -> Json:
    return {"did": {"event": "click", "count": {"gte": count}, **more}}


async def test_a_full_journal_lets_go_in_the_topic_too_and_is_restored_from_it(scene: Scene) -> None:
    await scene.define("always", clicked(SENT))
    engine = await scene.start()
    key = store_key(scene.workspace, "anna")
    for start in range(0, SENT, 100):
        await scene.send(*(scene.event("anna", at=NOON + n) for n in range(start, start + 100)))
    await scene.taken(SENT)
    assert [each["segment"] for each in await scene.seen(1)] == ["always"], "a count goes on whatever is let go"
    (loop,) = [each for each in engine._loops.values() if each.store is not None and each.store.get(key)]
    assert loop.store is not None
    encoded = loop.store.get(key)
    assert encoded is not None
    contact, here = decode_contact(encoded), [fact.id for fact in loop.store.history(key)]
    assert contact.facts == SENT
    assert BOUND * 9 // 10 <= contact.facts - contact.journal_gone <= BOUND
    kept = latest(await scene.read(journal_topic(scene.group)))
    chunks = [decode_chunk(kept[each], key) for each in sorted(kept) if each.startswith(key) and kept[each]]
    assert [fact.id for chunk in chunks for fact in chunk] == here
    assert here[-1] == f"{scene.workspace}-{SENT}"
    assert len(here) < SENT
    await scene.stop()
    shutil.rmtree(scene.folder / scene.group)
    # Restored from the topic. What asks the same as before goes on from the state, what asks anew counts what is kept.
    held = contact.facts - contact.journal_gone
    await scene.define("again", clicked(SENT - 1))
    await scene.define("later", clicked(held, since="2020-01-01"))
    await scene.define("too-many", clicked(held + 1, since="2020-01-01"))
    engine = await scene.start()
    found = await scene.seen(3)
    assert sorted((each["segment"], each["cause"]["kind"]) for each in found[1:]) == [
        ("again", "backfill"),
        ("later", "backfill"),
    ]
    (loop,) = [each for each in engine._loops.values() if each.store is not None and each.store.get(key)]
    assert loop.store is not None
    assert [fact.id for fact in loop.store.history(key)] == here
