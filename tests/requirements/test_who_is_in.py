"""Rows of REQUIREMENTS on who is in: profile, tags, lists, pins, counts, sums. Each through `segment-engine replay`."""

from __future__ import annotations

import pytest

from tests.driver import fact, given


def test_r02_a_tag_given_to_many_is_one_rule() -> None:
    facts = [fact("2026-01-01", "tags_added", who, tags=["promo"]) for who in ("A", "B")]
    facts.append(fact("2026-01-01", "click", "C"))
    seen = given("segment: promo\nwhen: {tags: {any: [promo]}}", facts).replayed()
    assert seen.members("promo") == {"A", "B"}


def test_r03_pinned_contacts_are_exactly_the_members() -> None:
    # B has never sent a fact: it becomes known where the clock ends.
    seen = given("segment: picked\ninclude: [A, B]", [fact("2026-01-01", "click", who) for who in ("A", "C")])
    found = seen.replayed("2026-01-02")
    assert found.members("picked") == {"A", "B"}
    assert found.told("A") == ["enter picked 2026-01-01T00:00:00.000Z event"]
    assert [row["at"] for row in found.of("picked", "B")] == ["2026-01-02T00:00:00.000Z"]


def test_r04_any_and_all_of_the_tags() -> None:
    segments = "segment: one\nwhen: {tags: {any: x}}\n---\nsegment: some\nwhen: {tags: {any: [x, y]}}\n---\n"
    segments += "segment: every\nwhen: {tags: {all: [x, y]}}\n---\nsegment: neither\nwhen: {tags: {none: [x, y]}}"
    facts = [
        fact("2026-01-01", "tags_added", "A", tags=["x"]),
        fact("2026-01-01", "tags_added", "B", tags=["x", "y"]),
        fact("2026-01-01", "click", "C"),
    ]
    seen = given(segments, facts).replayed()
    assert seen.members("one") == seen.members("some") == {"A", "B"}
    assert seen.members("every") == {"B"}
    assert seen.members("neither") == {"C"}


def test_r04_a_tag_taken_away_ends_it() -> None:
    facts = [fact("2026-01-01", "tags_added", tags=["x", "y"]), fact("2026-01-02", "tags_removed", tags=["y"])]
    assert given("segment: every\nwhen: {tags: {all: [x, y]}}", facts).replayed().told() == [
        "enter every 2026-01-01T00:00:00.000Z event",
        "exit every 2026-01-02T00:00:00.000Z event",
    ]


def test_r06_a_pinned_contact_stays_in_though_the_rule_fails() -> None:
    segment = "segment: mixed\ninclude: [A]\nexclude: [D]\nwhen: {profile: {city: Moscow}}"
    facts = [
        fact("2026-01-01", "contact_updated", who, city=city)
        for who, city in (("A", "Moscow"), ("B", "Moscow"), ("C", "Kazan"), ("D", "Moscow"))
    ]
    facts += [fact("2026-01-02", "contact_updated", who, city="Kazan") for who in ("A", "B")]
    seen = given(segment, facts).replayed()
    assert seen.members("mixed") == {"A"}
    assert seen.told("A") == ["enter mixed 2026-01-01T00:00:00.000Z event"]
    assert seen.told("B")[1:] == ["exit mixed 2026-01-02T00:00:00.000Z event"]
    assert seen.told("D") == []


def test_r07_a_new_number_on_a_list_becomes_a_contact_and_a_member() -> None:
    seen = given(
        "segment: guests\nwhen: {in_list: guests}", [fact("2026-01-01", "list_added", "+79001", list="guests")]
    )
    assert seen.replayed().told("+79001") == ["enter guests 2026-01-01T00:00:00.000Z list"]


def test_r08_a_mailing_reads_the_members_of_its_send_time() -> None:
    # Sent at 18:00 on the 31st: A's thirty days end a second later, B's ended a second before, C bought twice.
    facts = [
        fact("2026-01-01T17:59:59Z", "purchase", "B"),
        fact("2026-01-01T18:00:01Z", "purchase", "A"),
        fact("2026-01-05", "purchase", "C"),
        fact("2026-01-06", "purchase", "C"),
    ]
    seen = given("segment: buyers\nwhen: {did: {event: purchase, within: P30D}}", facts).replayed(
        "2026-01-31T18:00:00Z"
    )
    assert seen.members("buyers") == {"A", "C"}
    assert len(seen.of("buyers", "C")) == 1


def test_r10_several_stages_are_an_or() -> None:
    segment = "segment: funnel\nwhen:\n  any:\n    - profile: {stage: ignored}\n    - profile: {stage: registration}"
    stages = {"A": "ignored", "B": "registration", "C": "paid"}
    facts = [fact("2026-01-01", "contact_updated", who, stage=stage) for who, stage in stages.items()]
    assert given(segment, facts).replayed().members("funnel") == {"A", "B"}


def test_r11_a_matching_contact_off_the_list_stays_out() -> None:
    segment = "segment: vip-buyers\nwhen: {all: [{in_list: vip}, {did: {event: purchase}}]}"
    facts = [
        fact("2026-01-01", "list_added", "A", list="vip"),
        fact("2026-01-02", "purchase", "A"),
        fact("2026-01-02", "purchase", "B"),
        fact("2026-01-03", "list_removed", "A", list="vip"),
    ]
    seen = given(segment, facts).replayed()
    assert seen.told("A") == [
        "enter vip-buyers 2026-01-02T00:00:00.000Z event",
        "exit vip-buyers 2026-01-03T00:00:00.000Z list",
    ]
    assert seen.told("B") == []


def test_r12_the_same_person_elsewhere_does_not_match_here() -> None:
    segments = "segment: buyers\nworkspace: one\nwhen: {did: {event: purchase}}\n---\n"
    segments += "segment: buyers\nworkspace: two\nwhen: {did: {event: purchase}}"
    seen = given(segments, [fact("2026-01-01", "purchase", workspace="two")]).replayed()
    assert seen.members("buyers", "one") == set()
    assert seen.members("buyers", "two") == {"c-1"}


def test_r13_a_tag_without_a_stage_is_out() -> None:
    segment = "segment: both\nwhen: {all: [{tags: {any: [x, y]}}, {profile: {stage: {in: [lead, trial]}}}]}"
    facts = [
        fact("2026-01-01", "tags_added", "A", tags=["x"]),
        fact("2026-01-01", "contact_updated", "B", stage="lead"),
        fact("2026-01-01", "tags_added", "C", tags=["y"]),
        fact("2026-01-02", "contact_updated", "C", stage="trial"),
    ]
    seen = given(segment, facts).replayed()
    assert seen.members("both") == {"C"}
    assert seen.told("C") == ["enter both 2026-01-02T00:00:00.000Z event"]


def test_r16_only_the_lines_of_the_product_group_count() -> None:
    rule = "{fn: sum, of: items.price, event: purchase, where: {items.category: Chinese tea}, is: {gte: 1000}}"
    segments = f"segment: tea-lovers\nwhen: {{aggregate: {rule}}}\n---\n"
    segments += "segment: tea-buyers\nwhen: {did: {event: purchase, where: {items.category: Chinese tea}}}"
    tea, mug = {"category": "Chinese tea"}, {"category": "mugs"}
    facts = [
        fact("2026-01-01", "purchase", items=[{**mug, "price": 5000}]),
        fact("2026-01-02", "purchase", items=[{**tea, "price": 600.5}, {**mug, "price": 900}]),
        fact("2026-01-03", "purchase", items=[{**tea, "price": 399.5}]),
    ]
    assert given(segments, facts).replayed().told() == [
        "enter tea-buyers 2026-01-02T00:00:00.000Z event",
        "enter tea-lovers 2026-01-03T00:00:00.000Z event",
    ]


def test_r22_the_balance_of_the_loyalty_card() -> None:
    facts = [
        fact("2026-01-01", "contact_updated", card={"balance": 499.99}),
        fact("2026-01-02", "contact_updated", card={"balance": "500"}),
        fact("2026-01-03", "contact_updated", card={"level": "gold"}),  # nested objects are replaced whole
    ]
    assert given("segment: rich\nwhen: {profile: {card.balance: {gte: 500}}}", facts).replayed().told() == [
        "enter rich 2026-01-02T00:00:00.000Z event",
        "exit rich 2026-01-03T00:00:00.000Z event",
    ]


def test_r29_the_first_touch_is_kept_on_a_second_visit() -> None:
    rule = "{aggregate: {fn: first, of: utm_source, event: visit, is: %s}}"
    segments = "\n---\n".join(f"segment: from-{name}\nwhen: {rule % name}" for name in ("yandex", "google"))
    facts = [
        fact("2026-01-01", "visit"),  # says nothing of its source
        fact("2026-01-02", "visit", utm_source="yandex"),
        fact("2026-01-03", "visit", utm_source="google"),
    ]
    assert given(segments, facts).replayed().told() == ["enter from-yandex 2026-01-02T00:00:00.000Z event"]


def test_r30_one_city_only() -> None:
    cities = {"A": "Petersburg", "B": "Moscow", "C": None}
    facts = [fact("2026-01-01", "contact_updated", who, city=city) for who, city in cities.items()]
    assert given("segment: spb\nwhen: {profile: {city: Petersburg}}", facts).replayed().members("spb") == {"A"}


def test_r30_a_region_of_several_cities_until_they_move() -> None:
    rule = "{profile: {address.region: Leningrad Oblast, address.city: {not_in: [Gatchina]}}}"
    facts = [
        fact("2026-01-01", "contact_updated", "A", address={"region": "Leningrad Oblast", "city": "Vyborg"}),
        fact("2026-01-01", "contact_updated", "B", address={"region": "Leningrad Oblast", "city": "Gatchina"}),
        fact("2026-01-01", "contact_updated", "C", address={"region": "Leningrad Oblast"}),
        fact("2026-02-01", "contact_updated", "A", address={"region": "Karelia", "city": "Sortavala"}),
    ]
    seen = given(f"segment: oblast\nwhen: {rule}", facts).replayed()
    assert seen.members("oblast") == {"C"}
    assert seen.told("A")[1:] == ["exit oblast 2026-02-01T00:00:00.000Z event"]


@pytest.mark.parametrize(
    ("average", "members"), [("200", {"c-1"}), ("{gt: 200}", set()), ("{gte: 199.999999}", {"c-1"})]
)
def test_r33_the_average_spend(average: str, members: set[str]) -> None:
    segment = f"segment: spend\nwhen: {{aggregate: {{fn: avg, of: amount, event: purchase, is: {average}}}}}"
    facts = [fact("2026-01-01", "purchase", amount=100), fact("2026-01-02", "purchase", amount=300)]
    assert given(segment, facts).replayed().members("spend") == members


def test_r35_a_deal_status_changes_membership() -> None:
    statuses = [("2026-01-01", "new"), ("2026-01-02", "won"), ("2026-01-03", "won"), ("2026-01-04", "lost")]
    facts = [fact(at, "contact_updated", deal={"status": status}) for at, status in statuses]
    assert given("segment: won\nwhen: {profile: {deal.status: won}}", facts).replayed().told() == [
        "enter won 2026-01-02T00:00:00.000Z event",
        "exit won 2026-01-04T00:00:00.000Z event",
    ]


def test_r47_many_purchases_or_high_spend() -> None:
    segment = (
        "segment: best\nwhen:\n  any:\n    - did: {event: purchase, count: {gte: 3}}\n"
        "    - aggregate: {fn: sum, of: amount, event: purchase, is: {gte: 1000}}"
    )
    facts = [fact(f"2026-01-0{day}", "purchase", "many", amount=1) for day in (1, 2, 3)]
    facts += [fact("2026-01-04", "purchase", "high", amount="1000.00")]
    facts += [fact(f"2026-01-0{day}", "purchase", "neither", amount=499.99) for day in (5, 6)]
    seen = given(segment, facts).replayed()
    assert seen.members("best") == {"many", "high"}
    assert seen.told("many") == ["enter best 2026-01-03T00:00:00.000Z event"]


def test_r01_three_rows_of_an_upload_one_of_them_twice_are_two_members() -> None:
    # As far as facts go: one row is one list_added fact. The bad row has no contact, and the rest load.
    rows = [
        fact("2026-01-01", "list_added", phone, named=f"upload-7/{line}", list="fair")
        for line, phone in enumerate(("+7900", "+7901", "+7900"), 2)
    ]
    bad = b'{"id": "upload-7/5", "type": "list_added", "at": "2026-01-01T00:00:00Z", "properties": {"list": "fair"}}'
    seen = given("segment: fair\nwhen: {in_list: fair}", [*rows[:2], bad, rows[2]]).replayed()
    assert seen.members("fair") == {"+7900", "+7901"}
    assert len(seen.transitions) == 2
    assert "events.jsonl:3:" in seen.errors
    assert "contact is missing" in seen.errors


def test_r23_a_click_sets_a_tag_and_the_segment_on_it_is_entered_at_once() -> None:
    facts = [
        fact("2026-01-01T10:00Z", "click", button="Women"),
        fact("2026-01-01T10:00Z", "tags_added", tags=["women"]),
    ]
    segments = "segment: pressed\nwhen: {did: {event: click, where: {button: Women}}}\n---\n"
    segments += "segment: women\nwhen: {tags: {any: women}}"
    assert given(segments, facts).replayed().told() == [
        "enter pressed 2026-01-01T10:00:00.000Z event",
        "enter women 2026-01-01T10:00:00.000Z event",
    ]


def test_r59_interest_as_a_score_of_the_last_clicks() -> None:
    segment = "segment: tea\nwhen: {did: {event: click, where: {category: tea}, of_last: 4, count: {gte: 2}}}"
    seen_in_turn = ("tea", "mugs", "tea", "mugs", "mugs", "mugs")
    clicks = [fact(f"2026-01-0{day}", "click", category=kind) for day, kind in enumerate(seen_in_turn, 1)]
    assert given(segment, clicks).replayed("2027-01-01").told() == [
        "enter tea 2026-01-03T00:00:00.000Z event",
        "exit tea 2026-01-05T00:00:00.000Z event",
    ]
