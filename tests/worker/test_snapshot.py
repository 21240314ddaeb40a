"""A segment's members at one instant of a partition, whatever is written meanwhile; and readings that a store ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from engine.conditions.contact import Contact
from engine.definitions import parse_segment
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.membership.planned import segment_key
from engine.state import readings
from engine.state.codec import NO_CLOCK, Position, encode_contact, encode_position
from engine.state.readings import ReadingEnded, TooManyReadings
from engine.state.store import Meta, Store
from engine.worker.snapshot import SLICE, Part, Piece, Snapshot, merged

BUYERS = segment_key("default", "buyers")
PLAN = compile_plan([(parse_segment("segment: buyers\nwhen: {did: {event: purchase}}"), 3)])
AT = 1_780_000_000_000
MANY = 2 * SLICE + 7


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    found = [Store(tmp_path / str(number)) for number in range(3)]
    yield found
    for store in found:
        store.close()


def state(sequence: int, **attributes: object) -> bytes:
    pairs = {name: [AT, value] for name, value in attributes.items()}
    members = {BUYERS: [sequence, AT, AT + 5]} if sequence else {}
    return encode_contact(Contact(plan=PLAN.fingerprint, known_at=AT, members=members, attributes=pairs or None))


def write(store: Store, states: dict[str, bytes], clock: int = AT, workspace: str = "default") -> None:
    position = encode_position(Position({"in": 5}, clock))
    store.write({store_key(workspace, name): each for name, each in states.items()}, (), Meta(position=position))


def snapshot(stores: Sequence[Store], *columns: str, clock: int = NO_CLOCK) -> Snapshot:
    parts = [Part(number, store, PLAN, False, clock) for number, store in enumerate(stores)]
    return Snapshot(parts, "default", "buyers", columns)


async def read(found: Snapshot) -> list[dict[str, object]]:
    return [orjson.loads(line) async for rows, _ in found.pieces() for _, line in rows]


async def test_members_of_all_partitions_come_once_and_in_the_order_of_their_ids(stores: list[Store]) -> None:
    ids = [f"c-{number}" for number in range(MANY)] + ["яблоко", "Z/z", "a\u2028b"]
    for place, name in enumerate(ids):
        write(stores[place % 3], {name: state(place % 4)})
    write(stores[0], {"elsewhere": state(1)}, workspace="defaulu")
    found = await read(snapshot(stores))
    inside = [name for place, name in enumerate(ids) if place % 4 in (1, 3)]
    assert [row["contact"] for row in found] == sorted(inside, key=str.encode)
    assert found[0].keys() == {"contact", "since", "sequence"}
    assert {row["sequence"] for row in found} == {1, 3}
    assert found[0]["since"] == "2026-05-28T20:26:40.000Z"


async def test_what_is_written_while_it_is_read_does_not_show(stores: list[Store]) -> None:
    write(stores[0], {f"c-{number:05}": state(1) for number in range(MANY)})
    found = snapshot(stores)
    pieces = found.pieces()
    names: list[str] = []
    async for rows, _ in pieces:
        names += [name.decode() for name, _ in rows]
        if rows and len(names) <= SLICE:
            # In the middle everybody leaves, and others enter, before and behind what was read.
            write(stores[0], {f"c-{number:05}": state(2) for number in range(MANY)}, clock=AT + 1)
            write(stores[0], {name: state(1) for name in ("b-1", "d-1")}, clock=AT + 2)
    assert names == [f"c-{number:05}" for number in range(MANY)]
    assert found.partitions()[0]["as_of"] == "2026-05-28T20:26:40.000Z"
    after = snapshot(stores)
    assert [row["contact"] for row in await read(after)] == ["b-1", "d-1"]
    assert after.partitions()[0]["as_of"] == "2026-05-28T20:26:40.002Z"
    made = snapshot(stores)
    write(stores[0], {"b-1": state(2), "a-1": state(1)}, clock=AT + 3)
    assert [row["contact"] for row in await read(made)] == ["b-1", "d-1"]  # of its making, not of its first reading


async def test_each_partition_tells_its_clock_its_offsets_and_the_version_it_judges_by(stores: list[Store]) -> None:
    write(stores[0], {"c": state(1)})
    about = snapshot(stores[:2]).partitions()
    assert about[0] == {
        "partition": 0,
        "as_of": "2026-05-28T20:26:40.000Z",
        "version": 3,
        "filling": False,
        "offsets": {"in": 5},
    }
    assert (about[1]["as_of"], about[1]["offsets"]) == (None, {})
    # An idle partition's clock goes on without a commit.
    assert snapshot(stores[:1], clock=AT + 60_000).partitions()[0]["as_of"] == "2026-05-28T20:27:40.000Z"


async def test_attributes_come_along_where_they_are_asked_for(stores: list[Store]) -> None:
    write(stores[0], {"c": state(1, name="Anna", address={"zip": "101"}, phones=["1", "2"], gone=None), "d": state(1)})
    found = await read(snapshot(stores, "name", "address.zip", "phones", "gone", "nothing"))
    assert found[0]["attributes"] == {
        "name": "Anna", "address.zip": "101", "phones": ["1", "2"], "gone": None, "nothing": None
    }  # fmt: skip
    assert set(dict(found[1]["attributes"]).values()) == {None}  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="no name"):
        snapshot(stores, "a..b")


async def test_a_store_that_is_closed_ends_its_readings_and_opens_again(stores: list[Store], tmp_path: Path) -> None:
    write(stores[0], {f"c-{number:05}": state(1) for number in range(MANY)})
    found = snapshot(stores)
    pieces = found.pieces()
    for _ in range(4):
        await anext(pieces)
    stores[0].close()
    with pytest.raises(ReadingEnded, match="leaving"):
        async for _ in pieces:
            pass
    reopened = Store(tmp_path / "0")  # nothing held it open
    reopened.close()
    with pytest.raises(ReadingEnded):
        stores[0].reading()


async def test_readings_are_bounded_in_number_and_in_age(stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    write(stores[0], {"c": state(1)})
    open_ones = [snapshot(stores[:1]) for _ in range(readings.READINGS_MAX)]
    with pytest.raises(TooManyReadings):
        snapshot([stores[1], stores[0]])
    for _ in range(readings.READINGS_MAX - 1):  # the one that failed let go of the other store
        snapshot(stores[1:2])
    open_ones[0].end()
    late = snapshot(stores[:1])
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + readings.READING_SECONDS + 1)
    write(stores[0], {"d": state(1)})  # whoever writes next ends what is too old
    with pytest.raises(ReadingEnded, match="longer than 600 seconds"):
        await read(late)
    assert len(await read(snapshot(stores[:1]))) == 2


async def test_a_reading_that_came_to_its_end_is_let_go(stores: list[Store]) -> None:
    write(stores[0], {"c": state(1)})
    for _ in range(2 * readings.READINGS_MAX):
        assert len(await read(snapshot(stores))) == 1


async def source(*pieces: Piece) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


def row(name: str) -> tuple[bytes, bytes]:
    return name.encode(), b""


async def test_merging_hands_on_nothing_before_its_turn() -> None:
    left = source(([row("a"), row("d")], b"d"), ([], b"f"), ([row("g")], None))
    right = source(([row("b")], b"b"), ([row("c"), row("e")], b"e"), ([row("h"), row("i")], None))
    found = [
        (each[0].decode(), upto) async for rows, upto in merged([left, right, source(([], None))]) for each in rows
    ]
    assert [name for name, _ in found] == list("abcdeghi")
    assert all(upto is None or name.encode() <= upto for name, upto in found)
