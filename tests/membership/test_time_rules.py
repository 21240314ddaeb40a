"""DESIGN.md 4 by example: deadlines, late facts, as-of and the partition clock. GRACE is one second."""

from __future__ import annotations

import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import parse_instant
from engine.membership.facts import read_fact
from tests.driver import fact, given, line_of, rows, told

BOUGHT = "segment: bought\nwhen: {did: {event: purchase, within: PT1H}}"
CLICKED = "segment: clicked\nwhen: {did: {event: click}}"


def after_ten(minutes: int, seconds: int = 0, millis: int = 0) -> str:
    """The instant so long after 10:00 of a certain day."""
    return f"2026-01-01T{10 + minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{millis:03d}Z"


def others(minutes: int, seconds: int = 0, millis: int = 0) -> dict[str, object]:
    """A fact of another contact, which takes the clock to a second before it."""
    return fact(after_ten(minutes, seconds, millis), "click", "c-2")


def test_deadlines_strictly_before_a_fact_fire_first() -> None:
    facts = [fact(after_ten(0), "purchase"), fact(after_ten(60, 0, 1), "purchase")]
    assert given(BOUGHT, facts).at().told() == [
        f"enter bought {after_ten(0)} event",
        f"exit bought {after_ten(60)} clock",
        f"enter bought {after_ten(60, 0, 1)} event",
    ]


def test_a_deadline_at_the_very_instant_of_a_fact_is_checked_after_it() -> None:
    facts = [fact(after_ten(0), "purchase"), fact(after_ten(60), "purchase")]
    assert given(BOUGHT, facts).at(after_ten(119)).told() == [f"enter bought {after_ten(0)} event"]


def test_a_deadline_at_the_very_instant_of_an_unrelated_fact_is_not_lost() -> None:
    found = given(BOUGHT, [fact(after_ten(0), "purchase"), fact(after_ten(60), "click")]).at(after_ten(200)).transitions
    assert [(row["change"], row["at"]) for row in found] == [("enter", after_ten(0)), ("exit", after_ten(60))]


def test_each_deadline_fires_at_its_own_instant() -> None:
    twice = "segment: twice\nwhen: {did: {event: purchase, within: PT1H, count: {gte: 2}}}"
    facts = [fact(after_ten(0), "purchase"), fact(after_ten(20), "purchase"), fact("2026-01-09T00:00:00Z", "click")]
    assert given(f"{BOUGHT}\n---\n{twice}", facts).at().told()[2:] == [
        f"exit twice {after_ten(60)} clock",
        f"exit bought {after_ten(80)} clock",
    ]


ONCE = "segment: once\nwhen: {did: {event: click, count: {eq: 1}}}"


def test_facts_at_one_instant_are_judged_one_by_one() -> None:
    found = given(ONCE, [fact(after_ten(0), "click", named=name) for name in "abc"]).at().transitions
    assert [(row["change"], row["at"], row["cause"]["event_id"], row["late"]) for row in found] == [
        ("enter", after_ten(0), "a", False),
        ("exit", after_ten(0), "b", False),
    ]
    assert found[0]["id"] != found[1]["id"]


def taken(line: bytes) -> Fact:
    found = read_fact(line, arrival=None, fallback_id="x", skew=0, max_bytes=1_000)
    assert isinstance(found, Fact)
    return found


def test_however_facts_are_batched_the_same_is_published() -> None:
    pairs = [(minute, kind) for minute in (0, 0, 30, 60, 61, 200) for kind in ("click", "purchase")]
    lines = [line_of(fact(after_ten(minute), kind, named=f"{minute}-{kind}")) for minute, kind in pairs]
    scene = given(f"{BOUGHT}\n---\n{ONCE}", lines)
    one_by_one = scene.at().transitions
    for size in (2, 3, len(lines)):
        partition = scene.replay().partition
        found = []
        for start in range(0, len(lines), size):
            partition.take([taken(line) for line in lines[start : start + size]])
            partition.pass_time(None, 100)
        found = rows(partition.drain().transitions)
        assert found == one_by_one


def test_a_late_fact_counts_by_its_own_instant_and_is_told_as_of_the_latest() -> None:
    facts = [fact(after_ten(60), "click"), fact(after_ten(30), "purchase")]
    found = given(BOUGHT, facts).at(after_ten(200)).transitions
    assert [(row["change"], row["at"], row["late"]) for row in found] == [
        ("enter", after_ten(60), True),
        ("exit", after_ten(90), False),
    ]
    assert found[0]["not_before"] == after_ten(90)
    assert found[0]["cause"]["event_at"] == after_ten(30)


def test_a_late_fact_whose_window_is_over_changes_nothing() -> None:
    facts = [fact(after_ten(90), "click"), fact(after_ten(30), "purchase")]
    assert given(BOUGHT, facts).at(after_ten(200)).told() == []


def test_past_transitions_are_never_rewritten() -> None:
    # In for an hour; the second purchase comes after the exit was published, and is told as of that exit.
    facts = [fact(after_ten(0), "purchase"), others(60, 1, 1), fact(after_ten(30), "purchase")]
    found = given(BOUGHT, facts).at(after_ten(200)).of("bought")
    assert [(row["change"], row["at"], row["sequence"], row["late"]) for row in found] == [
        ("enter", after_ten(0), 1, False),
        ("exit", after_ten(60), 2, False),
        ("enter", after_ten(60), 3, True),
        ("exit", after_ten(90), 4, False),
    ]


def test_of_a_late_fact_at_most_one_transition_a_segment_results() -> None:
    # Had they come in order, the second click would have ended what the first began.
    facts = [fact(after_ten(60), "view"), fact(after_ten(10), "click"), fact(after_ten(20), "click")]
    found = given(ONCE, facts).at().of("once")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [
        ("enter", after_ten(60), True),
        ("exit", after_ten(60), True),
    ]


@pytest.mark.parametrize(("millis", "late"), [(0, False), (-1, True)])
def test_late_is_also_what_was_before_the_partition_clock(millis: int, late: bool) -> None:
    clock = parse_instant(after_ten(60))
    facts = [others(60, 1), fact(after_ten(60) if millis == 0 else after_ten(59, 59, 999), "purchase")]
    replay = given(BOUGHT, []).replay()
    found = rows([each for line in facts for each in replay.take(line_of(line))])
    assert replay.partition.clock == clock
    assert [(row["change"], row["at"], row["late"]) for row in found] == [("enter", facts[1]["at"], late)]
    assert replay.late == int(late)


def test_within_grace_what_is_before_its_contact_is_late_all_the_same() -> None:
    facts = [fact(after_ten(0, 0, 500), "click"), fact(after_ten(0), "purchase")]
    found = given(BOUGHT, facts).at().transitions
    assert [(row["at"], row["late"]) for row in found] == [(after_ten(0, 0, 500), True)]


def test_what_ended_before_the_clock_ends_at_once() -> None:
    facts = [others(180), fact(after_ten(30), "purchase")]
    found = given(BOUGHT, facts).at().of("bought")
    assert [(row["change"], row["at"], row["late"], row["cause"]["kind"]) for row in found] == [
        ("enter", after_ten(30), True, "event"),
        ("exit", after_ten(90), False, "clock"),
    ]


SPENT_LITTLE = (
    "segment: spent-little\nwhen: {aggregate: {fn: sum, of: amount, event: purchase, within: PT1H, is: {lt: 100}}}"
)
TWICE = "segment: twice\nwhen: {did: {event: purchase, within: PT1H, count: {gte: 2}}}"


@pytest.mark.parametrize(("segment", "entered"), [(SPENT_LITTLE, after_ten(45)), (TWICE, after_ten(60))])
def test_an_early_check_that_changes_nothing_does_not_move_as_of(segment: str, entered: str) -> None:
    # The first purchase's hour ends at 11:00. Less spent changes nothing, and the late click is judged at its own
    # instant; with the exit from `twice` as-of has moved on, and the click is told as of it.
    facts = [fact(after_ten(minute), "purchase", amount=10) for minute in (0, 30)]
    facts += [others(75), fact(after_ten(45), "click")]
    found = given(f"{CLICKED}\n---\n{segment}", facts).at().of("clicked")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [("enter", entered, True)]


def test_other_contacts_deadlines_wait_for_the_clock() -> None:
    facts = [fact(after_ten(0), "purchase"), others(60, 1)]
    assert len(given(BOUGHT, facts).at().told()) == 1  # the clock is at 11:00:00.000, and nothing strictly before it
    facts[-1] = others(60, 1, 1)
    assert given(BOUGHT, facts).at().told()[1:] == [f"exit bought {after_ten(60)} clock"]


def test_the_clock_never_goes_back() -> None:
    replay = given(BOUGHT, []).replay()
    clocks = []
    for line in (
        fact(after_ten(60), "click"),
        fact(after_ten(30), "click"),
        fact(after_ten(61), "click", arrives=after_ten(120)),
        fact(after_ten(70), "click", arrives=after_ten(90)),
        fact(after_ten(119), "click", "c-2"),
    ):
        replay.take(line_of(line))
        clocks.append(replay.partition.clock)
    replay.take(line_of(fact(after_ten(120, 0, 500), "click")))  # newer than the clock, by less than GRACE
    clocks.append(replay.partition.clock)
    replay.until(parse_instant(after_ten(5)))
    clocks.append(replay.partition.clock)
    noon = parse_instant(after_ten(0))
    assert [(clock - noon) / 60_000 for clock in clocks] == pytest.approx([60 - 1 / 60] * 2 + [120] * 5)


def test_an_arrival_moves_the_clock_before_the_fact_is_taken() -> None:
    facts = [fact(after_ten(0), "purchase", "c-2"), fact(after_ten(60), "click", arrives=after_ten(61))]
    found = given(BOUGHT, facts).at().transitions
    assert [(row["contact"], row["change"], row["detected_at"]) for row in found] == [
        ("c-2", "enter", "2026-01-01T09:59:59.000Z"),
        ("c-2", "exit", after_ten(61)),
    ]


def test_ahead_of_its_time_counts_as_of_arrival() -> None:
    facts = [fact(after_ten(5), "purchase", arrives=after_ten(0))]
    assert given(BOUGHT, facts).at(after_ten(60, 0, 1)).told() == [
        f"enter bought {after_ten(0)} event",
        f"exit bought {after_ten(60)} clock",
    ]
    late = given(BOUGHT, [fact(after_ten(5, 0, 1), "purchase", arrives=after_ten(0))]).replay()
    late.take(line_of(fact(after_ten(5, 0, 1), "purchase", arrives=after_ten(0))))
    assert late.rejected == {"too_far_ahead": 1}


def test_a_late_earliest_fact_makes_the_contact_older() -> None:
    segments = "segment: new\nwhen: {known: {within: PT1H}}\n---\nsegment: old\nwhen: {known: {for: PT2H}}"
    facts = [fact(after_ten(60), "click"), fact(after_ten(0), "click")]
    assert given(segments, facts).at(after_ten(300)).told() == [
        f"enter new {after_ten(60)} event",
        f"exit new {after_ten(60)} event",
        f"enter old {after_ten(120)} clock",
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_deadlines_in_slices_are_the_same_deadlines(limit: int) -> None:
    contacts = [f"c-{number}" for number in range(5)]
    scene = given(BOUGHT, [fact(after_ten(number), "purchase", who) for number, who in enumerate(contacts)])
    replay = scene.replay()
    for line in scene.facts:
        replay.take(line_of(line))
    slices = 1
    while not replay.partition.pass_time(parse_instant(after_ten(70)), limit):
        slices += 1
    found = rows(replay.partition.drain().transitions)
    assert told(found, None) == [f"exit bought {after_ten(60 + number)} clock" for number in range(5)]
    assert slices == -(-5 // limit)
