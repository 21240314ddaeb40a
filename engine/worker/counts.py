"""Statistics of segments: every transition counted in the commit that publishes it, and what is read of the counts.

The counts of a partition are rows of its changelog (`engine.state.counts`): committed with the transitions, restored
with the states, and therefore as exact as these. Their cost is one for each transition, and one for each segment and
hour of a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from engine.conditions.instants import HOUR
from engine.membership.planned import segment_key
from engine.membership.transitions import Transition
from engine.state.counts import (
    BASE,
    COUNTS,
    HourCounts,
    counts_key,
    counts_prefix,
    decode_counts,
    encode_counts,
    growth_of,
    hour_of,
)
from engine.state.store import Store

CACHED: Final = 1_000
"""Rows of a partition held in memory: some kilobytes each, 60 at most."""
SWEEP_SECONDS: Final = 10.0
SWEEP_ROWS: Final = 500
"""Rows looked at so often, for those past the retention: some milliseconds, four million of them a day."""
READ_SLICE: Final = 50
"""Rows decoded between two turns of the event loop: some milliseconds where they have twenty sources."""


def oldest_kept(clock: int, retention: int) -> int:
    """The first hour that is kept by itself when a partition's clock stands there; both in milliseconds."""
    return max(BASE + 1, (clock - retention) // HOUR)


class Counts:
    """The counts of one partition. Made anew with its core: what a commit did not keep is forgotten with it."""

    def __init__(self, store: Store, retention: int) -> None:
        """`retention` is how long hours are kept (ms) before they are added to the base."""
        self._store = store
        self._retention = retention
        self._cache: dict[bytes, HourCounts] = {}
        self._segments: dict[tuple[str, str], int] = {}
        """Digests by workspace and id: as many as there are segments."""
        self._swept, self._swept_at = b"", time.monotonic()

    def rows(self, transitions: Iterable[Transition], clock: int) -> dict[bytes, bytes | None]:
        """The changelog rows of a commit with these transitions, by key, None for those that go; `clock` in ms.

        They count at once: to be called once a commit, and this object be thrown away with a commit that is not known
        to have come about.
        """
        changed: dict[bytes, HourCounts | None] = {}
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._sweep(clock, changed)
        found = Counter(
            (t.workspace, t.segment, t.at // HOUR, t.sequence & 1, t.cause_kind, t.source) for t in transitions
        )
        for (workspace, segment, hour, enters, kind, source), count in found.items():
            row = self._row(counts_key(self._key(workspace, segment), hour * HOUR), changed)
            row.add(bool(enters), kind, source, count)
        for key, kept in changed.items():
            self._cache.pop(key, None)
            if kept is not None:
                self._cache[key] = kept  # as the newest
        while len(self._cache) > CACHED:
            del self._cache[next(iter(self._cache))]
        return {key: None if row is None else encode_counts(row) for key, row in changed.items()}

    def _row(self, key: bytes, changed: dict[bytes, HourCounts | None]) -> HourCounts:
        if key in changed:
            row = changed[key]
        else:
            row = self._cache.get(key)
            if row is None and (stored := self._store.more(key)) is not None:
                row = decode_counts(stored)
        if row is None:
            row = HourCounts()
        changed[key] = row
        return row

    def _key(self, workspace: str, segment: str) -> int:
        found = self._segments.get((workspace, segment))
        if found is None:
            found = self._segments[workspace, segment] = segment_key(workspace, segment)
        return found

    def _sweep(self, clock: int, changed: dict[bytes, HourCounts | None]) -> None:
        """Takes rows past the retention away, a slice at a time; what they grew goes to the base."""
        self._swept_at = time.monotonic()
        oldest = oldest_kept(clock, self._retention)
        slice_ = list(islice(self._store.more_items(COUNTS, self._swept), SWEEP_ROWS))
        self._swept = slice_[-1][0] if len(slice_) == SWEEP_ROWS else b""
        for key, stored in slice_:
            if BASE < hour_of(key) < oldest:
                base_key = key[:-4] + BASE.to_bytes(4, "big")
                base = self._row(base_key, changed)
                base.growth += decode_counts(stored).growth
                changed[key] = None
                if not base.growth and not base.sources:
                    changed[base_key] = None


class Source(NamedTuple):
    """Where one partition's counts are read: its store, and its clock (ms)."""

    store: Store
    clock: int


class Wanted(NamedTuple):
    """What is read of the counts: from the hour `first` on (hours since the epoch), by `split` (`cause`, `source` or
    None), only of one `cause` or `source` where that is not None."""

    first: int = 0
    split: str | None = None
    cause: str | None = None
    source: str | None = None


async def read_counts(
    sources: Sequence[Source], workspace: str, segment: str, retention: int, wanted: Wanted
) -> dict[str, Any]:
    """A segment's counts over these partitions in plain JSON.

    `clock` is the latest of the partitions (ms), `kept` the first hour that all of them keep; `before` how much the
    segment grew before what `hours` tell: `[hour, growth, [[cause or source, entered, left], …]]` each, in order.
    `found`: whether there is any row at all. One partition's rows are in memory at a time: one for each hour kept.
    """
    prefix = counts_prefix(segment_key(workspace, segment))
    kept = max((oldest_kept(each.clock, retention) for each in sources), default=BASE + 1)
    start = max(wanted.first, kept)
    before, found = 0, False
    hours: dict[int, tuple[int, dict[str | None, list[int]]]] = {}
    for each in sources:
        rows = list(each.store.more_items(prefix))  # as of one instant: a sweep moves from one row to another
        found = found or bool(rows)
        for number, (key, stored) in enumerate(rows, 1):
            hour = hour_of(key)
            if hour < start:
                before += growth_of(stored)
            else:
                row = decode_counts(stored)
                growth, numbers = hours.get(hour, (0, {}))
                _gather(row, wanted, numbers)
                hours[hour] = growth + row.growth, numbers
            if number % READ_SLICE == 0:
                await asyncio.sleep(0)
    told = [
        [hour, growth, [[named, *pair] for named, pair in numbers.items()]]
        for hour, (growth, numbers) in sorted(hours.items())
    ]
    clock = max((each.clock for each in sources), default=0)
    return {"clock": clock, "kept": kept, "before": before, "hours": told, "found": found}


def _gather(row: HourCounts, wanted: Wanted, numbers: dict[str | None, list[int]]) -> None:
    """Adds what is wanted of a row: entered and left."""
    for enters, cause, source, number in row.items():
        if wanted.cause in (None, cause) and wanted.source in (None, source):
            named = cause if wanted.split == "cause" else source if wanted.split == "source" else None
            numbers.setdefault(named, [0, 0])[0 if enters else 1] += number
