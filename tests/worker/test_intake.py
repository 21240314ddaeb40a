"""Reading the inputs: a seek loses nothing, and an offset that is gone is told, never jumped over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from engine.worker.intake import Intake
from engine.worker.settings import Settings
from tests.worker.test_poison_records import Record, nobody

TP = TopicPartition("events.clicks", 0)
EVENT = b'{"id":"1","type":"click","contact":"c","at":"2026-01-01T00:00:00Z"}'


class Log:
    """A consumer of one partition of ten records; `during` runs while records are on their way."""

    def __init__(self) -> None:
        self.at = 0
        self.during: Callable[[], Any] = lambda: None
        self.error: Exception | None = None

    async def getmany(self, *_: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        during, self.during = self.during, lambda: None
        during()
        if self.error is not None:
            raise self.error
        first, self.at = self.at, 10
        return {TP: [Record(offset, EVENT) for offset in range(first, 10)]} if first < 10 else {}

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    def resume(self, *_: TopicPartition) -> None:
        pass

    def pause(self, *_: TopicPartition) -> None:
        pass

    def last_stable_offset(self, _: TopicPartition) -> int:
        return 10

    async def position(self, _: TopicPartition) -> int:
        return self.at


def read(scenario: Callable[[Intake, Log], Awaitable[None]]) -> None:
    async def run() -> None:
        intake = Intake(Settings(), ("events.clicks",), "events.forwarded", assigned=nobody, revoked=nobody)
        intake._consumer = log = Log()
        await scenario(intake, log)

    asyncio.run(run())


def test_what_was_fetched_across_a_seek_is_fetched_again() -> None:
    async def scenario(intake: Intake, log: Log) -> None:
        lane = intake.lane(0)
        intake.open_lane(lane, {"events.clicks": 8})

        def again() -> None:
            intake.pause_lane(lane)
            intake.open_lane(lane, {"events.clicks": 3})

        log.during = again
        await intake._poll([TP])
        assert lane.inbox.offsets() == {"events.clicks": 3}
        await intake._poll([TP])
        assert [record.offset for record in lane.inbox.by_topic["events.clicks"].records] == list(range(3, 10))

    read(scenario)


def test_what_was_fetched_for_an_earlier_assignment_is_fetched_again() -> None:
    async def scenario(intake: Intake, log: Log) -> None:
        intake.open_lane(intake.lane(0), {"events.clicks": 8})

        def again() -> None:
            intake.close_lane(intake.lane(0))
            intake.open_lane(intake.lane(0), {"events.clicks": 3})

        log.during = again
        await intake._poll([TP])
        await intake._poll([TP])
        source = intake.lane(0).inbox.by_topic["events.clicks"]
        assert [record.offset for record in source.records] == list(range(3, 10))

    read(scenario)


def test_an_offset_that_is_gone_has_its_partition_start_anew() -> None:
    async def scenario(intake: Intake, log: Log) -> None:
        lane = intake.lane(0)
        intake.open_lane(lane, {"events.clicks": 3})
        log.error = OffsetOutOfRangeError({TP: 3})
        await intake._poll([TP])
        assert lane.gone == "events.clicks/0 has no offset 3 any more"
        assert lane.wake.is_set()
        intake.open_lane(lane, {"events.clicks": 5})
        assert lane.gone == ""

    read(scenario)


def test_a_partition_without_committed_offsets_waits_for_its_loop() -> None:
    async def scenario(intake: Intake, log: Log) -> None:
        intake.open_lane(intake.lane(0), {"events.clicks": 3})
        log.error = NoOffsetForPartitionError(TP)
        await intake._poll([TP])
        assert intake.lane(0).gone == ""

    read(scenario)


def test_without_any_assignment_a_lane_is_paused_and_is_not_opened() -> None:
    # While the group makes a new assignment the consumer has none, and asserts that it has.
    class Between(Log):
        def seek(self, _: TopicPartition, offset: int) -> None:
            raise AssertionError

        def pause(self, *_: TopicPartition) -> None:
            raise AssertionError

    async def run() -> None:
        intake = Intake(Settings(), ("events.clicks",), "events.forwarded", assigned=nobody, revoked=nobody)
        intake._consumer = Between()
        lane = intake.lane(0)
        intake.pause_lane(lane)
        with pytest.raises(IllegalStateError, match="no assignment"):
            intake.open_lane(lane, {"events.clicks": 3})
        assert not lane.open

    asyncio.run(run())
