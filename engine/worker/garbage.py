"""Cyclic garbage collection between batches, not in the middle of them.

With millions of long-lived contacts in memory the collector's full passes cost more than the work itself (MEASURED.md).
It is switched off; what survives a young collection is moved out of its sight, and a full one runs only when nothing
else does.
"""

from __future__ import annotations

import gc
import time
from typing import Final

YOUNG_SECONDS: Final = 1.0
"""Between two collections of what was made since the last: some tens of milliseconds under full load."""
FULL_SECONDS: Final = 900.0
"""Between two full collections, which look at every contact in memory."""
IDLE_SECONDS: Final = 2.0
"""Without a commit for so long, a pause for a full collection hurts nobody."""


class Garbage:
    """Collects when told that a batch is done."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._young_at = self._full_at = self._commit_at = now
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
        """A batch was committed: collects the young when it is time."""
        self._commit_at = now = time.monotonic()
        self._dirty = True
        if now - self._young_at >= YOUNG_SECONDS:
            gc.collect()
            gc.freeze()
            self._young_at = time.monotonic()

    def idle(self) -> None:
        """Called now and then: a full collection when it is time and nothing happens."""
        now = time.monotonic()
        if self._dirty and now - self._full_at >= FULL_SECONDS and now - self._commit_at >= IDLE_SECONDS:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._full_at, self._dirty = time.monotonic(), False
