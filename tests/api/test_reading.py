"""The reading side as its users have it: two workers on a real Kafka, traffic that changes members, the command line.

R8: a mailing reads the members as of its send time, each once. R9: names, ids and conditions are listed. R19: the csv
holds what the members interface tells. R48: the contact's segments with since when and why. R50: hidden segments.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local_broker import LocalBroker
from engine.cli import main
from engine.conditions.instants import parse_instant
from engine.worker.query import place
from tests.api.test_workers import Pair
from tests.driver import command
from tests.integration.harness import free_ports, wait_until
from tests.integration.harness_kafka import producer, read_topic

pytestmark = pytest.mark.kafka

SEGMENTS = """\
segment: buyers
name: Bought something
when: {did: {event: purchase}}
---
segment: hot
name: Tagged as hot
when: {tags: {any: hot}}
---
segment: just-now
when: {did: {event: click, within: PT1S}}
---
segment: hot-buyers
hidden_from: [agent-7]
when: {all: [{in_segment: buyers}, {in_segment: hot}]}
---
segment: letter
when: {any: [{in_segment: hot-buyers}]}
---
segment: silent
name: Silent for a month
when: {quiet: {event: click, for: P30D}}
"""
CONTACTS = [*(f"+7900{number:03}" for number in range(60)), "имя, с запятой", 'quote " and\nline']
TOPIC = "events.clicks"
PARTITIONS = 4
"""As `topics create` makes them by default."""
SNAPSHOTS = 12


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Traffic:
    """Facts that take contacts in and out, published one after the other until it is stopped."""

    def __init__(self, brokers: str) -> None:
        self._sender = producer(brokers)
        self._stopped = threading.Event()
        self.sent = 0

    def send(self, contact: str, kind: str, **properties: Any) -> None:
        self.sent += 1
        event = {"id": f"t-{self.sent}", "type": kind, "contact": contact, "at": now(), "properties": properties}
        self._sender.produce(TOPIC, json.dumps(event).encode(), contact.encode())

    def run(self) -> None:
        turn = 0
        while not self._stopped.wait(0.01):
            turn += 1
            who = CONTACTS[turn % len(CONTACTS)]
            self.send(who, "tags_removed" if (turn // len(CONTACTS)) % 2 else "tags_added", tags=["hot"])
            if turn % 3 == 0:
                self.send(CONTACTS[(turn * 7) % len(CONTACTS)], "click")
        self._sender.flush(30)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("reading")
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SEGMENT_ENGINE_BROKERS", broker.brokers)
        (folder / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
        events: list[dict[str, Any]] = []
        for each in CONTACTS:
            about = {"name": f"Name of {each}", "city": "=Tver", "address": {"zip": each[-3:]}}
            events.append({"type": "contact_updated", "contact": each, "at": now(), "properties": about})
        for each in CONTACTS[::2]:
            bought = {"order_id": f"A-{each}"}
            events.append({"id": f"p-{each}", "type": "purchase", "contact": each, "at": now(), "properties": bought})
        (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
        assert main.run(["topics", "create"]) == 0
        assert main.run(["segments", "apply", str(folder / "segments.yaml")]) == 0
        pair = Pair(broker.brokers, folder, free_ports(2), stack)
        for worker in pair.workers:
            worker.wait_ready()
        assert main.run(["events", "send", str(folder / "events.jsonl")]) == 0
        wait_until(lambda: pair.owns(0) and pair.owns(1), 30, "both workers to own partitions", alive=pair.workers[0])
        for number, worker in enumerate(pair.workers):
            wanted = len(CONTACTS[::2])
            wait_until(lambda: pair.count(number) == wanted, 30, "all buyers", alive=worker)  # noqa: B023
        yield pair


def asked(pair: Pair, *words: str, worker: int = 1) -> str:
    """What a command says; it must end with code 0."""
    code, out, errors = command([*words, "--url", pair.urls[worker]])
    assert code == 0, errors
    return out


def snapshot(pair: Pair, worker: int, segment: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    answer = httpx.get(f"{pair.urls[worker]}/segments/{segment}/members/snapshot", timeout=30)
    header, *members, last = [json.loads(line) for line in answer.content.splitlines()]
    assert last == {"complete": True, "members": len(members)}
    return header, members


class Truth:
    """Who was a member by the published transitions, once facts had counted up to some offsets and time had passed to
    a clock."""

    def __init__(self, brokers: str) -> None:
        self._of: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for record in read_topic(brokers, "segments.transitions"):
            assert record.value is not None
            each = json.loads(record.value)
            self._of.setdefault((each["segment"], each["contact"]), []).append(each)
        self._facts: dict[str, list[tuple[str, int, int]]] = {}
        for record in read_topic(brokers, TOPIC):
            assert record.value is not None
            fact = json.loads(record.value)
            name, at = fact.get("id") or f"{TOPIC}/{record.partition}/{record.offset}", parse_instant(fact["at"])
            self._facts.setdefault(fact["contact"], []).append((name, record.offset, at))

    def members(self, segment: str, header: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
        """Since when, and by which transition, each contact is in."""
        about = {each["partition"]: each for each in header["partitions"]}
        found = {}
        for (name, contact), transitions in self._of.items():
            part = about[place("default", contact, PARTITIONS)]
            last = self._last(contact, transitions, part) if name == segment else None
            if last is not None and last["change"] == "enter":
                found[contact] = (last["at"], last["sequence"])
        return found

    def _last(
        self, contact: str, transitions: Sequence[dict[str, Any]], part: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """A fact counts when it lies before the offset that was read to, and time when it is before the clock, or
        before a fact of the contact that counts."""
        facts = {
            name: at for name, offset, at in self._facts.get(contact, ()) if offset < part["offsets"].get(TOPIC, 0)
        }
        clock = max([parse_instant(part["as_of"]), *facts.values()])
        last = None
        for each in transitions:
            cause = each["cause"]
            known = {name for name, _, _ in self._facts.get(contact, ())}
            if cause["event_id"] in known:
                counts = cause["event_id"] in facts
            else:
                counts = cause["kind"] != "clock" or parse_instant(each["at"]) < clock
            if counts:
                last = each
        return last


def test_r8_a_mailing_reads_the_members_of_its_send_time_each_once(pair: Pair, tmp_path: Path) -> None:
    brokers = pair.env["SEGMENT_ENGINE_BROKERS"]
    traffic, read, files = Traffic(brokers), list[tuple[str, Any, Any]](), list[Path]()
    with traffic.flowing():
        for turn in range(SNAPSHOTS):
            read += [(each, *snapshot(pair, turn % 2, each)) for each in ("hot", "just-now", "hot-buyers")]
            files.append(tmp_path / f"{turn}.jsonl")
            asked(pair, "members", "hot", "-o", "jsonl", "--out", str(files[-1]), worker=turn % 2)
    truth = Truth(brokers)
    sizes = set()
    for segment, header, members in read:
        assert [each["partition"] for each in header["partitions"]] == list(range(PARTITIONS))
        ids = [each["contact"] for each in members]
        assert ids == sorted(set(ids), key=str.encode)
        told = {each["contact"]: (each["since"], each["sequence"]) for each in members}
        assert told == truth.members(segment, header), (segment, header)
        sizes.add((segment, len(ids)))
    assert len(sizes) > 12  # membership did change while it was read
    for file in files:
        ids = [json.loads(line)["contact"] for line in file.read_text(encoding="utf-8").splitlines()]
        assert ids == sorted(set(ids), key=str.encode)
    assert traffic.sent > 300


def test_r9_names_ids_and_conditions_are_listed_and_shown(pair: Pair) -> None:
    listed = json.loads(command(["segments", "list", "-o", "json"])[1])
    over_http = httpx.get(f"{pair.urls[0]}/segments").json()["segments"]
    for rows in (listed, over_http):
        silent = next(row for row in rows if row["segment"] == "silent")
        assert (silent["name"], silent["version"], silent["state"]) == ("Silent for a month", 1, "active")
        assert "30 days" in silent["conditions"]
    one = httpx.get(f"{pair.urls[1]}/segments/silent").json()
    assert one.items() >= next(row for row in over_http if row["segment"] == "silent").items()
    assert (
        one["definition"]["when"] == {"quiet": {"event": ["click"], "for": "P30D"}}
        or "quiet" in one["definition"]["when"]
    )
    shown = command(["segments", "show", "silent"])[1]
    assert "name: Silent for a month" in shown
    assert "30 days" in shown


def test_r19_a_csv_holds_what_the_members_interface_tells(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "buyers.csv"
    words = ["members", "buyers", "--columns", "name,city,address.zip"]
    asked(pair, *words, "-o", "csv", "--out", str(file))
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    paged: list[str] = []
    after: str | None = ""
    while after is not None:
        _, page = pair.get(0, "/segments/buyers/members", after=after, limit=7)
        paged, after = paged + page["members"], page["next"]
    assert [row["contact"] for row in rows] == paged == sorted(CONTACTS[::2], key=str.encode)
    told = json.loads(asked(pair, *words, "-o", "json", worker=0))
    assert [row["contact"] for row in told] == paged
    for row, same in zip(rows, told, strict=True):
        assert (row["name"], row["city"]) == (f"Name of {row['contact']}", "=Tver")
        assert {"since": row["since"], "sequence": int(row["sequence"])} == {
            "since": same["since"], "sequence": same["sequence"]
        }  # fmt: skip
        assert same["attributes"] == {name: row[name] for name in ("name", "city", "address.zip")}
    safe = csv.DictReader(io.StringIO(asked(pair, *words, "-o", "csv", "--spreadsheet-safe"), newline=""))
    assert {row["city"] for row in safe} == {"'=Tver"}


def test_r48_the_profile_lists_the_contacts_segments_with_since_when_and_why(pair: Pair) -> None:
    contact = CONTACTS[0]
    for worker in (0, 1):
        found = json.loads(asked(pair, "contact", contact, "-o", "json", "--facts", "1000", worker=worker))
        buyers = next(each for each in found["segments"] if each["segment"] == "buyers")
        assert buyers["why"].startswith(f"bought something at least once (purchase p-{contact} of ")
        assert f"entered by purchase p-{contact} of " in buyers["why"]
        member = next(row for row in snapshot(pair, worker, "buyers")[1] if row["contact"] == contact)
        assert (buyers["since"], buyers["sequence"]) == (member["since"], member["sequence"])
        assert (found["attributes"]["city"], found["filling"]) == ("=Tver", False)
        assert found["last_facts"][-1]["type"] == "contact_updated"
        assert len(found["last_facts"]) == found["facts"] == found["facts_journaled"]
        assert ("silent", "enter") in [(each["segment"], each["change"]) for each in found["changes"]]
    text = asked(pair, "contact", contact)
    for words in ("first seen", "attribute city", "buyers (Bought something)", "Silent for a month", "tags_added"):
        assert words in text, words


def test_r50_a_hidden_agents_lists_omit_it(pair: Pair) -> None:
    contact = CONTACTS[0]
    traffic = Traffic(pair.env["SEGMENT_ENGINE_BROKERS"])
    traffic.send(contact, "tags_added", tags=["hot"])
    traffic._sender.flush(30)
    words = ["contact", contact, "-o", "json"]

    def there() -> bool:
        return "hot-buyers" in {each["segment"] for each in json.loads(asked(pair, *words))["segments"]}

    wait_until(there, 20, "the contact to be a hot buyer", alive=pair.workers[0])
    hidden = json.loads(asked(pair, *words, "--agent", "agent-7"))
    assert {"hot", "buyers", "letter"} <= {each["segment"] for each in hidden["segments"]}
    assert "hot-buyers" not in json.dumps(hidden)
    for agent, seen in (("agent-7", False), ("agent-8", True)):
        listed = json.loads(command(["segments", "list", "-o", "json", "--agent", agent])[1])
        assert ("hot-buyers" in {row["segment"] for row in listed}) is seen
        if not seen:
            assert "is in the segment hot-buyers" not in json.dumps(listed)
    for words in (["members", "{}"], ["explain", contact, "{}"]):
        told = []
        for name in ("hot-buyers", "hot-buyerz"):
            line = [word.format(name) for word in words]
            code, out, errors = command([*line, "--url", pair.urls[0], "--agent", "agent-7"])
            assert (code, out) == (2, "")
            told.append(errors.replace(f"'{name}'", "it"))
        assert told[0] == told[1]
        assert "hot-buyers" not in told[1]
    assert "hot-buyers" not in asked(pair, "explain", contact, "letter", "--agent", "agent-7")
