"""Brings a local store up to the end of its changelog and journal.

Reads in bulk, read_committed, from the stored offsets; each batch is written together with the offsets it reaches, so
an interrupted restore goes on where it stopped. To be called when no transaction of the partition's owner is open any
more: after the producer with its transactional id was initialised.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.state.changelog import IDENTITY, POSITION, STATE, Log, why_wipe
from engine.state.codec import Position, decode_position
from engine.state.store import Meta, Store, open_store, wipe

log = logging.getLogger(__name__)

POLL_MS: Final = 200
STALLED_SECONDS: Final = 120.0
"""No progress for so long: the broker does not give what it says it has."""


class RestoreStalled(Exception):
    """The end of the log was not reached and nothing more came."""


@dataclass(slots=True)
class Restored:
    """An open store that agrees with its logs, and the position that rules."""

    store: Store
    meta: Meta
    position: Position
    wiped: str | None


Progress = Callable[[float], None]
"""Told the share of the records restored so far, 0 to 1."""


async def restore(
    path: Path,
    reader: AIOKafkaConsumer,
    changelog: TopicPartition,
    journal: TopicPartition,
    *,
    delete_retention: int,
    records: int = 5_000,
    progress: Progress = lambda _: None,
) -> Restored:
    """Opens the store in `path` and brings it to the end of both logs; wipes it first where it cannot be trusted.

    `reader` is a started consumer without a group, read_committed, that this call assigns as it likes.
    `delete_retention` is the changelog's delete.retention.ms, `records` the most applied in one write. Raises
    StoreError, KafkaError, RestoreStalled, UnknownVersion.
    """
    progress(0.0)
    ends = await reader.end_offsets([changelog, journal])
    begins = await reader.beginning_offsets([changelog, journal])
    logs = {each: Log(begins[each], ends[each]) for each in (changelog, journal)}
    identity = await _identity(reader, changelog, logs[changelog])
    store, wiped = open_store(path)
    try:
        meta = store.read_meta()
        if meta is not None:
            wiped = why_wipe(
                meta,
                identity=identity,
                changelog=logs[changelog],
                journal=logs[journal],
                now=time.time_ns() // 1_000_000,
                delete_retention=delete_retention,
            )
            if wiped is not None:
                store.close()
                wipe(path)
                store = Store(path)
                meta = None
        if meta is None:
            meta = Meta(identity=identity)
        if wiped is not None:
            log.warning("Store %s wiped: %s", path, wiped)
        await _read(reader, store, meta, changelog, journal, logs, records, progress)
    except BaseException:
        store.close()
        raise
    position = decode_position(meta.position) if meta.position else Position()
    progress(1.0)
    return Restored(store, meta, position, wiped)


async def _identity(reader: AIOKafkaConsumer, changelog: TopicPartition, span: Log) -> bytes:
    """The changelog's identity, which is its first record; empty when nothing was committed yet."""
    if span.end <= span.begin:
        return b""
    reader.assign([changelog])
    reader.seek(changelog, span.begin)
    async for first in _records(reader, [changelog], {changelog: span.end}, 1):
        record = first[changelog][0]
        if record.key == IDENTITY:
            return bytes(record.value)
        return b"?"  # a log that did not begin with its identity: never equal to a stored one
    return b""


async def _read(
    reader: AIOKafkaConsumer,
    store: Store,
    meta: Meta,
    changelog: TopicPartition,
    journal: TopicPartition,
    logs: dict[TopicPartition, Log],
    records: int,
    progress: Progress,
) -> None:
    starts = {changelog: max(meta.changelog, logs[changelog].begin), journal: max(meta.journal, logs[journal].begin)}
    ends = {each: logs[each].end for each in starts}
    todo = sum(ends[each] - starts[each] for each in starts)
    if todo > 0:
        reader.assign(list(starts))
        for each, offset in starts.items():
            reader.seek(each, offset)
        async for found in _records(reader, list(starts), ends, records):
            _apply(store, meta, found.get(changelog, ()), found.get(journal, ()))
            progress(1 - (ends[changelog] - meta.changelog + ends[journal] - max(meta.journal, starts[journal])) / todo)
    meta.changelog, meta.journal = ends[changelog], ends[journal]
    meta.written_at = time.time_ns() // 1_000_000
    store.write({}, (), meta)


async def _records(
    reader: AIOKafkaConsumer, wanted: list[TopicPartition], ends: dict[TopicPartition, int], count: int
) -> Any:
    """Yields what comes, by topic and partition, until the reader's positions have reached `ends`."""
    moved_at, before = time.monotonic(), -1
    while True:
        left = [each for each in wanted if await reader.position(each) < ends[each]]
        if not left:
            return
        now = sum([await reader.position(each) for each in wanted])
        if now != before:
            moved_at, before = time.monotonic(), now
        elif time.monotonic() - moved_at > STALLED_SECONDS:
            raise RestoreStalled(f"{left[0]} does not come to its end {ends[left[0]]} within {STALLED_SECONDS:.0f} s")
        found = await reader.getmany(*left, timeout_ms=POLL_MS, max_records=count)
        if found:
            yield found
            await asyncio.sleep(0)


def _apply(store: Store, meta: Meta, changes: Any, chunks: Any) -> None:
    states: dict[bytes, bytes] = {}
    gone: dict[bytes, None] = {}
    more: dict[bytes, bytes | None] = {}
    for record in changes:
        key: bytes = record.key
        kind = key[:1]
        if kind == STATE:
            if record.value is None:
                states.pop(key[1:], None)
                gone[key[1:]] = None
            else:
                gone.pop(key[1:], None)
                states[key[1:]] = record.value
        elif kind == POSITION:
            meta.position = record.value
        elif kind == IDENTITY:
            meta.identity = record.value
        else:
            more[key] = record.value
    journal: dict[bytes, bytes | None] = {c.key: c.value for c in chunks}  # a number may come again after an erasure
    if changes:
        meta.changelog = changes[-1].offset + 1
    if chunks:
        meta.journal = chunks[-1].offset + 1
    meta.written_at = time.time_ns() // 1_000_000
    store.write(
        states,
        [(key, chunk) for key, chunk in journal.items() if chunk is not None],
        meta,
        gone=list(gone),
        gone_chunks=[key for key, chunk in journal.items() if chunk is None],
        more=more,
    )
