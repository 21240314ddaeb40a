"""What a process costs, read from /proc: CPU seconds (user and system), peak resident memory; and the timeline of one
run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness import Program, wait_until

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_rss_mib(pid: int) -> int:
    """The greatest resident memory of a process so far, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    raise ValueError(f"no VmHWM of {pid}")


@dataclass(frozen=True, slots=True)
class Figures:
    """One system's run over the backlog. The second half starts at the first look after half of the events were
    committed.
    """

    events: int
    wall_s: float
    events_per_s: float
    events_per_s_2nd_half: float
    cpu_s: float
    cpu_us_per_event: float
    cpu_us_per_event_2nd_half: float
    peak_rss_mib: int
    first_commit_s: float


@dataclass(slots=True)
class _Look:
    seconds: float
    events: int
    cpu: float


@dataclass(slots=True)
class Timeline:
    """Looks at a running program, several a second, until it has committed all events."""

    looks: list[_Look] = field(default_factory=list)

    def watch(
        self, program: Program, committed: Callable[[], int], events: int, *, start: float, within: float
    ) -> Figures:
        """Returns when `committed()` is `events`; `start` is the monotonic second at which the program was started.

        Raises TimedOut after `within` seconds or when the program ends early.
        """

        def done() -> bool:
            count = committed()
            self.looks.append(_Look(time.monotonic() - start, count, cpu_seconds(program.pid)))
            return count >= events

        wait_until(done, within, f"{events} events committed", alive=program)
        return self._figures(peak_rss_mib(program.pid))

    def _figures(self, rss: int) -> Figures:
        last = self.looks[-1]
        first = next(look for look in self.looks if look.events > 0)
        half = next(look for look in self.looks if look.events >= last.events / 2)
        rest = last.events - half.events
        whole = rest == 0  # too few events for a second half: it was all one commit
        return Figures(
            events=last.events,
            wall_s=round(last.seconds, 2),
            events_per_s=round(last.events / last.seconds),
            events_per_s_2nd_half=round(last.events / last.seconds if whole else rest / (last.seconds - half.seconds)),
            cpu_s=round(last.cpu, 2),
            cpu_us_per_event=round(last.cpu / last.events * 1e6, 1),
            cpu_us_per_event_2nd_half=round(
                (last.cpu / last.events if whole else (last.cpu - half.cpu) / rest) * 1e6, 1
            ),
            peak_rss_mib=rss,
            first_commit_s=round(first.seconds, 2),
        )
