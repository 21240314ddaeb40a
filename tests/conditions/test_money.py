"""Money is exact: millionths as whole numbers, never binary fractions."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conditions.money import AMOUNT_MAX, TOTAL_MAX, amount, millionths, plain_amount, within_bounds
from tests.driver import fact
from tests.driver import given as scene


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 1_000_000),
        (-3, -3_000_000),
        (1290.5, 1_290_500_000),
        (0.1, 100_000),
        (0.000001, 1),
        (0.0000005, 0),  # half to even
        (0.0000015, 2),
        (0.0000025, 2),
        ("0.0000015", 2),
        ("19.99", 19_990_000),
        ("1e3", 1_000_000_000),
        ("-0.000001", -1),
        (999_999_999_999, 999_999_999_999_000_000),
        (999_999_999.999999, 999_999_999_999_999),
        ("999999999999.999999", 999_999_999_999_999_999),
        (4503599627.370497, 4_503_599_627_370_497),
    ],
)
def test_an_amount_in_millionths(value: Any, expected: int) -> None:
    assert millionths(value) == expected


@pytest.mark.parametrize(
    "value",
    [True, None, "tea", "", " 1", "1,5", "1 000", [1], {"a": 1}, AMOUNT_MAX, -AMOUNT_MAX, 1e12, "1e12", 1e300,
     float("inf"), float("nan"), "NaN", "Infinity", 10**30],
)  # fmt: skip
def test_what_is_no_amount(value: Any) -> None:
    assert millionths(value) is None


halves = st.integers(-(10**12), 10**12).map(lambda n: (2 * n + 1) / 2_000_000)


@given(
    halves | st.floats(-1e11, 1e11) | st.integers(-(10**11), 10**11) | st.decimals(-(10**9), 10**9, places=7).map(str)
)
def test_millionths_are_those_of_the_shortest_decimal(value: Any) -> None:
    text = value if isinstance(value, str) else repr(value)
    exact = Decimal(text).scaleb(6).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert millionths(value) == int(exact)


@given(st.integers(-TOTAL_MAX, TOTAL_MAX))
def test_a_total_is_shown_exactly(total: int) -> None:
    assert amount(total) * 1_000_000 == total


@pytest.mark.parametrize(("total", "shown"), [(5_000_000, 5), (2_500_000, 2.5), (-1, -0.000001), (0, 0)])
def test_what_is_left_as_a_json_number(total: int, shown: float) -> None:
    assert plain_amount(total) == shown


def test_totals_stop_at_their_bound() -> None:
    assert within_bounds(TOTAL_MAX + 5) == TOTAL_MAX
    assert within_bounds(-TOTAL_MAX - 5) == -TOTAL_MAX
    assert within_bounds(7) == 7


@pytest.mark.parametrize("window", ["", ", within: P30D"])
@pytest.mark.parametrize(
    ("test", "member"), [("0.3", True), ("{gt: 0.3}", False), ("{gte: '0.3'}", True), ("{lt: 0.3}", False)]
)
def test_ten_kopecks_thrice_are_thirty(window: str, test: str, member: bool) -> None:
    segment = f"segment: s\nwhen: {{aggregate: {{fn: sum, of: amount, event: purchase, is: {test}{window}}}}}"
    facts = [fact(f"2026-01-01T00:0{minute}Z", "purchase", amount=0.1) for minute in range(3)]
    assert (scene(segment, facts).at().members("s") == {"c-1"}) is member


def test_an_average_is_no_rounded_number() -> None:
    segment = "segment: s\nwhen: {aggregate: {fn: avg, of: amount, event: purchase, is: {gt: 0.333333, lt: 0.333334}}}"
    facts = [fact(f"2026-01-0{day}", "purchase", amount=amount) for day, amount in enumerate((0, 0, 1), 1)]
    seen = scene(segment, facts).at()
    assert seen.members("s") == {"c-1"}


def test_what_is_no_amount_adds_nothing() -> None:
    segment = "segment: s\nwhen: {aggregate: {fn: sum, of: amount, event: purchase, is: {gte: 3}}}"
    amounts = ["tea", None, True, 10**13, 1, "1.5", [0.5, "x"]]
    facts = [fact(f"2026-01-0{day}", "purchase", amount=value) for day, value in enumerate(amounts, 1)]
    assert scene(segment, facts).at().told() == ["enter s 2026-01-07T00:00:00.000Z event"]
