"""Entered, left and members by hour and day, over two workers that are stood in for."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from jsonschema import Draft202012Validator

import schemas
from engine.api.app import create_app
from engine.api.peers import Peers
from engine.conditions.instants import DAY, HOUR, parse_instant
from engine.definitions import Segment, parse_segment
from engine.worker.counts import Wanted
from engine.worker.engine import SegmentEngine

MAY = parse_instant("2026-05-01T00:00:00Z")
BUYERS = parse_segment("segment: buyers\nhidden_from: [agent-7]\nwhen: {did: {event: purchase}}")
Movement = tuple[str, bool, str, str, int]
"""Instant, whether it is an enter, cause, source, how many."""


class Stand:
    """What the counts ask of an engine: movements by hour."""

    def __init__(self, url: str, partitions: list[int], movements: Sequence[Movement]) -> None:
        self.url, self.partitions, self.movements = url, partitions, movements
        self.settings = SimpleNamespace(partitions=4)
        self.owners: dict[int, str] = {}
        self.roster = SimpleNamespace(owner_of=self.owners.get)
        self.defined: Segment | None = BUYERS
        self.definitions = SimpleNamespace(segment=lambda *_: self.defined, segments=lambda: [(BUYERS, 1)])
        self.kept = 1
        self.now = MAY + 3 * DAY

    def clock(self) -> int:
        return self.now

    async def counts(self, workspace: str, segment: str, wanted: Wanted) -> dict[str, Any]:
        hours: dict[int, list[Any]] = {}
        before, start = 0, max(wanted.first, self.kept)
        for at, enters, cause, source, number in self.movements if segment == "buyers" else ():
            hour, growth = parse_instant(at) // HOUR, number if enters else -number
            if hour < start:
                before += growth
                continue
            row = hours.setdefault(hour, [hour, 0, []])
            row[1] += growth
            if wanted.cause in (None, cause) and wanted.source in (None, source):
                key = {"cause": cause, "source": source, None: None}[wanted.split]
                row[2].append([key, number, 0] if enters else [key, 0, number])
        rows = [hours[hour] for hour in sorted(hours)]
        found = bool(rows or before)
        return {"clock": self.now, "kept": self.kept, "before": before, "hours": rows, "found": found}


class Pair:
    """Two workers, and a client of the first."""

    def __init__(self, first: Sequence[Movement], second: Sequence[Movement] = ()) -> None:
        self.stands = [Stand("http://one", [0, 1], first), Stand("http://two", [2, 3], second)]
        self.apps: dict[str, httpx.ASGITransport] = {}
        for one, other in (self.stands, self.stands[::-1]):
            one.owners.update(dict.fromkeys(other.partitions, other.url))
            engine = cast(SegmentEngine, one)
            app = create_app(engine, Peers(engine, transport=httpx.MockTransport(self._carry)))
            self.apps[one.url.removeprefix("http://")] = httpx.ASGITransport(app)

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        answer = await self.apps[request.url.host].handle_async_request(request)
        return httpx.Response(answer.status_code, content=await answer.aread())

    async def ask(self, segment: str = "buyers", **params: str) -> tuple[int, Any]:
        async with httpx.AsyncClient(transport=self.apps["one"], base_url="http://one") as client:
            answer = await client.get(f"/segments/{segment}/counts", params=params)
            return answer.status_code, answer.json()

    async def rows(self, *columns: str, **params: str) -> list[tuple[Any, ...]]:
        status, found = await self.ask(**params)
        assert status == 200, found
        CONTRACT.validate(found)
        return [tuple(row[each] for each in columns) for row in found["rows"]]


ONE: list[Movement] = [
    ("2026-04-20T10:00:00Z", True, "event", "", 5),
    ("2026-05-01T09:10:00Z", True, "event", "Yandex Advertising", 3),
    ("2026-05-01T10:00:00Z", False, "clock", "", 1),
    ("2026-05-01T21:30:00Z", True, "event", "mail", 1),
]
TWO: list[Movement] = [
    ("2026-05-01T09:59:59Z", True, "event", "Yandex Advertising", 2),
    ("2026-05-02T00:00:00Z", False, "opt_out", "Yandex Advertising", 2),
]
CONTRACT = Draft202012Validator(schemas.load("counts"))
COLUMNS = ("period", "entered", "left", "members")


async def test_r56_by_hour_over_all_workers() -> None:
    pair = Pair(ONE, TWO)
    rows = await pair.rows(*COLUMNS, **{"from": "2026-05-01T09:00:00Z", "to": "2026-05-01T12:00:00Z"})
    assert rows == [
        ("2026-05-01T09:00:00.000Z", 5, 0, 10),
        ("2026-05-01T10:00:00.000Z", 0, 1, 9),
        ("2026-05-01T11:00:00.000Z", 0, 0, 9),
    ]


async def test_r20_enters_of_one_source_in_may_by_day() -> None:
    may = {"from": "2026-05-01", "to": "2026-05-04", "by": "day", "source": "Yandex Advertising"}
    rows = await Pair(ONE, TWO).rows(*COLUMNS, **may)
    assert rows == [("2026-05-01", 5, 0, 10), ("2026-05-02", 0, 2, 8), ("2026-05-03", 0, 0, 8)]


async def test_split_by_source_and_by_cause() -> None:
    day = {"from": "2026-05-01", "to": "2026-05-02", "by": "day"}
    pair = Pair(ONE, TWO)
    assert await pair.rows("source", "entered", "left", "members", split="source", **day) == [
        (None, 0, 1, 10),
        ("Yandex Advertising", 5, 0, 10),
        ("mail", 1, 0, 10),
    ]
    assert await pair.rows("cause", "entered", "left", split="cause", **day) == [("clock", 0, 1), ("event", 6, 0)]


async def test_days_are_those_of_the_time_zone_asked_for() -> None:
    days = {"from": "2026-05-01", "to": "2026-05-03", "by": "day", "timezone": "Europe/Moscow"}
    rows = await Pair(ONE, TWO).rows(*COLUMNS, **days)
    assert rows == [("2026-05-01", 5, 1, 9), ("2026-05-02", 1, 2, 8)]  # 21:30 in UTC is past midnight in Moscow
    hours = {"from": "2026-05-01T12:30:00", "to": "2026-05-01T13:30:00", "timezone": "Europe/Moscow"}
    assert await Pair(ONE, TWO).rows("period", "entered", **hours) == [
        ("2026-05-01T12:00+03:00", 5),
        ("2026-05-01T13:00+03:00", 0),
    ]


async def test_days_around_a_change_of_the_clock_are_whole() -> None:
    moved: list[Movement] = [
        ("2026-03-28T23:00:00Z", True, "event", "", 1),
        ("2026-03-29T22:00:00Z", True, "event", "", 1),
    ]
    days = {"from": "2026-03-29", "to": "2026-03-31", "by": "day", "timezone": "Europe/Berlin"}
    assert await Pair(moved).rows(*COLUMNS, **days) == [("2026-03-29", 1, 0, 1), ("2026-03-30", 1, 0, 2)]


async def test_without_bounds_the_last_row_is_of_now_with_all_that_is_counted() -> None:
    ahead: list[Movement] = [*ONE, ("2026-05-04T05:00:00Z", True, "event", "", 1)]  # a fact within the allowed skew
    rows = await Pair(ahead, TWO).rows(*COLUMNS)
    assert rows[0][0] == "2026-05-02T01:00:00.000Z"
    assert rows[-1] == ("2026-05-04T05:00:00.000Z", 1, 0, 9)
    days = await Pair(ONE, TWO).rows(*COLUMNS, by="day")
    assert (len(days), days[-1]) == (31, ("2026-05-04", 0, 0, 8))


async def test_what_is_no_longer_kept_is_in_the_size_alone() -> None:
    pair = Pair(ONE, TWO)
    pair.stands[1].kept = parse_instant("2026-05-01T10:00:00Z") // HOUR
    status, found = await pair.ask(by="day", **{"from": "2026-04-01", "to": "2026-05-04"})
    # The day that is kept in part is not told, as it would tell too little.
    assert (status, found["kept_from"]) == (200, "2026-05-01T10:00:00.000Z")
    assert [row["period"] for row in found["rows"]] == ["2026-05-02", "2026-05-03"]
    assert found["rows"][0] == {"period": "2026-05-02", "entered": 0, "left": 2, "members": 8}


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"by": "week"}, "bad_by"),
        ({"split": "city"}, "bad_split"),
        ({"timezone": "Moscow"}, "bad_timezone"),
        ({"timezone": "Asia/Kolkata", "by": "day"}, "bad_timezone"),
        ({"from": "yesterday"}, "bad_from"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "bad_from"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "bad_to"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(params: dict[str, str], word: str) -> None:
    status, found = await Pair(ONE).ask(**params)
    assert (status, found["error"]) == (400, word)
    assert found["detail"].endswith(".")


async def test_a_deleted_segment_keeps_its_counts_and_one_that_never_was_has_none() -> None:
    pair = Pair(ONE)
    pair.stands[0].defined = None
    assert (await pair.ask())[0] == 200
    status, found = await pair.ask("nobody")
    assert (status, found["error"]) == (404, "unknown_segment")


async def test_hidden_segments_are_not_counted_for_whom_they_are_hidden_from() -> None:
    assert (await Pair(ONE).ask(agent="agent-7"))[0] == 404
    assert (await Pair(ONE).ask(agent="agent-8"))[0] == 200


async def test_a_partition_that_nobody_runs_is_named() -> None:
    pair = Pair(ONE)
    pair.stands[0].owners.pop(3)
    status, found = await pair.ask()
    assert (status, found["partitions"]) == (503, [3])
