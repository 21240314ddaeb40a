"""Long readings of a store: its states as of one instant, in slices, while the partition goes on.

A store cannot be closed under an open iterator, so it knows its readings and ends them; whoever reads on is told.
They are bounded in number and in age: each keeps on the disk, and partly in memory, what was replaced since it began.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rocksdict import RdictIter

READINGS_MAX: Final = 32
"""Readings of one store at once."""
READING_SECONDS: Final = 600.0
"""A reading is ended so long after it began: ten million contacts take a minute, the rest is for a slow reader."""


class ReadingEnded(Exception):
    """The store has ended the reading. The text says why."""


class TooManyReadings(Exception):
    """The store has as many readings as it allows."""


class Reading:
    """States in the order of their keys, as they were when it was opened; `end` it. The store may end it from another
    thread, between two slices."""

    def __init__(self, each: RdictIter, forget: Callable[[Reading], None]) -> None:
        self._each: RdictIter | None = each
        self._forget = forget
        self._lock = Lock()
        self._why = "it was ended"
        self.began = time.monotonic()

    def take(self, count: int) -> list[tuple[bytes, bytes]]:
        """Store key and encoded state of the next `count` states, fewer at the end. Raises ReadingEnded."""
        found: list[tuple[bytes, bytes]] = []
        with self._lock:
            each = self._each
            if each is None:
                raise ReadingEnded(self._why)
            while len(found) < count and each.valid():
                found.append((each.key(), each.value()))
                each.next()
        return found

    def end(self, why: str = "it was ended") -> None:
        """Lets go of the store; harmless when that was done already. `why` is what a later `take` says."""
        with self._lock:
            if self._each is not None:
                self._each, self._why = None, why
        self._forget(self)


class Readings:
    """The open readings of one store."""

    def __init__(self) -> None:
        self._open: set[Reading] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def open(self, each: Callable[[], RdictIter]) -> Reading:
        """A reading over the iterator that `each` makes. Raises TooManyReadings, ReadingEnded for a closed store."""
        if self._closed:
            raise ReadingEnded("the store is closed")
        self.end_old()
        if len(self._open) >= READINGS_MAX:
            raise TooManyReadings(f"{READINGS_MAX} readings of the partition are under way")
        reading = Reading(each(), self._open.discard)
        self._open.add(reading)
        return reading

    def end_old(self) -> None:
        """Ends those that began too long ago; asked at each write, so that an idle reader holds nothing up."""
        if self._open:
            oldest = time.monotonic() - READING_SECONDS
            for reading in [each for each in self._open if each.began < oldest]:
                reading.end(f"it took longer than {READING_SECONDS:.0f} seconds")

    def close(self) -> None:
        """Ends all, and takes no more: the store is about to be closed."""
        self._closed = True
        for reading in list(self._open):
            reading.end("the store was closed: the partition is leaving this worker")
