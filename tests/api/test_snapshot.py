"""The members over several workers as one stream: each once, in order, and its end says whether it is whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import orjson
import pytest

from engine.api import snapshot as streams
from engine.state.readings import ReadingEnded, TooManyReadings
from engine.worker.query import place
from engine.worker.snapshot import Piece
from tests.api.test_app import PARTITIONS, Group, Stand

CONTACTS = [*(f"c-{number:03}" for number in range(300)), "яблоко", "Z/z", "a\u2028b", "  "]


class Told:
    """A snapshot of one worker, over plain sets of contacts; it may break off after so many pieces."""

    def __init__(self, stand: Stand, workspace: str, columns: Sequence[str]) -> None:
        self._stand, self._workspace, self._columns = stand, workspace, columns
        self.numbers = list(stand.partitions)
        self.breaks_after: int | None = None
        self.ended = False

    def partitions(self) -> list[dict[str, Any]]:
        return [{"partition": number, "as_of": "2026-05-01T10:00:00.000Z"} for number in self.numbers]

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        ids = sorted((name for place, name in self._stand.contacts if place == self._workspace), key=str.encode)
        for _ in range(3):  # nobody of those with the first ids
            yield [], b" "
        for number, first in enumerate(range(0, len(ids), 7)):
            if number == self.breaks_after:
                raise ReadingEnded("the store was closed")
            rows = [(each.encode(), self._line(each)) for each in ids[first : first + 7]]
            yield rows, rows[-1][0]
        yield [], None

    def _line(self, contact: str) -> bytes:
        return orjson.dumps({"contact": contact, "sequence": 1} | ({"attributes": {}} if self._columns else {}))

    def end(self) -> None:
        self.ended = True


class Readable(Group):
    """A group whose workers give snapshots."""

    def __init__(self, *owned: list[int]) -> None:
        super().__init__(*owned)
        self.made: list[Told] = []
        self.breaks: dict[str, int] = {}
        for worker in self.workers:
            worker.members_snapshot = self._maker(worker)  # type: ignore[attr-defined]
        self.know(*CONTACTS)

    def _maker(self, worker: Stand) -> Any:
        def make(workspace: str, segment: str, columns: Sequence[str] = ()) -> Told:
            assert segment == "buyers"
            told = Told(worker, workspace, columns)
            told.breaks_after = self.breaks.get(worker.url)
            self.made.append(told)
            return told

        return make

    async def stream(self, worker: int = 0, **params: str) -> tuple[int, list[Any]]:
        client = httpx.AsyncClient(transport=self.wires)
        answer = await client.get(f"http://w{worker}/segments/buyers/members/snapshot", params=params)
        return answer.status_code, [orjson.loads(line) for line in answer.content.split(b"\n") if line]


@pytest.mark.parametrize("owned", [[[0, 1, 2, 3]], [[0, 2], [1, 3]], [[0], [1], [2], [3]], [[], [0, 1, 2, 3]]])
async def test_any_worker_streams_all_members_once_and_in_order(owned: list[list[int]]) -> None:
    group = Readable(*owned)
    for worker in range(len(owned)):
        status, (header, *members, last) = await group.stream(worker)
        assert status == 200
        assert (header["workspace"], header["segment"], header["name"], header["version"]) == (
            "default", "buyers", "Buyers", 3
        )  # fmt: skip
        assert [each["partition"] for each in header["partitions"]] == [0, 1, 2, 3]
        assert [each["contact"] for each in members] == sorted(CONTACTS, key=str.encode)
        assert last == {"complete": True, "members": len(CONTACTS)}
    assert all(each.ended for each in group.made)


async def test_a_segment_without_members_is_whole_too() -> None:
    group = Readable([0, 2], [1, 3])
    for worker in group.workers:
        worker.contacts = {}
    _, (_, last) = await group.stream()
    assert last == {"complete": True, "members": 0}


@pytest.mark.parametrize("leaving", ["http://w0", "http://w1"])
@pytest.mark.parametrize("pieces", [0, 5])
async def test_a_partition_that_leaves_in_the_middle_ends_the_stream_with_an_error(leaving: str, pieces: int) -> None:
    group = Readable([0, 2], [1, 3])
    group.breaks[leaving] = pieces
    _, (header, *members, last) = await group.stream()
    assert "partitions" in header
    assert last["error"] == "moved"
    assert "the store was closed" in last["detail"]
    # What did come is in order, and nothing is left out before its end.
    ids = [each["contact"] for each in members]
    assert ids == sorted(CONTACTS, key=str.encode)[: len(ids)]


async def test_an_owner_that_breaks_off_is_told_from_one_that_is_done() -> None:
    group = Readable([0, 2], [1, 3])
    whole = group.wires.apps["w1"]

    class Cutting(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await whole.handle_async_request(request)
            lines = (await answer.aread()).split(b"\n")
            cut = lines[:20] if request.url.path.endswith("snapshot") else lines
            return httpx.Response(answer.status_code, content=b"\n".join(cut))

    group.wires.apps["w1"] = Cutting(whole.app)
    _, found = await group.stream()
    assert found[-1]["error"] == "moved"
    assert "http://w1 broke off" in found[-1]["detail"]


async def test_a_long_search_for_few_members_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Readable([0, 2], [1, 3])
    monkeypatch.setattr(streams, "ALIVE_SECONDS", -1.0)
    client = httpx.AsyncClient(transport=group.wires)
    lines = (await client.get("http://w0/segments/buyers/members/snapshot")).content.split(b"\n")
    assert lines.count(b"") > 3  # beside the one behind the last line end
    told = [orjson.loads(line) for line in lines if line]
    assert [each["contact"] for each in told[1:-1]] == sorted(CONTACTS, key=str.encode)
    assert told[-1]["complete"]


async def test_partitions_that_move_while_the_owners_are_asked_are_named() -> None:
    group = Readable([0, 1], [2, 3])
    group.workers[1].partitions = [2]  # it gave one up, and nobody knows yet
    status, (told,) = await group.stream()
    assert (status, told["error"], told["partitions"]) == (503, "owner_unavailable", [3])
    group.workers[1].partitions = [1, 2, 3]  # two of them believe that they have it
    status, (told,) = await group.stream()
    assert (status, told["partitions"]) == (503, [1])
    del group.wires.apps["w1"]
    status, (told,) = await group.stream()
    assert "http://w1 does not answer" in told["detail"]
    assert all(each.ended for each in group.made if each.numbers == [0, 1])
    assert (await Readable([0], [2, 3]).stream())[1][0]["partitions"] == [1]


async def test_snapshots_at_once_are_bounded_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Readable([0, 2], [1, 3])
    for _ in range(streams.SNAPSHOTS_MAX + 1):
        assert (await group.stream())[0] == 200
    monkeypatch.setattr(streams, "SNAPSHOTS_MAX", 0)
    status, (told,) = await group.stream()
    assert (status, told["error"]) == (503, "busy")
    monkeypatch.undo()

    def too_many(*_: Any) -> Told:
        raise TooManyReadings("32 readings of the partition are under way")

    group.workers[0].members_snapshot = too_many  # type: ignore[attr-defined]
    status, (told,) = await group.stream()
    assert (status, told["error"]) == (503, "busy")
    status, (told,) = await group.stream(1)  # another worker, that asks this one
    assert (status, told["partitions"]) == (503, [0, 2])


async def test_columns_go_to_every_owner_and_are_checked() -> None:
    group = Readable([0, 2], [1, 3])
    for columns in ("name,address.city", '["name","address.city"]', '["a,b"]'):
        _, (_, *members, last) = await group.stream(columns=columns)
        assert last["complete"]
        assert all("attributes" in each for each in members)
    assert {tuple(each._columns) for each in group.made} == {("name", "address.city"), ("a,b",)}
    for columns in ("name,,city", "[1]", "[", ",".join(f"a{number}" for number in range(51))):
        status, (told,) = await group.stream(columns=columns)
        assert (status, told["error"]) == (400, "bad_columns")


async def test_an_unknown_segment_and_another_workspace_have_no_snapshot() -> None:
    group = Readable([0, 1, 2, 3])
    assert await group.get("/segments/nobody/members/snapshot") == (
        404, {"error": "unknown_segment", "detail": "There is no segment 'nobody' in workspace default."}
    )  # fmt: skip
    assert (await group.stream(workspace="other"))[0] == 404


def test_the_contacts_are_spread() -> None:
    """Else nothing was merged above."""
    assert {place("default", each, PARTITIONS) for each in CONTACTS} == set(range(PARTITIONS))
