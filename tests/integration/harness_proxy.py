"""A TCP proxy in front of one Kafka broker that loses chosen answers, so that a client cannot know what the broker did.

It reads just enough of the protocol to know which request an answer belongs to, and puts its own port into the
answers that name the broker's, so that clients stay behind it. Runs in a thread of its own; `with KafkaProxy(port) as
proxy: proxy.address`.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

METADATA, FIND_COORDINATOR, TXN_OFFSET_COMMIT, END_TXN = 3, 10, 28, 26  # api keys of the Kafka protocol
_HOST = b"127.0.0.1"
_START_WITHIN = 10.0  # seconds


class Loss(Enum):
    """What happens to a chosen request."""

    ANSWER = "the broker does it, the connection is cut before its answer"
    REQUEST = "the connection is cut before the broker sees it"
    SILENCE = "the broker does it, the answer never comes and the connection stays open"


class KafkaProxy:
    """Listens on a free port of 127.0.0.1 and forwards to the broker's `port` there."""

    def __init__(self, port: int) -> None:
        self._broker = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka-proxy", daemon=True)
        self._lock = threading.Lock()
        self._armed: list[tuple[int, Loss]] = []
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.lost: list[Loss] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_START_WITHIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_WITHIN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lose(self, api: int, how: Loss) -> None:
        """The next request with this api key is lost this way; calls add up, each for one request."""
        with self._lock:
            self._armed.append((api, how))

    def pending(self) -> int:
        """Losses that have not happened yet."""
        with self._lock:
            return len(self._armed)

    def _fate(self, api: int) -> Loss | None:
        with self._lock:
            for place, (wanted, how) in enumerate(self._armed):
                if wanted == api:
                    del self._armed[place]
                    self.lost.append(how)
                    return how
        return None

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            broker, forward = await asyncio.open_connection("127.0.0.1", self._broker)
        except OSError:
            back.close()
            self._connections.discard(task)
            return
        link = _Link(self._fate, self._broker, self.port)
        pumps = [
            asyncio.create_task(link.requests(client, forward)),
            asyncio.create_task(link.answers(broker, back)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (forward, back):
                writer.close()
            self._connections.discard(task)


class _Link:
    """One client connection: which requests are open, by correlation id, and what is to happen to their answers."""

    def __init__(self, fate: Callable[[int], Loss | None], broker: int, own: int) -> None:
        self._fate = fate
        self._open: dict[int, tuple[int, Loss | None]] = {}
        self._named = _HOST + struct.pack(">i", broker)
        self._instead = _HOST + struct.pack(">i", own)

    async def requests(self, client: asyncio.StreamReader, forward: asyncio.StreamWriter) -> None:
        """Client → broker; returns when the connection is to be cut."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _frame(client)
                api, _, correlation = struct.unpack_from(">hhi", frame)
                how = self._fate(api)
                if how is Loss.REQUEST:
                    return
                self._open[correlation] = (api, how)
                forward.write(struct.pack(">i", len(frame)) + frame)
                await forward.drain()

    async def answers(self, broker: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Broker → client; returns when the connection is to be cut."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _frame(broker)
                (correlation,) = struct.unpack_from(">i", frame)
                api, how = self._open.pop(correlation, (-1, None))
                if how is Loss.ANSWER:
                    return
                if how is Loss.SILENCE:
                    continue
                if api in (METADATA, FIND_COORDINATOR):
                    frame = frame.replace(self._named, self._instead)
                back.write(struct.pack(">i", len(frame)) + frame)
                await back.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)
