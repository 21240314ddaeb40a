"""Leaving in order on Ctrl-C, SIGTERM or a closed terminal: at any moment, and never twice.

A signal raises KeyboardInterrupt, but for three kinds of stretches: in `hold` it waits for the end of the stretch,
under `cancels` it cancels a coroutine, and after `close` it is not heard any more, so that cleaning up is finished.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Leaving:
    """A context manager; in the main thread only."""

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal came."""
        self._held = 0
        self._closed = False
        self._task: asyncio.Task[Any] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        if self._closed or self._held:
            return
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        else:
            raise KeyboardInterrupt

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A stretch that is finished first: what it makes is known to whoever cleans up."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self.asked and not self._held:
                raise KeyboardInterrupt

    @contextmanager
    def cancels(self) -> Iterator[None]:
        """In a coroutine: a signal cancels its task, here or where it waits."""
        self._task = asyncio.current_task()
        try:
            if self.asked:
                raise asyncio.CancelledError
            yield
        finally:
            self._task = None
            self._held += 1  # what is left to do here is cleaning up

    def close(self) -> None:
        """From now on signals change nothing."""
        self._closed = True
