"""The members over all workers as one stream of JSON lines: a header, the members, and a last line that says that it is
whole. Who does not see the last line has not seen all.

Every owner answers from its own partitions as of when it is asked, and whoever was asked first merges what they say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Final

import httpx
import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.api.peers import CONNECT_SECONDS, CONTACT_SECONDS, Peers, Unanswered
from engine.state.readings import ReadingEnded, TooManyReadings
from engine.worker.snapshot import Piece, Row, merged

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine
    from engine.worker.snapshot import Snapshot

SNAPSHOTS_MAX: Final = 8
"""Snapshots over all workers that one worker hands out at once."""
PIECE_SECONDS: Final = 60.0
"""Between two pieces of an owner: a slice of its states, beside the facts."""
ALIVE_SECONDS: Final = 5.0
"""So often there is a line, though nobody of so many contacts be a member: who reads waits for no silent one."""
CHUNK_BYTES: Final = 1 << 16
"""What is handed to the network at once, about."""
LINE_BYTES_MAX: Final = 1 << 20
"""A longer line is none of ours: a contact's attributes are bounded by the longest record."""
LAST: Final = "complete"


class Busy(Exception):
    """As many snapshots are under way as are allowed. The text says so."""


class Moved(Exception):
    """A partition left its worker in the middle. The text says which, or whose."""


class Stream(StreamingResponse):
    """Lines of JSON as they come; what they are made from is let go in any case, also when nobody reads on."""

    def __init__(self, lines: AsyncGenerator[bytes, None], opened: AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._lines, self._opened = lines, opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._opened, aclosing(self._lines):
            await super().__call__(scope, receive, send)


class Snapshots:
    """Makes the streams."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers
        self._under_way = 0

    def own(self, workspace: str, segment: str, columns: Sequence[str]) -> Stream:
        """The stream of this worker's own partitions. Raises Busy, Unanswered, ValueError."""
        opened = AsyncExitStack()
        snapshot = self._begin(workspace, segment, columns)
        opened.callback(snapshot.end)
        return Stream(_lines({"partitions": snapshot.partitions()}, snapshot.pieces()), opened)

    async def all(self, about: Mapping[str, Any], workspace: str, segment: str, columns: Sequence[str]) -> Stream:
        """The stream over all workers, `about` in its header. Raises Busy, Unanswered, ValueError."""
        if self._under_way >= SNAPSHOTS_MAX:
            raise Busy(f"{SNAPSHOTS_MAX} snapshots are under way at this worker; ask again, or another worker")
        self._under_way += 1
        opened = AsyncExitStack()
        opened.callback(self._done)
        try:
            owners = self._peers.owners()
            snapshot = self._begin(workspace, segment, columns)
            opened.callback(snapshot.end)
            question = {"workspace": workspace, "columns": orjson.dumps(list(columns)).decode()}
            path = f"/segments/{segment}/members/snapshot"
            async with asyncio.TaskGroup() as group:  # where one does not answer, the others are not waited for
                asked = [
                    group.create_task(self._ask(opened, url, path, question, numbers))
                    for url, numbers in owners.items()
                ]
            others = [each.result() for each in asked]
            partitions = snapshot.partitions() + [each for other in others for each in other.partitions]
            self._refuse_gaps([each["partition"] for each in partitions])
        except ExceptionGroup as errors:
            await opened.aclose()
            raise errors.exceptions[0] from errors
        except BaseException:
            await opened.aclose()
            raise
        partitions.sort(key=lambda each: int(each["partition"]))
        pieces = merged([snapshot.pieces(), *(other.pieces() for other in others)])
        return Stream(_lines({**about, "partitions": partitions}, pieces), opened)

    def _done(self) -> None:
        self._under_way -= 1

    def _begin(self, workspace: str, segment: str, columns: Sequence[str]) -> Snapshot:
        try:
            return self._engine.members_snapshot(workspace, segment, columns)
        except TooManyReadings as error:
            raise Busy(f"{error}; ask again later") from error
        except ReadingEnded as error:
            raise Unanswered(self._engine.partitions, "one is leaving this worker") from error

    def _refuse_gaps(self, found: list[int]) -> None:
        """A partition that is read twice, or not at all, has moved while the owners were asked."""
        wanted = set(range(self._engine.settings.partitions))
        wrong = wanted.symmetric_difference(found) | {each for each in found if found.count(each) > 1}
        if wrong:
            raise Unanswered(wrong, "moved to another worker while it was asked")

    async def _ask(
        self, opened: AsyncExitStack, url: str, path: str, question: dict[str, str], numbers: list[int]
    ) -> _Owner:
        # A worker that hangs must not be waited for as long as one that reads.
        await self._peers.ask(url, "/live", {}, CONTACT_SECONDS, numbers)
        timeout = httpx.Timeout(PIECE_SECONDS, connect=CONNECT_SECONDS)
        try:
            answer = await opened.enter_async_context(self._peers.stream(url + path, question, timeout))
            if answer.status_code != 200:
                why = f"the worker at {url} does not give its members (status {answer.status_code})"
                raise Unanswered(numbers, why)
            owner = _Owner(url, answer)
            await owner.begin()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unanswered(numbers, f"the owner at {url} does not answer ({type(error).__name__})") from error
        except Moved as error:
            raise Unanswered(numbers, f"what answers at {url} is not a worker of this version") from error
        return owner


class _Owner:
    """The stream of another worker, read."""

    def __init__(self, url: str, answer: httpx.Response) -> None:
        self.partitions: list[dict[str, Any]] = []
        self._url = url
        self._lines = self._split(answer)

    async def begin(self) -> None:
        """Reads the header. Raises Moved, httpx.HTTPError."""
        lines = await anext(self._lines, [b"null"])
        header = _read(lines[0])
        if not isinstance(header, dict) or "partitions" not in header:
            raise Moved(f"{self._url} gives no header")
        self.partitions = header["partitions"]
        self._rest = lines[1:]

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The members; the last piece comes only where the owner says that it is whole. Raises Moved."""
        lines, self._rest = self._rest, []
        known = b""
        try:
            while True:
                rows: list[Row] = []
                for line in lines:
                    if not line:
                        continue
                    found = _read(line)
                    if not isinstance(found, dict) or "error" in found:
                        said = found.get("detail") if isinstance(found, dict) else "a line that is no JSON"
                        raise Moved(f"the worker at {self._url} could not go on: {said}")
                    if LAST in found:
                        yield rows, None
                        return
                    rows.append((found["contact"].encode(), line))
                if rows:
                    known = rows[-1][0]
                yield rows, known  # also without rows: the owner is alive, and who asked is told so too
                lines = await anext(self._lines)
        except (httpx.HTTPError, StopAsyncIteration) as error:
            raise Moved(f"the stream of the worker at {self._url} broke off ({type(error).__name__})") from error

    async def _split(self, answer: httpx.Response) -> AsyncGenerator[list[bytes], None]:
        """Whole lines, some at a time."""
        rest = b""
        async for chunk in answer.aiter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                raise Moved(f"the worker at {self._url} sends a line without an end")
            if lines:
                yield lines


def _read(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


async def _lines(header: Mapping[str, Any], pieces: AsyncIterator[Piece]) -> AsyncGenerator[bytes, None]:
    """Header, members, and the last line; an error line in its place where not all could be read. An empty line where
    nobody was found for a while says that it goes on."""
    members = 0
    chunk = [orjson.dumps(header)]
    size, told = CHUNK_BYTES, time.monotonic()  # the header goes out at once
    try:
        async for rows, _ in pieces:
            members += len(rows)
            chunk += [line for _, line in rows]
            size += sum(len(line) + 1 for _, line in rows)
            if size >= CHUNK_BYTES or time.monotonic() - told > ALIVE_SECONDS:
                yield b"\n".join(chunk) + b"\n"
                chunk, size, told = [], 0, time.monotonic()
        chunk.append(orjson.dumps({LAST: True, "members": members}))
    except (ReadingEnded, Moved) as error:
        chunk.append(orjson.dumps({"error": "moved", "detail": f"A partition left while it was read: {error}."}))
    yield b"\n".join(chunk) + b"\n"
