"""Counts of a partition's transitions by segment and hour: rows of the changelog, committed with what they count.

Key: `h`, the segment's digest (8 bytes), the hour (4 bytes); numbers are big-endian, and the hour is that of the
transitions' `at`, counted from the epoch in UTC. The row of hour 0 is the base: it also holds how much the segment grew
in the hours whose rows were swept, so that the growth of all rows together stays the segment's size in the partition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.conditions.instants import HOUR

COUNTS: Final = b"h"
COUNTS_VERSION: Final = 1
BASE: Final = 0
"""The hour of the base row."""
SOURCES_MAX: Final = 200
"""Sources of one segment in one hour of one partition; those that come after count as OTHER. With their causes, a row
has at most 60 KB."""
OTHER: Final = "other"
KINDS: Final = ("event", "clock", "definition", "backfill", "list", "opt_out", "merge", "erase")
"""Causes, by their place in a row: new ones go to the end."""


class UnknownCounts(Exception):
    """A row in a format that this engine does not know."""


class HourCounts(msgspec.Struct, array_like=True):
    """One row. `growth` is enters less exits, of the base with those of the rows swept; `sources` holds by first-touch
    source (empty: none is known) the numbers by code: twice the cause's place in KINDS, and one more for enters."""

    growth: int = 0
    sources: dict[str, dict[int, int]] = {}

    def add(self, enters: bool, kind: str, source: str, number: int = 1) -> None:
        """Count transitions that have all of this in common."""
        codes = self.sources.get(source)
        if codes is None:
            if len(self.sources) >= SOURCES_MAX:
                source = OTHER
            codes = self.sources.setdefault(source, {})
        code = 2 * KINDS.index(kind) + enters
        codes[code] = codes.get(code, 0) + number
        self.growth += number if enters else -number

    def items(self) -> Iterable[tuple[bool, str, str, int]]:
        """Whether they are enters, the kind of cause, the source, how many."""
        for source, codes in self.sources.items():
            for code, count in codes.items():
                yield bool(code & 1), KINDS[code >> 1], source, count


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(HourCounts).decode
_PREFIX = bytes([COUNTS_VERSION])


class _Growth(msgspec.Struct, array_like=True):
    """The leading field of a row, decoded without the rest."""

    growth: int = 0


_decode_growth = msgspec.msgpack.Decoder(_Growth).decode


def counts_prefix(segment: int) -> bytes:
    """What the keys of a segment's rows begin with."""
    return COUNTS + segment.to_bytes(8, "big")


def counts_key(segment: int, at: int) -> bytes:
    """The key of the row for a transition at an instant (ms)."""
    return counts_prefix(segment) + max(0, at // HOUR).to_bytes(4, "big")


def hour_of(key: bytes) -> int:
    """The hour of a row, by its key: hours since the epoch."""
    return int.from_bytes(key[-4:], "big")


def encode_counts(counts: HourCounts) -> bytes:
    """A row's value."""
    return _PREFIX + _encode(counts)


def decode_counts(encoded: bytes) -> HourCounts:
    """What `encode_counts` wrote. Raises UnknownCounts."""
    if encoded[0] != COUNTS_VERSION:
        raise UnknownCounts(
            f"counts are in format {encoded[0]}, this engine knows {COUNTS_VERSION}: run the version that wrote them"
        )
    return _decode(memoryview(encoded)[1:])


def growth_of(encoded: bytes) -> int:
    """How much a row says that its segment grew. Raises UnknownCounts."""
    return (
        _decode_growth(memoryview(encoded)[1:]).growth
        if encoded[0] == COUNTS_VERSION
        else decode_counts(encoded).growth
    )
