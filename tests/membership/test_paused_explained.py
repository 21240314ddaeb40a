"""What is told of segments whose definition was changed or paused: what moved people, and what stands still."""

from __future__ import annotations

from engine.conditions.instants import parse_instant
from engine.definitions import parse_segment
from engine.membership.explanation import Cause
from engine.membership.telling import tell
from tests.driver import fact, line_of
from tests.membership.test_explain import replayed

BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}"
FACTS = [fact("2026-01-01", "purchase"), fact("2026-01-01", "click", "c-2")]


def test_a_paused_segment_says_that_it_stands_still() -> None:
    replay = replayed(BUYERS, FACTS, "2026-01-10")
    replay.pause("default", "buyers")
    replay.until(parse_instant("2026-03-01"))
    found = replay.explain("c-1", "buyers")
    assert (found.member, found.decided.by, found.next.at) == (True, "paused", None)
    assert found.cause is not None
    assert found.cause.kind == "event"
    assert found.rule is not None
    assert not found.rule.truth  # what it would say now
    assert "the segment would have to be resumed" in found.needed
    assert not replay.explain("c-2", "buyers").member


def test_of_the_past_it_is_told_what_its_rule_gives() -> None:
    replay = replayed(BUYERS, [*FACTS, fact("2026-02-20", "click")], "2026-03-01")
    replay.pause("default", "buyers")
    then = replay.explain("c-1", "buyers", at=parse_instant("2026-01-15"))
    assert (then.member, then.decided.by) == (True, "rule")
    later = replay.explain("c-1", "buyers", at=parse_instant("2026-02-05"))
    assert (later.member, later.decided.by) == (False, "rule")


def test_whom_a_change_of_definitions_moved_is_told_so_until_something_else_does() -> None:
    replay = replayed("segment: other\nwhen: {did: {event: view}}", FACTS, "2026-01-10")
    replay.apply(parse_segment(BUYERS))
    found = replay.explain("c-1", "buyers")
    assert found.cause == Cause("backfill")
    assert "In since 2026-01-10T00:00:00.000Z, when the segment was filled for the first time." in tell(found)
    replay.apply(parse_segment(BUYERS.replace("P30D", "P5D")))
    found = replay.explain("c-1", "buyers")
    assert (found.member, found.cause) == (False, Cause("definition"))
    assert "by a change of the definition" in tell(found)
    replay.take(line_of(fact("2026-01-11", "purchase", named="again")))
    cause = replay.explain("c-1", "buyers").cause
    assert cause is not None
    assert (cause.kind, cause.event_id) == ("event", "again")
