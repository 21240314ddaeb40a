"""The dry run over all workers: what a change of definitions would do, counted by whoever runs the partitions and put
together by whoever was asked. Lines of JSON as it goes on, the plan in the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Refused, is_own
from engine.api.peers import CONNECT_SECONDS, CONTACT_SECONDS, Peers, Unanswered
from engine.api.snapshot import Stream
from engine.conditions.instants import format_instant
from engine.definitions import DefinitionErrors, read_definition
from engine.membership.dry_run import SAMPLE, Outcome
from engine.state.readings import ReadingEnded, TooManyReadings
from engine.worker.clock import wall
from engine.worker.definition_record import DefinitionLogError, Key
from engine.worker.dry_run import Reasons, Walk
from engine.worker.plan_record import plan_record
from engine.worker.proposal import Asked, Proposal, propose

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

BODY_BYTES_MAX: Final = 32 << 20
"""Bytes of a question: ten thousand definitions of three kilobytes."""
SAMPLE_MAX: Final = 100
"""Contacts that are named of those that would enter a segment, and of those that would leave."""
PROGRESS_SECONDS: Final = 0.5
"""Between two lines that tell how far it is; so nobody waits in silence, and it shows when nobody listens any more."""
LINE_SECONDS: Final = 60.0
"""Longest silence of an owner: some lines' worth, on a machine that has much else to do."""
MOVED: Final = 409
BUSY: Final = 429


class _Place(msgspec.Struct, frozen=True):
    workspace: str
    segment: str


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    """A value of `POST /plan`. `present` is the fingerprint of the plan of who passes it on."""

    apply: list[dict[str, Any]] = []
    pause: list[_Place] = []
    resume: list[_Place] = []
    delete: list[_Place] = []
    prune: bool = False
    sample: int = SAMPLE
    present: int | None = None


class _Counted(msgspec.Struct):
    """What one worker has counted."""

    outcome: Outcome
    reasons: Reasons
    partitions: list[dict[str, Any]]


class _Line(msgspec.Struct, omit_defaults=True):
    """A line of a worker's own answer."""

    looked: int = 0
    contacts: int = 0
    counted: _Counted | None = None
    error: str = ""
    detail: str = ""


_read_question = msgspec.json.Decoder(_Question).decode
_read_line = msgspec.json.Decoder(_Line).decode
_written = msgspec.json.Encoder().encode


class PlanFaces:
    """The dry run, at `POST /plan`."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers
        self._busy = False

    def routes(self) -> list[Route]:
        return [Route("/plan", self.plan, methods=["POST"])]

    async def plan(self, request: Request) -> Response:
        """What a change would do. The body is JSON: `apply` with definitions, `delete`, `pause`, `resume` with
        `{workspace, segment}`, `prune`, `sample`. The answer is lines of JSON: `{"looked": N, "contacts": M}` as it
        goes on, and `{"plan": …}` at the end, or an error."""
        body = await _body(request)
        if self._busy:
            raise Refused(BUSY, "busy", "A dry run is under way at this worker. Ask again when it is done.")
        self._busy = True
        opened = AsyncExitStack()
        opened.callback(self._free)
        try:
            question, proposal = await self._propose(body)
            walk = self._walk(proposal, question.sample)
            opened.callback(walk.end)
            if is_own(request):
                lines = _own_lines(_Own(walk))
            else:
                question.present = proposal.present.fingerprint
                others = await self._others(opened, _written(question)) if proposal.edited else []
                lines = self._lines(proposal, question.sample, _Own(walk), others)
        except BaseException:
            await opened.aclose()
            raise
        return Stream(lines, opened)

    def _free(self) -> None:
        self._busy = False

    async def _propose(self, body: bytes) -> tuple[_Question, Proposal]:
        definitions = self._engine.definitions
        if definitions.problem:
            raise Refused(503, "definitions_unusable", f"There is nothing to compare with: {definitions.problem}.")
        known, present, settings = definitions.known(), definitions.plan, self._engine.settings

        def proposed() -> tuple[_Question, Proposal]:
            question = _read_question(body)
            if not 0 <= question.sample <= SAMPLE_MAX:
                raise Refused(400, "bad_sample", f"sample is a whole number from 0 to {SAMPLE_MAX}.")
            asked = Asked(
                [read_definition(each, f"definition {number}") for number, each in enumerate(question.apply, 1)],
                _keys(question.pause), _keys(question.resume), _keys(question.delete), question.prune,
            )  # fmt: skip
            return question, propose(known, present, asked, settings)

        try:
            # Reading and compiling thousands of definitions takes seconds: not in the event loop.
            question, proposal = await asyncio.to_thread(proposed)
        except msgspec.DecodeError as error:
            raise Refused(400, "bad_question", f"The body is no question for a plan: {error}.") from None
        except DefinitionErrors as error:
            raise Refused(400, "bad_definitions", f"What would be in force cannot run:\n{error}") from None
        except DefinitionLogError as error:
            raise Refused(400, "refused", str(error)) from None
        if question.present not in (None, present.fingerprint):
            said = "Definitions are just changing: the workers do not have the same in force. Ask again."
            raise Refused(MOVED, "definitions_moved", said)
        return question, proposal

    def _walk(self, proposal: Proposal, sample: int) -> Walk:
        try:
            return self._engine.dry_walk(proposal, sample)
        except TooManyReadings as error:
            raise Refused(BUSY, "busy", f"{error}; ask again later.") from error
        except ReadingEnded as error:
            raise Unanswered(self._engine.partitions, "one is leaving this worker") from error

    async def _others(self, opened: AsyncExitStack, body: bytes) -> list[_Other]:
        owners = self._peers.owners()
        return await asyncio.gather(*(self._ask(opened, url, body, numbers) for url, numbers in owners.items()))

    async def _ask(self, opened: AsyncExitStack, url: str, body: bytes, numbers: list[int]) -> _Other:
        # A worker that hangs must not be waited for as long as one that counts.
        await self._peers.ask(url, "/live", {}, CONTACT_SECONDS, numbers)
        timeout = httpx.Timeout(LINE_SECONDS, connect=CONNECT_SECONDS)
        try:
            answer = await opened.enter_async_context(self._peers.stream(f"{url}/plan", {}, timeout, body))
            if answer.status_code in (MOVED, BUSY):
                said = orjson.loads(await answer.aread())
                raise Refused(answer.status_code, str(said["error"]), f"The worker at {url}: {said['detail']}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise Unanswered(numbers, f"the owner at {url} does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise Unanswered(numbers, f"the worker at {url} makes no dry run (status {answer.status_code})")
        return _Other(url, answer)

    async def _lines(
        self, proposal: Proposal, sample: int, own: _Own, others: Sequence[_Other]
    ) -> AsyncGenerator[bytes, None]:
        """How far it is, and the plan of all that was counted."""
        outcome, reasons, partitions = Outcome(), dict[int, dict[str, str]](), list[dict[str, Any]]()
        async for looked, contacts, counted in _followed([own, *others]):
            if counted is None:
                yield orjson.dumps({"looked": looked, "contacts": contacts}) + b"\n"
            elif isinstance(counted, _Failed):
                yield orjson.dumps({"error": counted.error, "detail": counted.detail}) + b"\n"
                return
            else:
                for each in counted:
                    outcome.add(each.outcome, sample)
                    partitions += each.partitions
                    for segment, found in each.reasons.items():
                        reasons.setdefault(segment, {}).update(found)
        numbers = [each["partition"] for each in partitions]
        if proposal.edited and sorted(numbers) != list(range(self._engine.settings.partitions)):
            said = "A partition moved to another worker while it was looked at. Ask again."
            yield orjson.dumps({"error": "moved", "detail": said}) + b"\n"
            return
        made_at = format_instant(wall())
        record = await asyncio.to_thread(plan_record, proposal, outcome, reasons, partitions, made_at)
        yield orjson.dumps({"plan": record}) + b"\n"


class _Failed(Exception):
    """A worker could not count to the end: one word, one sentence."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


class _Own:
    """This worker's own partitions."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    @property
    def looked(self) -> int:
        return self._walk.looked

    @property
    def contacts(self) -> int:
        return self._walk.total

    async def counted(self) -> _Counted:
        """Counts. Raises _Failed."""
        try:
            outcome = await self._walk.run()
            return _Counted(outcome, await self._walk.reasons(outcome), self._walk.partitions())
        except ReadingEnded as error:
            said = f"A partition left while it was looked at: {error}. Ask again."
            raise _Failed("moved", said) from error


class _Other:
    """Another worker's partitions, of which it tells in lines. A line is bounded by the number of definitions."""

    def __init__(self, url: str, answer: httpx.Response) -> None:
        self._url, self._answer = url, answer
        self.looked = self.contacts = 0

    async def counted(self) -> _Counted:
        """Reads to the end. Raises _Failed."""
        try:
            async for text in self._answer.aiter_lines():
                line = _read_line(text)
                if line.error:
                    raise _Failed(line.error, f"The worker at {self._url}: {line.detail}")
                self.looked, self.contacts = line.looked, line.contacts
                if line.counted is not None:
                    return line.counted
            why = "ended without a result"
        except (httpx.HTTPError, httpx.StreamError) as error:
            why = f"broke off ({type(error).__name__})"
        except msgspec.DecodeError:
            why = "is not that of a worker of this version"
        raise _Failed("moved", f"The answer of the worker at {self._url} {why}. Ask again.")


async def _followed(
    sources: Sequence[_Own | _Other],
) -> AsyncGenerator[tuple[int, int, list[_Counted] | _Failed | None], None]:
    """How many contacts were looked at, and of how many, now and then; at the end with what was counted, or why not.

    Closed early, all work ends.
    """
    tasks = [asyncio.create_task(each.counted()) for each in sources]
    try:
        while True:
            _, waiting = await asyncio.wait(tasks, timeout=PROGRESS_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            progress = sum(each.looked for each in sources), sum(each.contacts for each in sources)
            failed = [each.exception() for each in tasks if each.done() and each.exception() is not None]
            if isinstance(failed[0] if failed else None, _Failed):
                yield *progress, failed[0]  # type: ignore[misc]
                return
            if failed or not waiting:
                yield *progress, [each.result() for each in tasks]
                return
            yield *progress, None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _own_lines(own: _Own) -> AsyncGenerator[bytes, None]:
    """For the worker that asks."""
    async for looked, contacts, counted in _followed([own]):
        line = _Line(looked, contacts)
        if isinstance(counted, _Failed):
            line.error, line.detail = counted.error, counted.detail
        elif counted is not None:
            line.counted = counted[0]
        yield _written(line) + b"\n"


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_BYTES_MAX:
            raise Refused(413, "too_large", f"The definitions have more than {BODY_BYTES_MAX >> 20} MiB together.")
    return bytes(found)


def _keys(places: Sequence[_Place]) -> list[Key]:
    return [(each.workspace, each.segment) for each in places]
