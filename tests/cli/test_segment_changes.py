"""`segment-engine segments` on a real Kafka: paused, resumed, deleted, brought back, with a history and a way on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.definitions import Definition, parse_segment, read_definition
from engine.worker import definition_log
from engine.worker.clients import transactional_producer
from engine.worker.settings import Settings
from tests.cli.segments_desk import Desk
from tests.conftest import Kafka
from tests.integration.harness_kafka import topic_names

pytestmark = pytest.mark.kafka

BUYERS = "segment: buyers\nname: Buyers\nwhen: {did: {event: purchase, within: P30D}}\n"
LAPSED = "segment: lapsed\nwhen: {all: [{in_segment: buyers}, {quiet: {event: purchase, for: P7D}}]}\n"
LAPSED_ALONE = "segment: lapsed\nwhen: {quiet: {event: purchase, for: P7D}}\n"
CUTS = "{recency: [P1D, P2D, P3D, P4D], frequency: [2, 3, 4, 5], monetary: [1, 2, 3, 4]}"
SHOP = f"model: shop\nevent: purchase\namount: amount\ncuts: {CUTS}\n"


@pytest.fixture
def desk(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk.at(kafka, tmp_path, monkeypatch, capsys)


def states(desk: Desk, *more: str) -> dict[str, tuple[str, int]]:
    return {row["segment"]: (row["state"], row["version"]) for row in desk.rows("list", *more)}


def test_the_life_of_a_segment_and_its_history(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.apply("--author", "anna", "--note", "first")
    done = desk.rows("pause", "buyers", "--author", "boris", "--note", "a flood of mails")
    assert done == [
        {"workspace": desk.workspace, "segment": "buyers", "result": "paused", "version": 2, "state": "paused"}
    ]
    assert states(desk) == {"buyers": ("paused", 2)}

    desk.put("a", BUYERS.replace("P30D", "P60D"))
    code, out, told = desk.run("apply", str(desk.folder), "-o", "json", "--author", "anna")
    assert (code, json.loads(out)[0]["state"]) == (0, "paused")
    assert f"Still paused: {desk.workspace}/buyers" in told
    assert f"segment-engine segments resume {desk.workspace}/buyers\n" in told

    assert desk.rows("resume", "buyers")[0]["version"] == 4
    assert desk.rows("delete", "buyers", "--note", "over")[0]["result"] == "deleted"
    assert states(desk) == {}
    assert states(desk, "--all") == {"buyers": ("deleted", 5)}
    assert "buyers is deleted at version 5" in desk.refused("show", "buyers")

    assert desk.apply() == {"buyers": ("created", 6)}  # the counter goes on
    history = desk.rows("history", "buyers")
    assert [(each["version"], each["state"], each["changed"]) for each in history] == [
        (1, "active", ["created"]),
        (2, "paused", ["paused"]),
        (3, "paused", ["when.did.within: P30D → P60D"]),
        (4, "active", ["resumed"]),
        (5, "deleted", ["deleted"]),
        (6, "active", ["created anew"]),
    ]
    assert [each["author"] for each in history[:3]] == ["anna", "boris", "anna"]
    assert [history[0]["note"], history[1]["note"], history[4]["note"]] == ["first", "a flood of mails", "over"]
    assert history[2]["definition"]["when"]["did"]["within"] == "P60D"
    assert [each["at"] for each in history] == sorted(each["at"] for each in history)
    table = desk.done("history", "buyers")
    assert "when.did.within: P30D → P60D" in table
    assert desk.records("segments.definitions.history") == 6


def test_what_changes_nothing_writes_nothing(desk: Desk) -> None:
    desk.put("a", BUYERS.replace("when:", "include: [c-2, c-1]\nwhen:"))
    desk.apply()
    desk.done("pause", "buyers")
    written = [desk.records(topic) for topic in ("segments.definitions", "segments.definitions.history")]
    text = "when: {did: {count: {gte: 1}, within: PT720H, event: [purchase]}}\ninclude: [c-1, c-2]\nname: Buyers\n"
    desk.put("a", f"{text}timezone: UTC\nsegment: buyers\n")
    assert desk.apply() == {"buyers": ("unchanged", 2)}
    assert desk.rows("pause", "buyers")[0]["result"] == "unchanged"
    assert desk.rows("restore", "buyers", "1")[0]["result"] == "unchanged"
    assert [desk.records(topic) for topic in ("segments.definitions", "segments.definitions.history")] == written


def test_an_older_version_comes_back(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.apply("--author", "anna")
    desk.put("a", BUYERS.replace("P30D", "P60D"))
    desk.put("b", LAPSED)
    desk.apply()
    assert "within: P30D" in desk.done("show", "buyers", "--version", "1")
    assert "within: P60D" in desk.done("show", "buyers")
    assert desk.rows("restore", "buyers", "1")[0] | {"workspace": ""} == {
        "workspace": "", "segment": "buyers", "result": "changed", "version": 3, "state": "active",
    }  # fmt: skip
    assert "within: P30D" in desk.done("show", "buyers")
    assert desk.rows("history", "buyers")[-1]["note"] == "version 1 restored"

    desk.done("delete", "buyers", "lapsed")
    told = desk.refused("restore", "lapsed", "1")  # what it nests is not there: checked like apply
    assert "unknown segment 'buyers'" in told
    assert "nothing was changed" in told
    assert desk.rows("restore", "buyers", "2")[0]["version"] == 5
    assert desk.rows("restore", "lapsed", "1")[0]["result"] == "created"
    assert "Version 4 is the one that deleted" in desk.refused("restore", "buyers", "4")
    told = desk.refused("restore", "buyers", "9")
    assert "never was" in told
    assert "1–3, 5" in told
    assert "Did you mean buyers?" in desk.refused("restore", "byers", "1")


def test_what_is_used_is_told_and_not_deleted(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.put("b", LAPSED)
    desk.put("c", SHOP)
    desk.put("d", "segment: often\nwhen: {rfm: {model: shop, frequency: 5}}\n")
    desk.apply()
    shown = json.loads(desk.done("show", "buyers", "-o", "json"))
    assert (shown["used_in"], shown["uses"]) == ([f"{desk.workspace}/lapsed"], [])
    text = desk.done("show", "often")
    assert f"# uses: {desk.workspace}/model:shop\n" in text
    assert f"# used in: {desk.workspace}/often\n" in desk.done("show", "model:shop")

    told = desk.refused("delete", "buyers")
    assert f"buyers is used by {desk.workspace}/lapsed (in_segment)" in told
    assert f"model:shop is used by {desk.workspace}/often (rfm)" in desk.refused("delete", "model:shop")
    assert "Pause the segments that score by it" in desk.refused("pause", "model:shop")
    assert len(states(desk)) == 4
    assert [row["result"] for row in desk.rows("delete", "buyers", "lapsed")] == ["deleted", "deleted"]


def test_several_ids_are_one_change_or_none(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.put("b", LAPSED)
    desk.apply()
    told = desk.refused("pause", "lapsed", "byers")
    assert "Did you mean buyers?" in told
    assert "Nothing was changed" in told
    assert states(desk) == {"buyers": ("active", 1), "lapsed": ("active", 1)}
    desk.done("pause", "lapsed", f"{desk.workspace}/buyers")
    assert {state for state, _ in states(desk).values()} == {"paused"}


def test_a_change_on_what_has_moved_is_refused(desk: Desk) -> None:
    desk.put("a", BUYERS)
    assert desk.apply("--expect", "buyers=none") == {"buyers": ("created", 1)}
    desk.put("a", BUYERS.replace("P30D", "P60D"))
    desk.apply("--author", "boris", "--note", "longer")
    desk.put("a", BUYERS.replace("P30D", "P90D"))
    code, _, told = desk.run("apply", str(desk.folder), "--expect", "buyers=1")
    assert code == 2
    assert f"{desk.workspace}/buyers was expected at version 1 and is active at version 2 since " in told
    assert "by boris (longer)" in told
    assert f"segment-engine segments history {desk.workspace}/buyers" in told
    assert "was expected not to be in force" in desk.refused("delete", "buyers", "--expect", "buyers=none")
    assert desk.apply("--expect", "buyers=2") == {"buyers": ("changed", 3)}
    for wrong in ("buyers", "buyers=0", "buyers=x", "=1"):
        assert f"--expect {wrong}" in desk.refused("pause", "buyers", "--expect", wrong) or wrong == "=1"
    assert "different versions" in desk.refused("pause", "buyers", "--expect", "buyers=1", "--expect", "buyers=2")


def test_r49_name_description_and_all_the_rest_round_trip(desk: Desk) -> None:
    text = """segment: tea-again
name: "Чай, три месяца спустя: «снова» # не комментарий 🍵"
description: |
  Bought tea, and nothing since.

  Second paragraph: "quoted", 'single', \\ back\ttab.
timezone: Europe/Moscow
mailable: {channel: whatsapp, consent: required}
group: {name: maturity, priority: 20}
hidden_from: [agent-9, agent-7]
payload: [name, city, last.purchase.order_id]
include: ["0123", c-1]
exclude: [c-2]
topic: false
when:
  all:
    - did: {event: purchase, where: {items.category: Chinese tea, amount: {gte: 45.10}}}
    - not: {did: {event: purchase, within: P3M}}
    - profile: {birthday: {anniversary: {within: P7D}}, city: {in: ["yes", "no", "1"]}}
"""
    desk.put("a", text)
    desk.apply("--note", "of two\nlines, and a bell \x07")
    shown = desk.done("show", "tea-again")
    assert "Чай, три месяца спустя: «снова» # не комментарий 🍵" in shown
    (desk.folder / "a.yaml").write_text(shown, encoding="utf-8")
    assert desk.apply() == {"tea-again": ("unchanged", 1)}
    assert desk.done("show", "tea-again") == shown
    row = json.loads(desk.done("show", "tea-again", "-o", "json"))
    assert row["definition"]["hidden_from"] == ["agent-7", "agent-9"]
    assert row["definition"]["description"].endswith("'single', \\ back\ttab.\n")
    assert row["name"] == "Чай, три месяца спустя: «снова» # не комментарий 🍵"


def test_files_and_folders_are_one_change(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.put("b", LAPSED)
    files = sorted(map(str, desk.folder.iterdir()))
    code, out, err = desk.run("apply", *reversed(files), "-o", "jsonl")
    assert code == 0, err
    assert len(out.splitlines()) == 2
    code, _, err = desk.run("apply", files[0], files[0])
    assert code == 2
    assert "is used twice" in err


async def test_a_change_that_was_killed_leaves_nothing(desk: Desk, kafka: Kafka) -> None:
    """A producer that ended between its records and its commit, as kill -9 leaves it; and one that is still at it."""
    settings = Settings(brokers=kafka.brokers, segment_topics=False)
    key = f"{desk.workspace}/buyers".encode()
    killed = transactional_producer(settings, definition_log.TRANSACTIONAL_ID)
    await killed.start()
    await killed.begin_transaction()
    for topic in ("segments.definitions", "segments.definitions.history"):
        await (await killed.send(topic, b'{"workspace": "half", "segment": "done", "version": 7}', key, partition=0))
    desk.put("a", BUYERS)
    words = ["segments", "apply", str(desk.folder), "--author", "anna", "-o", "json"]
    made = await asyncio.to_thread(_run, words)
    assert made.returncode == 0, made.stderr
    assert [(row["result"], row["version"]) for row in json.loads(made.stdout)] == [("created", 1)]
    found = await definition_log.read_history(settings, (desk.workspace, "buyers"))
    assert [(each.version, each.author) for each in found.records] == [(1, "anna")]
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        await killed.commit_transaction()
    await killed.stop()


def test_of_changes_at_once_those_that_lose_are_told_in_one_paragraph(desk: Desk, tmp_path: Path) -> None:
    files = [tmp_path / f"by-{number}" for number in range(3)]
    for number, file in enumerate(files):
        file.mkdir()
        text = BUYERS.replace("P30D", f"P{number + 1}D")
        (file / "a.yaml").write_text(f"workspace: {desk.workspace}\n{text}", encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda file: _run(["segments", "apply", str(file), "-o", "json"]), files))
    for each in ended:
        assert each.returncode in (0, 2)
        if each.returncode == 2:
            assert each.stderr.startswith("segment-engine: Somebody else changed definitions at the same moment")
            assert "try again" in each.stderr
            assert each.stderr.count("\n") == 1
    made = [json.loads(each.stdout)[0]["version"] for each in ended if each.returncode == 0]
    assert made
    history = desk.rows("history", "buyers")
    assert sorted(made) == [each["version"] for each in history] == list(range(1, len(made) + 1))


async def test_a_change_that_is_overtaken_before_its_commit_changes_nothing(
    desk: Desk, kafka: Kafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(brokers=kafka.brokers, segment_topics=False)
    write = definition_log._write

    async def overtaken(*told: Any) -> Any:
        monkeypatch.setattr(definition_log, "_write", write)
        await definition_log.apply(settings, [parse_segment(f"workspace: {desk.workspace}\n{LAPSED_ALONE}")])
        return await write(*told)

    monkeypatch.setattr(definition_log, "_write", overtaken)
    desk.put("a", BUYERS)
    code = await asyncio.to_thread(main.run, ["segments", "apply", str(desk.folder)])
    told = capsys.readouterr().err
    assert code == 2
    assert "Somebody else changed definitions at the same moment" in told
    assert "Traceback" not in told
    known = await definition_log.read_records(settings)
    assert [key[1] for key in known if key[0] == desk.workspace] == ["lapsed"]


async def test_offsets_of_a_change_are_told(desk: Desk, kafka: Kafka) -> None:
    """By them a caller waits until workers have read the change."""
    settings = Settings(brokers=kafka.brokers, segment_topics=False)
    segment = parse_segment(f"workspace: {desk.workspace}\n{BUYERS}")
    (first,) = await definition_log.apply(settings, [segment])
    (again,) = await definition_log.apply(settings, [segment])
    (paused,) = await definition_log.change(settings, definition_log.Change(pause=[segment.key]))
    assert first.offset is not None
    assert paused.offset is not None
    assert again.offset is None
    assert first.offset < paused.offset


async def test_a_change_larger_than_a_batch_is_made_whole(desk: Desk, kafka: Kafka) -> None:
    settings = Settings(brokers=kafka.brokers, segment_topics=False)
    rule = {"did": {"event": "purchase"}}
    heavy = [f"{n:04}-{'x' * 240}" for n in range(400)]  # about 100 KB
    definitions = [
        read_definition({"segment": f"s-{n}", "workspace": desk.workspace, "when": rule, "include": heavy})
        for n in range(15)
    ]
    assert {each.result for each in await definition_log.apply(settings, definitions)} == {"created"}
    pins = [f"{n:05}-{'x' * 200}" for n in range(6_000)]
    huge = read_definition({"segment": "huge", "workspace": desk.workspace, "when": rule, "include": pins})
    with pytest.raises(definition_log.DefinitionLogError, match="on a list"):
        await definition_log.apply(settings, [parse_other(desk), huge])
    known = await definition_log.read_records(settings)
    assert {key[1] for key in known if key[0] == desk.workspace} == {f"s-{n}" for n in range(15)}


def parse_other(desk: Desk) -> Definition:
    return parse_segment(f"workspace: {desk.workspace}\n{BUYERS}")


def test_history_keeps_only_what_was_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition_log, "HISTORY_KEPT", 2)
    for days in (1, 2, 3, 4):
        desk.put("a", BUYERS.replace("P30D", f"P{days}D"))
        desk.apply()
    code, out, told = desk.run("history", "buyers", "-w", desk.workspace, "-o", "jsonl")
    assert code == 0
    assert [json.loads(line)["version"] for line in out.splitlines()] == [3, 4]
    assert json.loads(out.splitlines()[0])["changed"] == []
    assert "2 older versions are in the topic and were left out" in told
    assert "P1D" in desk.done("show", "buyers", "--version", "1")
    assert "Did you mean buyers?" in desk.refused("history", "byers")


def test_the_topic_of_a_restored_segment_is_there(desk: Desk) -> None:
    desk.put("a", BUYERS.replace("when:", "topic: false\nwhen:"))
    desk.apply()
    desk.put("a", BUYERS)
    topic = f"segments.{desk.workspace}.buyers"
    assert topic not in topic_names(desk.kafka.brokers)
    desk.apply()
    assert topic in topic_names(desk.kafka.brokers)


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
