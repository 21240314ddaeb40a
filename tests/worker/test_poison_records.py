"""Records that nobody foresaw become dead letters; they end no worker and are not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from engine.conditions.fact import Fact
from engine.membership.batch import Batch
from engine.membership.facts import Rejected, read_fact
from engine.state.codec import Position
from engine.worker.commit import COMMON_BATCH_BYTES, Letter, encode_changes, letter_row, pack, refused_letters
from engine.worker.intake import Intake
from engine.worker.settings import Settings


@dataclass
class Record:
    offset: int = 0
    value: bytes | None = b"not json"
    key: bytes | None = b"k"
    topic: str = "events.clicks"
    partition: int = 0
    timestamp: int = 1_800_000_000_000
    timestamp_type: int = 1
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=tuple)


class Builders:
    """As much of a producer as packing needs."""

    def __init__(self) -> None:
        self._message_accumulator = SimpleNamespace(_compression_type=0)

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1 << 24, 0, is_transactional=True)


async def nobody(*_: Any) -> None:
    pass


def an_intake() -> Intake:
    return Intake(Settings(), ("events.clicks",), "events.forwarded", assigned=nobody, revoked=nobody)


def test_a_header_without_value_is_written_as_it_was_read() -> None:
    letter = Letter(Record(headers=(("trace", None),)), "bad_json", "no")
    rows = encode_changes(Batch(), members=False, letters=[letter], position=Position()).letters
    (packed,) = pack(cast(Any, Builders()), rows, COMMON_BATCH_BYTES)
    assert packed.record_count() == 1
    assert ("trace", None) in rows[0][2]


def test_an_unforeseen_failure_of_reading_is_the_records_own_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    real = read_fact

    def fragile(value: bytes, **more: Any) -> Any:
        if value == b"poison":
            raise RuntimeError("unforeseen")
        return real(value, **more)

    monkeypatch.setattr("engine.worker.intake.read_fact", fragile)

    async def read() -> list[Any]:
        intake = an_intake()
        lane = intake.lane(0)
        good = b'{"id":"1","type":"click","contact":"c","at":"2026-01-01T00:00:00Z"}'
        intake._add(lane, "events.clicks", [Record(0, b"poison"), Record(1, good)])
        return lane.inbox.by_topic["events.clicks"].read

    poison, fact = asyncio.run(read())
    assert poison == Rejected("engine_error", "RuntimeError: unforeseen")
    assert isinstance(fact, Fact)


def test_what_the_core_refused_is_a_letter_with_its_record() -> None:
    facts = [Fact(contact=name, type="click", at_text="") for name in ("a", "b", "a")]
    records = [Record(0), Record(1), Record(2)]
    batch = cast(Batch, SimpleNamespace(refused=[(facts[2], Rejected("contact_too_large", "why"))]))
    assert refused_letters(batch, facts, records) == [Letter(records[2], "contact_too_large", "why")]
    assert refused_letters(Batch(), facts, records) == []


def test_a_record_larger_than_any_topic_takes_leaves_its_head_reason_and_origin() -> None:
    record = Record(7, b"x" * (20 << 20), headers=(("own", b"y" * 100),))
    for limit in (16 << 20, 2 << 20, 1 << 20):
        key, value, headers = letter_row(Letter(record, "oversize", "why"), limit)
        assert key == b"k"
        assert value is not None
        assert len(value) == min(1 << 20, limit - 8_192 - 1)
        assert dict(headers)["reason"] == b"oversize"
        assert dict(headers)["origin-offset"] == b"7"
        assert dict(headers)["cut"] == b"%d" % (20 << 20)


def test_a_record_that_the_topic_takes_is_untouched() -> None:
    record = Record(7, b"x" * (3 << 20), headers=(("own", b"y"),))
    key, value, headers = letter_row(Letter(record, "oversize", "why"), 16 << 20)
    assert (key, value) == (record.key, record.value)
    assert ("own", b"y") in headers


def test_a_senders_timestamp_far_ahead_of_the_wall_is_refused() -> None:
    async def read() -> list[Any]:
        intake = an_intake()
        lane = intake.lane(0)
        event = b'{"id":"1","type":"click","contact":"c","at":"2026-01-01T00:00:00Z"}'
        intake._add(lane, "events.clicks", [Record(0, event, timestamp=1 << 50, timestamp_type=0)])
        return lane.inbox.by_topic["events.clicks"].read

    (found,) = asyncio.run(read())
    assert found.reason == "too_far_ahead"
