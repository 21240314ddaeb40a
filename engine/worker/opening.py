"""Before a partition's first batch: its store at the end of its logs, and where to read its inputs from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition

from engine.state.changelog import changelog_topic, journal_topic
from engine.state.codec import Position
from engine.state.restore import restore
from engine.state.store import Meta, Store
from engine.worker.beginning import beginning, refuse_lost
from engine.worker.clients import close_quietly, reader, wait_event
from engine.worker.definitions import DefinitionsUnusable
from engine.worker.intake import Lane
from engine.worker.shared import Shared

log = logging.getLogger(__name__)

DEFINITIONS_SECONDS: Final = 30.0
"""Longest wait for definitions that the partition was under before and this worker has not read yet."""
LOOK_SECONDS: Final = 0.1


@dataclass(slots=True)
class Opened:
    """An open store that agrees with its logs, the position that rules, and the spans of the inputs by topic."""

    store: Store
    meta: Meta
    position: Position
    begins: dict[str, int]
    ends: dict[str, int]


async def open_partition(
    shared: Shared, number: int, path: Path, lane: Lane, progress: Callable[[float], None]
) -> Opened:
    """Opens the store in `path` and restores it. Raises what `restore` raises, and what `refuse_lost` says."""
    settings = shared.settings
    changelog = TopicPartition(changelog_topic(settings.group), number)
    journal = TopicPartition(journal_topic(settings.group), number)
    inputs = {topic: TopicPartition(topic, number) for topic in shared.inputs}
    client = reader(settings, f"restore-{number}")
    try:
        await client.start()
        # Assigned together, their metadata comes in one answer instead of one a topic with pauses between.
        client.assign([changelog, journal, *inputs.values()])
        client.pause(changelog, journal, *inputs.values())
        begins = await client.beginning_offsets(list(inputs.values()))
        ends = await client.end_offsets(list(inputs.values()))
        restored = await restore(
            path,
            client,
            changelog,
            journal,
            delete_retention=shared.delete_retention,
            records=settings.restore_records,
            progress=progress,
        )
        try:
            known, right = bool(restored.meta.position), restored.meta.identity != b"?"
            committed = not known and await shared.intake.committed(lane)
            refuse_lost(f"{changelog.topic}/{number}", position=known, begins_right=right, committed=committed)
        except BaseException:
            restored.store.close()
            raise
        return Opened(
            restored.store,
            restored.meta,
            restored.position,
            {topic: begins[tp] for topic, tp in inputs.items()},
            {topic: ends[tp] for topic, tp in inputs.items()},
        )
    finally:
        await close_quietly(client)


async def definitions_read(
    shared: Shared, number: int, lane: Lane, position: Position, stopping: Callable[[], bool]
) -> bool:
    """Waits until this worker has read the definitions as far as the partition's former owner had; False when it is to
    stop meanwhile.

    Where they never come, as their topic is another, it goes on after a while. Raises DefinitionsUnusable where this
    worker can't run them: contacts would be taken back to older ones, leave what they are in and enter it again later.
    """
    wanted, until = position.read_to, time.monotonic() + DEFINITIONS_SECONDS
    while (read_to := shared.plan().read_to) < wanted:
        if stopping():
            return False
        if time.monotonic() > until:
            if problem := shared.problem():
                raise DefinitionsUnusable(
                    f"Partition {number} is under newer definitions than this worker can run: {problem}. The worker "
                    "stops rather than take contacts back to older ones. Run the version of the engine that the "
                    "definitions were written for"
                )
            said = "Partition %d was under definitions up to offset %d, this worker has read up to %d; it goes on"
            log.error(said, number, wanted, read_to)
            return True
        lane.wake.clear()
        await wait_event(lane.wake, LOOK_SECONDS)
    return True


def beginnings(shared: Shared, number: int, opened: Opened) -> dict[str, int]:
    """Where to read each input from: the position, unless the topic does not reach so far any more."""
    offsets = {}
    for topic in shared.inputs:
        place = f"{topic}/{number}"
        found = beginning(place, opened.position.offsets.get(topic), opened.begins[topic], opened.ends[topic])
        if found.problem:
            log.error("%s", found.problem)
            shared.metrics.lost.inc(found.lost)
            shared.losses[place] = found.problem
        offsets[topic] = found.offset
    return offsets
