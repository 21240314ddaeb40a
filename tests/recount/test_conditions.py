"""The later conditions by example, as the recount understands them: each verdict worked out by hand from DESIGN 5."""

from __future__ import annotations

from typing import Any

import pytest

from engine.recount.instants import text_of
from tests.recount.given import counted, fact, segment, told

MARCH = "2026-03-01T00:00:00Z"


def walked(when: dict[str, Any], facts: list[dict[str, Any]], until: str, **settings: Any) -> list[str]:
    """`enter 2026-01-01T10:00` and so on, of one segment."""
    lines = told(counted([segment("s", when, **settings)], facts, until, models=settings.pop("models", [])))
    return [f"{line.split()[0]} {line.split()[2][:16]}" for line in lines]


def bought(*days: int, **properties: Any) -> list[dict[str, Any]]:
    """A purchase at ten o'clock on each of these days of January 2026."""
    return [fact(f"2026-01-{day:02d}T10:00:00Z", "purchase", **properties) for day in days]


def test_the_first_event_ever_must_lie_in_the_bounds() -> None:
    first = {"event": "purchase", "where": {"kind": "tea"}, "first": True}
    facts = [*bought(1), *bought(2, 20, kind="tea")]
    assert walked({"did": {**first, "within": "P7D"}}, facts, MARCH) == [
        "enter 2026-01-02T10:00",
        "exit 2026-01-09T10:00",
    ]
    assert walked({"did": {**first, "since": "2026-01-03"}}, facts, MARCH) == []
    assert walked({"did": {**first, "count": {"gte": 2}}}, facts, MARCH) == []


def test_only_the_last_events_of_the_types_are_looked_at() -> None:
    score = {"did": {"event": ["click", "purchase"], "where": {"kind": "tea"}, "of_last": 3, "count": {"gte": 2}}}
    kinds = ["tea", "tea", "mug", "mug", "tea"]
    facts = [fact(f"2026-01-0{day}T00:00:00Z", "click", kind=kind) for day, kind in enumerate(kinds, 1)]
    facts.append(fact("2026-01-05T01:00:00Z", "view"))
    assert walked(score, facts, MARCH) == ["enter 2026-01-02T00:00", "exit 2026-01-04T00:00"]


def test_a_window_that_begins_later() -> None:
    assert walked({"did": {"event": "purchase", "within": ["P2D", "P7D"]}}, bought(1), MARCH) == [
        "enter 2026-01-03T10:00",
        "exit 2026-01-08T10:00",
    ]


UPDATES = [
    fact("2026-01-01T00:00:00Z", "click"),
    fact("2026-01-02T00:00:00Z", "contact_updated", stage="lead"),
    fact("2026-01-03T00:00:00Z", "contact_updated", stage="lead", city="Kazan"),
    fact("2026-01-10T00:00:00Z", "contact_updated", stage="buyer"),
]


@pytest.mark.parametrize(
    ("rule", "walks"),
    [
        ({"is": "lead", "for": "P5D"}, ["enter 2026-01-07T00:00", "exit 2026-01-10T00:00"]),
        ({"is": "lead", "for": {"lt": "P5D"}}, ["enter 2026-01-02T00:00", "exit 2026-01-07T00:00"]),
        ({"is": {"ne": "buyer"}, "for": {"gte": "P3D"}}, ["enter 2026-01-04T00:00", "exit 2026-01-10T00:00"]),
        ({"is": "buyer", "for": "P1M"}, ["enter 2026-02-10T00:00"]),
    ],
)
def test_held(rule: dict[str, Any], walks: list[str]) -> None:
    assert walked({"held": {"path": "stage", **rule}}, UPDATES, MARCH) == walks


def test_a_chain_of_distinct_events_that_agree() -> None:
    steps = [{"event": "view"}, {"event": "cart", "within": "PT2H"}, {"event": ["cart", "purchase"]}]
    rule = {"sequence": {"steps": steps, "match": "sku", "within": "P1D"}}
    facts = [
        fact("2026-01-01T00:00:00Z", "view", sku="a"),
        fact("2026-01-01T01:00:00Z", "view", sku="b"),
        fact("2026-01-01T02:00:00Z", "cart", sku="a"),
        fact("2026-01-01T02:30:00Z", "cart", sku="b"),
        fact("2026-01-01T03:00:00Z", "cart", sku="a"),
        fact("2026-01-01T05:00:00Z", "purchase", sku="b"),
    ]
    assert walked(rule, facts, MARCH) == ["enter 2026-01-01T05:00", "exit 2026-01-02T01:00"]


def test_periods_are_counted_back_from_now() -> None:
    rule = {"event": "purchase", "period": "P7D", "periods": 3, "at_least": 2}
    assert walked({"regularly": rule}, bought(1, 2, 9), MARCH) == ["enter 2026-01-08T10:00", "exit 2026-01-23T10:00"]
    none = {**rule, "count": {"eq": 0}, "at_least": 3}
    assert walked({"regularly": none}, bought(1, 9), MARCH) == ["enter 2026-01-30T10:00"]


def test_scores_by_a_model() -> None:
    model = {
        "model": "shop", "workspace": "default", "event": ["purchase"], "where": {}, "amount": "amount",
        "monetary": "average", "within": "P30D",
        "cuts": {"recency": ["P2D", "P4D", "P6D", "P8D"], "frequency": [2, 3, 4, 5], "monetary": [100, 200, 300, 400]},
    }  # fmt: skip
    facts = [*bought(1, amount=100), *bought(3, amount=300)]

    def scored(**tests: Any) -> list[str]:
        result = counted([segment("s", {"rfm": {"model": "shop", **tests}})], facts, MARCH, models=[model])
        return [text_of(t["at"])[:10] for t in result.transitions]

    assert scored(recency=4) == ["2026-01-05", "2026-01-07"]
    assert scored(recency={"lte": 1}) == ["2026-01-11", "2026-02-02"]
    assert scored(frequency={"gte": 2}) == ["2026-01-03", "2026-01-31"]
    assert scored(monetary=3) == ["2026-01-03", "2026-01-31"]
    assert scored(monetary={"ne": 3}) == ["2026-01-01", "2026-01-03", "2026-01-31", "2026-02-02"]
    assert scored(recency={"exists": False}) == ["2026-02-02"]


def test_shares_do_not_overlap_and_are_about_as_large_as_they_say() -> None:
    facts = [fact("2026-01-01T00:00:00Z", "click", f"c-{number}") for number in range(1000)]
    segments = [
        segment("tenth", {"sample": {"percent": 10, "salt": "x"}}),
        segment("same", {"sample": {"from": 0, "to": 10, "salt": "x"}}),
        segment("rest", {"sample": {"from": 10, "to": 100, "salt": "x"}}),
        segment("other", {"sample": {"percent": 10, "salt": "y"}}),
    ]
    members = {name: found for (_, name), found in counted(segments, facts).members.items()}
    assert members["tenth"] == members["same"] != members["other"]
    assert not members["tenth"] & members["rest"]
    assert len(members["tenth"] | members["rest"]) == 1000
    assert 70 < len(members["tenth"]) < 130


def test_morning_in_the_contacts_own_zone() -> None:
    rule = {"local_time": {"from": "10:00", "to": "11:00", "days": ["mon"]}}  # 5 January 2026 is a Monday
    facts = [
        fact("2026-01-04T00:00:00Z", "contact_updated", timezone="Europe/Moscow"),
        fact("2026-01-05T07:30:00Z", "contact_updated", timezone="Asia/Vladivostok"),
        fact("2026-01-05T07:40:00Z", "contact_updated", timezone="nowhere"),
    ]
    assert walked(rule, facts, "2026-01-06T00:00:00Z", timezone="Europe/Berlin") == [
        "enter 2026-01-05T07:00",
        "exit 2026-01-05T07:30",
        "enter 2026-01-05T09:00",
        "exit 2026-01-05T10:00",
    ]


def test_a_night_belongs_to_the_day_it_starts() -> None:
    rule = {"local_time": {"from": "22:00", "to": "06:00", "days": ["fri"]}}
    facts = [fact("2026-01-01T00:00:00Z", "click")]
    assert walked(rule, facts, "2026-01-09T00:00:00Z") == ["enter 2026-01-02T22:00", "exit 2026-01-03T06:00"]


@pytest.mark.parametrize(
    ("test", "walks"),
    [
        ({"within": "P7D"}, ["enter 2026-01-09T21:00", "exit 2026-01-16T21:00"]),
        ({"within": ["P1D", "P2D"]}, ["enter 2026-01-10T21:00", "exit 2026-01-11T21:00"]),
        ({"ago": "P1M"}, ["enter 2026-02-09T21:00"]),
        ({"calendar": {"unit": "month"}}, ["enter 2026-01-01T00:00", "exit 2026-01-31T21:00"]),
        ({"calendar": {"unit": "week", "offset": 1}}, ["enter 2026-01-01T00:00", "exit 2026-01-04T21:00"]),
        ({"calendar": {"unit": "quarter", "offset": -1}}, []),
        ({"anniversary": {"before": "P2D"}}, []),
        ({"within": "P7D", "gt": "2026-02-01"}, []),
    ],
)
def test_dates_of_the_profile(test: Any, walks: list[str]) -> None:
    facts = [fact("2026-01-01T00:00:00Z", "contact_updated", visit="2026-01-10")]
    assert walked({"profile": {"visit": test}}, facts, MARCH, timezone="Europe/Moscow") == walks


def test_anniversaries_of_a_leap_day() -> None:
    facts = [fact("2026-01-01T00:00:00Z", "contact_updated", born="2024-02-29")]
    until = "2027-01-01T00:00:00Z"
    week = walked({"profile": {"born": {"anniversary": {"within": "P7D"}}}}, facts, until)
    assert week == ["enter 2026-02-28T00:00", "exit 2026-03-07T00:00"]
    ahead = walked({"profile": {"born": {"anniversary": {"before": "P1M"}}}}, facts, until)
    assert ahead == ["enter 2026-01-28T00:00", "exit 2026-02-28T00:00"]


def test_months_follow_the_contacts_own_zone_and_its_change() -> None:
    rule = {"did": {"event": "purchase", "within": "P1M"}}
    facts = [fact("2026-02-28T23:00:00Z", "purchase")]
    moved = fact("2026-03-05T00:00:00Z", "contact_updated", timezone="Europe/Berlin")
    late = "2026-05-01T00:00:00Z"
    assert walked(rule, facts, late, timezone="contact")[1:] == ["exit 2026-03-28T23:00"]
    assert walked(rule, [*facts, moved], late, timezone="contact")[1:] == ["exit 2026-03-31T22:00"]


def retract(at: str, named: str) -> dict[str, Any]:
    return fact(at, "event_retracted", id=named)


def test_a_retracted_fact_counts_nowhere() -> None:
    facts = [
        {**bought(1, order_id="A", amount=5)[0], "id": "p"},
        {**fact("2026-01-02T00:00:00Z", "contact_updated", city="Kazan"), "id": "u"},
        fact("2026-01-03T00:00:00Z", "contact_updated", city="Omsk"),
        {**fact("2026-01-04T00:00:00Z", "contact_updated", city="Tula"), "id": "v"},
        retract("2026-01-05T00:00:00Z", "v"),
        retract("2026-01-06T00:00:00Z", "p"),
    ]
    segments = [
        segment("omsk", {"profile": {"city": "Omsk"}}),
        segment("buyer", {"did": {"event": "purchase"}}),
        segment("known", {"known": {"for": "P7D"}}),
    ]
    assert told(counted(segments, facts, MARCH)) == [
        "enter buyer 2026-01-01T10:00:00.000Z event",
        "enter omsk 2026-01-03T00:00:00.000Z event",
        "exit omsk 2026-01-04T00:00:00.000Z event",
        "enter omsk 2026-01-05T00:00:00.000Z event",
        "exit buyer 2026-01-06T00:00:00.000Z event",
        "enter known 2026-01-09T00:00:00.000Z clock",
    ]


def test_a_retraction_waits_thirty_days_for_its_fact() -> None:
    buyer = {"did": {"event": "purchase"}}
    for day, stays in (("2026-01-31T00:00:00Z", []), ("2026-01-31T00:00:00.001Z", ["enter 2026-01-31T00:00"])):
        facts = [retract("2026-01-01T00:00:00Z", "p"), {**fact(day, "purchase"), "id": "p"}]
        assert walked(buyer, facts, MARCH) == stays


def test_a_retracted_refund_gives_the_purchase_back() -> None:
    facts = [
        *bought(1, order_id="A", amount=5),
        {**fact("2026-01-02T00:00:00Z", "refund", order_id="A"), "id": "r"},
        {**retract("2026-01-03T00:00:00Z", "r"), "id": "x"},
        retract("2026-01-04T00:00:00Z", "x"),
    ]
    assert walked({"did": {"event": "purchase"}}, facts, MARCH) == [
        "enter 2026-01-01T10:00",
        "exit 2026-01-02T00:00",
        "enter 2026-01-03T00:00",
    ]


def test_consent_of_a_channel() -> None:
    facts = [
        fact("2026-01-01T00:00:00Z", "click"),
        {**fact("2026-01-02T00:00:00Z", "opt_in", channel="sms"), "id": "in"},
        fact("2026-01-03T00:00:00Z", "opt_out"),
        fact("2026-01-04T00:00:00Z", "consent", channel="sms", status="granted"),
        retract("2026-01-05T00:00:00Z", "in"),
    ]

    def said(channel: str, status: str) -> list[str]:
        return walked({"consent": {"channel": channel, "is": status}}, facts, MARCH, mailable=False)

    assert said("sms", "granted") == ["enter 2026-01-02T00:00", "exit 2026-01-03T00:00", "enter 2026-01-04T00:00"]
    assert said("email", "unknown") == ["enter 2026-01-01T00:00", "exit 2026-01-03T00:00"]
    assert said("email", "revoked") == ["enter 2026-01-03T00:00"]
