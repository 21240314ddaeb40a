"""Two real workers on a real Kafka: either answers for all contacts and members, and the command line asks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local_broker import LocalBroker
from engine.cli import main
from tests.integration.harness import Worker, free_ports, wait_until

pytestmark = pytest.mark.kafka

SEGMENTS = """\
segment: buyers
when: {did: {event: purchase}}
---
segment: nobody
when: {did: {event: never}}
"""
CONTACTS = [*(f"c-{number}" for number in range(40)), "a/b", "имя"]


class Pair:
    """Two workers of one group, with their broker and settings."""

    def __init__(self, brokers: str, folder: Path, ports: list[int], stack: ExitStack) -> None:
        self.folder = folder
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.env = {"SEGMENT_ENGINE_BROKERS": brokers, "SEGMENT_ENGINE_SESSION_TIMEOUT": "PT3S"}
        self.workers = [
            stack.enter_context(
                Worker(
                    {
                        **self.env,
                        "SEGMENT_ENGINE_HTTP_PORT": str(port),
                        "SEGMENT_ENGINE_DATA_DIR": str(folder / f"w{port}"),
                        "SEGMENT_ENGINE_WORKER_ID": f"w{number}",
                    },
                    log=folder / f"w{number}.log",
                )
            )
            for number, port in enumerate(ports)
        ]

    def get(self, worker: int, path: str, **params: str | int) -> tuple[int, Any]:
        answer = httpx.get(self.urls[worker] + path, params=params, timeout=30)
        return answer.status_code, answer.json()

    def owns(self, worker: int) -> bool:
        states = self.get(worker, "/ready")[1]["partitions"].values()
        return any(each["state"] == "running" for each in states)

    def count(self, worker: int) -> int:
        status, page = self.get(worker, "/segments/buyers/members")
        return len(page["members"]) if status == 200 else -1


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SEGMENT_ENGINE_BROKERS", broker.brokers)
        (folder / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
        now = datetime.now(UTC).isoformat()
        events = [{"id": c, "type": "purchase", "contact": c, "at": now, "properties": {}} for c in CONTACTS]
        events.append({"type": "contact_updated", "contact": "c-1", "at": now, "properties": {"name": "Anna"}})
        (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
        assert main.run(["topics", "create"]) == 0
        assert main.run(["segments", "apply", str(folder / "segments.yaml")]) == 0
        pair = Pair(broker.brokers, folder, free_ports(2), stack)
        for worker in pair.workers:
            worker.wait_ready()
        assert main.run(["events", "send", str(folder / "events.jsonl")]) == 0
        wait_until(lambda: pair.owns(0) and pair.owns(1), 30, "both workers to own partitions", alive=pair.workers[0])
        for number, worker in enumerate(pair.workers):
            wait_until(lambda: pair.count(number) == len(CONTACTS), 30, "all members", alive=worker)  # noqa: B023
        yield pair


@pytest.fixture
def told(pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command against the second worker: exit code, standard output, standard error."""

    def run(*words: str, url: bool = True) -> tuple[int, str, str]:
        for name, value in pair.env.items():
            monkeypatch.setenv(name, value)
        code = main.run([*words, *(["--url", pair.urls[1]] if url else [])])
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return code, out.out, out.err

    return run


@pytest.mark.parametrize("worker", [0, 1])
def test_either_worker_answers_for_every_contact(pair: Pair, worker: int) -> None:
    for contact in CONTACTS:
        status, found = pair.get(worker, "/contacts", id=contact)
        assert (status, found["contact"]) == (200, contact)
        assert [each["segment"] for each in found["segments"]] == ["buyers"]
    assert pair.get(worker, "/contacts/c-1")[1]["attributes"] == {"name": "Anna"}
    assert pair.get(worker, "/contacts/a/b")[0] == 200
    assert pair.get(worker, "/contacts/nobody")[0] == 404


@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_members_over_both_workers_page_by_page(pair: Pair, limit: int) -> None:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        _, page = pair.get(0, "/segments/buyers/members", after=after, limit=limit)
        found, after = found + page["members"], page["next"]
    assert found == sorted(CONTACTS, key=str.encode)
    assert pair.get(0, "/segments/nobody/members")[1]["members"] == []


def test_the_command_line_reads_over_http(told: Any) -> None:
    code, out, _ = told("members", "buyers", "-o", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["contact"] for row in rows] == sorted(CONTACTS, key=str.encode)
    code, out, _ = told("contact", "c-1", "-o", "json")
    assert (code, json.loads(out)["attributes"]) == (0, {"name": "Anna"})
    code, out, _ = told("contact", "c-1")
    assert "buyers" in out
    assert "attribute name" in out
    for words, why in ((["members", "byers"], "no segment 'byers'"), (["contact", "nobody"], "No fact names")):
        code, out, err = told(*words)
        assert (code, out) == (2, "")
        assert why in err


def test_watch_reads_committed_transitions_once_each(told: Any) -> None:
    code, out, _ = told("watch", "buyers", "--from", "start", "--to-end", "-o", "jsonl", url=False)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert sorted(t["contact"] for t in found) == sorted(CONTACTS)
    assert len({t["id"] for t in found}) == len(found)
    code, out, _ = told("watch", "--from", "start", "--count", "3", "-o", "table", url=False)
    assert len(out.splitlines()) == 3
    code, out, _ = told("watch", "nobody", "--from", "start", "--to-end", "-o", "json", url=False)
    assert json.loads(out) == []


def test_metrics_and_a_stopped_owner(pair: Pair) -> None:
    assert b"segment_engine_facts_total" in httpx.get(f"{pair.urls[0]}/metrics").content
    pair.workers[1].pause()
    try:
        status, answer = pair.get(0, "/segments/buyers/members", limit=10)
        # Either its partitions are named, or they have moved here already.
        assert status == 503 or len(answer["members"]) == 10
        if status == 503:
            assert answer["partitions"]
    finally:
        pair.workers[1].resume()


def test_a_port_that_is_taken_is_a_users_error(pair: Pair, told: Any) -> None:
    port = pair.urls[0].rpartition(":")[2]
    code, _, err = told("worker", "--http-port", port, url=False)
    assert code == 2
    assert "cannot listen on 127.0.0.1" in err
