"""Counts of a partition: each transition once, in its own hour, with sizes that outlive the hours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.conditions.instants import DAY, HOUR
from engine.membership.planned import segment_key
from engine.membership.transitions import Transition
from engine.state.counts import OTHER, SOURCES_MAX, counts_prefix
from engine.state.store import Meta, Store
from engine.worker import counts as counting
from engine.worker.counts import Counts, Source, Wanted, read_counts

NOON = 1_780_000_000_000 // DAY * DAY + 12 * HOUR
RETENTION = 10 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "store")
    yield found
    found.close()


def turn(contact: str, sequence: int, at: int, source: str = "", kind: str = "event") -> Transition:
    cause = (kind, "e", "click", at) if kind == "event" else (kind, None, None, None)
    return Transition("default", "s", 1, contact, sequence, at, at, False, at, cause, None, True, source=source)


def commit(store: Store, counts: Counts, transitions: list[Transition], clock: int = NOON) -> dict[bytes, bytes | None]:
    rows = counts.rows(transitions, clock)
    store.write({}, (), Meta(), more=rows)
    return rows


async def read(store: Store, first: int = 0, clock: int = NOON, **more: str) -> dict[str, Any]:
    return await read_counts([Source(store, clock)], "default", "s", RETENTION, Wanted(first, **more))


async def test_each_transition_counts_in_its_own_hour_by_cause_and_source(store: Store) -> None:
    counts = Counts(store, RETENTION)
    commit(store, counts, [turn("a", 1, NOON, "mail"), turn("b", 1, NOON + HOUR - 1, "mail"), turn("c", 1, NOON)])
    commit(store, counts, [turn("a", 2, NOON + HOUR, "mail", "clock"), turn("d", 1, NOON - 5 * HOUR)])
    found = await read(store)
    hour = NOON // HOUR
    assert found["hours"] == [[hour - 5, 1, [[None, 1, 0]]], [hour, 3, [[None, 3, 0]]], [hour + 1, -1, [[None, 0, 1]]]]
    by_source = (await read(store, first=hour, split="source"))["hours"]
    assert by_source == [[hour, 3, [["mail", 2, 0], ["", 1, 0]]], [hour + 1, -1, [["mail", 0, 1]]]]
    assert (await read(store, first=hour, split="cause"))["hours"][1] == [hour + 1, -1, [["clock", 0, 1]]]
    assert (await read(store, first=hour, cause="event", source="mail"))["hours"][0] == [hour, 3, [[None, 2, 0]]]
    assert (found["before"], found["found"]) == (0, True)
    later = await read(store, first=hour)
    assert (later["before"], [row[0] for row in later["hours"]]) == (1, [hour, hour + 1])


async def test_what_was_not_committed_is_not_counted(store: Store) -> None:
    counts = Counts(store, RETENTION)
    commit(store, counts, [turn("a", 1, NOON)])
    counts.rows([turn("b", 1, NOON)], NOON)  # its commit is not known to have come about: the partition begins again
    anew = Counts(store, RETENTION)
    commit(store, anew, [turn("c", 1, NOON)])
    assert (await read(store))["hours"] == [[NOON // HOUR, 2, [[None, 2, 0]]]]


async def test_a_row_that_memory_let_go_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "CACHED", 1)
    counts = Counts(store, RETENTION)
    for number in range(3):
        commit(store, counts, [turn(f"a{number}", 1, NOON), turn(f"b{number}", 1, NOON + HOUR)])
    assert len(counts._cache) == 1
    assert [row[1] for row in (await read(store))["hours"]] == [3, 3]


async def test_more_sources_than_are_told_apart_are_other(store: Store) -> None:
    counts = Counts(store, RETENTION)
    commit(store, counts, [turn(f"c{n}", 1, NOON, f"source-{n}") for n in range(SOURCES_MAX + 5)])
    commit(store, counts, [turn("late", 1, NOON, "source-7"), turn("new", 1, NOON, "never seen")])
    (row,) = (await read(store, split="source"))["hours"]
    numbers = {source: entered for source, entered, _ in row[2]}
    assert len(numbers) == SOURCES_MAX + 1
    assert (numbers["source-7"], numbers[OTHER], row[1]) == (2, 6, SOURCES_MAX + 7)


async def test_hours_go_after_their_retention_and_the_size_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(counting, "SWEEP_ROWS", 2)
    counts = Counts(store, RETENTION)
    for number in range(5):
        commit(store, counts, [turn(f"a{number}", 1, NOON + number * HOUR), turn(f"b{number}", 1, NOON)], NOON)
    # Half of them are past the retention, and are told as if swept before they are.
    clock = NOON + RETENTION + 3 * HOUR
    told = await read(store, clock=clock)
    assert (told["before"], [row[0] for row in told["hours"]]) == (8, [NOON // HOUR + 3, NOON // HOUR + 4])
    for _ in range(10):
        commit(store, counts, [], clock)
    prefix = counts_prefix(segment_key("default", "s"))
    assert [int.from_bytes(key[-4:], "big") for key, _ in store.more_items(prefix)] == [
        0, NOON // HOUR + 3, NOON // HOUR + 4,
    ]  # fmt: skip
    assert await read(store, clock=clock) == told
    # A transition found out later than that goes to the base as well.
    commit(store, counts, [turn("late", 1, NOON)], clock)
    assert (await read(store, clock=clock))["before"] == 9


async def test_of_a_deleted_segment_nothing_stays_after_the_retention(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SWEEP_SECONDS", 0.0)
    counts = Counts(store, RETENTION)
    commit(store, counts, [turn("a", 1, NOON), turn("b", 1, NOON)])
    commit(store, counts, [turn("a", 2, NOON + HOUR, kind="definition"), turn("b", 2, NOON + HOUR, kind="definition")])
    commit(store, counts, [], NOON + RETENTION + 5 * HOUR)
    assert list(store.more_items(counts_prefix(segment_key("default", "s")))) == []
    assert not (await read(store))["found"]
