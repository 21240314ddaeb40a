"""How far the clock may follow the wall, and when this machine's clock is not to be trusted."""

from __future__ import annotations

from engine.worker.clock import PartitionTime, Probe, Skew
from engine.worker.inbox import Inbox
from tests.worker.test_inbox import add, inbox_of

GRACE = 1_000


def probe(asked: int, **ends: int) -> Probe:
    return Probe(asked, {0: ends})


def caught_up(*, a: int) -> Inbox:
    inbox = Inbox(["a"])
    inbox.seek({"a": a})
    inbox.by_topic["a"].stable = a
    return inbox


def test_the_clock_goes_to_the_probe_less_the_grace_when_everything_before_it_was_taken() -> None:
    time = PartitionTime(0, GRACE)
    time.tell(probe(50_000, a=7))
    assert time.target(caught_up(a=6), 0) is None
    assert time.target(caught_up(a=7), 0) == 49_000
    assert time.target(caught_up(a=7), 0) is None  # each probe once


def test_a_fact_appended_before_the_probe_holds_the_clock_although_it_is_fetched() -> None:
    time, inbox = PartitionTime(0, GRACE), inbox_of({"a": [1, 2, 3]})
    time.tell(probe(50_000, a=3))
    assert time.target(inbox, 0) is None
    inbox.take(-1, 10, 1 << 20)
    assert time.target(inbox, 0) == 49_000


def test_under_steady_load_the_oldest_probe_not_reached_is_kept() -> None:
    time, inbox = PartitionTime(0, GRACE), caught_up(a=0)
    for second in range(1, 6):  # the newest end is always ahead
        time.tell(probe(second * 1_000, a=second * 10))
    add(inbox, "a", [1] * 10)
    inbox.take(-1, 10, 1 << 20)
    assert time.target(inbox, -5_000) == 0
    add(inbox, "a", [1] * 40)
    inbox.take(-1, 40, 1 << 20)
    assert time.target(inbox, 0) == 4_000


def test_the_newest_probe_counts_when_it_is_reached_too() -> None:
    time = PartitionTime(0, GRACE)
    time.tell(probe(10_000, a=1))
    time.tell(probe(20_000, a=2))
    assert time.target(caught_up(a=2), 0) == 19_000


def test_the_clock_never_goes_back() -> None:
    time = PartitionTime(0, GRACE)
    time.tell(probe(10_000, a=1))
    assert time.target(caught_up(a=1), 9_500) is None


def test_a_clock_that_agrees_with_the_broker_is_trusted() -> None:
    skew = Skew(allowed=5_000)
    skew.measure(1_000, 1_010, 1_020)
    assert skew.ok
    assert skew.millis == 0
    assert skew.problem(1_020) == ""


def test_a_clock_far_from_the_brokers_is_not_trusted_and_says_so() -> None:
    skew = Skew(allowed=5_000)
    skew.measure(100_000, 90_000, 100_020)
    assert not skew.ok
    assert "10000 ms ahead of" in skew.problem(100_020)
    skew.measure(100_000, 110_020, 100_020)
    assert "10000 ms behind" in skew.problem(100_020)
    skew.measure(100_000, 100_001, 100_020)
    assert skew.ok
