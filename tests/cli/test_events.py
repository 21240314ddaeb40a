"""`segment-engine events send`: to the right topics, keys and partitions, the bad lines told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local_broker import free_port
from engine.cli import main
from engine.worker.publishing import TOPICS, topic_of
from tests.conftest import Kafka
from tests.integration.harness_kafka import create_topics, read_topic
from tests.placement import partition_of

INPUTS = ("events.clicks", "events.purchases", "events.opt-outs", "events.messages", "events.contacts")


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        ("product_view", "events.clicks"),
        ("something_new", "events.clicks"),
        ("refund", "events.purchases"),
        ("consent", "events.opt-outs"),
        ("message_read", "events.messages"),
        ("list_added", "events.contacts"),
    ],
)
def test_a_type_has_a_natural_topic(kind: str, topic: str) -> None:
    assert topic_of(kind, INPUTS) == topic
    assert topic_of(kind, ["shop.all", "shop.more"]) == "shop.all"
    assert set(TOPICS.values()) < set(INPUTS)


@pytest.mark.kafka
def test_events_go_where_they_belong_and_bad_lines_are_told(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [kafka.unique("sent"), kafka.unique("sent")]
    create_topics(kafka.brokers, own, 4)
    monkeypatch.setenv("SEGMENT_ENGINE_BROKERS", kafka.brokers)
    monkeypatch.setenv("SEGMENT_ENGINE_INPUT_TOPICS", ",".join(own))
    now = datetime.now(UTC).isoformat()
    lines = [
        *(json.dumps({"id": f"e-{i}", "type": "click", "contact": f"c-{i}", "at": now}) for i in range(50)),
        "{",
        '{"type":"click","contact":"","at":"2026-05-01T10:00:00Z"}',
        '{"type":"click","contact":"c","at":"9999-05-01T10:00:00Z"}',
        json.dumps({"type": "click", "contact": "c-1", "workspace": "shop", "at": now, "properties": {"имя": "Анна"}}),
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert main.run(["events", "send", str(file)]) == 1
    told = capsys.readouterr().err
    assert f"{file}:51: bad_json: " in told
    assert f"{file}:52: bad_contact: " in told
    assert f"{file}:53: too_far_ahead: " in told
    assert "51 events published" in told
    assert "3 lines refused: " in told

    found = read_topic(kafka.brokers, own[0])
    assert sorted(r.value or b"" for r in found) == sorted(line.encode() for line in (*lines[:50], lines[53]))
    assert {r.partition for r in found} == {0, 1, 2, 3}
    assert all(r.partition == partition_of(r.key or b"", 4) for r in found)
    assert b"shop/c-1" in {r.key for r in found}

    monkeypatch.setenv("SEGMENT_ENGINE_INPUT_TOPICS", kafka.unique("missing"))
    assert main.run(["events", "send", str(file)]) == 2
    assert "topics create" in capsys.readouterr().err


def test_no_broker_and_no_file_are_users_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_REQUEST_TIMEOUT", "PT1S")
    file = tmp_path / "none.jsonl"
    assert main.run(["events", "send", str(file)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    file.write_text("{}")
    where = f"127.0.0.1:{free_port()}"
    assert main.run(["events", "send", str(file), "--brokers", where]) == 2
    told = capsys.readouterr().err
    assert f"Kafka at {where} does not take events" in told
    assert "Traceback" not in told
