"""What orchestrators and Prometheus ask of a worker: alive, ready, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine


class HealthFaces:
    """The answers about the worker itself, a method a path."""

    def __init__(self, engine: SegmentEngine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        return [Route("/live", self.live), Route("/ready", self.ready), Route("/metrics", self.metrics)]

    async def live(self, request: Request) -> Response:
        """200 as long as the event loop turns."""
        return Answer({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when every owned partition runs; else 503 with what is the matter."""
        ready, details = self._engine.ready()
        return Answer({"ready": ready, **details}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Metrics in the text format of Prometheus, or OpenMetrics if asked for."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._engine.metrics.registry), headers={"content-type": media_type})
