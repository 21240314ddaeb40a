"""The declarations: what each topic must be, whatever the cluster."""

from __future__ import annotations

import pytest

import topics
from topics.declaration import DAY, FOREVER, MIB, Topic

EVERY = topics.declared("g", [t.name for t in topics.INPUTS], segments=[("default", "tea-again"), ("shop.b", "cold")])
COMPACTED = {"segments.definitions", "segments.members", "engine.workers", "engine.g.changelog", "engine.g.journal"}


def named(name: str) -> Topic:
    return next(t for t in EVERY if t.name == name)


def test_every_topic_is_declared_once() -> None:
    names = [t.name for t in EVERY]
    assert len(names) == len(set(names))
    assert names == [
        "events.clicks",
        "events.purchases",
        "events.opt-outs",
        "events.messages",
        "events.contacts",
        "events.forwarded",
        "events.dead-letter",
        "segments.definitions",
        "segments.definitions.history",
        "segments.transitions",
        "segments.members",
        "engine.workers",
        "engine.g.changelog",
        "engine.g.journal",
        "segments.default.tea-again",
        "segments.shop.b.cold",
    ]


def test_arrival_is_the_brokers_time_everywhere() -> None:
    assert {t.configuration()["message.timestamp.type"] for t in EVERY} == {"LogAppendTime"}


def test_limits_leave_room_for_what_the_engine_adds() -> None:
    assert {t.max_message_bytes for t in topics.INPUTS} == {MIB}
    assert topics.DEAD_LETTER.max_message_bytes > MIB
    assert topics.FORWARDED.max_message_bytes > MIB
    assert topics.changelog("g").max_message_bytes == topics.journal("g").max_message_bytes == 16 * MIB


def test_compacted_topics_keep_the_latest_for_ever_and_the_journal_what_still_counts() -> None:
    assert {t.name for t in EVERY if "compact" in t.cleanup} == COMPACTED
    for name in COMPACTED - {"engine.g.journal"}:
        assert named(name).configuration()["cleanup.policy"] == "compact"
        assert named(name).retention == FOREVER
    journal = topics.journal("g", 30 * DAY).configuration()
    assert journal["cleanup.policy"] == "compact,delete"
    assert int(journal["retention.ms"]) > 30 * DAY


def test_the_history_of_definitions_is_never_deleted() -> None:
    assert topics.HISTORY.configuration()["retention.ms"] == "-1"
    assert topics.HISTORY.cleanup == "delete"


def test_what_is_kept_by_contact_has_the_inputs_partitions() -> None:
    by_contact = {t.name for t in EVERY if t.count(7) == 7}
    assert by_contact == {t.name for t in topics.INPUTS} | {
        "events.forwarded",
        "events.dead-letter",
        "segments.transitions",
        "segments.members",
        "engine.g.changelog",
        "engine.g.journal",
    }
    assert {t.count(7) for t in EVERY if t.name not in by_contact} == {1}


def test_an_operators_own_input_has_the_settings_of_events_and_is_marked() -> None:
    own = topics.input_topic("bench.events")
    assert own.operators
    assert own.configuration() == topics.INPUTS[0].configuration()
    assert not topics.input_topic("events.clicks").operators


@pytest.mark.parametrize(
    "name", ["segments.transitions", "segments.default.tea", "engine.g.journal", "events.dead-letter"]
)
def test_what_the_engine_writes_cannot_be_its_input(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be one of its inputs"):
        topics.input_topic(name)


@pytest.mark.parametrize(("workspace", "segment"), [("a b", "tea"), ("лавка", "tea"), ("w" * 250, "tea")])
def test_a_name_that_kafka_does_not_take_is_refused(workspace: str, segment: str) -> None:
    with pytest.raises(ValueError, match="cannot be a Kafka topic"):
        topics.segment_topic(workspace, segment)


def test_a_segment_cannot_take_the_name_of_an_engines_topic() -> None:
    with pytest.raises(ValueError, match="topic: false"):
        topics.segment_topic("definitions", "history")


def test_segment_topics_are_bounded() -> None:
    assert topics.SEGMENT_TOPICS_MAX == 1_000
    assert topics.segment_topic("default", "tea", partitions=3).count(7) == 3
