"""The grammar of paths, and every place of a definition where a path stands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from engine.conditions.paths import parse_path, path_text, reader
from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.membership.plan import compile_plan
from tests.driver import fact, given


@pytest.mark.parametrize(
    ("text", "names", "spelled"),
    [
        ("city", ("city",), "city"),
        ("items.category", ("items", "category"), "items.category"),
        ('items["a.b"].c', ("items", "a.b", "c"), 'items["a.b"].c'),
        ('["a.b"].c', ("a.b", "c"), '["a.b"].c'),
        ('["a.b"]["c.d"]', ("a.b", "c.d"), '["a.b"]["c.d"]'),
        ('["city"]', ("city",), "city"),
        ('a["b"]["c"].d', ("a", "b", "c", "d"), "a.b.c.d"),
        ('["a[0]"].x', ("a[0]", "x"), '["a[0]"].x'),
        ("имя.utm source", ("имя", "utm source"), "имя.utm source"),
    ],
)
def test_a_path_has_one_spelling(text: str, names: tuple[str, ...], spelled: str) -> None:
    assert parse_path(text) == names
    assert path_text(names) == spelled
    assert parse_path(spelled) == names


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "a[0]", "a[]", "a[b]", "['a.b']", 'a.["b"]', '["a.b"]c', '["a.b"', '[""]', 'a"b',
     "a]", "x" * 257],
)  # fmt: skip
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="character"):
        parse_path(text)


@settings(max_examples=100)
@hypothesis_given(
    st.lists(st.text(st.characters(exclude_characters='"'), min_size=1, max_size=9), min_size=1, max_size=9)
)
def test_any_names_but_those_with_quotes_can_be_spelled_and_read_back(names: list[str]) -> None:
    assert parse_path(path_text(tuple(names))) == tuple(names)
    nested: Any = "found"
    for name in reversed(names):
        nested = {name: nested}
    assert reader(path_text(tuple(names)))(nested) == ["found"]


AT = "2026-05-01T10:00Z"


@pytest.mark.parametrize(
    ("rule", "properties"),
    [
        ("did: {event: go, where: {'[\"utm.source\"]': mail}}", {"utm.source": "mail"}),
        ("did: {event: go, where: {'items[\"a.b\"].c': 5}}", {"items": [{"a.b": {"c": 5}}]}),
        ("aggregate: {fn: sum, of: '[\"sum.net\"]', event: go, is: 7}", {"sum.net": 7}),
        (
            "aggregate: {fn: sum, of: 'items[\"net.price\"]', event: go, where: {'items[\"the.kind\"]': tea}, is: 7}",
            {"items": [{"net.price": 7, "the.kind": "tea"}, {"net.price": 9, "the.kind": "mug"}]},
        ),
    ],
)
def test_keys_with_dots_in_events(rule: str, properties: dict[str, Any]) -> None:
    segment = f"segment: s\nwhen: {{{rule}}}"
    assert given(segment, [fact(AT, "go", **properties)]).at(AT).members("s") == {"c-1"}
    nested = {"utm": {"source": "mail"}, "sum": {"net": 7}, "items": {"a": {"b": {"c": 5}}, "net": {"price": 7}}}
    assert given(segment, [fact(AT, "go", **nested)]).at(AT).members("s") == set()


def test_keys_with_dots_in_attributes() -> None:
    segment = "segment: s\nwhen: {profile: {'[\"crm.city\"].name': Petersburg, '[\"a.b\"]': 1}}"
    attributes = {"crm.city": {"name": "Petersburg"}, "a.b": 1}
    told = given(
        segment, [fact(AT, "contact_updated", **attributes), fact("2026-05-02", "contact_updated", **{"a.b": 2})]
    ).at()
    assert [line.split()[0] for line in told.told()] == ["enter", "exit"]


@pytest.mark.parametrize("kind", ["missed", "streak"])
def test_keys_with_dots_agree(kind: str) -> None:
    rules = {
        "missed": "missed: {after: view, expect: add, within: PT2H, match: '[\"product.id\"]'}",
        "streak": "streak: {of: view, without: add, match: '[\"product.id\"]', at_least: 1}",
    }
    viewed, other = fact(AT, "view", **{"product.id": 1}), fact("2026-05-01T11:00Z", "add", **{"product.id": 2})
    same = fact("2026-05-01T11:30Z", "add", **{"product.id": 1})
    segment = f"segment: s\nwhen: {{{rules[kind]}}}"
    assert given(segment, [viewed, other]).at("2026-05-02").members("s") == {"c-1"}
    assert given(segment, [viewed, other, same]).at("2026-05-02").members("s") == set()


def test_a_payload_names_event_types_and_keys_with_dots() -> None:
    segment = """
segment: s
payload: ['last["order.paid"].id', 'last.go["a.b"]', '["crm.city"]', '["name"]', last.go.a.b]
when: {did: {event: go}}
"""
    facts = [
        fact(AT, "contact_updated", **{"crm.city": "Petersburg", "name": "Anna"}),
        fact(AT, "order.paid", id="A-7"),
        fact(AT, "go", **{"a.b": 1, "a": {"b": 2}}),
    ]
    assert given(segment, facts).at().of("s")[0]["payload"] == {
        'last["order.paid"].id': "A-7",
        'last.go["a.b"]': 1,
        '["crm.city"]': "Petersburg",
        "name": "Anna",
        "last.go.a.b": 2,
    }


def test_equal_paths_are_one_feature_and_one_form() -> None:
    one, other = "a.b", '["a"]["b"]'
    rule = "aggregate: {{fn: sum, of: '{0}', event: go, where: {{'{0}': 1}}, is: 1}}"
    first, second = (
        f"segment: s\npayload: ['last.go[\"a.b\"]']\nwhen: {{{rule.format(path)}}}" for path in (one, other)
    )
    assert canonical(parse_segment(first)) == canonical(parse_segment(second))
    both = compile_plan([(parse_segment(first), 1), (parse_segment(second.replace("segment: s", "segment: z")), 1)])
    assert len(both.workspace("default").features) == 2  # the sum and the last value, once each


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("a..b", "a.b"), (".a", "a"), ("items[0].sku", "items.sku"), ("items[*].sku", "items.sku"),
        ("[''a.b'']", '["a.b"]'), ('x.["a.b"].c', 'x["a.b"].c'), ("x[a.b]", 'x["a.b"]'),
    ],
)  # fmt: skip
def test_the_nearest_right_path_is_told(path: str, near: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{aggregate: {{fn: sum, of: '{path}', event: go, is: 1}}}}")
    assert f"(did you mean {near}?)" in str(caught.value)
    assert caught.value.errors[0].path == "when.aggregate.of"


def test_one_path_spelled_in_two_ways_is_refused() -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment("segment: s\nwhen:\n  profile:\n    city: x\n    '[\"city\"]': y")
    assert str(caught.value).startswith('definition:5:5: when.profile["city"]: city and ["city"] are the same path')
