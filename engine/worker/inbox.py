"""The order in which a partition takes facts from several topics (DESIGN.md 4).

The heads of the topics are merged by (`at`, topic, offset). That equals sorting the buffered records by (running
maximum of `at` in their topic, topic, offset): a record behind a newer one of its topic waits for it. A topic that is
not fetched up to its last stable offset may still bring an older head, so nothing that would come after it is taken.

Records older than the clock (an import of history) are taken in turn with the others and hold nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

from engine.conditions.fact import Fact
from engine.membership.facts import Rejected

IMPORT_RECORDS: Final = 2_000
"""So many buffered records in a row older than the clock are an import of history; fewer may just be late facts."""
BEGINNING: Final = -(1 << 62)
"""Running maximum of a topic of which nothing was read."""

Record = Any
"""A ConsumerRecord of aiokafka, which ships no types."""


@dataclass(slots=True)
class Taken:
    """What a partition takes in one batch, in order. `records` go with `facts`, `rejected` are apart."""

    facts: list[Fact]
    records: list[Record]
    rejected: list[tuple[Record, Rejected]]


@dataclass(slots=True)
class Source:
    """The buffered records of one topic for one partition number."""

    topic: str
    read: list[Fact | Rejected] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    """Running maximum of `at`, by record."""
    running: int = BEGINNING
    bytes: int = 0
    rejected: int = 0
    importing: bool = False
    """Whether this was an import of history when the last batch was taken."""
    position: int | None = None
    """Next offset to fetch, behind everything buffered; None before the first look."""
    stable: int | None = None
    """Last stable offset the broker told; None before the first answer."""

    def __len__(self) -> int:
        return len(self.read)

    @property
    def fetched(self) -> bool:
        """Whether nothing is known to lie on the broker behind what is buffered."""
        return self.position is not None and self.stable is not None and self.position >= self.stable

    @property
    def next_offset(self) -> int | None:
        """Offset of the first record not taken yet; None when nothing is known."""
        return self.records[0].offset if self.records else self.position

    def is_import(self, clock: int) -> bool:
        """Whether this topic is being read far behind the clock."""
        return len(self.order) >= IMPORT_RECORDS and self.order[-1] <= clock

    def add(self, read: Sequence[Fact | Rejected], records: Sequence[Record], size: int) -> None:
        """Appends records as they were read; `size` is their bytes."""
        running, order = self.running, self.order
        for each in read:
            if type(each) is Rejected:
                self.rejected += 1
            elif each.at > running:  # type: ignore[union-attr]
                running = each.at  # type: ignore[union-attr]
            order.append(running)
        self.running = running
        self.read += read
        self.records += records
        self.bytes += size
        if records:
            self.position = records[-1].offset + 1

    def drop(self, count: int) -> None:
        """Forgets the first `count` records: they are taken."""
        if count:
            self.bytes -= self.bytes * count // len(self.read)
            del self.read[:count], self.records[:count], self.order[:count]

    def clear(self, position: int) -> None:
        """Starts anew at an offset."""
        self.read, self.records, self.order = [], [], []
        self.running, self.bytes, self.rejected, self.importing = BEGINNING, 0, 0, False
        self.position, self.stable = position, None


class Inbox:
    """What is fetched and not yet taken of one partition number, over all input topics."""

    def __init__(self, topics: Sequence[str]) -> None:
        """`topics` in any order; they are taken in the order of their names where instants are equal."""
        self.sources = [Source(topic) for topic in sorted(topics)]
        self.by_topic = {source.topic: source for source in self.sources}
        self.epoch = 0
        """Changes with every seek, so that records fetched before it are told apart."""

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def seek(self, offsets: dict[str, int]) -> None:
        """Forgets everything buffered and goes on at these offsets, by topic."""
        self.epoch += 1
        for source in self.sources:
            source.clear(offsets[source.topic])

    def offsets(self) -> dict[str, int]:
        """Next offset to take, by topic, of all that are known."""
        return {s.topic: n for s in self.sources if (n := s.next_offset) is not None}

    def reached(self, ends: dict[str, int], clock: int) -> bool:
        """Whether every topic was taken up to these ends, but for imports of history."""
        for source in self.sources:
            offset = source.next_offset
            history = source.is_import(clock) or (source.importing and source.order and source.order[-1] <= clock)
            if (offset is None or offset < ends.get(source.topic, 0)) and not history:
                return False
        return True

    def take(self, clock: int, records_max: int, bytes_max: int) -> Taken | None:
        """The next records in order, at most so many and about so many bytes; None while some topic must be waited for.

        `clock` is the partition's, in milliseconds.
        """
        filled = [source for source in self.sources if source.read]
        if not filled or any(not source.read and not source.fetched for source in self.sources):
            return None
        for source in self.sources:
            source.importing = source.is_import(clock)
        limit = min(records_max, max(1, bytes_max * len(self) // max(1, sum(s.bytes for s in filled))))
        if len(filled) == 1:
            return _gather([(filled[0], min(limit, len(filled[0])))])
        ahead = self._old(filled, clock, limit)
        left = limit - sum(count for _, count in ahead)
        new = self._merged(clock, {id(s): n for s, n in ahead}, left)
        return _gather(ahead, new) if ahead or new else None

    @staticmethod
    def _old(filled: Sequence[Source], clock: int, limit: int) -> list[tuple[Source, int]]:
        """Equal parts of the batch for what is older than the clock; half of it in all when there is newer."""
        old = [(source, bisect_right(source.order, clock)) for source in filled]
        behind = [(source, count) for source, count in old if count]
        if not behind:
            return []
        newer = any(count < len(source) for source, count in old)
        part = max(1, (limit // 2 if newer else limit) // len(behind))
        return [(source, min(count, part)) for source, count in behind]

    def _merged(self, clock: int, skip: dict[int, int], limit: int) -> list[tuple[Source, int, int]]:
        """(source, index, …) of the records newer than the clock that may be taken now, in order."""
        starts, ends = [], []
        for source in self.sources:
            start = bisect_right(source.order, clock)
            # Behind history that is not all taken in this batch, a topic's newer records wait.
            starts.append(start if skip.get(id(source), 0) >= start else len(source))
            ends.append(len(source))
        for at, holder in enumerate(self.sources):
            behind = bisect_right(holder.order, clock)
            if starts[at] > behind:
                last = holder.order[behind]  # its first newer record, which waits behind its history
            elif holder.fetched or not holder.order or holder.is_import(clock):
                continue
            else:
                last = holder.order[-1]
            for other, source in enumerate(self.sources):
                if other != at:
                    cut = bisect_right(source.order, last) if other < at else bisect_left(source.order, last)
                    ends[other] = min(ends[other], cut)
        keyed: list[tuple[int, int, int]] = []
        for at, source in enumerate(self.sources):
            start = starts[at]
            stop = min(ends[at], start + limit)
            if start < stop:
                keyed += zip(source.order[start:stop], repeat(at), range(start, stop), strict=False)
        keyed.sort()
        return [(self.sources[at], index, at) for _, at, index in keyed[:limit]]


def _gather(ahead: Sequence[tuple[Source, int]], merged: Sequence[tuple[Source, int, int]] = ()) -> Taken:
    """Takes the first so many of each source, then the merged ones, out of the sources."""
    read: list[Fact | Rejected] = []
    records: list[Record] = []
    counts: dict[int, tuple[Source, int]] = {}
    rejected = 0
    for source, count in ahead:
        read += source.read[:count]
        records += source.records[:count]
        counts[id(source)] = (source, count)
        rejected += source.rejected
    for source, index, _ in merged:
        read.append(source.read[index])
        records.append(source.records[index])
        counts[id(source)] = (source, index + 1)
        rejected += source.rejected
    for source, count in counts.values():
        if source.rejected:
            source.rejected -= sum(type(each) is Rejected for each in source.read[:count])
        source.drop(count)
    if not rejected:
        return Taken(read, records, [])  # type: ignore[arg-type]
    good = [(fact, record) for fact, record in zip(read, records, strict=True) if type(fact) is not Rejected]
    bad = [(record, fact) for fact, record in zip(read, records, strict=True) if type(fact) is Rejected]
    return Taken([f for f, _ in good], [r for _, r in good], bad)  # type: ignore[misc]
