"""Definitions that changed while facts came: what was in force at one time, and when a partition took the next up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.recount.plan import Plan

Key = tuple[str, str]  # workspace, segment
Who = tuple[str, str]  # workspace, contact


class InForce:
    """All definitions of one time, taken apart once for everybody.

    segments: active and paused ones, as plain dicts; paused: the keys of those whose rule stands still; models: those
    that `rfm` names; versions: of each segment, also of deleted ones, by key; may be left out.
    """

    def __init__(
        self,
        segments: Sequence[Mapping[str, Any]] = (),
        models: Sequence[Mapping[str, Any]] = (),
        paused: Collection[Key] = (),
        versions: Mapping[Key, int] | None = None,
    ) -> None:
        """Raises Unsupported for what can't be evaluated."""
        self.versions = versions or {}
        models_of, stand_still = _by_workspace(models), set(paused)
        self.plans = {
            name: Plan(chosen, models_of.get(name, ()), {id_ for space, id_ in stand_still if space == name})
            for name, chosen in _by_workspace(segments).items()
        }
        self._nothing = Plan(())

    def plan(self, workspace: str) -> Plan:
        """The plan of a workspace; an empty one where nothing is in force."""
        return self.plans.get(workspace, self._nothing)


@dataclass(frozen=True, slots=True)
class Change:
    """Among the facts of a recount: from here on other definitions are in force.

    at: the clock (ms) at which they are taken up; what fell due before it did so under those of before
    definitions: all that is in force from now on
    partition: whose contacts are meant, if partitions have clocks of their own; None: everybody
    new: the segments that were never wholly filled before, whose differences have the cause `backfill`
    passed_over: contacts whom the next change met before this one had reached them: they go on under those of before
    """

    at: int
    definitions: InForce
    partition: int | None = None
    new: Collection[Key] = ()
    passed_over: Collection[Who] = ()


def _by_workspace(definitions: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    workspaces: dict[str, list[Mapping[str, Any]]] = {}
    for definition in definitions:
        workspaces.setdefault(definition.get("workspace") or "default", []).append(definition)
    return workspaces
