"""`segment-engine segments`: checked, applied onto a real Kafka as one change, listed and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import main
from engine.cli.segments_shown import as_yaml
from engine.definitions import canonical, load_folder, parse_segment
from engine.definitions.advice import advice
from engine.definitions.describing import describe
from tests.cli.segments_desk import Desk
from tests.conftest import Kafka
from tests.integration.harness_kafka import latest, read_topic, topic_names

BUYERS = "segment: buyers\nname: Buyers\nwhen: {did: {event: purchase, within: P30D}}\n"
LAPSED = "segment: lapsed\nwhen: {all: [{in_segment: buyers}, {quiet: {event: purchase, for: P7D}}]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Writes definitions into a new folder: name=text."""

    def write(**texts: str) -> str:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return str(tmp_path)

    return write


def test_check_lists_what_is_there_in_plain_words(
    folder: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["segments", "check", folder(a=BUYERS, b=LAPSED), "-o", "json"]) == 0
    told = capsys.readouterr()
    assert next(row["conditions"] for row in json.loads(told.out)) == "bought something in the last 30 days"
    assert told.err == "2 definitions are sound\n"


def test_check_tells_every_mistake_of_every_file(
    folder: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = folder(
        a="segment: a\nwhen: {did: {event: purchase, within: P30}}",
        b="segment: b\nnmae: x\nwhen: {in_segment: b}",
        c="segment: c\nwhen: {in_segment: c}",
        d="segment: [",
    )
    assert main.run(["segments", "check", where]) == 2
    told = capsys.readouterr().err
    assert "4 mistakes in" in told
    for part in ("a.yaml:2:", "P30D", "unknown key 'nmae'", "Did you mean 'name'?", "cycle", "d.yaml:"):
        assert part in told
    assert "Traceback" not in told


@pytest.mark.parametrize("words", [["check", "/nowhere"], ["apply", "/nowhere"], ["show", "x", "--dir", "/nowhere"]])
def test_a_folder_that_is_not_there(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["segments", *words]) == 2
    assert "/nowhere cannot be read" in capsys.readouterr().err


def test_money_without_a_currency_is_advised_on() -> None:
    spent = "segment: s\nwhen: {aggregate: {fn: sum, of: amount, event: purchase, %sis: {gte: 5}}}"
    assert "currency" in advice(parse_segment(spent % ""))[0]
    assert advice(parse_segment(spent % "where: {currency: EUR}, ")) == []


@pytest.mark.parametrize("name", ["engine/demo/segments", "tests/generate/segments"])
def test_what_is_shown_is_a_definition_of_the_same_meaning(name: str) -> None:
    for segment in load_folder(Path(__file__).parents[2] / name):
        assert canonical(parse_segment(as_yaml(segment))) == canonical(segment)
        assert describe(segment)


def test_show_of_a_folder_and_a_near_name(folder: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(a=BUYERS)
    assert main.run(["segments", "show", "buyers", "--dir", where]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Who is in:\n#   - bought something in the last 30 days\nsegment: buyers\n")
    assert "within: P30D" in out
    assert main.run(["segments", "show", "buyer", "--dir", where]) == 2
    assert "Did you mean buyers?" in capsys.readouterr().err


@pytest.fixture
def desk(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk.at(kafka, tmp_path, monkeypatch, capsys)


@pytest.mark.kafka
def test_apply_counts_versions_and_leaves_alone_what_means_the_same(desk: Desk) -> None:
    desk.put("a", BUYERS)
    assert desk.apply("--author", "anna", "--note", "first") == {"buyers": ("created", 1)}
    assert f"segments.{desk.workspace}.buyers" in topic_names(desk.kafka.brokers)

    desk.put("a", BUYERS.replace("within: P30D", "count: {gte: 1}, within: P30D"))  # other text, same meaning
    desk.put("b", LAPSED)
    assert desk.apply() == {"buyers": ("unchanged", 1), "lapsed": ("created", 1)}
    code, _, told = desk.run("apply", str(desk.folder))
    assert (code, told) == (0, "Nothing changed: all of them mean what is in force already\n")

    desk.put("a", BUYERS.replace("P30D", "P60D"))
    assert desk.apply("--author", "boris") == {"buyers": ("changed", 2), "lapsed": ("unchanged", 1)}

    key = f"{desk.workspace}/buyers".encode()
    now = json.loads(latest(read_topic(desk.kafka.brokers, "segments.definitions"))[key])
    assert (now["version"], now["state"], now["author"]) == (2, "active", "boris")
    history = [
        json.loads(r.value or b"")
        for r in read_topic(desk.kafka.brokers, "segments.definitions.history")
        if r.key == key
    ]
    assert [(each["version"], each["author"], each["note"]) for each in history] == [
        (1, "anna", "first"),
        (2, "boris", ""),
    ]


@pytest.mark.kafka
def test_list_and_show_what_is_in_force(desk: Desk) -> None:
    desk.put("a", BUYERS)
    desk.apply("--author", "anna")
    _, out, _ = desk.run("list", "-o", "jsonl")
    (row,) = [each for each in map(json.loads, out.splitlines()) if each["workspace"] == desk.workspace]
    assert (row["segment"], row["name"], row["conditions"]) == (
        "buyers",
        "Buyers",
        "bought something in the last 30 days",
    )
    code, out, _ = desk.run("show", "buyers", "--workspace", desk.workspace)
    assert code == 0
    assert "# version: 1\n# state: active\n# author: anna\n" in out
    assert canonical(parse_segment(out)) == canonical(load_folder(desk.folder)[0])
    code, _, told = desk.run("show", "buyers", "--workspace", f"{desk.workspace}x")
    assert code == 2
    assert f"{desk.workspace}x" in told


@pytest.mark.kafka
def test_what_cannot_run_with_what_is_in_force_is_refused_whole(desk: Desk) -> None:
    desk.put("a", BUYERS.replace("when:", "group: {name: g, priority: 1}\nwhen:"))
    desk.apply()
    (desk.folder / "a.yaml").unlink()
    desk.put("good", "segment: good\nwhen: {in_segment: buyers}\n")
    desk.put("bad", "segment: bad\ngroup: {name: g, priority: 1}\nwhen: {in_segment: nobody}\n")
    code, _, told = desk.run("apply", str(desk.folder))
    assert code == 2
    assert "nothing was changed" in told
    assert "nobody" in told
    assert "already has a segment of priority 1" in told
    (desk.folder / "bad.yaml").unlink()
    assert desk.apply() == {"good": ("created", 1)}  # it nests one that only Kafka has


@pytest.mark.kafka
def test_models_are_applied_with_the_segments_that_score_by_them(desk: Desk) -> None:
    cuts = "{recency: [P1D, P2D, P3D, P4D], frequency: [2, 3, 4, 5], monetary: [1, 2, 3, 4]}"
    shop = f"model: shop\nevent: purchase\namount: amount\ncuts: {cuts}\n"
    desk.put("often", "segment: often\nwhen: {rfm: {model: shop, frequency: 5}}\n")
    code, _, told = desk.run("apply", str(desk.folder))
    assert code == 2
    assert "rfm names the unknown model 'shop'" in told
    desk.put("shop", shop)
    assert desk.apply() == {"model:shop": ("created", 1), "often": ("created", 1)}
    (desk.folder / "often.yaml").unlink()
    desk.put("shop", shop.replace("amount: amount", "amount: amount\nmonetary: average"))
    assert desk.apply() == {"model:shop": ("unchanged", 1)}
    desk.put("shop", shop.replace("P4D", "P5D"))
    assert desk.apply() == {"model:shop": ("changed", 2)}
    _, out, _ = desk.run("list", "-o", "jsonl")
    rows = [each for each in map(json.loads, out.splitlines()) if each["workspace"] == desk.workspace]
    assert [(row["segment"], row["version"]) for row in rows] == [("model:shop", 2), ("often", 1)]
    code, out, _ = desk.run("show", "model:shop", "--workspace", desk.workspace)
    assert code == 0
    assert "# version: 2\n" in out
    assert "- P5D\n" in out
    assert f"segments.{desk.workspace}.often" in topic_names(desk.kafka.brokers)
    assert not [name for name in topic_names(desk.kafka.brokers) if "shop" in name]


@pytest.mark.kafka
def test_topics_of_segments_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_SEGMENT_TOPICS_MAX", "0")
    desk.put("a", BUYERS)
    code, _, told = desk.run("apply", str(desk.folder))
    assert code == 2
    assert "topic: false" in told
    desk.put("a", f"topic: false\n{BUYERS}")
    monkeypatch.setenv("SEGMENT_ENGINE_SEGMENT_TOPICS", "off")
    assert desk.apply() == {"buyers": ("created", 1)}


def test_no_broker_is_a_users_error(
    folder: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deploy.local_broker import free_port

    monkeypatch.setenv("SEGMENT_ENGINE_REQUEST_TIMEOUT", "PT2S")
    where = f"127.0.0.1:{free_port()}"
    for words in (["list"], ["show", "x"], ["apply", folder(a=BUYERS)]):
        assert main.run(["segments", *words, "--brokers", where]) == 2
        told = capsys.readouterr().err
        assert f"Kafka at {where} does not answer" in told
        assert "Traceback" not in told
