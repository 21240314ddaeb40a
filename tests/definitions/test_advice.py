"""What is allowed and likely a mistake: told with its path, never refused."""

from __future__ import annotations

import pytest

from engine.definitions import parse_segment
from engine.definitions.advice import advice


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
