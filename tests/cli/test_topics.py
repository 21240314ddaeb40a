"""`segment-engine topics` against a real Kafka, and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import topics
from deploy.local_broker import LocalBroker, free_port
from engine.cli import main
from tests.conftest import Kafka


@pytest.mark.kafka
def test_create_then_verify_then_a_difference(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_BROKERS", kafka.brokers)
    monkeypatch.setenv("SEGMENT_ENGINE_GROUP", kafka.unique("cli"))
    monkeypatch.setenv("SEGMENT_ENGINE_PARTITIONS", "3")
    own = kafka.unique("own.events")
    monkeypatch.setenv("SEGMENT_ENGINE_INPUT_TOPICS", own)
    assert main.run(["topics", "create", "-o", "json"]) == 0
    made = {row["topic"]: row for row in json.loads(capsys.readouterr().out)}
    assert made[own] == {"topic": own, "result": "created", "partitions": 3}

    assert main.run(["topics", "verify"]) == 0
    assert capsys.readouterr().err == f"{len(made)} topics are as declared\n"

    monkeypatch.setenv("SEGMENT_ENGINE_JOURNAL_RETENTION", "P30D")
    assert main.run(["topics", "verify", "-o", "jsonl"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["setting"] == "retention.ms"

    assert main.run(["topics", "verify"]) == 1
    told = capsys.readouterr()
    assert "engine.cli-" in told.out
    assert told.err == f"1 of {len(made)} topics differ\n"


def test_no_broker_is_a_users_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_REQUEST_TIMEOUT", "PT2S")
    where = f"127.0.0.1:{free_port()}"
    assert main.run(["topics", "verify", "--brokers", where]) == 2
    assert f"Kafka at {where} does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--partitions", "0"], "--partitions cannot be '0': allowed is a whole number from 1 to 4096."),
        (["--group", "a/b"], "--group cannot be 'a/b'"),
    ],
)
def test_a_wrong_flag_is_a_users_error(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["topics", "create", *words]) == 2
    assert told in capsys.readouterr().err


def test_an_input_that_the_engine_writes_is_a_users_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_INPUT_TOPICS", "events.clicks,segments.transitions")
    assert main.run(["topics", "create"]) == 2
    assert "segments.transitions is written by the engine" in capsys.readouterr().err


@pytest.mark.kafka
def test_topics_of_segments_in_force_are_made_and_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with LocalBroker() as broker:  # of its own: definitions are one for all
        monkeypatch.setenv("SEGMENT_ENGINE_BROKERS", broker.brokers)
        assert main.run(["topics", "create"]) == 0
        rules = "segment: seen\nwhen: {tags: {any: a}}\n---\nsegment: alone\ntopic: false\nwhen: {tags: {any: a}}\n"
        (tmp_path / "segments.yaml").write_text(rules, encoding="utf-8")
        assert main.run(["segments", "apply", str(tmp_path / "segments.yaml")]) == 0
        assert main.run(["topics", "verify"]) == 0
        asyncio.run(topics.delete(broker.brokers, ["segments.default.seen"]))
        capsys.readouterr()
        assert main.run(["topics", "verify", "-o", "jsonl"]) == 1
        assert [json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()] == ["segments.default.seen"]
        assert main.run(["topics", "create", "-o", "json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert [row["topic"] for row in made if row["result"] == "created"] == ["segments.default.seen"]
        # A deleted segment needs none, and one that is still there is no difference.
        assert main.run(["segments", "delete", "seen"]) == 0
        assert main.run(["topics", "verify"]) == 0
