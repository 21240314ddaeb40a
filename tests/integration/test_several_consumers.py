"""R17: an enter feeds several consumers, each with a group of its own; each sees it once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer

from deploy.local_broker import LocalBroker
from tests.driver import fact
from tests.integration.harness import Worker, free_ports, run_engine
from tests.integration.harness_kafka import read_topic, send_all, wait_consumed

pytestmark = pytest.mark.kafka
CONTACTS = [f"c-{number}" for number in range(20)]
SEEN_WITHIN = 60.0  # seconds for a consumer to join its group and read what is there
TAKEN_WITHIN = 60.0  # seconds for the worker to take the facts


def consumed(brokers: str, group: str, topic: str, count: int) -> list[dict[str, Any]]:
    """What a plain subscriber of a group of its own is given, up to `count` records, in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    found: list[dict[str, Any]] = []
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + SEEN_WITHIN
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(count, 0.2):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    found.append(orjson.loads(value))
    finally:
        consumer.close()
    return found


def test_r17_a_mailer_and_a_task_creator_each_see_every_enter_once(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "buyers.yaml").write_text("segment: buyers\nwhen: {did: {event: purchase}}")
    facts = [fact("2026-01-01", "purchase", who, named=f"p-{who}") for who in CONTACTS]
    with LocalBroker(tmp_path / "kafka") as broker:
        env = {
            "SEGMENT_ENGINE_BROKERS": broker.brokers,
            "SEGMENT_ENGINE_DATA_DIR": str(tmp_path / "data"),
            "SEGMENT_ENGINE_HTTP_PORT": str(free_ports(1)[0]),
            "SEGMENT_ENGINE_CLOCK": "events",
        }
        run_engine(["topics", "create"], env)
        run_engine(["segments", "apply", str(tmp_path / "segments")], env)
        # Every purchase is delivered twice.
        send_all(
            broker.brokers,
            (("events.purchases", line["contact"].encode(), orjson.dumps(line)) for line in [*facts, *facts]),
        )
        with Worker(env, log=tmp_path / "worker.log") as worker:
            wait_consumed(broker.brokers, "segment-engine", ["events.purchases"], TAKEN_WITHIN, worker)
            seen = [
                consumed(broker.brokers, "mailer", "segments.default.buyers", len(CONTACTS)),
                consumed(broker.brokers, "task-creator", "segments.default.buyers", len(CONTACTS)),
                consumed(broker.brokers, "analyst", "segments.transitions", len(CONTACTS)),
            ]
        for rows in seen:
            assert sorted((row["contact"], row["change"]) for row in rows) == sorted((who, "enter") for who in CONTACTS)
        assert len({frozenset(row["id"] for row in rows) for rows in seen}) == 1
        for topic in ("segments.default.buyers", "segments.transitions"):
            assert len(read_topic(broker.brokers, topic)) == len(CONTACTS), "an enter came more than once"
