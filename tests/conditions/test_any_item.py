"""`any_item`: several tests asked of one element of a list; and all of `where` against the recount's reading of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from engine.conditions.fact import Fact
from engine.conditions.picking import value_reader
from engine.conditions.values import Where, compile_where, where_identity, where_words
from engine.definitions import DefinitionErrors, canonical, parse_segment, read_segment
from engine.membership.plan import compile_plan
from engine.recount.values import all_hold, path_of, picked
from tests.driver import fact, given

AT = "2026-05-01T10:00Z"
TEA = {"category": "tea", "price": 50, "tags": ["green", "new"]}
CHEAP = {"category": "tea", "price": 40}
MUG = {"category": "mug", "price": 90, "parts": [{"kind": "lid", "size": 2}, {"kind": "cup", "size": 7}]}

where: TypeAdapter[Where] = TypeAdapter(Where)


def passes(tests: Any, properties: dict[str, Any]) -> bool:
    check = compile_where(where.validate_python(tests))
    return check is None or check(properties)


ASKED = {"category": "tea", "price": {"gt": 45}}


@pytest.mark.parametrize(
    ("asked", "items", "expected"),
    [
        (ASKED, [TEA], True),
        (ASKED, [MUG, CHEAP], False),  # tea in one, the price in another
        (ASKED, [CHEAP, TEA], True),
        (ASKED, TEA, True),  # an object stands for a list of one
        (ASKED, CHEAP, False),
        (ASKED, [[CHEAP], [[MUG, TEA]]], True),  # lists in lists
        (ASKED, [], False),
        (ASKED, None, False),
        (ASKED, "tea", False),
        ({"category": {"ne": "tea"}}, [TEA, MUG], True),
        ({"category": {"ne": "tea"}}, [TEA, CHEAP], False),
        ({"category": {"ne": "tea"}}, [TEA, {}], True),  # unset is not tea
        ({"category": {"ne": "tea"}}, ["odd", 5, None], False),  # no object
        ({"category": {"not_in": ["tea", "mug"]}}, [TEA, MUG], False),
        ({"category": {"exists": False}}, [TEA, MUG, None], False),
        ({"category": {"exists": False}}, [TEA, {"price": 1}], True),
        ({"tags": "new", "price": {"gte": 50, "lt": 51}}, [TEA], True),
        ({"tags": {"ne": "new"}}, [TEA], False),
        ({"parts": {"any_item": {"kind": "cup", "size": {"gt": 5}}}}, [TEA, MUG], True),
        ({"parts": {"any_item": {"kind": "lid", "size": {"gt": 5}}}}, [TEA, MUG], False),
        ({"parts.kind": "lid", "parts.size": {"gt": 5}}, [MUG], True),  # of any part each
        ({"category": {"starts_with": "t", "ends_with": "a", "contains": "e"}}, [MUG, TEA], True),
    ],
)
def test_one_element_passes_all(asked: Any, items: Any, expected: bool) -> None:
    tests = {"items": {"any_item": asked}}
    assert passes(tests, {"items": items}) is expected
    assert passes({"order.items": tests["items"]}, {"order": [{}, {"items": items}]}) is expected
    rows = given(
        f"segment: s\nwhen: {{did: {{event: go, where: {tests!r}}}}}".replace("False", "false"),
        [fact(AT, "go", items=items)],
    )
    assert rows.at(AT).members("s") == ({"c-1"} if expected else set())


def test_other_operators_beside_it_are_asked_of_the_whole() -> None:
    tests = {"items": {"any_item": {"category": "mug"}, "ne": "odd", "exists": True}}
    assert passes(tests, {"items": [MUG, TEA]})
    assert not passes(tests, {"items": [MUG, "odd"]})


def test_an_attribute_that_is_a_list_of_objects() -> None:
    segment = "segment: s\nwhen: {profile: {cards: {any_item: {kind: gold, points: {gte: 500}}}}}"
    facts = [
        fact("2026-05-01", "contact_updated", cards=[{"kind": "gold", "points": 499}, {"kind": "red", "points": 900}]),
        fact("2026-05-02", "contact_updated", cards=[{"kind": "gold", "points": 500}]),
        fact("2026-05-03", "contact_updated", cards={"kind": "gold", "points": "501"}),
        fact("2026-05-04", "contact_updated", cards=None),
    ]
    assert given(segment, facts).at().told() == [
        "enter s 2026-05-02T00:00:00.000Z event",
        "exit s 2026-05-04T00:00:00.000Z event",
    ]


@pytest.mark.parametrize(
    ("options", "figure"),
    [
        ("fn: sum, of: items.price, where: {items: {any_item: {category: tea, price: {gt: 45}}}}", 50),
        ("fn: count, of: items, where: {items: {any_item: {category: {ne: tea}}}}", 1),  # "odd" is no object
        ("fn: sum, of: items.price, where: {items: {any_item: {category: tea}, ne: odd}}", 0),
        ("fn: sum, of: items.price, where: {items: {any_item: {category: tea}}, items.price: {lt: 45}}", 40),
        ("fn: sum, of: items.parts.size, where: {items: {any_item: {category: mug, parts.kind: cup}}}", 7),
        ("fn: sum, of: items.parts.size, where: {items: {any_item: {parts: {any_item: {size: {gt: 5}}}}}}", 7),
        ("fn: sum, of: amount, where: {items: {any_item: {category: tea, price: {gt: 45}}}}", 3),
        ("fn: sum, of: amount, where: {items: {any_item: {category: tea, price: {gt: 55}}}}", 0),
    ],
)
def test_in_an_aggregate_each_element_that_passes_counts(options: str, figure: int) -> None:
    segment = f"segment: s\nwhen: {{aggregate: {{event: go, {options}, is: {{eq: {figure}}}}}}}"
    facts = [fact(AT, "go", amount=3, items=[TEA, [CHEAP, "odd"], MUG])]
    assert given(segment, facts).at(AT).members("s") == {"c-1"}


@pytest.mark.parametrize(
    ("rule", "column", "said"),
    [
        ("did: {event: go, count: {any_item: {x: 1}}}", 33, "any_item does not fit a count"),
        ("aggregate: {fn: first, of: x, event: go, is: {any_item: {x: 1}}}", 54, "a figure has no items"),
        ("profile: {x: {any_item: {}}}", 32, "at least 1"),
        ("profile: {x: {any_item: 5}}", 32, "5 is not an object"),
        ("profile: {x: {any_item: {y: {gtt: 1}}}}", 37, "unknown key 'gtt'. Did you mean 'gt'?"),
        ("profile: {x: {any_item: {y..z: 1}}}", 33, "did you mean y.z?"),
        ("profile: {x: {any_itm: {y: 1}}}", 22, "Did you mean 'any_item'?"),
        ("profile: {x: {any_item: {'[\"y\"]': 1, y: 2}}}", 45, '["y"] and y are the same path'),
    ],
)
def test_where_it_makes_no_sense(rule: str, column: int, said: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{{rule}}}")
    assert (caught.value.errors[0].line, caught.value.errors[0].column) == (2, column)
    assert said in str(caught.value)


def test_it_nests_five_deep_and_no_deeper() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"any_item": {"x": nested(depth - 1)}} if depth else {"eq": 1}

    found: Any = 1
    for _ in range(6):
        found = [{"x": found}]
    assert passes({"x": nested(5)}, {"x": found[0]["x"]})
    with pytest.raises(DefinitionErrors, match="more than 5 deep"):
        read_segment({"segment": "s", "when": {"profile": {"x": nested(6)}}})


def test_equal_ones_are_one_feature_in_whatever_order_they_stand() -> None:
    one = '{b: 2, items: {any_item: {category: tea, "price": {gt: 45, lt: 50}}}}'
    other = "{items: {any_item: {'[\"price\"]': {lt: 50, gt: 45}, category: {eq: tea}}}, b: {eq: 2}}"
    rule = "segment: {}\nwhen: {{any: [{{did: {{event: go, where: {}}}}}]}}"
    first, second = parse_segment(rule.format("s", one)), parse_segment(rule.format("z", other))
    assert canonical(first)["when"] == canonical(second)["when"]
    assert canonical(read_segment(canonical(first))) == canonical(first)
    assert len(compile_plan([(first, 1), (second, 1)]).workspace("default").features) == 1


def test_in_plain_words() -> None:
    tests = where.validate_python({"items": {"any_item": {"category": "tea", "price": {"gt": 45}}, "exists": True}})
    assert where_words(tests) == " (where items is set and has an item (where category is tea and price is above 45))"


# Against the recount: the same answer of random tests on random properties.

NAMES = ("a", "b", "c.d")
PATHS = ("a", "b", '["c.d"]', "a.b", 'a["c.d"]', "b.a", "a.b.a")
scalars = (
    st.integers(-2, 2)
    | st.sampled_from(["1", "01", "x", "xy", "X", "", "2026-05-01", "2026-05-01T00:00:00Z", 0.5, "0.50"])
    | st.booleans()
)
values = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
properties = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
operators = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), scalars),
        **{name: st.lists(scalars, min_size=1, max_size=3) for name in ("in", "not_in")},
        **dict.fromkeys(("contains", "icontains", "starts_with", "ends_with"), st.sampled_from(["x", "X", "", "0"])),
        "between": st.tuples(scalars, scalars).map(list),
        "exists": st.booleans(),
    },
).filter(bool)
tests_of_values = scalars | operators
tests_by_path = st.recursive(
    st.dictionaries(st.sampled_from(PATHS), tests_of_values, min_size=1, max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from(PATHS),
        st.builds(lambda item, beside: {**beside, "any_item": item}, inner, st.just({}) | operators),
        min_size=1,
        max_size=2,
    ),
    max_leaves=4,
)


@settings(max_examples=400)
@hypothesis_given(tests_by_path, properties)
@example({"a": {"any_item": {"b": {"ne": 1}}}}, {"a": [1, {"b": 1}]})
def test_where_says_what_the_recount_says(tests: dict[str, Any], found: dict[str, Any]) -> None:
    assert passes(tests, found) is all_hold(tests, found)


@settings(max_examples=400)
@hypothesis_given(st.sampled_from(PATHS), tests_by_path, properties)
@example("a.b", {"a": {"any_item": {"b": {"exists": True}}, "ne": 5}}, {"a": [{"b": 1}, 5, {}]})
def test_an_aggregate_takes_what_the_recount_takes(of: str, tests: dict[str, Any], found: dict[str, Any]) -> None:
    read = value_reader(of, where.validate_python(tests))
    theirs = picked(found, path_of(of), [(path_of(path), test) for path, test in tests.items()])
    assert (read(Fact("c-1", "go", "", decoded=found)) or []) == [each for each in _flat(theirs) if each is not None]


def _flat(found: list[Any]) -> list[Any]:
    return [each for value in found for each in (_flat(value) if isinstance(value, list) else [value])]


@settings(max_examples=200)
@hypothesis_given(st.sampled_from(PATHS), scalars, st.lists(scalars, min_size=1, max_size=3), properties)
def test_negations_are_exact_on_lists_and_on_what_is_unset(
    path: str, operand: Any, operands: list[Any], found: dict[str, Any]
) -> None:
    assert passes({path: {"ne": operand}}, found) is not passes({path: {"eq": operand}}, found)
    assert passes({path: {"not_in": operands}}, found) is not passes({path: {"in": operands}}, found)


@settings(max_examples=100)
@hypothesis_given(tests_by_path)
def test_the_same_tests_have_one_identity(tests: dict[str, Any]) -> None:
    turned = {path: dict(reversed(test.items())) if isinstance(test, dict) else {"eq": test} for path, test in
              reversed(tests.items())}  # fmt: skip
    assert where_identity(where.validate_python(turned)) == where_identity(where.validate_python(tests))
