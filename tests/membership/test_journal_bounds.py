"""The journal keeps no more than so many facts and bytes of a contact: what counts goes on, what is gone is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, parse_instant
from engine.definitions import Segment, check, read_segment
from engine.membership.facts import FACT_BYTES
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import compile_plan
from engine.membership.replay import DEDUP, GRACE, JOURNAL_RETENTION, SKEW, Replay, read_line
from engine.membership.telling import tell
from tests.driver import documents, fact, line_of, rows, told
from tests.membership.agreement import MODELS_READ
from tests.membership.random_conditions import KINDS
from tests.membership.strategies import START, fact_lines, segment_sets

KEY = store_key("default", "c-1")
BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D, count: {gte: 2}}}"


def contact_of(replay: Replay) -> Contact:
    return replay.contacts.contacts[KEY]


def journal_of(replay: Replay) -> list[str]:
    return [each.id for each in replay.contacts.journal(KEY)]


def clicks(count: int, day: int = 1) -> list[Any]:
    return [fact(f"2026-01-{day:02d}T00:00:{number:02d}Z", "click", named=f"e-{number}") for number in range(count)]


def taken(replay: Replay, facts: list[Any]) -> Replay:
    for each in facts:
        replay.take(line_of(each))
    return replay


def test_the_newest_facts_are_kept_and_a_tenth_is_let_go_at_once() -> None:
    replay = taken(Replay([], journal_facts=20), clicks(20))
    assert (len(journal_of(replay)), contact_of(replay).journal_since) == (20, -1)
    taken(replay, [fact("2026-01-02", "click", named="next")])
    assert journal_of(replay) == [*(f"e-{number}" for number in range(2, 20)), "next"]
    assert contact_of(replay).journal_since == parse_instant("2026-01-01T00:00:01Z")
    assert (contact_of(replay).facts, contact_of(replay).journal_gone) == (21, 2)


def test_bytes_are_bounded_as_well() -> None:
    large = "x" * 1_000
    each = len(b'{"text":"' + large.encode() + b'"}') + FACT_BYTES
    replay = Replay([], journal_bytes=10 * each)
    facts = [fact(f"2026-01-01T00:00:{n:02d}Z", "click", named=f"e-{n}", text=large) for n in range(30)]
    for number, line in enumerate(facts, 1):
        replay.take(line_of(line).replace(b'": ', b'":'))
        assert len(journal_of(replay)) <= 10
        assert contact_of(replay).journal_bytes == len(journal_of(replay)) * each
        assert journal_of(replay)[-1] == f"e-{number - 1}"
    assert len(journal_of(replay)) >= 9


def test_what_the_retention_has_taken_is_not_counted_among_the_bytes() -> None:
    replay = Replay([], journal_bytes=10 * (FACT_BYTES + 2), journal_retention=10 * DAY)
    taken(replay, clicks(9, day=1))
    taken(replay, clicks(9, day=20))
    assert contact_of(replay).journal_since == -1, "nothing that still counts was let go"


def test_a_count_goes_on_although_its_facts_are_let_go() -> None:
    bought = [fact(f"2026-01-{day:02d}", "purchase") for day in (1, 2)]
    replay = taken(Replay(documents(BUYERS), journal_facts=10), [*bought, *clicks(30, day=3)])
    assert "e-0" not in journal_of(replay)
    assert replay.members("buyers") == {"c-1"}
    found = rows(replay.until(parse_instant("2026-02-10T00:00:00Z")))
    assert told(found) == ["exit buyers 2026-01-31T00:00:00.000Z clock"]


WINDOWED = {
    "did": "{did: {event: purchase, within: P30D, count: 2}}",
    "months": "{did: {event: purchase, within: P1M, count: 2}}",
    "between": "{did: {event: purchase, within: [PT1H, P30D], count: {gte: 2}}}",
    "sum": "{aggregate: {fn: sum, of: amount, event: purchase, within: P30D, is: 20}}",
    "average": "{aggregate: {fn: avg, of: amount, event: purchase, within: P30D, is: {lt: 11}}}",
    "least": "{aggregate: {fn: min, of: amount, event: purchase, within: P30D, is: {lt: 11}}}",
    "different": "{aggregate: {fn: distinct, of: order_id, event: purchase, within: P30D, is: {gte: 2}}}",
    "first": "{aggregate: {fn: first, of: amount, event: purchase, within: P30D, is: 10}}",
}
SHORTENED = {
    "did": "{did: {event: purchase, within: P30D, count: {gte: 2}}}",
    "quiet": "{not: {quiet: {event: purchase, for: P3D}}}",
}


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_retraction_takes_nothing_along_that_the_journal_has_let_go(kind: str) -> None:
    segments = documents(f"segment: s\nwhen: {WINDOWED[kind]}")
    bought = [fact(f"2026-01-0{day}", "purchase", amount=10, order_id=f"o-{day}") for day in (1, 2)]
    later = [fact("2026-01-04", "purchase", amount=500, order_id="o-4", named="wrong")]
    undone = [fact("2026-01-04T05:00Z", "event_retracted", id="wrong")]
    bounded = taken(Replay(segments, journal_facts=10), [*bought, *clicks(20, day=3), *later, *undone])
    assert len(bounded.contacts.journal(KEY)) <= 10
    whole = taken(Replay(segments), [*bought, *clicks(20, day=3), *later, *undone])
    assert bounded.members("s") == whole.members("s") == {"c-1"}
    assert rows(bounded.until(parse_instant("2026-04-01T00:00:00Z"))) == rows(
        whole.until(parse_instant("2026-04-01T00:00:00Z"))
    )


@pytest.mark.parametrize("kind", SHORTENED)
def test_what_neither_the_journal_nor_the_value_has_is_not_there_any_more(kind: str) -> None:
    # Of two purchases asked for the last two are remembered, to be quiet the last one.
    segments = documents(f"segment: asked\nwhen: {SHORTENED[kind]}")
    facts = [fact(f"2026-01-0{day}", "purchase") for day in (1, 2)] + clicks(20, day=3)
    facts += [fact("2026-01-04", "purchase", named="wrong"), fact("2026-01-04T05:00Z", "event_retracted", id="wrong")]
    assert taken(Replay(segments, journal_facts=10), facts).members("asked") == set()
    assert taken(Replay(segments), facts).members("asked") == {"c-1"}


def test_a_sum_that_a_negative_amount_has_counted_anew_keeps_what_was_let_go() -> None:
    when = "{aggregate: {fn: sum, of: amount, event: purchase, within: P30D, is: {gte: 20}}}"
    segments = documents(f"segment: s\nwhen: {when}")
    facts = [fact("2026-01-01", "purchase", amount=15), *clicks(20, day=3)]
    facts += [fact("2026-01-04", "purchase", amount=10), fact("2026-01-05", "purchase", amount=-1)]
    assert taken(Replay(segments, journal_facts=10), facts).members("s") == {"c-1"}


def test_a_sequence_whose_end_was_let_go_lasts_as_long_as_it_would_have() -> None:
    when = "{sequence: {steps: [{event: view}, {event: purchase}], within: P30D}}"
    segments = documents(f"segment: s\nwhen: {when}")
    facts = [fact("2026-01-01", "view"), fact("2026-01-02", "purchase"), fact("2026-01-03", "view")]
    facts += clicks(20, day=4)
    facts += [fact("2026-01-06", "purchase"), fact("2026-01-05", "purchase")]  # the last one is late
    bounded, whole = taken(Replay(segments, journal_facts=10), facts), taken(Replay(segments), facts)
    end = parse_instant("2026-04-01T00:00:00Z")
    assert rows(bounded.until(end)) == rows(whole.until(end))


def test_an_id_is_known_as_long_as_the_journal_holds_its_fact() -> None:
    replay = taken(
        Replay([], journal_facts=100), [fact(f"2026-01-01T00:{n:02d}Z", "click", named=f"e-{n}") for n in range(60)]
    )
    taken(replay, [fact("2026-01-01T00:01Z", "click", named="e-1")])
    assert replay.duplicates == 1, "it is not among the last few, and the journal has it"
    taken(replay, [fact("2026-01-02", "click", named=f"f-{n}") for n in range(60)])
    assert "e-1" not in journal_of(replay)
    taken(replay, [fact("2026-01-01T00:01Z", "click", named="e-1"), fact("2026-01-01T00:59Z", "click", named="e-59")])
    assert (replay.duplicates, replay.facts) == (2, 121)


def test_a_late_fact_from_before_the_journal_is_counted_as_one_that_has_no_place() -> None:
    when = "{streak: {of: {event: sent}, without: {event: read}, at_least: 3}}"
    sent = [fact(f"2026-01-0{day}", "sent") for day in (1, 2, 3)]
    replay = Replay(documents(f"segment: s\nwhen: {when}"), journal_facts=10)
    taken(replay, [*sent, *clicks(20, day=4)])
    assert (replay.members("s"), replay.unplaced) == ({"c-1"}, 0)
    taken(replay, [fact("2026-01-03T05:00Z", "read")])
    assert (replay.members("s"), replay.unplaced) == ({"c-1"}, 1)
    taken(replay, [fact("2026-01-04T00:00:19Z", "read")])
    assert (replay.members("s"), replay.unplaced) == (set(), 1), "the journal reaches to it"


def test_an_explanation_says_what_is_no_longer_held_and_where_it_might_count() -> None:
    both = f"{BUYERS}\n---\nsegment: clickers\nwhen: {{did: {{event: click, within: PT12H}}}}"
    replay = taken(Replay(documents(both), journal_facts=10), [fact("2026-01-01", "purchase"), *clicks(20, day=3)])
    found = replay.explain("c-1", "buyers")
    assert found.basis.older == contact_of(replay).journal_gone > 0
    assert found.basis.since == contact_of(replay).journal_since
    text = tell(found)
    assert f"{found.basis.older} older facts are no longer in the journal" in text
    assert "facts that are no longer in the journal might have a say in this" in text
    assert "counts only facts after 2026-01-03T00:00:09.000Z" in text
    replay.until(parse_instant("2026-01-04T00:00:00Z"))
    assert "might have a say" not in tell(replay.explain("c-1", "clickers")), "what counts now is all there"


def checked(found: list[dict[str, Any]]) -> list[Segment]:
    segments: list[Segment] = [read_segment(document) for document in found]
    check(segments, MODELS_READ)
    return segments


UNDOING = (b'"refund"', b'"event_retracted"')


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@examples(segment_sets(kinds=tuple(KINDS)), fact_lines(in_order=True), st.integers(2, 9), st.integers(0, 90))
def test_facts_in_order_have_the_same_transitions_with_bounds_as_without(
    found: list[dict[str, Any]], lines: list[bytes], most: int, days: int
) -> None:
    segments = checked(found)
    lines = [line for line in lines if not any(kind in line for kind in UNDOING)]
    bounded, whole = Replay(segments, MODELS_READ, journal_facts=most), Replay(segments, MODELS_READ)
    for line in lines:
        assert rows(bounded.take(line)) == rows(whole.take(line))
    end = START + days * DAY
    assert rows(bounded.until(end)) == rows(whole.until(end))
    for key in bounded.contacts.contacts:
        assert len(bounded.contacts.journal(key)) <= most


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@examples(segment_sets(), fact_lines(in_order=False, erasing=True), st.integers(2, 9), st.integers(1, 7))
def test_however_facts_are_batched_the_same_are_let_go(
    found: list[dict[str, Any]], lines: list[bytes], most: int, at_once: int
) -> None:
    plan = compile_plan([(segment, 1) for segment in checked(found)])
    states = []
    for size in (1, at_once):
        contacts = MemoryContacts()
        partition = Partition(
            plan, contacts, grace=GRACE, dedup=DEDUP, journal_retention=JOURNAL_RETENTION, journal_facts=most
        )
        facts = [read_line(line, number, skew=SKEW, max_event_bytes=9_999) for number, line in enumerate(lines)]
        for start in range(0, len(facts), size):
            partition.take([each for each in facts[start : start + size] if isinstance(each, Fact)])
            contacts.commit(partition.drain())
        journals = {key: [each.id for each in contacts.journal(key)] for key in contacts.contacts}
        states.append(({key: replace(each, journal_next=0) for key, each in contacts.contacts.items()}, journals))
    assert states[0] == states[1]
