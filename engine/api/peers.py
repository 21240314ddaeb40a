"""Asking the owners: any worker answers for any contact by asking the one that runs its partition (DESIGN.md 9).

A question that was passed on is answered from the asked worker's own partitions or not at all, so it never goes round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from heapq import merge
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from engine.conditions.instants import format_instant
from engine.membership.explanation import TooFarAhead, Unknown, UnknownContact, UnknownSegment, as_json
from engine.worker.engine import NotHere

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

CONNECT_SECONDS: Final = 2.0
CONTACT_SECONDS: Final = 5.0
"""One look into a store; a busy worker's event loop may hold it up for a batch."""
EXPLANATION_SECONDS: Final = 15.0
"""One contact's whole journal taken anew: a second for some ten thousand facts."""
UNKNOWN: Final[dict[type[Unknown], tuple[int, str]]] = {
    UnknownSegment: (404, "unknown_segment"),
    UnknownContact: (404, "unknown_contact"),
    TooFarAhead: (400, "too_far_ahead"),
}
"""Status and word for what cannot be explained."""
REFUSALS: Final = frozenset(status for status, _ in UNKNOWN.values())
MEMBERS_SECONDS: Final = 60.0
"""A page of members of a small segment reads every contact of the owner's partitions: some microseconds each."""
CONNECTIONS_MAX: Final = 32


class Unanswered(Exception):
    """Partitions whose owner is not known or does not answer. The text names them."""

    def __init__(self, numbers: Iterable[int], why: str) -> None:
        self.numbers = sorted(numbers)
        named = ", ".join(map(str, self.numbers))
        super().__init__(f"{'partition' if len(self.numbers) == 1 else 'partitions'} {named}: {why}")


class Peers:
    """The workers of the group as one: `close` it."""

    def __init__(self, engine: SegmentEngine, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` carries the questions; default: the network."""
        self._engine = engine
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
        # Workers talk to each other directly, whatever proxy the environment names.
        self._client = httpx.AsyncClient(limits=limits, trust_env=False, transport=transport)
        # Long answers have connections of their own, bounded by who asks for them: questions go on beside them.
        self._streams = httpx.AsyncClient(limits=httpx.Limits(), trust_env=False, transport=transport)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()
        await self._streams.aclose()

    def stream(
        self, url: str, question: dict[str, str], timeout: httpx.Timeout, body: bytes | None = None
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """A long answer of another worker from its own partitions, as it comes; with a `body` it is posted."""
        asked = {**question, "own": "true"}
        method = "GET" if body is None else "POST"
        return self._streams.stream(method, url, params=asked, content=body, timeout=timeout)

    async def contact(self, workspace: str, contact: str, facts: int, why: bool) -> dict[str, Any] | None:
        """A contact with its last `facts`, and with reasons if `why`, from whoever runs its partition; None when it is
        unknown. Raises Unanswered."""
        try:
            return await self._engine.contact(workspace, contact, facts, why)
        except NotHere as elsewhere:
            number, url = elsewhere.number, elsewhere.url
        if url is None:
            raise Unanswered([number], "no worker is known to run it; it may be moving")
        question = {"id": contact, "workspace": workspace, "facts": str(facts), "why": "true" if why else "false"}
        seconds = EXPLANATION_SECONDS if why else CONTACT_SECONDS
        status, found = await self.ask(url, "/contacts", question, seconds, [number])
        return None if status == 404 else found

    async def explanation(
        self, workspace: str, contact: str, segment: str, at: int | None, nested: int
    ) -> tuple[int, dict[str, Any]]:
        """The explanation in plain JSON with status 200, from whoever runs the contact's partition; with another one
        the error for what is unknown. `at` in milliseconds, None for now. Raises Unanswered."""
        try:
            return await self.own_explanation(workspace, contact, segment, at, nested)
        except NotHere as elsewhere:
            number, url = elsewhere.number, elsewhere.url
        if url is None:
            raise Unanswered([number], "no worker is known to run it; it may be moving")
        question = {"contact": contact, "workspace": workspace, "nested": str(nested)}
        if at is not None:
            question["at"] = format_instant(at)
        path = f"/segments/{quote(segment, safe='')}/explanation"
        status, found = await self.ask(url, path, question, EXPLANATION_SECONDS, [number], REFUSALS)
        if not isinstance(found, dict) or (status != 200 and (status, found.get("error")) not in UNKNOWN.values()):
            raise Unanswered([number], f"what answers at {url} is not a worker of this version")
        return status, found

    async def own_explanation(
        self, workspace: str, contact: str, segment: str, at: int | None, nested: int
    ) -> tuple[int, dict[str, Any]]:
        """The same from this worker's own partitions. Raises NotHere."""
        try:
            return 200, as_json(await self._engine.explanation(workspace, contact, segment, at, nested))
        except Unknown as error:
            status, word = UNKNOWN[type(error)]
            return status, {"error": word, "detail": str(error)}

    async def members(self, workspace: str, segment: str, after: str, limit: int) -> tuple[list[str], str | None]:
        """At most `limit` ids of members after the id `after`, of all partitions, in the order of their bytes.

        The second value is where to go on, None at the end. Raises Unanswered.
        """

        def own() -> Awaitable[dict[str, Any]]:
            return self.own_members(workspace, segment, after, limit)

        return await self.page(f"/segments/{segment}/members", own, workspace, after, limit)

    async def page(
        self, path: str, own: Callable[[], Awaitable[dict[str, Any]]], workspace: str, after: str, limit: int
    ) -> tuple[list[str], str | None]:
        """The ids of one page of `own` and of what the other workers answer at `path`, merged; as `members`."""
        asked = [self._page_of(url, path, numbers, workspace, after, limit) for url, numbers in self.owners().items()]
        pages = await asyncio.gather(*asked, own())
        covered = {number for page in pages for number in page["partitions"]}
        if missing := set(range(self._engine.settings.partitions)) - covered:
            raise Unanswered(missing, "moved to another worker while it was asked")
        ids: Iterable[str] = _distinct(merge(*(page["members"] for page in pages), key=str.encode))
        # Behind the end of a page that is not its worker's last, that worker's members are not known.
        end = min((page["next"].encode() for page in pages if page["next"] is not None), default=None)
        if end is not None:
            ids = takewhile(lambda each: each.encode() <= end, ids)
        found = list(islice(ids, limit + 1))
        more = len(found) > limit or end is not None
        found = found[:limit]
        return found, found[-1] if more else None

    async def own_members(self, workspace: str, segment: str, after: str, limit: int) -> dict[str, Any]:
        """The same of this worker's own partitions, which are named in `partitions`. Raises Unanswered."""
        return await self.own_page(self._engine.members(workspace, segment, after, limit))

    async def own_page(self, reading: Awaitable[tuple[list[str], str | None]]) -> dict[str, Any]:
        """What was read of this worker's own partitions, and which those are. Raises Unanswered."""
        before = self._engine.partitions
        try:
            members, following = await reading
        except Exception as error:
            if gone := set(before) - set(self._engine.partitions):  # its store was closed while it was read
                raise Unanswered(gone, "moved to another worker while it was asked") from error
            raise
        kept = [number for number in before if number in self._engine.partitions]
        return {"members": members, "next": following, "partitions": kept}

    def owners(self) -> dict[str, list[int]]:
        """The partitions that others run, by where those answer. Raises Unanswered where that is not known."""
        here = self._engine.partitions
        owners: dict[str, list[int]] = {}
        unknown = []
        for number in range(self._engine.settings.partitions):
            if number in here:
                continue
            url = self._engine.roster.owner_of(number)
            if url is None:
                unknown.append(number)
            else:
                owners.setdefault(url, []).append(number)
        if unknown:
            they = "it; it" if len(unknown) == 1 else "them; they"
            raise Unanswered(unknown, f"no worker is known to run {they} may be moving")
        return owners

    async def _page_of(
        self, url: str, path: str, numbers: list[int], workspace: str, after: str, limit: int
    ) -> dict[str, Any]:
        question = {"workspace": workspace, "after": after, "limit": str(limit)}
        # A worker that hangs must not be waited for as long as one that counts.
        await self.ask(url, "/live", {}, CONTACT_SECONDS, numbers)
        _, page = await self.ask(url, path, question, MEMBERS_SECONDS, numbers)
        if not isinstance(page, dict) or not {"members", "next", "partitions"} <= page.keys():
            raise Unanswered(numbers, f"what answers at {url} is not a worker of this version")
        return page

    async def ask(
        self, url: str, path: str, question: dict[str, str], seconds: float, numbers: list[int],
        refusals: frozenset[int] = frozenset((404,)),
    ) -> tuple[int, Any]:  # fmt: skip
        """Status and JSON of another worker's answer from its own partitions, `numbers`; statuses beside 200 and
        `refusals`, no answer within `seconds`, and what is no JSON raise Unanswered."""
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            answer = await self._client.get(url + path, params={**question, "own": "true"}, timeout=timeout)
            if answer.status_code == 200 or answer.status_code in refusals:
                return answer.status_code, answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unanswered(numbers, f"the owner at {url} does not answer ({type(error).__name__})") from error
        raise Unanswered(numbers, f"the worker at {url} does not run it any more, or not yet")


def _distinct(ids: Iterable[str]) -> Iterable[str]:
    """Of equal neighbours the first: while a partition moves, two workers may both have it."""
    last = None
    for each in ids:
        if each != last:
            yield each
            last = each
