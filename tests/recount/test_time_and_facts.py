"""DESIGN 3 and 4 by example: late facts, ties, refunds, duplicates, calendars, clocks and records that are no facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.recount.facts import partition_of
from tests.placement import partition_of as placed
from tests.recount.given import counted, fact, segment, told

BOUGHT_1H = segment("bought", {"did": {"event": "purchase", "within": "PT1H"}})


def spent(at_least: Any, **more: Any) -> dict[str, Any]:
    rule = {"fn": "sum", "of": "amount", "event": "purchase", "is": {"gte": at_least}, **more}
    return segment("spent", {"aggregate": rule})


def test_without_until_the_clock_stays_a_grace_behind_the_last_fact() -> None:
    facts = [fact("2026-01-01T10:00:00Z", "purchase"), fact("2026-01-01T11:00:01Z", "click", "c-2")]
    assert told(counted([BOUGHT_1H], facts)) == ["enter bought 2026-01-01T10:00:00.000Z event"]
    assert told(counted([BOUGHT_1H], facts, grace=999))[1:] == ["exit bought 2026-01-01T11:00:00.000Z clock"]


def test_a_fact_at_the_instant_of_a_deadline_is_taken_first() -> None:
    facts = [fact("2026-01-01T10:00:00Z", "purchase"), fact("2026-01-01T11:00:00Z", "purchase")]
    assert told(counted([BOUGHT_1H], facts)) == ["enter bought 2026-01-01T10:00:00.000Z event"]


def test_facts_at_one_instant_are_judged_one_by_one() -> None:
    even = segment("even", {"did": {"event": "click", "count": {"in": [2, 4]}}})
    facts = [fact("2026-01-01T10:00:00Z", "click")] * 3
    assert told(counted([even], facts)) == [
        "enter even 2026-01-01T10:00:00.000Z event",
        "exit even 2026-01-01T10:00:00.000Z event",
    ]


def test_a_late_fact_counts_by_its_own_instant_and_is_published_as_of_the_latest() -> None:
    facts = [
        fact("2026-01-01T10:30:00Z", "click"),
        fact("2026-01-01T10:00:00Z", "purchase"),
    ]
    result = counted([BOUGHT_1H], facts, "2026-01-02T00:00:00Z")
    assert told(result) == [
        "enter bought 2026-01-01T10:30:00.000Z event",
        "exit bought 2026-01-01T11:00:00.000Z clock",
    ]
    assert result.late_contacts == {("default", "c-1")}


def test_a_fact_before_the_clock_but_not_before_its_contact_is_judged_at_its_own_instant() -> None:
    facts = [fact("2026-01-05T00:00:00Z", "click", "c-2"), fact("2026-01-01T10:00:00Z", "purchase")]
    result = counted([BOUGHT_1H], facts)
    assert told(result) == ["enter bought 2026-01-01T10:00:00.000Z event", "exit bought 2026-01-01T11:00:00.000Z clock"]
    assert result.late_contacts == {("default", "c-1")}


def test_arrival_moves_the_clock_and_bounds_the_instant() -> None:
    ahead = {**fact("2026-01-01T10:05:00Z", "purchase"), "arrives": "2026-01-01T10:00:00Z"}
    too_far = {**fact("2026-01-01T10:05:00.001Z", "purchase"), "arrives": "2026-01-01T10:00:00Z"}
    other = {**fact("2026-01-01T11:00:00Z", "click", "c-2"), "arrives": "2026-01-01T11:00:00.001Z"}
    result = counted([BOUGHT_1H], [ahead, too_far, other])
    assert told(result) == ["enter bought 2026-01-01T10:00:00.000Z event", "exit bought 2026-01-01T11:00:00.000Z clock"]
    assert result.rejected == [(2, "too_far_ahead")]


def test_the_same_id_is_a_new_fact_after_a_week_of_arrival() -> None:
    twice = segment("twice", {"did": {"event": "purchase", "count": {"gte": 2}}})
    bought = {**fact("2026-01-01T00:00:00Z", "purchase"), "id": "p", "arrives": "2026-01-01T00:00:00Z"}
    within = {**bought, "arrives": "2026-01-07T23:59:59.999Z"}
    after = {**bought, "arrives": "2026-01-08T00:00:00Z"}
    assert counted([twice], [bought, within]).members["default", "twice"] == set()
    assert counted([twice], [bought, within, after]).members["default", "twice"] == {"c-1"}


def test_a_refund_lessens_and_then_removes_a_purchase() -> None:
    facts = [
        fact("2026-01-01T00:00:00Z", "purchase", order_id="A", amount=100.10),
        fact("2026-01-02T00:00:00Z", "refund", order_id="A", amount=0.1),
        fact("2026-01-03T00:00:00Z", "refund", order_id="A", amount=0.000001),
        fact("2026-01-04T00:00:00Z", "refund", order_id="A", amount=1000),
    ]
    segments = [
        spent(100),
        segment("buyer", {"did": {"event": "purchase"}}),
        segment("dear", {"did": {"event": "purchase", "where": {"amount": {"gt": 100}}}}),
    ]
    assert told(counted(segments, facts)) == [
        "enter buyer 2026-01-01T00:00:00.000Z event",
        "enter dear 2026-01-01T00:00:00.000Z event",
        "enter spent 2026-01-01T00:00:00.000Z event",
        "exit spent 2026-01-03T00:00:00.000Z event",
        "exit buyer 2026-01-04T00:00:00.000Z event",
        "exit dear 2026-01-04T00:00:00.000Z event",
    ]


def test_a_refund_waits_thirty_days_for_its_purchase() -> None:
    refund = fact("2026-01-01T00:00:00Z", "refund", order_id="A")
    in_time = fact("2026-01-31T00:00:00Z", "purchase", order_id="A", amount=1)
    too_late = fact("2026-01-31T00:00:00.001Z", "purchase", order_id="A", amount=1)
    buyer = segment("buyer", {"did": {"event": "purchase"}})
    assert told(counted([buyer], [refund, in_time])) == []
    assert told(counted([buyer], [refund, too_late])) == ["enter buyer 2026-01-31T00:00:00.001Z event"]


@pytest.mark.parametrize("amount", [0, -5, "lots", True])
def test_a_refund_of_nothing_does_nothing(amount: Any) -> None:
    facts = [
        fact("2026-01-01T00:00:00Z", "purchase", order_id="A", amount=1),
        fact("2026-01-02T00:00:00Z", "refund", order_id="A", amount=amount),
    ]
    assert counted([spent(1)], facts).members["default", "spent"] == {"c-1"}


def test_a_refund_is_taken_from_purchases_in_their_order() -> None:
    # 30 are taken: 20 from the first, which is gone, 10 from the second, of which 15 are left.
    facts = [
        fact("2026-01-01T00:00:00Z", "purchase", order_id="A", amount=20),
        fact("2026-01-02T00:00:00Z", "purchase", order_id="A", amount=25),
        fact("2026-01-03T00:00:00Z", "refund", order_id="A", amount=30),
    ]
    exact = segment("exact", {"aggregate": {"fn": "sum", "of": "amount", "event": "purchase", "is": 15}})
    one = segment("one", {"did": {"event": "purchase", "count": 1}})
    assert counted([exact, one], facts).members == {("default", "exact"): {"c-1"}, ("default", "one"): {"c-1"}}


def test_money_is_exact() -> None:
    facts = [fact("2026-01-01T00:00:00Z", "purchase", amount=0.1) for _ in range(3)]
    assert counted([spent(0.3)], facts).members["default", "spent"] == {"c-1"}
    assert counted([spent("0.3000001")], facts).members["default", "spent"] == set()


def test_attributes_go_by_their_own_instants() -> None:
    moscow = segment("moscow", {"profile": {"city": "Moscow"}})
    facts = [
        fact("2026-01-02T00:00:00Z", "contact_updated", city="Moscow"),
        fact("2026-01-01T00:00:00Z", "contact_updated", city="Kazan"),
        fact("2026-01-02T00:00:00Z", "contact_updated", city=None),
        fact("2026-01-03T00:00:00Z", "contact_updated", name="Anna"),
    ]
    assert told(counted([moscow], facts)) == [
        "enter moscow 2026-01-02T00:00:00.000Z event",
        "exit moscow 2026-01-02T00:00:00.000Z event",
    ]


@pytest.mark.parametrize(
    ("zone", "bought", "left"),
    [
        ("UTC", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00.000Z"),
        ("UTC", "2028-01-31T10:00:00Z", "2028-02-29T10:00:00.000Z"),
        # 02:30 does not exist in Berlin on 29 March 2026: the later side is 03:30 of summer time.
        ("Europe/Berlin", "2026-02-28T01:30:00Z", "2026-03-28T01:30:00.000Z"),
        ("Europe/Berlin", "2026-02-27T23:30:00Z", "2026-03-27T23:30:00.000Z"),
        ("Europe/Berlin", "2026-01-29T01:30:00Z", "2026-02-28T01:30:00.000Z"),
        # Wall time is kept across the change: 12:00 in winter is 11:00 UTC, in summer 10:00 UTC.
        ("Europe/Berlin", "2026-03-15T11:00:00Z", "2026-04-15T10:00:00.000Z"),
    ],
)
def test_a_month_by_the_calendar(zone: str, bought: str, left: str) -> None:
    rule = segment("month", {"did": {"event": "purchase", "within": "P1M"}}, timezone=zone)
    assert told(counted([rule], [fact(bought, "purchase")], "2029-01-01T00:00:00Z"))[1] == f"exit month {left} clock"


@pytest.mark.parametrize(
    ("bought", "left"),
    [
        ("2026-01-29T01:30:00Z", "2026-03-29T01:30:00.000Z"),  # 02:30, which is skipped on 29 March: 03:30 summer time
        ("2026-08-25T00:30:00Z", "2026-10-25T00:30:00.000Z"),  # 02:30, which comes twice on 25 October: the earlier
    ],
)
def test_two_months_into_a_gap_and_an_overlap(bought: str, left: str) -> None:
    rule = segment("months", {"did": {"event": "purchase", "within": "P2M"}}, timezone="Europe/Berlin")
    assert told(counted([rule], [fact(bought, "purchase")], "2029-01-01T00:00:00Z"))[1] == f"exit months {left} clock"


def test_bounds_without_an_offset_are_in_the_segments_zone() -> None:
    rule = segment(
        "may",
        {"did": {"event": "purchase", "since": "2026-05-01", "until": "2026-06-01T00:00:00"}},
        timezone="Europe/Moscow",
    )
    on_time = [fact("2026-04-30T21:00:00Z", "purchase", "first"), fact("2026-05-31T20:59:59.999Z", "purchase", "last")]
    outside = [fact("2026-04-30T20:59:59.999Z", "purchase", "early"), fact("2026-05-31T21:00:00Z", "purchase", "late")]
    assert counted([rule], on_time + outside, partitions=None).members["default", "may"] == {"first", "last"}


def test_partitions_have_clocks_of_their_own() -> None:
    others = [f"c-{number}" for number in range(2, 40)]
    same = next(who for who in others if placed(who.encode(), 4) == placed(b"c-1", 4))
    different = next(who for who in others if placed(who.encode(), 4) != placed(b"c-1", 4))
    bought = fact("2026-01-01T10:00:00Z", "purchase")
    for who, transitions in ((same, 2), (different, 1)):
        assert (
            len(told(counted([BOUGHT_1H], [bought, fact("2026-01-03T00:00:00Z", "click", who)], partitions=4)))
            == transitions
        )


def test_placement_is_kafkas() -> None:
    keys = [b"", b"c-1", b"c-12", "спот/контакт".encode(), bytes(range(256))]
    assert [partition_of(key, 7) for key in keys] == [placed(key, 7) for key in keys]


GOOD = {"type": "click", "contact": "c-1", "at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"type": "click", "contact"', "bad_json"),
        (b'{"type": "\xff"}', "bad_utf8"),
        (b"[1, 2]", "not_an_object"),
        ({"type": "click", "at": GOOD["at"]}, "no_contact"),
        ({**GOOD, "contact": ""}, "bad_contact"),
        ({**GOOD, "contact": "ж" * 128 + "x"}, "bad_contact"),
        ({**GOOD, "contact": 7}, "bad_contact"),
        ({"contact": "c", "at": GOOD["at"]}, "no_type"),
        ({**GOOD, "type": "click*"}, "bad_type"),
        ({"type": "click", "contact": "c"}, "no_time"),
        ({**GOOD, "at": "yesterday"}, "bad_time"),
        ({**GOOD, "at": "2026-02-30T00:00:00Z"}, "bad_time"),
        ({**GOOD, "at": "2026-01-01T00:00:00"}, "bad_time"),
        ({**GOOD, "at": 1767225600000}, "bad_time"),
        ({**GOOD, "properties": [1]}, "bad_properties"),
        ({**GOOD, "workspace": "a/b"}, "bad_workspace"),
        ({**GOOD, "id": 5}, "bad_id"),
        ({**GOOD, "type": "contact_erased", "properties": {"attribute": "city"}}, "bad_properties"),
        (b'{"type": "click", "properties": {"amount": NaN}}', "bad_json"),
        (b'"' + b"x" * 300_000 + b'"', "oversize"),
    ],
)
def test_what_is_no_fact_is_named_and_the_rest_goes_on(line: dict[str, Any] | bytes, reason: str) -> None:
    clicked = segment("clicked", {"did": {"event": "click"}})
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    result = counted([clicked], [raw, json.dumps(GOOD).encode()])
    assert result.rejected == [(1, reason)]
    assert result.members["default", "clicked"] == {"c-1"}
