"""The stage of a fault test: a broker, a live producer, workers that come and go, and the judgement at the end."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.local_broker import LocalBroker
from engine.definitions.document import canonical
from engine.definitions.reading import load_folder
from engine.recount import Result
from tests.integration.faults import checker
from tests.integration.faults.live import LiveProducer, in_order
from tests.integration.harness import Worker, free_ports, run_engine, wait_until
from tests.integration.harness_kafka import Progress, read_topic, read_topics, wait_consumed
from topics import INPUTS

GROUP = "faulty"
PARTITIONS = 4
GRACE_S = 2  # longer than a stall of two busy cores: facts in order stay in time
SESSION_S = 4  # short, so that a takeover is soon
SETTLE_S = 8.0  # longer than every window of the segments: after it nothing changes without a fact
CAUGHT_UP_WITHIN = 120.0  # seconds
SETTLED_WITHIN = 60.0  # seconds
SEGMENTS = Path(__file__).parent / "segments"
INPUT_TOPICS = tuple(topic.name for topic in INPUTS)


class Scene:
    """One broker with one group. `rate` in facts a second; everything random comes from `seed`. `segments` is the
    folder of definitions that are in force from the beginning, and `more` settings of all workers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        rate: float = 150.0,
        segments: Path = SEGMENTS,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._segments, self._more = segments, more or {}
        self.rng = random.Random(seed)
        # A broker refuses session timeouts below six seconds unless it is told.
        self.broker = LocalBroker(folder / "kafka", more={"group.min.session.timeout.ms": "1000"})
        self._seed, self._rate = seed, rate
        self._ports: dict[str, int] = {}
        self._workers: dict[str, Worker] = {}
        self._starts = 0
        self.live: LiveProducer

    def __enter__(self) -> Self:
        self.broker.start()
        try:
            env = self.env("setup", self.broker.brokers)
            run_engine(["topics", "create"], env)
            run_engine(["segments", "apply", str(self._segments)], env)
            self.live = LiveProducer(self.broker.brokers, rate=self._rate, seed=self._seed, grace=GRACE_S * 1000)
            self.live.__enter__()
        except BaseException:
            self.broker.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.live.__exit__()
            for worker in self._workers.values():
                worker.resume()
                if worker.running():
                    worker.kill()
        finally:
            self.broker.close()

    def env(self, name: str, brokers: str) -> dict[str, str]:
        """The settings of the worker `name`."""
        prefix = "SEGMENT_ENGINE_"
        if name not in self._ports:
            self._ports[name] = free_ports(1)[0]
        return {
            f"{prefix}BROKERS": brokers,
            f"{prefix}GROUP": GROUP,
            f"{prefix}DATA_DIR": str(self.data(name)),
            f"{prefix}PARTITIONS": str(PARTITIONS),
            f"{prefix}HTTP_PORT": str(self._ports[name]),
            f"{prefix}WORKER_ID": name,
            f"{prefix}GRACE": f"PT{GRACE_S}S",
            f"{prefix}SESSION_TIMEOUT": f"PT{SESSION_S}S",
            f"{prefix}REQUEST_TIMEOUT": "PT10S",
            f"{prefix}COMMIT_TIMEOUT": "PT10S",
            f"{prefix}TRANSACTION_TIMEOUT": "PT20S",
            **{f"{prefix}{name}": value for name, value in self._more.items()},
        }

    def data(self, name: str) -> Path:
        """The worker's local disk."""
        return self.folder / f"data-{name}"

    def start(self, name: str = "w1", *, brokers: str | None = None) -> Worker:
        """Starts a worker; it need not be ready yet."""
        self._starts += 1
        log = self.folder / f"{name}-{self._starts:03d}.log"
        worker = Worker(self.env(name, brokers or self.broker.brokers), log=log)
        self._workers[name] = worker
        return worker

    def revive(self, name: str = "w1", *, brokers: str | None = None) -> Worker:
        """The worker, started again if it has ended, as a supervisor would."""
        worker = self._workers[name]
        return worker if worker.running() else self.start(name, brokers=brokers)

    def wipe(self, name: str = "w1") -> None:
        """Loses the local disk of a worker that does not run."""
        assert not self._workers[name].running()
        shutil.rmtree(self.data(name))

    def goes_on(self, worker: Worker, least: float, most: float) -> None:
        """Lets a random time between these seconds pass; the worker must live through it."""
        assert not worker.ended_within(self.rng.uniform(least, most)), worker.last_lines()

    def all_taken(self, within: float = CAUGHT_UP_WITHIN) -> float:
        """Seconds until the group has committed all that is in the topics now."""
        progress = Progress(self.broker.brokers, GROUP, INPUT_TOPICS)
        try:
            ends = progress.ends()
            return wait_until(lambda: progress.committed() >= ends, within, "the group to take what was sent so far")
        finally:
            progress.close()

    def finish(self, *, compared_at_least: int = 15) -> None:
        """Ends the stream, lets the engine come to rest, stops the workers by SIGTERM and judges the topics."""
        until = self.live.stop() + int(SETTLE_S * 1000)
        workers = [self.revive(name) for name in sorted(self._workers)]
        for worker in workers:
            worker.wait_ready()
        wait_consumed(self.broker.brokers, GROUP, INPUT_TOPICS, CAUGHT_UP_WITHIN, workers[0])
        assert not workers[0].ended_within(max(0.0, until / 1000 + GRACE_S - time.time())), workers[0].last_lines()
        segments = [canonical(segment) for segment in load_folder(self._segments)]
        truth = checker.Truth(segments, until=until, grace=GRACE_S * 1000, partitions=PARTITIONS)
        found = read_topics(self.broker.brokers, INPUT_TOPICS)
        facts = checker.in_arrival_order(record for records in found.values() for record in records)
        result = checker.recounted(facts, truth)
        self._settle(result)
        codes = [worker.stop() for worker in workers]
        seen = checker.read_all(self.broker.brokers, GROUP, INPUT_TOPICS)
        checker.judge(seen, result, truth, in_order, compared_at_least=compared_at_least)
        assert codes == [0] * len(codes), "a worker did not stop cleanly on SIGTERM"

    def _settle(self, result: Result) -> None:
        """Waits for the last deadlines and the fan-out; what is then still wrong is for the judge to say."""
        brokers = self.broker.brokers
        wanted = {segment: contacts for segment, contacts in result.members.items() if contacts}

        def settled() -> bool:
            if checker.members_of(read_topic(brokers, "segments.members")) != wanted:
                return False
            single = checker.segment_topics(brokers)
            found = read_topics(brokers, ["segments.transitions", *single])
            return not checker.fanned_out(found.pop("segments.transitions"), found)

        try:
            wait_until(settled, SETTLED_WITHIN, "members and segment topics to settle")
        except AssertionError as not_settled:
            print(not_settled)
