"""Bringing a partition's stored contacts up to changed definitions: in slices between micro-batches, resumable.

A slice is bounded by its computing time, not by a number of contacts: their histories differ. What fills take of the
event loop, over all partitions of the worker, is a share of it, so that facts and deadlines find it free between
slices. The cursor is committed with every slice, so a fill goes on where it was when the worker is killed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from engine.membership.partition import Partition
from engine.state.contacts import StoredContacts
from engine.state.store import Store

SLICE_SECONDS: Final = 0.015
"""Computing of one slice: what a fact may have to wait for, beside the commit."""
SHARE: Final = 0.5
"""Of the event loop's time, what fills may take while they run, unless FILL_SHARE says otherwise."""
KEYS_FIRST: Final = 50
"""Contacts of the first slice, before it is known what they cost."""
KEYS_MAX: Final = 1_000
"""Contacts of one slice: a commit's worth."""
SCAN: Final = 4_000
"""States looked at in one slice, most of which may be under the plan already."""
SCAN_TIMED: Final = 100
"""After so many of them it is looked whether the slice's time is over: large states take long to read."""


class FillTurns:
    """Shares the event loop of a worker between the fills of its partitions and everything else."""

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = 1 / share - 1
        self._clock = clock
        self._free_at = 0.0

    def wait(self) -> float:
        """Seconds until the next slice may begin; 0 when it may now."""
        return max(0.0, self._free_at - self._clock())

    def ended(self, seconds: float) -> None:
        """A slice took so long."""
        self._free_at = max(self._free_at, self._clock()) + seconds * self._rest


class Filling:
    """One partition's fill. `cursor` is the last store key that it has passed, None while there is nothing to fill."""

    def __init__(
        self, core: Partition, contacts: StoredContacts, store: Store, turns: FillTurns, cursor: bytes | None,
        done: int, total: int,
    ) -> None:  # fmt: skip
        """`total` contacts were stored when `contacts` was opened, and `done` of them lie behind the cursor."""
        self.cursor = cursor
        self.done = done
        self._stored = total
        self._core = core
        self._contacts = contacts
        self._store = store
        self._turns = turns
        self._keys = KEYS_FIRST
        self._passing: list[bytes] = []
        self._began = time.monotonic()
        self._done_before = done

    def begin(self) -> None:
        """New definitions: from the first contact on."""
        self.cursor, self.done = b"", 0
        self._began, self._done_before = time.monotonic(), 0

    @property
    def rate(self) -> float:
        """Contacts a second since the fill began, or was taken up again."""
        return (self.done - self._done_before) / max(1e-3, time.monotonic() - self._began)

    @property
    def total(self) -> int:
        """The contacts that there are."""
        return max(self.done, self._stored + self._contacts.made)

    @property
    def share(self) -> float:
        """Of the contacts, those that were reached: 0 to 1."""
        return 1.0 if self.cursor is None or not self.total else self.done / self.total

    async def slice(self, run: Callable[[Sequence[bytes]], Awaitable[Any]]) -> int:
        """One slice: the next contacts that are not under the plan are given to `run`. Returns how many they were."""
        assert self.cursor is not None
        began = time.perf_counter()
        stale: list[bytes] = []
        looked, last, ended = 0, self.cursor, True
        fingerprint = self._core.plan.fingerprint
        for last, header in self._store.headers(self.cursor):
            looked += 1
            if header.plan != fingerprint:
                stale.append(last)
            slow = looked % SCAN_TIMED == 0 and time.perf_counter() - began > SLICE_SECONDS
            if slow or looked >= SCAN or len(stale) >= self._keys:
                ended = False
                break
        if stale:
            passing = [key for key in stale if key not in self._contacts]
            self._contacts.prefetch(stale)
            await run(stale)
            self._passing += passing
            self._adapt(len(stale), time.perf_counter() - began)
        else:
            await asyncio.sleep(0)
        self.cursor = None if ended else last
        self.done += looked
        self._turns.ended(time.perf_counter() - began)
        return len(stale)

    def committed(self) -> None:
        """Contacts that only the fill asked for leave the memory, which is for those that facts touch."""
        passing, self._passing = self._passing, []
        for key in passing:
            self._contacts.forget(key)

    def _adapt(self, count: int, seconds: float) -> None:
        fitting = int(count * SLICE_SECONDS / max(seconds, 1e-6))
        self._keys = max(1, min(fitting, 2 * self._keys, KEYS_MAX))
