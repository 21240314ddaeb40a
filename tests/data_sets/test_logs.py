"""The two logs as facts: counts as published, stable ids, order, and instants that can be moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine.demo
from engine.conditions.instants import parse_instant
from engine.definitions.document import canonical
from engine.definitions.reading import load_folder
from engine.demo import shop_log as rees46
from engine.recount import recount
from tests.data_sets import retentioneering_log

DEMO_SEGMENTS = Path(engine.demo.__file__).parent / "segments"


def _kinds(facts: list[dict[str, Any]]) -> Counter[str]:
    return Counter(fact["type"] for fact in facts)


def test_the_shipped_log_is_whole() -> None:
    facts = list(rees46.shop_log())
    assert _kinds(facts) == {"product_view": 17_055, "cart_add": 165, "purchase": 214}
    assert len({fact["contact"] for fact in facts}) == 4_504
    assert len(facts) - len({fact["id"] for fact in facts}) == 5, "rows that occur twice share an id"
    assert facts[0]["at"] == "2019-10-01T00:00:00.000Z"
    smartphone = next(fact for fact in facts if fact["properties"].get("category") == "electronics.smartphone")
    assert set(smartphone["properties"]) == {"sku", "price", "category", "brand", "session"}
    purchase = next(fact for fact in facts if fact["type"] == "purchase")
    assert purchase["properties"]["amount"] == purchase["properties"]["items"][0]["price"]


def test_the_half_year_log_is_whole() -> None:
    facts = retentioneering_log.shop_log()
    kinds = _kinds(facts)
    assert len(facts) == 31_106 + 600
    assert (kinds["product_view"], kinds["purchase"], kinds["contact_updated"]) == (6_851, 470, 600)


@pytest.mark.parametrize("lines", [rees46.shop_log_lines, retentioneering_log.shop_log_lines])
def test_a_log_reads_the_same_twice(lines: Callable[[], list[bytes]]) -> None:
    assert lines() == lines()


@pytest.mark.parametrize("log", [rees46.shop_log, retentioneering_log.shop_log])
def test_instants_ascend_and_no_contact_has_two_at_once(log: Callable[..., Any]) -> None:
    facts = list(log(ends_at=1_790_000_000_000))
    instants = [parse_instant(fact["at"]) for fact in facts]
    assert instants == sorted(instants)
    assert instants[-1] == 1_790_000_000_000
    assert max(Counter((fact["contact"], fact["at"]) for fact in facts).values()) == 1


def test_every_demo_segment_has_had_members() -> None:
    segments = [canonical(segment) for segment in load_folder(DEMO_SEGMENTS)]
    assert 6 <= len(segments) <= 10
    result = recount(segments, rees46.shop_log_lines(), until=None)
    entered = Counter(each["segment"] for each in result.transitions if each["change"] == "enter")
    assert set(entered) == {segment["segment"] for segment in segments}
    assert all(members for members in result.members.values()), "the demo ends with somebody in every segment"
    assert (result.facts, result.duplicates, result.rejected) == (17_429, 5, [])
