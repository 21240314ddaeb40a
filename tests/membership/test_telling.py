"""Explanations in words: the whole text that the command and the endpoint show."""

from __future__ import annotations

from textwrap import dedent

import pytest

from engine.conditions.instants import format_instant
from engine.membership.telling import brief, tell
from tests.driver import Row, fact
from tests.membership.test_explain import explained, leaf_nodes

SHOP = """
segment: warm
name: Warm
when: {did: {event: click, within: P7D}}
---
segment: buyers
when:
  any:
    - did: {event: purchase, within: P30D}
    - all: [{in_segment: warm}, {tags: {any: [tea]}}]
    - profile: {city: Kazan}
    - none: [{known: {for: P1D}}, {in_list: friends}]
"""
VISITS = [fact("2026-05-01", "click", named="k1"), fact("2026-05-02T10:00Z", "purchase", named="p1")]
NEWS = "segment: news\nname: News\nmailable: {channel: email, consent: required}\nwhen: {did: {event: click}}"
SAID = [
    fact("2026-05-01", "click", named="k1"),
    fact("2026-05-04", "complaint", named="all"),
    fact("2026-05-05", "opt_in", named="yes", channel="email"),
    fact("2026-05-06", "opt_out", named="no", channel="email"),
]
BOTH = "segment: both\nwhen: {all: [{did: {event: order}}, {not: {did: {event: click, within: P1D}}}]}"

IN = """
    c-1 is in buyers at 2026-05-03T00:00:00.000Z.
    In since 2026-05-02T10:00:00.000Z, by purchase p1 of 2026-05-02T10:00:00.000Z.
    Because the rule holds.
    If nothing happens, this changes at 2026-06-01T10:00:00.000Z.

    yes  at least one of these:
        yes* bought something in the last 30 days
               if nothing happens, this changes at 2026-06-01T10:00:00.000Z
               purchase p1 of 2026-05-02T10:00:00.000Z
        no   all of these:
            yes  is in the segment warm
                   if nothing happens, this changes at 2026-05-08T00:00:00.000Z
                   in warm:
                     In since 2026-05-01T00:00:00.000Z, by click k1 of 2026-05-01T00:00:00.000Z.
                     Because the rule holds.
                     If nothing happens, this changes at 2026-05-08T00:00:00.000Z.
                     yes  clicked in the last 7 days
                            if nothing happens, this changes at 2026-05-08T00:00:00.000Z
                            click k1 of 2026-05-01T00:00:00.000Z
            no   has the tag tea
        no   city is Kazan
        no   none of these:
            yes  known for at least 1 day
                   click k1 of 2026-05-01T00:00:00.000Z
            no   is on the list friends

    For another answer the one marked * would have to change.
    By the present definition, version 1, from 2 journaled facts.
"""
OUT = """
    c-1 is out of buyers at 2026-06-03T00:00:00.000Z.
    Out since 2026-06-01T10:00:00.000Z, by the clock.
    Because the rule does not hold.
    If nothing happens, this stays so.

    no   at least one of these:
        no*  bought something in the last 30 days
        no   all of these:
            no   is in the segment warm
                   out of warm:
                     Out since 2026-05-08T00:00:00.000Z, by the clock.
                     Because the rule does not hold.
                     If nothing happens, this stays so.
                     no   clicked in the last 7 days
            no   has the tag tea
        no   city is Kazan
        no   none of these:
            yes  known for at least 1 day
                   click k1 of 2026-05-01T00:00:00.000Z
            no   is on the list friends

    For another answer the one marked * would have to change.
      Or: city is Kazan
      Or: known for at least 1 day
    By the present definition, version 1, from 2 journaled facts.
"""
NOT_MAILED = """
    c-1 is out of news (News) at 2026-05-07T00:00:00.000Z.
    Out since 2026-05-06T00:00:00.000Z, by opt_out no of 2026-05-06T00:00:00.000Z.
    Because the contact may not be mailed on email, which takes a granted consent.
      complaint all of 2026-05-04T00:00:00.000Z
      opt_out no of 2026-05-06T00:00:00.000Z
    If nothing happens, this stays so.

    yes  clicked at least once
           click k1 of 2026-05-01T00:00:00.000Z

    For another answer: the contact would have to be mailable on email, which takes a granted consent.
    By the present definition, version 1, from 4 journaled facts.
"""
TWO = """
    c-1 is out of both at 2026-05-01T12:00:00.000Z.
    It has never been in.
    Because the rule does not hold.
    If nothing happens, this stays so.

    no   all of these:
        no*  did order at least once
        no   not this:
            yes* clicked in the last day
                   if nothing happens, this changes at 2026-05-02T00:00:00.000Z
                   click k1 of 2026-05-01T00:00:00.000Z

    For another answer those marked * would have to change.
    By the present definition, version 1, from 1 journaled fact, taken anew up to then.
"""


@pytest.mark.parametrize(
    ("segments", "facts", "until", "at", "text"),
    [
        (SHOP, VISITS, "2026-05-03T00:00:00Z", None, IN),
        (SHOP, VISITS, "2026-06-03T00:00:00Z", None, OUT),
        (NEWS, SAID, "2026-05-07T00:00:00Z", None, NOT_MAILED),
        (BOTH, VISITS, "2026-06-03T00:00:00Z", "2026-05-01T12:00:00Z", TWO),
    ],
)
def test_the_whole_text(segments: str, facts: list[Row], until: str, at: str | None, text: str) -> None:
    assert tell(explained(segments, facts, until, at)) == dedent(text).strip()


def test_a_condition_says_how_long_its_truth_is_sure() -> None:
    clicked, bought = (
        leaf_nodes(explained(rule, VISITS).rule)[0]
        for rule in (
            "segment: s\nwhen: {did: {event: click, within: P7D}}",
            "segment: s\nwhen: {did: {event: purchase}}",
        )
    )
    assert clicked.until is not None
    assert format_instant(clicked.until) == "2026-05-08T00:00:00.000Z"
    assert bought.until is None


@pytest.mark.parametrize(
    ("segments", "facts", "expected"),
    [
        (
            SHOP, VISITS,
            "the rule holds: bought something in the last 30 days (purchase p1 of 2026-05-02T10:00:00.000Z)",
        ),
        (BOTH, VISITS, "the rule does not hold: not: did order at least once"),
        (NEWS, SAID, "the contact may not be mailed on email, which takes a granted consent"),
        (
            "segment: many\nwhen: {any: [{tags: {any: [a]}}, {tags: {any: [b]}}, {in_list: c}, {in_list: d}]}", VISITS,
            "the rule does not hold: not: has the tag a; not: has the tag b; not: is on the list c; and 1 more",
        ),
        ("segment: vip\ninclude: [c-1]", VISITS, "the segment includes the contact by name"),
    ],
)  # fmt: skip
def test_in_one_line(segments: str, facts: list[Row], expected: str) -> None:
    assert brief(explained(segments, facts, "2026-05-07")) == expected
