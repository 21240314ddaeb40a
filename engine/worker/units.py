"""Units of work that partition loops hand to the agents: what is computed, apart from what is committed (DESIGN.md 7).

An agent runs one unit at a time and gives its outcome back through the unit's future, errors included: the loop that
waits decides what to do, and the agent goes on with the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from engine.membership.partition import Partition
from engine.membership.plan import Plan


class Unit:
    """Something to compute. `run` is called once, by an agent; whoever hands it over awaits `done`."""

    __slots__ = ("compute", "done")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def run(self) -> None:
        """Computes and settles `done`; never raises."""
        if self.done.done():
            return
        try:
            self.done.set_result(self.compute())
        except Exception as error:  # noqa: BLE001 - the loop that waits decides
            self.done.set_exception(error)


class Agents(Protocol):
    """Where units go: one agent for facts, one for deadlines, one for definitions."""

    async def facts(self, unit: Unit) -> None: ...
    async def deadlines(self, unit: Unit) -> None: ...
    async def definitions(self, unit: Unit) -> None: ...


async def compute(send: Callable[[Unit], Awaitable[None]], work: Callable[[], Any]) -> Any:
    """Has an agent compute `work`; returns its result or raises its error."""
    unit = Unit(work)
    await send(unit)
    return await unit.done


def change_plan(core: Partition, plan: Plan) -> bool:
    """Has the core take up new definitions; whether contacts must follow."""
    return core.change_plan(plan)
