"""Dates, as the recount and the engine each have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from whenever import PlainDateTime

from engine.conditions.contact import Contact
from engine.conditions.instants import format_instant, parse_instant
from engine.recount.dates import dates_hold
from engine.recount.instants import nanoseconds
from tests.conditions.test_profile_dates import Given, cases, celebrated, compiled, written

BORN = written(PlainDateTime(2018, 11, 4), None, "America/Sao_Paulo")  # at a midnight that did not come


@given(cases())
@example(
    (
        "America/Sao_Paulo",
        [BORN],
        {"anniversary": {"within": "P1D"}},
        celebrated(BORN, True, (0, 86_400_000), "America/Sao_Paulo"),
        parse_instant("2026-11-04T03:00:00Z"),
    )
)
def test_tests_of_dates_agree(
    case: tuple[str, list[Given], dict[str, Any], Callable[[int], bool], int],
) -> None:
    zone, dates, document, holds, t = case
    texts = [each.text for each in dates]
    truth, _ = compiled(document, zone)(Contact(as_of=0, known_at=0, attributes={"d": [0, texts]}), t)
    assert dates_hold(document, texts, t, zone) is truth is holds(t), (document, texts, format_instant(t))


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01", "2026-05-01T10:00", "2026-05-01T10:00Z", "2026-05-01 10:00:00z", "2026-05-01t10:00:00.25+03:00",
        "2026-05-01T10:00:00,5Z", "2026-05-01T10:00:00 +0545", "1965-03-08", "2026-02-29", "2026-05-01T10", "2026-05",
        "2026-05-01T24:00:00Z", "2026-05-01T10:00.5Z", "2026-05-01T10:00:00+03:60", "2026-05-01T10:00:00.Z", "10:00",
        "2026-05-01T10:00:00+24:00", "2026-05-01T10:00:00ZZ", "2026-05-01T10:00:60Z", "20260501", "2026-05-01Z",
    ],
)  # fmt: skip
def test_the_same_texts_are_dates(text: str) -> None:
    evaluate = compiled({"ago": "PT1S"}, "UTC")
    truth, _ = evaluate(Contact(as_of=0, known_at=0, attributes={"d": [0, text]}), parse_instant("2030-01-01"))
    found = nanoseconds(text)
    assert (found is not None) is truth
    if found is not None and found >= 0:
        assert found // 10**6 == parse_instant(text)
