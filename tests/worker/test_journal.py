"""What a contact's journal lets go leaves the local store and the topic with the commit, by whole chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.definitions import parse_segment
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.membership.replay import SKEW, read_line
from engine.state.codec import Position, encode_contact
from engine.state.contacts import Memory, StoredContacts
from engine.state.store import Meta, Store
from engine.worker.commit import encode_changes
from tests.driver import fact, line_of

KEY = store_key("default", "c-1")
PLAN = compile_plan([(parse_segment("segment: s\nwhen: {did: {event: click, within: P30D, count: {gte: 5}}}"), 1)])


def core(contacts: MemoryContacts | StoredContacts, journal_bytes: int = 1 << 30) -> Partition:
    return Partition(
        PLAN, contacts, grace=0, dedup=7 * DAY, journal_retention=400 * DAY, journal_facts=100,
        journal_bytes=journal_bytes,
    )  # fmt: skip


def facts_of(count: int) -> list[Fact]:
    lines = [line_of(fact(f"2026-01-01T{n // 60:02d}:{n % 60:02d}Z", "click", named=f"e-{n}")) for n in range(count)]
    found = [read_line(line, number, skew=SKEW, max_event_bytes=9_999) for number, line in enumerate(lines)]
    return [each for each in found if isinstance(each, Fact)]


class Worker:
    """What a partition loop does with its batches, and the journal topic as it is once compacted."""

    def __init__(self, path: Path, journal_bytes: int = 1 << 30) -> None:
        self.store = Store(path)
        self.topic: dict[bytes, bytes] = {}
        self.contacts = StoredContacts(self.store, Memory(1 << 30))
        self.core = core(self.contacts, journal_bytes)

    def take(self, facts: list[Fact]) -> None:
        self.core.take(facts)
        batch = self.core.drain()
        changes = encode_changes(batch, members=True, position=Position())
        if batch.shortened:
            changes.gone_chunks += self.contacts.let_go(batch.shortened - batch.gone.keys())
        for key in changes.gone_chunks:
            del self.topic[key]
        self.topic.update(changes.journal)
        self.store.write(changes.states, changes.journal, Meta(), gone_chunks=changes.gone_chunks)
        self.contacts.settle()


@pytest.mark.parametrize("at_once", [1, 7, 40, 500])
def test_the_store_and_the_topic_hold_what_memory_holds(tmp_path: Path, at_once: int) -> None:
    worker, memory = Worker(tmp_path / "one"), MemoryContacts()
    for start in range(0, 500, at_once):
        worker.take(facts_of(500)[start : start + at_once])
    alone = core(memory)
    for each in facts_of(500):
        alone.take([each])
        memory.commit(alone.drain())
    ours, theirs = worker.contacts.get(KEY), memory.get(KEY)
    assert ours is not None
    assert theirs is not None
    ours.journal_next = theirs.journal_next
    assert encode_contact(ours) == encode_contact(theirs)
    held = [each.id for each in worker.store.history(KEY)]
    assert held[-len(memory.journal(KEY)) :] == [each.id for each in memory.journal(KEY)]
    assert len(held) < len(memory.journal(KEY)) + at_once, "at most the chunk that holds the first one is kept whole"
    restored = Store(tmp_path / "restored")
    restored.write({}, list(worker.topic.items()), Meta())
    assert [each.id for each in restored.history(KEY)] == held
    restored.close()
    worker.contacts.close()
    worker.store.close()


def test_bytes_are_bounded_in_the_store_too(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "one", journal_bytes=4_000)
    for each in facts_of(300):
        worker.take([each])
        assert len(worker.store.history(KEY)) <= 4_000 // 66 + 1
    assert len(worker.topic) <= 4_000 // 66 + 1
    worker.contacts.close()
    worker.store.close()


def test_what_a_poisoned_fact_would_have_let_go_stays(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "one")
    worker.take(facts_of(100))
    worker.core.batch.shortened.add(KEY)  # as it is left when the core raised and the contact was put back
    worker.take([])
    assert len(worker.store.history(KEY)) == 100
    worker.contacts.close()
    worker.store.close()
