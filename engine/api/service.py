"""The HTTP interface as a service of the worker's application, in its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from mode import Service

from engine.api.app import create_app
from engine.api.peers import Peers

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine
    from engine.worker.settings import Settings

log = logging.getLogger(__name__)

BACKLOG: Final = 128
CONCURRENCY_MAX: Final = 256
"""Requests and open connections at once; those beyond are told to come again."""
GRACEFUL_SECONDS: Final = 3
"""For answers under way when the worker ends."""


class CannotListen(Exception):
    """The address of the HTTP interface is not to be had. The text is one paragraph."""


def listen(settings: Settings) -> socket.socket:
    """A socket that listens on HTTP_HOST and HTTP_PORT, before anything else is started. Raises CannotListen."""
    try:
        family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
        return socket.create_server((settings.http_host, settings.http_port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(
            f"The HTTP interface cannot listen on {settings.http_host}, port {settings.http_port}: {error.strerror}. "
            "Another worker may have it: choose another HTTP_PORT (0 takes a free one)."
        ) from None


def serve(engine: SegmentEngine, listening: socket.socket) -> Service:
    """The service that answers on a listening socket, which it closes at its end."""
    settings = engine.settings
    if not settings.http_port and not settings.advertised_url:
        engine.roster.url = f"http://{settings.http_host}:{listening.getsockname()[1]}"
        engine.roster.changed()
    return Http(engine, listening)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the worker."""
        yield


class Http(Service):
    """Answers until it is stopped."""

    def __init__(self, engine: SegmentEngine, listening: socket.socket) -> None:
        super().__init__()
        self._peers = Peers(engine)
        self._listening = listening
        config = uvicorn.Config(
            create_app(engine, self._peers),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=CONCURRENCY_MAX,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        self._server = _Server(config)
        self._answering: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._answering = asyncio.get_running_loop().create_task(self._server.serve([self._listening]))
        log.info("HTTP interface on %s:%d", *self._listening.getsockname()[:2])

    async def on_stop(self) -> None:
        self._server.should_exit = True
        if self._answering is not None:
            await self._answering
        await self._peers.close()
