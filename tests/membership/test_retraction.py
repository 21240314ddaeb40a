"""`event_retracted`: what the facts with an id said counts no more, anywhere (DESIGN.md 3)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import parse_instant
from engine.membership.facts import read_fact
from engine.membership.replay import Replay
from engine.membership.retractions import RETRACTIONS_MAX
from tests.driver import Row, documents, fact, given, line_of, rows
from tests.membership.test_state_roundtrip import differs

BUYERS = "segment: buyers\nwhen: {did: {event: purchase}}"


def retracted(at: str, which: Any, contact: str = "c-1", /, **more: Any) -> Row:
    return {**fact(at, "event_retracted", contact, **more), "properties": {"id": which}}


def bought(at: str, named: str, amount: Any = 100, **more: Any) -> Row:
    return fact(at, "purchase", named=named, amount=amount, order_id=more.pop("order", named), **more)


def figure(fn: str, test: str, more: str = "") -> str:
    return f"segment: figure\nwhen: {{aggregate: {{fn: {fn}, of: amount, event: purchase, is: {test}{more}}}}}"


def read(line: Row) -> Fact:
    found = read_fact(line_of(line), arrival=None, fallback_id="", skew=0, max_bytes=10_000)
    assert isinstance(found, Fact)
    return found


def test_it_counts_no_more_from_the_instant_of_the_retraction() -> None:
    found = given(BUYERS, [bought("2026-01-01", "p-1"), retracted("2026-01-03", "p-1", named="r-1")]).at()
    assert found.told() == ["enter buyers 2026-01-01T00:00:00.000Z event", "exit buyers 2026-01-03T00:00:00.000Z event"]
    cause = found.transitions[-1]["cause"]
    assert cause == {
        "kind": "event",
        "event_id": "r-1",
        "event_type": "event_retracted",
        "event_at": "2026-01-03T00:00:00.000Z",
    }


def test_a_late_retraction_is_judged_as_of_the_latest() -> None:
    facts = [bought("2026-01-01", "p-1"), fact("2026-01-05", "click"), retracted("2026-01-03", "p-1")]
    found = given(BUYERS, facts).at().of("buyers")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [
        ("enter", "2026-01-01T00:00:00.000Z", False),
        ("exit", "2026-01-05T00:00:00.000Z", True),
    ]


def test_deadlines_before_it_fire_with_what_counted_then() -> None:
    segment = "segment: two-days\nwhen: {did: {event: purchase, within: P2D}}"
    facts = [bought("2026-01-01", "p-1"), retracted("2026-01-04", "p-1")]
    assert given(segment, facts).at("2026-02-01").told() == [
        "enter two-days 2026-01-01T00:00:00.000Z event",
        "exit two-days 2026-01-03T00:00:00.000Z clock",
    ]


@pytest.mark.parametrize(
    "named", [None, 7, "", [], ["p-1"], {"id": "p-1"}, "p-2", "x" * 600], ids=lambda named: str(named)[:8]
)
def test_what_retracts_nothing_is_an_ordinary_fact(named: Any) -> None:
    segments = f"{BUYERS}\n---\nsegment: told\nwhen: {{did: {{event: event_retracted}}}}"
    found = given(segments, [bought("2026-01-01", "p-1"), retracted("2026-01-02", named)]).at()
    assert found.members("buyers") == found.members("told") == {"c-1"}


def test_other_contacts_and_workspaces_keep_their_facts_of_that_id() -> None:
    facts = [bought("2026-01-01", "p-1"), retracted("2026-01-02", "p-1", "c-2")]
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}
    elsewhere = retracted("2026-01-02", "p-1", workspace="shop")
    assert given(BUYERS, [bought("2026-01-01", "p-1"), elsewhere]).at().members("buyers") == {"c-1"}


def test_a_retraction_is_not_retracted() -> None:
    facts = [
        bought("2026-01-01", "p-1"),
        retracted("2026-01-02", "p-1", named="r-1"),
        retracted("2026-01-03", "r-1"),
    ]
    told = "segment: told\nwhen: {did: {event: event_retracted, count: 2}}"
    found = given(f"{BUYERS}\n---\n{told}", facts).at()
    assert (found.members("buyers"), found.members("told")) == (set(), {"c-1"})


@pytest.mark.parametrize(
    ("days", "counts"), [("2026-01-15", False), ("2026-01-31", False), ("2026-01-31T00:00:00.001Z", True)]
)
def test_a_retraction_waits_thirty_days_for_its_fact(days: str, counts: bool) -> None:
    facts = [retracted("2026-01-01", "p-1"), {**bought("2026-01-01", "p-1"), "at": fact(days, "x")["at"]}]
    found = given(BUYERS, facts).at()
    assert found.members("buyers") == ({"c-1"} if counts else set())


def test_a_fact_from_before_the_retraction_that_waits_is_dead_too() -> None:
    segments = f"{BUYERS}\n---\nsegment: old\nwhen: {{known: {{for: P30D}}}}"
    facts = [retracted("2026-01-20", "p-1"), bought("2025-06-01", "p-1")]
    assert given(segments, facts).at("2026-02-01").told() == []


def test_only_the_next_fact_with_the_id_is_dead_on_arrival() -> None:
    arrived = [("2026-01-01", "r-1"), ("2026-01-02", "p-1"), ("2026-01-12", "p-1")]
    facts = [
        retracted("2026-01-01", "p-1", named="r-1", arrives=arrived[0][0]),
        bought("2026-01-02", "p-1", arrives=arrived[1][0]),
        bought("2026-01-12", "p-1", arrives=arrived[2][0]),
    ]
    assert given(BUYERS, facts[:2]).at().members("buyers") == set()
    assert given(BUYERS, facts).at().told() == ["enter buyers 2026-01-12T00:00:00.000Z event"]


def test_two_that_wait_take_back_one_fact() -> None:
    facts = [
        retracted("2026-01-01", "p-1", arrives="2026-01-01"),
        retracted("2026-02-01", "p-1", arrives="2026-02-01"),
        bought("2026-02-15", "p-1", arrives="2026-02-15"),  # in time for the second of them
        bought("2026-02-25", "p-1", arrives="2026-02-25"),
    ]
    assert given(BUYERS, facts[:3]).at().members("buyers") == set()
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}


def test_a_dead_fact_moves_the_as_of_and_what_is_due_fires() -> None:
    segment = "segment: young\nwhen: {known: {within: P7D}}"
    facts = [retracted("2026-01-01", "p-1"), bought("2026-01-10", "p-1"), fact("2026-01-09", "click")]
    assert given(segment, facts).at().told() == [
        "enter young 2026-01-01T00:00:00.000Z event",
        "exit young 2026-01-08T00:00:00.000Z clock",
    ]
    late = given("segment: clicked\nwhen: {did: {event: click}}", facts).at().of("clicked")
    assert [(row["at"], row["late"]) for row in late] == [("2026-01-10T00:00:00.000Z", True)]


def test_sent_again_it_is_a_duplicate_and_after_dedup_a_new_fact() -> None:
    first = bought("2026-01-01", "p-1", arrives="2026-01-01")
    gone = retracted("2026-01-02", "p-1", arrives="2026-01-02")
    replay = Replay(documents(BUYERS))
    for line in (first, gone, {**first, "arrives": "2026-01-03T00:00:00Z"}):
        replay.take(line_of(line))
    assert (replay.duplicates, replay.members("buyers")) == (1, set())
    replay.take(line_of({**first, "arrives": "2026-01-08T00:00:00Z"}))
    assert (replay.duplicates, replay.members("buyers")) == (1, {"c-1"})
    # A second retraction takes that one back as well.
    replay.take(line_of(retracted("2026-01-09", "p-1", arrives="2026-01-09")))
    assert replay.members("buyers") == set()


def test_the_same_retraction_twice_is_one() -> None:
    gone = retracted("2026-01-02", "p-1", named="r-1")
    count = "segment: one\nwhen: {did: {event: event_retracted, count: 1}}"
    found = given(f"{BUYERS}\n---\n{count}", [bought("2026-01-01", "p-1"), gone, gone]).at()
    assert (found.members("buyers"), found.members("one")) == (set(), {"c-1"})


@pytest.mark.parametrize("more", ["", ", within: P90D"])
@pytest.mark.parametrize(
    ("fn", "test"),
    [("sum", "400"), ("avg", "200"), ("min", "100"), ("max", "300"), ("count", "2"), ("distinct", "2"),
     ("first", "100"), ("last", "300")],
)  # fmt: skip
def test_every_figure_is_as_without_it(fn: str, test: str, more: str) -> None:
    facts = [bought("2026-01-01", "low", 5), bought("2026-01-02", "a", 100), bought("2026-01-03", "b", 300)]
    facts += [bought("2026-01-04", "high", 900), bought("2026-01-05", "text", "900")]
    facts += [retracted("2026-01-06", each) for each in ("low", "high", "text")]
    assert given(figure(fn, test, more), facts).at().members("figure") == {"c-1"}


@pytest.mark.parametrize(("fn", "rest"), [("min", 11), ("max", 9)])
def test_of_equal_values_that_came_late_none_stays(fn: str, rest: int) -> None:
    facts = [bought("2026-01-02", "a", "10", order="A-1"), bought("2026-01-01", "b", 10, order="A-1")]
    facts += [bought("2026-01-04", "c", rest), fact("2026-01-05", "refund", order_id="A-1")]
    assert given(figure(fn, str(rest)), facts).at().members("figure") == {"c-1"}


def test_a_retraction_is_itself_an_event_once() -> None:
    either = "segment: s\nwhen: {did: {event: [purchase, event_retracted], count: 2}}"
    facts = [bought("2026-01-01", "p-1"), bought("2026-01-02", "p-2"), retracted("2026-01-03", "p-1")]
    assert given(either, facts).at().members("s") == {"c-1"}


def test_all_facts_that_had_the_id_go_at_once() -> None:
    facts = [bought(day, "p-1", arrives=day) for day in ("2026-01-10", "2026-01-20", "2026-01-28")]
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}
    facts.append(retracted("2026-01-29", "p-1", arrives="2026-01-29"))
    assert given(BUYERS, facts).at().members("buyers") == set()


def test_a_retraction_with_an_awaited_id_is_no_dead_fact() -> None:
    facts = [retracted("2026-01-01", "r-2", named="r-1"), bought("2026-01-02", "p-1")]
    facts += [retracted("2026-01-03", "p-1", named="r-2")]
    twice = "segment: twice\nwhen: {did: {event: event_retracted, count: 2}}"
    found = given(f"{BUYERS}\n---\n{twice}", facts).at()
    assert (found.members("buyers"), found.members("twice")) == (set(), {"c-1"})


def test_an_answer_taken_back_leaves_messages_unread() -> None:
    streak = "segment: s\nwhen: {streak: {of: sent, without: read, at_least: 2}}"
    facts = [fact("2026-01-01", "sent"), fact("2026-01-02", "read", named="a"), fact("2026-01-03", "sent")]
    found = given(streak, [*facts, retracted("2026-01-04", "a")]).at()
    assert found.told() == ["enter s 2026-01-04T00:00:00.000Z event"]
    missed = "segment: s\nwhen: {missed: {after: sent, expect: read, within: P5D}}"
    found = given(missed, [facts[0], facts[1], retracted("2026-01-03", "a")]).at("2026-02-01")
    assert found.told() == ["enter s 2026-01-06T00:00:00.000Z clock"]


def test_a_silence_that_a_retracted_fact_broke_is_whole_again() -> None:
    quiet = "segment: s\nwhen: {quiet: {event: purchase, for: P10D}}"
    facts = [fact("2026-01-01", "click"), bought("2026-01-08", "p-1"), retracted("2026-01-09", "p-1")]
    assert given(quiet, facts).at("2026-02-01").told() == ["enter s 2026-01-11T00:00:00.000Z clock"]


def test_a_retracted_refund_gives_the_purchase_back() -> None:
    refund = fact("2026-01-02", "refund", named="back", order_id="A-1")
    facts = [bought("2026-01-01", "p-1", order="A-1"), refund, retracted("2026-01-03", "back")]
    assert given(BUYERS, facts).at().told() == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        "exit buyers 2026-01-02T00:00:00.000Z event",
        "enter buyers 2026-01-03T00:00:00.000Z event",
    ]
    # One that waited for its purchase waits no more.
    facts = [refund, retracted("2026-01-03", "back"), bought("2026-01-04", "p-1", order="A-1")]
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}


@pytest.mark.parametrize("more", ["", ", within: P90D"])
def test_a_refund_goes_to_the_other_purchase_of_its_order(more: str) -> None:
    facts = [
        bought("2026-01-01", "p-1", 100, order="A-1"),
        bought("2026-01-02", "p-2", 80, order="A-1"),
        fact("2026-01-03", "refund", order_id="A-1", amount=30),
    ]
    assert given(figure("sum", "150", more), facts).at().members("figure") == {"c-1"}
    facts.append(retracted("2026-01-04", "p-1"))
    assert given(figure("sum", "50", more), facts).at().members("figure") == {"c-1"}


def test_a_refund_and_a_purchase_that_are_dead_on_arrival_do_nothing() -> None:
    facts = [retracted("2026-01-01", "back"), bought("2026-01-01", "p-1", order="A-1")]
    facts += [fact("2026-01-02", "refund", named="back", order_id="A-1"), bought("2026-01-03", "p-2", order="A-1")]
    assert given(BUYERS, facts[:-1]).at().members("buyers") == {"c-1"}
    assert given(figure("sum", "200"), facts).at().members("figure") == {"c-1"}


def test_what_is_only_carried_changes_without_a_transition() -> None:
    segment = "segment: s\npayload: [city, last.purchase.order_id]\nwhen: {did: {event: click, count: {in: [1, 3]}}}"
    facts = [
        fact("2026-01-01", "click"),
        bought("2026-01-02", "p-1"),
        bought("2026-01-02", "p-2"),
        fact("2026-01-02", "contact_updated", named="u-1", city="Tver"),
        fact("2026-01-03", "click"),
        retracted("2026-01-04", "p-2"),
        retracted("2026-01-04", "u-1"),
    ]
    assert len(given(segment, facts).at().of("s")) == 2
    last = given(segment, [*facts, fact("2026-01-05", "click")]).at().of("s")[-1]
    assert last["payload"] == {"city": None, "last.purchase.order_id": "p-1"}


def test_nested_and_grouped_segments_follow_in_the_same_step() -> None:
    segments = "segment: gold\ngroup: {name: g, priority: 2}\nwhen: {did: {event: purchase, count: {gte: 2}}}\n---\n"
    segments += "segment: silver\ngroup: {name: g, priority: 1}\nwhen: {did: {event: purchase}}\n---\n"
    segments += "segment: guest\nwhen: {none: [{in_segment: gold}, {in_segment: silver}]}"
    facts = [bought("2026-01-01", "p-1"), bought("2026-01-02", "p-2")]
    found = given(segments, [*facts, retracted("2026-01-03", "p-1"), retracted("2026-01-04", "p-2")]).at()
    assert found.told()[-4:] == [
        "exit gold 2026-01-03T00:00:00.000Z event",
        "enter silver 2026-01-03T00:00:00.000Z event",
        "exit silver 2026-01-04T00:00:00.000Z event",
        "enter guest 2026-01-04T00:00:00.000Z event",
    ]


def test_a_segment_that_comes_later_counts_no_retracted_history() -> None:
    facts = [bought("2026-01-01", "p-1"), retracted("2026-01-02", "p-1"), retracted("2026-01-02", "p-2")]
    facts.append(bought("2026-01-03", "p-2"))
    change = {"at": "2026-01-10T00:00:00Z", "apply": {"segment": "buyers", "when": {"did": {"event": "purchase"}}}}
    seen = given("segment: other\nwhen: {did: {event: click}}", facts, [change]).replayed("2026-01-20")
    assert seen.members("buyers") == set()
    # Late facts have the ordered ones folded anew: what was dead on arrival stays so.
    streak = "segment: s\nwhen: {streak: {of: purchase, without: read, at_least: 1}}"
    assert given(streak, [*facts, fact("2026-01-01", "read")]).at().members("s") == set()


LONG = "segment: long\nwhen: {did: {event: purchase, count: {gte: 2}}}"


def test_what_the_journal_has_forgotten_cannot_be_taken_back() -> None:
    facts = [bought("2024-01-01", "old"), bought("2026-01-01", "new"), retracted("2026-01-02", "old")]
    assert given(LONG, facts).at().members("long") == {"c-1"}


def test_a_retraction_older_than_the_journal_says_nothing() -> None:
    facts = [bought("2026-01-01", "new"), retracted("2024-01-01", "new")]
    assert given(BUYERS, facts).at().members("buyers") == {"c-1"}


@pytest.mark.parametrize(
    ("at", "named", "unmet"), [("2026-01-03", "p-1", 0), ("2026-01-03", "p-2", 1), ("2024-01-01", "p-1", 1)]
)
def test_retractions_that_undo_nothing_are_counted(at: str, named: str, unmet: int) -> None:
    replay = Replay(documents(BUYERS))
    replay.partition.take([read(bought("2026-01-01", "p-1")), read(retracted(at, named))])
    assert replay.partition.drain().unmet == unmet


def test_figures_keep_what_is_older_than_the_journal() -> None:
    facts = [bought("2024-01-01", "old", 1000), bought("2026-01-01", "new", 1), retracted("2026-01-02", "new")]
    for fn, test in (("sum", "1000"), ("max", "1000"), ("first", "1000"), ("count", "1"), ("distinct", "1")):
        assert given(figure(fn, test), facts).at().members("figure") == {"c-1"}, fn
    segment = "segment: old\nwhen: {known: {for: P500D}}"
    assert given(segment, facts).at().members("old") == {"c-1"}


def test_ids_awaited_are_bounded() -> None:
    replay = Replay(documents(BUYERS))
    for number in range(RETRACTIONS_MAX + 10):
        replay.take(line_of(retracted("2026-01-01", f"p-{number}")))
    state = next(iter(replay.contacts.contacts.values()))
    assert state.retractions is not None
    assert len(state.retractions) == RETRACTIONS_MAX
    # The oldest is forgotten, unless others are past their time.
    for named, counts in ((f"p-{RETRACTIONS_MAX}", False), ("p-0", True)):
        replay.take(line_of(bought("2026-01-02", named)))
        assert replay.members("buyers") == ({"c-1"} if counts else set())
    replay.take(line_of(fact("2026-03-01", "click")))
    replay.take(line_of(retracted("2026-03-01", "q-1")))
    replay.take(line_of(retracted("2026-03-01", "q-2")))
    assert len(state.retractions) == 2


def test_spent_waits_leave_nothing_in_the_state() -> None:
    replay = Replay(documents(BUYERS))
    for line in (retracted("2026-01-01", "p-1"), bought("2026-01-02", "p-1")):
        replay.take(line_of(line))
    assert next(iter(replay.contacts.contacts.values())).retractions is None


def test_facts_taken_back_in_the_batch_that_brought_them() -> None:
    lines = [bought("2026-01-01", "p-1"), retracted("2026-01-02", "p-1"), bought("2026-01-03", "p-2")]
    replay = Replay(documents(BUYERS))
    replay.partition.take([read(line) for line in lines])
    assert [(row["change"], row["at"][:10]) for row in rows(replay.partition.drain().transitions)] == [
        ("enter", "2026-01-01"),
        ("exit", "2026-01-02"),
        ("enter", "2026-01-03"),
    ]


def test_what_a_record_says_of_our_own_fields_is_not_believed() -> None:
    assert given(BUYERS, [{**bought("2026-01-01", "p-1"), "~dead": True}]).at().members("buyers") == {"c-1"}


def test_a_restart_between_any_two_facts_changes_nothing() -> None:
    run = "segment: run\nwhen: {streak: {of: purchase, without: read, at_least: 2}}"
    lines = [retracted("2026-01-01", each) for each in ("p-1", "p-5")]
    lines += [bought(f"2026-01-0{day}", f"p-{day}") for day in (1, 2, 3)]
    lines += [fact("2026-01-01", "read"), retracted("2026-01-06", "p-2"), bought("2026-01-07", "p-4")]
    lines += [fact("2026-01-02", "read"), retracted("2026-01-09", "p-3"), bought("2026-01-09", "p-5")]
    differs(documents(f"{BUYERS}\n---\n{run}"), [line_of(line) for line in lines], parse_instant("2026-02-01"))
