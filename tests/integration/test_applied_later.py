"""Definitions applied after their facts have the members that they would have had from the start: the same facts in two
workspaces on a real Kafka, and conditions of every kind, in force before them in one and put in force after them in the
other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.definitions import Model, Segment, canonical_form, load_definitions, read_definition
from engine.recount import recount
from engine.worker import definition_log
from tests.conftest import Kafka
from tests.generate import Shape, generate
from tests.generate.facts import Sent, instant
from tests.integration.faults.checker import in_arrival_order, members_of, with_arrival
from tests.membership.random_conditions import KINDS
from tests.placement import partition_of
from tests.worker.scene import PARTITIONS, Scene, until

pytestmark = pytest.mark.kafka

GENERATED = Path(__file__).parents[1] / "generate" / "segments"
FACTS = 4_000
Json = dict[str, Any]


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path)
    await made.prepare()
    yield made
    await made.stop()


def definitions_in(workspace: str) -> list[Segment | Model]:
    """The generated segments of one shop, and the model that they score by, as of this workspace."""
    found = [canonical_form(each) for kind in load_definitions(GENERATED) for each in kind]
    ours = [{**each, "workspace": workspace} for each in found if each.get("workspace", "default") == "default"]
    return [read_definition(each, "generated") for each in ours]


def records_in(workspace: str, sent: list[Sent], end: int) -> list[tuple[bytes, bytes]]:
    """The facts as of this workspace, and at `end` (ms) one for each partition, so that all clocks stand alike."""
    facts = [{**each.fact, "workspace": workspace} for each in sent]
    names, number = dict[int, str](), 0
    while len(names) < PARTITIONS:
        name = f"closing-{number}"
        names.setdefault(partition_of(f"{workspace}/{name}".encode(), PARTITIONS), name)
        number += 1
    closing = {"type": "closing", "at": instant(end), "workspace": workspace}
    facts += [{**closing, "id": name, "contact": name} for name in names.values()]
    return [(f"{workspace}/{fact['contact']}".encode(), orjson.dumps(fact)) for fact in facts]


def test_the_set_has_every_condition() -> None:
    text = orjson.dumps([canonical_form(each) for each in definitions_in("w")]).decode()
    assert [kind for kind in (*KINDS, "in_segment") if f'"{kind}":' not in text] == []
    assert '"group":{' in text
    assert '"include":["' in text


async def test_definitions_applied_after_their_facts_give_the_same_members(scene: Scene) -> None:
    sent = [each for each in generate(Shape(facts=FACTS, contacts=150)) if each.contact[0] == "default"]
    before, after = scene.workspace, f"{scene.workspace}-after"
    settings, end = scene.settings(), max(each.at for each in sent) + 1_000
    await definition_log.apply(settings, definitions_in(before), make_topics=False)
    engine = await scene.start()
    records = [record for workspace in (before, after) for record in records_in(workspace, sent, end)]
    await scene.send(*records)
    copies = sum(each.duplicate for each in sent)
    await scene.taken(len(records) - 2 * copies)
    applied = await definition_log.apply(settings, definitions_in(after), make_topics=False)
    offsets = [each.offset for each in applied if each.offset is not None]
    await until(
        lambda: all(row["running"] and not row["filling"] and row["read_to"] > max(offsets) for row in engine.fills()),
        "the definitions to be filled",
        engine,
    )
    facts = in_arrival_order([record for topic in scene.inputs for record in await scene.read(topic)])
    found = [canonical_form(each) for workspace in (before, after) for each in definitions_in(workspace)]
    result = recount(
        [each for each in found if "segment" in each],
        [with_arrival(record) for record in facts],
        [each for each in found if "segment" not in each],
        until=None,
        grace=0,
        partitions=PARTITIONS,
        clock_follows_arrival=False,
    )
    members = members_of(await scene.read("segments.members"))
    wanted = {key: contacts for key, contacts in result.members.items() if contacts}
    assert {key: contacts for key, contacts in members.items() if key[0] in (before, after)} == wanted
    held = [name for workspace, name in wanted if workspace == after]
    assert len(held) > 25, held
    causes = {t["cause"]["kind"] for t in await scene.transitions_of(after)}
    assert causes == {"backfill"}
