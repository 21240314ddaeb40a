"""Rows of REQUIREMENTS as examples whose transitions were worked out by hand."""

from __future__ import annotations

from typing import Any

from tests.recount.given import counted, fact, segment, told

MOSCOW = "Europe/Moscow"  # UTC+3 all year since 2014
TEA = {"items.category": "Chinese tea"}


def item(category: str, price: float = 10) -> dict[str, Any]:
    return {"category": category, "price": price}


def test_r4_filter_by_tags() -> None:
    segments = [segment("any", {"tags": {"any": ["x", "y"]}}), segment("all", {"tags": {"all": ["x", "y"]}})]
    result = counted(
        segments,
        [
            fact("2026-01-01T00:00:00Z", "tags_added", "A", tags="x"),
            fact("2026-01-01T00:00:00Z", "tags_added", "B", tags=["x", "y"]),
        ],
    )
    assert result.members == {("default", "any"): {"A", "B"}, ("default", "all"): {"B"}}


def test_r5_time_added_leaves_without_an_event() -> None:
    result = counted(
        [segment("new", {"known": {"within": "P7D"}})],
        [fact("2026-01-01T10:00:00Z", "click")],
        "2026-01-08T10:00:00.001Z",
    )
    assert told(result) == ["enter new 2026-01-01T10:00:00.000Z event", "exit new 2026-01-08T10:00:00.000Z clock"]


def test_r5_a_deadline_at_the_clock_itself_has_not_fired() -> None:
    result = counted(
        [segment("new", {"known": {"within": "P7D"}})], [fact("2026-01-01T10:00:00Z", "click")], "2026-01-08T10:00:00Z"
    )
    assert told(result) == ["enter new 2026-01-01T10:00:00.000Z event"]


def test_r6_a_pinned_contact_stays_in_though_the_rule_fails() -> None:
    result = counted(
        [segment("mixed", {"tags": {"any": ["x"]}}, include=["A"])],
        [fact("2026-01-01T00:00:00Z", "click", "A"), fact("2026-01-01T00:00:00Z", "click", "B")],
    )
    assert result.members["default", "mixed"] == {"A"}


def test_r10_several_stages_are_an_or() -> None:
    rule = {"any": [{"profile": {"stage": "ignored"}}, {"profile": {"stage": "registration"}}]}
    facts = [
        fact("2026-01-01T00:00:00Z", "contact_updated", who, stage=stage)
        for who, stage in (("A", "ignored"), ("B", "registration"), ("C", "paid"))
    ]
    assert counted([segment("funnel", rule)], facts).members["default", "funnel"] == {"A", "B"}


def test_r11_a_matching_contact_off_the_list_stays_out() -> None:
    rule = {"all": [{"did": {"event": "click"}}, {"in_list": "vip"}]}
    facts = [
        fact("2026-01-01T00:00:00Z", "click", "A"),
        fact("2026-01-01T00:00:00Z", "click", "B"),
        fact("2026-01-01T00:00:01Z", "list_added", "A", list="vip"),
    ]
    result = counted([segment("vip-clicked", rule)], facts)
    assert told(result, "A") == ["enter vip-clicked 2026-01-01T00:00:01.000Z list"]
    assert told(result, "B") == []


def test_r12_one_workspace_does_not_see_another() -> None:
    segments = [
        segment("s", {"did": {"event": "click"}}, workspace="one"),
        segment("s", {"did": {"event": "click"}}, workspace="two"),
    ]
    result = counted(segments, [{**fact("2026-01-01T00:00:00Z", "click"), "workspace": "two"}])
    assert result.members == {("one", "s"): set(), ("two", "s"): {"c-1"}}


def test_r13_a_tag_without_a_stage_is_out() -> None:
    rule = {"all": [{"tags": {"any": ["x", "y"]}}, {"profile": {"stage": {"in": ["lead", "trial"]}}}]}
    facts = [
        fact("2026-01-01T00:00:00Z", "tags_added", "A", tags=["x"]),
        fact("2026-01-01T00:00:00Z", "tags_added", "B", tags=["y"]),
        fact("2026-01-01T00:00:01Z", "contact_updated", "B", stage="trial"),
    ]
    assert counted([segment("both", rule)], facts).members["default", "both"] == {"B"}


def test_r14_the_same_purchase_twice_is_one_enter() -> None:
    bought = {**fact("2026-01-01T00:00:00Z", "purchase", order_id="A-1", amount=5), "id": "p-1"}
    result = counted([segment("once", {"did": {"event": "purchase", "count": 1}})], [bought, bought])
    assert told(result) == ["enter once 2026-01-01T00:00:00.000Z event"]
    assert result.duplicates == 1


def test_r15_three_months_after_a_purchase_by_the_calendar_of_moscow() -> None:
    # Bought at 01:30 on 31 January in Moscow, which is still the 30th in UTC: enter on 30 April at 01:30 in Moscow.
    rule = {
        "all": [
            {"did": {"event": "purchase", "where": TEA}},
            {"not": {"did": {"event": "purchase", "where": TEA, "within": "P3M"}}},
        ]
    }
    result = counted(
        [segment("tea-again", rule, timezone=MOSCOW)],
        [fact("2026-01-30T22:30:00Z", "purchase", items=[item("mugs"), item("Chinese tea")])],
        "2027-01-01T00:00:00Z",
    )
    assert told(result) == ["enter tea-again 2026-04-29T22:30:00.000Z clock"]


def test_r16_only_lines_of_the_product_group_count() -> None:
    rule = {"aggregate": {"fn": "sum", "of": "items.price", "event": "purchase", "where": TEA, "is": {"gte": 30}}}
    facts = [
        fact("2026-01-01T00:00:00Z", "purchase", items=[item("Chinese tea", 10), item("mugs", 100)]),
        fact("2026-01-02T00:00:00Z", "purchase", items=[item("mugs", 100)]),
        fact("2026-01-03T00:00:00Z", "purchase", items=[item("Chinese tea", 19.99)]),
        fact("2026-01-04T00:00:00Z", "purchase", items=[item("Chinese tea", 0.01)]),
    ]
    assert told(counted([segment("tea-30", rule)], facts)) == ["enter tea-30 2026-01-04T00:00:00.000Z event"]


def test_r18_a_segment_guards_another_in_the_same_step() -> None:
    # By id the guard comes first, by the graph the one it asks for.
    segments = [segment("a-guarded", {"in_segment": "z-buyers"}), segment("z-buyers", {"did": {"event": "purchase"}})]
    assert told(counted(segments, [fact("2026-01-01T00:00:00Z", "purchase")])) == [
        "enter z-buyers 2026-01-01T00:00:00.000Z event",
        "enter a-guarded 2026-01-01T00:00:00.000Z event",
    ]


def test_r25_never_two_of_a_group_and_the_exit_first() -> None:
    def of_group(name: str, priority: int, when: dict[str, Any]) -> dict[str, Any]:
        return segment(name, when, group={"name": "warmth", "priority": priority})

    segments = [
        of_group("cold", 1, {"all": []}),
        of_group("warm", 2, {"did": {"event": "click", "within": "P1D"}}),
        of_group("hot", 3, {"did": {"event": "purchase", "within": "PT1H"}}),
    ]
    facts = [
        fact("2026-01-01T00:00:00Z", "search"),
        fact("2026-01-01T01:00:00Z", "click"),
        fact("2026-01-01T02:00:00Z", "purchase"),
    ]
    assert told(counted(segments, facts, "2026-02-01T00:00:00Z")) == [
        "enter cold 2026-01-01T00:00:00.000Z event",
        "exit cold 2026-01-01T01:00:00.000Z event",
        "enter warm 2026-01-01T01:00:00.000Z event",
        "exit warm 2026-01-01T02:00:00.000Z event",
        "enter hot 2026-01-01T02:00:00.000Z event",
        "exit hot 2026-01-01T03:00:00.000Z clock",
        "enter warm 2026-01-01T03:00:00.000Z clock",
        "exit warm 2026-01-02T01:00:00.000Z clock",
        "enter cold 2026-01-02T01:00:00.000Z clock",
    ]


def test_r26_r27_r28_unread_in_a_row() -> None:
    def unread(count: int) -> dict[str, Any]:
        return {"streak": {"of": "message_sent", "without": "message_read", "match": "message_id", "at_least": count}}

    segments = [
        segment("reactivate", unread(3)),
        segment("sleeping", unread(5)),
        segment("regular", {"none": [{"in_segment": "sleeping"}]}),
    ]
    sent = [fact(f"2026-01-0{day}T00:00:00Z", "message_sent", message_id=f"m-{day}") for day in (1, 2, 3, 4, 5)]
    # The 4th is opened late: only the 5th is unread in a row after it.
    facts = [*sent, fact("2026-01-06T00:00:00Z", "message_read", message_id="m-4")]
    assert told(counted(segments, facts)) == [
        "enter regular 2026-01-01T00:00:00.000Z event",
        "enter reactivate 2026-01-03T00:00:00.000Z event",
        "exit regular 2026-01-05T00:00:00.000Z event",
        "enter sleeping 2026-01-05T00:00:00.000Z event",
        "exit reactivate 2026-01-06T00:00:00.000Z event",
        "exit sleeping 2026-01-06T00:00:00.000Z event",
        "enter regular 2026-01-06T00:00:00.000Z event",
    ]


def test_r32_the_first_purchase_makes_a_lead_a_buyer() -> None:
    segments = [
        segment("lead", {"not": {"did": {"event": "purchase"}}}),
        segment("buyer", {"did": {"event": "purchase"}}),
    ]
    assert told(
        counted(segments, [fact("2026-01-01T00:00:00Z", "click"), fact("2026-01-02T00:00:00Z", "purchase")])
    ) == [
        "enter lead 2026-01-01T00:00:00.000Z event",
        "exit lead 2026-01-02T00:00:00.000Z event",
        "enter buyer 2026-01-02T00:00:00.000Z event",
    ]


def test_r34_not_bought_for_thirty_days() -> None:
    # Known on the 1st, bought on the 10th: quiet on 9 February; the never-buyer thirty days after the 1st.
    facts = [
        fact("2026-01-01T00:00:00Z", "click", "buyer"),
        fact("2026-01-01T00:00:00Z", "click", "never"),
        fact("2026-01-10T00:00:00Z", "purchase", "buyer"),
        fact("2026-02-20T12:00:00Z", "purchase", "buyer"),
    ]
    result = counted([segment("quiet", {"quiet": {"event": "purchase", "for": "P30D"}})], facts, "2026-03-01T00:00:00Z")
    assert told(result, "buyer") == [
        "enter quiet 2026-02-09T00:00:00.000Z clock",
        "exit quiet 2026-02-20T12:00:00.000Z event",
    ]
    assert told(result, "never") == ["enter quiet 2026-01-31T00:00:00.000Z clock"]


ABANDONED = {"missed": {"after": "product_view", "expect": "cart_add", "within": "PT2H", "match": "sku"}}


def test_r37_put_in_the_cart_a_second_before_two_hours() -> None:
    facts = [
        fact("2026-01-01T10:00:00Z", "product_view", sku="T-1"),
        fact("2026-01-01T11:59:59Z", "cart_add", sku="T-1"),
    ]
    assert told(counted([segment("abandoned", ABANDONED)], facts, "2026-01-02T00:00:00Z")) == []


def test_r37_put_in_the_cart_at_exactly_two_hours_is_in_time() -> None:
    facts = [
        fact("2026-01-01T10:00:00Z", "product_view", sku="T-1"),
        fact("2026-01-01T12:00:00Z", "cart_add", sku="T-1"),
    ]
    assert told(counted([segment("abandoned", ABANDONED)], facts, "2026-01-02T00:00:00Z")) == []


def test_r37_another_product_in_the_cart_does_not_count_and_a_late_one_mends_it() -> None:
    facts = [
        fact("2026-01-01T10:00:00Z", "product_view", sku="T-1"),
        fact("2026-01-01T11:00:00Z", "cart_add", sku="T-2"),
        fact("2026-01-01T12:00:01Z", "cart_add", sku="T-1"),
    ]
    assert told(counted([segment("abandoned", ABANDONED)], facts, "2026-01-02T00:00:00Z")) == [
        "enter abandoned 2026-01-01T12:00:00.000Z clock",
        "exit abandoned 2026-01-01T12:00:01.000Z event",
    ]


def test_r37_only_for_so_long() -> None:
    rule = {"missed": {**ABANDONED["missed"], "for": "P1D"}}
    facts = [fact("2026-01-01T10:00:00Z", "product_view", sku="T-1")]
    assert told(counted([segment("abandoned", rule)], facts, "2026-02-01T00:00:00Z")) == [
        "enter abandoned 2026-01-01T12:00:00.000Z clock",
        "exit abandoned 2026-01-02T12:00:00.000Z clock",
    ]


def test_r40_a_purchase_takes_out_before_the_due_send() -> None:
    rule = {
        "all": [
            {"did": {"event": "cart_add", "within": "P1D"}},
            {"did": {"event": "purchase", "within": "P1D", "count": {"eq": 0}}},
        ]
    }
    facts = [fact("2026-01-01T10:00:00Z", "cart_add"), fact("2026-01-01T10:30:00Z", "purchase")]
    assert told(counted([segment("offer", rule)], facts, "2026-02-01T00:00:00Z")) == [
        "enter offer 2026-01-01T10:00:00.000Z event",
        "exit offer 2026-01-01T10:30:00.000Z event",
    ]


def test_r41_the_fourth_touch_in_a_week() -> None:
    rule = {"did": {"event": "message_*", "within": "P7D", "count": {"gte": 4}}}
    facts = [fact(f"2026-01-0{day}T00:00:00Z", "message_sent") for day in (1, 2, 3, 4)]
    assert told(counted([segment("capped", rule)], facts, "2026-02-01T00:00:00Z")) == [
        "enter capped 2026-01-04T00:00:00.000Z event",
        "exit capped 2026-01-08T00:00:00.000Z clock",
    ]


def test_r42_an_opt_out_ends_it_at_once_and_for_good() -> None:
    facts = [
        fact("2026-01-01T00:00:00Z", "purchase"),
        fact("2026-01-02T00:00:00Z", "opt_out"),
        fact("2026-01-03T00:00:00Z", "purchase"),
    ]
    segments = [
        segment("buyers", {"did": {"event": "purchase"}}),
        segment("ledger", {"did": {"event": "purchase"}}, mailable=False),
    ]
    assert told(counted(segments, facts)) == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        "enter ledger 2026-01-01T00:00:00.000Z event",
        "exit buyers 2026-01-02T00:00:00.000Z opt_out",
    ]


def test_r43_without_consent_never_mailable() -> None:
    segments = [segment("wa", {"did": {"event": "click"}}, mailable={"channel": "whatsapp", "consent": "required"})]
    facts = [
        fact("2026-01-01T00:00:00Z", "click"),
        fact("2026-01-02T00:00:00Z", "consent", status="granted", channel="email"),
        fact("2026-01-03T00:00:00Z", "consent", status="granted", channel="whatsapp"),
        fact("2026-01-04T00:00:00Z", "consent", status="revoked", channel="all"),
    ]
    assert told(counted(segments, facts)) == [
        "enter wa 2026-01-03T00:00:00.000Z event",
        "exit wa 2026-01-04T00:00:00.000Z opt_out",
    ]


def test_r47_many_purchases_or_high_spend() -> None:
    rule = {
        "any": [
            {"did": {"event": "purchase", "count": {"gte": 3}}},
            {"aggregate": {"fn": "sum", "of": "amount", "event": "purchase", "is": {"gte": 100}}},
        ]
    }
    facts = [fact(f"2026-01-0{day}T00:00:00Z", "purchase", "many", amount=1) for day in (1, 2, 3)]
    facts.append(fact("2026-01-04T00:00:00Z", "purchase", "rich", amount="100"))
    facts.append(fact("2026-01-05T00:00:00Z", "purchase", "poor", amount=99.999999))
    assert counted([segment("good", rule)], facts).members["default", "good"] == {"many", "rich"}
