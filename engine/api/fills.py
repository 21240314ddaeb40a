"""What is asked of the fills: how far each partition is with the definitions in force, over all workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer, is_own
from engine.api.peers import Peers, Unanswered

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

FILL_SECONDS: Final = 5.0
"""Nothing is read from a store; a busy worker's event loop may hold the answer up for a batch."""


class FillFaces:
    """The answers about fills."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

    def routes(self) -> list[Route]:
        return [Route("/fill", self.fill)]

    async def fill(self, request: Request) -> Response:
        """For each partition: `read_to`, the offset in `segments.definitions` up to which it has taken definitions up;
        `filling`, how many of its `contacts` are `filled`, and the `rate` a second. A partition that nobody answers
        for has `running: false`."""
        rows = self._engine.fills()
        if is_own(request):
            return Answer({"partitions": rows})
        try:
            owners = self._peers.owners()
        except Unanswered:
            owners = {}
        for found in await asyncio.gather(*(self._of(url, numbers) for url, numbers in owners.items())):
            rows += found
        known = {row["partition"]: row for row in rows if row["running"]}
        numbers = range(self._engine.settings.partitions)
        return Answer({"partitions": [known.get(n, {"partition": n, "running": False}) for n in numbers]})

    async def _of(self, url: str, numbers: list[int]) -> list[dict[str, Any]]:
        try:
            _, found = await self._peers.ask(url, "/fill", {}, FILL_SECONDS, numbers)
        except Unanswered:
            return []
        return [row for row in found["partitions"] if row["partition"] in numbers]
