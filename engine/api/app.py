"""What is answered at which path: the faces of each subject, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from engine.api.answers import HANDLERS
from engine.api.contacts import ContactFaces
from engine.api.counts import CountFaces
from engine.api.fills import FillFaces
from engine.api.health import HealthFaces
from engine.api.lists import ListFaces
from engine.api.peers import Peers
from engine.api.plans import PlanFaces
from engine.api.segments import SegmentFaces

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine


def create_app(engine: SegmentEngine, peers: Peers) -> Starlette:
    """The application that answers for one worker. A subject is a class with `routes()` in a module of its own."""
    faces = (
        HealthFaces(engine),
        FillFaces(engine, peers),
        ContactFaces(engine, peers),
        SegmentFaces(engine, peers),
        CountFaces(engine, peers),
        ListFaces(engine, peers),
        PlanFaces(engine, peers),
    )
    routes = [route for each in faces for route in each.routes()]
    return Starlette(routes=routes, exception_handlers=HANDLERS)
