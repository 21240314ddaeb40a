"""What is asked of segments: which there are, what they say in plain words, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.answers import Answer, Refused, is_own, whole_number_of, workspace_of
from engine.api.hiding import sight_of
from engine.api.peers import Peers
from engine.api.snapshot import Busy, Snapshots
from engine.definitions import Segment, canonical
from engine.definitions.describing import describe
from engine.definitions.hidden import Sight
from engine.worker.snapshot import COLUMNS_MAX

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
        self._snapshots = Snapshots(engine, peers)

    def routes(self) -> list[Route]:
        return [
            Route("/segments", self.segments),
            Route("/segments/{segment}", self.segment),
            Route("/segments/{segment}/members", self.members),
            Route("/segments/{segment}/members/snapshot", self.snapshot),
        ]

    async def segments(self, request: Request) -> Response:
        """The definitions in force, of one workspace if asked so, without those that are hidden from who asks."""
        workspace, sight = request.query_params.get("workspace"), sight_of(self._engine, request)
        rows = [
            self._row(segment, version, sight)
            for segment, version in sorted(self._engine.definitions.segments(), key=lambda each: each[0].key)
            if workspace in (None, segment.workspace) and sight.sees(*segment.key)
        ]
        return Answer({"segments": rows})

    async def segment(self, request: Request) -> Response:
        """One definition, in canonical form and in plain words."""
        segment, version = self._known(request)
        sight = sight_of(self._engine, request)
        document = canonical(segment)
        if sight.hides:
            document = sight.document(segment.workspace, document)
        return Answer({**self._row(segment, version, sight), "definition": document})

    async def members(self, request: Request) -> Response:
        """A page of members in the order of their ids' bytes; `next` goes into the next question's `after`."""
        after, limit = request.query_params.get("after", ""), whole_number_of(request, "limit", 1, LIMIT_MAX, LIMIT)
        name, workspace = request.path_params["segment"], workspace_of(request)
        if is_own(request) and sight_of(self._engine, request).knows(workspace, name):
            return Answer(await self._peers.own_members(workspace, name, after, limit))
        self._known(request)
        members, following = await self._peers.members(workspace, name, after, limit)
        return Answer({"workspace": workspace, "segment": name, "members": members, "next": following})

    async def snapshot(self, request: Request) -> Response:
        """All members at one instant of each partition, as lines of JSON: a header with `partitions`, each with the
        clock `as_of` which it is; a line a member, in the order of their ids' bytes, now and then an empty one; at the
        end `{"complete": true, "members": N}`, or `{"error": word, "detail": sentence}`. `columns` are paths of
        attributes to add, with commas between or as a list in JSON."""
        name, workspace = request.path_params["segment"], workspace_of(request)
        columns = _columns(request.query_params.get("columns"))
        try:
            if is_own(request) and sight_of(self._engine, request).knows(workspace, name):
                return self._snapshots.own(workspace, name, columns)
            segment, version = self._known(request)
            about = {"workspace": workspace, "segment": name, "name": segment.name, "version": version}
            return await self._snapshots.all(about, workspace, name, columns)
        except Busy as error:
            raise Refused(503, "busy", f"{error}.") from error
        except ValueError as error:
            raise Refused(400, "bad_columns", f"columns: {error}.") from error

    def _known(self, request: Request) -> tuple[Segment, int]:
        key, sight = (workspace_of(request), request.path_params["segment"]), sight_of(self._engine, request)
        for segment, version in self._engine.definitions.segments():
            if segment.key == key and sight.sees(*key):
                return segment, version
        raise Refused(404, "unknown_segment", f"There is no segment {key[1]!r} in workspace {key[0]}.")

    def _row(self, segment: Segment, version: int, sight: Sight) -> dict[str, Any]:
        return {
            "workspace": segment.workspace,
            "segment": segment.segment,
            "name": segment.name,
            "description": segment.description,
            "version": version,
            "state": self._engine.definitions.state(*segment.key),
            "conditions": sight.words(segment.workspace, describe(segment)),
        }


def _columns(text: str | None) -> list[str]:
    """The paths of attributes that are asked for. Raises Refused."""
    if not text:
        return []
    found: Any = text.split(",")
    if text.startswith("["):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Refused(400, "bad_columns", "columns is no list in JSON.") from None
    if not all(isinstance(each, str) and each for each in found) or len(found) > COLUMNS_MAX:
        raise Refused(400, "bad_columns", f"columns names 1 to {COLUMNS_MAX} attributes, as in columns=name,city.")
    return list(dict.fromkeys(found))
