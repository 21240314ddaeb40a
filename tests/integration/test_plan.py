"""Planned, then applied, on two real workers with traffic: what was predicted is what is published, and a plan that the
world has overtaken is refused."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from engine.cli import main
from tests.conftest import Kafka
from tests.integration.harness import Worker, free_ports, wait_until
from tests.integration.harness_kafka import read_topic, send_all
from tests.worker.scene import PARTITIONS
from topics import create, declared

pytestmark = pytest.mark.kafka

PEOPLE = 3_000
BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}"
THANKS = "segment: thanks\nwhen: {in_segment: buyers}"
CLICKERS = "segment: clickers\nwhen: {did: {event: click}}"
Json = dict[str, Any]


class Shop:
    """Two workers of one group over a workspace of their own; of its people a third bought lately, a third some weeks
    ago, and every tenth clicked."""

    def __init__(self, kafka: Kafka, folder: Path, stack: ExitStack) -> None:
        self.brokers = kafka.brokers
        self.workspace = kafka.unique("shop")
        self.events, group = kafka.unique("shop-events"), kafka.unique("shop")
        self.folder = folder
        self.sent = 0
        self.env = {
            "SEGMENT_ENGINE_BROKERS": kafka.brokers,
            "SEGMENT_ENGINE_GROUP": group,
            "SEGMENT_ENGINE_INPUT_TOPICS": self.events,
            "SEGMENT_ENGINE_PARTITIONS": str(PARTITIONS),
            "SEGMENT_ENGINE_SEGMENT_TOPICS": "off",
            "SEGMENT_ENGINE_SESSION_TIMEOUT": "PT6S",
        }
        asyncio.run(create(kafka.brokers, declared(group, (self.events,)), partitions=PARTITIONS))
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
            for number, port in enumerate(free_ports(2))
        ]
        self.urls = [f"http://127.0.0.1:{worker.port}" for worker in self.workers]

    def send(self, kind: str, people: list[str], days: float = 0.0) -> None:
        at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        rows = []
        for who in people:
            self.sent += 1
            event = {"id": f"{self.sent}", "type": kind, "contact": who, "workspace": self.workspace, "at": at}
            rows.append((self.events, f"{self.workspace}/{who}".encode(), orjson.dumps({**event, "properties": {}})))
        send_all(self.brokers, rows)

    def transitions(self) -> list[Json]:
        found = [json.loads(record.value or b"") for record in read_topic(self.brokers, "segments.transitions")]
        return [each for each in found if each["workspace"] == self.workspace]

    def since(self, before: list[Json]) -> list[Json]:
        """The transitions that were not there before."""
        known = {each["id"] for each in before}
        return [each for each in self.transitions() if each["id"] not in known]

    def put(self, **files: str) -> str:
        """A folder of these definitions and no others."""
        folder = self.folder / "definitions"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(f"workspace: {self.workspace}\n{text}\n", encoding="utf-8")
        return str(folder)

    def count(self, segment: str) -> int:
        asked = {"workspace": self.workspace, "limit": "10000"}
        answer = httpx.get(f"{self.urls[0]}/segments/{segment}/members", params=asked, timeout=30)
        return len(answer.json()["members"]) if answer.status_code == 200 else -1


@pytest.fixture(scope="module")
def shop(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with ExitStack() as stack:
        made = Shop(kafka, tmp_path_factory.mktemp("shop"), stack)
        for worker in made.workers:
            worker.wait_ready()

        def both_own() -> bool:
            states = [httpx.get(f"{url}/ready", timeout=10).json()["partitions"] for url in made.urls]
            return all(any(each["state"] == "running" for each in found.values()) for found in states)

        wait_until(both_own, 60, "both workers to run a partition", alive=made.workers[0])
        everybody = [f"c-{number}" for number in range(PEOPLE)]
        made.send("purchase", everybody[::3], days=2)
        made.send("purchase", everybody[1::3], days=20)
        made.send("click", everybody[::10], days=1)
        made.send("view", everybody)
        yield made


@pytest.fixture
def told(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `segments …` against the second worker: exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        for name in [each for each in os.environ if each.startswith("SEGMENT_ENGINE_")]:
            monkeypatch.delenv(name)
        for name, value in shop.env.items():
            monkeypatch.setenv(name, value)
        url = ("--url", shop.urls[1]) if words[0] in ("plan", "apply") else ()
        code = main.run(["segments", *words, *url])
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return code, out.out, out.err

    return run


def predicted(plan: Json) -> Counter[tuple[str, str]]:
    """Transitions by segment and change."""
    found: Counter[tuple[str, str]] = Counter()
    for row in plan["segments"]:
        found[row["segment"], "enter"] += row["entering"]
        found[row["segment"], "exit"] += row["leaving"]
    return +found


def named(rows: list[Json]) -> set[tuple[str, str, str]]:
    """Contacts that the samples name, with segment and change."""
    return {
        (row["segment"], change, each["contact"])
        for row in rows
        for change in ("enter", "leave")
        for each in row[f"{change}_sample"]
    }


def test_r55_what_is_planned_is_what_apply_then_publishes(shop: Shop, told: Any) -> None:
    folder = shop.put(buyers=BUYERS, thanks=THANKS, clickers=CLICKERS)
    wait_until(lambda: told("plan", folder, "-o", "json")[0] == 2, 60, "a plan", alive=shop.workers[0])

    def all_are_there() -> bool:
        return bool(json.loads(told("plan", folder, "-o", "json")[1])["contacts"] == PEOPLE)

    wait_until(all_are_there, 60, "all contacts to be known", alive=shop.workers[0])
    assert shop.transitions() == []  # so many plans, and nothing was published

    kept = str(shop.folder / "first.json")
    code, out, err = told("plan", folder, "--out", kept, "--sample", "2")
    assert code == 2
    assert f"+ {shop.workspace}/buyers: created, version 1\n    0 → 2,000 members: 2,000 enter, 0 leave\n" in out
    assert " enters, as the rule holds: " in out
    assert "    and 1,998 more\n" in out
    assert "members shared with thanks 2,000 (now 0), clickers 200 (now 0)" in out
    assert "Plan: 3 created.\n4,300 enters and 0 exits would be published, for 2,100 of 3,000 contacts." in out
    assert "apply --plan" in err

    shop.send("view", [f"c-{number}" for number in range(50)])  # facts may go on
    code, out, err = told("apply", "--plan", kept, "--wait", "-o", "json")
    assert code == 0, err
    assert {(row["segment"], row["result"]) for row in json.loads(out)} == {
        (name, "created") for name in ("buyers", "thanks", "clickers")
    }
    plan = json.loads(Path(kept).read_text(encoding="utf-8"))
    found = shop.transitions()
    assert Counter((each["segment"], each["change"]) for each in found) == predicted(plan)
    assert {each["cause"]["kind"] for each in found} == {"backfill"}
    assert shop.count("buyers") == 2_000
    assert told("plan", folder)[0] == 0  # and now nothing would change
    print(f"\npredicted and published: {dict(predicted(plan))}")


def test_r44_an_edit_publishes_the_difference_that_was_planned(shop: Shop, told: Any) -> None:
    before = shop.transitions()
    folder = shop.put(buyers=BUYERS.replace("P30D", "P10D"), lately="segment: lately\nwhen: {in_segment: clickers}")
    kept = str(shop.folder / "second.json")
    words = ("plan", folder, "--pause", f"{shop.workspace}/clickers", "--out", kept, "--sample", "100", "-o", "json")
    code, out, _ = told(*words)
    plan = json.loads(out)
    assert code == 2
    assert json.loads(Path(kept).read_text(encoding="utf-8")) == plan
    changes = {row["segment"]: row["change"] for row in plan["segments"]}
    assert changes == {"buyers": "changed", "lately": "created", "clickers": "paused", "thanks": "follows"}
    assert predicted(plan) == Counter({("buyers", "exit"): 1_000, ("thanks", "exit"): 1_000, ("lately", "enter"): 300})
    assert {each["segment"]: each["version"] for each in plan["expected"]} == {
        "buyers": 1, "clickers": 1, "lately": None
    }  # fmt: skip

    code, _, err = told("apply", "--plan", kept, "--wait", "--note", "planned")
    assert code == 0, err
    found = shop.since(before)
    assert Counter((each["segment"], each["change"]) for each in found) == predicted(plan)
    told_by = {(each["segment"], "leave" if each["change"] == "exit" else "enter", each["contact"]) for each in found}
    assert len(named(plan["segments"])) == 300
    assert named(plan["segments"]) <= told_by
    assert told("apply", "--plan", kept)[0] == 2  # once only: what it builds on has moved


def test_a_plan_that_was_overtaken_or_tampered_with_is_refused(shop: Shop, told: Any) -> None:
    folder = shop.put(thanks=f"{THANKS}\nexclude: [c-0]")
    kept = shop.folder / "third.json"
    assert told("plan", folder, "--out", str(kept))[0] == 2
    before = shop.transitions()

    kept_text = kept.read_text(encoding="utf-8")
    kept.write_text(kept_text.replace('"c-0"', '"c-3"'), encoding="utf-8")
    code, _, err = told("apply", "--plan", str(kept))
    assert code == 2
    assert "was changed after it was made" in err
    kept.write_text(kept_text, encoding="utf-8")

    # Somebody else changes what `thanks` nests.
    other = shop.put(buyers=BUYERS.replace("P30D", "P11D"))
    assert told("apply", other, "--author", "boris", "--wait")[0] == 0
    code, _, err = told("apply", "--plan", str(kept))
    assert code == 2
    assert f"{shop.workspace}/buyers was expected at version 2 and is active at version 3" in err
    assert "boris" in err
    assert shop.since(before) == []  # eleven days are as good as ten here

    folder = shop.put(thanks=f"{THANKS}\nexclude: [c-0]")
    assert told("plan", folder, "--out", str(kept))[0] == 2
    code, _, err = told("apply", "--plan", str(kept), "--wait")
    assert code == 0, err
    assert [(each["contact"], each["change"]) for each in shop.since(before)] == [("c-0", "exit")]


def test_errors_end_with_one_and_say_what_to_do(shop: Shop, told: Any) -> None:
    folder = shop.put(wrong="segment: wrong\nwhen: {in_segment: nobody}")
    for words, said in (
        (("plan", folder), "nobody"),
        (("plan", "--delete", f"{shop.workspace}/buyers"), "is used by"),
        (("plan", "--pause", f"{shop.workspace}/byers"), "buyers"),
        (("plan",), "nothing to plan"),
        (("plan", "--sample", "x"), "not a valid integer"),
        (("plan", str(shop.folder / "nowhere")), "cannot be read"),
    ):
        code, out, err = told(*words)
        assert (code, out) == (1, ""), words
        assert said in err, words
    assert told("apply")[0] == 2
    code, _, err = told("apply", "--plan", str(shop.folder / "nowhere.json"))
    assert code == 2
    assert "cannot be read" in err
