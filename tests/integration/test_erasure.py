"""R53: a contact is erased, on a real Kafka and by the command line: it leaves without payload, nothing of it is left
in what a restart is built from, and only newer facts make it new."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.local_broker import LocalBroker
from engine.state.changelog import ERASED, STATE, changelog_topic, journal_topic
from engine.state.codec import decode_chunk
from tests.driver import fact
from tests.integration.harness import Worker, engine_command, free_ports, run_engine
from tests.integration.harness_kafka import Record, latest, read_topic, wait_consumed
from topics import INPUTS

pytestmark = pytest.mark.kafka
GROUP = "segment-engine"
ANNA, BORIS = "anna-4711", "boris-0815"
SECRETS = (ANNA.encode(), b"Zinaida", b"A-1138")
TAKEN_WITHIN = 60.0  # seconds
SEGMENTS = """
segment: buyers
payload: [name, last.purchase.order_id]
when: {did: {event: purchase, within: P30D}}
---
segment: neighbours
payload: [name]
when: {profile: {district: Presnya}}
"""

Json = dict[str, Any]
FIRST = [
    fact("2026-01-01", "contact_updated", ANNA, district="Presnya", name="Zinaida", named="1"),
    fact("2026-01-02", "purchase", ANNA, order_id="A-1138", named="2"),
    fact("2026-01-03", "contact_updated", BORIS, district="Presnya", named="3"),
]
ERASURE = fact("2026-01-05", "contact_erased", ANNA, named="4")
BACK = fact("2026-01-06", "purchase", ANNA, order_id="B-1", named="5")
AGAIN = fact("2026-01-07", "contact_erased", ANNA, named="6")


class Running:
    """A worker with its settings, what it was sent, and what is asked of it."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.env = {
            "SEGMENT_ENGINE_BROKERS": broker.brokers,
            "SEGMENT_ENGINE_DATA_DIR": str(folder / "data"),
            "SEGMENT_ENGINE_HTTP_PORT": str(free_ports(1)[0]),
            "SEGMENT_ENGINE_PARTITIONS": "2",
            "SEGMENT_ENGINE_SEGMENT_TOPICS": "off",
            "SEGMENT_ENGINE_CLOCK": "events",
        }
        self.sent: list[Json] = []
        self.worker: Worker

    def start(self) -> None:
        self.worker = Worker(self.env, log=self.folder / "worker.log")
        self.worker.wait_ready()

    def send(self, *facts: Json) -> None:
        """By the command line, one after the other; until the worker has taken them."""
        for each in facts:  # each for itself: at different milliseconds of arrival
            file = self.folder / "events.jsonl"
            file.write_text(json.dumps(each) + "\n")
            run_engine(["events", "send", str(file)], self.env)
        self.sent += facts
        wait_consumed(self.broker.brokers, GROUP, [topic.name for topic in INPUTS], TAKEN_WITHIN, self.worker)

    def read(self, topic: str) -> list[Record]:
        return read_topic(self.broker.brokers, topic)

    def transitions(self, contact: str = ANNA) -> list[Json]:
        found = [json.loads(record.value) for record in self.read("segments.transitions") if record.value is not None]
        return [each for each in found if each["contact"] == contact]

    def asked(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """What a command over HTTP says, whether it fails or not."""
        url = f"http://127.0.0.1:{self.worker.port}"
        line = [*engine_command(), *words, "--url", url]
        return subprocess.run(line, env={**self.env, "PATH": ""}, capture_output=True, timeout=60, check=False)

    def counted(self, metric: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.worker.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(metric + " "))

    def recount_agrees(self) -> None:
        words = ["recount", "--from-topics", "--until", "2026-01-20T00:00:00Z"]
        done = subprocess.run(
            [*engine_command(), *words], env={**self.env, "PATH": ""}, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        assert b"the recount agrees" in done.stderr

    def holds_nothing_of_anna(self) -> None:
        """Of every key the last record: what is left once the topics are compacted, and what a restore reads."""
        changelog, journal = changelog_topic(GROUP), journal_topic(GROUP)
        for topic in (changelog, journal, "segments.members"):
            left = latest(self.read(topic))
            for key, value in left.items():
                assert not any(secret in key + value for secret in SECRETS), (topic, key)
                if topic == journal:  # chunks are packed
                    facts = decode_chunk(value, key[:-4])
                    assert not any(secret in bytes(each.raw) for each in facts for secret in SECRETS)
            assert any(BORIS.encode() in key for key in left), topic
        marks = [key for key in latest(self.read(changelog)) if key.startswith(ERASED)]
        assert [len(key) for key in marks] == [17]
        states = [key for key in latest(self.read(changelog)) if key.startswith(STATE)]
        assert len(states) == 1


def told(transitions: Sequence[Json]) -> list[str]:
    return [f"{each['change']} {each['segment']} {each['sequence']} {each['cause']['kind']}" for each in transitions]


def test_r53_who_is_erased_leaves_nothing_and_comes_back_as_new(tmp_path: Path) -> None:
    (tmp_path / "segments.yaml").write_text(SEGMENTS)
    with LocalBroker(tmp_path / "kafka") as broker:
        running = Running(broker, tmp_path)
        run_engine(["topics", "create"], running.env)
        run_engine(["segments", "apply", str(tmp_path / "segments.yaml")], running.env)
        running.start()
        try:
            _erased_and_back(running)
        finally:
            running.worker.stop()
        log = running.worker.log.read_bytes()
        assert b"runs" in log
        assert not any(secret in log for secret in SECRETS)


def _erased_and_back(running: Running) -> None:
    running.send(*FIRST)
    assert told(running.transitions()) == ["enter neighbours 1 event", "enter buyers 1 event"]
    assert running.asked("contact", ANNA).returncode == 0

    running.send(ERASURE)
    exits = running.transitions()[2:]
    assert told(exits) == ["exit buyers 2 erase", "exit neighbours 2 erase"]
    assert [(each["payload"], each["at"]) for each in exits] == [(None, "2026-01-05T00:00:00.000Z")] * 2
    running.holds_nothing_of_anna()
    for words in (("contact", ANNA), ("explain", ANNA, "buyers")):
        asked = running.asked(*words)
        assert asked.returncode == 2
        assert ANNA.encode() in asked.stderr  # as it was asked for
        assert b"Zinaida" not in asked.stdout + asked.stderr
    assert ANNA not in running.asked("members", "neighbours").stdout.decode()
    assert BORIS in running.asked("members", "neighbours").stdout.decode()
    running.recount_agrees()

    running.send(*FIRST[:2], ERASURE)  # redelivered
    assert running.counted("segment_engine_erased_facts_total") == 2
    running.holds_nothing_of_anna()
    assert running.worker.stop() == 0
    shutil.rmtree(running.folder / "data")
    running.start()
    running.send(*FIRST[:2])
    assert running.counted("segment_engine_erased_facts_total") == 2
    assert len(running.transitions()) == 4
    assert running.asked("contact", ANNA).returncode == 2
    running.holds_nothing_of_anna()
    running.recount_agrees()

    running.send(BACK)
    (enter,) = running.transitions()[4:]
    assert (enter["segment"], enter["sequence"], enter["cause"]["kind"]) == ("buyers", 1, "event")
    assert enter["payload"] == {"name": None, "last.purchase.order_id": "B-1"}
    shown = json.loads(running.asked("contact", ANNA, "-o", "json").stdout)
    assert (shown["facts"], shown["attributes"], [each["segment"] for each in shown["segments"]]) == (1, {}, ["buyers"])
    running.recount_agrees()

    running.send(AGAIN, *FIRST[:2], BACK)
    assert told(running.transitions()[5:]) == ["exit buyers 2 erase"]
    running.holds_nothing_of_anna()
    running.recount_agrees()
    published = running.transitions() + running.transitions(BORIS)
    assert len({each["id"] for each in published}) == len(published)
    assert _without_time(_replayed(running)) == _without_time(published)


def _replayed(running: Running) -> list[Json]:
    events = running.folder / "all.jsonl"
    events.write_text("".join(json.dumps(each) + "\n" for each in running.sent))
    words = ["replay", "--segments", str(running.folder / "segments.yaml"), "--events", str(events)]
    found = [json.loads(line) for line in run_engine(words, running.env).splitlines()]
    return sorted(found, key=lambda each: each["contact"])


def _without_time(transitions: Sequence[Json]) -> list[Json]:
    return [{name: value for name, value in each.items() if name != "detected_at"} for each in transitions]
