"""The worker on a real Kafka: what it publishes, and what is left after each way of failing. Judged from the topics."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from engine.conditions.fact import Fact
from engine.membership.partition import Partition
from engine.state.changelog import changelog_topic, transactional_id
from engine.worker.beginning import ChangelogLost
from engine.worker.clients import transactional_producer
from engine.worker.clock import wall
from engine.worker.engine import NotHere
from engine.worker.partition import PartitionLoop
from tests.conftest import Kafka
from tests.integration.harness_kafka import latest
from tests.worker.scene import PARTITIONS, Json, Scene, counted, until

pytestmark = pytest.mark.kafka

CLICKED: Json = {"did": {"event": "click"}}
THRICE: Json = {"did": {"event": "click", "count": {"gte": 3}}}
NOON = 1_780_000_000_000


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path)
    await made.prepare()
    yield made
    await made.stop()


def brief(transitions: Sequence[Json]) -> list[tuple[str, str, int]]:
    return sorted((t["contact"], t["change"], t["sequence"]) for t in transitions)


async def test_a_fact_becomes_a_transition_and_a_member(scene: Scene) -> None:
    await scene.define("clicked", CLICKED, payload=["name"])
    engine = await scene.start()
    await scene.send(scene.event("anna", "contact_updated", NOON, properties={"name": "Анна"}))
    await scene.send(scene.event("anna", at=NOON + 1), topic=1)
    (enter,) = await scene.seen(1)
    assert (enter["contact"], enter["change"], enter["at"]) == ("anna", "enter", "2026-05-28T20:26:40.001Z")
    assert enter["payload"] == {"name": "Анна"}
    (record,) = [r for r in await scene.read("segments.transitions") if r.key == scene.key("anna")]
    assert record.headers["transition-id"].decode() == enter["id"]
    members = latest(await scene.read("segments.members"))
    assert f"{scene.workspace}/clicked/anna".encode() in members
    assert await engine.members(scene.workspace, "clicked") == (["anna"], None)
    shown = await engine.contact(scene.workspace, "anna")
    assert shown is not None
    assert [each["segment"] for each in shown["segments"]] == ["clicked"]
    assert shown["attributes"] == {"name": "Анна"}
    assert await engine.contact(scene.workspace, "nobody") is None


async def test_a_member_who_leaves_is_gone_from_the_members_topic(scene: Scene) -> None:
    await scene.define("lately", {"did": {"event": "click", "within": "PT1S"}})
    await scene.start()
    await scene.send(scene.event("a", at=NOON), scene.event("a", "purchase", at=NOON + 5_000))
    exits = [t for t in await scene.seen(2) if t["change"] == "exit"]
    assert [t["at"] for t in exits] == ["2026-05-28T20:26:41.000Z"]
    key = f"{scene.workspace}/lately/a".encode()
    assert [r.value is None for r in await scene.read("segments.members") if r.key == key] == [False, True]


async def test_members_are_paged_over_partitions_in_the_order_of_their_ids(scene: Scene) -> None:
    await scene.define("clicked", CLICKED)
    engine = await scene.start()
    names = [f"n{n:02d}" for n in range(25)]
    await scene.send(*(scene.event(name, at=NOON) for name in names))
    await scene.seen(25)
    found, after = list[str](), ""
    while True:
        page, following = await engine.members(scene.workspace, "clicked", after, 10)
        found += page
        if following is None:
            break
        after = following
    assert found == names


async def test_what_is_no_fact_goes_to_the_dead_letters_untouched_and_the_stream_goes_on(scene: Scene) -> None:
    await scene.define("clicked", CLICKED)
    engine = await scene.start()
    key = scene.key("a")
    broken = {
        "bad_json": b'{"type": "click"',
        "not_an_object": b"[1, 2]",
        "bad_utf8": b'{"type": "\xff"}',
        "no_contact": orjson.dumps({"type": "click", "at": "2026-05-01T00:00:00Z"}),
        "oversize": orjson.dumps({"contact": "a", "type": "click", "at": "2026-05-01T00:00:00Z", "x": "y" * 300_000}),
        "too_far_ahead": scene.event("a", at=wall() + 3_600_000)[1],
    }
    await scene.send(*((key, value) for value in broken.values()), scene.event("a", at=NOON))
    await scene.seen(1)
    letters = {r.headers["reason"].decode(): r for r in await scene.letters()}
    assert {reason: r.value for reason, r in letters.items()} == broken
    for record in letters.values():
        assert record.key == key
        assert record.headers["detail"]
        assert int(record.headers["origin-offset"]) >= 0
        assert int(record.headers["origin-timestamp"]) > NOON
    assert counted(engine, "segment_engine_dead_letters_total", reason="bad_utf8") == 1


async def test_a_misplaced_fact_is_sent_on_and_counted_once(scene: Scene) -> None:
    await scene.define("thrice", THRICE)
    engine = await scene.start()
    contact = scene.contact_in(1)
    wrong = next(f"k{n}".encode() for n in range(99) if _place(f"k{n}".encode()) == 0)
    events = [scene.event(contact, at=NOON + n) for n in range(3)]
    await scene.send(events[0], (wrong, events[1][1]), (wrong, events[2][1]))
    (enter,) = await scene.seen(1)
    assert enter["contact"] == contact
    assert counted(engine, "segment_engine_forwarded_total") == 2
    await until(lambda: counted(engine, "segment_engine_facts_total") == 3, "three facts", engine)


def _place(key: bytes) -> int:
    from engine.membership.placement import partition_of

    return partition_of(key, PARTITIONS)


async def test_a_fact_without_id_that_is_sent_on_keeps_the_id_of_its_first_place(scene: Scene) -> None:
    await scene.define("clicked", CLICKED)
    await scene.start()
    contact = scene.contact_in(1)
    wrong = next(f"k{n}".encode() for n in range(99) if _place(f"k{n}".encode()) == 0)
    _, value = scene.event(contact, at=NOON)
    without = orjson.dumps({name: each for name, each in orjson.loads(value).items() if name != "id"})
    await scene.send((wrong, without))
    (enter,) = await scene.seen(1)
    assert enter["cause"]["event_id"] == f"{scene.inputs[0]}/0/0"


async def test_after_a_restart_nothing_is_counted_twice_or_forgotten(scene: Scene) -> None:
    await scene.define("thrice", THRICE)
    await scene.start()
    contacts = [f"c{n}" for n in range(20)]
    for turn in range(3):
        await scene.send(*(scene.event(c, at=NOON + turn) for c in contacts), topic=turn % 2)
        await scene.taken(20)
        if turn < 2:
            await (scene.kill() if turn else scene.stop())
            await scene.start()
    assert brief(await scene.seen(20)) == sorted((c, "enter", 1) for c in contacts)


@pytest.mark.parametrize("damage", ["wiped", "rubbish", "foreign"])
async def test_the_local_disk_is_only_a_cache(scene: Scene, damage: str) -> None:
    await scene.define("thrice", THRICE)
    await scene.start()
    contacts = [f"c{n}" for n in range(10)]
    await scene.send(*(scene.event(c, at=NOON + n) for n in range(2) for c in contacts))
    await scene.taken(20)
    await scene.stop()
    for store in (scene.folder / scene.group).iterdir():
        if damage == "wiped":
            shutil.rmtree(store)
        elif damage == "rubbish":
            (store / "CURRENT").write_text("rubbish")
        else:
            shutil.rmtree(store)
            store.mkdir()
            (store / "CURRENT").write_text("MANIFEST-000001\n")
    await scene.start()
    await scene.send(*(scene.event(c, at=NOON + 9) for c in contacts))
    assert brief(await scene.seen(10)) == sorted((c, "enter", 1) for c in contacts)


async def test_a_store_older_than_its_changelog_is_brought_up_to_date(scene: Scene, tmp_path: Path) -> None:
    await scene.define("thrice", THRICE)
    await scene.start()
    await scene.send(scene.event("a", at=NOON))
    await scene.taken(1)
    await scene.stop()
    copy = tmp_path / "copy"
    shutil.copytree(scene.folder / scene.group, copy)
    await scene.start()
    await scene.send(scene.event("a", at=NOON + 1))
    await scene.taken(1)
    await scene.stop()
    shutil.rmtree(scene.folder / scene.group)
    shutil.copytree(copy, scene.folder / scene.group)
    engine = await scene.start()
    shown = await engine.contact(scene.workspace, "a")
    assert shown is not None
    assert shown["facts"] == 2
    await scene.send(scene.event("a", at=NOON + 2))
    assert brief(await scene.seen(1)) == [("a", "enter", 1)]


def _lose_answers(monkeypatch: pytest.MonkeyPatch, *, before: bool) -> list[int]:
    """Commits of which the answer is lost: the first of each producer, done (`before` False) or never sent."""
    lost: list[int] = []
    commit = AIOKafkaProducer.commit_transaction

    async def lossy(producer: Any) -> None:
        if len(lost) >= 3:
            await commit(producer)
            return
        lost.append(1)
        if not before:
            await commit(producer)
        raise KafkaConnectionError("the answer was lost")

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", lossy)
    return lost


@pytest.mark.parametrize("before", [True, False], ids=["not-committed", "committed"])
async def test_a_commit_whose_answer_is_lost_counts_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    await scene.define("thrice", THRICE)
    engine = await scene.start()
    lost = _lose_answers(monkeypatch, before=before)
    contacts = [f"c{n}" for n in range(10)]
    for turn in range(3):
        await scene.send(*(scene.event(c, at=NOON + turn) for c in contacts))
    found = await scene.seen(10)
    assert lost
    assert counted(engine, "segment_engine_aborts_total") == len(lost)
    assert brief(found) == sorted((c, "enter", 1) for c in contacts)
    for contact in contacts:
        shown = await engine.contact(scene.workspace, contact)
        assert shown is not None
        assert shown["facts"] == 3


async def test_an_owner_that_was_taken_over_gives_the_partition_up_and_asks_again(scene: Scene) -> None:
    await scene.define("thrice", THRICE)
    engine = await scene.start()
    contact = scene.contact_in(0)
    await scene.send(scene.event(contact, at=NOON))
    await scene.taken(1)
    first = engine._loops[0]
    other = transactional_producer(scene.settings(), transactional_id(scene.group, 0))
    await other.start()  # what a new owner does first
    await scene.send(scene.event(contact, at=NOON + 1), scene.event(contact, at=NOON + 2))
    assert brief(await scene.seen(1)) == [(contact, "enter", 1)]
    assert first.state == "fenced"
    assert engine._loops[0] is not first
    await other.stop()


async def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(scene: Scene, tmp_path: Path) -> None:
    await scene.define("thrice", THRICE)
    first = await scene.start()
    contacts = [scene.contact_in(n % PARTITIONS, n) for n in range(8)]
    await scene.send(*(scene.event(c, at=NOON) for c in contacts))
    await scene.taken(8)
    second = Scene.__new__(Scene)
    second.__dict__.update(scene.__dict__, folder=tmp_path / "second")
    other = await second.start(worker_id="two")
    await until(lambda: len(first.partitions) == len(other.partitions) == 1, "each has one", first)
    await scene.send(*(scene.event(c, at=NOON + 1) for c in contacts))
    numbers = set(first.partitions) | set(other.partitions)
    assert numbers == set(range(PARTITIONS))
    elsewhere = next(c for c in contacts if first.partition_of(scene.workspace, c) in other.partitions)
    with pytest.raises(NotHere):
        await first.contact(scene.workspace, elsewhere)
    await until(lambda: first.owner_of(other.partitions[0]) == other.roster.url, "the owner is known", first)
    await scene.stop()  # its static membership ends with the session time-out
    await until(lambda: len(other.partitions) == PARTITIONS, "the second has all", other)
    second.engine = other
    await scene.send(*(scene.event(c, at=NOON + 2) for c in contacts))
    assert brief(await second.seen(8)) == sorted((c, "enter", 1) for c in contacts)
    await second.stop()


async def test_a_poison_fact_becomes_a_dead_letter_and_stops_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    take: Callable[[Partition, Sequence[Fact]], None] = Partition.take

    def fragile(core: Partition, facts: Sequence[Fact]) -> None:
        take(core, facts)
        if any(fact.type == "poison" for fact in facts):
            raise RuntimeError("a bug of the core")

    monkeypatch.setattr(Partition, "take", fragile)
    await scene.define("thrice", THRICE)
    engine = await scene.start()
    events = [scene.event("a", at=NOON), scene.event("a", "poison", NOON + 1), scene.event("b", "poison", NOON + 2)]
    await scene.send(*events, *(scene.event(c, at=NOON + n) for n in (3, 4, 5) for c in "abc"))
    assert brief(await scene.seen(3)) == [("a", "enter", 1), ("b", "enter", 1), ("c", "enter", 1)]
    letters = await scene.letters()
    assert sorted(r.value or b"" for r in letters) == sorted(value for _, value in events[1:])
    assert {r.headers["reason"] for r in letters} == {b"engine_error"}
    assert b"a bug of the core" in letters[0].headers["detail"]
    assert counted(engine, "segment_engine_dead_letters_total", reason="engine_error") == 2


async def test_a_definition_that_comes_later_is_filled_from_the_journal_also_across_a_restart(scene: Scene) -> None:
    engine = await scene.start()
    contacts = [f"c{n}" for n in range(30)]
    await scene.send(*(scene.event(c, at=NOON + n) for n in range(3) for c in contacts))
    await scene.taken(90)
    await scene.define("thrice", THRICE)
    found = await scene.seen(30)
    assert {t["cause"]["kind"] for t in found} == {"backfill"}
    await until(lambda: not any(loop.filling for loop in engine._loops.values()), "filled", engine)
    await scene.stop()
    await scene.define("thrice", {"did": {"event": "click", "count": {"gte": 4}}})
    await scene.start()
    found = await scene.seen(60)
    assert brief(found) == sorted((c, *each) for c in contacts for each in (("enter", 1), ("exit", 2)))
    assert {t["cause"]["kind"] for t in found if t["change"] == "exit"} == {"definition"}


async def test_a_fill_that_is_interrupted_goes_on_and_publishes_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.filling.KEYS_FIRST", 3)
    monkeypatch.setattr("engine.worker.filling.KEYS_MAX", 3)
    engine = await scene.start()
    contacts = [f"c{n}" for n in range(40)]
    await scene.send(*(scene.event(c, at=NOON) for c in contacts))
    await scene.taken(40)
    # Of which progress tells a share; what other tests had forwarded is read here too.
    assert 40 <= sum(row["contacts"] for row in engine.fills()) < 80
    _lose_answers(monkeypatch, before=False)
    await scene.define("clicked", CLICKED)
    await scene.seen(5)
    await scene.kill()
    await scene.start()
    found = await scene.seen(40)
    assert brief(found) == sorted((c, "enter", 1) for c in contacts)
    assert {t["cause"]["kind"] for t in found} == {"backfill"}


async def test_deadlines_follow_the_wall_within_the_grace_and_a_quarter_second(scene: Scene) -> None:
    await scene.define("lately", {"did": {"event": "click", "within": "PT2S"}})
    await scene.start(clock="wall", grace=500)
    sent = wall()
    await scene.send(*(scene.event(f"c{n}", at=sent) for n in range(6)))
    found = await scene.seen(12)
    records = [r for r in await scene.read("segments.transitions") if r.headers["change"] == b"exit"]
    mine = [r for r in records if (r.key or b"").startswith(scene.workspace.encode())]
    assert {t["at"] for t in found if t["change"] == "exit"} == {_text(sent + 2_000)}
    late = [r.timestamp - (sent + 2_000) for r in mine]
    assert len(late) == 6
    assert min(late) >= 500
    assert max(late) < 500 + 250 + 750  # on machines that do other things too


def _text(instant: int) -> str:
    from engine.conditions.instants import format_instant

    return format_instant(instant)


async def test_a_wall_clock_far_from_the_brokers_makes_the_worker_not_ready_and_moves_no_clock(scene: Scene) -> None:
    await scene.define("lately", {"did": {"event": "click", "within": "PT1S"}})
    engine = await scene.start(clock="wall", grace=0)
    engine.skew.measure(wall() + 10**7, wall(), wall() + 10**7)
    ready, details = engine.ready()
    assert not ready
    assert "ahead of the broker's" in details["problems"][0]
    await scene.send(scene.event("a"))
    await scene.seen(1)
    clock = max(loop.core.clock for loop in engine._loops.values() if loop.core is not None)
    assert clock < wall()


async def test_transitions_are_copied_to_the_topic_of_their_segment_once_across_restarts(scene: Scene) -> None:
    await scene.define("clicked", CLICKED)
    await scene.define("silent", CLICKED, topic=False)
    await scene.start(segment_topics=True)
    await scene.send(*(scene.event(f"a{n}", at=NOON) for n in range(10)))
    await scene.seen(20)
    await scene.restart(segment_topics=True)
    await scene.send(*(scene.event(f"b{n}", at=NOON) for n in range(10)))
    topic = f"segments.{scene.workspace}.clicked"
    values: list[Json] = []

    async def copied() -> bool:
        nonlocal values
        values = [orjson.loads(r.value) for r in await scene.read(topic) if r.value]
        return len(values) >= 20

    from tests.worker.scene import until_async

    await until_async(copied, "20 copies", scene.engine)
    assert brief(values) == sorted((f"{c}{n}", "enter", 1) for c in "ab" for n in range(10))
    from topics import segment_topic, verify

    (missing,) = await verify(scene.brokers, [segment_topic(scene.workspace, "silent")], partitions=PARTITIONS)
    assert "missing" in str(missing)


async def test_the_changelog_begins_with_its_identity_and_ends_with_the_position(scene: Scene) -> None:
    await scene.define("clicked", CLICKED)
    await scene.start()
    await scene.send(scene.event(scene.contact_in(0), at=NOON))
    await scene.taken(1)
    keys = [r.key for r in await scene.read(changelog_topic(scene.group)) if r.partition == 0]
    assert keys[0] == b"i"
    assert keys[-1] == b"p"
    assert keys.count(b"i") == 1


async def test_a_changelog_made_anew_is_refused_while_the_group_has_offsets(scene: Scene) -> None:
    from confluent_kafka.admin import AdminClient

    from topics import create, declared

    await scene.define("clicked", CLICKED)
    await scene.start()
    await scene.send(scene.event("a", at=NOON))
    await scene.taken(1)
    await scene.stop()
    admin = AdminClient({"bootstrap.servers": scene.brokers, "log_level": 2})
    names = [changelog_topic(scene.group), f"engine.{scene.group}.journal"]

    def remove() -> None:
        for future in admin.delete_topics(names, operation_timeout=20).values():
            future.result()

    await asyncio.to_thread(remove)
    await until(lambda: not set(names) & set(admin.list_topics(timeout=10).topics), "the topics are gone")
    await create(scene.brokers, declared(scene.group, scene.inputs), partitions=PARTITIONS)
    with pytest.raises(ChangelogLost, match="committed offsets"):  # it does not start over in silence
        await scene.start()


async def test_a_disk_that_fails_stops_the_worker_loudly(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.state.store import Store, StoreError

    engine = await scene.start()

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("The store cannot be written: no space left on device")

    monkeypatch.setattr(Store, "write", full)
    await scene.send(scene.event("a", at=NOON))
    with pytest.raises(StoreError, match="no space"):
        async with asyncio.timeout(30):
            await engine.watch()


async def test_a_partition_loop_tells_its_state(scene: Scene) -> None:
    engine = await scene.start()
    loops: list[PartitionLoop] = list(engine._loops.values())
    assert {loop.state for loop in loops} == {"running"}
    await scene.stop()
    assert {loop.state for loop in loops} == {"stopped"}
    assert not engine.ready()[0]
