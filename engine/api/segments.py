"""What is asked of segments: which there are, what they say in plain words, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer, Refused, is_own, whole_number_of, workspace_of
from engine.api.peers import Peers
from engine.definitions import Segment, canonical
from engine.definitions.describing import describe

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

LIMIT: Final = 1_000
"""Members of a page unless asked otherwise."""
LIMIT_MAX: Final = 10_000


class SegmentFaces:
    """The answers about segments, a method a path."""

    def __init__(self, engine: SegmentEngine, peers: Peers) -> None:
        self._engine = engine
        self._peers = peers

    def routes(self) -> list[Route]:
        return [
            Route("/segments", self.segments),
            Route("/segments/{segment}", self.segment),
            Route("/segments/{segment}/members", self.members),
        ]

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
        after, limit = request.query_params.get("after", ""), whole_number_of(request, "limit", 1, LIMIT_MAX, LIMIT)
        name, workspace = request.path_params["segment"], workspace_of(request)
        if is_own(request):
            return Answer(await self._peers.own_members(workspace, name, after, limit))
        self._known(request)
        members, following = await self._peers.members(workspace, name, after, limit)
        return Answer({"workspace": workspace, "segment": name, "members": members, "next": following})

    def _known(self, request: Request) -> tuple[Segment, int]:
        key = workspace_of(request), request.path_params["segment"]
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
