"""The loop of one partition number: take, compute, commit, store; again from what was committed when that is in doubt.

The order on assignment is what makes it exactly once (DESIGN.md 7): first the producer, which fences a former owner and
ends what it left open; then the position and the end of the changelog; then the restore; then the inputs from the
position.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError

from engine.conditions.instants import NEVER
from engine.membership.batch import Batch
from engine.membership.partition import NEW, NO_CLOCK, Partition
from engine.membership.placement import partition_of, split_key, wire_key
from engine.state.changelog import FILLED
from engine.state.codec import Position, decode_filled, encode_filled
from engine.state.contacts import StoredContacts
from engine.state.restore import RestoreStalled
from engine.state.store import Meta, Store
from engine.worker.clients import wait_event
from engine.worker.clock import PartitionTime, clock_told, wall
from engine.worker.commit import CommitUnknown, Fenced, Letter, encode_changes, new_identity, refused_letters
from engine.worker.counts import Counts
from engine.worker.filling import Filling
from engine.worker.inbox import Taken
from engine.worker.intake import Lane
from engine.worker.opening import beginnings, definitions_read, open_partition
from engine.worker.placement import split_misplaced
from engine.worker.recovery import STOPS, WatchedContacts, fill_one_by_one, pass_time_one_by_one, take_one_by_one
from engine.worker.shared import Shared
from engine.worker.units import Unit, change_plan, compute

log = logging.getLogger(__name__)

RETRIES_MAX: Final = 30
"""Failed lives in a row before the worker stops: with the pauses between them, about two minutes without Kafka."""
RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FIRST_BATCH: Final = 2_000
"""Records of the first batch, before it is known how long computing takes."""
ARM_SLICE: Final = 5_000
"""States looked at between two turns of the event loop while deadlines are armed."""
CAREFUL_FACTS: Final = 2_000
"""After the core raised, at least so many facts are taken one by one."""
SWEEP_SECONDS: Final = 10.0
SWEEP_CHUNKS: Final = 2_000
"""Journal chunks looked at so often, for those past their retention: a few milliseconds, 17 million of them a day."""
PINS_SLICE: Final = 200
"""Contacts that segments include by name, looked at in one turn: 20 ms where all of them are new."""
WRITTEN_MILLIS: Final = 60_000
"""An idle store is marked as up to date so often."""


class CoreFailed(Exception):
    """The core raised in a batch; what it changed is thrown away, and the batch is taken again with care."""


class _Stopped(Exception):
    """Asked to stop in the middle of a restore."""


class InputMoved(Exception):
    """An input does not have the offset any more that is to be read next."""


_AGAIN: Final = (CommitUnknown, CoreFailed, InputMoved, KafkaError, RestoreStalled, TimeoutError, ConnectionError)
"""After these, a partition begins again from what was committed."""


class PartitionLoop:
    """One owned partition number. `run` lives until `stop`, or raises what the worker must stop for."""

    def __init__(self, shared: Shared, number: int) -> None:
        self.number = number
        self.state = "starting"
        """starting, restoring, running, fenced or stopped."""
        self.progress = 0.0
        self.settled = NO_CLOCK
        """The clock up to which everything is committed (ms)."""
        self.store: Store | None = None
        self.core: Partition | None = None
        self._shared = shared
        self._settings = shared.settings
        self.lane: Lane = shared.intake.lane(number)
        self._time = PartitionTime(number, shared.settings.grace)
        self._committer = shared.committer(number)
        self._contacts: StoredContacts | None = None
        self._meta = Meta()
        self._position = Position()
        self._told: dict[str, int] = {}
        self._batch_max = FIRST_BATCH
        self._filling: Filling | None = None
        self._left_due = self._rests = self._placing = False
        self._careful = 0
        self._stopping = False
        self._failures = 0
        self._armed = 0
        self._swept, self._swept_at = b"", time.monotonic()
        self._label = str(number)

    @property
    def path(self) -> Path:
        """The folder of the local store."""
        return self._settings.data_dir / self._settings.group / str(self.number)

    @property
    def time(self) -> PartitionTime:
        return self._time

    @property
    def filling(self) -> bool:
        """Whether contacts are still being filled for the definitions in force."""
        return self._position.filled is not None or self._position.plan != self._shared.plan().fingerprint

    def fill_status(self) -> dict[str, Any]:
        """How far the partition is with the definitions in force, in plain JSON."""
        core, filling = self.core, self._filling
        if core is None or filling is None:
            return {"partition": self.number, "running": False}
        return {
            "partition": self.number,
            "running": self.state == "running",
            "read_to": core.plan.read_to,
            "filling": self.filling,
            "contacts": filling.total,
            "filled": filling.done if filling.cursor is not None else filling.total,
            "rate": round(filling.rate) if filling.cursor is not None else None,
        }

    def next_deadline(self) -> int:
        """The instant at which this partition's next deadline is due; NEVER if there is none or it does not run."""
        return self.core.next_deadline() if self.core is not None else NEVER

    def stop(self) -> None:
        """Asks the loop to end after the batch in hand."""
        self._stopping = True
        self.lane.wake.set()

    async def run(self) -> None:
        """Lives until stopped or fenced. Raises StoreError, UnknownVersion; the last error if Kafka stays away."""
        try:
            while not self._stopping:
                try:
                    await self._live()
                except Fenced as error:
                    log.error("%s; giving it up and asking the group again", error)
                    self.state = "fenced"
                    return
                except _Stopped:
                    log.info("Partition %d: restore interrupted", self.number)
                except _AGAIN as error:
                    await self._after_failure(error)
                finally:
                    await self._let_go()
        finally:
            self._shared.intake.close_lane(self.lane)
            await self._committer.close()
            if self.state != "fenced":
                self.state = "stopped"

    async def _after_failure(self, error: BaseException) -> None:
        self._failures += 1
        self.state = "starting"
        if self._stopping:
            return
        if self._failures > RETRIES_MAX:
            log.critical("Partition %d: %d failures in a row, the worker stops", self.number, self._failures)
            raise error
        said = "Partition %d: %s: %s; beginning again from what was committed"
        log.warning(said, self.number, type(error).__name__, error)
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1]
        self.lane.wake.clear()
        await wait_event(self.lane.wake, pause)  # a stop ends the pause

    async def _let_go(self) -> None:
        """Forgets everything in memory; what was not committed is gone, what was stays on disk."""
        self._shared.intake.pause_lane(self.lane)
        if self._failures:
            self._committer.abandon()
        else:
            await self._committer.close()
        self.core = self._filling = None
        if self._contacts is not None:
            self._contacts.close()
            self._contacts = None
        if self.store is not None:
            store, self.store = self.store, None
            await asyncio.to_thread(store.close)

    async def _live(self) -> None:
        """From the producer's initialisation on, until stopped or something fails."""
        self.state, self.progress = "restoring", 0.0
        self._told, self._left_due, self._placing = {}, False, False
        await self._committer.open()
        async with self._shared.restoring:
            offsets = await self._restore()
            if not await definitions_read(self._shared, self.number, self.lane, self._position, lambda: self._stopping):
                raise _Stopped
            await self._build()
        self._shared.intake.open_lane(self.lane, offsets)
        self.state = "running"
        log.info("Partition %d runs: %d contacts due, %s", self.number, self._armed, clock_told(self._position.clock))
        while not self._stopping:
            if not await self._turn():
                if self.lane.gone:  # only now: what is buffered may be gone from the broker too
                    raise InputMoved(self.lane.gone)
                await self.lane.wake.wait()
                self.lane.wake.clear()

    # --- before the first batch

    async def _restore(self) -> dict[str, int]:
        """Opens the store at the end of its logs; returns where to read the inputs from."""
        opened = await open_partition(self._shared, self.number, self.path, self.lane, self._progressed)
        self.store, self._meta, self._position = opened.store, opened.meta, opened.position
        return beginnings(self._shared, self.number, opened)

    def _progressed(self, share: float) -> None:
        if self._stopping:  # a rebalance waits for us; what was restored stays, and the next owner here goes on from it
            raise _Stopped
        self.progress = share
        self._shared.metrics.restore.labels(self._label).set(share)

    async def _build(self) -> None:
        """A core over the store, with every stored deadline armed."""
        assert self.store is not None
        settings, number, plan = self._settings, self.number, self._shared.plan()
        self._identity = self._meta.identity or new_identity()
        self._contacts = StoredContacts(self.store, self._shared.memory)
        self._counts = Counts(self.store, settings.counts_retention)
        self._watched = WatchedContacts(self._contacts)

        def owns(key: bytes) -> bool:
            return partition_of(wire_key(*split_key(key)), settings.partitions) == number

        self.core = core = Partition(
            plan,
            self._watched if self._careful else self._contacts,
            clock=self._position.clock,
            grace=settings.grace,
            dedup=settings.dedup,
            journal_retention=settings.journal_retention,
            owns=owns,
            erasure_key=self._identity,
            journal_facts=settings.journal_facts,
            journal_bytes=settings.journal_bytes,
            filled=decode_filled(filled) if (filled := self.store.more(FILLED)) else NEW,
            changed_at=self._position.changed_at if self._position.plan == plan.fingerprint else self._position.clock,
        )
        cursor = self._position.filled if self._position.plan == plan.fingerprint else b""
        self._armed = total = done = 0
        with closing(self.store.headers()) as headers:  # the store cannot be closed under it
            while part := list(islice(headers, ARM_SLICE)):
                total += len(part)
                for key, header in part:
                    if cursor is not None and key <= cursor:
                        done += 1
                    if header.deadline < NEVER:
                        core.arm(key, header.deadline)
                        self._armed += 1
                self._progressed(1.0)
                await asyncio.sleep(0)
        self._filling = Filling(core, self._contacts, self.store, self._shared.turns, cursor, done, total)

    # --- one batch

    async def _turn(self) -> bool:
        """Takes what there is, computes, commits. False when there was nothing to do."""
        core = self.core
        assert core is not None
        plan, filling = self._shared.plan(), self._filling
        assert filling is not None
        # What fell due before the change did so under the plan that was in force.
        is_new = core.plan is not plan and core.next_deadline() >= core.clock
        if is_new and await self._compute(self._shared.agents.definitions, lambda: change_plan(core, plan)):
            filling.begin()
        settings = self._settings
        most = 0 if self._careful > 0 and self._left_due else min(self._batch_max, settings.batch_records)
        taken = self.lane.inbox.take(core.clock, most, settings.batch_bytes) if most else None
        letters: list[Letter] = []
        misplaced: list[tuple[int, Any]] = []
        if taken is not None:
            self._shared.intake.room()
            misplaced = await self._take(taken, letters)
        await self._pass_time()
        await self._fill()
        self._sweep()
        batch = core.drain()
        if taken is not None or batch.contacts or batch.transitions or self._just_filled():
            await self._commit(batch, letters, misplaced)
        elif (filling.cursor is None or self._rests) and not (self._left_due or self._placing) and core.plan is plan:
            self._mark_written()
            self.settled = core.clock
            return False
        return True

    async def _compute(self, send: Callable[[Unit], Awaitable[None]], work: Callable[[], Any]) -> Any:
        """The result of `work`, computed by an agent. Raises CoreFailed."""
        try:
            return await compute(send, work)
        except STOPS:
            raise
        except Exception as error:
            log.exception("Partition %d: the core raised", self.number)
            self._careful = max(CAREFUL_FACTS, 2 * self._batch_max)
            raise CoreFailed(f"{type(error).__name__}: {error}") from error

    async def _take(self, taken: Taken, letters: list[Letter]) -> list[tuple[int, Any]]:
        core, contacts = self.core, self._contacts
        assert core is not None
        assert contacts is not None
        letters += [Letter.of(record, why) for record, why in taken.rejected]
        contacts.prefetch({fact.key for fact in taken.facts})
        facts, records, misplaced = split_misplaced(
            taken.facts,
            taken.records,
            number=self.number,
            partitions=self._settings.partitions,
            unknown=contacts.absent,
            forwarding=self._shared.forwarding,
        )
        if not facts:
            return misplaced
        send = self._shared.agents.facts
        if self._careful > 0:
            poison = await self._compute(send, lambda: take_one_by_one(core, contacts, facts))
            letters += [Letter(records[place], "engine_error", why) for place, why in poison.items()]
            self._careful -= len(facts)
        else:
            began = time.perf_counter()
            await self._compute(send, lambda: core.take(facts))
            self._adapt(len(facts), time.perf_counter() - began)
        letters += refused_letters(core.batch, facts, records)
        return misplaced

    def _adapt(self, count: int, seconds: float) -> None:
        """Bounds the next batch so that computing it stays within BATCH_TIME."""
        allowed = self._settings.batch_time / 1000
        if seconds > allowed:
            self._batch_max = max(1, int(count * allowed / seconds))
        elif self._batch_max < self._settings.batch_records and count >= self._batch_max // 2:
            self._batch_max = min(self._settings.batch_records, self._batch_max * 2)

    async def _pass_time(self) -> None:
        core, contacts, watched = self.core, self._contacts, self._watched
        assert core is not None
        assert contacts is not None
        to = None
        if self._settings.clock == "wall" and self._shared.skew.ok:
            to = self._time.target(self.lane.inbox, core.clock)
            if to is not None or self._placing:
                self._placing = not core.place_pins(PINS_SLICE)
                await asyncio.sleep(0)  # those that are known, or others', change nothing: nothing else would wait
        if core.next_deadline() >= max(core.clock, to or 0):
            self._left_due = not core.pass_time(to, 0)  # nothing is due: the clock alone moves
            return
        limit = self._settings.batch_deadlines
        work = partial(core.pass_time, to, limit)
        if self._careful > 0:
            if core.batch.facts:
                core.pass_time(to, 0)  # the clock; deadlines next, in a batch of their own: nothing uncommitted is lost
                self._left_due = True
                return
            work = partial(pass_time_one_by_one, core, watched, contacts, to, limit)
        self._left_due = not await self._compute(self._shared.agents.deadlines, work)

    async def _fill(self) -> None:
        """One slice of bringing stored contacts up to new definitions, when it is this partition's turn."""
        core, contacts, filling = self.core, self._contacts, self._filling
        assert core is not None
        assert contacts is not None
        assert filling is not None
        self._rests = False
        if filling.cursor is None:
            return
        if wait := self._shared.turns.wait():
            self._rests = True
            asyncio.get_running_loop().call_later(wait, self.lane.wake.set)
            return

        def fill(keys: Sequence[bytes]) -> Awaitable[Any]:
            return self._compute(self._shared.agents.definitions, partial(fill_one_by_one, core, contacts, keys))

        self._shared.metrics.filled.inc(await filling.slice(fill))

    def _just_filled(self) -> bool:
        assert self.core is not None
        assert self._filling is not None
        before = self._position
        is_new = before.filled is not None or before.plan != self.core.plan.fingerprint
        return self._filling.cursor is None and is_new

    # --- after it

    async def _commit(self, batch: Batch, letters: list[Letter], misplaced: list[tuple[int, Any]]) -> None:
        shared, core, contacts, store, filling = self._shared, self.core, self._contacts, self.store, self._filling
        assert core is not None
        assert contacts is not None
        assert store is not None
        assert filling is not None
        offsets = {**self._position.offsets, **self.lane.inbox.offsets()}
        cursor, plan, just_filled = filling.cursor, core.plan, self._just_filled()
        # No deadline before the durable clock is left: after a restart the plan may be another. Only one that the core
        # raised on is armed again by a restart, and takes no clock back.
        clock = max(self._position.clock, min(core.clock, core.next_deadline()))
        position = Position(offsets, clock, plan.fingerprint, cursor, core.changed_at, plan.read_to)
        changes = encode_changes(
            batch,
            members=self._settings.members_topic,
            letters=letters,
            misplaced=misplaced,
            position=position,
            letter_bytes=shared.letter_bytes,
        )
        changes.more |= self._counts.rows(batch.transitions, clock)
        if just_filled:
            changes.more[FILLED] = encode_filled(plan.filled)
        if batch.shortened:
            changes.gone_chunks += contacts.let_go(batch.shortened - batch.gone.keys())
        identity = None if self._meta.identity else self._identity
        moved = {topic: offset for topic, offset in offsets.items() if self._told.get(topic) != offset}
        try:
            committed = await self._committer.commit(changes, moved, identity)
        except CommitUnknown:
            shared.metrics.aborts.inc()
            raise
        self._told, self._position, self.settled = offsets, position, position.clock
        meta = self._meta
        meta.position, meta.identity = changes.position, identity or meta.identity
        meta.changelog, meta.journal = committed.changelog, committed.journal or meta.journal
        meta.written_at = wall()
        store.write(
            changes.states, changes.journal, meta, gone=changes.gone, gone_chunks=changes.gone_chunks, more=changes.more
        )
        self._failures = 0
        contacts.sample(changes.state_bytes, len(changes.states))
        contacts.settle()
        filling.committed()
        if just_filled:
            core.fill_ended()
            log.info("Partition %d: every contact is under the definitions in force", self.number)
        shared.metrics.count(batch, letters, len(misplaced), committed.seconds)
        shared.committed()

    def _sweep(self) -> None:
        """Removes from the local journal, a slice at a time, what the retention has passed."""
        core, store, now = self.core, self.store, time.monotonic()
        if core is None or store is None or now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        # A fill reads the journal as of when its definitions were taken up.
        oldest = min(core.clock, core.changed_at if self.filling else core.clock) - self._settings.journal_retention
        self._swept, removed = store.sweep(self._swept, oldest, SWEEP_CHUNKS)
        if removed:
            log.debug("Partition %d: %d chunks of the journal are past their retention", self.number, removed)

    def _mark_written(self) -> None:
        """An idle store says now and then that it is up to date, so that it is not taken for an old one."""
        assert self.store is not None
        if wall() - self._meta.written_at > WRITTEN_MILLIS:
            self._meta.written_at = wall()
            self.store.write({}, (), self._meta)

    def show(self) -> None:
        """Sets this partition's gauges."""
        metrics, label, core = self._shared.metrics, self._label, self.core
        inbox = self.lane.inbox
        oldest = min((s.records[0].timestamp for s in inbox.sources if s.records), default=None)
        metrics.lag_seconds.labels(label).set(0 if oldest is None else max(0, wall() - oldest) / 1000)
        behind = sum(max(0, s.stable - (s.next_offset or 0)) for s in inbox.sources if s.stable is not None)
        metrics.lag_records.labels(label).set(behind)
        metrics.fill.labels(label).set(self.filling)
        if self._filling is not None:
            metrics.fill_progress.labels(label).set(self._filling.share)
        metrics.contacts.labels(label).set(len(self._contacts) if self._contacts is not None else 0)
        if core is not None:
            metrics.clock.labels(label).set(core.clock / 1000)
