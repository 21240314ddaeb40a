"""Definitions that cannot be run: never an empty plan, never one that silently lacks a segment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from engine.conditions.contact import Contact
from engine.definitions.document import canonical
from engine.definitions.reading import read_segment
from engine.membership.plan import compile_plan
from engine.state.codec import Position
from engine.worker import definitions as module
from engine.worker import opening
from engine.worker.definitions import Definitions, DefinitionsUnusable
from engine.worker.intake import Lane
from engine.worker.settings import Settings
from tests.worker.test_poison_records import Record

GOOD = {"segment": "good", "name": "n", "description": "d", "when": {"did": {"event": "click"}}}
TP = TopicPartition("segments.definitions", 0)


def record(segment: str, definition: Any, offset: int = 0) -> Record:
    value = {"workspace": "default", "segment": segment, "version": 1, "state": "active", "definition": definition}
    return Record(offset, orjson.dumps(value), f"default/{segment}".encode())


def good(segment: str) -> Record:
    return record(segment, canonical(read_segment({**GOOD, "segment": segment})))


UNKNOWN = record("newer", {"segment": "newer", "name": "x", "when": {"rfm": {"model": "m"}}})
BROKEN = Record(1, b"{", b"default/good")


class Reader:
    """Gives some records once."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    async def start(self) -> None:
        pass

    def assign(self, _: Any) -> None:
        pass

    async def end_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {TP: 1}

    async def seek_to_beginning(self, _: TopicPartition) -> None:
        pass

    async def position(self, _: TopicPartition) -> int:
        return 0 if self.records else 1

    async def getmany(self, _: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        records, self.records = self.records, []
        return {TP: records}


class Changes:
    """A transaction of so many records that comes in pieces, with nothing at all between them."""

    def __init__(self, pieces: list[list[Record]]) -> None:
        self._pieces = pieces
        self._at = 0
        self._end = sum(map(len, pieces))

    async def end_offsets(self, _: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {TP: self._end}

    async def position(self, _: TopicPartition) -> int:
        return self._at

    async def getmany(self, _: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if self._at == self._end:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        self._at += len(piece)
        return {TP: piece} if piece else {}


async def test_a_change_is_taken_whole_however_it_comes() -> None:
    """A half of it is another plan: members of what nests in the other half would leave and come back."""
    plans: list[list[str]] = []
    seen = asyncio.Event()

    def changed() -> None:
        plans.append(sorted(segment.segment for segment, _ in found.segments()))
        seen.set()

    found = Definitions(Settings(), "segments.definitions", changed)
    found._reader = Changes([[good("a")], [], [], [good("b"), good("c")], [], [good("d")]])
    async with asyncio.timeout(10):
        task = asyncio.create_task(found.run())
        await seen.wait()
        task.cancel()
    assert plans == [["a", "b", "c", "d"]]


def started(records: list[Record], then: Callable[[Definitions], None] = lambda _: None) -> Definitions:
    async def run() -> Definitions:
        found = Definitions(Settings(), "segments.definitions", lambda: None)
        found._reader = Reader(records)
        await found.start()
        then(found)
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("bad", [UNKNOWN, BROKEN])
def test_what_cannot_be_run_at_the_start_is_refused_with_advice(bad: Record) -> None:
    with pytest.raises(DefinitionsUnusable, match="segments apply"):
        started([good("good"), bad])


@pytest.mark.parametrize("bad", [UNKNOWN, BROKEN])
def test_what_cannot_be_run_later_leaves_the_plan_and_is_told(bad: Record) -> None:
    def later(found: Definitions) -> None:
        before = found.plan.fingerprint
        found._take([bad, good("other")])
        found._compile()
        assert "not in force" in found.problem
        assert found.plan.fingerprint == before
        deleted = Record(2, None, bad.key)
        found._take([deleted])
        found._compile()
        assert found.problem == ""
        assert found.segment("default", "other") is not None

    started([good("good")], later)


CUTS = {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [2, 3, 4, 5], "monetary": [1, 2, 3, 4]}
SHOP = record("model:shop", {"model": "shop", "event": "purchase", "amount": "amount", "cuts": CUTS})
SCORED = record("scored", {"segment": "scored", "when": {"rfm": {"model": "shop", "frequency": 5}}}, 1)


def test_models_are_compiled_into_the_plan_and_are_no_segments() -> None:
    def later(found: Definitions) -> None:
        before = found.plan.fingerprint
        found._take([record("model:shop", {**orjson.loads(SHOP.value or b"")["definition"], "monetary": "total"}, 2)])
        found._compile()
        assert (found.problem, found.plan.fingerprint != before) == ("", True)

    found = started([SCORED, SHOP], later)
    assert [segment.segment for segment, _ in found.segments()] == ["scored"]
    assert found.plan.retired == {}


def test_a_model_that_is_taken_away_while_it_is_in_use_leaves_the_plan_and_is_told() -> None:
    def later(found: Definitions) -> None:
        before = found.plan.fingerprint
        found._take([Record(2, None, SHOP.key)])
        found._compile()
        assert "there is no model 'shop'" in found.problem
        assert found.plan.fingerprint == before
        found._take([Record(3, None, SCORED.key)])
        found._compile()
        assert (found.problem, found.segments()) == ("", [])

    started([SHOP, SCORED], later)


class Interrupted(Changes):
    """The broker is away when the end of a change is asked for."""

    def __init__(self, pieces: list[list[Record]]) -> None:
        super().__init__(pieces)
        self._away = 2

    async def end_offsets(self, _: list[TopicPartition]) -> dict[TopicPartition, int]:
        self._away -= 1
        if self._away >= 0:
            raise (KafkaConnectionError("away") if self._away else TimeoutError())
        return {TP: self._end}

    async def getmany(self, _: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        return {} if self._away == 1 else await super().getmany(_, timeout_ms)


async def test_a_broker_that_is_away_in_the_middle_of_a_change_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    seen = asyncio.Event()
    found = Definitions(Settings(), "segments.definitions", seen.set)
    found._reader = Interrupted([[good("a")], [good("b")]])
    async with asyncio.timeout(10):
        task = asyncio.create_task(found.run())
        await asyncio.wait([task, asyncio.create_task(seen.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done()
        task.cancel()
    assert sorted(segment.segment for segment, _ in found.segments()) == ["a", "b"]


def newer_than_here(problem: str) -> Any:
    """The wait of a partition that was under definitions up to offset 9, where up to 5 are in force."""
    shared = SimpleNamespace(plan=lambda: compile_plan([], read_to=5), problem=lambda: problem)
    lane = Lane(0, ("events.clicks",))
    return opening.definitions_read(cast(Any, shared), 0, lane, Position(read_to=9), lambda: False)


async def test_a_partition_is_not_taken_back_to_definitions_before_those_that_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "DEFINITIONS_SECONDS", 0.05)
    with pytest.raises(DefinitionsUnusable, match="unknown condition"):
        await newer_than_here("unknown condition")
    assert await newer_than_here("")  # the topic was made anew: nothing will ever come


async def test_a_change_is_compiled_for_the_time_zones_of_contacts_before_a_fact_asks() -> None:
    when = {"local_time": {"from": "09:00", "to": "18:00"}}
    own = canonical(read_segment({**GOOD, "segment": "own", "timezone": "contact", "when": when}))
    found = Definitions(Settings(), "segments.definitions", lambda: None)
    found._take([record("own", own)])
    found._compile()
    tokyo = Contact(attributes={"timezone": [0, "Asia/Tokyo"]})
    before = found.plan.workspace("default").for_contact(tokyo)
    found._take([good("other")])
    found._compile()
    space = found.plan.workspace("default")
    assert list(space._by_zone) == ["Asia/Tokyo"]
    assert space.for_contact(tokyo) is space._by_zone["Asia/Tokyo"] is not before
