"""The core against the batch evaluator, which shares no code with it: random segments, random facts, every instant of
change. `EXAMPLES=n` makes each of them n examples long; `python -m tests.membership.soak` is faster for many."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conditions.instants import DAY
from engine.definitions import canonical, read_segment
from tests.membership.agreement import documents, hold_transitions
from tests.membership.random_conditions import KINDS
from tests.membership.strategies import START, fact_lines, segment_sets

EXAMPLES = os.environ.get("EXAMPLES")
SETTINGS = settings(
    max_examples=int(EXAMPLES or 1200),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
any_segments = segment_sets(kinds=tuple(KINDS))


@SETTINGS
@given(any_segments, fact_lines(in_order=True, erasing=True), st.integers(0, 90))
def test_facts_in_order_give_the_recounted_transitions(
    found: list[dict[str, Any]], lines: list[bytes], days: int
) -> None:
    hold_transitions(documents(found), lines, START + days * DAY)


@SETTINGS
@given(any_segments, fact_lines(in_order=False, erasing=True), st.integers(0, 90))
def test_late_facts_give_the_recounted_transitions(found: list[dict[str, Any]], lines: list[bytes], days: int) -> None:
    hold_transitions(documents(found), lines, START + days * DAY)


@given(any_segments)
@settings(max_examples=200, deadline=None)
def test_canonical_forms_read_back_as_themselves(found: list[dict[str, Any]]) -> None:
    for segment in documents(found):
        assert canonical(read_segment(canonical(segment))) == canonical(segment)
