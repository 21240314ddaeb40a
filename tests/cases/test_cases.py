"""Every taken case through the command `replay`: who is in at each instant that the other system's test asserts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.neutral import definition
from tests.driver import given

CASES = sorted((Path(__file__).parent / "taken").glob("*.json"))
TYPES = {"$profile": "contact_updated", "$retract": "event_retracted"}
SEGMENT = "taken"
NOBODY = {"segment": "nobody", "include": ["nobody-at-all"]}


def test_all_of_them_are_here() -> None:
    assert len(CASES) == 82


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    facts = sorted(
        (_fact(event, number) for number, event in enumerate(case["events"])), key=lambda fact: fact["arrives"]
    )
    for check in case["expect"]:
        segments, changes = _definitions(case["segment"], check["t"])
        taken = [fact for fact in facts if fact["arrives"] <= check["t"]]
        seen = given(json.dumps(segments), taken, changes).replayed(check["t"])
        assert (check["contact"] in seen.members(SEGMENT)) is check["in"], (case["title"], check)


def _definitions(segment: dict[str, Any], until: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is in force from the start, and the changes until then."""
    versions = segment.get("versions")
    if not versions:
        return definition(SEGMENT, segment["neutral"]), []
    changes: list[dict[str, Any]] = []
    for version in versions:
        if version["from"] <= until:
            change = (
                {"delete": SEGMENT} if version.get("deleted") else {"apply": definition(SEGMENT, version["neutral"])}
            )
            changes.append({"at": version["from"], **change})
    return NOBODY, changes


def _fact(event: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": event.get("id", f"e{number}"),
        "type": TYPES.get(event["type"], event["type"]),
        "contact": event["contact"],
        "at": event["t"],
        "arrives": event.get("arrives", event["t"]),
        "properties": event["properties"],
    }
