"""How long the fan-out's transactions wait, without a Kafka."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import orjson
import pytest
from aiokafka import TopicPartition

from engine.worker import fanout as copying
from engine.worker.fanout import Fanout
from engine.worker.metrics import Metrics
from engine.worker.settings import Settings

PLACE = TopicPartition("segments.transitions", 0)


def transition(offset: int, segment: str, version: int = 1) -> Any:
    value = orjson.dumps({"workspace": "default", "segment": segment, "version": version})
    return SimpleNamespace(key=b"default/a", value=value, headers=(), offset=offset)


async def test_many_unknown_segments_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: Any) -> dict[str, int]:
        return {}

    monkeypatch.setattr(copying, "BEHIND_SECONDS", 0.3)
    monkeypatch.setattr(copying, "partition_counts", none)
    fanout = Fanout(Settings(), PLACE.topic, Metrics(), lambda _: None)
    producer = AsyncMock()
    fanout._producers[0] = producer
    began = time.monotonic()
    await fanout._transaction(PLACE, [transition(n, f"s{n}") for n in range(40)])
    took = time.monotonic() - began
    assert 0.3 <= took < 3.0  # one wait; forty would take 12 s
    producer.send_offsets_to_transaction.assert_awaited_once_with({PLACE: 40}, fanout._group)

    monkeypatch.setattr(copying, "BEHIND_SECONDS", 30.0)
    began = time.monotonic()
    await fanout._transaction(PLACE, [transition(40 + n, f"s{n}") for n in range(40)])
    assert time.monotonic() - began < 3.0  # the same versions are not waited for again
