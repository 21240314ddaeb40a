"""The least and the greatest of numbers that are written as text: 10 is above 3, and either is a number to `is`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.driver import fact, given


@pytest.mark.parametrize("within", ["", ", within: P7D"])
@pytest.mark.parametrize(
    ("fn", "test", "holds"),
    [
        ("max", '{gte: "10"}', True),
        ("max", "10", True),
        ("max", '{between: [2, "9"]}', False),
        ("min", '{between: [2, "10"]}', True),
        ("min", '{lt: "10"}', True),
        ("min", "3", True),
    ],
)
def test_the_greatest_of_texts_is_the_greatest_number(within: str, fn: str, test: str, holds: bool) -> None:
    rule = f"segment: s\nwhen: {{aggregate: {{fn: {fn}, of: price, event: sale{within}, is: {test}}}}}"
    prices: list[Any] = ["3", "10"]
    for order in (prices, prices[::-1]):
        facts = [fact(f"2026-05-0{day}", "sale", price=price) for day, price in enumerate(order, 1)]
        assert (given(rule, facts).at("2026-05-03").members("s") == {"c-1"}) is holds
