"""What `explain` shows under a leaf: the very facts that its verdict rests on, at the edges of windows too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conditions.evidence import evidence
from tests.driver import fact

ORDERS = [
    fact("2026-01-01", "order", named="a", v=5, w=["x"]),
    fact("2026-01-02", "order", named="b", v=2, w=["y"]),
    fact("2026-01-03", "order", named="c"),
    fact("2026-01-04", "order", named="d", v="2.0", w=[]),
    fact("2026-01-05", "order", named="e", v=5),
    fact("2026-01-06", "click", named="f", v=9),
]
AT = "2026-01-10T00:00:00Z"


def aggregate(fn: str, is_: str = "{gte: 0}", of: str = "v", more: str = "") -> str:
    return f"{{aggregate: {{fn: {fn}, of: {of}, event: order, is: {is_}{more}}}}}"


@pytest.mark.parametrize(
    ("rule", "at", "ids"),
    [
        (aggregate("sum"), AT, ["a", "b", "d", "e"]),
        (aggregate("avg"), AT, ["a", "b", "d", "e"]),
        (aggregate("distinct"), AT, ["a", "b", "d", "e"]),
        (aggregate("min"), AT, ["b"]),
        (aggregate("max"), AT, ["a"]),
        (aggregate("first"), AT, ["a"]),
        (aggregate("last"), AT, ["e"]),
        (aggregate("first", "{eq: x}", "w"), AT, ["a"]),
        (aggregate("max", more=", within: P7D"), "2026-01-07T23:59:59.999Z", ["a"]),
        (aggregate("max", more=", within: P7D"), "2026-01-08T00:00:00Z", ["e"]),
        (aggregate("min", more=", within: P7D"), "2026-01-12T00:00:00Z", []),
        (aggregate("sum", more=", since: 2026-01-02, until: 2026-01-05"), AT, ["b", "d"]),
        (aggregate("sum", more=", where: {v: {lt: 5}}"), AT, ["b", "d"]),
        ("{did: {event: order}}", AT, ["a", "b", "c", "d", "e"]),
        ("{did: {event: order, since: 2026-01-02, until: 2026-01-05}}", AT, ["b", "c", "d"]),
        ("{did: {event: order, within: P7D}}", "2026-01-09T00:00:00Z", ["c", "d", "e"]),
        ("{did: {event: order, within: [P4D, P7D]}}", "2026-01-08T00:00:00Z", ["b", "c", "d"]),
        ("{did: {event: order, of_last: 2, until: 2026-01-05}}", AT, ["d"]),
        ("{did: {event: order, of_last: 3, where: {v: {exists: true}}}}", AT, ["d", "e"]),
        ("{did: {event: order, first: true, where: {v: {lt: 5}}, within: P1D}}", AT, ["b"]),
        ("{did: {event: sale}}", AT, []),
        ("{quiet: {event: order, for: P5D}}", "2026-01-09T23:59:59.999Z", ["e"]),
        ("{quiet: {event: order, for: P5D}}", AT, []),
        ("{quiet: {event: sale, for: P5D}}", "2026-01-05T23:59:59.999Z", ["a"]),
        ("{quiet: {event: order, for: P9D}}", "2026-01-09T23:59:59.999Z", ["a", "e"]),
        ("{quiet: {event: order, where: {v: 5}, for: P9D}}", "2026-01-01T10:00:00Z", ["a"]),
        ("{known: {for: P5D}}", AT, ["a"]),
        ("{known: {within: P5D}}", AT, ["a"]),
    ],
)
def test_of_events(rule: str, at: str, ids: list[str]) -> None:
    asked = [each for each in ORDERS if each["at"] <= at]
    assert evidence(rule, asked, at) == ids


ASKED = [
    fact("2026-01-01", "sent", named="s1", m=1),
    fact("2026-01-02", "sent", named="s2", m=2),
    fact("2026-01-02", "open", named="o2", m=2),
    fact("2026-01-03", "open", named="o0"),
    fact("2026-01-04", "sent", named="s3", m=3),
    fact("2026-01-05", "sent", named="s4", m=4),
    fact("2026-01-05T12:00Z", "open", named="o2 again", m=2),
]


@pytest.mark.parametrize(
    ("rule", "at", "ids"),
    [
        # Held against the contact: unanswered until their time was up; before that, those that are waited for.
        ("{missed: {after: sent, expect: open, within: P2D, match: m}}", "2026-01-06T12:00:00Z", ["s1", "s3"]),
        ("{missed: {after: sent, expect: open, within: P2D, match: m}}", "2026-01-06T00:00:00Z", ["s1", "s3"]),
        ("{missed: {after: sent, expect: open, within: P2D, match: m}}", "2026-01-05T23:59:59.999Z", ["s1"]),
        ("{missed: {after: sent, expect: open, within: P9D, match: m}}", "2026-01-06T00:00:00Z", ["s1", "s3", "s4"]),
        ("{missed: {after: sent, expect: open, within: P2D, for: P1D, match: m}}", "2026-01-06T00:00:00Z", ["s3"]),
        ("{missed: {after: sent, expect: open, within: P2D, for: P1D, match: m}}", "2026-01-03T23:59:59Z", ["s1"]),
        ("{missed: {after: sent, expect: open, within: P1D}}", "2026-01-05T00:00:00Z", ["s3"]),
        # The run, and what ends it where it is too short.
        ("{streak: {of: sent, without: open, match: m, at_least: 2}}", AT, ["s3", "s4"]),
        ("{streak: {of: sent, without: open, match: m, at_least: 3}}", AT, ["s2", "o2", "s3", "s4"]),
        ("{streak: {of: sent, without: open, match: m, at_least: 2, grace: P2D}}", "2026-01-06T23:59:59.999Z",
         ["s2", "o2", "s3"]),
        ("{streak: {of: sent, without: open, match: m, at_least: 2, grace: P2D}}", "2026-01-07T00:00:00Z",
         ["s3", "s4"]),
        ("{streak: {of: sent, without: open, at_least: 2}}", AT, ["s4", "o2 again"]),
        ("{streak: {of: sent, without: sale, at_least: 2}}", AT, ["s1", "s2", "s3", "s4"]),
    ],
)  # fmt: skip
def test_of_what_was_waited_for(rule: str, at: str, ids: list[str]) -> None:
    assert evidence(rule, [each for each in ASKED if each["at"] <= at], at) == ids


def tagged(day: int, named: str, kind: str, tags: Any) -> dict[str, Any]:
    return fact(f"2026-01-{day:02d}", kind, named=named, tags=tags)


TAGS = [
    tagged(1, "x", "tags_added", ["x", "y"]),
    tagged(2, "y", "tags_removed", "y"),
    tagged(3, "none", "tags_added", [5, None]),
    tagged(4, "z", "tags_added", ["z"]),
    fact("2026-01-05", "click", named="no tag", tags=["x"]),
]


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ("{tags: {any: [x]}}", ["x"]),
        ("{tags: {any: [x, y]}}", ["x", "y"]),
        ("{tags: {all: [y], none: [z]}}", ["y", "z"]),
        ("{tags: {none: [w]}}", []),
    ],
)
def test_of_tags_the_last_fact_about_each(rule: str, ids: list[str]) -> None:
    assert evidence(rule, TAGS, AT) == ids


def test_of_a_list_the_last_fact_about_it() -> None:
    facts = [
        fact("2026-01-01", "list_added", named="a", list="vip"),
        fact("2026-01-02", "list_added", named="b", list="other"),
        fact("2026-01-03", "list_removed", named="c", list="vip"),
    ]
    assert evidence("{in_list: vip}", facts, AT) == ["c"]
    assert evidence("{in_list: vip}", facts[:2], AT) == ["a"]
    assert evidence("{in_list: new}", facts, AT) == []


def test_of_attributes_what_set_each_or_took_it_away() -> None:
    facts = [
        fact("2026-01-01", "contact_updated", named="a", city="Kazan", age=30),
        fact("2026-01-02", "contact_updated", named="b", city=None),
        fact("2026-01-03", "contact_updated", named="c", other=1),
    ]
    assert evidence("{profile: {city: {exists: true}}}", facts, AT) == ["b"]
    assert evidence("{profile: {city: Kazan, age: 30}}", facts, AT) == ["a", "b"]
    assert evidence("{profile: {other.deeper: 1}}", facts, AT) == ["c"]
