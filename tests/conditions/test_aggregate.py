"""`aggregate` where a window keeps less than all of its events."""

from __future__ import annotations

import pytest

from tests.driver import fact, given


def test_what_is_taken_off_a_sum_is_taken_off_all_of_it() -> None:
    # One of the hundreds is enough for the ten, but not for what the third event leaves.
    rule = "segment: s\nwhen: {aggregate: {fn: sum, of: v, event: order, within: P30D, is: {gte: 10}}}"
    facts = [fact(f"2026-01-0{day}", "order", v=v) for day, v in enumerate((100, 100, -95), 1)]
    assert given(rule, facts).at("2026-03-01").told() == [
        "enter s 2026-01-01T00:00:00.000Z event",
        "exit s 2026-01-31T00:00:00.000Z clock",
    ]


@pytest.mark.parametrize("late", [False, True])
def test_the_first_is_the_earliest_also_where_its_month_ends_later(late: bool) -> None:
    rule = "segment: s\nwhen: {aggregate: {fn: first, of: v, event: order, within: P1M, is: earlier}}"
    facts = [fact("2026-01-28T12:00Z", "order", v="earlier"), fact("2026-01-29T10:00Z", "order", v="later")]
    entered = "2026-01-29T10" if late else "2026-01-28T12"
    assert given(rule, facts[::-1] if late else facts).at("2026-04-01").told() == [
        f"enter s {entered}:00:00.000Z event",
        "exit s 2026-02-28T12:00:00.000Z clock",
    ]
