"""What is asked of one contact: its state, and why it is in a segment or is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.api.answers import Answer, Refused, instant_of, is_own, whole_number_of, workspace_of
from engine.api.peers import Peers, Unanswered
from engine.membership.explain import NESTED_MAX
from engine.membership.explanation import from_json
from engine.membership.telling import tell
from engine.worker.engine import NotHere

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine


class ContactFaces:
    """The answers about one contact, a method a path."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

    def routes(self) -> list[Route]:
        return [
            Route("/contacts", self.contact),
            Route("/contacts/{contact:path}/segments/{segment}/explanation", self.explanation),
            Route("/contacts/{contact:path}", self.contact),
            Route("/segments/{segment}/explanation", self.explanation),
        ]

    async def contact(self, request: Request) -> Response:
        """One contact: `/contacts/{id}`, or `/contacts?id=` for ids that a URL's path would change."""
        contact = request.path_params.get("contact", request.query_params.get("id", ""))
        workspace = workspace_of(request)
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /contacts/{id}, or /contacts?id={id}.")
        if is_own(request):
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
        contact = request.path_params.get("contact", request.query_params.get("contact", ""))
        workspace, segment = workspace_of(request), request.path_params["segment"]
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /segments/{segment}/explanation?contact={id}.")
        at, nested = instant_of(request), whole_number_of(request, "nested", 0, NESTED_MAX, 1)
        as_text = _wants_text(request)
        if is_own(request):
            try:
                status, found = await self._peers.own_explanation(workspace, contact, segment, at, nested)
            except NotHere as error:
                raise Unanswered([error.number], "is not run by this worker") from error
        else:
            status, found = await self._peers.explanation(workspace, contact, segment, at, nested)
        if status != 200:
            raise Refused(status, found["error"], found["detail"])
        return PlainTextResponse(tell(from_json(found)) + "\n") if as_text else Answer(found)


def _wants_text(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted is not None:
        if wanted not in ("json", "text"):
            raise Refused(400, "bad_format", f"format is json or text, not {wanted[:40]!r}.")
        return wanted == "text"
    accepted = request.headers.get("accept", "")
    return "text/plain" in accepted and "json" not in accepted
