"""Tests of values: every operator, numbers in text, instants, lists, negations; compared exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from engine.conditions.fact import decode_properties
from engine.conditions.values import Where, compile_where

MISSING = object()
_where: TypeAdapter[Where] = TypeAdapter(Where)


def passes(test: Any, value: Any, path: str = "x") -> bool:
    """Whether a property with this value passes `where: {path: test}`."""
    check = compile_where(_where.validate_python({path: test}))
    assert check is not None
    return check({} if value is MISSING else {"x": value})


@pytest.mark.parametrize(
    ("test", "yes", "no"),
    [
        ("tea", ["tea", ["mug", "tea"]], ["Tea", "tea ", "", None, MISSING, [], ["mug"], 1, True, {"tea": 1}]),
        (5, [5, 5.0, "5", "5.0", "05", "+5", "5e0", ["x", 5]], [5.000001, "5x", " 5", "٥", True, None, MISSING]),
        (0, [0, -0.0, "0", "-0"], [False, "", None, MISSING, []]),
        (0.1, [0.1, "0.1", "0.10", "1e-1"], [0.1 + 2**-54, "0.1000000000000000055511151231257827", 0, 1]),
        ("5", [5, "5", 5.0], ["5.0", "05", 6]),  # two texts are compared as texts
        (True, [True], [1, "true", False, "True"]),
        (False, [False], [0, "", None, MISSING]),
        ({"ne": 5}, [6, "x", None, MISSING, [], [6, 7]], [5, "5", 5.0, [6, 5]]),
        ({"in": ["a", 2]}, ["a", 2, "2", [1, 2]], ["b", MISSING, []]),
        ({"not_in": ["a", 2]}, ["b", MISSING, None, [3]], ["a", "2", ["b", "a"]]),
        ({"gt": 5}, [5.000001, 6, "5.1", 10**30, [1, 6]], [5, "5", 4, True, "x", None, MISSING, []]),
        ({"gte": 5}, [5, "5", 6, 5.0], [4.999999, "4", True, MISSING]),
        ({"lt": 5}, [4.999999, "4", -1], [5, "5", False, MISSING, None]),
        ({"lte": 5}, [5, "5", 4], [5.000001, False, MISSING]),
        ({"gt": "b"}, ["c", "ba"], ["b", "a", "B", 5]),
        ({"lt": "5"}, [4, "4", "10"], [5, 10, "6"]),  # a number with a number, a text with a text
        ({"between": [1, 3]}, [1, 2, "3", [9, 2]], [0.999, 3.001, MISSING, [0, 4]]),
        ({"gte": 1, "lt": 3}, [1, 2.9, [0, 5]], [3, 0]),  # of a list, any element for each test
        ({"contains": "ea"}, ["tea", ["x", "ea"]], ["TEA", 5, MISSING, "ae"]),
        ({"icontains": "EA"}, ["tea", "TEA", "Ea"], ["ta", MISSING]),
        ({"icontains": "straße"}, ["STRASSE 5"], ["strase"]),
        ({"icontains": "STRASSE"}, ["Straße 5"], ["Strabe"]),
        ({"starts_with": "te"}, ["tea", "te"], ["ate", "Tea", MISSING]),
        ({"ends_with": "ea"}, ["tea", "ea"], ["eat", MISSING]),
        ({"matches": "t.a"}, ["tea", "a tea b"], ["ta", 5, MISSING]),
        ({"matches": "^t.a$"}, ["tea"], ["a tea"]),
        ({"exists": True}, [0, "", False, {}, [1]], [None, MISSING, [], [None]]),
        ({"exists": False}, [None, MISSING, [], [None]], [0, "", False]),
        ({"gt": 1, "ne": 3}, [2, 4], [3, 1, MISSING]),
    ],
)  # fmt: skip
def test_each_operator(test: Any, yes: list[Any], no: list[Any]) -> None:
    assert [value for value in yes if not passes(test, value)] == []
    assert [value for value in no if passes(test, value)] == []


@pytest.mark.parametrize(
    ("test", "yes", "no"),
    [
        ("2026-05-01", ["2026-05-01T00:00:00Z", "2026-05-01T03:00:00+03:00"], ["2026-05-01T00:00:00.001Z"]),
        ({"gt": "2026-05-01T10:00:00+03:00"}, ["2026-05-01T07:00:00.001Z"], ["2026-05-01T07:00:00Z"]),
        ({"gte": "2026-05-01"}, ["2026-05-01", "2026-05-01T00:00:00"], ["2026-04-30T23:59:59.999Z"]),  # no zone: UTC
        ({"lt": "2026-05-01"}, ["2026-04-30", "2026-05-01T00:00:00+00:01"], ["2026-05-01", 5]),
        # A text that is no instant is compared as a text.
        ({"gt": "2026-05-01"}, ["2026-05-xx", "tea"], ["2026-02-30"]),
    ],
)  # fmt: skip
def test_instants_in_text(test: Any, yes: list[Any], no: list[Any]) -> None:
    assert [value for value in yes if not passes(test, value)] == []
    assert [value for value in no if passes(test, value)] == []


def test_instants_are_compared_exactly() -> None:
    assert passes({"gt": "2026-05-01T10:00:00.0001Z"}, "2026-05-01T10:00:00.0002Z")
    assert not passes("2026-05-01T10:00:00.0001Z", "2026-05-01T10:00:00.0002Z")


PROPERTIES = {
    "items": [{"sku": "T-1", "n": 1}, {"sku": "T-2", "tags": ["x", ["y"]]}, "odd", None],
    "deep": {"a": {"b": 3}},
}


@pytest.mark.parametrize(
    ("path", "test", "expected"),
    [
        ("items.sku", "T-2", True),
        ("items.sku", "T-3", False),
        ("items.sku", {"ne": "T-1"}, False),
        ("items.n", {"exists": True}, True),
        ("items.tags", "y", True),
        ("items", "odd", True),
        ("deep.a.b", {"gte": 3}, True),
        ("deep.a", {"exists": True}, True),
        ("deep.a.c", {"exists": False}, True),
        ("deep.a.b.c", {"ne": 1}, True),
        ("items.sku.x", {"exists": True}, False),
    ],
)
def test_a_path_into_objects_and_lists(path: str, test: Any, expected: bool) -> None:
    check = compile_where(_where.validate_python({path: test}))
    assert check is not None
    assert check(PROPERTIES) is expected


def test_all_tests_must_hold() -> None:
    check = compile_where(_where.validate_python({"a": 1, "b": {"gt": 1}}))
    assert check is not None
    assert check({"a": 1, "b": 2})
    assert not check({"a": 1, "b": 1})
    assert not check({"a": 2, "b": 2})


numbers = st.one_of(
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-9, 9, places=3).map(str),
)
scalars = numbers | st.text(max_size=3) | st.booleans()
values = scalars | st.none() | st.just(MISSING) | st.lists(scalars, max_size=3)


@settings(max_examples=60)
@given(scalars, values)
def test_ne_is_the_exact_negation_of_eq(operand: Any, value: Any) -> None:
    assert passes({"ne": operand}, value) is not passes({"eq": operand}, value)


@settings(max_examples=60)
@given(st.lists(scalars, min_size=1, max_size=3), values)
def test_not_in_is_the_exact_negation_of_in(operands: list[Any], value: Any) -> None:
    assert passes({"not_in": operands}, value) is not passes({"in": operands}, value)
    assert passes({"in": operands}, value) is any(passes(each, value) for each in operands)


@settings(max_examples=60)
@given(numbers.filter(lambda each: not isinstance(each, str)), numbers)
def test_of_two_numbers_exactly_one_order_holds(operand: Any, value: Any) -> None:
    found = [passes({name: operand}, value) for name in ("lt", "eq", "gt")]
    assert found.count(True) == 1
    assert passes({"lte": operand}, value) is (found[0] or found[1])
    assert passes({"gte": operand}, value) is (found[1] or found[2])


def test_whole_numbers_beyond_64_bits_are_exact() -> None:
    value = decode_properties(b'{"x": 1180591620717411303425}')["x"]  # 2**70 + 1
    assert passes({"gt": 2**70}, value)
    assert not passes(2**70, value)


def test_numbers_of_facts_are_doubles_as_everywhere_in_json() -> None:
    value = decode_properties(b'{"x": 0.10000000000000000001}')["x"]
    assert passes({"eq": 0.1}, value)
    assert not passes({"gt": 0.1}, value)


def test_a_number_beyond_a_double_is_infinite() -> None:
    value = decode_properties(b'{"x": 1e999}')["x"]
    assert passes({"gt": 10**300}, value)
    assert not passes({"lt": 0}, value)


def test_a_number_of_5000_digits_is_read() -> None:
    assert decode_properties(b'{"x": 1' + b"0" * 5_000 + b"}")


@pytest.mark.parametrize(
    "test",
    [[1, 2], None, {}, {"gt": float("inf")}, {"gt": float("nan")},
     {"equals": 5}, {"in": []}, {"in": 5}, {"between": [1]}, {"matches": "("}, {"gt": [1]},
     {"gt": {"a": 1}}, {"contains": 5}, {"exists": "yes"}, {"in": [[1]]}, {"in": [None]}],
)  # fmt: skip
def test_what_is_no_test(test: Any) -> None:
    with pytest.raises(ValidationError):
        _where.validate_python({"x": test})
