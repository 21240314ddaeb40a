"""The running engine of one worker: its parts put together, started, watched and stopped (DESIGN.md 7, 8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from aiokafka import TopicPartition

from engine.conditions.instants import NEVER
from engine.membership.explanation import Explanation, UnknownContact
from engine.membership.partition import NO_CLOCK
from engine.state.contacts import Memory
from engine.state.store import bound_block_cache
from engine.worker.clients import close_quietly, reader
from engine.worker.clock import Probe, Prober, Skew, wall
from engine.worker.commit import Committer
from engine.worker.counts import Source, Wanted, read_counts
from engine.worker.definitions import Definitions
from engine.worker.dry_run import Part as Walked
from engine.worker.dry_run import Walk
from engine.worker.fanout import Fanout
from engine.worker.filling import FillTurns
from engine.worker.garbage import Garbage
from engine.worker.intake import Intake
from engine.worker.list_query import list_contacts
from engine.worker.metrics import Metrics
from engine.worker.partition import PartitionLoop
from engine.worker.portrait import FACTS_SHOWN, show_contact
from engine.worker.preflight import Cluster
from engine.worker.proposal import Proposal
from engine.worker.query import explain_contact, list_members, near_contacts, place
from engine.worker.retirement import Retirement
from engine.worker.roster import Roster
from engine.worker.settings import Settings
from engine.worker.shared import Shared
from engine.worker.snapshot import Part, Snapshot
from engine.worker.units import Agents
from topics import DEAD_LETTER, DEFINITIONS, FORWARDED, MEMBERS, TRANSITIONS, WORKERS

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 5.0
"""For the background tasks to end once cancelled."""
SHOW_SECONDS: Final = 1.0
"""Between two updates of the gauges."""


class NotHere(Exception):
    """Another worker has the partition. `number` is the partition, `url` where its owner answers, None if unknown."""

    def __init__(self, number: int, url: str | None) -> None:
        super().__init__(f"partition {number} is not run by this worker")
        self.number = number
        self.url = url


class SegmentEngine:
    """One worker's engine: `start`, then `watch` until something fails for good, then `stop`."""

    def __init__(self, settings: Settings, cluster: Cluster, agents: Agents) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.skew = Skew(settings.skew)
        self.inputs = (*settings.input_topics, FORWARDED.name)
        self.definitions = Definitions(settings, DEFINITIONS.name, self._wake_all)
        self.intake = Intake(settings, self.inputs, FORWARDED.name, assigned=self._assigned, revoked=self._revoked)
        self.roster = Roster(settings, WORKERS.name, self.skew, lambda: self.partitions)
        self.garbage = Garbage()
        self.fanout: Fanout | None = None
        if settings.segment_topics:
            self.fanout = Fanout(settings, TRANSITIONS.name, self.metrics, self.definitions.record)
        self._probes = reader(settings, "probe")
        self._loops: dict[int, PartitionLoop] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joined = self._stopping = False
        self._shared = Shared(
            settings=settings,
            inputs=self.inputs,
            forwarding=FORWARDED.name,
            agents=agents,
            intake=self.intake,
            memory=Memory(settings.cache_bytes),
            metrics=self.metrics,
            skew=self.skew,
            plan=lambda: self.definitions.plan,
            committer=lambda number: self._committer(number, cluster),
            turns=FillTurns(settings.fill_share / 100),
            restoring=asyncio.Semaphore(settings.restore_partitions),
            delete_retention=cluster.delete_retention,
            letter_bytes=cluster.letter_bytes,
            losses={},
            problem=lambda: self.definitions.problem,
            committed=self.garbage.committed,
        )

    # --- life

    async def start(self) -> None:
        """Reads the definitions, announces the worker, joins the group. Raises KafkaError, TimeoutError."""
        bound_block_cache(self.settings.store_cache_bytes)
        await self.definitions.start()
        await self.roster.start()
        await self.intake.start()
        self.garbage.start()
        self._spawn(self.definitions.run())
        self._spawn(self.roster.run_announcing())
        self._spawn(self.roster.run_following())
        self._spawn(self.intake.run())
        self._spawn(self._show())
        if self.settings.clock == "wall":
            await self._probes.start()
            # Makes the topics known in one answer; nothing is fetched of what is paused.
            known = [TopicPartition(topic, 0) for topic in self.inputs]
            self._probes.assign(known)
            self._probes.pause(*known)
            prober = Prober(
                self._probes,
                self.inputs,
                grace=self.settings.grace,
                numbers=lambda: self.partitions,
                next_deadline=lambda: min((loop.next_deadline() for loop in self._loops.values()), default=NEVER),
                tell=self._tell,
            )
            self._spawn(prober.run())
        if self.fanout is not None:
            await self.fanout.start()
            self._spawn(self.fanout.run())
            self._spawn(Retirement(self.settings, self.fanout, TRANSITIONS.name, self.definitions).run())

    async def watch(self) -> None:
        """Waits until a part fails for good, and raises its error."""
        await self._failed

    async def stop(self) -> None:
        """Finishes or gives up the commits in hand, then closes everything; within SHUTDOWN_TIMEOUT and a little."""
        self._stopping = True
        await self._revoked()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        if self.fanout is not None:
            await self.fanout.stop()
        await self.roster.stop()
        await asyncio.gather(self.intake.stop(), self.definitions.stop(), close_quietly(self._probes))
        self.garbage.stop()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            log.critical("%s: %s", type(error).__name__, error)
            self._failed.set_exception(error)

    # --- partitions

    def _committer(self, number: int, cluster: Cluster) -> Committer:
        return Committer(
            self.settings,
            number,
            inputs=self.inputs,
            transitions=TRANSITIONS.name,
            members=MEMBERS.name,
            dead_letter=DEAD_LETTER.name,
            dead_letter_partitions=cluster.dead_letter_partitions,
            forwarding=FORWARDED.name,
        )

    async def _assigned(self, numbers: set[int]) -> None:
        self._joined = True
        if self._stopping:
            return
        for number in sorted(numbers):
            loop = self._loops[number] = PartitionLoop(self._shared, number)
            self._running[number] = self._spawn(self._run(loop))
        self.roster.changed()

    async def _run(self, loop: PartitionLoop) -> None:
        try:
            await loop.run()
        finally:
            self.metrics.forget(loop.number)
        if loop.state == "fenced" and not self._stopping:
            self.intake.rejoin()

    async def _revoked(self) -> None:
        """Ends every partition: the batch in hand is committed or given up, then all is closed."""
        loops, self._loops = self._loops, {}
        running, self._running = self._running, {}
        for loop in loops.values():
            loop.stop()
        if not running:
            return
        _, late = await asyncio.wait(running.values(), timeout=self.settings.shutdown_timeout / 1000)
        for task in late:
            log.warning("A partition did not end in time; its batch is given up")
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self.settings.shutdown_timeout / 1000)
        self.roster.changed()

    def _wake_all(self) -> None:
        for loop in self._loops.values():
            loop.lane.wake.set()

    def _tell(self, probe: Probe) -> None:
        for number, loop in self._loops.items():
            if loop.state == "running" and number in probe.ends:
                loop.time.tell(probe)
                loop.lane.wake.set()

    async def _show(self) -> None:
        while True:
            for loop in self._loops.values():
                loop.show()
            self.metrics.skew.set(self.skew.millis / 1000)
            self.metrics.ready.set(self.ready()[0])
            self.garbage.idle()
            await asyncio.sleep(SHOW_SECONDS)

    # --- what the HTTP interface asks

    @property
    def partitions(self) -> list[int]:
        """Numbers of the partitions that this worker runs."""
        return sorted(number for number, loop in self._loops.items() if loop.state == "running")

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker does all that it should, and the details in plain JSON."""
        problems = [each for each in (self.skew.problem(wall()), self.definitions.problem, self.intake.problem) if each]
        if self._stopping:
            problems.append("stopping")
        if not self._joined:
            problems.append("waiting for the group")
        states = {
            str(number): {"state": loop.state, "restored": round(loop.progress, 3), "filling": loop.filling}
            for number, loop in sorted(self._loops.items())
        }
        running = all(loop.state == "running" for loop in self._loops.values())
        return running and not problems, {
            "worker": self.settings.member,
            "group": self.settings.group,
            "partitions": states,
            "problems": problems,
            "losses": list(self._shared.losses.values()),
        }

    def fills(self) -> list[dict[str, Any]]:
        """How far each partition here is with the definitions in force, in plain JSON."""
        return [loop.fill_status() for _, loop in sorted(self._loops.items())]

    def owner_of(self, number: int) -> str | None:
        """URL of the worker that runs a partition; None if unknown."""
        return self.roster.url if number in self.partitions else self.roster.owner_of(number)

    def partition_of(self, workspace: str, contact: str) -> int:
        """The partition number of a contact."""
        return place(workspace, contact, self.settings.partitions)

    async def contact(
        self, workspace: str, contact: str, facts: int = FACTS_SHOWN, why: bool = True
    ) -> dict[str, Any] | None:
        """A contact's committed state in plain JSON with its last `facts`; None when it is unknown. Without `why` no
        reasons and no changes to come. Raises NotHere."""
        number = self.partition_of(workspace, contact)
        loop = self._loops.get(number)
        if loop is None or loop.state != "running" or loop.store is None:
            raise NotHere(number, self.roster.owner_of(number))
        plan, clock = self.definitions.plan, loop.settled
        return await show_contact(loop.store, plan, self.settings, clock, workspace, contact, facts, why)

    async def explanation(
        self, workspace: str, contact: str, segment: str, at: int | None = None, nested: int = 1
    ) -> Explanation:
        """Why a contact is in a segment or is not, now or at `at` (ms). Raises NotHere, and Unknown with near names."""
        number = self.partition_of(workspace, contact)
        loop = self._loops.get(number)
        if loop is None or loop.state != "running" or loop.store is None:
            raise NotHere(number, self.roster.owner_of(number))
        plan, clock = self.definitions.plan, loop.settled
        try:
            store, settings = loop.store, self.settings
            return await explain_contact(store, plan, settings, clock, workspace, contact, segment, at, nested)
        except UnknownContact:
            stores = [each.store for each in self._loops.values() if each.state == "running" and each.store is not None]
            raise UnknownContact(workspace, contact, near_contacts(stores, workspace, contact)) from None

    async def members(
        self, workspace: str, segment: str, after: str = "", limit: int = 1_000
    ) -> tuple[list[str], str | None]:
        """Ids of members in this worker's partitions, in the order of their bytes, after the id `after`; and where to
        go on, None at the end."""
        stores = [loop.store for loop in self._loops.values() if loop.state == "running" and loop.store is not None]
        return await list_members(stores, workspace, segment, after, limit)

    def clock(self) -> int:
        """The latest clock of this worker's partitions (ms); the wall's where there is none."""
        clocks = [loop.settled for loop in self._loops.values() if loop.state == "running"]
        return max((each for each in clocks if each > NO_CLOCK), default=wall())

    async def counts(self, workspace: str, segment: str, wanted: Wanted) -> dict[str, Any]:
        """A segment's counts in this worker's partitions; see `engine.worker.counts.read_counts`."""
        running = [loop for loop in self._loops.values() if loop.state == "running"]
        sources = [Source(loop.store, loop.settled) for loop in running if loop.store is not None]
        return await read_counts(sources, workspace, segment, self.settings.counts_retention, wanted)

    async def on_list(self, workspace: str, name: str, after: str, limit: int) -> tuple[list[str], str | None]:
        """Ids of contacts on a list of people, of this worker's partitions; as `members`."""
        stores = [loop.store for loop in self._loops.values() if loop.state == "running" and loop.store is not None]
        return await list_contacts(stores, workspace, name, after, limit)

    def dry_walk(self, proposal: Proposal, sample: int) -> Walk:
        """A dry run over this worker's partitions as they are now, naming at most `sample` contacts of a kind; to be
        ended. Raises TooManyReadings, ReadingEnded where a partition is just leaving."""
        parts = [
            Walked(
                number, loop.store, loop.core.plan, loop.core.filled, loop.core.changed_at,
                loop.fill_status().get("contacts", 0),
            )
            for number, loop in sorted(self._loops.items())
            if loop.state == "running" and loop.store is not None and loop.core is not None
        ]  # fmt: skip
        return Walk(parts, proposal, self.settings, self._shared.turns, sample)

    def members_snapshot(self, workspace: str, segment: str, columns: Sequence[str] = ()) -> Snapshot:
        """The members in this worker's partitions as they are now, with these attributes; to be ended. Raises
        TooManyReadings, ReadingEnded where a partition is just leaving, ValueError for a path of no attribute."""
        parts = [
            Part(number, loop.store, loop.core.plan, loop.filling, loop.settled)
            for number, loop in sorted(self._loops.items())
            if loop.state == "running" and loop.store is not None and loop.core is not None
        ]
        return Snapshot(parts, workspace, segment, columns)
