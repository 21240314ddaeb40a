"""What the comparer calls a difference."""

from __future__ import annotations

from typing import Any

from engine.recount import compare
from engine.recount.instants import text_of
from tests.recount.given import counted, fact, segment

SEGMENTS = [
    segment("bought", {"did": {"event": "purchase", "within": "PT1H"}}),
    segment("buyer", {"did": {"event": "purchase"}}),
]
FACTS = [fact("2026-01-01T10:00:00Z", "purchase", who) for who in ("a", "b")]
RESULT = counted(SEGMENTS, FACTS, "2026-01-02T00:00:00Z")


def published() -> list[dict[str, Any]]:
    """The recount's own transitions, as the engine would have written them."""
    return [{**t, "at": text_of(t["at"]), "cause": {"kind": t["cause"]}} for t in RESULT.transitions]


def test_equal_transitions_and_members_agree() -> None:
    members = [{"workspace": "default", "segment": "buyer", "contact": who} for who in ("a", "b")]
    assert compare(RESULT, published(), members) == []
    assert compare(RESULT, members=RESULT.members) == []


def test_a_missing_exit_is_named_with_its_instant() -> None:
    rows = [t for t in published() if (t["contact"], t["change"]) != ("a", "exit")]
    assert compare(RESULT, rows) == [
        "a: only the recount has exit bought (2) at 2026-01-01T11:00:00.000Z",
        "default/bought: a is a member by the engine's transitions, not in the recount",
    ]


def test_sequences_begin_anew_only_after_an_erasure() -> None:
    again = [*FACTS, fact("2026-01-01T12:00:00Z", "purchase", "a")]
    erasure = fact("2026-01-01T11:30:00Z", "contact_erased", "a")
    result = counted(SEGMENTS, [*FACTS, erasure, again[-1]], "2026-01-02T00:00:00Z")
    rows = [{**t, "at": text_of(t["at"]), "cause": {"kind": t["cause"]}} for t in result.transitions]
    assert [
        (t["segment"], t["change"], t["sequence"], t["cause"]) for t in result.transitions if t["contact"] == "a"
    ] == [
        ("bought", "enter", 1, "event"),
        ("buyer", "enter", 1, "event"),
        ("bought", "exit", 2, "clock"),
        ("buyer", "exit", 2, "erase"),
        ("bought", "enter", 1, "event"),
        ("buyer", "enter", 1, "event"),
        ("bought", "exit", 2, "clock"),
    ]
    assert compare(result, rows) == []
    assert any("after sequence 2" in line for line in compare(counted(SEGMENTS, again, "2026-01-02T00:00:00Z"), rows))


def test_another_instant_is_a_difference() -> None:
    rows = published()
    rows[0] = {**rows[0], "at": "2026-01-01T10:00:00.001Z"}
    assert compare(RESULT, rows) == [
        "a: only the recount has enter bought (1) at 2026-01-01T10:00:00.000Z",
        "a: only the engine has enter bought (1) at 2026-01-01T10:00:00.001Z",
    ]


def test_another_order_of_one_contact_is_a_difference() -> None:
    rows = published()
    rows[0], rows[1] = rows[1], rows[0]
    assert [line.split(",")[0] for line in compare(RESULT, rows)] == ["a: the same transitions in another order"]


def test_a_repeated_transition_is_a_difference_even_of_a_late_contact() -> None:
    rows = [*published(), published()[0]]
    assert compare(RESULT, rows, only_members=[("default", "a")])[0] == (
        "a: the engine has enter bought (1) at 2026-01-01T10:00:00.000Z, after sequence 2 of that segment"
    )


def test_contacts_with_late_facts_and_later_definitions_are_held_by_members_only() -> None:
    late = counted(SEGMENTS, [*FACTS, fact("2026-01-01T09:00:00Z", "purchase", "a")], "2026-01-02T00:00:00Z")
    moved = [{**t, "at": "2026-01-01T10:00:07.000Z"} if t["contact"] == "a" else t for t in published()]
    assert compare(late, moved) == []
    assert compare(RESULT, moved) != []
    assert compare(RESULT, [{**t, "cause": {"kind": "backfill"}} for t in moved]) == []


def test_a_segment_that_was_another_before_is_held_by_its_members_alone() -> None:
    # Under its first version `bought` ended after half an hour; there was one more segment, whose members have left.
    rows = [{**t, "at": "2026-01-01T10:30:00.000Z"} if t["change"] == "exit" else t for t in published()]
    gone = [{**t, "segment": "gone"} for t in rows if t["segment"] == "bought"]
    both = [("default", "bought"), ("default", "gone")]
    assert compare(RESULT, rows + gone, by_members=both) == []
    assert len(compare(RESULT, rows + gone, by_members=both[:1])) == 4
    assert compare(RESULT, rows + gone[:-1], by_members=both) == [
        "default/gone: b is a member by the engine's transitions, not in the recount"
    ]


def test_members_are_compared_both_ways() -> None:
    assert compare(RESULT, members={("default", "buyer"): {"b", "z"}}) == [
        "default/buyer: a is a member in the recount, not by the engine",
        "default/buyer: z is a member by the engine, not in the recount",
    ]
