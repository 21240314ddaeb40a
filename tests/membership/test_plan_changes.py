"""Definitions that come, change and go while facts flow: history counts, only the difference is published."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from engine.conditions.instants import DAY, parse_instant
from engine.definitions import Segment, check, parse_segment, read_segment
from engine.membership import step
from engine.membership.judge import judge
from engine.membership.partition import Partition
from engine.membership.plan import compile_plan
from engine.membership.replay import DEDUP, GRACE, JOURNAL_RETENTION, Replay
from tests.driver import documents, fact, given, line_of, rows, told
from tests.membership.strategies import START, fact_lines, segment_sets

BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}"
CLICKERS = "segment: clickers\nwhen: {did: {event: click}}"


def replayed(segments: str, *facts: dict[str, Any]) -> Replay:
    replay = Replay(documents(segments) if segments else [])
    for line in facts:
        replay.take(line_of(line))
    return replay


def until(replay: Replay, at: str) -> list[str]:
    return told(rows(replay.until(parse_instant(at))), None)


def test_history_counts_although_the_segment_came_later() -> None:
    replay = replayed("", fact("2026-01-01", "purchase"), fact("2026-01-10", "click"))
    until(replay, "2026-01-20")
    found = rows(replay.apply(parse_segment(BUYERS)))
    assert told(found) == ["enter buyers 2026-01-20T00:00:00.000Z backfill"]
    assert (found[0]["version"], found[0]["sequence"], found[0]["not_before"]) == (1, 1, "2026-01-31T00:00:00.000Z")
    assert found[0]["cause"] == {"kind": "backfill", "event_id": None, "event_type": None, "event_at": None}
    assert until(replay, "2026-03-01") == ["exit buyers 2026-01-31T00:00:00.000Z clock"]


def test_what_is_over_by_now_is_not_published() -> None:
    replay = replayed("", fact("2026-01-01", "purchase"))
    until(replay, "2026-03-01")
    assert replay.apply(parse_segment(BUYERS)) == []
    assert until(replay, "2026-12-01") == []


def test_a_contact_whose_as_of_is_ahead_of_the_clock_is_judged_as_of_it() -> None:
    # The clock is a second behind the fact.
    replay = replayed("", fact("2026-01-01", "purchase"))
    assert told(rows(replay.apply(parse_segment(BUYERS)))) == ["enter buyers 2026-01-01T00:00:00.000Z backfill"]


def test_an_edit_publishes_only_the_difference() -> None:
    facts = [fact("2026-01-01", "purchase", "once"), fact("2026-01-02", "purchase", "twice")]
    replay = replayed(BUYERS, *facts, fact("2026-01-03", "purchase", "twice"))
    until(replay, "2026-01-05")
    stricter = parse_segment("segment: buyers\nwhen: {did: {event: purchase, within: P30D, count: {gte: 2}}}")
    found = rows(replay.apply(stricter))
    assert told(found, None) == ["exit buyers 2026-01-05T00:00:00.000Z definition"]
    assert (found[0]["contact"], found[0]["version"], found[0]["sequence"]) == ("once", 2, 2)
    found = rows(replay.apply(parse_segment(BUYERS)))
    assert [(row["contact"], row["change"], row["version"], row["sequence"]) for row in found] == [
        ("once", "enter", 3, 3)
    ]


def test_a_change_that_publishes_nothing_does_not_move_as_of() -> None:
    replay = replayed(CLICKERS, fact("2026-01-01", "view"))
    until(replay, "2026-01-10")
    assert replay.apply(parse_segment(BUYERS)) == []
    found = rows(replay.take(line_of(fact("2026-01-05", "click"))))
    assert [(row["at"], row["late"]) for row in found] == [("2026-01-05T00:00:00.000Z", True)]


def test_an_edit_that_means_the_same_publishes_nothing() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    assert replay.apply(parse_segment(BUYERS.replace("P30D", "PT720H"))) == []


def test_a_deleted_segment_publishes_its_exits_and_its_numbers_go_on() -> None:
    replay = replayed(
        f"{BUYERS}\n---\n{CLICKERS}", fact("2026-01-01", "purchase"), fact("2026-01-01", "purchase", "c-2")
    )
    until(replay, "2026-01-02")
    found = rows(replay.delete("default", "buyers"))
    assert [
        (row["contact"], row["change"], row["version"], row["sequence"], row["cause"]["kind"]) for row in found
    ] == [
        ("c-1", "exit", 2, 2, "definition"),
        ("c-2", "exit", 2, 2, "definition"),
    ]
    assert {row["not_before"] for row in found} == {None}
    assert until(replay, "2026-03-01") == []
    replay.take(line_of(fact("2026-03-02", "purchase")))
    found = rows(replay.apply(parse_segment(BUYERS)))
    assert [(row["contact"], row["change"], row["version"], row["sequence"]) for row in found] == [
        ("c-1", "enter", 3, 3)
    ]


def test_segments_deleted_at_once_are_left_in_the_order_of_their_ids() -> None:
    replay = replayed(f"{BUYERS}\n---\n{CLICKERS}", fact("2026-01-01", "click"), fact("2026-01-02", "purchase"))
    found = rows(replay.change([], [("default", "clickers"), ("default", "buyers")]))
    assert [(row["change"], row["segment"]) for row in found] == [("exit", "buyers"), ("exit", "clickers")]


def test_a_deleted_segment_stays_away_from_new_facts() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    replay.delete("default", "buyers")
    assert replay.take(line_of(fact("2026-01-02", "purchase"))) == []
    assert replay.members("buyers") == set()
    with pytest.raises(KeyError):
        replay.delete("default", "buyers")


def test_pins_the_gate_and_groups_may_be_edited() -> None:
    facts = [fact("2026-01-01", "click"), fact("2026-01-01", "opt_out", "c-2"), fact("2026-01-01", "click", "c-2")]
    replay = replayed(CLICKERS, *facts)
    until(replay, "2026-01-02")
    for change, expected in (
        ("mailable: false", [("c-2", "enter")]),
        ("exclude: [c-1]\nmailable: false", [("c-1", "exit")]),
        ("", [("c-1", "enter"), ("c-2", "exit")]),
        ("include: [c-3]\nexclude: [c-1]", [("c-1", "exit"), ("c-3", "enter")]),
    ):
        found = rows(replay.apply(parse_segment(f"{CLICKERS}\n{change}")))
        assert [(row["contact"], row["change"]) for row in found] == expected, change


def test_a_segment_that_joins_a_group_takes_over_exits_first() -> None:
    replay = replayed(
        CLICKERS + "\ngroup: {name: g, priority: 1}", fact("2026-01-01", "click"), fact("2026-01-01", "purchase")
    )
    until(replay, "2026-01-02")
    found = rows(replay.apply(parse_segment(BUYERS + "\ngroup: {name: g, priority: 2}")))
    assert [(row["change"], row["segment"]) for row in found] == [("exit", "clickers"), ("enter", "buyers")]


def test_a_nesting_segment_never_reads_an_unfilled_one() -> None:
    replay = replayed("", fact("2026-01-01", "purchase"))
    until(replay, "2026-01-02")
    replay.apply(parse_segment(BUYERS))
    found = rows(replay.apply(parse_segment("segment: a-both\nwhen: {in_segment: buyers}")))
    assert told(found) == ["enter a-both 2026-01-02T00:00:00.000Z backfill"]


def test_a_new_workspace_does_not_touch_another() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"), fact("2026-01-01", "purchase", workspace="two"))
    found = rows(replay.apply(parse_segment(f"{BUYERS}\nworkspace: two")))
    assert [(row["workspace"], row["change"]) for row in found] == [("two", "enter")]


def test_a_change_reaches_contacts_that_facts_touch_first() -> None:
    replay = replayed("", fact("2026-01-01", "purchase"), fact("2026-01-01", "purchase", "c-2"))
    replay.partition.change_plan(compile_plan([(parse_segment(BUYERS), 1)]))
    # Not filled yet: the fact of c-1 brings it up to the plan, and nobody else.
    replay.partition.take([])
    found = rows(replay.take(line_of(fact("2026-01-01T00:00:00.500Z", "click"))))
    assert [(row["contact"], row["change"], row["cause"]["kind"]) for row in found] == [("c-1", "enter", "backfill")]
    replay.partition.fill(sorted(replay.contacts.contacts))
    found = rows(replay.partition.drain().transitions)
    assert [(row["contact"], row["change"]) for row in found] == [("c-2", "enter")]


def slow_fill() -> Replay:
    """In `buyers` until 31 January; on the 30th `clickers` comes, and the partition has not filled c-1 yet."""
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    until(replay, "2026-01-30")
    plan = compile_plan([(segment, 1) for segment in documents(f"{BUYERS}\n---\n{CLICKERS}")])
    replay.partition.change_plan(plan)
    return replay


def test_a_deadline_during_a_fill_keeps_its_instant_and_its_cause() -> None:
    found = rows(slow_fill().until(parse_instant("2026-02-02")))
    assert told(found) == ["exit buyers 2026-01-31T00:00:00.000Z clock"]


def test_a_fact_during_a_fill_finds_the_deadlines_before_it_fired() -> None:
    found = rows(slow_fill().take(line_of(fact("2026-02-02", "view"))))
    assert told(found) == ["exit buyers 2026-01-31T00:00:00.000Z clock"]


def restarted(replay: Replay) -> None:
    """The partition again from what is durable: states, clock, where the plan came, what contacts were filled for."""
    before = replay.partition
    replay.partition = Partition(
        before.plan,
        replay.contacts,
        clock=before.clock,
        grace=GRACE,
        dedup=DEDUP,
        journal_retention=JOURNAL_RETENTION,
        filled=before.filled,
        changed_at=before.changed_at,
    )
    for key, contact in replay.contacts.contacts.items():
        replay.partition.arm(key, contact.deadline)


def test_a_restart_during_a_fill_loses_no_instant() -> None:
    replay = slow_fill()
    restarted(replay)
    found = rows(replay.until(parse_instant("2026-02-02")))
    assert told(found) == ["exit buyers 2026-01-31T00:00:00.000Z clock"]


def test_when_a_fill_reaches_a_contact_changes_nothing_of_what_it_publishes() -> None:
    facts = [fact("2026-01-01", "purchase", "a"), fact("2026-01-05", "purchase", "b"), fact("2026-01-06", "click", "b")]
    stricter = "segment: buyers\nwhen: {did: {event: purchase, within: P15D}}"
    told_by = []
    for late in (False, True):
        replay = replayed(BUYERS, *facts)
        until(replay, "2026-01-10")
        replay.partition.change_plan(compile_plan([(each, 1) for each in documents(f"{stricter}\n---\n{CLICKERS}")]))
        found = []
        if late:
            restarted(replay)
            found = rows(replay.until(parse_instant("2026-01-30")))
        replay.partition.fill(sorted(replay.contacts.contacts))
        found += rows(replay.until(parse_instant("2026-01-30")))
        told_by.append(sorted(told(found, None)))
    assert told_by[0] == told_by[1]
    assert told_by[0] == [
        "enter clickers 2026-01-10T00:00:00.000Z backfill",
        "exit buyers 2026-01-16T00:00:00.000Z clock",
        "exit buyers 2026-01-20T00:00:00.000Z clock",
    ]


def test_only_what_rests_on_a_change_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    several = "\n---\n".join(
        (BUYERS, CLICKERS, "segment: thanks\nwhen: {in_segment: buyers}", "segment: other\nwhen: {did: {event: view}}")
    )
    replay = replayed(several, fact("2026-01-01", "purchase"))
    until(replay, "2026-01-02")
    judged: list[str] = []

    def noted(workspace: Any, contact: Any, name: str, segments: Any, t: int) -> Any:
        judged.extend(each.id for each in segments)
        return judge(workspace, contact, name, segments, t)

    monkeypatch.setattr(step, "judge", noted)
    replay.apply(parse_segment(BUYERS.replace("P30D", "P20D")))
    assert judged == ["buyers", "thanks"]


@pytest.mark.parametrize("change", ["name: Buyers", "description: d", "hidden_from: [a]", "topic: false"])
def test_what_touches_no_membership_needs_no_fill(change: str) -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    before = replay.partition.plan.fingerprint
    assert replay.apply(parse_segment(f"{BUYERS}\n{change}")) == []
    assert replay.partition.plan.fingerprint == before
    found = rows(replay.until(parse_instant("2026-02-01")))
    assert [(row["version"], row["change"]) for row in found] == [(2, "exit")]


def test_a_paused_segment_stands_still_and_catches_up() -> None:
    replay = replayed(f"{BUYERS}\n---\nsegment: thanks\nwhen: {{in_segment: buyers}}", fact("2026-01-01", "purchase"))
    until(replay, "2026-01-02")
    assert replay.pause("default", "buyers") == []
    assert replay.take(line_of(fact("2026-01-03", "purchase", "c-2"))) == []  # nobody enters
    assert until(replay, "2026-02-01") == []  # and time takes nobody out, so that others see it as it was
    assert replay.members("buyers") == replay.members("thanks") == {"c-1"}
    replay.take(line_of(fact("2026-02-01", "purchase", "c-3")))
    found = rows(replay.resume("default", "buyers"))
    assert sorted(told(found, None)) == sorted(
        f"{change} 2026-02-01T00:00:00.000Z definition"
        for change in ("exit buyers", "exit thanks", "enter buyers", "enter thanks", "enter buyers", "enter thanks")
    )
    assert replay.members("buyers") == replay.members("thanks") == {"c-2", "c-3"}
    assert {row["version"] for row in found if row["segment"] == "buyers"} == {3}


def test_the_gate_takes_people_out_of_a_paused_segment_and_lets_nobody_back() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"), fact("2026-01-01", "purchase", "c-2"))
    until(replay, "2026-01-02")
    replay.pause("default", "buyers")
    found = rows(replay.take(line_of(fact("2026-01-03", "opt_out"))))
    assert told(found) == ["exit buyers 2026-01-03T00:00:00.000Z opt_out"]
    assert replay.take(line_of(fact("2026-01-04", "opt_in"))) == []
    found = rows(replay.apply(parse_segment(f"{BUYERS}\nexclude: [c-2]")))  # while paused
    assert [(row["contact"], row["change"], row["cause"]["kind"]) for row in found] == [("c-2", "exit", "definition")]
    assert told(rows(replay.resume("default", "buyers")), None) == ["enter buyers 2026-01-04T00:00:00.000Z definition"]


def test_pausing_twice_changes_nothing() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    replay.pause("default", "buyers")
    replay.pause("default", "buyers")
    found = rows(replay.delete("default", "buyers"))
    assert [(row["change"], row["version"]) for row in found] == [("exit", 3)]
    with pytest.raises(KeyError):
        replay.resume("default", "buyers")


def test_a_segment_that_is_made_again_is_filled_for_the_first_time() -> None:
    replay = replayed(BUYERS, fact("2026-01-01", "purchase"))
    replay.delete("default", "buyers")
    assert told(rows(replay.apply(parse_segment(BUYERS)))) == ["enter buyers 2026-01-01T00:00:00.000Z backfill"]


def test_a_fellow_of_a_group_takes_over_when_the_higher_one_is_deleted() -> None:
    group = "group: {{name: g, priority: {}}}"
    replay = replayed(
        f"{BUYERS}\n{group.format(2)}\n---\n{CLICKERS}\n{group.format(1)}",
        fact("2026-01-01", "purchase"),
        fact("2026-01-01", "click"),
    )
    until(replay, "2026-01-02")
    found = rows(replay.delete("default", "buyers"))
    assert [(row["change"], row["segment"]) for row in found] == [("exit", "buyers"), ("enter", "clickers")]


def test_a_deadline_at_the_instant_of_a_change_keeps_its_cause() -> None:
    change = {"at": "2026-01-31T00:00:00Z", "apply": {"segment": "x", "include": ["c-9"]}}
    scene = given(BUYERS, [fact("2026-01-01", "purchase")], [change])
    assert scene.replayed("2026-02-01").told() == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        "exit buyers 2026-01-31T00:00:00.000Z clock",
    ]


def test_what_follows_from_an_edit_elsewhere_is_no_backfill() -> None:
    replay = replayed(f"{BUYERS}\n---\nsegment: thanks\nwhen: {{in_segment: buyers}}", fact("2026-01-01", "purchase"))
    until(replay, "2026-01-02")
    found = rows(replay.apply(parse_segment(BUYERS.replace("purchase", "gift"))))
    assert told(found) == [
        "exit buyers 2026-01-02T00:00:00.000Z definition",
        "exit thanks 2026-01-02T00:00:00.000Z definition",
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@examples(segment_sets(), fact_lines(in_order=False, erasing=True), st.integers(0, 90), st.integers(0, 14))
def test_applied_after_its_facts_it_has_the_same_members(
    found: list[dict[str, Any]], lines: list[bytes], days: int, applied: int
) -> None:
    segments: list[Segment] = [read_segment(document) for document in found]
    check(segments)
    end = START + days * DAY
    before, after = Replay(segments), Replay([])
    for line in lines:
        before.take(line)
    for line in lines[:applied]:
        after.take(line)
    for segment in segments:
        after.apply(segment)
    for line in lines[applied:]:
        after.take(line)
    before.until(end)
    after.until(end)
    # Whom only a pin makes known is known as of the pin, which came later.
    known = {who for who in "abc" if any(b'"contact":"' + who.encode() + b'"' in line for line in lines)}
    for segment in segments:
        assert before.members(segment.segment) & known == after.members(segment.segment) & known, segment.segment


def _rows(replay: Replay, segments: str) -> list[tuple[str, str, str | None]]:
    """What `segments.members` is told, beside transitions, when these definitions are taken up."""
    partition = replay.partition
    assert partition.change_plan(compile_plan([(each, 2) for each in documents(segments)]))
    partition.fill(sorted(replay.contacts.contacts))
    partition.fill_ended()
    batch = partition.drain()
    replay.contacts.commit(batch)
    return [(segment, contact, None if stands is None else stands.id) for _, segment, contact, stands in batch.members]


def test_the_switch_of_segments_members_takes_present_members_out_and_puts_them_back() -> None:
    replay = Replay(documents(f"{BUYERS}\n---\n{CLICKERS}"))
    (entered,) = [t for line in (fact("2026-01-01", "purchase", "a"),) for t in replay.take(line_of(line))]
    replay.take(line_of(fact("2026-01-01", "click", "b")))
    off = f"{BUYERS}\nmembers_topic: false\n---\n{CLICKERS}"
    assert _rows(replay, off) == [("buyers", "a", None)]
    assert entered.kept
    (later,) = replay.take(line_of(fact("2026-01-02", "purchase", "c")))
    assert not later.kept
    assert _rows(replay, f"{BUYERS}\n---\n{CLICKERS}") == [("buyers", "a", entered.id), ("buyers", "c", later.id)]
    # Nothing is told again while the switch stays as it is.
    assert _rows(replay, f"{BUYERS}\npayload: [name]\n---\n{CLICKERS}") == []


def test_who_leaves_as_the_switch_is_turned_is_taken_out_too() -> None:
    replay = Replay(documents(BUYERS))
    replay.take(line_of(fact("2026-01-01", "purchase", "a")))
    assert _rows(replay, f"{BUYERS}\nexclude: [a]\nmembers_topic: false") == [("buyers", "a", None)]


def test_a_fill_that_another_change_overtook_leaves_no_member_untold() -> None:
    replay = Replay(documents(BUYERS))
    for each in "ab":
        replay.take(line_of(fact("2026-01-01", "purchase", each)))
    partition = replay.partition
    partition.change_plan(compile_plan([(each, 2) for each in documents(f"{BUYERS}\nmembers_topic: false")]))
    first = min(replay.contacts.contacts)
    partition.fill([first])  # its member is taken out, and the other is not reached
    replay.contacts.commit(partition.drain())
    told = _rows(replay, f"{BUYERS}\ndescription: kept again")
    assert [contact for _, contact, stands in told if stands] == ["a"]
