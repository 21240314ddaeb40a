"""What changed from one version to the next, and who uses whom."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definitions import Definition, canonical_form, read_definition
from engine.definitions.differences import differences
from engine.definitions.uses import users, uses


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    first, second = (canonical_form(read_definition({"segment": "a", **each})) for each in (before, after))
    return differences(first, second)


def did(**more: Any) -> dict[str, Any]:
    return {"when": {"did": {"event": "purchase", **more}}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (did(within="P30D"), did(within="P60D"), ["when.did.within: P30D → P60D"]),
        (did(within="P7D"), did(within="PT168H"), []),
        (did(), {**did(), "name": "Buyers"}, ["name: nothing → Buyers"]),
        (did(within="P30D"), did(), ["when.did.within: P30D taken out"]),
        ({**did(), "include": ["a", "b"]}, {**did(), "include": ["b", "c"]}, ["include: c added, a taken out"]),
        ({**did(), "topic": True}, {**did(), "topic": False}, ["topic: true → false"]),
        ({**did(), "mailable": True}, {**did(), "mailable": {"channel": "email"}},
         ['mailable: true → {"channel": "email"}']),
        (did(event=["a", "b"]), did(event=["b", "a"]), ["when.did.event: in another order"]),
    ],
)  # fmt: skip
def test_what_changed_is_told_with_its_place(
    before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    assert told(before, after) == expected


def test_a_tree_of_other_length_and_many_differences_are_told_in_short() -> None:
    one, other = {"when": {"all": [did()["when"]]}}, {"when": {"all": [did()["when"], {"tags": {"any": ["x"]}}]}}
    assert told(one, other) == ["when.all: 1 → 2 entries"]
    many = dict.fromkeys("bcdefgh", "x")
    assert differences({}, many)[-1] == "and more"
    assert len(differences({}, many)) == 6


def test_pins_by_the_thousand_are_told_in_a_line() -> None:
    before, after = [f"c-{n}" for n in range(10_000)], [f"c-{n}" for n in range(5_000, 15_000)]
    found = differences({"include": before}, {"include": after})
    assert found == ["include: c-10000 c-10001 c-10002 and 4997 more added, c-0 c-1 c-2 and 4997 more taken out"]


def test_users_are_found_however_deep_they_nest() -> None:
    deep: dict[str, Any] = {"not": {"any": [{"in_segment": "a"}, {"all": [{"in_segment": "b"}]}]}}
    rule = read_definition({"segment": "c", "when": {"all": [deep, {"rfm": {"model": "m", "recency": 5}}]}})
    assert uses(rule) == [("default", "a"), ("default", "b"), ("default", "model:m")]
    other: Definition = read_definition({"segment": "d", "workspace": "spot", "when": {"in_segment": "a"}})
    assert users([rule, other])[("default", "a")] == [("default", "c")]
    assert users([rule, other])[("spot", "a")] == [("spot", "d")]
