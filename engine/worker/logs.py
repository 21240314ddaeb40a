"""The worker's log: plain lines to standard error, and no line a thousand times.

The Kafka client tells every attempt to reach a broker that is away, some hundred times a second.
"""

from __future__ import annotations

import logging
import time
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
AGAIN_SECONDS: Final = 10.0
"""Between two lines that differ in their figures only."""
TEMPLATES_MAX: Final = 1_000
"""Kinds of lines remembered."""


class Repeated(logging.Filter):
    """Lets a line of each kind through once in a while, with the number of those left out."""

    def __init__(self, seconds: float = AGAIN_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written; adds to it how many like it were not."""
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        told_at, left_out = self._seen.get(kind, (now - self._seconds, 0))
        if now - told_at < self._seconds:
            self._seen[kind] = (told_at, left_out + 1)
            return False
        if len(self._seen) >= TEMPLATES_MAX:
            self._seen.clear()
        self._seen[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like this)", ()
        return True


def set_up(level: str) -> None:
    """Logs this process to standard error; `level` is the engine's, the libraries are told of from warnings on."""
    logging.basicConfig(format=FORMAT, level=level, force=True)
    repeated = Repeated()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_OnlyOf("aiokafka", repeated))
    for name in ("faust", "mode", "aiokafka", "httpx", "httpcore"):  # httpx tells each request, with contacts in it
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiokafka").propagate = True
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)  # retries; we tell how a commit ends


class _OnlyOf(logging.Filter):
    """Asks another filter about the lines of one library."""

    def __init__(self, library: str, other: logging.Filter) -> None:
        super().__init__()
        self._library = library
        self._other = other

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.startswith(self._library) or bool(self._other.filter(record))
