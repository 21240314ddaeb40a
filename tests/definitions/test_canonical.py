"""The canonical form: equal for definitions that mean the same, and read back as itself."""

from __future__ import annotations

import pytest

from engine.definitions import canonical, parse_segment, read_segment

FULL = """
segment: tea-again
name: Tea, three months on
description: Bought Chinese tea, nothing from it for three months
workspace: shop
timezone: Europe/Moscow
mailable: {channel: whatsapp, consent: required}
group: {name: maturity, priority: 20}
hidden_from: [agent-7, agent-1]
payload: [name, last.purchase.order_id]
include: [c-2, c-1]
exclude: [c-3]
topic: false
when:
  all:
    - did: {event: purchase, where: {items.category: Chinese tea}}
    - not: {did: {event: purchase, where: {items.category: Chinese tea}, within: P3M}}
"""


def test_r49_a_saved_definition_reads_back_unchanged() -> None:
    segment = parse_segment(FULL)
    found = canonical(segment)
    assert (found["name"], found["timezone"], found["topic"]) == ("Tea, three months on", "Europe/Moscow", False)
    assert found["description"] == "Bought Chinese tea, nothing from it for three months"
    assert found["include"] == ["c-1", "c-2"]
    assert found["when"]["all"][1]["not"]["did"]["within"] == "P3M"
    assert canonical(read_segment(found)) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("when: {did: {event: a}}", "when: {did: {event: [a], where: {}, count: {gte: 1}}}"),
        ("when: {did: {event: a, where: {x: 5}}}", "when: {did: {where: {x: {eq: 5}}, event: a}}"),
        ("when: {did: {event: a, within: P1W}}", "when: {did: {event: a, within: P7D}}"),
        ("when: {did: {event: a, within: PT24H}}", "when: {did: {event: a, within: P1D}}"),
        ("when: {tags: {any: x}}", "name: ''\nmailable: true\ntopic: true\ntimezone: UTC\nwhen: {tags: {any: [x]}}"),
        ("include: [b, a, b]", "include: [a, b]"),
        ("when: {streak: {of: a, without: b, at_least: 3}}",
         "when: {streak: {of: {event: a}, without: {event: [b]}, at_least: 3}}"),
    ],
)  # fmt: skip
def test_what_means_the_same_has_one_form(one: str, other: str) -> None:
    assert canonical(parse_segment(f"segment: s\n{one}")) == canonical(parse_segment(f"segment: s\n{other}"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("when: {did: {event: a, within: P1M}}", "when: {did: {event: a, within: P30D}}"),
        ("when: {did: {event: a, where: {x: 5}}}", "when: {did: {event: a, where: {x: '5'}}}"),
        ("when: {all: [{tags: {any: x}}]}", "when: {any: [{tags: {any: x}}]}"),
        ("when: {tags: {any: x}}", "mailable: false\nwhen: {tags: {any: x}}"),
        ("when: {tags: {any: x}}", "timezone: Europe/Moscow\nwhen: {tags: {any: x}}"),
    ],
)
def test_what_means_something_else_has_another(one: str, other: str) -> None:
    assert canonical(parse_segment(f"segment: s\n{one}")) != canonical(parse_segment(f"segment: s\n{other}"))
