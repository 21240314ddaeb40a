"""The members of a segment at one instant of each partition: complete, each once, in the order of their ids.

Every partition is read from one snapshot of its store, taken when the question comes, all in one turn of the event
loop; so exactly those are there whose last published transition by then is an enter, whatever happens meanwhile.
Pieces of the partitions, and later of the workers, are merged as they come: nobody holds a whole segment in memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import orjson

from engine.conditions.contact import SEQUENCE, SINCE
from engine.conditions.instants import format_instant
from engine.conditions.profile import attribute_reader
from engine.membership.placement import store_key
from engine.membership.plan import Plan
from engine.membership.planned import segment_key
from engine.state.codec import NO_CLOCK, Position, decode_contact, decode_position, decode_roll, membership_mark
from engine.state.readings import Reading
from engine.state.store import Store

SLICE: Final = 500
"""States looked at between two turns of the event loop: two to four milliseconds."""
COLUMNS_MAX: Final = 50
"""Attributes that are read along with the members."""

Row = tuple[bytes, bytes]
"""A contact's id, and its line of JSON without the line end."""
Piece = tuple[list[Row], bytes | None]
"""Rows in the order of their ids, and the id up to which they are all there is; None: there are no more."""

_id_of = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Part:
    """A partition that is read: its store, the plan that it has taken up, whether it still fills contacts, and the
    clock (ms) up to which no deadline is left."""

    number: int
    store: Store
    plan: Plan
    filling: bool
    clock: int


class Snapshot:
    """The members in some partitions as of its making; `end` it.

    Raises engine.state.readings.TooManyReadings, and ReadingEnded where a partition is just leaving.
    """

    def __init__(self, parts: Sequence[Part], workspace: str, segment: str, columns: Sequence[str] = ()) -> None:
        """`columns` are paths of attributes, as in a segment's `payload`. Raises ValueError for one that is none."""
        self._readers = [(path, attribute_reader(path)) for path in columns]
        self._wanted = segment_key(workspace, segment)
        self._mark = membership_mark(self._wanted)
        self._prefix = store_key(workspace, "")
        self._parts = parts
        self._positions: list[Position] = []
        self._readings: list[Reading] = []
        try:
            for part in parts:
                meta = part.store.read_meta()
                position = decode_position(meta.position) if meta is not None and meta.position else Position()
                self._positions.append(position)
                self._readings.append(part.store.reading(self._prefix))
        except BaseException:
            self.end()
            raise
        self._workspace = workspace

    def partitions(self) -> list[dict[str, Any]]:
        """Of each partition: its number; `as_of` (RFC 3339; null before its first fact), up to which everything that
        time brings has counted; the offsets of the inputs up to which facts have, which may be ahead of that clock; the
        version of the definition that it judges by (null: not taken up yet), and `filling` while it has not brought
        every contact up to the definitions that it took up last."""
        return [self._about(part, position) for part, position in zip(self._parts, self._positions, strict=True)]

    def _about(self, part: Part, position: Position) -> dict[str, Any]:
        clock, planned = max(part.clock, position.clock), part.plan.workspace(self._workspace).by_key.get(self._wanted)
        return {
            "partition": part.number,
            "as_of": None if clock == NO_CLOCK else format_instant(clock),
            "version": None if planned is None else planned.version,
            "filling": part.filling,
            "offsets": position.offsets,
        }

    def pieces(self) -> AsyncGenerator[Piece, None]:
        """The members of all these partitions, once. Raises ReadingEnded where a partition leaves meanwhile."""
        return merged([self._of(reading) for reading in self._readings])

    def end(self) -> None:
        """Lets go of the stores; harmless when done already."""
        for reading in self._readings:
            reading.end()

    async def _of(self, reading: Reading) -> AsyncGenerator[Piece, None]:
        prefix, mark, wanted, start = self._prefix, self._mark, self._wanted, len(self._prefix)
        while True:
            states = reading.take(SLICE)
            rows: list[Row] = []
            more = len(states) == SLICE
            for key, encoded in states:
                if not key.startswith(prefix):
                    more = False
                    break
                if mark not in encoded:
                    continue
                entry = decode_roll(encoded).members.get(wanted)
                if entry is not None and entry[SEQUENCE] & 1:
                    rows.append((key[start:], self._line(key, entry, encoded)))
            if not more:
                reading.end()  # whoever has the last piece does not come again
                yield rows, None
                return
            yield rows, states[-1][0][start:]
            await asyncio.sleep(0)

    def _line(self, key: bytes, entry: list[int], encoded: bytes) -> bytes:
        row: dict[str, Any] = {
            "contact": key[len(self._prefix) :].decode(),
            "since": format_instant(entry[SINCE]),
            "sequence": entry[SEQUENCE],
        }
        if self._readers:
            contact = decode_contact(encoded)
            found = row["attributes"] = dict[str, Any]()
            for path, read in self._readers:
                values = read(contact)
                found[path] = None if not values else values[0] if len(values) == 1 else values
        return orjson.dumps(row)


class _Waiting:
    """A source, and those of its rows that may not be handed on yet."""

    def __init__(self, source: AsyncIterator[Piece]) -> None:
        self.source = source
        self.rows: list[Row] = []
        self.known: bytes | None = b""
        """Up to which id all its rows are here; None: all."""

    async def advance(self) -> None:
        rows, self.known = await anext(self.source)
        self.rows += rows

    def until(self, bound: bytes | None) -> list[Row]:
        """Takes the rows up to the id `bound`."""
        if bound is None:
            found, self.rows = self.rows, []
        else:
            place = bisect_right(self.rows, bound, key=_id_of)
            found, self.rows = self.rows[:place], self.rows[place:]
        return found


async def merged(sources: Sequence[AsyncIterator[Piece]]) -> AsyncGenerator[Piece, None]:
    """The rows of sources that have none in common, in the order of their ids.

    Only the source that is furthest behind is asked on, so what waits is some pieces a source.
    """
    waiting = [_Waiting(source) for source in sources]
    while True:
        behind = [each for each in waiting if each.known is not None]
        if not behind:
            yield sorted((row for each in waiting for row in each.until(None)), key=_id_of), None
            return
        least = min(behind, key=_known)
        await least.advance()
        bound = min((each.known for each in waiting if each.known is not None), default=None)
        rows = [row for each in waiting for row in each.until(bound)]
        rows.sort(key=_id_of)
        yield rows, bound
        if bound is None:
            return


def _known(each: _Waiting) -> bytes:
    return each.known or b""
