"""What is allowed and likely a mistake: told with its path, never refused."""

from __future__ import annotations

import pytest

from engine.conditions.instants import DAY
from engine.definitions import parse_segment
from engine.definitions.advice import advice, reaching_back


def advised(rule: str) -> list[str]:
    return advice(parse_segment(f"segment: s\nwhen: {rule}"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{profile: {age: {between: [10, 5]}}}", "when.profile.age.between: no value is at or above 10"),
        (
            '{did: {event: a, since: "2026-03-01", until: "2026-02-01"}}',
            "when.did.until: nothing lies between 2026-03-01 and 2026-02-01",
        ),
        (
            "{all: [{did: {event: a, first: true, count: {gte: 2}}}]}",
            "when.all[0].did.count: no number of events that may be at most 1 here meets it",
        ),
        ("{did: {event: a, of_last: 3, count: {gte: 5}}}", "when.did.count: no number of events that may be at most 3"),
        ("{did: {event: a, count: {gt: 3, lt: 2}}}", "when.did.count: no number of events meets it"),
        ("{not: {did: {event: a, count: {gte: 0}}}}", "when.not.did.count: every number of events meets it"),
    ],
)
def test_what_nobody_or_everybody_meets(rule: str, said: str) -> None:
    [sentence] = advised(rule)
    assert sentence.startswith(said)


@pytest.mark.parametrize(
    "rule",
    [
        "{did: {event: a, of_last: 3, count: {gte: 3}}}",
        "{did: {event: a, first: true, count: {eq: 0}}}",
        "{did: {event: a, count: {eq: 0}}}",
        "{profile: {age: {between: [5, 5]}}}",
        '{did: {event: a, since: "2026-02-01", until: "2026-03-01", where: {x: {between: [a, b]}}}}',
    ],
)
def test_what_somebody_meets(rule: str) -> None:
    assert advised(rule) == []


def test_rules_that_reach_back_behind_the_journal_are_named_once() -> None:
    texts = [f"segment: ever-{n}\nwhen: {{did: {{event: a}}}}" for n in range(7)]
    said = reaching_back([parse_segment(each) for each in texts], 400 * DAY)
    assert said is not None
    assert said.startswith("ever-0, ever-1, ever-2, ever-3, ever-4 and 2 more count facts of all time")
    assert "the last 400 days at most" in said


@pytest.mark.parametrize(
    "rule",
    [
        "{did: {event: a, within: P400D}}",
        '{did: {event: a, since: "2026-02-01"}}',
        "{profile: {city: Moscow}}",
        "{known: {for: P30D}}",
        "{sample: {percent: 5, salt: a}}",
        "{in_segment: other}",
        "{rfm: {model: elsewhere, recency: 5}}",
    ],
)
def test_a_rule_that_the_journal_or_the_state_reaches_is_not_named(rule: str) -> None:
    assert reaching_back([parse_segment(f"segment: s\nwhen: {rule}")], 400 * DAY) is None
