"""`segment-engine recount` on files: what it lists, what it compares, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run
from engine.cli.recount_topics import Record, definitions_of, facts_of

EVENTS = """\
{"type": "purchase", "contact": "c-1", "at": "2026-01-01T10:00:00Z"}
not json
{"type": "click", "contact": "c-2", "at": "2026-01-02T10:00:00Z"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "segments").mkdir()
    definition = "segment: bought\nwhen: {did: {event: purchase, within: PT1H}}\n"
    (tmp_path / "segments" / "bought.yaml").write_text(definition)
    (tmp_path / "events.jsonl").write_text(EVENTS)
    return tmp_path


def _recount(folder: Path, *more: str) -> int:
    return run(["recount", "--segments", str(folder / "segments"), "--events", str(folder / "events.jsonl"), *more])


def test_lists_transitions_and_agrees_with_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _recount(folder, "-o", "jsonl") == 0
    listed, said = capsys.readouterr()
    rows = [json.loads(line) for line in listed.splitlines()]
    assert [(row["change"], row["at"], row["cause"]) for row in rows] == [
        ("enter", "2026-01-01T10:00:00.000Z", "event"),
        ("exit", "2026-01-01T11:00:00.000Z", "clock"),
    ]
    assert "record 2 is no fact: bad_json" in said
    (folder / "engine.jsonl").write_text(listed)
    assert _recount(folder, "--transitions", str(folder / "engine.jsonl")) == 0
    assert "the recount agrees" in capsys.readouterr().err


def test_a_difference_is_named_and_ends_with_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "members.jsonl").write_text('{"segment": "bought", "contact": "c-1"}\n')
    assert _recount(folder, "--members", str(folder / "members.jsonl"), "-o", "jsonl") == 1
    assert json.loads(capsys.readouterr().out) == {
        "difference": "default/bought: c-1 is a member by the engine, not in the recount"
    }
    assert _recount(folder, "--members", str(folder / "members.jsonl"), "--until", "2026-01-01T11:00:00Z") == 1


def test_members_are_listed_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "events.jsonl").write_text(EVENTS.splitlines()[0])
    assert _recount(folder, "--until", "2026-01-01T11:00:00Z", "--show", "members", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"workspace": "default", "segment": "bought", "contact": "c-1"}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "soon"], "--until"),
        (["--from-topics"], "either --events"),
        (["--transitions", "nowhere.jsonl"], "nowhere.jsonl can't be read"),
    ],
)
def test_a_mistake_is_one_paragraph(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert _recount(folder, *words) == 2
    assert said in capsys.readouterr().err


def _record(arrival: int, topic: str, offset: int, second: int) -> Record:
    value = f'{{"type": "click", "contact": "c", "at": "2026-01-01T00:00:{second:02d}Z"}}\n'.encode()
    return Record(1_800_000_000_000 + arrival, topic, 0, offset, b"c", value)


def _seconds(facts: list[object]) -> list[int]:
    return [int(json.loads(fact)["at"][17:19]) for fact in facts if isinstance(fact, bytes)]


def test_topics_are_taken_by_arrival_or_by_their_heads() -> None:
    records = [_record(1, "b", 0, 5), _record(2, "b", 1, 3), _record(3, "a", 0, 4), _record(4, "a", 1, 6)]
    assert _seconds([*facts_of(records, "arrival", None)]) == [5, 3, 4, 6]
    assert _seconds([*facts_of(records, "at", None)]) == [4, 5, 3, 6]
    assert _seconds([*facts_of(records, "at", 1_767_225_605_000)]) == [3, 4]


def test_a_record_keeps_its_numbers_and_gains_its_arrival() -> None:
    exact = (
        b'{"type":"purchase","contact":"c","at":"2026-01-01T00:00:00Z","properties":{"amount":0.1000000000000000055}}'
    )
    fact = facts_of([Record(1_800_000_000_000, "t", 0, 0, b"c", exact)], "arrival", None)[0]
    assert isinstance(fact, bytes)
    assert b"0.1000000000000000055" in fact
    assert json.loads(fact)["arrives"] == "2027-01-15T08:00:00.000Z"


def test_only_active_definitions_count() -> None:
    def said(offset: int, key: bytes, state: str, name: str) -> Record:
        return Record(0, "d", 0, offset, key, json.dumps({"state": state, "definition": {"segment": name}}).encode())

    records = [
        said(0, b"a", "active", "a"),
        said(1, b"b", "active", "b"),
        Record(0, "d", 0, 2, b"a", None),
        said(3, b"b", "active", "b2"),
    ]
    assert definitions_of(records) == [{"segment": "b2"}]
