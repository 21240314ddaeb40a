"""`python -m tests.bench profile`: where the engine's time goes on job J10, by cProfile around the worker.

Every function's own time is put down to the step that its module belongs to; a function written in C counts for the
step of the Python function that calls it. cProfile makes Python calls dearer than they are, so read the shares, not
the seconds.
"""

from __future__ import annotations

import pstats
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from deploy.local_broker import LocalBroker
from tests.bench import systems
from tests.bench.j10_events import Input
from tests.bench.job import TABLE_WIDTH, Runs, expected, input_file, load

# The first pattern found in "path:function" decides; order matters.
STEPS = (
    ("store", ("rocksdict", "engine/state/store")),
    ("wait", ("selectors.py", "select.epoll")),
    ("start", ("importlib", "builtins.compile", "builtins.exec", "marshal", "pydantic", "ruamel", "/re/", "typing.py")),
    ("commit", ("engine/worker/commit", "aiokafka/producer/transaction", "aiokafka/producer/sender")),
    ("produce", ("aiokafka/producer", "engine/worker/publishing", "engine/worker/fanout")),
    ("fetch", ("aiokafka/consumer", "aiokafka/record", "engine/worker/intake", "engine/worker/inbox")),
    ("decode", ("engine/membership/facts", "engine/conditions/fact")),
    ("encode", ("engine/state/codec", "engine/state/changelog", "engine/membership/transitions")),
    ("state", ("engine/state", "engine/membership/ids", "engine/membership/batch", "engine/membership/contact")),
    ("judge", ("engine/conditions", "engine/membership")),
    ("loop", ("engine/worker", "engine/api", "asyncio", "faust", "/mode/", "aiokafka")),
)

IDLE = ("wait", "start")  # not part of the work on events
TITLE_WIDTH = 60  # columns


class Function(NamedTuple):
    """A profiled function as pstats names it."""

    path: str
    line: int
    name: str


def step_of(function: Function) -> str | None:
    """The step of a Python function; None for one written in C that no pattern names."""
    text = f"{function.path}:{function.name}"
    for step, patterns in STEPS:
        if any(pattern in text for pattern in patterns):
            return step
    return None if function.path == "~" else "other"


Callers = dict[tuple[str, int, str], tuple[int, int, float, float]]
Stats = dict[tuple[str, int, str], tuple[int, int, float, float, Callers]]


def shares(stats: Stats) -> dict[str, float]:
    """Own seconds a step, over all functions."""
    found: dict[str, float] = defaultdict(float)
    for key, (_, _, own, _, callers) in stats.items():
        step = step_of(Function(*key))
        if step is not None:
            found[step] += own
            continue
        for caller, (_, _, part, _) in callers.items():
            found[step_of(Function(*caller)) or "other"] += part
    return found


def run(job: Input, top: int) -> int:
    """Profiles the worker over the job and prints the steps and the dearest functions."""
    home, errors = systems.home(), Console(stderr=True)
    path = input_file(job, home)
    want = expected(path)
    work = Path(tempfile.mkdtemp(prefix="segment-profile-"))
    saved = work / "worker.prof"
    try:
        with LocalBroker(work / "kafka", memory="load") as broker:
            events = load(path, broker.brokers)
            runs = Runs(home, work, broker.brokers, events, want, errors.print)
            result = runs.engine(("-m", "cProfile", "-o", str(saved)))
        profile = pstats.Stats(str(saved))
        stats: Stats = profile.stats  # type: ignore[attr-defined]
        console = Console(width=max(TABLE_WIDTH, errors.width))
        console.print(_steps(shares(stats), events))
        console.print(_functions(stats, top, events))
        console.print(f"transitions equal to the oracle: {'yes' if result['equal'] else 'NO'}")
    except systems.Unavailable as reason:
        errors.print(f"cannot profile: {reason}")
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0 if result["equal"] else 1


def _steps(found: dict[str, float], events: int) -> Table:
    busy = sum(seconds for step, seconds in found.items() if step not in IDLE)
    table = Table(title=f"Worker under cProfile, {events:,} events", title_justify="left", min_width=TITLE_WIDTH)
    for name in ("step", "µs an event", "share of the busy time"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step, seconds in sorted(found.items(), key=lambda pair: -pair[1]):
        share = "" if step in IDLE else f"{100 * seconds / busy:.1f} %"
        table.add_row(step, f"{seconds / events * 1e6:.2f}", share)
    return table


def _functions(stats: Stats, top: int, events: int) -> Table:
    table = Table(title="Dearest functions by own time", title_justify="left")
    for name in ("function", "calls", "µs an event, own", "with callees"):
        table.add_column(name, justify="left" if name == "function" else "right")
    for key, (_, calls, own, whole, _) in sorted(stats.items(), key=lambda pair: -pair[1][2])[:top]:
        path, line, name = key
        where = name if path == "~" else f"{'/'.join(Path(path).parts[-3:])}:{line} {name}"
        table.add_row(where, f"{calls:,}", f"{own / events * 1e6:.2f}", f"{whole / events * 1e6:.2f}")
    return table
