"""What is answered at which path. Every error is JSON: `{"error": word, "detail": sentence}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.api.peers import Peers, Unanswered
from engine.conditions.instants import parse_instant
from engine.definitions import Segment, canonical
from engine.definitions.describing import describe
from engine.membership.explain import NESTED_MAX
from engine.membership.explanation import from_json
from engine.membership.telling import tell
from engine.worker.engine import NotHere

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

LIMIT: Final = 1_000
"""Members of a page unless asked otherwise."""
LIMIT_MAX: Final = 10_000
RETRY_SECONDS: Final = "2"
"""What a client is told to wait when partitions are moving."""


class Answer(Response):
    """JSON, in the form that the rest of the engine writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content) + b"\n"


class Refused(Exception):
    """A question that cannot be answered: status, one word for programs, one sentence for people."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail


def create_app(engine: SegmentEngine, peers: Peers) -> Starlette:
    """The application that answers for one worker."""
    faces = Faces(engine, peers)
    routes = [
        Route("/live", faces.live),
        Route("/ready", faces.ready),
        Route("/metrics", faces.metrics),
        Route("/contacts", faces.contact),
        Route("/contacts/{contact:path}/segments/{segment}/explanation", faces.explanation),
        Route("/contacts/{contact:path}", faces.contact),
        Route("/segments", faces.segments),
        Route("/segments/{segment}", faces.segment),
        Route("/segments/{segment}/members", faces.members),
        Route("/segments/{segment}/explanation", faces.explanation),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        Refused: _refused,
        Unanswered: _unanswered,
        HTTPException: _http,
        Exception: _broken,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class Faces:
    """The answers of one worker, a method a path."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

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

    async def contact(self, request: Request) -> Response:
        """One contact: `/contacts/{id}`, or `/contacts?id=` for ids that a URL's path would change."""
        contact = request.path_params.get("contact", request.query_params.get("id", ""))
        workspace = request.query_params.get("workspace", "default")
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /contacts/{id}, or /contacts?id={id}.")
        if _own(request):
            try:
                found = await self._engine.contact(workspace, contact)
            except NotHere as error:
                raise Unanswered([error.number], "is not run by this worker") from error
        else:
            found = await self._peers.contact(workspace, contact)
        if found is None:
            raise Refused(404, "unknown_contact", f"No fact names the contact {contact!r} in workspace {workspace}.")
        return Answer(found)

    async def explanation(self, request: Request) -> Response:
        """Why a contact is in a segment or is not: `/contacts/{id}/segments/{segment}/explanation`, or
        `/segments/{segment}/explanation?contact=` for ids that a URL's path would change; as JSON or as text."""
        query = request.query_params
        contact = request.path_params.get("contact", query.get("contact", ""))
        workspace, segment = query.get("workspace", "default"), request.path_params["segment"]
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /segments/{segment}/explanation?contact={id}.")
        at, nested, as_text = _instant(query.get("at")), _nested(query.get("nested")), _wants_text(request)
        if _own(request):
            try:
                status, found = await self._peers.own_explanation(workspace, contact, segment, at, nested)
            except NotHere as error:
                raise Unanswered([error.number], "is not run by this worker") from error
        else:
            status, found = await self._peers.explanation(workspace, contact, segment, at, nested)
        if status != 200:
            raise Refused(status, found["error"], found["detail"])
        return PlainTextResponse(tell(from_json(found)) + "\n") if as_text else Answer(found)

    async def segments(self, request: Request) -> Response:
        """The definitions in force, of one workspace if asked so."""
        workspace = request.query_params.get("workspace")
        rows = [
            _row(segment, version)
            for segment, version in sorted(self._engine.definitions.segments(), key=lambda each: each[0].key)
            if workspace in (None, segment.workspace)
        ]
        return Answer({"segments": rows})

    async def segment(self, request: Request) -> Response:
        """One definition, in canonical form and in plain words."""
        segment, version = self._known(request)
        return Answer({**_row(segment, version), "definition": canonical(segment)})

    async def members(self, request: Request) -> Response:
        """A page of members in the order of their ids' bytes; `next` goes into the next question's `after`."""
        query = request.query_params
        after, limit = query.get("after", ""), _limit(query.get("limit"))
        name, workspace = request.path_params["segment"], query.get("workspace", "default")
        if _own(request):
            return Answer(await self._peers.own_members(workspace, name, after, limit))
        self._known(request)
        members, following = await self._peers.members(workspace, name, after, limit)
        return Answer({"workspace": workspace, "segment": name, "members": members, "next": following})

    def _known(self, request: Request) -> tuple[Segment, int]:
        key = request.query_params.get("workspace", "default"), request.path_params["segment"]
        for segment, version in self._engine.definitions.segments():
            if segment.key == key:
                return segment, version
        raise Refused(404, "unknown_segment", f"There is no segment {key[1]!r} in workspace {key[0]}.")


def _row(segment: Segment, version: int) -> dict[str, Any]:
    return {
        "workspace": segment.workspace,
        "segment": segment.segment,
        "name": segment.name,
        "description": segment.description,
        "version": version,
        "conditions": describe(segment),
    }


def _own(request: Request) -> bool:
    """Whether another worker asks, and only this worker's own partitions are meant."""
    return request.query_params.get("own") == "true"


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise Refused(400, "bad_at", f"at: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z.") from None


def _nested(text: str | None) -> int:
    if text is None:
        return 1
    if text not in map(str, range(NESTED_MAX + 1)):
        raise Refused(400, "bad_nested", f"nested is a whole number from 0 to {NESTED_MAX}, not {text[:40]!r}.")
    return int(text)


def _wants_text(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted is not None:
        if wanted not in ("json", "text"):
            raise Refused(400, "bad_format", f"format is json or text, not {wanted[:40]!r}.")
        return wanted == "text"
    accepted = request.headers.get("accept", "")
    return "text/plain" in accepted and "json" not in accepted


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise Refused(400, "bad_limit", f"limit is a whole number from 1 to {LIMIT_MAX}, not {text[:40]!r}.")
    return int(text)


async def _refused(_: Request, error: Refused) -> Response:
    return Answer({"error": error.error, "detail": error.detail}, error.status)


async def _unanswered(_: Request, error: Unanswered) -> Response:
    body = {"error": "owner_unavailable", "detail": str(error), "partitions": error.numbers}
    return Answer(body, 503, headers={"retry-after": RETRY_SECONDS})


async def _http(request: Request, error: HTTPException) -> Response:
    word = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return Answer({"error": word, "detail": f"{request.method} {request.url.path}: {error.detail}."}, error.status_code)


async def _broken(_: Request, __: Exception) -> Response:
    return Answer({"error": "engine_error", "detail": "The worker failed to answer; its log says why."}, 500)
