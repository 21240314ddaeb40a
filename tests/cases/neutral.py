"""From the neutral condition trees of the taken cases to definitions: one rule a kind, none for a single case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.conditions.instants import DAY, format_instant, parse_instant

Tree = Mapping[str, Any]

COUNTS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt", "=": "eq"}
VALUES = {
    "equals": "eq", "not_equals": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "after": "gt", "in": "in",
    "not_in": "not_in", "starts": "starts_with", "contains": "contains", "regex": "matches",
}  # fmt: skip


def definition(segment: str, tree: Tree) -> dict[str, Any]:
    """A segment with the rule of a neutral tree, for everybody, whether they may be mailed or not."""
    return {"segment": segment, "mailable": False, "when": rule(tree)}


def rule(tree: Tree) -> dict[str, Any]:
    """One condition. Raises KeyError for a kind that no case has had so far."""
    ((kind, said),) = tree.items()
    found: dict[str, Any] = _RULES[kind](said)
    return found


def _children(word: str) -> Any:
    return lambda parts: {word: [rule(part) for part in parts]}


def _path(path: str) -> str:
    return path if re.fullmatch(r"[\w.-]+", path) else f'["{path}"]'


def _test(said: Tree) -> Any:
    match said["op"]:
        case "exists":
            return {"exists": True}
        case "not_exists":
            return {"exists": False}
        case "within_last_s":
            return {"within": f"PT{said['value']}S"}
        case "same_day":
            day = parse_instant(said["value"]) // DAY * DAY
            return {"gte": format_instant(day), "lt": format_instant(day + DAY)}
    return {VALUES[said["op"]]: said["value"]}


def _profile(said: Tree) -> dict[str, Any]:
    path = _path(said["path"])
    if said["op"] == "not_exists":  # to the system that this comes from, an empty text is one that is not set
        return {"any": [{"profile": {path: {"exists": False}}}, {"profile": {path: {"eq": ""}}}]}
    if said["op"] == "all":  # every value is among those at the path
        return {"all": [{"profile": {path: {"eq": value}}} for value in said["value"]]}
    return {"profile": {path: _test(said)}}


def _tests(said: list[Tree]) -> dict[str, Any]:
    return {_path(each["path"]): _test(each) for each in said}


def _events(said: Tree) -> dict[str, Any]:
    return {"event": said["event"]} | ({"where": _tests(said["where"])} if said.get("where") else {})


def _count(said: Tree) -> dict[str, Any]:
    found = {**_events(said), "count": {COUNTS[said["op"]]: said["n"]}}
    window = said.get("window", {})
    if "last_s" in window:
        found["within"] = f"PT{window['last_s']}S"
    if "from" in window:
        found |= {"since": window["from"], "until": window["to"]}
    return {"did": found}


def _last(said: Tree) -> dict[str, Any]:
    parts = [
        {"aggregate": {"fn": "last", "of": _path(each["path"]), **_events(said), "is": _test(each)}}
        for each in said["has"]
    ]
    return {"all": [{"did": _events(said)}, *parts]}


def _flag(said: Tree) -> dict[str, Any]:
    latest = {"fn": "last", "of": _path(said["path"]), **_events(said), "is": {"eq": said["value"]}}
    found: dict[str, Any] = {"aggregate": latest}
    if said.get("default"):
        return {"any": [found, {"not": {"did": _events(said)}}]}
    return found


def _held(said: Tree) -> dict[str, Any]:
    return {"held": {"path": _path(said["path"]), "is": said["value"], "for": f"PT{said['at_least_s']}S"}}


_RULES: dict[str, Any] = {
    "all": _children("all"),
    "any": _children("any"),
    "not": lambda part: {"not": rule(part)},
    "profile": _profile,
    "profile_item": lambda said: {"profile": {_path(said["path"]): {"any_item": _tests(said["where"])}}},
    "count": _count,
    "last": _last,
    "flag_event": _flag,
    "held": _held,
}
