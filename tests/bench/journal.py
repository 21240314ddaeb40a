"""`python -m tests.bench journal`: what a journaled fact takes, and what a contact costs whose journal is full.

The same facts as the worker would journal them, in commits of COMMIT facts: encoded, in the local store on the disk,
and in batches of the journal topic. No broker is asked. CPU times are those of the whole process, so the store's
threads are in them.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from rich.console import Console
from rich.table import Table

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.definitions import parse_segment
from engine.demo.shop_log import shop_log_lines
from engine.membership.facts import Rejected, read_fact
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.plan import Plan, compile_plan
from engine.membership.refunds import effective
from engine.state.changelog import journal_key
from engine.state.codec import decode_chunk, encode_chunk
from engine.state.store import Meta, Store
from engine.worker.commit import JOURNAL_CODEC, OWN_BATCH_BYTES, pack
from tests.bench.j10_events import Input, lines
from tests.data_sets import retentioneering_log

COMMIT = 2_000
"""Facts of one commit of a partition under load."""
SEGMENTS = Path(__file__).parent / "segments"
Chunks = list[tuple[bytes, list[Fact], int]]


class _Producer:
    """What `pack` asks of a producer."""

    class _Accumulator:
        _compression_type = 0

    def __init__(self) -> None:
        self._message_accumulator = self._Accumulator()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(OWN_BATCH_BYTES, self._message_accumulator._compression_type, is_transactional=True)


def run(events: int, facts: int) -> int:
    """Prints both tables; `events` of job J10, and contacts with `facts` facts, a tenth, and a hundredth of it."""
    console = Console(width=120)
    work = Path(tempfile.mkdtemp(prefix="segment-journal-"))
    try:
        console.print(_packing(events, work))
        console.print(_bounds(facts, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def _packing(events: int, work: Path) -> Table:
    table = Table(title="Bytes and CPU µs a fact in the journal", title_justify="left")
    for name in ("facts", "properties", "encoded", "store", "topic", "encode µs", "pack µs", "write µs", "decode µs"):
        table.add_column(name, justify="left" if name == "facts" else "right")
    for each in (10, 100, 10_000):
        found = _facts(lines(Input(events=events, contacts=max(1, events // each))))
        table.add_row(f"job J10, {each:,} a contact", *_measured(found, work))
    table.add_row("REES46 log", *_measured(_facts(shop_log_lines()), work))
    table.add_row("retentioneering log", *_measured(_facts(retentioneering_log.shop_log_lines()), work))
    return table


def _facts(found: Iterable[str | bytes]) -> list[Fact]:
    """Facts with arrivals up to a second after their instants."""
    facts = []
    for number, line in enumerate(found):
        value = line.encode() if isinstance(line, str) else line
        fact = read_fact(value, arrival=None, fallback_id=f"events.clicks/1/{number}", skew=0, max_bytes=1 << 18)
        if isinstance(fact, Rejected):
            raise ValueError(fact.detail)
        fact.arrival = fact.at + 37 + number * 7_919 % 900
        facts.append(fact)
    return facts


def _commits(facts: list[Fact]) -> Iterator[Chunks]:
    """The chunks of each commit: journal key, facts, and how many the contact had before."""
    numbers: dict[bytes, int] = {}
    before: dict[bytes, int] = {}
    for start in range(0, len(facts), COMMIT):
        by_contact: dict[bytes, list[Fact]] = {}
        for fact in facts[start : start + COMMIT]:
            by_contact.setdefault(fact.key, []).append(fact)
        chunks = []
        for key, each in by_contact.items():
            chunks.append((journal_key(key, numbers.get(key, 0)), each, before.get(key, 0)))
            numbers[key] = numbers.get(key, 0) + 1
            before[key] = before.get(key, 0) + len(each)
        yield chunks


def _measured(facts: list[Fact], work: Path) -> Iterator[str]:
    count, commits = len(facts), list(_commits(facts))
    encoding, rows = _timed(lambda: [[(k, encode_chunk(each, n)) for k, each, n in chunks] for chunks in commits])
    producer: Any = _Producer()

    def packed() -> int:
        made = (pack(producer, [(k, v, []) for k, v in row], OWN_BATCH_BYTES, None, JOURNAL_CODEC) for row in rows)
        return sum(len(batch._build()) for batches in made for batch in batches)

    packing, topic = _timed(packed)
    path = work / "store"
    store = Store(path)

    def written() -> None:
        for row in rows:
            store.write({}, row, Meta())
        _settled(store)

    writing, _ = _timed(written)
    store.close()
    disk = _on_disk(path)
    shutil.rmtree(path)
    decoding, _ = _timed(lambda: [decode_chunk(value, key[:-4]) for row in rows for key, value in row])
    for size in (sum(len(fact.raw) for fact in facts), sum(len(v) for row in rows for _, v in row), disk, topic):
        yield f"{size / count:.0f}"
    for seconds in (encoding, packing, writing, decoding):
        yield f"{seconds / count * 1e6:.2f}"


def _bounds(most: int, work: Path) -> Table:
    """What one contact costs by the number of facts that its journal holds, under the ten segments of job J10."""
    table = Table(title="One contact, by the facts that its journal holds; ten segments", title_justify="left")
    names = ("facts", "read ms", "memory MiB", "late fact ms", "new definitions ms", "disk KiB", "let go ms")
    for name in names:
        table.add_column(name, justify="right")
    plan = compile_plan([(parse_segment(each.read_text()), 1) for each in sorted(SEGMENTS.glob("*.yaml"))])
    for count in (most // 100, most // 10, most):
        table.add_row(f"{count:,}", *_full(plan, count, work))
    return table


def _full(plan: Plan, count: int, work: Path) -> Iterator[str]:
    facts = _facts(lines(Input(events=count, contacts=1)))
    store, key = Store(work / "store"), facts[0].key
    for start in range(0, count, 20):
        store.write({}, [(journal_key(key, start // 20), encode_chunk(facts[start : start + 20], start))], Meta())
    _settled(store)
    reading, history = _timed(lambda: store.history(key))
    yield f"{reading * 1e3:.0f}"
    tracemalloc.start()
    again = store.history(key)
    yield f"{tracemalloc.get_traced_memory()[0] / 2**20:.1f}"
    tracemalloc.stop()
    contacts = MemoryContacts()
    core = Partition(plan, contacts, grace=0, dedup=7 * DAY, journal_retention=400 * DAY)
    core.take(facts[:-1])
    contacts.commit(core.drain())
    late = facts[-1]
    late.at, late.type = facts[-2].at - DAY, "message_read"
    taking, _ = _timed(lambda: core.take([late]))
    yield f"{(taking + reading) * 1e3:.0f}"
    features, end = plan.workspace("default").features.values(), again[-1].at
    anew, _ = _timed(lambda: [feature.fold(counting, end) for counting in [effective(history)] for feature in features])
    yield f"{(anew + reading) * 1e3:.0f}"
    yield f"{_on_disk(store.path) / 1024:,.0f}"
    gone = count // 10
    letting, _ = _timed(lambda: [*islice(store.numbered(key), gone), *store.chunks_before(key, gone)])
    yield f"{letting * 1e3:.0f}"
    store.close()
    shutil.rmtree(store.path)


def _settled(store: Store) -> None:
    """On the disk as it will be once RocksDB has moved it to where it stays."""
    store.flush()
    store._journal.compact_range(None, None)


def _on_disk(path: Path) -> int:
    return sum(each.stat().st_size for each in path.glob("*.sst"))


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found
