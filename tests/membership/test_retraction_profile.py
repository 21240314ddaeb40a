"""Attributes, tags, lists, consent and age once a fact is taken back: what stood before it is back (DESIGN.md 3)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.conditions.instants import parse_instant
from engine.membership.consents import hear_again
from engine.membership.plan import WorkspacePlan
from engine.membership.replay import Replay
from tests.driver import Row, documents, fact, given, line_of
from tests.membership.test_retraction import retracted
from tests.membership.test_state_roundtrip import differs

CITY = "segment: north\nwhen: {profile: {city: Petersburg}}"


def updated(at: str, named: str, arrives: str | None = None, **attributes: Any) -> Row:
    when = {} if arrives is None else {"arrives": arrives}
    return {**fact(at, "contact_updated", named=named, **when), "properties": attributes}


def test_the_former_value_of_an_attribute_is_back() -> None:
    facts = [updated("2026-01-01", "u-1", city="Petersburg"), updated("2026-01-02", "u-2", city="Moscow")]
    facts.append(retracted("2026-01-03", "u-2"))
    assert given(CITY, facts).at().told() == [
        "enter north 2026-01-01T00:00:00.000Z event",
        "exit north 2026-01-02T00:00:00.000Z event",
        "enter north 2026-01-03T00:00:00.000Z event",
    ]
    assert given(CITY, [*facts, retracted("2026-01-04", "u-1")]).at().members("north") == set()


def test_a_removal_taken_back_brings_the_value_back() -> None:
    facts = [updated("2026-01-01", "u-1", city="Petersburg"), updated("2026-01-02", "u-2", city=None)]
    assert given(CITY, facts).at().members("north") == set()
    assert given(CITY, [*facts, retracted("2026-01-03", "u-2")]).at().members("north") == {"c-1"}


def test_a_value_that_another_fact_set_stays() -> None:
    facts = [updated("2026-01-01", "u-1", city="Petersburg"), updated("2026-01-02", "u-2", city="Petersburg")]
    found = given(CITY, [*facts, retracted("2026-01-03", "u-1"), retracted("2026-01-04", "u-3")]).at()
    assert found.told() == ["enter north 2026-01-01T00:00:00.000Z event"]
    # The former one may have come late: the greatest `at` that is left wins, then what came last.
    late = [facts[1], updated("2026-01-01", "u-3", city="Moscow"), updated("2026-01-01", "u-1", city="Petersburg")]
    assert given(CITY, [*late, retracted("2026-01-03", "u-2")]).at().members("north") == {"c-1"}


def test_tags_and_lists_are_as_they_were() -> None:
    segments = "segment: tagged\nwhen: {tags: {any: [vip]}}\n---\nsegment: listed\nwhen: {in_list: vip}"
    facts = [
        fact("2026-01-01", "tags_added", tags=["vip", "new"]),
        fact("2026-01-02", "list_added", list="vip", named="on"),
        fact("2026-01-03", "tags_removed", tags="vip", named="off"),
        retracted("2026-01-04", "off"),
        retracted("2026-01-05", "on"),
    ]
    assert given(segments, facts).at().told() == [
        "enter tagged 2026-01-01T00:00:00.000Z event",
        "enter listed 2026-01-02T00:00:00.000Z list",
        "exit tagged 2026-01-03T00:00:00.000Z event",
        "enter tagged 2026-01-04T00:00:00.000Z event",
        "exit listed 2026-01-05T00:00:00.000Z event",
    ]


def test_consent_follows_what_is_left() -> None:
    segments = "segment: all\nwhen: {known: {for: PT1H}}\n---\n"
    segments += "segment: granted\nmailable: {channel: email, consent: required}\nwhen: {known: {for: PT1H}}\n---\n"
    segments += "segment: rule\nmailable: false\nwhen: {consent: {channel: email, is: revoked}}"
    facts = [
        fact("2026-01-01", "click"),
        fact("2026-01-02", "opt_in", channel="email", named="in"),
        fact("2026-01-03", "opt_out", channel="email", named="out"),
        fact("2026-01-03", "opt_out", named="out-all"),
        retracted("2026-01-04", "out"),
        retracted("2026-01-05", "out-all"),
        retracted("2026-01-06", "in"),
    ]
    assert given(segments, facts).at().told() == [
        "enter all 2026-01-01T01:00:00.000Z clock",
        "enter granted 2026-01-02T00:00:00.000Z event",
        "exit granted 2026-01-03T00:00:00.000Z opt_out",
        "enter rule 2026-01-03T00:00:00.000Z event",
        "exit all 2026-01-03T00:00:00.000Z opt_out",
        "exit rule 2026-01-05T00:00:00.000Z event",
        "enter all 2026-01-05T00:00:00.000Z event",
        "enter granted 2026-01-05T00:00:00.000Z event",
        "exit granted 2026-01-06T00:00:00.000Z event",
    ]


def test_a_channel_closed_again_by_a_retraction() -> None:
    segment = "segment: s\nmailable: {channel: email}\nwhen: {did: {event: click}}"
    facts = [
        fact("2026-01-01", "click"),
        fact("2026-01-02", "opt_out", channel="email"),
        fact("2026-01-03", "opt_in", channel="email", named="in"),
        retracted("2026-01-04", "in", named="r"),
    ]
    found = given(segment, facts).at()
    assert found.told()[-1] == "exit s 2026-01-04T00:00:00.000Z event"
    assert found.transitions[-1]["cause"]["event_id"] == "r"


def test_the_contact_is_known_since_the_earliest_that_is_left() -> None:
    segment = "segment: old\nwhen: {known: {for: P10D}}"
    facts = [fact("2026-01-01", "click", named="a"), fact("2026-01-05", "click"), retracted("2026-01-06", "a")]
    assert given(segment, facts).at("2026-02-01").told() == ["enter old 2026-01-15T00:00:00.000Z clock"]
    alone = [fact("2026-01-01", "click", named="a"), retracted("2026-01-06", "a")]
    assert given(segment, alone).at("2026-02-01").told() == ["enter old 2026-01-16T00:00:00.000Z clock"]
    late = [fact("2026-01-20", "click"), fact("2026-01-01", "click", named="a"), retracted("2026-01-21", "a")]
    assert given(segment, late).at("2026-02-01").told() == [
        "enter old 2026-01-20T00:00:00.000Z event",
        "exit old 2026-01-21T00:00:00.000Z event",
        "enter old 2026-01-30T00:00:00.000Z clock",
    ]


def test_an_attribute_whose_former_value_the_journal_has_lost_is_unset() -> None:
    facts = [updated("2024-01-01", "u-1", city="Petersburg"), updated("2026-01-01", "u-2", city="Moscow")]
    unset = "segment: unset\nwhen: {profile: {city: {exists: false}}}"
    found = given(f"{CITY}\n---\n{unset}", [*facts, retracted("2026-01-02", "u-2")]).at()
    assert (found.members("north"), found.members("unset")) == (set(), {"c-1"})


@pytest.mark.parametrize("channel", [{}, {"channel": "email"}])
def test_a_closing_that_the_journal_has_lost_still_holds(channel: dict[str, str]) -> None:
    segment = "segment: s\nmailable: {channel: email}\nwhen: {did: {event: click}}"
    facts = [fact("2024-01-01", "opt_out", **channel), fact("2026-01-01", "click")]
    facts += [fact("2026-01-02", "opt_in", named="in", **channel)]
    assert given(segment, facts).at().members("s") == {"c-1"}
    assert given(segment, [*facts, retracted("2026-01-03", "in")]).at().members("s") == set()
    # One that was itself taken back does not.
    closing = {**fact("2026-01-01", "opt_out", named="out"), "properties": channel}
    facts = [facts[1], closing, facts[2], retracted("2026-01-03", "out"), retracted("2026-01-04", "in")]
    assert given(segment, facts).at().members("s") == {"c-1"}


def test_a_late_closing_is_remembered_as_well() -> None:
    lines = [fact("2026-01-05", "opt_in", channel="email")]
    lines += [fact(f"2026-01-0{day}", "block", channel="email") for day in (2, 1)]
    replay = Replay([])
    for line in lines:
        replay.take(line_of(line))
    state = next(iter(replay.contacts.contacts.values()))
    journal = replay.contacts.history(b"\x07defaultc-1", state)
    horizon = parse_instant("2026-01-03")
    hear_again(WorkspacePlan((), {}), state, [journal[0]], [], horizon)
    assert state.consent == {"email": [parse_instant("2026-01-02"), 0]}


def test_all_values_that_facts_of_the_id_had_set_go_at_once() -> None:
    facts = [
        updated("2026-01-10", "u-1", city="Petersburg", arrives="2026-01-10"),
        updated("2026-01-05", "u-1", city="Moscow", arrives="2026-01-20"),
    ]
    assert given(CITY, facts).at().members("north") == {"c-1"}
    facts.append(retracted("2026-01-21", "u-1", arrives="2026-01-21"))
    assert given(CITY, facts).at().members("north") == set()


def test_a_restart_between_any_two_facts_changes_nothing() -> None:
    lines = [retracted("2026-01-01", each) for each in ("u-3", "out")]
    lines += [updated("2026-01-03", "u-1", city="Petersburg"), updated("2026-01-04", "u-3", city="Tver")]
    lines += [updated("2026-01-05", "u-2", city="Moscow"), fact("2026-01-05", "opt_out", named="out")]
    lines += [retracted("2026-01-06", "u-2"), fact("2026-01-07", "opt_out", named="o-1")]
    lines += [fact("2026-01-08", "opt_in", named="i-1"), fact("2026-01-06", "block", named="b-1")]
    lines += [retracted("2026-01-09", each) for each in ("i-1", "o-1", "u-1", "b-1")]
    differs(documents(CITY), [line_of(line) for line in lines], parse_instant("2026-02-01"))
