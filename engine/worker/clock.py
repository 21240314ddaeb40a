"""How far a partition clock may follow the wall (DESIGN.md 4).

A probe notes the wall clock `w`, then asks the broker where every input ends. A partition that has taken everything
before those ends has seen every fact that was appended before `w`, so its clock may go to `w` less GRACE: no deadline
overtakes a fact that arrived before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from engine.conditions.instants import NEVER, format_instant
from engine.worker.inbox import Inbox

log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 0.1
"""Between two probes: with the commit, well inside the 250 ms that a clock transition may take."""
PROBE_SECONDS_MIN: Final = 0.02
"""Between two probes when deadlines are due one after another."""
PROBE_TIMEOUT_SECONDS: Final = 5.0


def wall() -> int:
    """The wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


def clock_told(clock: int) -> str:
    """A partition's clock (ms) in words: RFC 3339, or that there is none yet where it is negative.

    >>> clock_told(1_795_389_666_773), clock_told(-1)
    ('clock 2026-11-22T23:21:06.773Z', 'no clock yet')
    """
    return "no clock yet" if clock < 0 else f"clock {format_instant(clock)}"


@dataclass(frozen=True, slots=True)
class Probe:
    """At `asked` (wall clock, ms) the inputs ended at `ends`: last stable offsets, by partition number and topic."""

    asked: int
    ends: dict[int, dict[str, int]]


class PartitionTime:
    """The instant that one partition's clock may go to, from the probes that its inbox has reached."""

    def __init__(self, number: int, grace: int) -> None:
        self._number = number
        self._grace = grace
        self._waiting: Probe | None = None
        self._latest: Probe | None = None

    def tell(self, probe: Probe) -> None:
        """A new probe. Of those not reached the oldest is kept too: under steady load the newest is never reached."""
        self._latest = probe
        if self._waiting is None:
            self._waiting = probe

    def target(self, inbox: Inbox, clock: int) -> int | None:
        """The instant to which the clock may go now; None when no new probe was reached."""
        found: int | None = None
        if self._waiting is not None and self._reached(self._waiting, inbox, clock):
            found = self._waiting.asked - self._grace
            self._waiting = None
            if self._latest is not None and self._reached(self._latest, inbox, clock):
                found = self._latest.asked - self._grace
            else:
                self._waiting = self._latest
            self._latest = None
        return found if found is not None and found > clock else None

    def _reached(self, probe: Probe, inbox: Inbox, clock: int) -> bool:
        return inbox.reached(probe.ends.get(self._number, {}), clock)


class Prober:
    """Asks the broker, for all partitions of the worker at once, and tells each of them."""

    def __init__(
        self,
        consumer: Any,
        topics: tuple[str, ...],
        *,
        grace: int,
        numbers: Callable[[], list[int]],
        next_deadline: Callable[[], int],
        tell: Callable[[Probe], None],
    ) -> None:
        """`consumer` is read_committed and fetches nothing: a fetch in flight would hold the question up."""
        self._consumer = consumer
        self._topics = topics
        self._grace = grace
        self._numbers = numbers
        self._next_deadline = next_deadline
        self._tell = tell

    async def run(self) -> None:
        """Probes until cancelled: regularly, and just when the next deadline comes due."""
        while True:
            if numbers := self._numbers():
                try:
                    self._tell(await self._ask(numbers))
                except (KafkaError, TimeoutError) as error:
                    log.warning("Cannot ask where the inputs end: %r; clocks wait", error)
                    await asyncio.sleep(1.0)
            await asyncio.sleep(self._pause())

    async def _ask(self, numbers: list[int]) -> Probe:
        asked = wall()
        wanted = [TopicPartition(topic, number) for number in numbers for topic in self._topics]
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            found = await self._consumer.end_offsets(wanted)
        ends: dict[int, dict[str, int]] = {number: {} for number in numbers}
        for each, end in found.items():
            ends[each.partition][each.topic] = end
        return Probe(asked, ends)

    def _pause(self) -> float:
        deadline = self._next_deadline()
        if deadline >= NEVER:
            return PROBE_SECONDS
        due = (deadline + self._grace + 1 - wall()) / 1000
        return min(PROBE_SECONDS, max(PROBE_SECONDS_MIN, due))


class Skew:
    """Whether the wall clock agrees with the broker's append time."""

    def __init__(self, allowed: int) -> None:
        """`allowed` is in milliseconds."""
        self._allowed = allowed
        self.millis = 0
        """Wall clock less the broker's, as last measured; positive when this machine is ahead."""

    def measure(self, before: int, appended: int, after: int) -> None:
        """Takes the wall clock before and after a record was sent and the instant that the broker gave it (ms)."""
        if appended < before:
            self.millis = before - appended
        elif appended > after:
            self.millis = after - appended
        else:
            self.millis = 0
        if not self.ok:
            log.error("%s", self.problem(after))

    @property
    def ok(self) -> bool:
        return abs(self.millis) <= self._allowed

    def problem(self, now: int) -> str:
        """One sentence for people; empty when all is well."""
        if self.ok:
            return ""
        way = "ahead of" if self.millis > 0 else "behind"
        return (
            f"the wall clock here ({format_instant(max(now, 0))}) is {abs(self.millis)} ms {way} the broker's, more "
            f"than SKEW ({self._allowed} ms) allows: set the clocks right; until then partition clocks follow facts"
        )
