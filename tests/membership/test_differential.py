"""The core against the batch evaluator, which shares no code with it: random segments, random facts, every instant of
change."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conditions.instants import DAY
from engine.definitions import canonical, check, read_segment
from engine.definitions.document import Segment
from engine.membership.replay import Replay
from engine.recount import recount
from tests.membership.strategies import START, fact_lines, segment_sets

Row = tuple[str, str, str, int, int]


def documents(found: list[dict[str, Any]]) -> list[Segment]:
    """The parsed segments."""
    segments = [read_segment(document) for document in found]
    check(segments)
    return segments


def rows_of(replayed: list[Any]) -> dict[str, list[Row]]:
    """Transitions by contact, in order."""
    found: dict[str, list[Row]] = {}
    for each in replayed:
        found.setdefault(each.contact, []).append((each.segment, each.change, each.cause_kind, each.sequence, each.at))
    return found


def recounted_rows(found: list[dict[str, Any]]) -> dict[str, list[Row]]:
    """The batch evaluator's transitions by contact, in order."""
    rows: dict[str, list[Row]] = {}
    for each in found:
        rows.setdefault(each["contact"], []).append(
            (each["segment"], each["change"], each["cause"], each["sequence"], each["at"])
        )
    return rows


def run(found: list[dict[str, Any]], lines: list[bytes], until: int) -> None:
    segments = documents(found)
    replay = Replay(segments)
    replayed = [each for line in lines for each in replay.take(line)]
    replayed += replay.until(until)
    plain = [canonical(segment) for segment in segments]
    result = recount(plain, lines, until=until, thorough=True)
    late = {contact for _, contact in result.late_contacts}
    unknown = {contact for segment in found for contact in segment.get("include", ())} - {
        contact for _, contact in [(0, line.split(b'"contact":"')[1][:1].decode()) for line in lines]
    }
    ours, theirs = rows_of(replayed), recounted_rows(result.transitions)
    for contact in sorted((set(ours) | set(theirs)) - late - unknown):
        assert ours.get(contact, []) == theirs.get(contact, []), contact
    for segment in segments:
        members = {each for each in replay.members(segment.segment) if each not in unknown}
        assert members == result.members.get((segment.workspace, segment.segment), set()) - unknown, segment.segment
    assert replay.duplicates == result.duplicates
    for contact, rows in ours.items():
        by_segment: dict[str, int] = {}
        for segment_id, change, _, sequence, _ in rows:
            assert sequence == by_segment.get(segment_id, 0) + 1, contact
            assert change == ("enter" if sequence & 1 else "exit")
            by_segment[segment_id] = sequence


SETTINGS = settings(
    max_examples=int(os.environ.get("EXAMPLES", "1000")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(segment_sets(), fact_lines(in_order=True), st.integers(0, 90))
def test_facts_in_order_give_the_recounted_transitions(
    found: list[dict[str, Any]], lines: list[bytes], days: int
) -> None:
    run(found, lines, START + days * DAY)


@SETTINGS
@given(segment_sets(), fact_lines(in_order=False), st.integers(0, 90))
def test_late_facts_give_the_recounted_members(found: list[dict[str, Any]], lines: list[bytes], days: int) -> None:
    run(found, lines, START + days * DAY)


@given(segment_sets())
@settings(max_examples=300, deadline=None)
def test_canonical_forms_read_back_as_themselves(found: list[dict[str, Any]]) -> None:
    for segment in documents(found):
        assert canonical(read_segment(canonical(segment))) == canonical(segment)
