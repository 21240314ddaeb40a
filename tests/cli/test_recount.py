"""`segment-engine recount` on files: what it lists, what it compares, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def _said(offset: int, name: str, state: str = "active", version: int = 1, at: str = "", **more: Any) -> Record:
    rule = {"did": {"event": "purchase"}}
    definition = None if state == "deleted" else {"segment": name, "when": rule, **more}
    value = {"workspace": "default", "segment": name, "state": state, "version": version, "definition": definition}
    value["at"] = at
    return Record(0, "d", 0, offset, f"default/{name}".encode(), json.dumps(value).encode())


def _ids(keys: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(name for _, name in keys)


def test_the_latest_definitions_count() -> None:
    found = definitions_of([_said(0, "a"), _said(1, "b"), Record(0, "d", 0, 2, b"default/a", None), _said(3, "b")])
    assert [each["segment"] for each in found.definitions] == ["b"]
    assert (found.still, found.changed) == (frozenset(), frozenset())


def test_what_is_paused_is_left_out_with_all_that_rests_on_it() -> None:
    found = definitions_of(
        [
            _said(0, "frozen", "paused", 2, group={"name": "g", "priority": 1}),
            _said(1, "rival", group={"name": "g", "priority": 2}),
            _said(2, "nests", when={"not": {"in_segment": "rival"}}),
            _said(3, "free"),
            _said(4, "edited", version=3),
            _said(5, "on-edited", when={"in_segment": "edited"}),
            _said(6, "gone", "deleted", 4),
        ]
    )
    assert sorted(each["segment"] for each in found.definitions) == ["edited", "free", "on-edited"]
    assert _ids(found.still) == ["frozen", "nests", "rival"]
    assert _ids(found.changed) == ["edited", "gone", "on-edited"]


def test_where_something_was_deleted_groups_may_have_had_it() -> None:
    found = definitions_of([_said(0, "one", group={"name": "g", "priority": 1}), _said(1, "gone", "deleted", 2)])
    assert _ids(found.changed) == ["gone", "one"]


def test_of_what_came_after_the_first_fact_the_past_is_not_compared() -> None:
    records = [_said(0, "early", at="2026-01-01T00:00:00.000Z"), _said(1, "later", at="2026-01-03T00:00:00.000Z")]
    records.append(_said(2, "on-later", at="2026-01-01T00:00:00.000Z", when={"in_segment": "later"}))
    assert _ids(definitions_of(records, 1_767_312_000_000).changed) == ["later", "on-later"]  # on the second of January
    assert _ids(definitions_of(records).changed) == []


def test_a_changed_model_changes_who_scores_by_it() -> None:
    cuts = {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [2, 3, 4, 5], "monetary": [1, 2, 3, 4]}
    document = {"model": "shop", "event": "purchase", "amount": "amount", "cuts": cuts}
    value = {"workspace": "default", "segment": "model:shop", "state": "active", "version": 2, "definition": document}
    shop = Record(0, "d", 0, 0, b"default/model:shop", json.dumps(value).encode())
    found = definitions_of([shop, _said(1, "often", when={"rfm": {"model": "shop", "frequency": 5}}), _said(2, "free")])
    assert _ids(found.changed) == ["often"]
    assert len(found.definitions) == 3
