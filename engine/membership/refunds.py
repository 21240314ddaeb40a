"""Refunds: which purchases they lessen, and by how much (DESIGN.md 3).

The refunds of one order, in order of `at` and arrival, each take their amount (without one: everything) from the
purchases with
that order id that are no later than 30 days after the refund, the earliest first, until it is used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.conditions.money import millionths
from engine.membership.retractions import counting

REFUND_WAITS = 30 * DAY
REFUNDS_MAX = 1_000
"""Orders of one contact whose refunds are remembered for purchases still to come; beyond it the oldest is forgotten."""


def order_of(fact: Fact) -> str | None:
    """The order that a purchase or a refund names; None where it names none."""
    order = fact.properties.get("order_id")
    if type(order) is int:
        return str(order)
    return order if type(order) is str and order else None


def effective(history: Sequence[Fact]) -> list[Fact]:
    """The facts that count, in order of `at`, then arrival: without those that are retracted, and as refunds leave
    them, lessened purchases with `left`, used-up ones gone.

    `history` is in the order in which the facts were taken.
    """
    facts = sorted(counting(history), key=lambda fact: fact.at)
    refunds: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.type == "refund" and (order := order_of(fact)) is not None:
            refunds.setdefault(order, []).append(fact)
    if not refunds:
        return facts
    left: dict[int, int | None] = {}  # by place in `facts`; None: an amount that nobody knows
    purchases: dict[str, list[int]] = {}
    for index, fact in enumerate(facts):
        if fact.type == "purchase" and (order := order_of(fact)) in refunds and order is not None:
            purchases.setdefault(order, []).append(index)
            left[index] = millionths(fact.properties.get("amount"))
    gone: set[int] = set()
    touched: set[int] = set()
    for order, each_refund in refunds.items():
        for refund in each_refund:
            _take(
                facts,
                refund,
                [index for index in purchases.get(order, ()) if facts[index].at <= refund.at + REFUND_WAITS],
                left,
                gone,
                touched,
            )
    found: list[Fact] = []
    for index, fact in enumerate(facts):
        if index in gone:
            continue
        if index in touched:
            fact = copy(fact)
            fact.left = left[index]
        found.append(fact)
    return found


def _take(
    facts: list[Fact], refund: Fact, indexes: list[int], left: dict[int, int | None], gone: set[int], touched: set[int]
) -> None:
    amount = refund.properties.get("amount")
    if amount is None:
        bought = [index for index in indexes if facts[index].at <= refund.at]
        gone.update(bought or indexes[:1])  # it waits for one purchase, where there was none
        return
    rest = millionths(amount)
    if rest is None or rest <= 0:
        return
    for index in indexes:
        has = left[index]
        if index in gone or has is None or has <= 0:
            continue
        taken = min(rest, has)
        left[index] = has - taken
        touched.add(index)
        rest -= taken
        if taken == has:
            gone.add(index)
        if rest <= 0:
            return
