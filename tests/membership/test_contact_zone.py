"""`timezone: contact`: months, fixed bounds and dates by the zone that the contact's attribute `timezone` names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conditions.contact import Contact
from engine.conditions.instants import DAY, format_instant, parse_instant
from engine.conditions.zones import zone_names
from engine.definitions import canonical, check, read_segment
from engine.membership.plan import ZONES_KEPT, WorkspacePlan, compile_plan
from engine.membership.replay import Replay
from tests import driver
from tests.driver import Row, documents, fact, line_of, rows, told
from tests.membership.strategies import START, fact_lines, segment_sets
from tests.membership.test_state_roundtrip import differs

MONTH = "segment: month\ntimezone: contact\nwhen: {did: {event: purchase, within: P1M}}"
BOUGHT = "2026-03-30T22:30:00Z"
"""31 March in Moscow, whose month ends on 30 April; 30 March in UTC and New York."""
ENDS = {
    "Europe/Moscow": "2026-04-29T22:30:00.000Z",
    "Asia/Vladivostok": "2026-04-29T22:30:00.000Z",
    "America/New_York": "2026-04-30T22:30:00.000Z",
    "UTC": "2026-04-30T22:30:00.000Z",
}


def lives(at: str, zone: Any, contact: str = "c-1", /, **more: Any) -> Row:
    return {**fact(at, "contact_updated", contact, **more), "properties": {"timezone": zone}}


def exits(found: driver.Seen, segment: str = "month", contact: str = "c-1") -> list[str]:
    return [row["at"] for row in found.of(segment, contact) if row["change"] == "exit"]


@pytest.mark.parametrize(("zone", "end"), ENDS.items())
def test_months_end_by_the_clock_of_the_contact(zone: str, end: str) -> None:
    facts = [lives("2026-01-01", zone), fact(BOUGHT, "purchase"), fact("2026-04-02", "click")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [end]
    named = driver.given(MONTH.replace("contact", zone), facts).at("2026-06-01")
    assert exits(named) == [end]


@pytest.mark.parametrize(
    "zone", [None, 7, "", "Mars/Phobos", "contact", ["Europe/Moscow"], {"name": "Europe/Moscow"}, "europe/moscow"]
)
def test_without_a_usable_zone_it_is_utc(zone: Any) -> None:
    facts = [lives("2026-01-01", zone), fact(BOUGHT, "purchase")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["UTC"]]
    assert exits(driver.given(MONTH, facts[1:]).at("2026-06-01")) == [ENDS["UTC"]]


def test_contacts_of_many_zones_live_side_by_side() -> None:
    facts = [lives("2026-01-01", zone, zone) for zone in ENDS]
    facts += [fact(BOUGHT, "purchase", zone) for zone in ENDS]
    found = driver.given(MONTH, facts).at("2026-06-01")
    assert {zone: exits(found, contact=zone) for zone in ENDS} == {zone: [end] for zone, end in ENDS.items()}


@pytest.mark.parametrize(
    ("zone", "at", "end"),
    [
        # Clocks go forward on 29 March and back on 25 October in Berlin.
        ("Europe/Berlin", "2026-02-28T23:30:00Z", "2026-03-31T22:30:00.000Z"),
        ("Europe/Berlin", "2026-02-28T01:30:00Z", "2026-03-28T01:30:00.000Z"),
        ("Europe/Berlin", "2026-03-01T01:30:00Z", "2026-04-01T00:30:00.000Z"),
        # 02:30 on 29 March is in a gap: its later side. 02:30 on 25 October is twice: the earlier one.
        ("Europe/Berlin", "2026-02-28T22:30:00Z", "2026-03-28T22:30:00.000Z"),
        ("Europe/Berlin", "2026-09-25T00:30:00Z", "2026-10-25T00:30:00.000Z"),
        ("Australia/Lord_Howe", "2026-09-03T15:45:00Z", "2026-10-03T15:45:00.000Z"),
        ("Pacific/Apia", "2011-11-29T12:00:00Z", "2011-12-29T12:00:00.000Z"),
        ("America/Sao_Paulo", "2018-10-04T03:30:00Z", "2018-11-04T03:30:00.000Z"),
    ],
)
def test_clocks_that_change_between_are_followed(zone: str, at: str, end: str) -> None:
    own = driver.given(MONTH, [lives("2010-01-01", zone), fact(at, "purchase")]).at("2026-12-31")
    named = driver.given(MONTH.replace("contact", zone), [fact(at, "purchase")]).at("2026-12-31")
    assert exits(own) == exits(named)
    assert exits(own) == [end]


def test_a_contact_that_moves_is_judged_as_if_it_had_always_lived_there() -> None:
    facts = [fact(BOUGHT, "purchase"), lives("2026-04-10", "Europe/Moscow")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["Europe/Moscow"]]
    # At an instant between the two ends the move itself takes the contact out, or back in.
    later = driver.given(MONTH, [facts[0], lives("2026-04-30", "Europe/Moscow", named="move")]).at("2026-06-01")
    assert later.told() == ["enter month 2026-03-30T22:30:00.000Z event", "exit month 2026-04-30T00:00:00.000Z event"]
    assert later.transitions[-1]["cause"]["event_id"] == "move"
    back = [lives("2026-01-01", "Europe/Moscow"), facts[0], lives("2026-04-30", "America/New_York")]
    assert driver.given(MONTH, back).at("2026-06-01").told()[-3:] == [
        "exit month 2026-04-29T22:30:00.000Z clock",
        "enter month 2026-04-30T00:00:00.000Z event",
        "exit month 2026-04-30T22:30:00.000Z clock",
    ]


def test_what_is_due_before_the_move_goes_by_the_former_zone() -> None:
    facts = [lives("2026-01-01", "Europe/Moscow"), fact(BOUGHT, "purchase"), lives("2026-05-20", "UTC")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["Europe/Moscow"]]
    facts = [fact(BOUGHT, "purchase"), lives("2026-05-20", "Europe/Moscow")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["UTC"]]


def test_a_deadline_at_the_instant_of_the_move_is_checked_after_it() -> None:
    facts = [lives("2026-01-01", "Europe/Moscow"), fact(BOUGHT, "purchase"), lives(ENDS["Europe/Moscow"], "UTC")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["UTC"]]


def test_a_move_told_late_counts_too_and_an_older_one_does_not() -> None:
    facts = [fact(BOUGHT, "purchase"), fact("2026-04-30", "click"), lives("2026-01-01", "Europe/Moscow")]
    found = driver.given(MONTH, facts).at("2026-06-01").of("month")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [
        ("enter", "2026-03-30T22:30:00.000Z", False),
        ("exit", "2026-04-30T00:00:00.000Z", True),
    ]
    facts = [lives("2026-02-01", "UTC"), fact(BOUGHT, "purchase"), lives("2026-01-01", "Europe/Moscow")]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["UTC"]]


def test_a_move_taken_back_counts_no_more() -> None:
    facts = [
        lives("2026-01-01", "America/New_York"),
        fact(BOUGHT, "purchase"),
        lives("2026-04-01", "Europe/Moscow", named="move"),
        {**fact("2026-04-02", "event_retracted"), "properties": {"id": "move"}},
    ]
    assert exits(driver.given(MONTH, facts[:3]).at("2026-06-01")) == [ENDS["Europe/Moscow"]]
    assert exits(driver.given(MONTH, facts).at("2026-06-01")) == [ENDS["America/New_York"]]
    # One that was dead on arrival moved nobody.
    dead = [facts[0], facts[3], facts[1], facts[2]]
    assert exits(driver.given(MONTH, dead).at("2026-06-01")) == [ENDS["America/New_York"]]


def test_a_purchase_taken_back_or_refunded_after_a_move() -> None:
    facts = [
        fact(BOUGHT, "purchase", named="p-1", order_id="A-1", amount=5),
        lives("2026-04-01", "Europe/Moscow"),
        fact("2026-04-03", "purchase", named="p-2", order_id="A-2", amount=5),
    ]
    gone = {**fact("2026-04-04", "event_retracted"), "properties": {"id": "p-2"}}
    assert exits(driver.given(MONTH, [*facts, gone]).at("2026-06-01")) == [ENDS["Europe/Moscow"]]
    refund = fact("2026-04-04", "refund", order_id="A-2")
    assert exits(driver.given(MONTH, [*facts, refund]).at("2026-06-01")) == [ENDS["Europe/Moscow"]]


SINCE = "segment: s\ntimezone: contact\nwhen: {did: {event: click, since: '2026-05-01', until: '2026-05-02T00:00:00'}}"


@pytest.mark.parametrize(
    ("zone", "at", "counts"),
    [
        ("Europe/Moscow", "2026-04-30T21:00:00Z", True),
        ("Europe/Moscow", "2026-04-30T20:59:59.999Z", False),
        ("Europe/Moscow", "2026-05-01T21:00:00Z", False),
        ("Pacific/Kiritimati", "2026-04-30T10:00:00Z", True),
        ("America/New_York", "2026-05-02T03:59:59.999Z", True),
        ("America/New_York", "2026-05-01T03:59:59.999Z", False),
        ("UTC", "2026-05-01T00:00:00Z", True),
    ],
)
def test_bounds_without_an_offset_are_wall_time_where_the_contact_is(zone: str, at: str, counts: bool) -> None:
    expected = {"c-1"} if counts else set()
    moved, clicked = lives("2026-01-01", zone), fact(at, "click")
    assert driver.given(SINCE, [moved, clicked]).at("2026-06-01").members("s") == expected
    # Told only after the click: it is as if it had always been so.
    assert driver.given(SINCE, [clicked, lives("2026-05-20", zone)]).at("2026-06-01").members("s") == expected
    named = SINCE.replace("contact", zone)
    assert driver.given(named, [clicked]).at("2026-06-01").members("s") == expected


@pytest.mark.parametrize(
    "bound", ["since: '1970-01-01'", "until: '9999-12-31T23:59:59'", "since: '1970-01-01T05:00:00'"]
)
def test_bounds_that_some_zone_cannot_have_are_refused(bound: str) -> None:
    text = f"segment: s\ntimezone: contact\nwhen: {{did: {{event: click, {bound}}}}}"
    with pytest.raises(Exception, match="in some zone of a contact it is out of bounds"):
        documents(text)
    documents(text.replace("'}", "Z'}").replace("01-01Z", "01-01T00:00:00Z"))


def test_counts_beyond_the_journal_survive_a_move() -> None:
    segment = SINCE.replace("2026-05-01", "2020-01-01").replace("2026-05-02T00:00:00", "2030-01-01")
    segment = segment.replace("click,", "click, count: 3,")
    facts = [fact("2021-01-01", "click"), fact("2023-01-01", "click"), fact("2026-05-01", "click")]
    facts.append(lives("2026-05-02", "Europe/Moscow"))
    assert driver.given(segment, facts).at("2026-06-01").members("s") == {"c-1"}
    run = "segment: s\ntimezone: contact\nwhen: {streak: {of: sent, without: read, at_least: 3, grace: P1M}}"
    facts = [{**each, "type": "sent"} if each["type"] == "click" else each for each in facts]
    assert driver.given(run, facts).at("2026-06-03").members("s") == {"c-1"}


def test_known_and_nested_segments_follow() -> None:
    segments = "segment: old\ntimezone: contact\ngroup: {name: g, priority: 2}\nwhen: {known: {for: P1M}}\n---\n"
    segments += "segment: young\ngroup: {name: g, priority: 1}\nwhen: {known: {for: PT0.001S}}\n---\n"
    segments += "segment: nested\nwhen: {in_segment: old}"
    facts = [fact(BOUGHT, "click"), lives("2026-04-30", "Europe/Moscow")]
    assert driver.given(segments, facts).at("2026-06-01").told() == [
        "enter young 2026-03-30T22:30:00.001Z clock",
        "exit young 2026-04-30T00:00:00.000Z event",
        "enter old 2026-04-30T00:00:00.000Z event",
        "enter nested 2026-04-30T00:00:00.000Z event",
    ]


def test_deadlines_of_what_is_not_counted_go_by_the_zone_too() -> None:
    old = "segment: old\ntimezone: contact\nwhen: {known: {for: P1M}}"
    facts = [lives(BOUGHT, zone, zone) for zone in ENDS]
    found = driver.given(old, facts).at("2026-06-01")
    assert {row["contact"]: row["at"] for row in found.transitions} == ENDS


def test_contacts_of_two_zones_are_judged_by_the_same_fact_differently() -> None:
    segment = "segment: old\ntimezone: contact\nwhen: {all: [{known: {for: P1M}}, {did: {event: click}}]}"
    facts = [lives(BOUGHT, zone, zone) for zone in ("America/New_York", "Europe/Moscow", "UTC")]
    facts += [fact("2026-04-30", "click", zone) for zone in ("UTC", "Europe/Moscow", "America/New_York")]
    assert driver.given(segment, facts).at().members("old") == {"Europe/Moscow"}


def test_the_move_is_an_event_like_any_other() -> None:
    count = "segment: moved\nwhen: {did: {event: contact_updated, count: 2}}"
    facts = [lives("2026-01-01", "Europe/Moscow"), lives("2026-01-02", "Asia/Tokyo")]
    assert driver.given(f"{MONTH}\n---\n{count}", facts).at().members("moved") == {"c-1"}
    own = count.replace("\n", "\ntimezone: contact\n", 1).replace("count: 2", "count: 2, within: P1M")
    assert driver.given(f"{MONTH}\n---\n{own}", facts).at().members("moved") == {"c-1"}


def test_not_before_is_told_by_the_zone() -> None:
    facts = [lives("2026-01-01", "Europe/Moscow"), fact(BOUGHT, "purchase")]
    assert driver.given(MONTH, facts).at().of("month")[0]["not_before"] == ENDS["Europe/Moscow"]


def test_a_definition_that_comes_later_finds_each_contact_where_it_is() -> None:
    facts = [lives("2026-01-01", zone, zone) for zone in ENDS]
    facts += [fact(BOUGHT, "purchase", zone) for zone in ENDS]
    change = {"at": "2026-04-01T00:00:00Z", "apply": canonical(documents(MONTH)[0])}
    found = driver.given("segment: other\nwhen: {did: {event: click}}", facts, [change]).replayed("2026-06-01")
    assert {zone: exits(found, contact=zone) for zone in ENDS} == {zone: [end] for zone, end in ENDS.items()}


def test_a_segment_that_changes_to_the_zone_of_the_contact_and_away() -> None:
    facts = [lives("2026-01-01", "Europe/Moscow"), fact(BOUGHT, "purchase")]
    for zones in (["UTC", "contact"], ["contact", "UTC"], ["contact", "Europe/Moscow", "contact"]):
        replay = Replay(documents(MONTH.replace("contact", zones[0])))
        found = [each for line in facts for each in replay.take(line_of(line))]
        for zone in zones[1:]:
            found += replay.change(documents(MONTH.replace("contact", zone)))
        found += replay.until(parse_instant("2026-06-01"))
        end = ENDS["UTC" if zones[-1] == "UTC" else "Europe/Moscow"]
        assert told(rows(found)) == ["enter month 2026-03-30T22:30:00.000Z event", f"exit month {end} clock"]


PLACES = ("Europe/Moscow", "America/New_York", "Asia/Kolkata", "Europe/Berlin", "nowhere")
CALENDARS = ("did", "aggregate", "known", "quiet", "streak", "missed", "profile")
"""Conditions that follow a calendar, in some of their options."""
QUICK = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def in_zone(found: list[dict[str, Any]], zone: str) -> list[Any]:
    segments = [read_segment({**document, "timezone": zone}) for document in found]
    check(segments)
    return segments


def moved(at: int, zone: str, number: int, contact: str) -> bytes:
    return line_of({**lives(format_instant(at), zone, contact), "id": f"zone-{number}"})


def staying(lines: list[bytes]) -> list[bytes]:
    """The facts without what they say of zones, and without arrivals, before which the moves would be."""
    found = [json.loads(line) for line in lines]
    for line in found:
        line.pop("arrives", None)
        line["properties"].pop("timezone", None)
    return [line_of(line) for line in found]


@QUICK
@given(segment_sets(kinds=CALENDARS), fact_lines(in_order=False), st.sampled_from(PLACES), st.integers(0, 90))
def test_it_is_as_a_segment_of_that_very_zone(
    found: list[dict[str, Any]], lines: list[bytes], zone: str, days: int
) -> None:
    first = [moved(START - DAY, zone, n, contact) for n, contact in enumerate("abc")]
    own, named = Replay(in_zone(found, "contact")), Replay(in_zone(found, "UTC" if zone == "nowhere" else zone))
    for line in first + staying(lines):
        assert rows(own.take(line)) == rows(named.take(line))
    end = START + days * DAY
    assert rows(own.until(end)) == rows(named.until(end))


@QUICK
@given(segment_sets(kinds=CALENDARS), fact_lines(in_order=False),
       st.lists(st.sampled_from(PLACES), min_size=2, max_size=4), st.integers(0, 90), st.data())  # fmt: skip
def test_after_moves_it_is_as_if_the_contact_had_always_lived_there(
    found: list[dict[str, Any]], lines: list[bytes], zones: list[str], days: int, data: st.DataObject
) -> None:
    lines = staying(lines)
    moving = list(lines)
    for number, zone in enumerate(zones):
        moving.insert(data.draw(st.integers(0, len(moving))), moved(START - DAY + number, zone, number, "a"))
    settled = [moved(START - DAY + n, zones[-1], n, "a") for n in range(len(zones))] + lines
    ours, theirs = Replay(in_zone(found, "contact")), Replay(in_zone(found, "contact"))
    for replay, taken in ((ours, moving), (theirs, settled)):
        for line in taken:
            replay.take(line)
        replay.until(START + days * DAY)
    for document in found:
        assert ours.members(document["segment"]) == theirs.members(document["segment"])


def test_a_restart_between_any_two_facts_changes_nothing() -> None:
    lines = [lives("2026-01-01", "Europe/Moscow", named="m-1"), fact(BOUGHT, "purchase", named="p-1")]
    lines += [lives("2026-04-10", "America/New_York", named="m-2"), fact("2026-04-11", "purchase", named="p-2")]
    lines += [{**fact("2026-04-12", "event_retracted"), "properties": {"id": each}} for each in ("m-2", "p-2", "m-3")]
    lines += [lives("2026-04-13", "Asia/Tokyo", named="m-3"), fact("2026-05-20", "purchase")]
    differs(documents(f"{MONTH}\n---\n{SINCE}"), [line_of(line) for line in lines], parse_instant("2026-07-01"))


def test_zones_share_ranks_keys_and_what_does_not_follow_them() -> None:
    segments = f"{MONTH}\n---\nsegment: day\nwhen: {{did: {{event: purchase, within: P1D}}}}\n---\n"
    segments += "segment: ever\ntimezone: contact\nwhen: {did: {event: purchase, count: {gte: 2}}}"
    base = compile_plan([(each, 1) for each in documents(segments)]).workspace("default")
    moscow = base.for_contact(Contact(attributes={"timezone": [0, "Europe/Moscow"]}))
    assert moscow is not base
    assert list(moscow.features) == list(base.features)
    differing = [key for key, feature in base.features.items() if moscow.features[key] is not feature]
    assert differing == list(base.zoned)
    assert len(differing) == 1
    assert [each.key for each in moscow.segments] == [each.key for each in base.segments]
    assert base.for_contact(Contact(attributes={"timezone": [9, "Europe/Moscow"]})) is moscow
    assert moscow.for_contact(Contact()) is base


def test_a_plan_without_such_segments_is_the_same_for_all() -> None:
    plan = compile_plan([(each, 1) for each in documents(MONTH.replace("contact", "Europe/Moscow"))])
    workspace = plan.workspace("default")
    assert workspace.for_contact(Contact(attributes={"timezone": [0, "Asia/Tokyo"]})) is workspace
    assert not workspace.own


def test_zones_kept_are_bounded() -> None:
    workspace = WorkspacePlan([(documents(MONTH)[0], 1)], {})
    for name in sorted(zone_names())[: ZONES_KEPT + 20]:
        workspace.for_contact(Contact(attributes={"timezone": [0, name]}))
    assert len(workspace._by_zone) <= ZONES_KEPT + 1
    assert workspace.for_contact(Contact()) is workspace
