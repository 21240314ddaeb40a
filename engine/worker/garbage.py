"""Cyclic garbage collection between batches, not in the middle of them.

With millions of long-lived contacts in memory the collector's full passes cost more than the work itself (MEASURED.md).
It is switched off. Once so many objects were made that garbage may matter, one pass looks at those and moves the
survivors out of its sight; a full pass runs only when nothing else does.
"""

from __future__ import annotations

import gc
import time
from typing import Final

NEW_OBJECTS_MAX: Final = 1_000_000
"""Objects made and not freed since the last pass; looking at them takes a tenth of a second."""
NEW_OBJECTS_IDLE: Final = 50_000
"""The same when nothing happens."""
FULL_SECONDS: Final = 900.0
"""Between two full passes, which look at every contact in memory."""
IDLE_SECONDS: Final = 2.0
"""Without a commit for so long, a pause hurts nobody."""


class Garbage:
    """Collects when told that a batch is done, or that nothing happens."""

    def __init__(self) -> None:
        self._full_at = self._commit_at = time.monotonic()
        self._dirty = False

    def start(self) -> None:
        """Switches the automatic collector off."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Switches it on again."""
        gc.unfreeze()
        gc.enable()

    def committed(self) -> None:
        """A batch was committed: collects when it is time."""
        self._commit_at = time.monotonic()
        self._dirty = True
        if gc.get_count()[0] > NEW_OBJECTS_MAX:
            self._young()

    def idle(self) -> None:
        """Called now and then: collects when it is time and nothing happens."""
        now = time.monotonic()
        if now - self._commit_at < IDLE_SECONDS:
            return
        if self._dirty and now - self._full_at >= FULL_SECONDS:
            gc.unfreeze()
            self._young()
            self._full_at, self._dirty = time.monotonic(), False
        elif gc.get_count()[0] > NEW_OBJECTS_IDLE:
            self._young()

    @staticmethod
    def _young() -> None:
        gc.collect()
        gc.freeze()
