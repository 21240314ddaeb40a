"""What an erasure leaves in a partition's store and writes to its logs: tombstones of everything, and a mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import parse_instant
from engine.definitions.reading import read_segment
from engine.membership.erasure import digest_of
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.state.changelog import ERASED, journal_key
from engine.state.codec import Position, encode_contact
from engine.state.contacts import Memory, StoredContacts
from engine.state.restore import _apply
from engine.state.store import Meta, Store
from engine.worker.commit import TOMBSTONES_MAX, Changes, encode_changes
from engine.worker.recovery import take_one_by_one

IDENTITY = b"i" * 16
SEGMENT = {"segment": "clicked", "name": "C", "description": "C", "when": {"did": {"event": "click", "within": "P1D"}}}
START = parse_instant("2026-01-01T00:00:00Z")
ANNA, BORIS = store_key("default", "anna"), store_key("default", "boris")
MARK = ERASED + digest_of(ANNA, IDENTITY)


def fact(contact: str, second: int, kind: str = "click", event_id: str = "") -> Fact:
    found = Fact(contact=contact, type=kind, at_text="", raw=msgspec.Raw(b"{}"))
    found.id, found.at, found.key = event_id or f"{kind}-{second}", START + second * 1000, store_key("default", contact)
    found.arrival, found.size = found.at, 2
    return found


def erasure(contact: str, second: int) -> Fact:
    return fact(contact, second, "contact_erased")


class Committed:
    """One partition over a store, each batch committed as a worker commits it, but for Kafka."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.contacts = StoredContacts(store, Memory(1 << 20))
        plan = compile_plan([(read_segment(SEGMENT), 1)])
        self.core = Partition(
            plan, self.contacts, grace=0, dedup=86_400_000, journal_retention=86_400_000_000, erasure_key=IDENTITY
        )

    def take(self, *facts: Fact) -> Changes:
        self.contacts.prefetch({each.key for each in facts})
        self.core.take(facts)
        return self.commit()

    def commit(self) -> Changes:
        changes = encode_changes(self.core.drain(), members=True, position=Position())
        self.store.write(
            changes.states,
            changes.journal,
            Meta(),
            gone=changes.gone,
            gone_chunks=changes.gone_chunks,
            more=changes.more,
        )
        self.contacts.settle()
        return changes

    def ids(self, key: bytes = ANNA) -> list[str]:
        return [each.id for each in self.store.history(key)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "0")
    yield opened
    opened.close()


@pytest.fixture
def known(store: Store) -> Committed:
    """Anna with three chunks of her journal, Boris with one."""
    found = Committed(store)
    for second in range(3):
        found.take(fact("anna", second), *([fact("boris", second)] if not second else []))
    assert found.ids() == ["click-0", "click-1", "click-2"]
    return found


def test_everything_of_the_contact_goes_in_one_commit(known: Committed) -> None:
    changes = known.take(erasure("anna", 5))
    assert changes.gone == [ANNA]
    assert changes.gone_chunks == [journal_key(ANNA, number) for number in range(3)]
    assert (changes.states, changes.journal, [*changes.more]) == ({}, [], [MARK])
    assert [key for key, value, _ in changes.members if value is None] == [b"default/clicked/anna"]
    assert known.store.get(ANNA) is None
    assert known.ids() == []
    assert ANNA not in known.core._armed
    assert (known.store.get(BORIS) is None, known.ids(BORIS)) == (False, ["click-0"])
    left = b"".join(key + value for key, value in known.store.more_items(b""))
    assert b"anna" not in left
    assert len(left) < 40


def test_the_mark_keeps_older_facts_away_after_a_restart(known: Committed) -> None:
    known.take(erasure("anna", 5))
    later = Committed(known.store)
    changes = later.take(fact("anna", 4), fact("anna", 2))
    assert (changes.states, changes.journal, changes.transitions, changes.gone) == ({}, [], [], [])
    later.take(fact("anna", 6))
    assert later.ids() == ["click-6"]


def test_who_comes_back_in_the_same_batch_has_only_what_is_new(known: Committed) -> None:
    changes = known.take(fact("anna", 4), erasure("anna", 5), fact("anna", 6))
    assert changes.gone == []
    assert changes.gone_chunks == [journal_key(ANNA, number) for number in (1, 2, 3)]
    assert known.ids() == ["click-6"]
    assert known.take(fact("anna", 7)).gone_chunks == []
    assert known.ids() == ["click-6", "click-7"]


def test_a_late_erasure_writes_the_rest_of_the_journal_anew(known: Committed) -> None:
    changes = known.take(fact("anna", 9), erasure("anna", 1), fact("anna", 10))
    assert known.ids() == ["click-2", "click-9", "click-10"]
    assert changes.gone_chunks == [journal_key(ANNA, number) for number in (2, 3)]
    later = Committed(known.store)
    contact = later.contacts.get(ANNA)
    assert contact is not None
    assert (contact.facts, contact.journal_next, contact.erased_at) == (3, 2, START + 1000)
    later.take(erasure("anna", 9))
    assert later.ids() == ["click-10"]


def test_a_second_erasure_in_a_batch_reads_what_the_first_has_left(known: Committed) -> None:
    known.take(fact("anna", 9), erasure("anna", 1), erasure("anna", 2))
    assert known.ids() == ["click-9"]
    known.take(fact("anna", 12), erasure("anna", 8), erasure("anna", 20), fact("anna", 21))
    assert known.ids() == ["click-21"]


def test_an_erased_contact_is_not_read_again_from_the_store_before_the_commit(known: Committed) -> None:
    known.core.take([erasure("anna", 5)])
    known.contacts.prefetch([ANNA])
    known.core.fill([ANNA])
    known.core.pass_time(START + 100_000_000, 10)
    assert known.contacts.get(ANNA) is None
    assert ANNA not in known.core.batch.contacts
    known.commit()
    assert known.store.get(ANNA) is None


def test_tens_of_thousands_of_chunks_go_in_one_commit(store: Store) -> None:
    known = Committed(store)
    known.take(fact("anna", 0))
    contact = known.contacts.get(ANNA)
    assert contact is not None
    contact.journal_next = 50_000
    changes = known.take(erasure("anna", 5))
    assert len(changes.gone_chunks) == 50_000
    known.take(fact("boris", 6))
    contact = known.contacts.get(BORIS)
    assert contact is not None
    contact.journal_next = 5_000_000
    changes = known.take(erasure("boris", 7))
    assert len(changes.gone_chunks) == TOMBSTONES_MAX
    assert changes.gone_chunks[-1] == journal_key(BORIS, 4_999_999)


class _Poisonous(Partition):
    """Raises on the facts of Anna that are named so, once it has taken them."""

    def take(self, facts: Sequence[Fact]) -> None:
        super().take(facts)
        if any(each.id == "poison" for each in facts):
            raise RuntimeError("poison")


def _outcome(known: Committed) -> tuple[Any, ...]:
    batch = known.core.drain()
    states = {key: encode_contact(contact) for key, contact in batch.contacts.items()}
    journal = {key: [each.id for each in facts] for key, facts in batch.journal.items()}
    kept = {key: [[each.id for each in chunk] for chunk in chunks] for key, chunks in batch.kept.items()}
    transitions = [(each.contact, each.change, each.sequence, each.at) for each in batch.transitions]
    gone = (batch.gone, batch.marks)
    return states, journal, kept, gone, transitions, batch.facts, batch.erased, known.core._armed


IN_ORDER = [fact("anna", 4), erasure("anna", 5), fact("anna", 6), erasure("anna", 7), fact("anna", 6)]
LATE = [fact("anna", 4), fact("anna", 9), erasure("anna", 5), fact("anna", 6), fact("anna", 5)]


@pytest.mark.parametrize("poison", [fact("anna", 12, "contact_erased", "poison"), fact("anna", 12, "click", "poison")])
@pytest.mark.parametrize("good", [IN_ORDER, LATE], ids=["in order", "late"])
@pytest.mark.parametrize("place", range(6))
def test_a_poison_leaves_no_trace_in_what_was_erased(
    known: Committed, poison: Fact, good: list[Fact], place: int
) -> None:
    plain = Committed(known.store)
    assert take_one_by_one(plain.core, plain.contacts, good) == {}
    fragile = Committed(known.store)
    fragile.core.__class__ = _Poisonous
    mixed = [*good[:place], poison, *good[place:]]
    # Beyond the facts that follow nothing differs: the clock, which the poison has moved, is put back too.
    assert set(take_one_by_one(fragile.core, fragile.contacts, mixed)) == {place}
    assert (fragile.contacts.get(ANNA) is None) == (plain.contacts.get(ANNA) is None)
    assert _outcome(fragile) == _outcome(plain)


class Read(NamedTuple):
    """A record of a log as a restore reads it."""

    key: bytes
    value: bytes | None
    offset: int


def test_a_restore_that_reads_the_tombstone_with_what_came_after_it_keeps_that(known: Committed) -> None:
    logs: list[Changes] = [known.take(erasure("anna", 5)), known.take(fact("anna", 6)), known.take(fact("anna", 7))]
    states: list[Read] = []
    chunks: list[Read] = []
    for each in logs:
        written = [*((b"s" + key, None) for key in each.gone), *((b"s" + k, v) for k, v in each.states.items())]
        states += [Read(key, value, 0) for key, value in [*written, *each.more.items()]]
        journal = [*((key, None) for key in each.gone_chunks), *each.journal]
        chunks += [Read(key, value, 0) for key, value in journal]
    state = known.store.get(ANNA)
    known.store.write(
        {}, [], Meta(), gone=[ANNA], gone_chunks=[journal_key(ANNA, n) for n in range(3)], more={MARK: None}
    )
    _apply(known.store, Meta(), states, chunks)
    assert known.ids() == ["click-6", "click-7"]
    assert known.store.get(ANNA) == state
    assert known.store.more(MARK) is not None
