"""A plan that was replaced leaves the memory at once: while a worker is busy, cyclic garbage stays for good."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.conditions.contact import Contact
from engine.definitions import read_segment
from engine.membership.plan import compile_plan
from tests.membership import random_conditions
from tests.membership.choices import Seeded

SCENES = 40
OWN = {
    "segment": "own", "name": "own", "description": "own", "timezone": "contact",
    "when": {"all": [{"local_time": {"from": "09:00", "to": "18:00"}}, {"did": {"event": "click", "within": "P1M"}}]},
}  # fmt: skip


@pytest.fixture
def garbage() -> Iterator[Callable[[], set[str]]]:
    """What of the engine only a collection frees, by the names of the types and functions."""
    gc.collect()
    gc.disable()

    def found() -> set[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [each for each in gc.garbage if _module(each).startswith("engine.membership")]
        ours += [each for each in gc.garbage if _module(each).startswith("engine.conditions")]
        return {getattr(each, "__qualname__", type(each).__qualname__) for each in ours}

    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def _module(each: Any) -> str:
    return str(getattr(each, "__module__", None) or type(each).__module__)


def use(documents: list[dict[str, Any]]) -> None:
    """Makes a plan, uses it, and leaves it."""
    segments = [(read_segment(each), 1) for each in documents]
    paused = [(each.workspace, each.segment) for each, _ in segments[::2]]
    plan = compile_plan(segments, paused=paused, source=("utm_source",))
    space = plan.workspace("default")
    for name in ("Asia/Tokyo", "UTC", "Europe/Paris"):
        there = space.for_contact(Contact(attributes={"timezone": [0, name]}))
        there.of_type("click")
        there.together(tuple(range(len(there.segments))))
        there.for_contact(Contact(attributes={"timezone": [0, "America/Lima"]})).of_type("purchase")
    space.since(plan.filled, "default")
    plan.going("default").workspace("default").of_type("click")


def test_a_plan_that_nobody_uses_is_gone_without_a_collection(garbage: Callable[[], set[str]]) -> None:
    for number in range(SCENES):
        use([*random_conditions.segments(Seeded(f"garbage {number}")), OWN])
    assert garbage() == set()
