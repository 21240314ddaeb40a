"""The same id again within DEDUP of the first one's arrival is ignored and counted (DESIGN.md 3)."""

from __future__ import annotations

import pytest

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, MINUTE, format_instant, parse_instant
from engine.membership.facts import read_fact
from engine.membership.ids import IDS_INLINE
from engine.membership.partition import Partition
from engine.membership.replay import DEDUP, GRACE, JOURNAL_RETENTION, Replay
from tests.driver import Row, documents, fact, line_of

COUNTED = "\n---\n".join(
    f"segment: at-least-{n}\nwhen: {{did: {{event: click, count: {{gte: {n}}}}}}}" for n in (2, 41)
)
START = parse_instant("2026-01-01T00:00:00Z")


def clicked(name: str, *, arrives: int | None = None, at: int = START, contact: str = "c-1", **properties: str) -> Row:
    """A click with the id `name`."""
    found = fact(format_instant(at), "click", contact, named=name, **properties)
    return found if arrives is None else {**found, "arrives": format_instant(arrives)}


def taken(*facts: Row) -> Replay:
    replay = Replay(documents(COUNTED))
    for line in facts:
        replay.take(line_of(line))
    return replay


@pytest.mark.parametrize(
    "again",
    [
        clicked("a"),
        clicked("a", button="Women"),
        clicked("a", at=START + DAY),
        {**clicked("a"), "type": "purchase"},
    ],
)
def test_the_same_id_is_ignored_also_with_other_content(again: Row) -> None:
    replay = taken(clicked("a"), again)
    assert (replay.facts, replay.duplicates) == (1, 1)
    assert replay.members("at-least-2") == set()


def test_the_same_id_of_another_contact_is_another_fact() -> None:
    replay = taken(clicked("a"), clicked("a", contact="c-2"), {**clicked("a"), "workspace": "elsewhere"})
    assert (replay.facts, replay.duplicates) == (3, 0)


def test_without_id_nothing_is_a_duplicate() -> None:
    line = {"type": "click", "contact": "c-1", "at": format_instant(START)}
    assert taken(line, line).members("at-least-2") == {"c-1"}


@pytest.mark.parametrize(("later", "new"), [(0, False), (7 * DAY - 1, False), (7 * DAY, True), (30 * DAY, True)])
def test_after_dedup_it_is_a_new_fact(later: int, new: bool) -> None:
    replay = taken(clicked("a", arrives=START), clicked("a", arrives=START + later))
    assert replay.members("at-least-2") == ({"c-1"} if new else set())
    assert replay.duplicates == int(not new)


def test_dedup_is_counted_from_the_first_arrival_not_from_the_duplicates() -> None:
    days = [0, 4, 7, 11, 14]  # new, ignored, new, ignored, new
    replay = taken(*[clicked("a", arrives=START + day * DAY) for day in days])
    assert (replay.facts, replay.duplicates) == (3, 2)


def test_an_arrival_that_nobody_knows_is_always_within_dedup() -> None:
    for one, other in ((None, START + 30 * DAY), (START, None)):
        replay = taken(clicked("a", arrives=one), clicked("a", arrives=other))
        assert (replay.facts, replay.duplicates) == (1, 1)


MANY = 40
assert MANY > IDS_INLINE


def test_an_id_that_is_no_longer_in_the_state_is_found_in_the_journal() -> None:
    replay = taken(*[clicked(f"id-{n}", arrives=START + n * MINUTE) for n in range(MANY)])
    contact = next(iter(replay.contacts.contacts.values()))
    assert len(contact.ids) == 16 * IDS_INLINE
    for name in ("id-0", "id-5", "id-39"):
        replay.take(line_of(clicked(name, arrives=START + DAY)))
    assert (replay.facts, replay.duplicates) == (MANY, 3)
    replay.take(line_of(clicked("id-0", arrives=START + 7 * DAY)))
    assert replay.facts == MANY + 1
    assert replay.members("at-least-41") == {"c-1"}
    replay.take(line_of(clicked("id-0", arrives=START + 7 * DAY + MINUTE)))
    assert replay.duplicates == 4


def test_a_batch_finds_the_ids_that_it_brought_itself() -> None:
    replay = Replay(documents(COUNTED))
    facts = [
        read_fact(line_of(clicked(f"id-{n}")), arrival=START + n, fallback_id="", skew=0, max_bytes=1_000)
        for n in [*range(MANY), 0, 39, 7]
    ]
    replay.partition.take([each for each in facts if isinstance(each, Fact)])
    batch = replay.partition.drain()
    assert (batch.facts, batch.duplicates) == (MANY, 3)


def test_after_a_restart_the_journal_still_knows() -> None:
    replay = taken(*[clicked(f"id-{n}", arrives=START + n * MINUTE) for n in range(MANY)])
    # What a worker rebuilds: nothing is remembered but states and journal.
    replay.partition = Partition(
        replay.partition.plan, replay.contacts, clock=replay.partition.clock,
        grace=GRACE, dedup=DEDUP, journal_retention=JOURNAL_RETENTION,
    )  # fmt: skip
    for name in ("id-0", "id-39"):
        replay.take(line_of(clicked(name, arrives=START + DAY)))
    assert (replay.facts, replay.duplicates) == (MANY, 2)


def test_the_latest_arrival_of_those_in_the_journal_decides_whether_to_look() -> None:
    # The clock of the broker went back: the first id came on the sixth day, the others on the first.
    others = [clicked(f"id-{n}", arrives=START + n) for n in range(MANY)]
    replay = taken(clicked("a", arrives=START + 5 * DAY), *others, clicked("a", arrives=START + 8 * DAY))
    assert (replay.facts, replay.duplicates) == (MANY + 1, 1)


def test_ids_that_are_taken_again_after_dedup_are_known_by_their_latest_arrival() -> None:
    names = [f"id-{n}" for n in range(MANY)]
    first = [clicked(name, arrives=START + n) for n, name in enumerate(names)]
    again = [clicked(name, arrives=START + 8 * DAY + n) for n, name in enumerate(names)]
    once_more = [clicked(name, arrives=START + 10 * DAY + n) for n, name in enumerate(names)]
    replay = taken(*first, *again, *once_more)
    assert (replay.facts, replay.duplicates) == (2 * MANY, MANY)
