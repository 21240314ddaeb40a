"""`python -m tests.bench fill`: how long ordinary facts take while the contacts are filled for a new definition.

A stored population, a steady stream of facts that each make one transition, and one reader of committed transitions.
Latency is from the broker's acknowledgement of the fact to the moment when the reader has its transition; first with
nothing else to do, then from the apply of a new segment to the end of its fill.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Message, TopicPartition
from rich.console import Console
from rich.table import Table

from deploy.local_broker import LocalBroker
from engine.conditions.instants import DAY, format_instant
from tests.bench import systems
from tests.bench.measured import cpu_seconds, peak_rss_mib
from tests.integration.harness import Program, Worker, run_engine
from tests.integration.harness_kafka import create_topics, partitions_of, producer, send_all, wait_consumed

BAR = 3.0
"""The 99th percentile during the fill may be so many times that without it."""
CALM_SECONDS = 20.0
"""Of facts without a fill, for the comparison."""
LOAD_WITHIN, FILL_WITHIN = 1_800.0, 1_800.0
SEEN_WITHIN = 60.0
"""For the last transitions to be readable."""
CLICKED = b"segment: clicked\nmailable: false\nwhen: {did: {event: click}}\n"
REGULARS = b"segment: regulars\nmailable: false\nwhen: {did: {event: visit, within: P300D, count: {gte: 3}}}\n"
NEW = b"segment: returning\nmailable: false\nwhen: {did: {event: visit, within: P200D, count: {gte: 2}}}\n"


def history(contacts: int, now: int) -> Iterator[tuple[str, bytes, bytes]]:
    """One to four visits of each contact in the last 250 days: two and a half a contact."""
    for visit in range(4):
        for number in range(contacts):
            if number % 4 >= visit:
                contact = f"c-{number}"
                at = now - (250 - 60 * visit) * DAY + number % DAY
                fact = {"id": f"{visit}-{number}", "type": "visit", "contact": contact, "at": format_instant(at)}
                yield systems.INPUT, contact.encode(), orjson.dumps(fact)


class Stream:
    """Facts at a steady rate; each makes its contact, an old or a new one, enter `clicked`."""

    def __init__(self, brokers: str, rate: float, contacts: int) -> None:
        self.sent: dict[str, float] = {}
        self._sender = producer(brokers, **{"linger.ms": 0})
        self._rate, self._contacts = rate, contacts
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._sender.flush(SEEN_WITHIN)

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stopped.is_set():
            # Spread over the population, every second one new to the engine.
            contact = f"n-{number}" if number % 2 else f"c-{number * 7_919 % self._contacts}"
            fact = {"id": f"p-{number}", "type": "click", "contact": contact, "at": format_instant(_wall())}
            self._sender.produce(systems.INPUT, orjson.dumps(fact), contact.encode(), on_delivery=self._told(contact))
            self._sender.poll(0)
            number += 1
            self._stopped.wait(max(0.0, began + number / self._rate - time.monotonic()))

    def _told(self, contact: str) -> Callable[[object, Message], None]:
        def told(error: object, _: Message) -> None:
            if error is None:
                self.sent.setdefault(contact, time.monotonic())

        return told


class Seen:
    """When the first transition of each contact into `clicked` could be read."""

    def __init__(self, brokers: str) -> None:
        self.at: dict[str, float] = {}
        self._reader = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "bench-seen",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
                "log_level": 2,
            }
        )
        places = [TopicPartition(systems.ENGINE_OUTPUT, n) for n in partitions_of(self._reader, systems.ENGINE_OUTPUT)]
        for place in places:
            marks = self._reader.get_watermark_offsets(place, timeout=20)
            assert marks is not None
            place.offset = marks[1]
        self._reader.assign(places)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for message in self._reader.consume(2_000, 0.05):
                now = time.monotonic()
                if message.error() is None and ("segment", b"clicked") in (message.headers() or []):
                    key = message.key()
                    assert isinstance(key, bytes)
                    self.at.setdefault(key.decode(), now)


def run(contacts: int, rate: float) -> int:
    """Prints the table; returns 0 if the fill kept within the bar."""
    errors = Console(stderr=True)
    work = Path(tempfile.mkdtemp(prefix="segment-fill-"))
    try:
        with LocalBroker() as broker:
            return _run(broker.brokers, work, contacts, rate, errors.print)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(brokers: str, work: Path, contacts: int, rate: float, say: Callable[[str], None]) -> int:
    env = systems.engine_env(brokers, "bench-fill", work / "store") | {
        "SEGMENT_ENGINE_CLOCK": "wall",
        "SEGMENT_ENGINE_GRACE": "PT1S",
        "SEGMENT_ENGINE_MEMBERS_TOPIC": "on",
    }
    (work / "first.yaml").write_bytes(CLICKED + b"---\n" + REGULARS)
    (work / "new.yaml").write_bytes(NEW)
    create_topics(brokers, [systems.INPUT], systems.PARTITIONS)
    run_engine(["topics", "create"], env)
    run_engine(["segments", "apply", str(work / "first.yaml")], env)
    large: dict[str, str | int | bool] = {"linger.ms": 20, "batch.size": 1 << 20, "compression.type": "lz4"}
    count = send_all(brokers, history(contacts, _wall()), **large)
    say(f"{count:,} facts of {contacts:,} contacts")
    with Worker(env, log=work / "worker.log") as worker:
        worker.wait_ready()
        seconds = wait_consumed(brokers, "bench-fill", [systems.INPUT], LOAD_WITHIN, worker)
        say(f"taken in {seconds:.0f} s")
        seen, stream = Seen(brokers), Stream(brokers, rate, contacts)
        pause = threading.Event()
        pause.wait(CALM_SECONDS)
        before, cpu = time.monotonic(), cpu_seconds(worker.pid)
        run_engine(["segments", "apply", str(work / "new.yaml")], env)
        applied = time.monotonic()
        filled = _fill(worker, pause, say)
        cpu = cpu_seconds(worker.pid) - cpu
        stream.stop()
        until = time.monotonic() + SEEN_WITHIN
        while len(seen.at) < len(stream.sent) and time.monotonic() < until:
            pause.wait(0.05)
        seen.stop()
        rss = peak_rss_mib(worker.pid)
        first = min(stream.sent.values())
        # The first seconds warm things up; what was sent after the end is neither.
        calm = _latencies(stream, seen, first + 3, before)
        during = _latencies(stream, seen, applied, filled)
        return _tell(calm, during, len(stream.sent) - len(seen.at), contacts, filled - applied, cpu, rss, rate)


def _fill(worker: Program, pause: threading.Event, say: Callable[[str], None]) -> float:
    """The moment at which every partition has filled its contacts."""
    assert isinstance(worker, Worker)
    until, said, begun = time.monotonic() + FILL_WITHIN, time.monotonic(), False
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/fill", timeout=30) as answer:
            rows = json.load(answer)["partitions"]
        begun = begun or any(row["filling"] for row in rows)
        if begun and not any(row["filling"] for row in rows):
            return time.monotonic()
        if time.monotonic() - said > 10:
            said = time.monotonic()
            say(f"{sum(row['filled'] for row in rows):,} of {sum(row['contacts'] for row in rows):,} filled")
        pause.wait(0.1)
    raise TimeoutError(f"the fill did not end within {FILL_WITHIN:.0f} s")


def _latencies(stream: Stream, seen: Seen, since: float, until: float) -> list[float]:
    """Milliseconds of the facts acknowledged in a span, ascending."""
    return sorted(
        (seen.at[contact] - sent) * 1e3
        for contact, sent in stream.sent.items()
        if since <= sent < until and contact in seen.at
    )


def _tell(
    calm: list[float], during: list[float], lost: int, contacts: int, seconds: float, cpu: float, rss: int, rate: float
) -> int:
    table = Table(title=f"{rate:.0f} facts a second, fact acknowledged to transition readable, ms")
    for column in ("", "facts", "p50", "p99", "max"):
        table.add_column(column, justify="right")
    for name, found in (("without a fill", calm), ("while it runs", during)):
        table.add_row(name, f"{len(found):,}", *(f"{_at(found, q):.0f}" for q in (0.5, 0.99, 1.0)))
    out = Console(width=100)
    out.print(table)
    ratio = _at(during, 0.99) / _at(calm, 0.99)
    out.print(
        f"{contacts:,} contacts filled in {seconds:.1f} s: {contacts / seconds:,.0f} a second, "
        f"{cpu / contacts * 1e6:.0f} µs of processor time each, with the facts meanwhile; peak {rss} MiB"
    )
    out.print(f"p99 {ratio:.2f} times that without a fill (bar {BAR:.0f}); transitions not seen: {lost}")
    return 0 if ratio <= BAR and not lost else 1


def _at(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def _wall() -> int:
    return time.time_ns() // 1_000_000
