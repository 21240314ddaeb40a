"""`segment-engine segments` on a real Kafka, in a workspace of one test's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import topics
from engine.cli import main
from tests.conftest import Kafka
from tests.integration.harness_kafka import read_topic


class Desk:
    """The command on the session's Kafka, in a workspace of the test's own."""

    def __init__(self, kafka: Kafka, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.kafka = kafka
        self.workspace = kafka.unique("ws")
        self.folder = folder
        self._capsys = capsys

    @classmethod
    def at(
        cls, kafka: Kafka, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Desk:
        """With the topics that are the same for every test of the session, whatever its number of partitions."""
        monkeypatch.setenv("SEGMENT_ENGINE_BROKERS", kafka.brokers)
        asyncio.run(topics.create(kafka.brokers, [topics.DEFINITIONS, topics.HISTORY], partitions=1))
        return cls(kafka, folder, capsys)

    def put(self, name: str, text: str) -> None:
        (self.folder / f"{name}.yaml").write_text(f"workspace: {self.workspace}\n{text}", encoding="utf-8")

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main.run(["segments", *words])
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    def apply(self, *words: str) -> dict[str, tuple[str, int]]:
        code, out, err = self.run("apply", str(self.folder), "-o", "json", *words)
        assert code == 0, err
        return {row["segment"]: (row["result"], row["version"]) for row in json.loads(out)}

    def done(self, *words: str) -> str:
        """Standard output of a command about this workspace that must succeed."""
        code, out, err = self.run(words[0], "-w", self.workspace, *words[1:])
        assert code == 0, err
        return out

    def refused(self, *words: str) -> str:
        """Standard error of a command about this workspace that must be refused."""
        code, out, err = self.run(words[0], "-w", self.workspace, *words[1:])
        assert (code, out) == (2, ""), err
        return err

    def rows(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.done(*words, "-o", "json"))
        return found

    def records(self, topic: str) -> int:
        """How many records of this workspace a topic holds."""
        prefix = f"{self.workspace}/".encode()
        return sum((record.key or b"").startswith(prefix) for record in read_topic(self.kafka.brokers, topic))
