"""`python -m tests.bench j10`: Kafka Streams and the engine over the same input on one broker, one after the other,
both checked.

A figure counts only with transitions equal to the oracle's. CPU is user and system time of the worker process alone,
without the broker.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from deploy.local_broker import LocalBroker
from tests.bench import systems
from tests.bench.j10_events import Input, write
from tests.bench.j10_oracle import Row, transitions
from tests.bench.measured import Figures, Timeline
from tests.integration.harness import Program
from tests.integration.harness_kafka import Progress, create_topics, send_all

RUN_WITHIN = 900.0  # seconds for one system over the whole backlog
TABLE_WIDTH = 120  # columns, also where the output is no terminal
_KEY = b'"contact":"'


def input_file(job: Input, home: Path) -> Path:
    """The input, generated once and kept in the benchmark's folder."""
    path = home / f"j10-{job.events}-{job.contacts}-{job.seed}-{job.start}-{job.days}.jsonl"
    if not path.exists():
        write(job, path)
    return path


def expected(path: Path) -> list[Row]:
    """The oracle's rows for an input file, computed once and kept beside it."""
    kept = path.with_suffix(".expected.json")
    if not kept.exists():
        with path.open("rb") as lines:
            kept.write_bytes(orjson.dumps(transitions(lines, systems.PARTITIONS)))
    return [(segment, contact, change, at) for segment, contact, change, at in orjson.loads(kept.read_bytes())]


def load(path: Path, brokers: str) -> int:
    """Publishes the file to the input topic; returns the number of events."""
    create_topics(brokers, [systems.INPUT], systems.PARTITIONS)
    large: dict[str, str | int | bool] = {"linger.ms": 20, "batch.size": 1 << 20, "compression.type": "lz4"}
    with path.open("rb") as lines:
        return send_all(brokers, ((systems.INPUT, _contact(line), line[:-1]) for line in lines), **large)


def _contact(line: bytes) -> bytes:
    start = line.index(_KEY) + len(_KEY)
    return line[start : line.index(b'"', start)]


class Runs:
    """The runs over one loaded broker."""

    def __init__(
        self, home: Path, work: Path, brokers: str, events: int, want: list[Row], say: Callable[[str], None]
    ) -> None:
        self.home, self.work, self.brokers, self.events, self.want, self.say = home, work, brokers, events, want, say

    def _watch(self, program: Program, group: str, start: float) -> Figures:
        progress = Progress(self.brokers, group, [systems.INPUT])
        try:
            with program:
                return Timeline().watch(program, progress.committed, self.events, start=start, within=RUN_WITHIN)
        finally:
            progress.close()

    def peer(self) -> dict[str, object]:
        systems.build_peer(self.home)
        start = time.monotonic()
        program = systems.start_peer(self.home, self.brokers, "bench-kstreams", self._state("kstreams"))
        figures = self._watch(program, "bench-kstreams", start)
        return self._result("Kafka Streams", figures, systems.peer_rows(self.brokers))

    def engine(self, wrapper: tuple[str, ...] = ()) -> dict[str, object]:
        env = systems.engine_env(self.brokers, "bench-engine", self._state("engine"))
        systems.prepare_engine(env)
        start = time.monotonic()
        program = systems.start_engine(env, self.home / "logs" / "bench-engine.log", wrapper)
        figures = self._watch(program, "bench-engine", start)
        return self._result("engine", figures, systems.engine_rows(self.brokers))

    def _state(self, name: str) -> Path:
        folder = self.work / "state" / name
        folder.mkdir(parents=True)
        return folder

    def _result(self, name: str, figures: Figures, rows: list[Row]) -> dict[str, object]:
        missing, extra, shown = systems.differences(self.want, rows)
        for line in shown:
            self.say(f"{name}: {line}")
        equal = rows == self.want
        return {
            "system": name,
            **asdict(figures),
            "transitions": len(rows),
            "equal": equal,
            "missing": missing,
            "extra": extra,
        }


def run(job: Input, out: Path | None, only: str | None) -> int:
    """Runs the job and prints the table; returns the exit code: 0 if every system that ran equals the oracle and the
    engine ran.
    """
    home, errors = systems.home(), Console(stderr=True)
    errors.print(f"input: {job.events:,} events of {job.contacts:,} contacts, seed {job.seed}")
    path = input_file(job, home)
    want = expected(path)
    errors.print(f"oracle: {len(want):,} transitions")
    work = Path(tempfile.mkdtemp(prefix="segment-bench-"))
    results: list[dict[str, object]] = []
    try:
        with LocalBroker(work / "kafka", memory="load") as broker:
            events = load(path, broker.brokers)
            runs = Runs(home, work, broker.brokers, events, want, errors.print)
            for name, start in (("kstreams", runs.peer), ("engine", runs.engine)):
                if only in (None, name):
                    errors.print(f"running {name} …")
                    try:
                        results.append(start())
                    except systems.Unavailable as reason:
                        errors.print(f"{name} left out: {reason}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    Console(width=max(TABLE_WIDTH, errors.width)).print(table(results))
    report = {"job": "J10", **asdict(job), "machine": machine(), "results": results, "ratio": ratio(results)}
    target = out or home / f"j10-{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_text(json.dumps(report, indent=1) + "\n")
    errors.print(f"written: {target}")
    ran = {result["system"] for result in results}
    return 0 if all(result["equal"] for result in results) and (only == "kstreams" or "engine" in ran) else 1


def machine() -> dict[str, object]:
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "load_1m": round(os.getloadavg()[0], 2)}


def ratio(results: list[dict[str, object]]) -> dict[str, float]:
    """CPU of the engine divided by CPU of Kafka Streams, whole and second half; empty unless both ran."""
    by_name = {str(result["system"]): result for result in results}
    if len(by_name) < 2:
        return {}
    engine, peer = by_name["engine"], by_name["Kafka Streams"]
    fields = {"whole": "cpu_us_per_event", "2nd_half": "cpu_us_per_event_2nd_half"}
    return {name: round(_number(engine[each]) / _number(peer[each]), 2) for name, each in fields.items()}


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)


def table(results: list[dict[str, object]]) -> Table:
    shown = Table(title="Job J10", title_justify="left")
    columns = {
        "events/s": "events_per_s",
        "2nd half of it": "events_per_s_2nd_half",
        "CPU µs/event": "cpu_us_per_event",
        "of the 2nd half": "cpu_us_per_event_2nd_half",
        "peak RSS MiB": "peak_rss_mib",
        "transitions": "transitions",
    }
    shown.add_column("system")
    for name in columns:
        shown.add_column(name, justify="right")
    shown.add_column("equal to the oracle")
    for result in results:
        cells = [f"{_number(result[each]):,}".removesuffix(".0") for each in columns.values()]
        verdict = "yes" if result["equal"] else f"NO: {result['missing']} missing, {result['extra']} extra"
        shown.add_row(str(result["system"]), *cells, verdict)
    found = ratio(results)
    if found:
        shown.caption = f"CPU, engine / Kafka Streams: {found['whole']:.2f} whole, {found['2nd_half']:.2f} second half"
    return shown


if __name__ == "__main__":
    sys.exit("run it as: python -m tests.bench j10")
