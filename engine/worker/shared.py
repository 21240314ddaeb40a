"""What all partitions of a worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engine.membership.plan import Plan
from engine.state.contacts import Memory
from engine.worker.clock import Skew
from engine.worker.commit import Committer
from engine.worker.filling import FillTurns
from engine.worker.intake import Intake
from engine.worker.metrics import Metrics
from engine.worker.settings import Settings
from engine.worker.units import Agents


@dataclass(slots=True)
class Shared:
    """What all partitions of a worker share."""

    settings: Settings
    inputs: tuple[str, ...]
    forwarding: str
    agents: Agents
    intake: Intake
    memory: Memory
    metrics: Metrics
    skew: Skew
    plan: Callable[[], Plan]
    committer: Callable[[int], Committer]
    turns: FillTurns
    restoring: asyncio.Semaphore
    delete_retention: int
    letter_bytes: int
    losses: dict[str, str]
    """What is known to be lost of the inputs since the worker started, in words, by topic/partition."""
    problem: Callable[[], str]
    """Why the newest definitions are not in force here; empty when they are."""
    committed: Callable[[], None]
    """Told after each commit, for garbage collection between batches."""
