"""Tests of `where`, and what aggregates make of properties, by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.recount import Unsupported
from engine.recount.values import all_hold, path_of
from tests.recount.given import counted, fact, segment, told

ORDER = {
    "amount": Decimal("12.50"),
    "code": "007",
    "gift": True,
    "note": "Green Tea",
    "when": "2026-05-01T10:00:00+03:00",
    "a.b": {"c": 1},
    "none": None,
    "empty": [],
    "nested": [[{"x": [{"y": 1, "z": 2}, {"y": 2, "z": 3}]}]],
    "tags": ["promo-x", "Vip"],
    "items": [{"category": "tea", "price": 40}, {"category": "mugs", "price": "50"}],
}


@pytest.mark.parametrize(
    ("path", "test", "answer"),
    [
        ("amount", 12.5, True),
        ("amount", "12.50", True),
        ("amount", {"gt": "9"}, True),
        ("code", 7, True),
        ("code", "7", False),
        ("code", {"gt": "01"}, False),  # two texts go by code point
        ("gift", True, True),
        ("gift", 1, False),
        ("gift", "true", False),
        ("when", "2026-05-01T07:00:00Z", True),
        ("when", {"gt": "2026-05-01"}, True),
        ("when", {"lt": "2026-05-01T07:00:00.001"}, True),
        ('["a.b"].c', 1, True),
        ("a.b.c", 1, False),
        ("none", {"exists": False}, True),
        ("empty", {"exists": True}, False),  # of a list, some element
        ("empty", {"exists": False}, True),
        ("missing", {"ne": 5}, True),
        ("missing", {"not_in": [5]}, True),
        ("missing", {"lt": 5}, False),
        ("items.category", "mugs", True),
        ("items.category", {"ne": "mugs"}, False),
        ("items.category", {"not_in": ["toys"]}, True),
        ("items.price", {"gte": 50}, True),
        ("items.price", {"between": [41, 49]}, False),
        ("items.price", {"between": [50, 60]}, True),
        ("items.category", {"contains": "ea"}, True),
        ("tags", {"contains": "promo"}, True),
        ("tags", {"contains": "vip"}, False),
        ("tags", {"contains": "promo-x"}, True),
        ("tags", {"icontains": "vip"}, True),
        ("tags", {"starts_with": "promo"}, True),
        ("tags", "Vip", True),
        ("note", {"contains": "Tea", "starts_with": "Gr", "ends_with": "a"}, True),
        ("note", {"contains": "tea"}, False),
        ("note", {"icontains": "tEA"}, True),
        ("note", {"matches": "n T"}, True),
        ("amount", {"starts_with": "12"}, False),
        ("items", {"any_item": {"category": "tea", "price": {"gt": 45}}}, False),
        ("items", {"any_item": {"category": "mugs", "price": {"gt": 45}}}, True),
        ("tags", {"any_item": {"category": {"ne": "tea"}}}, False),
        ('["a.b"]', {"any_item": {"c": 1}}, True),
        ("nested", {"any_item": {"x": {"any_item": {"y": 1, "z": 2}}}}, True),
        ("nested", {"any_item": {"x": {"any_item": {"y": 1, "z": 3}}}}, False),
    ],
)
def test_a_test_on_properties(path: str, test: Any, answer: bool) -> None:
    assert all_hold({path: test}, ORDER) is answer


@pytest.mark.parametrize("text", ["", "a..b", ".a", "a.", '["a', "a[0]"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        path_of(text)


def holds(spec: dict[str, Any], *properties: dict[str, Any]) -> bool:
    """Whether an aggregate over these events, a second apart, holds after the last."""
    facts = [fact(f"2026-01-01T00:00:{second:02d}Z", "x", **given) for second, given in enumerate(properties)]
    rule = {"aggregate": {"event": "x", **spec}}
    return counted([segment("s", rule)], [*facts, fact("2026-01-02T00:00:00Z", "y")]).members["default", "s"] == {"c-1"}


@pytest.mark.parametrize(
    ("fn", "test", "answer"),
    [
        ("sum", {"eq": 6}, True),
        ("avg", {"eq": 2}, True),
        ("min", 1, True),
        ("max", {"lt": 3.000001}, True),
        ("count", 5, True),  # the events that have it, whatever it is
        ("distinct", 5, True),  # 1, "2", 3, true and "three"
        ("first", 1, True),
        ("last", {"exists": False}, True),
        ("last", {"ne": 5}, False),
    ],
)
def test_a_function_of_a_property(fn: str, test: Any, answer: bool) -> None:
    events: list[dict[str, Any]] = [{}, {"v": 1}, {"v": "2"}, {"v": 3}, {"v": True}, {"v": "three"}, {"v": None}]
    assert holds({"fn": fn, "of": "v", "is": test}, *events) is answer


@pytest.mark.parametrize(
    ("fn", "zero"),
    [("sum", True), ("count", True), ("distinct", True), ("avg", False), ("min", False), ("first", False)],
)
def test_a_function_of_nothing(fn: str, zero: bool) -> None:
    assert holds({"fn": fn, "of": "v", "is": {"lte": 0}}, {}) is zero
    assert holds({"fn": fn, "of": "v", "is": {"exists": False}}, {}) is not zero


def test_an_average_is_compared_as_a_fraction() -> None:
    thirds = [{"v": 1}, {"v": 0}, {"v": 0}]
    assert holds({"fn": "avg", "of": "v", "is": {"gt": 0.333333333333333}}, *thirds)
    assert holds({"fn": "avg", "of": "v", "is": {"lt": 0.333333333333334}}, *thirds)


def test_tests_on_the_same_list_choose_elements_and_others_the_event() -> None:
    lines: dict[str, Any] = {
        "shop": "a",
        "items": [
            {"category": "tea", "price": 1},
            {"category": "mugs", "price": 10},
            {"category": "tea", "price": 100},
        ],
    }
    spec = {"fn": "sum", "of": "items.price"}
    assert holds({**spec, "where": {"items.category": "tea"}, "is": 101}, lines)
    assert holds({**spec, "where": {"items.category": {"ne": "tea"}}, "is": 10}, lines)
    assert holds({**spec, "where": {"items.category": "tea", "items.price": {"gt": 5}}, "is": 100}, lines)
    assert holds({**spec, "where": {"items.category": "tea", "shop": "a"}, "is": 101}, lines)
    assert holds({**spec, "where": {"items.category": "tea", "shop": "b"}, "is": 0}, lines)
    assert holds({**spec, "where": {"items": {"any_item": {"category": "tea", "price": {"lt": 5}}}}, "is": 1}, lines)


def test_half_a_millionth_goes_to_the_even_one() -> None:
    assert holds({"fn": "sum", "of": "v", "is": 0.000002}, {"v": "0.0000015"})
    assert holds({"fn": "sum", "of": "v", "is": 0.000002}, {"v": "0.0000025"})


@pytest.mark.parametrize(
    "when",
    [
        {"rfm": {"model": "m"}},
        {"did": {"event": "x", "of_first": 20}},
        {"did": {"event": "x", "where": {"a": {"like": "b"}}}},
        {"did": {"event": "x", "where": {"born": {"anniversary": {"within": "P7D"}}}}},
        {"did": {"event": "x", "where": {"a": {"any_item": {"b": {"like": "c"}}}}}},
        {"in_segment": "nobody"},
        {"did": {"event": "x"}, "known": {"within": "P1D"}},
    ],
)
def test_what_the_recount_does_not_know_is_said(when: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        counted([segment("s", when)], [])


def test_segments_that_need_their_own_answer_are_refused() -> None:
    with pytest.raises(Unsupported, match="its own answer"):
        counted([segment("a", {"in_segment": "b"}), segment("b", {"not": {"in_segment": "a"}})], [])


@pytest.mark.parametrize(
    ("mailable", "facts", "mailed"),
    [
        (True, [("1", "opt_out", "sms")], True),
        (True, [("1", "opt_out", "sms"), ("2", "block", "email")], True),  # a third channel may be open
        (True, [("1", "opt_out", None)], False),
        (True, [("1", "opt_out", "all"), ("2", "opt_in", "email")], True),
        (True, [("2", "opt_out", "all"), ("1", "opt_in", "email")], False),
        (True, [("1", "opt_out", "all"), ("1", "opt_in", "all")], False),  # ties are closed
        ({"channel": "sms"}, [], True),
        ({"channel": "sms"}, [("1", "complaint", "sms")], False),
        ({"channel": "sms"}, [("1", "complaint", "email")], True),
        ({"channel": "sms"}, [("1", "opt_out", "sms"), ("2", "opt_in", None)], True),
        ({"channel": "sms", "consent": "required"}, [], False),
        ({"channel": "sms", "consent": "required"}, [("1", "opt_in", "all")], True),
        ({"channel": "sms", "consent": "required"}, [("1", "opt_in", "email")], False),
        (False, [("1", "opt_out", "all")], True),
    ],
)
def test_the_consent_gate(mailable: Any, facts: list[tuple[str, str, str | None]], mailed: bool) -> None:
    said = [
        fact(f"2026-01-0{day}T00:00:00Z", kind, **({"channel": channel} if channel else {}))
        for day, kind, channel in facts
    ]
    result = counted([segment("s", {"all": []}, mailable=mailable)], [*said, fact("2026-01-09T00:00:00Z", "click")])
    assert (result.members["default", "s"] == {"c-1"}) is mailed


@pytest.mark.parametrize(("kind", "mailed"), [("opt_out", False), ("opt_in", True)])
def test_an_empty_channel_is_none(kind: str, mailed: bool) -> None:
    facts = [fact("2026-01-01T00:00:00Z", "opt_out", channel="sms"), fact("2026-01-02T00:00:00Z", kind, channel="")]
    rule = {"consent": {"channel": "email", "is": "revoked" if kind == "opt_out" else "unknown"}}
    result = counted([segment("s", rule, mailable=False), segment("mailed", {"all": []})], facts)
    assert result.members["default", "s"] == {"c-1"}
    assert (result.members.get(("default", "mailed"), set()) == {"c-1"}) is mailed


def test_exclude_is_stronger_than_include_and_the_gate_lies_between() -> None:
    pinned = segment("pinned", None, include=["A", "B", "C"], exclude=["A"])
    facts = [fact("2026-01-01T00:00:00Z", "click", who) for who in "ABCD"] + [
        fact("2026-01-02T00:00:00Z", "opt_out", "B")
    ]
    assert counted([pinned], facts).members["default", "pinned"] == {"C"}


def test_a_younger_than_grace_is_passed_over() -> None:
    rule = {"streak": {"of": "message_sent", "without": "message_read", "at_least": 2, "grace": "P1D"}}
    facts = [
        fact("2026-01-01T00:00:00Z", "message_sent"),
        fact("2026-01-02T12:00:00Z", "message_sent"),
        fact("2026-01-05T00:00:00Z", "message_read"),
    ]
    assert told(counted([segment("sleepy", rule)], facts)) == [
        "enter sleepy 2026-01-03T12:00:00.000Z clock",
        "exit sleepy 2026-01-05T00:00:00.000Z event",
    ]
