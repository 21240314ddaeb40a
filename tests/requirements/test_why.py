"""R54 of REQUIREMENTS, and what R48 asks of it: why in, why not, when next. Through `segment-engine explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.driver import command, fact, given

SEGMENTS = """
segment: buyers
when: {did: {event: purchase}}
---
segment: lapsed
name: Bought, and silent for thirty days
when:
  all:
    - in_segment: buyers
    - quiet: {event: purchase, for: P30D}
    - any: [{profile: {city: Petersburg}}, {tags: {any: [vip, loyal]}}]
"""
FACTS = [
    fact("2026-01-01T10:00Z", "contact_updated", named="u-1", city="Petersburg"),
    fact("2026-01-05T10:00Z", "purchase", named="p-1", amount=100),
    fact("2026-01-20T10:00Z", "purchase", named="p-2", amount=300),
]
IN_AT, LEFT_AT = "2026-02-19T10:00:00.000Z", "2026-03-01T12:00:00.000Z"


def why(folder: Path, at: str, facts: list[dict[str, Any]], segment: str = "lapsed") -> dict[str, Any]:
    words = ["explain", "c-1", segment, *given(SEGMENTS, facts).files(folder), "--at", at, "-o", "json"]
    code, out, errors = command(words)
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def leaves(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [leaf for child in node["children"] for leaf in leaves(child)] or [node]


def test_r54_why_not_and_the_instant_of_the_next_flip(tmp_path: Path) -> None:
    found = why(tmp_path, "2026-02-01T00:00:00Z", FACTS)
    assert (found["member"], found["since"], found["decided"]["by"]) == (False, None, "rule")
    buyers, quiet, city, tags = leaves(found["rule"])
    assert [each["truth"] for each in (buyers, quiet, city, tags)] == [True, False, True, False]
    assert quiet["words"] == "no purchase for at least 30 days"
    assert quiet["facts"] == [{"id": "p-2", "type": "purchase", "at": "2026-01-20T10:00:00.000Z"}]
    assert quiet["next"] == found["next"] == {"at": IN_AT, "exact": True}
    assert [each["id"] for each in city["facts"]] == ["u-1"]
    assert (tags["facts"], tags["next"]["at"]) == ([], None)
    assert found["smallest"] == [["when.all[1]"]]
    assert [each["would_change"] for each in (buyers, quiet, city, tags)] == [False, True, False, False]
    assert [each["id"] for each in buyers["nested"]["rule"]["facts"]] == ["p-1", "p-2"]


def test_r54_the_flip_that_was_told_is_the_one_that_comes() -> None:
    (enter,) = given(SEGMENTS, FACTS).replayed("2026-06-01").of("lapsed")
    assert (enter["at"], enter["cause"]["kind"]) == (IN_AT, "clock")


def test_r54_why_in_since_when_and_what_would_end_it(tmp_path: Path) -> None:
    found = why(tmp_path, "2026-02-20T00:00:00Z", FACTS)
    assert (found["member"], found["since"], found["cause"]["kind"]) == (True, IN_AT, "clock")
    assert found["next"] == {"at": None, "exact": True}
    assert found["smallest"] == [["when.all[0]"], ["when.all[1]"], ["when.all[2].any[0]"]]


def test_r54_why_it_was_so_then_and_why_it_is_not_now(tmp_path: Path) -> None:
    facts = [*FACTS, fact("2026-03-01T12:00Z", "purchase", named="p-3", amount=50)]
    then = why(tmp_path, "2026-02-20T00:00:00Z", facts)
    assert (then["member"], then["since"], then["basis"]["of"], then["basis"]["facts"]) == (True, IN_AT, "journal", 3)
    now = why(tmp_path, "2026-03-02T00:00:00Z", facts)
    assert (now["member"], now["since"], now["cause"]["event_id"]) == (False, LEFT_AT, "p-3")
    assert now["next"]["at"] == "2026-03-31T12:00:00.000Z"
    exits = [row for row in given(SEGMENTS, facts).replayed("2026-03-02").of("lapsed") if row["change"] == "exit"]
    assert [row["at"] for row in exits] == [LEFT_AT]


def test_r48_each_segment_of_the_contact_says_since_when_and_why(tmp_path: Path) -> None:
    found = {name: why(tmp_path, "2026-02-20T00:00:00Z", FACTS, name) for name in ("buyers", "lapsed")}
    assert {name: each["since"] for name, each in found.items()} == {
        "buyers": "2026-01-05T10:00:00.000Z", "lapsed": IN_AT,
    }  # fmt: skip
    assert found["buyers"]["cause"]["event_id"] == "p-1"


def test_r54_told_in_plain_words(tmp_path: Path) -> None:
    words = ["explain", "c-1", "lapsed", *given(SEGMENTS, FACTS).files(tmp_path), "--until", "2026-02-01T00:00:00Z"]
    code, out, _ = command(words)
    assert code == 0
    assert out.splitlines()[:4] == [
        "c-1 is out of lapsed (Bought, and silent for thirty days) at 2026-02-01T00:00:00.000Z.",
        "It has never been in.",
        "Because the rule does not hold.",
        f"If nothing happens, this changes at {IN_AT}.",
    ]
    assert "    no*  no purchase for at least 30 days\n" in out
