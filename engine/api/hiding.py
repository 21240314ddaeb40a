"""Answers as one agent may see them (`hidden_from`).

The agent is named by the header `X-Segment-Agent`, which the gateway in front sets for who is logged in there, or else
by the parameter `agent`. The header wins, so that nobody behind a gateway speaks for another. A worker checks neither:
without a gateway `agent` is a filter, not a lock. Nobody named sees all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request

from engine.api.answers import Refused
from engine.definitions.hidden import Sight

if TYPE_CHECKING:
    from engine.worker.engine import SegmentEngine

HEADER: Final = "x-segment-agent"
AGENT_MAX: Final = 256
"""Characters of an agent's name, as in `hidden_from`."""
MATE: Final = "a hidden segment"
"""Instead of the id of a segment of the same group."""


def sight_of(engine: SegmentEngine, request: Request) -> Sight:
    """What the one who asks may see; a worker that passes a question on names nobody. Raises Refused."""
    header = request.headers.get(HEADER)  # bytes as letters, as HTTP has them; names are UTF-8
    agent = header.encode("latin-1").decode(errors="replace") if header else request.query_params.get("agent")
    if agent is not None and not 1 <= len(agent) <= AGENT_MAX:
        raise Refused(400, "bad_agent", f"agent is a name of 1 to {AGENT_MAX} characters.")
    if agent is None:
        return Sight((), None)
    return Sight((segment for segment, _ in engine.definitions.segments()), agent)


def contact_seen(sight: Sight, found: dict[str, Any]) -> dict[str, Any]:
    """A contact without what is hidden."""
    if not sight.hides or "segments" not in found:
        return found
    workspace = found["workspace"]
    segments = [
        {**each, "why": each["why"] and sight.words(workspace, each["why"])}
        for each in found["segments"]
        if sight.sees(workspace, each["segment"])
    ]
    changes = [each for each in found["changes"] if sight.sees(workspace, each["segment"])]
    return {**found, "segments": segments, "changes": changes}


def explanation_seen(sight: Sight, found: dict[str, Any]) -> dict[str, Any]:
    """An explanation of a segment that is seen, without what is hidden."""
    if not sight.hides:
        return found
    workspace, decided = found["workspace"], found["decided"]
    needed = [_needed(sight, workspace, each) for each in found["needed"]]
    if decided["segment"] is not None and not sight.sees(workspace, decided["segment"]):
        said = decided["words"].replace(decided["segment"], MATE, 1)
        decided = {**decided, "segment": None, "words": said}
    rule = found["rule"]
    return {
        **found,
        "decided": decided,
        "needed": needed,
        "rule": None if rule is None else _node_seen(sight, workspace, rule),
    }


def _needed(sight: Sight, workspace: str, words: str) -> str:
    leaving = re.fullmatch(r"the contact would have to leave ([a-z0-9-]+)", words)
    if leaving is not None and not sight.sees(workspace, leaving[1]):
        return f"the contact would have to leave {MATE}"
    return words


def _node_seen(sight: Sight, workspace: str, node: dict[str, Any]) -> dict[str, Any]:
    nested = node["nested"]
    if nested is not None:
        nested = explanation_seen(sight, nested) if sight.sees(workspace, nested["segment"]) else None
    return {
        **node,
        "words": sight.words(workspace, node["words"]),
        "children": [_node_seen(sight, workspace, each) for each in node["children"]],
        "nested": nested,
    }
