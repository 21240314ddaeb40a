"""A model that changes: the segments that score by it publish the difference, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from engine.conditions.instants import parse_instant
from engine.definitions import Model, Segment, parse_definitions, parse_segment
from engine.membership.plan import Plan, compile_plan
from engine.membership.replay import Replay
from tests.driver import definitions, fact, line_of, rows, told

SHOP = """
model: shop
event: purchase
amount: amount
cuts: {recency: [P30D, P60D, P90D, P180D], frequency: [2, 3, 5, 8], monetary: [50, 100, 200, 500]}
"""
BEST = "segment: best\nwhen: {rfm: {model: shop, frequency: {gte: 3}, recency: {gte: 4}}}"
PURCHASES = [fact(f"2026-05-0{day}", "purchase", contact) for day in (1, 2, 3) for contact in ("c-1", "c-2")]


def model(text: str) -> Model:
    [found] = parse_definitions(text, "model").models
    return found


def replayed(text: str, *facts: dict[str, Any]) -> Replay:
    replay = Replay(*definitions(text))
    for each in facts:
        replay.take(line_of(each))
    return replay


def test_new_cut_points_publish_the_difference() -> None:
    replay = replayed(f"{SHOP}---\n{BEST}", *PURCHASES, fact("2026-05-04", "purchase", "c-2"))
    assert replay.members("best") == {"c-1", "c-2"}
    stricter = model(SHOP.replace("[2, 3, 5, 8]", "[2, 4, 5, 8]"))
    changed = rows(replay.apply(stricter))
    assert told(changed, None) == ["exit best 2026-05-03T23:59:59.000Z definition"]  # at the clock
    assert [row["contact"] for row in changed] == ["c-1"]
    assert replay.apply(stricter) == []
    back = rows(replay.apply(model(SHOP)))
    assert [(row["contact"], row["change"], row["sequence"]) for row in back] == [("c-1", "enter", 3)]


def test_what_falls_due_follows_the_new_cut_points() -> None:
    replay = replayed(f"{SHOP}---\n{BEST}", *PURCHASES)
    replay.apply(model(SHOP.replace("P60D", "P45D")))
    found = told(rows(replay.until(parse_instant("2026-09-01T00:00:00Z"))))
    assert found == ["exit best 2026-06-17T00:00:00.000Z clock"]


def test_a_model_that_looks_at_other_events_reads_the_history() -> None:
    replay = replayed(f"{SHOP}---\n{BEST}", *PURCHASES, *(fact(f"2026-05-0{day}", "order") for day in (4, 5, 6)))
    found = rows(replay.apply(model(SHOP.replace("event: purchase", "event: order"))))
    assert [(row["contact"], row["change"]) for row in found] == [("c-2", "exit")]


def test_a_segment_and_its_model_come_as_one_change() -> None:
    replay = replayed("segment: other\nwhen: {did: {event: click}}", *PURCHASES)
    best: Segment = parse_segment(BEST)
    with pytest.raises(LookupError, match="there is no model 'shop'"):
        Replay([best])
    found = rows(replay.change([best, model(SHOP)]))
    assert sorted(told(found, None)) == ["enter best 2026-05-03T00:00:00.000Z backfill"] * 2
    assert (
        sorted(told(rows(replay.delete("default", "best")), None))
        == ["exit best 2026-05-03T00:00:00.000Z definition"] * 2
    )
    assert replay.delete("default", "model:shop") == []


def plan(text: str, version: int = 1) -> Plan:
    segments, models = definitions(text)
    return compile_plan([(segment, version) for segment in segments], (), models)


def test_the_fingerprint_covers_what_judging_knows_of_a_model() -> None:
    def with_model(old: str, new: str, more: str = "") -> int:
        return plan(f"{SHOP.replace(old, new)}---\n{BEST}\n{more}").fingerprint

    before = with_model("", "")
    named = "model: shop\nname: Shop\ncomputed: {at: 2026-05-01, contacts: 7}"
    assert with_model("model: shop", named) == before
    assert with_model("P60D", "PT1440H") == before
    assert with_model("", "", "---" + SHOP.replace("model: shop", "model: unused")) == before
    assert with_model("", "", "---\nworkspace: other" + SHOP) == before
    for old, new in (
        ("P60D", "P61D"),
        ("event: purchase", "event: order"),
        ("event: purchase", "event: purchase\nwhere: {currency: EUR}"),
        ("amount: amount", "amount: total"),
        ("amount: amount", "amount: amount\nmonetary: total"),
        ("amount: amount", "amount: amount\nwithin: P9D"),
    ):
        assert with_model(old, new) != before, new
