"""Descriptions: what a marketer reads, of every kind of condition and of trees of them."""

from __future__ import annotations

import doctest
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from engine.conditions import boolean, evidence, wording
from engine.definitions.describing import describe, describe_lines
from tests.driver import documents
from tests.membership.agreement import documents as read
from tests.membership.strategies import leaves, segment_sets

RAW = re.compile(r"\bP(?:T?\d)|\b(?:None|True|False|gte|lte|PT)\b|[{}]")
"""What no description shows: ISO durations, operators, a programmer's values."""
FEW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def said(rule: str) -> str:
    [segment] = documents(f"segment: s\nwhen: {rule}")
    assert segment.when is not None
    return segment.when.describe()


def test_the_examples_in_the_modules_hold() -> None:
    assert all(doctest.testmod(module).failed == 0 for module in (wording, boolean, evidence))


TEA = "event: purchase, where: {items.category: Chinese tea}"
STREAK = "email sent at least 3 times in a row without email open"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (f"{{did: {{{TEA}}}}}", "bought Chinese tea at least once"),
        (f"{{did: {{{TEA}, within: P3M}}}}", "bought Chinese tea in the last 3 months"),
        ("{did: {event: demo_seen, until: 2026-05-01}}", "did demo seen before 2026-05-01"),
        ("{streak: {of: email_sent, without: email_open, at_least: 3}}", STREAK),
        (
            "{streak: {of: email_sent, without: email_open, at_least: 3, match: id, grace: P1D}}",
            f"{STREAK} of the same id, those of the last day passed over",
        ),
        (f"{{did: {{{TEA}, count: 3}}}}", "bought Chinese tea exactly 3 times"),
        (f"{{did: {{{TEA}, count: {{eq: 0}}, within: P1D}}}}", "never bought Chinese tea in the last day"),
        (f"{{not: {{did: {{{TEA}, within: P3M}}}}}}", "has not bought Chinese tea in the last 3 months"),
        (
            f"{{all: [{{did: {{{TEA}}}}}, {{not: {{did: {{{TEA}, within: P3M}}}}}}]}}",
            "bought Chinese tea at least once, but not in the last 3 months",
        ),
        (
            f"{{all: [{{did: {{event: click}}}}, {{not: {{did: {{{TEA}, within: P3M}}}}}}]}}",
            "clicked at least once; and has not bought Chinese tea in the last 3 months",
        ),
        (
            "{any: [{all: [{in_list: a}, {in_list: b}]}, {in_list: c}]}",
            "(is on the list a; and is on the list b); or is on the list c",
        ),
        ("{none: [{in_list: a}, {in_list: b}]}", "none of (is on the list a; is on the list b)"),
        ("{not: {in_list: a}}", "not (is on the list a)"),
        (
            "{did: {event: [cart_add, product_view], where: {name: '45'}, since: 2026-05-01, until: 2026-06-01}}",
            "put something in the cart or viewed a product (where name is 45) from 2026-05-01 until before 2026-06-01",
        ),
        ("{did: {event: message_*, count: {gt: 1}}}", "did any message_* at least twice"),
        ("{quiet: {event: purchase, for: P30D}}", "no purchase for at least 30 days"),
        ("{profile: {vip: true, city: {in: [Kazan, ' ']}}}", 'vip is yes and city is one of Kazan, " "'),
    ],
)
def test_a_rule_in_words(rule: str, words: str) -> None:
    assert said(rule) == words


def test_a_definition_as_an_outline() -> None:
    text = """
    segment: s
    timezone: contact
    mailable: {channel: email}
    group: {name: maturity, priority: 2}
    include: [c-1]
    exclude: [c-2]
    when:
      all:
        - any: [{tags: {any: vip}}, {not: {in_list: staff}}]
        - none: [{did: {event: opt_out}}]
        - not: {all: [{in_list: a}, {in_list: b}]}
    """
    [segment] = documents(text)
    assert describe_lines(segment) == [
        "- all of these:",
        "  - at least one of these:",
        "    - has the tag vip",
        "    - not (is on the list staff)",
        "  - has not opted out",
        "  - not this:",
        "    - all of these:",
        "      - is on the list a",
        "      - is on the list b",
        "- always c-1",
        "- never c-2",
        "- unless opted out for email",
        "- only in the highest of group maturity, here 2",
        "- by the calendar of each contact's own time zone",
    ]


@FEW
@given(leaves)
def test_no_condition_shows_its_notation(leaf: dict[str, Any]) -> None:
    [segment] = read([{"segment": "s", "when": leaf}])
    assert not RAW.search(describe(segment)), describe(segment)


@FEW
@given(segment_sets())
def test_the_outline_has_every_leaf_in_the_order_of_the_rule(found: list[dict[str, Any]]) -> None:
    for segment in read(found):
        assert segment.when is not None
        lines = "\n".join(describe_lines(segment))
        place = 0
        for leaf in _leaves(segment.when):
            words = leaf.describe()
            # An event alone in a "not" is told by what has not been done.
            if words not in lines[place:] and hasattr(leaf, "describe_not"):
                words = leaf.describe_not()
            place = lines.index(words, place) + len(words)


def _leaves(condition: Any) -> list[Any]:
    parts = boolean.parts_of(condition)
    return [condition] if parts is None else [leaf for child in parts[1] for leaf in _leaves(child)]
