"""How a segment grew: entered, left and members by hour or day, over all workers, by cause or by first-touch source.

Counts are kept by the hour of UTC. A row's `members` is the segment's size at the end of its period, and that of the
newest period the size now.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer, Refused, is_own, whole_number_of, workspace_of
from engine.api.hiding import sight_of
from engine.api.peers import Peers, Unanswered
from engine.conditions.instants import DAY, HOUR, format_instant, parse_instant
from engine.conditions.spelling import did_you_mean, near_zone
from engine.conditions.zones import zone_names, zone_of
from engine.worker.counts import Wanted

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

HOURS_SHOWN: Final = 48
DAYS_SHOWN: Final = 31
"""Periods that are told where `from` is not said."""
PERIODS_MAX: Final = 10_000
"""Rows of one answer without a split: more than a year by the hour."""
ANSWER_SECONDS: Final = 30.0
HOUR_MAX: Final = 1 << 31
"""Of the hours since the epoch: far beyond the year 9999."""
SPLITS: Final = ("none", "cause", "source")
"""What rows are told apart by."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `begin` and `end` in milliseconds, None where they are not said; `split`, `cause` and `source`
    None for all together."""

    zone: ZoneInfo | None
    days: bool
    begin: int | None
    end: int | None
    split: str | None
    cause: str | None
    source: str | None


class CountFaces:
    """The answers about counts."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

    def routes(self) -> list[Route]:
        return [Route("/segments/{segment}/counts", self.counts)]

    async def counts(self, request: Request) -> Response:
        """Rows of `period`, `entered`, `left` and `members`, the oldest first, and `cause` or `source` where the rows
        are split by it: then a period has a row for each, and one without where nothing happened. `from` belongs to
        what is told, `to` does not; both are widened to whole periods. `kept_from` is how far back hours are kept."""
        workspace, name = workspace_of(request), request.path_params["segment"]
        if is_own(request):
            first, given = whole_number_of(request, "first", 0, HOUR_MAX, 0), request.query_params.get
            return Answer(
                await self._own(workspace, name, Wanted(first, given("split"), given("cause"), given("source")))
            )
        asked = question_of(request)
        known = self._engine.definitions.segment(workspace, name) is not None
        if sight_of(self._engine, request).sees(workspace, name):
            begin = self._begin(asked)
            parts = await self._all(workspace, name, Wanted(begin // HOUR, asked.split, asked.cause, asked.source))
            if known or any(part["found"] for part in parts):
                # Beside the event loop: a year by the hour and source takes a second.
                rows, kept = await asyncio.to_thread(rows_of, asked, begin, parts)
                about = {"workspace": workspace, "segment": name, "by": "day" if asked.days else "hour"}
                about["timezone"] = "UTC" if asked.zone is None else asked.zone.key
                return Answer({**about, "kept_from": format_instant(kept), "rows": rows})
        said = f"There is no segment {name!r} in workspace {workspace}, and no counts of a deleted one."
        raise Refused(404, "unknown_segment", said)

    def _begin(self, asked: Question) -> int:
        """The beginning of the first period."""
        begin = asked.begin
        if begin is None:
            end = self._engine.clock() if asked.end is None else asked.end
            begin = end - (DAYS_SHOWN - 1) * DAY if asked.days else end - (HOURS_SHOWN - 1) * HOUR
        return period_of(asked, max(0, begin))

    async def _own(self, workspace: str, name: str, wanted: Wanted) -> dict[str, Any]:
        before = self._engine.partitions
        try:
            found = await self._engine.counts(workspace, name, wanted)
        except Exception as error:
            if gone := set(before) - set(self._engine.partitions):  # its store was closed while it was read
                raise Unanswered(gone, "moved to another worker while it was asked") from error
            raise
        return {**found, "partitions": [number for number in before if number in self._engine.partitions]}

    async def _all(self, workspace: str, name: str, wanted: Wanted) -> list[dict[str, Any]]:
        """The counts of every worker. Raises Unanswered."""
        asked = [self._of(url, numbers, workspace, name, wanted) for url, numbers in self._peers.owners().items()]
        parts = await asyncio.gather(*asked, self._own(workspace, name, wanted))
        numbers = [number for part in parts for number in part["partitions"]]
        if missing := set(range(self._engine.settings.partitions)) - set(numbers):
            raise Unanswered(missing, "moved to another worker while it was asked")
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise Unanswered(twice, "counted twice, as it is just moving")
        return list(parts)

    async def _of(self, url: str, numbers: list[int], workspace: str, name: str, wanted: Wanted) -> dict[str, Any]:
        told = {field: str(value) for field, value in wanted._asdict().items() if value is not None}
        question = {"workspace": workspace, **told}
        _, part = await self._peers.ask(url, f"/segments/{name}/counts", question, ANSWER_SECONDS, numbers)
        if not isinstance(part, dict) or not {"hours", "before", "kept", "clock", "partitions"} <= part.keys():
            raise Unanswered(numbers, f"what answers at {url} is not a worker of this version")
        return part


def question_of(request: Request) -> Question:
    """What a request asks for. Raises Refused."""
    given = request.query_params
    by, split, name = given.get("by", "hour"), given.get("split", "none"), given.get("timezone", "UTC")
    if by not in ("hour", "day"):
        raise Refused(400, "bad_by", f"by is hour or day, not {by[:40]!r}.")
    if split not in SPLITS:
        raise Refused(400, "bad_split", f"split is none, cause or source, not {split[:40]!r}.")
    if name not in zone_names():
        said = f"{name[:80]!r} is not a time zone of the IANA database, such as Europe/Moscow"
        raise Refused(400, "bad_timezone", f"{said}{did_you_mean(near_zone(name[:80]))}.")
    zone = zone_of(name)
    begin, end = _bound(request, "from", zone), _bound(request, "to", zone)
    if begin is not None and end is not None and begin >= end:
        raise Refused(400, "bad_to", "to is after from: from belongs to what is told, to does not.")
    chosen = None if split == "none" else split
    return Question(zone, by == "day", begin, end, chosen, given.get("cause"), given.get("source"))


def _bound(request: Request, name: str, zone: ZoneInfo | None) -> int | None:
    text = request.query_params.get(name)
    try:
        return None if text is None else parse_instant(text, zone)
    except ValueError as error:
        said = f"{name}: {error}. Write a date or an instant, such as 2026-05-01 or 2026-05-01T10:00:00Z."
        raise Refused(400, f"bad_{name}", said) from None


def period_of(asked: Question, at: int) -> int:
    """The beginning of the period that an instant is in; both in ms. Raises Refused."""
    return _midnight(_day(asked, at), asked.zone) if asked.days else at - at % HOUR


def _after(asked: Question, begin: int) -> int:
    """The beginning of the next period."""
    return _midnight(_day(asked, begin) + timedelta(days=1), asked.zone) if asked.days else begin + HOUR


def _day(asked: Question, at: int) -> date:
    return datetime.fromtimestamp(at // 1_000, asked.zone or UTC).date()


def _midnight(day: date, zone: ZoneInfo | None) -> int:
    """The first instant of a day (ms). Raises Refused where it lies within an hour of UTC."""
    # What a gap of the clock leaves out counts by the offset before it: that is the gap's end.
    begin = int(datetime(day.year, day.month, day.day, tzinfo=zone or UTC).timestamp() * 1_000)
    if begin % HOUR:
        name = "UTC" if zone is None else zone.key
        said = f"Counts are kept by the hour of UTC, and days in {name} begin within one: ask by hour."
        raise Refused(400, "bad_timezone", said)
    return max(0, begin)


def _name(asked: Question, begin: int) -> str:
    local = datetime.fromtimestamp(begin // 1_000, asked.zone or UTC)
    if asked.days:
        return local.date().isoformat()
    return format_instant(begin) if asked.zone is None else local.isoformat(timespec="minutes")


def rows_of(asked: Question, begin: int, parts: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The rows from the period that begins at `begin`, and the first instant that is kept (ms). Raises Refused."""
    kept = max(part["kept"] for part in parts) * HOUR
    if asked.end is not None:
        end = asked.end
    else:  # whatever is counted belongs to it, so that the last row tells the size now
        last = max((hour[0] * HOUR for part in parts for hour in part["hours"]), default=0)
        end = max(*(part["clock"] for part in parts), last, begin) + 1
    while begin < kept and begin < end:  # a period that is only half kept would tell too little
        begin = max(_after(asked, begin), period_of(asked, kept))
    if (end - begin) // HOUR > PERIODS_MAX * (24 if asked.days else 1):
        raise Refused(400, "bad_from", f"From from to to are more than {PERIODS_MAX} rows; ask for less, or by day.")
    begins = []
    while begin < end:
        begins.append(begin)
        begin = _after(asked, begin)
    size = sum(part["before"] for part in parts)
    grown: Counter[int] = Counter()
    found: dict[int, dict[str | None, list[int]]] = {}
    for hour, growth, numbers in (each for part in parts for each in part["hours"]):
        at = hour * HOUR
        if not begins or at < begins[0]:
            size += growth
            continue
        period = bisect_right(begins, at) - 1
        if at >= begin:  # after the last period
            continue
        grown[period] += growth
        for key, entered, left in numbers:
            pair = found.setdefault(period, {}).setdefault(key, [0, 0])
            pair[0] += entered
            pair[1] += left
    rows: list[dict[str, Any]] = []
    for period, at in enumerate(begins):
        size += grown[period]
        moved = found.get(period) or {None: [0, 0]}
        for key in sorted(moved, key=lambda each: each or ""):
            row: dict[str, Any] = {"period": _name(asked, at)}
            if asked.split is not None:
                row[asked.split] = key or None
            row |= {"entered": moved[key][0], "left": moved[key][1], "members": size}
            rows.append(row)
    return rows, kept
