"""Refunds: from their own `at` they lessen their order's purchase in sums, and everywhere when nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.driver import Row, fact, given

BUYERS = "segment: buyers\nwhen: {did: {event: purchase}}"


def total(test: str, *, fn: str = "sum", of: str = "amount", more: str = "") -> str:
    return f"segment: figure\nwhen: {{aggregate: {{fn: {fn}, of: {of}, event: purchase, is: {test}{more}}}}}"


def bought(day: int, amount: Any, order: Any = "A-1", **more: Any) -> Row:
    return fact(f"2026-01-{day:02d}", "purchase", order_id=order, amount=amount, **more)


def refunded(day: int, amount: Any = None, order: Any = "A-1") -> Row:
    properties = {"order_id": order} if amount is None else {"order_id": order, "amount": amount}
    return fact(f"2026-01-{day:02d}", "refund", **properties)


@pytest.mark.parametrize("more", ["", ", within: P90D"])
def test_a_part_lessens_the_sum_from_its_own_instant(more: str) -> None:
    found = given(total("{gte: 100}", more=more), [bought(1, 100.5), refunded(2, 0.5), refunded(3, 0.000001)]).at()
    assert found.told() == [
        "enter figure 2026-01-01T00:00:00.000Z event",
        "exit figure 2026-01-03T00:00:00.000Z event",
    ]


@pytest.mark.parametrize("amounts", [[None], [100], [60, 40], [5000], ["100.00"]])
@pytest.mark.parametrize("more", ["", ", within: P90D", ", where: {amount: {gte: 100}}"])
def test_when_nothing_is_left_it_counts_nowhere(amounts: list[Any], more: str) -> None:
    segment = f"segment: buyers\nwhen: {{did: {{event: purchase{more}}}}}"
    facts = [bought(1, 100), *[refunded(2 + n, amount) for n, amount in enumerate(amounts)]]
    assert given(segment, facts).at().told() == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        f"exit buyers 2026-01-{1 + len(amounts):02d}T00:00:00.000Z event",
    ]


def test_tests_and_item_sums_see_a_lessened_purchase_as_it_was() -> None:
    segments = "segment: big\nwhen: {did: {event: purchase, where: {amount: {gte: 100}}}}\n---\n"
    segments += total("{gte: 100}", of="items.price")
    facts = [bought(1, 100, items=[{"price": 60}, {"price": 40}]), refunded(2, 99)]
    assert given(segments, facts).at().members("big") == {"c-1"}
    assert given(segments, facts).at().members("figure") == {"c-1"}


@pytest.mark.parametrize(
    ("fn", "test"),
    [
        ("avg", "150"),
        ("min", "100"),
        ("max", "200"),
        ("last", "200"),
        ("first", "100"),
        ("count", "2"),
        ("distinct", "2"),
    ],
)
@pytest.mark.parametrize("more", ["", ", within: P90D"])
def test_every_figure_of_the_amount_sees_what_is_left(fn: str, test: str, more: str) -> None:
    facts = [bought(1, 100, "A-1"), bought(2, 300, "A-2"), refunded(3, 100, "A-2")]
    assert given(total(test, fn=fn, more=more), facts).at().members("figure") == {"c-1"}


@pytest.mark.parametrize(
    "refund",
    [refunded(2, 0), refunded(2, -5), refunded(2, "all"), refunded(2, order="A-2"),
     fact("2026-01-02", "refund", amount=100), fact("2026-01-02", "refund", "c-2", order_id="A-1"),
     fact("2026-01-02", "refund", order_id=None)],
)  # fmt: skip
def test_what_refunds_nothing(refund: Row) -> None:
    facts = [bought(1, 100), refund]
    assert given(f"{BUYERS}\n---\n{total('100')}", facts).at().told() == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        "enter figure 2026-01-01T00:00:00.000Z event",
    ]


def test_a_refund_waits_for_its_purchase() -> None:
    assert given(BUYERS, [refunded(1), bought(31, 100)]).at().told() == []
    # Thirty days later is still in time, a millisecond more is not.
    late = {**bought(31, 100), "at": "2026-01-31T00:00:00.001Z"}
    assert given(BUYERS, [refunded(1), late]).at().told() == ["enter buyers 2026-01-31T00:00:00.001Z event"]


def test_a_part_that_waits_lessens_what_comes() -> None:
    facts = [refunded(1, 30), bought(2, 100), bought(3, 30, "A-2")]
    assert given(total("{gte: 100}"), facts).at().told() == ["enter figure 2026-01-03T00:00:00.000Z event"]


def test_a_late_refund_is_judged_as_of_the_latest() -> None:
    found = given(BUYERS, [bought(1, 100), fact("2026-01-05", "click"), refunded(3)]).at().of("buyers")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [
        ("enter", "2026-01-01T00:00:00.000Z", False),
        ("exit", "2026-01-05T00:00:00.000Z", True),
    ]


def test_a_refunded_purchase_breaks_no_silence() -> None:
    segment = "segment: quiet\nwhen: {quiet: {event: purchase, for: P10D}}"
    facts = [fact("2026-01-01", "click"), bought(5, 100), refunded(12)]
    assert given(segment, facts).at("2026-02-01").told() == ["enter quiet 2026-01-12T00:00:00.000Z event"]


def test_an_order_may_be_a_number() -> None:
    assert given(BUYERS, [bought(1, 100, 7), refunded(2, order=8)]).at().members("buyers") == {"c-1"}
    assert given(BUYERS, [bought(1, 100, 7), refunded(2, order=7)]).at().members("buyers") == set()


def test_the_same_refund_twice_is_one() -> None:
    refund = {**refunded(2, 50), "id": "r-1"}
    assert given(total("50"), [bought(1, 100), refund, refund]).at().members("figure") == {"c-1"}


def test_purchases_of_one_order_are_lessened_in_turn() -> None:
    facts = [bought(1, 100), bought(2, 100), refunded(3, 150)]
    assert given(f"{BUYERS}\n---\n{total('50')}", facts).at().members("figure") == {"c-1"}
    facts.append(refunded(4, 50))
    assert given(BUYERS, facts).at().members("buyers") == set()


def test_the_payload_carries_the_last_purchase_that_still_counts() -> None:
    segment = "segment: s\npayload: [last.purchase.order_id]\nwhen: {did: {event: click, count: {in: [1, 3]}}}"
    facts = [fact("2026-01-01", "click"), bought(2, 5, "A-1"), bought(3, 5, "A-2"), fact("2026-01-04", "click")]
    facts += [refunded(5, order="A-2"), fact("2026-01-06", "click")]
    payloads = [row["payload"]["last.purchase.order_id"] for row in given(segment, facts).at().of("s")]
    assert payloads == [None, "A-2", "A-1"]


@pytest.mark.parametrize("fn", ["max", "first"])
def test_a_refund_leaves_what_is_older_than_the_journal(fn: str) -> None:
    # A figure over all time; the refund is of another order, two years later.
    facts = [{**bought(1, 1000, "old"), "at": "2024-01-01T00:00:00Z"}, bought(1, 1, "new"), refunded(2, order="new")]
    assert given(total("1000", fn=fn), facts).at().members("figure") == {"c-1"}


def test_counts_and_sums_keep_what_is_older_than_the_journal() -> None:
    facts = [{**bought(1, 1000, "old"), "at": "2024-01-01T00:00:00Z"}, bought(1, 1, "new"), refunded(2, order="new")]
    assert given(f"{BUYERS}\n---\n{total('1000')}", facts).at().members("figure") == {"c-1"}
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}
