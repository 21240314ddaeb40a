"""Rows of REQUIREMENTS where time decides: windows, silence, runs, stages. Instants worked out by hand."""

from __future__ import annotations

import pytest

from tests.driver import fact, given


def test_r05_added_in_the_last_seven_days() -> None:
    seen = given("segment: new\nwhen: {known: {within: P7D}}", [fact("2026-03-01T09:30Z", "click")])
    assert seen.replayed("2026-03-08T09:30Z").members("new") == {"c-1"}
    assert seen.replayed("2026-03-08T09:30:00.001Z").told() == [
        "enter new 2026-03-01T09:30:00.000Z event",
        "exit new 2026-03-08T09:30:00.000Z clock",
    ]


TEA_AGAIN = """
segment: tea-again
timezone: Europe/Moscow
when:
  all:
    - did: {event: purchase, where: {items.category: Chinese tea}}
    - not: {did: {event: purchase, where: {items.category: Chinese tea}, within: P3M}}
"""
TEA, MUGS = {"items": [{"category": "Chinese tea"}]}, {"items": [{"category": "mugs"}]}


def test_r15_three_months_after_a_purchase_in_a_category() -> None:
    # 31 January, half past midnight in Moscow (UTC+3): April has thirty days, the wall time stays.
    facts = [fact("2026-01-30T21:30Z", "purchase", **TEA), fact("2026-02-15", "purchase", **MUGS)]
    found = given(TEA_AGAIN, facts).replayed("2026-12-31")
    assert found.told() == ["enter tea-again 2026-04-29T21:30:00.000Z clock"]
    assert found.transitions[0]["cause"] == {
        "kind": "clock", "event_id": None, "event_type": None, "event_at": None
    }  # fmt: skip
    assert found.transitions[0]["not_before"] is None


def test_r15_tea_once_more_starts_the_three_months_anew() -> None:
    facts = [fact("2026-01-31", "purchase", **TEA), fact("2026-04-29", "purchase", **TEA)]
    # Until 30 April at 00:00 Moscow nothing; then from 29 April 03:00 in Moscow on, three months.
    assert given(TEA_AGAIN, facts).replayed("2026-12-31").told() == ["enter tea-again 2026-07-29T00:00:00.000Z clock"]


def test_r24_quiz_depth() -> None:
    segments = """
segment: warm
when: {all: [{did: {event: quiz_completed}}, {not: {did: {event: purchase}}}]}
---
segment: cool
when:
  missed:
    after: {event: quiz_step, where: {step: 1}}
    expect: {event: quiz_step, where: {step: {gt: 1}}}
    within: PT30M
"""
    facts = [
        fact("2026-01-01T10:00Z", "quiz_step", "finished", step=1),
        fact("2026-01-01T10:00Z", "quiz_step", "left", step=1),
        fact("2026-01-01T10:01Z", "quiz_step", "finished", step=2),
        fact("2026-01-01T10:05Z", "quiz_completed", "finished"),
        fact("2026-01-02T10:00Z", "purchase", "finished"),
    ]
    seen = given(segments, facts).replayed("2026-01-03")
    assert seen.told("finished") == [
        "enter warm 2026-01-01T10:05:00.000Z event",
        "exit warm 2026-01-02T10:00:00.000Z event",
    ]
    assert seen.told("left") == ["enter cool 2026-01-01T10:30:00.000Z clock"]


def test_r25_cold_cool_warm_hot_exclude_each_other() -> None:
    rules = {"cold": "known: {within: P365D}", "cool": "did: {event: click, within: P7D}"}
    rules |= {"warm": "did: {event: cart_add, within: P7D}", "hot": "did: {event: purchase, within: P7D}"}
    segments = "\n---\n".join(
        f"segment: {name}\ngroup: {{name: warmth, priority: {priority}}}\nwhen: {{{rule}}}"
        for priority, (name, rule) in enumerate(rules.items())
    )
    kinds = ["search", "click", "cart_add", "purchase"]
    facts = [fact(f"2026-01-0{day}", kind) for day, kind in enumerate(kinds, 1)]
    found = given(segments, facts).replayed("2026-02-01")
    # The cart's week ended on the 10th, the click's on the 9th, the purchase's ends on the 11th: cold follows hot.
    assert found.told() == [
        "enter cold 2026-01-01T00:00:00.000Z event",
        "exit cold 2026-01-02T00:00:00.000Z event",
        "enter cool 2026-01-02T00:00:00.000Z event",
        "exit cool 2026-01-03T00:00:00.000Z event",
        "enter warm 2026-01-03T00:00:00.000Z event",
        "exit warm 2026-01-04T00:00:00.000Z event",
        "enter hot 2026-01-04T00:00:00.000Z event",
        "exit hot 2026-01-11T00:00:00.000Z clock",
        "enter cold 2026-01-11T00:00:00.000Z clock",
    ]
    inside: set[str] = set()
    for row in found.transitions:
        (inside.add if row["change"] == "enter" else inside.remove)(row["segment"])
        assert len(inside) <= 1


def unread(count: int) -> str:
    return f"streak: {{of: message_sent, without: message_read, match: message_id, at_least: {count}}}"


def sent(*days: int) -> list[dict[str, object]]:
    return [fact(f"2026-01-{day:02d}", "message_sent", message_id=f"m-{day}") for day in days]


def test_r26_three_unread_in_a_row() -> None:
    facts = [*sent(1, 2, 3, 4), fact("2026-01-05", "message_read", message_id="m-4"), *sent(6, 7, 8)]
    assert given(f"segment: unread\nwhen: {{{unread(3)}}}", facts).replayed().told() == [
        "enter unread 2026-01-03T00:00:00.000Z event",
        "exit unread 2026-01-05T00:00:00.000Z event",
        "enter unread 2026-01-08T00:00:00.000Z event",
    ]


SLEEPERS = f"segment: reactivate\nwhen: {{{unread(3)}}}\n---\nsegment: sleeping\nwhen: {{{unread(5)}}}"


def test_r27_reactivate_at_the_third_sleeping_at_the_fifth() -> None:
    assert given(SLEEPERS, sent(1, 2, 3, 4, 5)).replayed().told() == [
        "enter reactivate 2026-01-03T00:00:00.000Z event",
        "enter sleeping 2026-01-05T00:00:00.000Z event",
    ]


def test_r28_sleepers_leave_the_regular_chains_in_the_same_step() -> None:
    regular = "segment: regular\nwhen: {all: [{known: {within: P365D}}, {not: {in_segment: sleeping}}]}"
    facts = [*sent(1, 2, 3, 4, 5), fact("2026-01-06", "message_read", message_id="m-5")]
    found = [
        row
        for row in given(f"{regular}\n---\n{SLEEPERS}", facts).replayed().told()
        if "reactivate" not in row
    ]  # fmt: skip
    assert found == [
        "enter regular 2026-01-01T00:00:00.000Z event",
        "exit regular 2026-01-05T00:00:00.000Z event",
        "enter sleeping 2026-01-05T00:00:00.000Z event",
        "exit sleeping 2026-01-06T00:00:00.000Z event",
        "enter regular 2026-01-06T00:00:00.000Z event",
    ]


CALLS = """
segment: call-at-ten
timezone: Europe/Moscow
when:
  all:
    - did: {event: cart_add, within: P2D}
    - local_time: {from: "10:00", to: "11:00"}
"""


def test_r31_ten_o_clock_where_they_are() -> None:
    zones = {"moscow": "Europe/Moscow", "vladivostok": "Asia/Vladivostok", "unsaid": None}
    facts = [fact("2026-05-04T12:00Z", "contact_updated", who, timezone=zone) for who, zone in zones.items()]
    facts += [fact("2026-05-04T13:00Z", "cart_add", who) for who in zones]
    found = given(CALLS, facts).replayed("2026-05-05T12:00Z")
    # Seven hours apart; who says no zone is called by the segment's.
    assert found.told("vladivostok") == [
        "enter call-at-ten 2026-05-05T00:00:00.000Z clock",
        "exit call-at-ten 2026-05-05T01:00:00.000Z clock",
    ]
    for who in ("moscow", "unsaid"):
        assert found.told(who) == [
            "enter call-at-ten 2026-05-05T07:00:00.000Z clock",
            "exit call-at-ten 2026-05-05T08:00:00.000Z clock",
        ]


def test_r31_summer_time_moves_ten_o_clock() -> None:
    facts = [
        fact("2026-03-27T12:00Z", "contact_updated", timezone="Europe/Berlin"),
        fact("2026-03-27T13:00Z", "cart_add"),
    ]
    found = given(CALLS.replace("P2D", "P3D"), facts).replayed("2026-04-05")
    # Berlin is an hour ahead of UTC on the 28th, and two from the 29th on.
    assert [row.split()[2] for row in found.told()] == [
        "2026-03-28T09:00:00.000Z", "2026-03-28T10:00:00.000Z", "2026-03-29T08:00:00.000Z", "2026-03-29T09:00:00.000Z",
        "2026-03-30T08:00:00.000Z", "2026-03-30T09:00:00.000Z",
    ]  # fmt: skip


def test_r32_the_first_purchase_makes_a_lead_a_buyer() -> None:
    segments = "segment: buyer\nwhen: {did: {event: purchase}}\n---\nsegment: lead\n"
    segments += "when: {not: {did: {event: purchase}}}"
    facts = [fact("2026-01-01", "click"), fact("2026-01-02", "purchase"), fact("2026-01-03", "purchase")]
    assert given(segments, facts).replayed().told() == [
        "enter lead 2026-01-01T00:00:00.000Z event",
        "exit lead 2026-01-02T00:00:00.000Z event",
        "enter buyer 2026-01-02T00:00:00.000Z event",
    ]


def test_r34_not_bought_for_thirty_days() -> None:
    facts = [
        fact("2026-01-01T08:00Z", "purchase", "bought"),
        fact("2026-01-01T09:00Z", "click", "never"),
        fact("2026-02-05T10:00Z", "purchase", "bought"),
    ]
    seen = given("segment: quiet\nwhen: {quiet: {event: purchase, for: P30D}}", facts).replayed("2026-04-01")
    # February 2026 has 28 days: thirty days after the 5th is the 7th of March.
    assert seen.told("bought") == [
        "enter quiet 2026-01-31T08:00:00.000Z clock",
        "exit quiet 2026-02-05T10:00:00.000Z event",
        "enter quiet 2026-03-07T10:00:00.000Z clock",
    ]
    assert seen.told("never") == ["enter quiet 2026-01-31T09:00:00.000Z clock"]


ABANDONED = "segment: abandoned\nwhen: {missed: {after: product_view, expect: cart_add, within: PT2H, match: sku}}"


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("2026-01-01T11:59:59Z", []),
        ("2026-01-01T12:00:00Z", []),
        (
            "2026-01-01T12:00:00.001Z",
            [
                "enter abandoned 2026-01-01T12:00:00.000Z clock",
                "exit abandoned 2026-01-01T12:00:00.001Z event",
            ],
        ),
        (None, ["enter abandoned 2026-01-01T12:00:00.000Z clock"]),
    ],
)
def test_r37_viewed_and_not_put_in_the_cart_in_two_hours(added: str | None, expected: list[str]) -> None:
    facts = [fact("2026-01-01T10:00Z", "product_view", sku="T-1")]
    facts += [fact(added, "cart_add", sku="T-1")] if added else []
    assert given(ABANDONED, facts).replayed("2026-01-02").told() == expected


def test_r37_each_product_by_itself() -> None:
    facts = [
        fact("2026-01-01T10:00Z", "product_view", sku="T-1"),
        fact("2026-01-01T10:30Z", "product_view", sku="T-2"),
        fact("2026-01-01T11:00Z", "cart_add", sku="T-1"),
        fact("2026-01-01T13:00Z", "cart_add", sku="T-1"),
    ]
    assert given(ABANDONED, facts).replayed("2026-01-02").told() == ["enter abandoned 2026-01-01T12:30:00.000Z clock"]


def test_r38_the_next_step_by_reaction() -> None:
    segments = """
segment: reacted
when: {did: {event: message_clicked}}
---
segment: ignored
when: {missed: {after: message_sent, expect: message_clicked, match: message_id, within: P1D}}
"""
    facts = [fact("2026-01-01T12:00Z", "message_sent", who, message_id="m") for who in ("A", "B")]
    facts.append(fact("2026-01-02T11:00Z", "message_clicked", "A", message_id="m"))
    seen = given(segments, facts).replayed("2026-01-10")
    assert seen.told("A") == ["enter reacted 2026-01-02T11:00:00.000Z event"]
    assert seen.told("B") == ["enter ignored 2026-01-02T12:00:00.000Z clock"]


def test_r39_an_abandoned_cart_by_bonus_balance() -> None:
    abandoned = "{missed: {after: cart_add, expect: purchase, within: PT2H}}"
    segments = f"segment: with-bonus\nwhen: {{all: [{abandoned}, {{profile: {{bonus: {{gte: 500}}}}}}]}}\n---\n"
    segments += f"segment: without-bonus\nwhen: {{all: [{abandoned}, {{not: {{profile: {{bonus: {{gte: 500}}}}}}}}]}}"
    facts = [
        fact("2026-01-01T09:00Z", "contact_updated", "A", bonus=700),
        fact("2026-01-01T09:00Z", "contact_updated", "B", bonus=100),
        fact("2026-01-01T10:00Z", "cart_add", "A"),
        fact("2026-01-01T10:00Z", "cart_add", "B"),
        fact("2026-01-01T15:00Z", "contact_updated", "B", bonus=500),
    ]
    seen = given(segments, facts).replayed("2026-01-02")
    assert seen.told("A") == ["enter with-bonus 2026-01-01T12:00:00.000Z clock"]
    assert seen.told("B") == [
        "enter without-bonus 2026-01-01T12:00:00.000Z clock",
        "exit without-bonus 2026-01-01T15:00:00.000Z event",
        "enter with-bonus 2026-01-01T15:00:00.000Z event",
    ]


def test_r40_no_offer_to_those_who_bought() -> None:
    segment = (
        "segment: offer\nwhen:\n  all:\n    - did: {event: cart_add, within: P1D}\n"
        "    - did: {event: purchase, within: P1D, count: {eq: 0}}"
    )
    facts = [fact("2026-01-01T10:00Z", "cart_add", who) for who in ("bought", "waits")]
    facts.append(fact("2026-01-01T10:40Z", "purchase", "bought"))
    seen = given(segment, facts).replayed("2026-01-01T11:00:00Z")  # when the offer is sent
    assert seen.members("offer") == {"waits"}
    assert seen.told("bought")[-1] == "exit offer 2026-01-01T10:40:00.000Z event"


def test_r41_the_fourth_touch_in_a_week() -> None:
    segment = "segment: capped\nwhen: {did: {event: message_sent, within: P7D, count: {gte: 4}}}"
    instants = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-07T23:59:59.999Z"]
    found = given(segment, [fact(at, "message_sent") for at in instants]).replayed("2026-02-01")
    assert found.told() == [
        "enter capped 2026-01-07T23:59:59.999Z event",
        "exit capped 2026-01-08T00:00:00.000Z clock",
    ]
    instants[-1] = "2026-01-08"
    assert given(segment, [fact(at, "message_sent") for at in instants]).replayed("2026-02-01").told() == []


def test_r46_a_change_shows_without_a_filter() -> None:
    facts = [
        fact("2026-01-01T10:00Z", "contact_updated", level="silver"),
        fact("2026-01-01T10:00:00.001Z", "contact_updated", level="gold"),
        fact("2026-01-01T10:00:00.002Z", "contact_updated", level=None),
    ]
    assert given("segment: gold\nwhen: {profile: {level: gold}}", facts).replayed().told() == [
        "enter gold 2026-01-01T10:00:00.001Z event",
        "exit gold 2026-01-01T10:00:00.002Z event",
    ]
