"""Erasure (DESIGN.md 3, "Erased"): who is erased leaves everywhere, is forgotten, and only newer facts make it new."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import format_instant, parse_instant
from engine.membership.explanation import UnknownContact
from engine.membership.placement import store_key
from engine.membership.replay import SKEW, Replay, read_line
from engine.recount import recount
from tests.driver import definitions, fact, given, line_of, rows, told

TEA = """
segment: anybody
payload: [city]
when: {did: {event: never, count: {eq: 0}}}
---
segment: buyers
payload: [city, last.purchase.order_id]
when: {did: {event: purchase, within: P30D}}
---
segment: moscow
when: {profile: {city: Moscow}}
---
segment: quiet-ones
when: {quiet: {event: purchase, for: P7D}}
---
segment: thrice
when: {did: {event: click, count: {gte: 3}}}
"""
CITY = fact("2026-01-01", "contact_updated", city="Moscow", named="city")
BOUGHT = fact("2026-01-02", "purchase", order_id="A-1", named="bought")
ERASED = fact("2026-01-05", "contact_erased", named="erase-me")
KEY = store_key("default", "c-1")


def taken(*facts: dict[str, Any], segments: str = TEA, until: str | None = None) -> tuple[Replay, list[dict[str, Any]]]:
    """The core after these facts, and what it published."""
    replay = Replay(*definitions(segments))
    found = [each for line in facts for each in replay.take(line_of(line))]
    found += replay.finish() if until is None else replay.until(parse_instant(until))
    return replay, rows(found)


def test_who_is_erased_leaves_every_segment_without_payload_in_the_order_of_the_segments() -> None:
    _, found = taken(CITY, BOUGHT, ERASED)
    assert told(found)[3:] == [
        "exit anybody 2026-01-05T00:00:00.000Z erase",
        "exit buyers 2026-01-05T00:00:00.000Z erase",
        "exit moscow 2026-01-05T00:00:00.000Z erase",
    ]
    assert found[2]["payload"] == {"city": "Moscow", "last.purchase.order_id": "A-1"}
    for row in found[3:]:
        assert row["payload"] is None
        assert row["not_before"] is None
        assert (row["sequence"], row["late"]) == (2, False)
        assert row["cause"] == {
            "kind": "erase",
            "event_id": "erase-me",
            "event_type": "contact_erased",
            "event_at": "2026-01-05T00:00:00.000Z",
        }


def test_nothing_is_left_in_memory_but_a_mark() -> None:
    replay, _ = taken(CITY, BOUGHT, ERASED)
    assert replay.contacts.get(KEY) is None
    assert replay.contacts.journal(KEY) == ()
    assert replay.until(parse_instant("2027-01-01T00:00:00Z")) == []
    assert all(replay.members(name) == set() for name in ("anybody", "buyers", "moscow", "quiet-ones"))
    with pytest.raises(UnknownContact):
        replay.explain("c-1", "buyers")


def test_deadlines_before_the_erasure_fire_as_before_any_fact() -> None:
    erased = fact("2026-03-01", "contact_erased")
    _, found = taken(CITY, BOUGHT, erased)
    assert told(found)[3:] == [
        "enter quiet-ones 2026-01-09T00:00:00.000Z clock",
        "exit buyers 2026-02-01T00:00:00.000Z clock",
        "exit anybody 2026-03-01T00:00:00.000Z erase",
        "exit moscow 2026-03-01T00:00:00.000Z erase",
        "exit quiet-ones 2026-03-01T00:00:00.000Z erase",
    ]


def test_facts_up_to_the_erasure_that_come_again_are_ignored_and_counted() -> None:
    at_the_instant = fact("2026-01-05", "purchase", named="same instant")
    replay, found = taken(CITY, BOUGHT, ERASED, CITY, BOUGHT, at_the_instant, ERASED, ERASED)
    assert len(found) == 6
    assert (replay.erased, replay.duplicates, replay.facts) == (3, 2, 3)
    assert replay.contacts.get(KEY) is None


def test_a_newer_fact_makes_the_contact_new() -> None:
    back = fact("2026-01-05T00:00:00.001Z", "click", named="bought")
    replay, found = taken(CITY, BOUGHT, ERASED, back, CITY, BOUGHT)
    assert told(found)[6:] == ["enter anybody 2026-01-05T00:00:00.001Z event"]
    assert (found[6]["sequence"], found[6]["payload"]) == (1, {"city": None})
    contact = replay.contacts.get(KEY)
    assert contact is not None
    assert (contact.facts, contact.attributes, contact.consent) == (1, None, None)
    assert contact.known_at == parse_instant("2026-01-05T00:00:00.001Z")
    assert [each.id for each in replay.contacts.journal(KEY)] == ["bought"]
    assert rows(replay.until(parse_instant("2026-01-12T00:00:00Z"))) == []
    quiet = rows(replay.until(parse_instant("2026-01-13T00:00:00Z")))
    assert told(quiet) == ["enter quiet-ones 2026-01-12T00:00:00.001Z clock"]


def test_consent_is_forgotten_too() -> None:
    stopped = fact("2026-01-03", "opt_out", channel="email")
    again = fact("2026-01-06", "click")
    segments = "segment: mailed\nmailable: {channel: email}\nwhen: {did: {event: click}}"
    _, found = taken(fact("2026-01-01", "click"), stopped, ERASED, again, segments=segments)
    assert told(found) == [
        "enter mailed 2026-01-01T00:00:00.000Z event",
        "exit mailed 2026-01-03T00:00:00.000Z opt_out",
        "enter mailed 2026-01-06T00:00:00.000Z event",
    ]
    assert [row["sequence"] for row in found] == [1, 2, 1]
    assert len({row["id"] for row in found}) == 3


def test_an_erasure_that_comes_late_keeps_what_came_after_it() -> None:
    click = [fact(f"2026-01-{day:02}", "click", named=f"click-{day}") for day in (3, 6, 7)]
    replay, found = taken(CITY, BOUGHT, *click, ERASED)
    assert told(found)[3:] == [
        "enter thrice 2026-01-07T00:00:00.000Z event",
        "exit anybody 2026-01-07T00:00:00.000Z erase",
        "exit buyers 2026-01-07T00:00:00.000Z erase",
        "exit moscow 2026-01-07T00:00:00.000Z erase",
        "exit thrice 2026-01-07T00:00:00.000Z erase",
        "enter anybody 2026-01-07T00:00:00.000Z erase",
    ]
    assert all(row["late"] for row in found[4:])
    assert [row["sequence"] for row in found[4:]] == [2, 2, 2, 2, 1]
    assert found[-1]["payload"] == {"city": None}
    contact = replay.contacts.get(KEY)
    assert contact is not None
    assert (contact.facts, contact.known_at) == (2, parse_instant("2026-01-06T00:00:00Z"))
    assert [each.id for each in replay.contacts.journal(KEY)] == ["click-6", "click-7"]
    # Their ids are known still, those of before are of no use.
    again = [each for line in (click[1], click[0], BOUGHT) for each in replay.take(line_of(line))]
    assert (again, replay.duplicates, replay.erased) == ([], 1, 2)
    third = rows(replay.take(line_of(fact("2026-01-08", "click", named="click-8"))))
    assert told(third) == ["enter thrice 2026-01-08T00:00:00.000Z event"]


def test_after_a_late_erasure_no_instant_goes_back() -> None:
    replay, _ = taken(fact("2026-01-06", "click"), until="2026-01-14")
    found = rows(replay.take(line_of(ERASED))) + rows(replay.take(line_of(fact("2026-01-10", "purchase"))))
    assert told(found) == [
        "exit anybody 2026-01-13T00:00:00.000Z erase",
        "exit quiet-ones 2026-01-13T00:00:00.000Z erase",
        "enter anybody 2026-01-13T00:00:00.000Z erase",
        "enter quiet-ones 2026-01-13T00:00:00.000Z erase",
        "exit quiet-ones 2026-01-13T00:00:00.000Z event",
        "enter buyers 2026-01-13T00:00:00.000Z event",
    ]


def test_ids_of_before_are_forgotten_however_many_they_were() -> None:
    def clicks(day: int, word: str) -> list[dict[str, Any]]:
        return [fact(f"2026-01-{day:02}T00:{minute:02}:00Z", "click", named=f"{word}{minute}") for minute in range(40)]

    before, after = clicks(1, "before"), clicks(6, "after")
    replay, _ = taken(*before, *before, ERASED, *after, *after)
    assert (replay.facts, replay.duplicates) == (81, 80)
    replay.take(line_of(fact("2026-01-07", "click", named="before0")))
    assert (replay.facts, replay.duplicates) == (82, 80)


def test_a_late_erasure_leads_to_ids_that_no_subscriber_has_seen() -> None:
    # The enters are of the very instant of those before, and have their sequence.
    _, found = taken(fact("2026-01-07", "click"), fact("2026-01-06", "contact_erased"))
    assert [(row["change"], row["sequence"], row["at"][:10]) for row in found] == [
        ("enter", 1, "2026-01-07"),
        ("exit", 2, "2026-01-07"),
        ("enter", 1, "2026-01-07"),
    ]
    assert len({row["id"] for row in found}) == 3


def test_a_refund_and_a_retraction_of_before_are_forgotten_by_what_came_after() -> None:
    segments = "segment: rich\nwhen: {aggregate: {fn: sum, of: amount, event: purchase, is: {gte: 100}}}"
    order = {"order_id": "A-7", "amount": 100}
    refund = fact("2026-01-03", "refund", order_id="A-7")
    bought = fact("2026-01-06", "purchase", named="p", **order)
    for undone in (refund, fact("2026-01-04", "event_retracted", id="p")):
        _, found = taken(undone, bought, segments=segments)
        assert found == [], undone
        _, found = taken(undone, bought, ERASED, segments=segments)
        assert told(found) == ["enter rich 2026-01-06T00:00:00.000Z erase"], undone
        _, found = taken(undone, ERASED, bought, segments=segments)
        assert told(found) == ["enter rich 2026-01-06T00:00:00.000Z event"], undone


def test_an_erasure_of_nobody_leaves_a_mark_only() -> None:
    replay, found = taken(ERASED, BOUGHT, CITY)
    assert (found, replay.erased, replay.facts) == ([], 2, 1)
    assert replay.contacts.get(KEY) is None
    assert told(rows(replay.take(line_of(fact("2026-01-06", "click"))))) == [
        "enter anybody 2026-01-06T00:00:00.000Z event"
    ]


def test_a_later_erasure_raises_the_mark_and_an_earlier_one_changes_nothing() -> None:
    later, earlier = fact("2026-01-09", "contact_erased"), fact("2026-01-04", "contact_erased")
    replay, found = taken(CITY, ERASED, later, earlier, fact("2026-01-08", "click"))
    assert (len(found), replay.erased, replay.duplicates) == (4, 1, 1)
    replay, found = taken(CITY, ERASED, fact("2026-01-07", "click"), earlier, fact("2026-01-08", "click"))
    assert [row["change"] for row in found if row["segment"] == "anybody"] == ["enter", "exit", "enter"]


def test_an_erasure_can_not_be_retracted() -> None:
    retracted = fact("2026-01-06", "event_retracted", id="erase-me")
    replay, found = taken(CITY, ERASED, retracted, CITY)
    assert told(found)[-1] == "enter anybody 2026-01-06T00:00:00.000Z event"  # a newer fact as any other
    assert replay.erased == 1
    before = fact("2026-01-04", "event_retracted", id="erase-me")
    replay, found = taken(CITY, before, ERASED)
    assert replay.contacts.get(KEY) is None


def test_a_pin_does_not_bring_an_erased_contact_back_but_a_newer_fact_does() -> None:
    pinned = "segment: vip\ninclude: [c-1, c-2]\nwhen: {tags: {any: vip}}"
    replay, found = taken(CITY, ERASED, fact("2026-01-05", "contact_erased", "c-2"), segments=pinned)
    assert told(found) == ["enter vip 2026-01-01T00:00:00.000Z event", "exit vip 2026-01-05T00:00:00.000Z erase"]
    assert rows(replay.until(parse_instant("2026-02-01T00:00:00Z"))) == []
    assert replay.members("vip") == set()
    changed = definitions(pinned.replace("any: vip", "any: gold")).segments[0]
    assert rows(replay.apply(changed)) == []
    back = rows(replay.take(line_of(fact("2026-02-02", "click"))))
    assert told(back) == ["enter vip 2026-02-02T00:00:00.000Z event"]


def test_a_contact_known_by_a_pin_alone_is_erased_like_any_other() -> None:
    pinned = "segment: vip\ninclude: [c-1]\nwhen: {tags: {any: vip}}"
    other = fact("2026-01-01", "click", "c-9")
    replay, found = taken(other, segments=pinned)
    assert told(found) == ["enter vip 2025-12-31T23:59:59.000Z backfill"]
    gone = rows(replay.take(line_of(ERASED)))
    assert [(row["change"], row["cause"]["kind"]) for row in gone] == [("exit", "erase")]
    assert replay.until(parse_instant("2026-02-01T00:00:00Z")) == []


def test_who_is_in_a_paused_segment_is_erased_too() -> None:
    replay, _ = taken(CITY, BOUGHT)
    replay.pause("default", "buyers")
    assert "exit buyers 2026-01-05T00:00:00.000Z erase" in told(rows(replay.take(line_of(ERASED))))
    replay.take(line_of(fact("2026-01-06", "purchase")))
    assert replay.members("buyers") == set()


def test_an_erasure_names_nothing_but_the_contact() -> None:
    replay, _ = taken(CITY, fact("2026-01-05", "contact_erased", attribute="city"))
    assert replay.rejected == {"bad_properties": 1}
    assert replay.contacts.get(KEY) is not None


def test_an_erasure_ahead_of_its_time_is_refused() -> None:
    ahead = fact("2026-02-01", "contact_erased", arrives="2026-01-05")
    replay, _ = taken(CITY, ahead)
    assert replay.rejected == {"too_far_ahead": 1}
    assert replay.contacts.get(KEY) is not None


def test_the_same_id_in_another_workspace_is_another_contact() -> None:
    segments = TEA.replace("when:", "workspace: other\nwhen:")
    replay, found = taken(
        {**CITY, "workspace": "other"}, CITY, ERASED, {**BOUGHT, "workspace": "other"}, segments=segments
    )
    assert {row["cause"]["kind"] for row in found} == {"event"}
    assert replay.members("buyers", "other") == {"c-1"}


def test_in_one_batch_as_one_by_one() -> None:
    """Erased and new again, twice, late and in order, before anything is committed."""
    days = (1, 2, 6, 5, 7, 5, 3, 9, 8, 10, 12, 11)
    kinds = "click purchase click contact_erased click click purchase click contact_erased click click contact_erased"
    facts = [
        fact(f"2026-01-{day:02}", kind, named=f"n{number}")
        for number, (day, kind) in enumerate(zip(days, kinds.split(), strict=True))
    ]
    apart, published = taken(*facts, until="2026-03-01T00:00:00Z")
    together = Replay(*definitions(TEA))
    read = [read_line(line_of(line), number, skew=SKEW, max_event_bytes=1 << 18) for number, line in enumerate(facts)]
    together.partition.take([each for each in read if isinstance(each, Fact)])
    assert together.partition.batch.gone[KEY] >= 1
    found = together.until(parse_instant("2026-03-01T00:00:00Z"))
    assert [_but_clock(row) for row in rows(found)] == [_but_clock(row) for row in published]
    assert together.contacts.get(KEY) == apart.contacts.get(KEY)
    ids = [[each.id for each in replay.contacts.journal(KEY)] for replay in (together, apart)]
    assert ids == [["n10"], ["n10"]]


def _but_clock(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "detected_at"}


def test_a_long_history_is_taken_anew_with_all_ids() -> None:
    many = [
        fact(format_instant(parse_instant("2026-01-06T00:00:00Z") + n), "click", named=f"n{n}", x="y" * 900)
        for n in range(3000)
    ]
    replay = Replay(*definitions(TEA))
    for line in (CITY, *many):
        replay.take(line_of(line))
    erased = [*replay.take(line_of(ERASED))]
    assert [each.segment for each in erased if each.change == "enter"] == ["anybody", "thrice"]
    assert len(replay.contacts.journal(KEY)) == 3000
    for line in many[::500]:
        replay.take(line_of(line))
    assert replay.duplicates == 6


def test_the_recount_finds_nothing_of_the_contact() -> None:
    seen = given(TEA, [CITY, BOUGHT, ERASED, CITY]).replayed("2026-03-01")
    segments = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in definitions(TEA).segments]
    result = recount(
        segments, [line_of(each) for each in (CITY, BOUGHT, ERASED, CITY)], until=parse_instant("2026-03-01T00:00:00Z")
    )
    assert all(not contacts for contacts in result.members.values())
    assert [(row["segment"], row["change"], row["cause"]) for row in result.transitions] == [
        (row["segment"], row["change"], row["cause"]["kind"]) for row in seen.transitions
    ]
    assert "1 of erased contacts ignored" in seen.errors
    assert json.dumps(seen.transitions[-1]["payload"]) == "null"
