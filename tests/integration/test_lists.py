"""Lists of people and pins through the command line, on a real Kafka with two workers (R1, R2, R3, R6, R7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest

from deploy.local_broker import LocalBroker
from engine.cli import main
from engine.worker.clients import transactional_producer
from engine.worker.settings import Settings
from tests.cli.importing.files import workbook
from tests.integration.harness import Worker, free_ports, wait_until
from tests.integration.harness_kafka import read_topic

pytestmark = pytest.mark.kafka

RULES = """\
segment: promoted
when: {tags: {any: promo}}
---
segment: never
when: {did: {event: never}}
---
segment: taken
name: Taken already
when: {did: {event: never}}
"""
WITHIN = 30.0


class Desk:
    """The command line in front of two workers."""

    def __init__(self, brokers: str, folder: Path, urls: list[str], workers: list[Worker]) -> None:
        self.brokers, self.folder, self.urls, self.workers = brokers, folder, urls, workers
        self.capsys: pytest.CaptureFixture[str]

    def shared(self) -> bool:
        """Whether each worker runs one partition, and knows the other's."""
        states = [httpx.get(f"{url}/ready", timeout=10).json()["partitions"].values() for url in self.urls]
        return all([each["state"] for each in found] == ["running"] for found in states) and all(
            httpx.get(f"{url}/lists/nobody/contacts", timeout=10).status_code == 200 for url in self.urls
        )

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        code = main.run([str(each) for each in words])
        out = self.capsys.readouterr()
        assert "Traceback" not in out.err
        return code, out.out, out.err

    def rows(self, *words: str | Path) -> tuple[list[dict[str, Any]], str]:
        code, out, err = self.run(*words, "-o", "jsonl")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()], err

    def load(self, file: Path, name: str, *words: str) -> tuple[dict[str, Any], str]:
        (row,), err = self.rows("lists", "import", file, "--list", name, "--url", self.urls[1], *words)
        return row, err

    def members(self, segment: str) -> list[str]:
        return [each["contact"] for each in self.rows("members", segment, "--url", self.urls[0])[0]]

    def on(self, name: str, url: int = 0) -> list[str]:
        return [each["contact"] for each in self.rows("lists", "show", name, "--url", self.urls[url])[0]]

    def becomes(self, segment: str, members: list[str]) -> None:
        """The members are these before long."""
        wait_until(lambda: self._has(segment, members), WITHIN, f"{members} in {segment}", alive=self.workers[0])

    def _has(self, segment: str, members: list[str]) -> bool:
        code, out, _ = self.run("members", segment, "--url", self.urls[0], "-o", "jsonl")
        return code == 0 and [json.loads(line)["contact"] for line in out.splitlines()] == members

    def contact(self, contact: str) -> dict[str, Any]:
        code, out, err = self.run("contact", contact, "--url", self.urls[0], "-o", "json")
        assert code == 0, err
        found: Any = json.loads(out)
        row: dict[str, Any] = found[0] if isinstance(found, list) else found
        return row

    def csv(self, text: str) -> Path:
        path = self.folder / "people.csv"
        path.write_text(text, encoding="utf-8")
        return path

    def facts(self, *kinds: str) -> list[dict[str, Any]]:
        values = [json.loads(each.value or b"{}") for each in read_topic(self.brokers, "events.contacts")]
        return [each for each in values if each["type"] in kinds]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("lists")
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        ports = free_ports(2)
        shared = {"SEGMENT_ENGINE_BROKERS": broker.brokers, "SEGMENT_ENGINE_SESSION_TIMEOUT": "PT3S",
                  "SEGMENT_ENGINE_PARTITIONS": "2"}  # fmt: skip
        for name, value in shared.items():
            patch.setenv(name, value)
        (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
        assert main.run(["topics", "create"]) == 0
        assert main.run(["segments", "apply", str(folder / "rules.yaml")]) == 0
        started = [
            stack.enter_context(
                Worker(
                    {**shared, "SEGMENT_ENGINE_HTTP_PORT": str(port),
                     "SEGMENT_ENGINE_DATA_DIR": str(folder / f"w{port}"),
                     "SEGMENT_ENGINE_WORKER_ID": f"w{port}"},
                    log=folder / f"w{port}.log",
                )
            )
            for port in ports
        ]  # fmt: skip
        for worker in started:
            worker.wait_ready()
        desk = Desk(broker.brokers, folder, [f"http://127.0.0.1:{port}" for port in ports], started)
        wait_until(desk.shared, 60, "each worker to run one partition", alive=started[0])
        yield desk


@pytest.fixture
def desk(workers: Desk, capsys: pytest.CaptureFixture[str]) -> Desk:
    workers.capsys = capsys
    return workers


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_r1_an_upload_makes_a_list_and_a_segment(desk: Desk, kind: str) -> None:
    name = f"fair-{kind}"
    first, second = f"7000{len(kind)}1", f"7000{len(kind)}2"
    rows = [("phone", "name"), (first, "Anna"), (first, "Anna K."), (second, "Ivan"), ("", "Nobody")]
    path = desk.folder / f"Spring fair.{kind}"
    if kind == "csv":
        path.write_text("".join(f"{phone},{who}\n" for phone, who in rows), encoding="utf-8")
    else:
        cells = [(float(phone) if phone.isdigit() else phone or None, who) for phone, who in rows]
        workbook(desk.folder, cells).rename(path)
    row, err = desk.load(path, name, "--attribute", "name")
    assert {each: row[each] for each in ("rows", "contacts", "duplicates", "bad", "segment", "result")} == {
        "rows": 4, "contacts": 2, "duplicates": 1, "bad": 1, "segment": name, "result": "created",
    }  # fmt: skip
    assert f"{path}:5: column 'phone': it names no contact" in err
    desk.becomes(name, [first, second])
    assert desk.contact(first)["attributes"]["name"] == "Anna K."
    (shown,) = [each for each in desk.rows("segments", "list")[0] if each["segment"] == name]
    assert (shown["name"], shown["conditions"]) == ("Spring fair", f"is on the list {name}")
    enters = [
        each
        for each in (json.loads(record.value or b"{}") for record in read_topic(desk.brokers, "segments.transitions"))
        if each["segment"] == name
    ]
    assert sorted((each["contact"], each["change"]) for each in enters) == [(first, "enter"), (second, "enter")]
    assert {each["at"] for each in enters} == {row["at"]}


def test_r2_tags_for_all_who_are_imported(desk: Desk) -> None:
    desk.load(desk.csv("email,labels\na@x.org,new\nb@x.org,\n"), "mail", "--tag", "promo", "--tags", "labels")
    desk.becomes("promoted", ["a@x.org", "b@x.org"])
    assert desk.contact("a@x.org")["tags"] == ["new", "promo"]


def test_r3_picked_by_hand_are_exactly_the_members(desk: Desk) -> None:
    desk.load(desk.csv("id\nA\nB\nC\n"), "abc", "--wait")
    code, _, err = desk.run("segments", "pin", "picked", "A", "B")
    assert (code, "--create" in err) == (2, True)
    (row,), _ = desk.rows("segments", "pin", "picked", "A", "B", "--create")
    assert (row["result"], row["version"], row["include"]) == ("created", 1, 2)
    desk.becomes("picked", ["A", "B"])
    (row,), err = desk.rows("segments", "pin", "picked", "B", "--exclude")
    assert (row["version"], row["include"], row["exclude"]) == (2, 1, 1)
    assert "B: moved from include to exclude" in err
    desk.becomes("picked", ["A"])
    assert desk.run("segments", "unpin", "picked", "A")[0] == 2
    (row,), err = desk.rows("segments", "pin", "picked", "A")
    assert (row["result"], row["version"]) == ("unchanged", 2)
    assert "A: pinned already" in err


def test_r6_a_pinned_contact_stays_whatever_the_rule_says(desk: Desk) -> None:
    desk.load(desk.csv("id\npin-a\npin-b\n"), "two", "--wait", "--no-segment")
    (desk.folder / "pins.txt").write_text("pin-a\n\n")
    desk.rows("segments", "pin", "never", "--from", desk.folder / "pins.txt")
    desk.becomes("never", ["pin-a"])
    desk.load(desk.csv("id,x\npin-a,1\npin-b,1\n"), "two", "--wait", "--no-segment", "--attribute", "x")
    assert desk.members("never") == ["pin-a"]
    desk.rows("segments", "unpin", "never", "pin-a")
    desk.becomes("never", [])


def test_r7_a_new_number_on_a_list_is_a_new_contact(desk: Desk) -> None:
    assert desk.run("contact", "+7 999 000", "--url", desk.urls[0])[0] == 2
    desk.load(desk.csv("phone\n+7 999 000\n"), "new-numbers", "--wait")
    assert desk.contact("+7 999 000")["lists"] == ["new-numbers"]
    desk.becomes("new-numbers", ["+7 999 000"])


def test_replace_takes_off_who_is_not_in_the_file(desk: Desk) -> None:
    """Asked right after another import, of both workers; who has a bad row stays."""
    people = [f"p-{number:02d}" for number in range(40)]
    desk.load(desk.csv("id\nfirst\n"), "club", "--wait")
    for worker in desk.workers:
        worker.pause()  # so that the first import is not taken yet when the second begins
    later = [Timer(1.0, worker.resume) for worker in desk.workers]
    for each in later:
        each.start()
    desk.load(desk.csv("\n".join(["id", "first", *people])), "club")
    row, err = desk.load(desk.csv("\n".join(["id,n", *(f"{each},1" for each in people[:20]), "p-30,x", ",1", "q,2"])),
                         "club", "--replace", "--attribute", "n=n:number", "--wait")  # fmt: skip
    for each in later:
        each.join()
    assert (row["contacts"], row["bad"], row["removed"], row["result"]) == (21, 2, 20, "there already")
    assert "1 bad rows name no contact" in err
    left = [*people[:20], "p-30", "q"]
    assert desk.on("club") == desk.on("club", 1) == left
    desk.becomes("club", left)
    code, _, err = desk.run("lists", "import", desk.csv("id\n"), "--list", "club", "--replace")
    assert (code, "no row below the header" in err) == (2, True)
    assert desk.on("club") == left


def test_replace_waits_for_no_record_that_was_taken_back(desk: Desk) -> None:
    """What an aborted transaction leaves at the end of an input is nothing that a worker takes, nor commits."""
    settings = Settings(brokers=desk.brokers, partitions=2)

    async def sent() -> None:
        producer = transactional_producer(settings, "somebody-else")
        await producer.start()
        await producer.begin_transaction()
        for number in range(2):
            await producer.send_and_wait("events.clicks", b"{}", b"nobody", partition=number)
        await producer.abort_transaction()
        await producer.stop()

    asyncio.run(sent())
    row, _ = desk.load(desk.csv("id\ntx-1\n"), "marked", "--replace", "--timeout", "15")
    assert row["removed"] == 0


def test_the_same_import_again_has_no_effect(desk: Desk) -> None:
    path = desk.csv("id,name\nrepeat,Anna\n")
    words = "--attribute", "name", "--tag", "promo", "--wait"
    row, err = desk.load(path, "again", *words)
    assert f"--at {row['at']}" in err
    assert desk.contact("repeat")["facts"] == 3
    again, _ = desk.load(path, "again", *words, "--at", row["at"])
    assert again["import"] == row["import"]
    assert desk.contact("repeat")["facts"] == 3
    ids = [each["id"] for each in desk.facts("list_added") if each["contact"] == "repeat"]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    path.write_text("id,name\nrepeat,Olga\n", encoding="utf-8")
    assert desk.load(path, "again", *words, "--at", row["at"])[0]["import"] != row["import"]


def test_what_cannot_be_loaded_publishes_nothing(desk: Desk) -> None:
    before = len(desk.facts("list_added"))
    for text, words, said in [
        ("id,n\na,x\nb,y\n", ("--attribute", "n=n:number"), "none of its 2 rows"),
        ("id,n\na,x\nb,1\n", ("--attribute", "n=n:number", "--strict"), "--strict"),
        ("id\na\n", ("--contact", "idd"), "Did you mean 'id'?"),
        ("id\na\n", ("--at", "2999-01-01T00:00:00Z"), "has not come yet"),
    ]:
        code, out, err = desk.run("lists", "import", desk.csv(text), "--list", "refused", *words)
        assert (code, out) == (2, "")
        assert said in err
    code, _, err = desk.run("lists", "import", desk.csv("id\na\n"), "--list", "Not an id")
    assert (code, "--no-segment" in err) == (2, True)
    row, _ = desk.load(desk.csv("id\na\n"), "refused", "--dry-run")
    assert (row["contacts"], row["facts"]) == (1, 0)
    assert len(desk.facts("list_added")) == before
    assert "refused" not in desk.run("segments", "list")[1]


def test_a_segment_that_is_there_is_left_as_it_is(desk: Desk) -> None:
    row, err = desk.load(desk.csv("id\nt-1\n"), "taken", "--wait")
    assert row["result"] == "there already"
    assert "is left as it is" in err
    assert "Taken already" in desk.run("segments", "show", "taken")[1]
    assert desk.on("taken") == ["t-1"]
    assert desk.members("taken") == []


def test_nobody_is_on_a_list_that_never_was(desk: Desk) -> None:
    rows, err = desk.rows("lists", "show", "no/such list", "--url", desk.urls[0])
    assert rows == []
    assert "Nobody is on the list" in err


def test_too_many_pins_belong_on_a_list(desk: Desk) -> None:
    path = desk.folder / "many.txt"
    path.write_text("\n".join(f"m-{number}" for number in range(10_001)))
    code, _, err = desk.run("segments", "pin", "crowd", "--create", "--from", path)
    assert code == 2
    assert "10,001 contacts in include" in err
    assert "lists import" in err


def test_a_worker_that_does_not_answer_is_told_and_nobody_is_taken_off(desk: Desk) -> None:
    """Last: it ends a worker."""
    desk.load(desk.csv("id\n" + "\n".join(f"e-{n}" for n in range(20))), "ended", "--wait")
    before = len(desk.facts("list_removed"))
    desk.workers[0].kill()
    code, _, err = desk.run("lists", "show", "ended", "--url", desk.urls[1])
    assert code == 2
    assert "partition" in err
    code, _, err = desk.run("lists", "import", desk.csv("id\ne-1\n"), "--list", "ended", "--replace", "--url",
                            desk.urls[0], "--timeout", "20")  # fmt: skip
    assert code == 2
    assert len(desk.facts("list_removed")) == before
