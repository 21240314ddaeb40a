"""What is asked of one contact: its state, and why it is in a segment or is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.api.answers import Answer, Refused, instant_of, is_own, whole_number_of, workspace_of
from engine.api.hiding import contact_seen, explanation_seen, sight_of
from engine.api.peers import Peers, Unanswered
from engine.membership.explain import NESTED_MAX
from engine.membership.explanation import from_json
from engine.membership.telling import tell
from engine.worker.engine import NotHere
from engine.worker.portrait import FACTS_MAX, FACTS_SHOWN

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
        """One contact: `/contacts/{id}`, or `/contacts?id=` for ids that a URL's path would change; with the last
        `facts`, and unless `why=false` the reasons for its segments and what will change next."""
        contact = request.path_params.get("contact", request.query_params.get("id", ""))
        workspace = workspace_of(request)
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /contacts/{id}, or /contacts?id={id}.")
        facts, why = whole_number_of(request, "facts", 0, FACTS_MAX, FACTS_SHOWN), _wants_why(request)
        sight = sight_of(self._engine, request)
        if is_own(request):
            try:
                found = await self._engine.contact(workspace, contact, facts, why)
            except NotHere as error:
                raise Unanswered([error.number], "is not run by this worker") from error
        else:
            found = await self._peers.contact(workspace, contact, facts, why)
        if found is None:
            raise Refused(404, "unknown_contact", f"No fact names the contact {contact!r} in workspace {workspace}.")
        return Answer(contact_seen(sight, found))

    async def explanation(self, request: Request) -> Response:
        """Why a contact is in a segment or is not: `/contacts/{id}/segments/{segment}/explanation`, or
        `/segments/{segment}/explanation?contact=` for ids that a URL's path would change; as JSON or as text."""
        contact = request.path_params.get("contact", request.query_params.get("contact", ""))
        workspace, segment = workspace_of(request), request.path_params["segment"]
        if not contact:
            raise Refused(400, "no_contact", "Name the contact: /segments/{segment}/explanation?contact={id}.")
        at, nested = instant_of(request), whole_number_of(request, "nested", 0, NESTED_MAX, 1)
        as_text, sight = _wants_text(request), sight_of(self._engine, request)
        if not sight.knows(workspace, segment):
            raise Refused(404, "unknown_segment", sight.unknown(workspace, segment))
        if is_own(request):
            try:
                status, found = await self._peers.own_explanation(workspace, contact, segment, at, nested)
            except NotHere as error:
                raise Unanswered([error.number], "is not run by this worker") from error
        else:
            status, found = await self._peers.explanation(workspace, contact, segment, at, nested)
        if status != 200:
            raise Refused(status, found["error"], found["detail"])
        found = explanation_seen(sight, found)
        return PlainTextResponse(tell(from_json(found)) + "\n") if as_text else Answer(found)


def _wants_why(request: Request) -> bool:
    wanted = request.query_params.get("why", "true")
    if wanted not in ("true", "false"):
        raise Refused(400, "bad_why", f"why is true or false, not {wanted[:40]!r}.")
    return wanted == "true"


def _wants_text(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted is not None:
        if wanted not in ("json", "text"):
            raise Refused(400, "bad_format", f"format is json or text, not {wanted[:40]!r}.")
        return wanted == "text"
    accepted = request.headers.get("accept", "")
    return "text/plain" in accepted and "json" not in accepted
