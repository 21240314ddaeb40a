"""R20, R56: entered, left and members are exact through kill -9, a restore from an empty disk, a second worker."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local_broker import LocalBroker
from engine.conditions.instants import DAY, HOUR, format_instant, parse_instant
from tests.driver import line_of
from tests.integration.harness import Worker, free_ports, run_engine, wait_until
from tests.integration.harness_kafka import read_topic, send_all, wait_consumed

pytestmark = pytest.mark.kafka

MAY = parse_instant("2026-05-01T00:00:00Z")
SEGMENTS = """\
segment: buyers
when: {did: {event: purchase, within: P3D}}
---
segment: clickers
members_topic: false
when: {did: {event: click}}
"""
CONTACTS = 120
SOURCES = ("Yandex Advertising", "mail", None)
QUIET = "2026-06-20"


def facts() -> list[dict[str, Any]]:
    """Facts of May, some of them late; each contact's later touches name another source."""
    rng = random.Random(20)
    found = []
    for number in range(CONTACTS):
        source = SOURCES[number % 3]
        for turn, at in enumerate(sorted(rng.randrange(MAY, MAY + 30 * DAY) for _ in range(6))):
            kind = "purchase" if turn % 2 else "click"
            properties = {} if source is None else {"utm_source": "again" if turn else source}
            event = {"id": f"e-{number}-{turn}", "type": kind, "contact": f"c-{number}", "at": format_instant(at)}
            found.append({**event, "properties": properties})
    found.sort(key=lambda each: str(each["at"]))
    late = [each for each in found[50:150] if not str(each["id"]).endswith("-0")][:15]
    return [*(each for each in found[:300] if each not in late), *late, *found[300:]]


def rows(told: list[dict[str, Any]]) -> list[tuple[str, bytes, bytes]]:
    """Through one topic, so that a contact's facts come in this order."""
    return [("events.clicks", each["contact"].encode(), line_of(each)) for each in told]


class House:
    """A broker, workers that come and go, and the command line."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self.brokers, self.folder = brokers, folder
        self.ports = free_ports(2)
        self.env = {
            "SEGMENT_ENGINE_BROKERS": brokers,
            "SEGMENT_ENGINE_CLOCK": "events",
            "SEGMENT_ENGINE_SESSION_TIMEOUT": "PT3S",
            "SEGMENT_ENGINE_BATCH_RECORDS": "20",  # many commits, so that a kill meets one
            "SEGMENT_ENGINE_HTTP_PORT": str(self.ports[0]),
        }

    def worker(self, number: int = 0) -> Worker:
        env = {
            **self.env,
            "SEGMENT_ENGINE_HTTP_PORT": str(self.ports[number]),
            "SEGMENT_ENGINE_DATA_DIR": str(self.folder / f"data-{number}"),
            "SEGMENT_ENGINE_WORKER_ID": f"w{number}",
        }
        return Worker(env, log=self.folder / f"w{number}.log")

    def counts(self, segment: str, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(
            run_engine(["segments", "counts", segment, *words, "-o", "json"], self.env)
        )
        return found

    def members(self, segment: str) -> int:
        return len(run_engine(["members", segment, "-o", "jsonl"], self.env).splitlines())

    def transitions(self) -> list[dict[str, Any]]:
        return [orjson.loads(each.value) for each in read_topic(self.brokers, "segments.transitions") if each.value]

    def is_shared(self) -> bool:
        """Whether both workers run partitions, and know of each other's."""
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        states = [httpx.get(f"{url}/ready", timeout=10).json()["partitions"].values() for url in urls]
        running = all(any(each["state"] == "running" for each in own) for own in states)
        return running and httpx.get(f"{urls[0]}/segments/buyers/counts", timeout=30).status_code == 200

    def has_published(self, count: int) -> bool:
        return len(self.transitions()) > count


def source_of(transition: dict[str, Any]) -> str | None:
    return SOURCES[int(transition["contact"].removeprefix("c-")) % 3]


def hold(house: House) -> None:
    """Holds the counts against the transitions that were published, hour by hour."""
    published = house.transitions()
    for segment in ("buyers", "clickers"):
        own = [each for each in published if each["segment"] == segment]
        told = house.counts(segment, "--from", "2026-05-01", "--to", QUIET)
        by_hour = Counter((parse_instant(each["at"]) // HOUR, each["change"]) for each in own)
        size = 0
        for row in told:
            hour = parse_instant(row["period"]) // HOUR
            assert (row["entered"], row["left"]) == (by_hour[hour, "enter"], by_hour[hour, "exit"]), row
            size += row["entered"] - row["left"]
            assert row["members"] == size, row
        assert sum(row["entered"] + row["left"] for row in told) == len(own)
        assert house.counts(segment)[-1]["members"] == size == house.members(segment)
        sources = house.counts(segment, "--from", "2026-05-01", "--to", QUIET, "--by", "day", "--split", "source")
        by_source = Counter((row["source"], True) for row in sources for _ in range(row["entered"]))
        assert by_source == Counter((source_of(each), True) for each in own if each["change"] == "enter")


def test_r20_r56_counts_are_exact_whatever_happens_to_workers(tmp_path: Path) -> None:
    (tmp_path / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
    told = rows(facts())
    with LocalBroker(tmp_path / "kafka") as broker, ExitStack() as stack:
        house = House(broker.brokers, tmp_path)
        run_engine(["topics", "create"], house.env)
        run_engine(["segments", "apply", str(tmp_path / "segments.yaml")], house.env)
        worker = stack.enter_context(house.worker())
        worker.wait_ready()
        third = len(told) // 3
        for turn in range(2):  # killed in the middle of its commits
            send_all(broker.brokers, told[turn * third : (turn + 1) * third])
            wait_until(partial(house.has_published, 20 + turn * 60), 60, "some transitions", alive=worker)
            worker.kill()
            worker = stack.enter_context(house.worker())
            worker.wait_ready()
        send_all(broker.brokers, told[2 * third :])
        wait_consumed(broker.brokers, "segment-engine", ["events.clicks"], 60, worker)
        hold(house)

        worker.kill()
        shutil.rmtree(tmp_path / "data-0")
        worker = stack.enter_context(house.worker())
        worker.wait_ready()
        hold(house)

        second = stack.enter_context(house.worker(1))
        second.wait_ready()
        wait_until(house.is_shared, 60, "partitions that two workers run", alive=second)
        hold(house)

        # R20: what one source brought in May, by the days of a marketer's own clock.
        may = ("--from", "2026-05-01", "--to", "2026-06-01", "--by", "day", "--timezone", "Europe/Moscow")
        days = house.counts("clickers", *may, "--source", "Yandex Advertising")
        assert [row["period"] for row in days] == [f"2026-05-{day:02d}" for day in range(1, 32)]
        enters = [e for e in house.transitions() if e["segment"] == "clickers" and e["change"] == "enter"]
        by_day = Counter(
            format_instant(parse_instant(each["at"]) + 3 * HOUR)[:10]
            for each in enters
            if source_of(each) == "Yandex Advertising"
        )
        assert {row["period"]: row["entered"] for row in days if row["entered"]} == dict(by_day)
        # segments.members has no one of the segment that is switched off there.
        members = {each.key.split(b"/")[1] for each in read_topic(broker.brokers, "segments.members") if each.key}
        assert members == {b"buyers"}
