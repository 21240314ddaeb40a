"""The order in which facts are taken from several topics: held against taking the least head again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conditions.fact import Fact
from engine.membership.facts import Rejected
from engine.worker.inbox import IMPORT_RECORDS, Inbox

ALL, BYTES = 10_000, 1 << 30
NOTHING_SEEN = -1


@dataclass(frozen=True)
class Record:
    topic: str
    offset: int


def fact(at: int) -> Fact:
    return Fact(contact="c", type="click", at_text="", at=at)


def inbox_of(topics: dict[str, list[int]], *, unfetched: tuple[str, ...] = (), seek: bool = True) -> Inbox:
    """An inbox whose topics hold facts with these instants, each fetched to its end but for those named."""
    inbox = Inbox(list(topics))
    if seek:
        inbox.seek(dict.fromkeys(topics, 0))
    for topic, instants in topics.items():
        add(inbox, topic, instants)
        source = inbox.by_topic[topic]
        source.stable = len(instants) + (topic in unfetched)
    return inbox


def add(inbox: Inbox, topic: str, instants: list[int]) -> None:
    source = inbox.by_topic[topic]
    start = source.position or 0
    records = [Record(topic, start + n) for n in range(len(instants))]
    source.add([fact(at) for at in instants], records, 100 * len(instants))


def taken(inbox: Inbox, clock: int = NOTHING_SEEN, limit: int = ALL) -> list[tuple[str, int]] | None:
    found = inbox.take(clock, limit, BYTES)
    return None if found is None else [(r.topic, r.offset) for r in found.records]


def by_heads(topics: dict[str, list[int]]) -> list[tuple[str, int]]:
    """The definition: of the heads, always the one that is least by (at, topic, offset)."""
    left = {topic: list(enumerate(instants)) for topic, instants in topics.items()}
    order = []
    while heads := [(each[0][1], topic, each[0][0]) for topic, each in left.items() if each]:
        _, topic, offset = min(heads)
        left[topic].pop(0)
        order.append((topic, offset))
    return order


TOPICS = st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 8), max_size=8), min_size=1)


@given(TOPICS)
def test_everything_fetched_is_taken_as_the_heads_are_merged(topics: dict[str, list[int]]) -> None:
    assert (taken(inbox_of(topics)) or []) == by_heads(topics)


@given(TOPICS, st.integers(1, 5))
def test_small_batches_give_the_same_order_as_one(topics: dict[str, list[int]], limit: int) -> None:
    inbox, order = inbox_of(topics), []
    while part := taken(inbox, limit=limit):
        assert len(part) <= limit
        order += part
    assert order == by_heads(topics)
    assert len(inbox) == 0


@given(TOPICS, TOPICS, st.integers(1, 5))
def test_what_is_fetched_later_never_comes_before_what_was_taken(
    now: dict[str, list[int]], later: dict[str, list[int]], limit: int
) -> None:
    whole = {topic: now.get(topic, []) + later.get(topic, []) for topic in {*now, *later}}
    unfetched = tuple(topic for topic in whole if later.get(topic))
    inbox = inbox_of({topic: now.get(topic, []) for topic in whole}, unfetched=unfetched)
    order = []
    while part := taken(inbox, limit=limit):
        order += part
    assert order == by_heads(whole)[: len(order)]
    for topic, instants in later.items():
        add(inbox, topic, instants)
        inbox.by_topic[topic].stable = len(whole[topic])
    while part := taken(inbox, limit=limit):
        order += part
    assert order == by_heads(whole)


def test_a_topic_not_fetched_yet_holds_the_others() -> None:
    inbox = inbox_of({"a": [1, 2], "b": []}, unfetched=("b",))
    assert taken(inbox) is None
    inbox.by_topic["b"].stable = 0
    assert taken(inbox) == [("a", 0), ("a", 1)]


def test_before_the_first_answer_of_the_broker_nothing_is_taken() -> None:
    inbox = Inbox(["a", "b"])
    inbox.seek({"a": 0, "b": 0})
    add(inbox, "a", [5])
    assert taken(inbox) is None


def test_equal_instants_are_taken_by_the_name_of_the_topic() -> None:
    assert taken(inbox_of({"b": [5], "a": [5]})) == [("a", 0), ("b", 0)]


def test_an_import_of_history_is_taken_in_turn_and_holds_nobody() -> None:
    history = list(range(IMPORT_RECORDS + 100))
    inbox = inbox_of({"history": history, "live": [90_000, 90_001]}, unfetched=("history",))
    part = taken(inbox, clock=80_000, limit=1_000)
    assert part is not None
    assert part[-2:] == [("live", 0), ("live", 1)]
    assert len(part) == 502  # half of the batch is for history
    assert inbox.reached({"history": 10**9, "live": 2}, clock=80_000)


def test_a_few_late_records_before_newer_ones_are_no_import() -> None:
    inbox = inbox_of({"a": [10, 20, 100], "b": [101]}, unfetched=("a",))
    assert not inbox.reached({"a": 4, "b": 0}, clock=50)
    assert taken(inbox, clock=50) == [("a", 0), ("a", 1), ("a", 2)]  # the next of `a` may be older than that of `b`


def test_newer_records_wait_for_the_history_before_them_in_their_topic() -> None:
    inbox = inbox_of({"a": [*([1] * 50), 95], "b": [90, 99]})
    part = taken(inbox, clock=80, limit=20)
    assert part == [*(("a", n) for n in range(10)), ("b", 0)]
    order = part
    while more := taken(inbox, clock=80, limit=20):
        order = order + more
    assert order[-2:] == [("a", 50), ("b", 1)]


def test_offsets_are_those_of_the_first_records_not_taken() -> None:
    inbox = inbox_of({"a": [1, 2, 3], "b": [2]})
    taken(inbox, limit=2)
    assert inbox.offsets() == {"a": 2, "b": 0}
    taken(inbox)
    assert inbox.offsets() == {"a": 3, "b": 1}


def test_rejected_records_are_apart_and_count_for_the_offsets() -> None:
    inbox = Inbox(["a"])
    inbox.seek({"a": 0})
    read: list[Any] = [fact(5), Rejected("bad_json", "no"), fact(6)]
    inbox.by_topic["a"].add(read, [Record("a", n) for n in range(3)], 300)
    inbox.by_topic["a"].stable = 3
    found = inbox.take(NOTHING_SEEN, 2, BYTES)
    assert found is not None
    assert [f.at for f in found.facts] == [5]
    assert [(r.offset, why.reason) for r, why in found.rejected] == [(1, "bad_json")]
    assert inbox.offsets() == {"a": 2}
    assert inbox.by_topic["a"].rejected == 0


@pytest.mark.parametrize("limit", [1, 999, 100_000])
def test_a_batch_is_bounded_by_bytes(limit: int) -> None:
    inbox = inbox_of({"a": list(range(1_000))})
    part = inbox.take(NOTHING_SEEN, ALL, limit)
    assert part is not None
    assert len(part.facts) == max(1, min(1_000, limit // 100))


def test_a_seek_forgets_what_was_fetched_before() -> None:
    inbox = inbox_of({"a": [1, 2]})
    epoch = inbox.epoch
    inbox.seek({"a": 1})
    assert inbox.epoch != epoch
    assert len(inbox) == 0
    assert inbox.offsets() == {"a": 1}
    assert taken(inbox) is None
