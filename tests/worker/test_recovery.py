"""A core that raises: the poison is left out, and everything else is as if it had never come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.conditions.fact import Fact
from engine.definitions.reading import read_segment
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.state.codec import encode_contact
from engine.state.contacts import Memory, StoredContacts
from engine.state.store import Meta, Store, StoreError
from engine.worker.recovery import WatchedContacts, fill_one_by_one, pass_time_one_by_one, take_one_by_one

SEGMENT = {
    "segment": "clicked",
    "name": "Clicked",
    "description": "Clicked in the last second",
    "when": {"did": {"event": "click", "within": "PT1S"}},
}
POISON = "poison"


class Fragile(Partition):
    """Raises on facts, deadlines and fills of the poison contact, after it has changed it."""

    def take(self, facts: Sequence[Fact]) -> None:
        super().take(facts)
        if any(fact.contact == POISON for fact in facts):
            raise RuntimeError("poison")

    def pass_time(self, to: int | None, limit: int) -> bool:
        before = self.batch.deadlines
        done = super().pass_time(to, limit)
        if self.batch.deadlines > before and self._asked() == store_key("default", POISON):
            raise RuntimeError("poison")
        return done

    def _asked(self) -> bytes | None:
        contacts: Any = self.contacts
        return contacts.last if isinstance(contacts, WatchedContacts) else None


def fact(contact: str, at: int, number: int = 0) -> Fact:
    return Fact(
        contact=contact,
        type="click",
        at_text="",
        id=f"{contact}-{at}-{number}",
        raw=msgspec.Raw(b"{}"),
        at=at,
        arrival=at,
        key=store_key("default", contact),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "0")
    yield opened
    opened.close()


def core_over(contacts: Any, kind: Callable[..., Partition] = Partition) -> Partition:
    plan = compile_plan([(read_segment(SEGMENT), 1)])
    return kind(plan, contacts, grace=0, dedup=86_400_000, journal_retention=86_400_000)


def outcome(core: Partition) -> tuple[Any, ...]:
    batch = core.drain()
    return (
        core.clock,
        {key: encode_contact(contact) for key, contact in batch.contacts.items()},
        {key: [f.id for f in facts] for key, facts in batch.journal.items()},
        [(t.contact, t.sequence, t.at) for t in batch.transitions],
        batch.facts,
        batch.duplicates,
        batch.late,
    )


def test_a_poison_fact_leaves_no_trace(store: Store) -> None:
    good = [fact("a", 1_000), fact("b", 1_500), fact("a", 1_600), fact("a", 3_000)]
    mixed = [*good[:2], fact(POISON, 9_000), good[2], fact(POISON, 9_001), good[3]]
    plain = core_over(StoredContacts(store, Memory(1 << 20)))
    plain.take(good)
    contacts = StoredContacts(store, Memory(1 << 20))
    fragile = core_over(contacts, Fragile)
    poison = take_one_by_one(fragile, contacts, mixed)
    assert set(poison) == {2, 4}
    assert "RuntimeError: poison" in poison[2]
    assert outcome(fragile) == outcome(plain)


def test_a_poison_fact_of_a_known_contact_puts_its_committed_state_back(store: Store) -> None:
    contacts = StoredContacts(store, Memory(1 << 20))
    core = core_over(contacts)
    core.take([fact(POISON, 1_000)])
    batch = core.drain()
    before = {key: encode_contact(contact) for key, contact in batch.contacts.items()}
    store.write(before, [], Meta())
    contacts.settle()
    fragile = core_over(contacts, Fragile)
    assert set(take_one_by_one(fragile, contacts, [fact(POISON, 5_000)])) == {0}
    found = contacts.get(store_key("default", POISON))
    assert found is not None
    assert encode_contact(found) == before[store_key("default", POISON)]
    assert fragile.drain().contacts == {}


def test_a_deadline_that_the_core_raises_on_waits_and_the_others_fire(store: Store) -> None:
    contacts = StoredContacts(store, Memory(1 << 20))
    core = core_over(contacts)
    core.take([fact(name, 1_000) for name in ("a", POISON, "b")])
    batch = core.drain()
    store.write({key: encode_contact(contact) for key, contact in batch.contacts.items()}, [], Meta())
    contacts.settle()
    watched = WatchedContacts(contacts)
    fragile = core_over(watched, Fragile)
    for key, header in list(store.headers()):
        fragile.arm(key, header.deadline)
    while not pass_time_one_by_one(fragile, watched, contacts, 10_000, 10):
        pass
    found = fragile.drain()
    assert sorted((t.contact, t.change, t.at) for t in found.transitions) == [
        ("a", "exit", 2_000),
        ("b", "exit", 2_000),
    ]
    assert store_key("default", POISON) not in found.contacts


def test_a_fill_goes_on_after_a_contact_that_the_core_raises_on(store: Store) -> None:
    class Unfillable(Partition):
        def fill(self, keys: Any) -> None:
            super().fill(keys)
            if store_key("default", POISON) in keys:
                raise RuntimeError("poison")

    contacts = StoredContacts(store, Memory(1 << 20))
    core = Partition(compile_plan([]), contacts, grace=0, dedup=86_400_000, journal_retention=86_400_000)
    core.take([fact(name, 1_000) for name in ("a", POISON, "b")])
    batch = core.drain()
    from engine.state.changelog import journal_key
    from engine.state.codec import encode_chunk

    chunks = [(journal_key(key, 0), encode_chunk(facts)) for key, facts in batch.journal.items()]
    store.write({key: encode_contact(contact) for key, contact in batch.contacts.items()}, chunks, Meta())
    contacts.settle()
    watched = WatchedContacts(contacts)
    plan = compile_plan([(read_segment(SEGMENT), 1)])
    fragile = Unfillable(plan, watched, clock=1_000, grace=0, dedup=86_400_000, journal_retention=86_400_000)
    fill_one_by_one(fragile, contacts, [key for key, _ in store.states()])
    assert sorted(t.contact for t in fragile.drain().transitions) == ["a", "b"]


def test_a_broken_store_makes_no_dead_letters(store: Store) -> None:
    class Broken(Partition):
        def take(self, facts: Sequence[Fact]) -> None:
            raise StoreError("disk")

        def pass_time(self, to: int | None, limit: int) -> bool:
            raise StoreError("disk")

        def fill(self, keys: Any) -> None:
            raise StoreError("disk")

    contacts = StoredContacts(store, Memory(1 << 20))
    watched = WatchedContacts(contacts)
    broken = core_over(watched, Broken)
    with pytest.raises(StoreError):
        take_one_by_one(broken, contacts, [fact("a", 1_000)])
    with pytest.raises(StoreError):
        pass_time_one_by_one(broken, watched, contacts, 10_000, 1)
    with pytest.raises(StoreError):
        fill_one_by_one(broken, contacts, [store_key("default", "a")])
