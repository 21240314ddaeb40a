"""What is asked of lists of people: who is on one, over all workers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer, is_own, whole_number_of, workspace_of
from engine.api.peers import Peers

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

LIMIT: Final = 1_000
"""Contacts of a page unless asked otherwise."""
LIMIT_MAX: Final = 10_000


class ListFaces:
    """The answers about lists, a method a path."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

    def routes(self) -> list[Route]:
        return [Route("/lists/{name:path}/contacts", self.contacts)]

    async def contacts(self, request: Request) -> Response:
        """A page of the contacts on a list, in the order of their ids' bytes; `next` goes into the next question's
        `after`. As of the committed states when the page is read; a list that nobody is on has none."""
        after, limit = request.query_params.get("after", ""), whole_number_of(request, "limit", 1, LIMIT_MAX, LIMIT)
        name, workspace = request.path_params["name"], workspace_of(request)

        def own() -> Awaitable[dict[str, Any]]:
            return self._peers.own_page(self._engine.on_list(workspace, name, after, limit))

        if is_own(request):
            return Answer(await own())
        path = f"/lists/{quote(name, safe='')}/contacts"
        contacts, following = await self._peers.page(path, own, workspace, after, limit)
        return Answer({"workspace": workspace, "list": name, "contacts": contacts, "next": following})
