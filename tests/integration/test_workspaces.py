"""Two workspaces of one installation, with the same ids of contacts and of segments: through the command line and Kafka
they never meet (R12).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.cli import main
from engine.conditions.instants import format_instant
from tests.conftest import Kafka
from tests.integration.faults.checker import members_of
from tests.integration.harness import Worker, free_ports, wait_until
from tests.integration.harness_kafka import read_topic, send_all
from tests.worker.scene import PARTITIONS
from topics import create, declared

pytestmark = pytest.mark.kafka

WITHIN = 60.0  # seconds
SEGMENTS = """\
segment: buyers
name: Buyers of {workspace}
mailable: false
when: {{did: {{event: purchase}}}}
---
segment: again
mailable: false
when: {{all: [{{in_segment: buyers}}, {{did: {{event: purchase, count: {{gte: 2}}}}}}]}}
---
segment: high
mailable: false
group: {{name: level, priority: 2}}
when: {{tags: {{any: vip}}}}
---
segment: low
mailable: false
group: {{name: level, priority: 1}}
include: [pinned]
when: {{did: {{event: click}}}}
"""
Row = tuple[str, str, str, int, str]


class Landings:
    """One worker, and two workspaces with one and the same folder of segments."""

    def __init__(self, kafka: Kafka, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.brokers = kafka.brokers
        self.one, self.two = kafka.unique("one"), kafka.unique("two")
        self._events, group = kafka.unique("landing-events"), kafka.unique("landings")
        self._capsys, self._sent = capsys, 0
        self.folder = folder / "segments"
        self.folder.mkdir()
        for workspace in (self.one, self.two):
            for part in SEGMENTS.format(workspace=workspace).split("---\n"):
                name = part.split()[1]
                (self.folder / f"{workspace}-{name}.yaml").write_text(f"workspace: {workspace}\n{part}")
        (port,) = free_ports(1)
        self.env = {
            "SEGMENT_ENGINE_BROKERS": kafka.brokers,
            "SEGMENT_ENGINE_GROUP": group,
            "SEGMENT_ENGINE_INPUT_TOPICS": self._events,
            "SEGMENT_ENGINE_PARTITIONS": str(PARTITIONS),
            "SEGMENT_ENGINE_HTTP_PORT": str(port),
            "SEGMENT_ENGINE_DATA_DIR": str(folder / "data"),
            "SEGMENT_ENGINE_SESSION_TIMEOUT": "PT6S",
        }
        asyncio.run(create(kafka.brokers, declared(group, (self._events,)), partitions=PARTITIONS))

    def send(self, workspace: str, contact: str, kind: str, **properties: Any) -> None:
        """One fact of now, under an id that the other workspace uses too."""
        self._sent += 1
        fact = {"id": f"{kind}-{contact}-{properties or ''}", "type": kind, "contact": contact, "workspace": workspace}
        if kind == "purchase":
            fact["id"] = f"{fact['id']}-{self._sent}"
        value = orjson.dumps({**fact, "at": format_instant(int(time.time() * 1000)), "properties": properties})
        send_all(self.brokers, [(self._events, f"{workspace}/{contact}".encode(), value)])

    def run(self, *words: str) -> str:
        """Standard output of a command that must succeed."""
        code = main.run([*words])
        told = self._capsys.readouterr()
        assert code == 0, (words, told.err)
        return told.out

    def rows(self, workspace: str) -> list[Row]:
        """What was published of a workspace: segment, contact, change, sequence, cause."""
        found = [orjson.loads(record.value or b"") for record in read_topic(self.brokers, "segments.transitions")]
        return sorted(
            (t["segment"], t["contact"], t["change"], t["sequence"], t["cause"]["kind"])
            for t in found
            if t["workspace"] == workspace
        )

    def published(self, workspace: str, *rows: Row) -> None:
        """Waits until exactly these were published of the workspace."""
        wait_until(lambda: len(self.rows(workspace)) >= len(rows), WITHIN, f"{len(rows)} transitions of {workspace}")
        assert self.rows(workspace) == sorted(rows)

    def members(self, workspace: str, segment: str) -> set[str]:
        """As `segment-engine members` tells."""
        return {row["contact"] for row in json.loads(self.run("members", segment, "-w", workspace, "-o", "json"))}

    def copied(self, workspace: str, segment: str) -> list[tuple[str, str]]:
        """The topic of one segment: workspace and contact of each of its records."""
        found = [orjson.loads(r.value or b"") for r in read_topic(self.brokers, f"segments.{workspace}.{segment}")]
        return sorted((t["workspace"], t["contact"]) for t in found)


@pytest.fixture
def landings(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Landings]:
    made = Landings(kafka, tmp_path, capsys)
    for name in [each for each in os.environ if each.startswith("SEGMENT_ENGINE_")]:
        monkeypatch.delenv(name)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    made.run("segments", "apply", str(made.folder))
    with Worker(made.env, log=tmp_path / "worker.log") as worker:
        worker.wait_ready()
        yield made


def test_r12_the_same_ids_in_two_workspaces_never_meet(landings: Landings) -> None:
    one, two = landings.one, landings.two
    landings.send(one, "anna", "purchase")
    landings.send(one, "anna", "click")
    landings.send(two, "anna", "tags_added", tags=["vip"])
    landings.send(two, "boris", "purchase")
    landings.send(two, "boris", "purchase")
    pinned: Row = ("low", "pinned", "enter", 1, "backfill")
    of_one = [pinned, ("buyers", "anna", "enter", 1, "event"), ("low", "anna", "enter", 1, "event")]
    of_two = [
        pinned,
        ("high", "anna", "enter", 1, "event"),
        ("buyers", "boris", "enter", 1, "event"),
        ("again", "boris", "enter", 1, "event"),
    ]
    landings.published(one, *of_one)
    landings.published(two, *of_two)
    assert (landings.members(one, "buyers"), landings.members(two, "buyers")) == ({"anna"}, {"boris"})
    assert (landings.members(one, "high"), landings.members(two, "low")) == (set(), {"pinned"})
    assert landings.run("explain", "anna", "buyers", "-w", one, "-o", "json")
    shown = {w: json.loads(landings.run("contact", "anna", "-w", w, "-o", "json")) for w in (one, two)}
    assert sorted(each["segment"] for each in shown[one]["segments"]) == ["buyers", "low"]
    assert [each["segment"] for each in shown[two]["segments"]] == ["high"]
    wait_until(lambda: len(landings.copied(two, "buyers")) == 1, WITHIN, "the fan-out")
    assert landings.copied(two, "buyers") == [(two, "boris")]
    wait_until(lambda: len(landings.copied(one, "buyers")) == 1, WITHIN, "the fan-out")
    assert landings.copied(one, "buyers") == [(one, "anna")]

    # Paused in one: the other goes on.
    landings.run("segments", "pause", "buyers", "-w", one)
    wait_until(lambda: _filled(landings), WITHIN, "the pause to be taken up")
    for workspace in (two, one):
        landings.send(workspace, "clara", "purchase")
        landings.send(workspace, "clara", "tags_added", tags=["vip"])
    of_two += [("buyers", "clara", "enter", 1, "event"), ("high", "clara", "enter", 1, "event")]
    of_one += [("high", "clara", "enter", 1, "event")]
    landings.published(two, *of_two)
    landings.published(one, *of_one)

    # Erased in one: in the other nothing is forgotten.
    landings.send(one, "clara", "contact_erased")
    of_one += [("high", "clara", "exit", 2, "erase")]
    landings.published(one, *of_one)
    assert (landings.members(one, "high"), landings.members(two, "high")) == (set(), {"anna", "clara"})
    assert json.loads(landings.run("contact", "clara", "-w", two, "-o", "json"))["tags"] == ["vip"]

    # Deleted in one, with what nests it: in the other it stays, and its version.
    landings.run("segments", "delete", "buyers", "again", "-w", one)
    of_one += [("buyers", "anna", "exit", 2, "definition")]
    landings.published(one, *of_one)
    landings.send(two, "anna", "purchase")
    of_two += [("buyers", "anna", "enter", 1, "event")]
    landings.published(two, *of_two)
    listed = json.loads(landings.run("segments", "list", "-w", two, "-o", "json"))
    assert {(row["segment"], row["version"]) for row in listed} == {(n, 1) for n in ("buyers", "again", "high", "low")}
    left = members_of(read_topic(landings.brokers, "segments.members"))
    assert {key: found for key, found in left.items() if key[0] in (one, two)} == {
        (one, "low"): {"anna", "pinned"},
        (two, "low"): {"pinned"},
        (two, "high"): {"anna", "clara"},
        (two, "buyers"): {"anna", "boris", "clara"},
        (two, "again"): {"boris"},
    }


def _filled(landings: Landings) -> bool:
    rows = json.loads(landings.run("segments", "progress", "-o", "json"))
    known = read_topic(landings.brokers, "segments.definitions")
    return all(row["state"] == "done" and row["read_to"] > max(r.offset for r in known) for row in rows)
