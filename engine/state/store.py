"""One RocksDB a partition on the local disk: a cache of what Kafka holds, and never more than that.

A commit is one write batch over all column families. There is no write-ahead log: after a crash the store opens as of
its last flush (all column families at once), with the changelog offset of that moment, and the restore brings the rest.
Keys: `states` store key → state; `journal` length of the store key (2 bytes), store key, chunk (4 bytes) → facts;
`more` the changelog's own key → whatever else the partition remembers; `meta` one record.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
    WriteOptions,
)

from engine.conditions.fact import Fact
from engine.state.codec import Header, UnknownVersion, decode_chunk, decode_header, newest_of_chunk, span_of_chunk
from engine.state.readings import Reading, Readings

META_VERSION: Final = 1
WRITE_BUFFER_BYTES: Final = 16 << 20
"""Memory of one column family before it is flushed: what a restore after a crash reads again, a second or so."""
JOURNAL_BLOCK_BYTES: Final = 16 << 10
"""What is packed together, and unpacked to read one chunk."""
BLOOM_BITS: Final = 10
"""One lookup in a hundred of an unknown contact reads the disk."""
_META_KEY: Final = b"meta"
_STATES, _JOURNAL, _MORE, _META = "states", "journal", "more", "meta"
_FAMILIES: Final = (_STATES, _JOURNAL, _MORE, _META)


class StoreError(Exception):
    """The local store cannot be used. The text says which one and what to do."""


class StoreLocked(StoreError):
    """Another process has the store open."""


class StoreForeign(StoreError):
    """What is in the folder is damaged or is not a store of this engine: it can only be wiped and restored."""


class Meta(msgspec.Struct, array_like=True):
    """What a store knows of itself.

    `changelog` and `journal` are the next offsets to read of those topics; `identity` is the changelog's own
    (`engine.state.changelog`), empty while it had none; `position` is encoded; `written_at` is the wall clock in
    milliseconds.
    """

    changelog: int = 0
    journal: int = 0
    identity: bytes = b""
    position: bytes = b""
    written_at: int = 0


_NOTHING: Final[Mapping[bytes, bytes | None]] = MappingProxyType({})
_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(Meta).decode
_cache = Cache(64 << 20)


def bound_block_cache(bytes_max: int) -> None:
    """Sets the size of the block cache that all stores of the process share."""
    _cache.set_capacity(bytes_max)


def journal_prefix(key: bytes) -> bytes:
    """Where the journal of the contact with this store key is in the store; no other contact's key starts with it."""
    return len(key).to_bytes(2, "big") + key


class Store:
    """The open store of one partition; `close` it, or another process cannot open it."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the store in the folder `path`. Raises StoreLocked, StoreForeign, StoreError."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(path), _database(), column_families={n: _family(n) for n in _FAMILIES})
        except Exception as error:
            raise _opening(path, error) from error
        self._states = self._db.get_column_family(_STATES)
        self._journal = self._db.get_column_family(_JOURNAL)
        self._more = self._db.get_column_family(_MORE)
        self._meta = self._db.get_column_family(_META)
        self._handles = tuple(self._db.get_column_family_handle(n) for n in _FAMILIES)
        self._write = WriteOptions()
        setattr(self._write, "disable_wal", True)  # noqa: B010 - a property in 0.3.29, a method in its type stub
        self._closed = False
        self._readings = Readings()

    @property
    def closed(self) -> bool:
        """Whether it was closed, or is being so."""
        return self._closed

    def read_meta(self) -> Meta | None:
        """What the store knows of itself; None when it is new. Raises StoreForeign."""
        found = self._meta.get(_META_KEY)
        if found is None:
            return None
        if found[0] != META_VERSION:
            raise StoreForeign(f"The store in {self.path} has format {found[0]}, this engine knows {META_VERSION}")
        try:
            return _decode_meta(memoryview(found)[1:])
        except msgspec.DecodeError as error:
            raise StoreForeign(f"The store in {self.path} has an unreadable record of itself: {error}") from error

    def write(
        self,
        states: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]],
        journal: Sequence[tuple[bytes, bytes]],
        meta: Meta,
        *,
        gone: Sequence[bytes] = (),
        gone_chunks: Sequence[bytes] = (),
        more: Mapping[bytes, bytes | None] = _NOTHING,
    ) -> None:
        """One atomic write: states by store key, journal chunks by store key and chunk number, and what the store knows
        of itself.

        `gone` are store keys, `gone_chunks` journal keys to remove; `more` other rows by their changelog key, None to
        remove. Raises StoreError when the disk refuses.
        """
        batch = WriteBatch(raw_mode=True)
        in_states, in_journal, in_more, in_meta = self._handles
        batch.set_default_column_family(in_states)
        for key, value in states.items() if isinstance(states, Mapping) else states:
            batch[key] = value
        for key in gone:
            del batch[key]
        batch.set_default_column_family(in_journal)
        for key, value in journal:
            batch[(len(key) - 4).to_bytes(2, "big") + key] = value
        for key in gone_chunks:
            del batch[(len(key) - 4).to_bytes(2, "big") + key]
        if more:
            batch.set_default_column_family(in_more)
            for key, row in more.items():
                if row is None:
                    del batch[key]
                else:
                    batch[key] = row
        batch.put(_META_KEY, bytes([META_VERSION]) + _encode_meta(meta), in_meta)
        self._write_batch(batch)

    def _write_batch(self, batch: WriteBatch) -> None:
        self._readings.end_old()
        try:
            self._db.write(batch, self._write)
        except Exception as error:
            raise StoreError(f"The store in {self.path} cannot be written: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        """The encoded state under a store key."""
        try:
            found: bytes | None = self._states.get(key)
        except Exception as error:
            raise StoreError(f"The store in {self.path} cannot be read: {error}") from error
        return found

    def more(self, key: bytes) -> bytes | None:
        """The row under a changelog key that is neither a state's nor the position's."""
        try:
            found: bytes | None = self._more.get(key)
        except Exception as error:
            raise StoreError(f"The store in {self.path} cannot be read: {error}") from error
        return found

    def more_items(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Those rows whose key begins with `prefix` and is greater than `after`, in the order of their keys."""
        each = self._more.snapshot().iter()
        each.seek(max(prefix, after))
        while each.valid():
            key = each.key()
            if not key.startswith(prefix):
                return
            if key != after:
                yield key, each.value()
            each.next()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The encoded states under store keys, None for what is missing; one multi-get."""
        try:
            found: list[bytes | None] = self._states.get(list(keys)) or []
        except Exception as error:
            raise StoreError(f"The store in {self.path} cannot be read: {error}") from error
        return found

    def history(self, key: bytes) -> list[Fact]:
        """The journaled facts of a contact, in the order in which they were taken."""
        facts: list[Fact] = []
        for _, chunk in self._chunks(key):
            facts += decode_chunk(chunk, key)
        return facts

    def numbered(self, key: bytes) -> Iterator[tuple[int, Fact]]:
        """The same, read as it is asked for, each with its number among all facts that the contact ever had, from 0."""
        for before, _, _, chunk in self._spans(key):
            yield from enumerate(decode_chunk(chunk, key), before)

    def chunks_before(self, key: bytes, number: int) -> list[bytes]:
        """Journal keys of the contact's chunks with no fact of this number or a greater one."""
        passed = takewhile(lambda span: span[0] + span[1] <= number, self._spans(key))
        return [place for _, _, place, _ in passed]

    def _spans(self, key: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
        """Of each of the contact's chunks how many facts came before it, how many it holds, its journal key, its
        bytes."""
        end = 0
        for place, chunk in self._chunks(key):
            before, count = span_of_chunk(chunk)
            if before is None:  # of format 1: none before it is missing, unless the retention took it
                before = end
            end = before + count
            yield before, count, place, chunk

    def _chunks(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Journal key and bytes of each of the contact's chunks, in their order."""
        prefix = journal_prefix(key)
        each = self._journal.iter()
        each.seek(prefix)
        while each.valid():
            place = each.key()
            if not place.startswith(prefix):
                break
            yield place[2:], each.value()
            each.next()

    def sweep(self, after: bytes, oldest: int, count: int) -> tuple[bytes, int]:
        """Looks at `count` journal chunks behind the place `after`, removes those with no fact at `oldest` (ms)
        or later.

        Returns the place to go on from, empty when the end was reached, and how many were removed. Only the local copy
        is lessened: the topic's retention does the same there. Raises StoreError.
        """
        batch = WriteBatch(raw_mode=True)
        batch.set_default_column_family(self._handles[1])
        each = self._journal.iter()
        each.seek(after)
        looked, place = 0, b""
        while each.valid() and looked < count:
            place = each.key()
            if newest_of_chunk(each.value()) < oldest:
                del batch[place]
            looked += 1
            each.next()
        removed = len(batch)
        if removed:
            self._write_batch(batch)
        return (place + b"\0" if each.valid() else b""), removed

    def headers(self, after: bytes = b"") -> Generator[tuple[bytes, Header], None, None]:
        """Store key and leading fields of every state whose key is greater than `after`, in the order of the keys."""
        for key, value in self.states(after):
            yield key, decode_header(value)

    def states(self, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Store key and encoded state of every state with a key greater than `after`, as of the first step."""
        each = self._states.snapshot().iter()
        each.seek(after)
        while each.valid():
            key = each.key()
            if key != after:
                yield key, each.value()
            each.next()

    def reading(self, after: bytes = b"") -> Reading:
        """The states from the key `after` on, as they are now, to be read in slices while the store is written.

        Raises TooManyReadings, ReadingEnded when the store is closed.
        """

        def begin() -> RdictIter:
            each = self._states.snapshot().iter()
            each.seek(after)
            return each

        return self._readings.open(begin)

    def flush(self) -> None:
        """Puts everything written so far on disk; `meta` goes last, so that it never promises too much."""
        try:
            for family in (self._states, self._journal, self._more, self._meta):
                family.flush()
        except Exception as error:
            raise StoreError(f"The store in {self.path} cannot be flushed: {error}") from error

    def close(self) -> None:
        """Flushes and closes, ends its readings; harmless when done already. Other iterators must be dropped before."""
        if self._closed:
            return
        self._closed = True
        self._readings.close()
        try:
            self.flush()
        finally:
            del self._handles
            for family in (self._states, self._journal, self._more, self._meta):
                family.close()
            self._db.close()


def open_store(path: Path) -> tuple[Store, str | None]:
    """The store in `path`, wiped first if it is damaged or foreign; and the reason of the wipe, if there was one.

    Raises StoreLocked when another process has it, StoreError when the disk refuses.
    """
    try:
        store = Store(path)
        try:
            store.read_meta()
            for _, _ in zip(range(1), store.headers(), strict=False):
                pass
        except (StoreForeign, UnknownVersion, msgspec.DecodeError) as error:
            store.close()
            raise StoreForeign(str(error)) from error
    except StoreForeign as error:
        wipe(path)
        return Store(path), str(error)
    return store, None


def wipe(path: Path) -> None:
    """Removes a closed store from the disk. Raises StoreError when the disk refuses."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"The store in {path} cannot be removed: {error}") from error


def _database() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_atomic_flush(True)
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    return options


def _family(name: str) -> Options:
    """The journal is written once and seldom read, in rows of a contact that are much alike: packed it takes a quarter.
    States are rewritten all the time, and half of them is digests: they are left as they are."""
    options = Options(raw_mode=True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_compression_type(DBCompressionType.none())
    table = BlockBasedOptions()
    if name == _JOURNAL:
        options.set_compression_type(DBCompressionType.lz4())
        options.set_bottommost_compression_type(DBCompressionType.zstd())
        table.set_block_size(JOURNAL_BLOCK_BYTES)
    table.set_block_cache(_cache)
    table.set_bloom_filter(BLOOM_BITS, False)
    options.set_block_based_table_factory(table)
    return options


def _opening(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if "lock" in text.lower() and "LOCK" in text:
        return StoreLocked(
            f"The store in {path} is open in another process: a second worker with the same DATA_DIR and GROUP. "
            "Give each worker a DATA_DIR of its own"
        )
    if isinstance(error, OSError) or any(w in text for w in ("No space", "Permission denied", "Read-only")):
        return StoreError(f"The store in {path} cannot be opened: {text}")
    return StoreForeign(f"The store in {path} cannot be opened: {text}")
