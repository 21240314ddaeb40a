"""`segment-engine replay`: files in, transitions out, and what a wrong file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main

BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}\n"
LOOKERS = "segment: lookers\nwhen: {did: {event: product_view}}\n"


def fact(number: int, kind: str, at: str, contact: str = "c-1", **more: Any) -> str:
    return json.dumps({"id": f"f-{number}", "type": kind, "contact": contact, "at": at, **more})


class Desk:
    """A folder with definitions and facts, and the command over them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.segments = folder / "segments"
        self.segments.mkdir()
        self._folder = folder
        self._capsys = capsys
        self.write("segments/buyers.yaml", BUYERS)

    def write(self, name: str, *lines: str) -> str:
        path = self._folder / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    def run(self, *words: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, transitions, standard error."""
        code = main.run(["replay", "--segments", str(self.segments), *words])
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err
        return code, [json.loads(line) for line in told.out.splitlines()], told.err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_facts_become_transitions_and_time_alone_makes_one(desk: Desk) -> None:
    events = desk.write("events.jsonl", fact(1, "purchase", "2026-01-31T10:00:00Z"))
    code, found, told = desk.run("--events", events, "--until", "2026-03-31T00:00:00Z")
    assert code == 0
    assert [(t["change"], t["at"], t["cause"]["kind"]) for t in found] == [
        ("enter", "2026-01-31T10:00:00.000Z", "event"),
        ("exit", "2026-03-02T10:00:00.000Z", "clock"),
    ]
    assert "1 facts, 2 transitions" in told


def test_refused_lines_are_told_with_their_number_and_the_rest_goes_on(desk: Desk) -> None:
    good = fact(1, "purchase", "2026-01-31T10:00:00Z")
    events = desk.write("events.jsonl", "[1]", "", '{"type": "purchase"', '{"type":"x","contact":"c"}', good)
    code, found, told = desk.run("--events", events)
    assert (code, len(found)) == (0, 1)
    assert f"{events}:1: not_an_object: " in told
    assert f"{events}:3: bad_json: " in told
    assert f"{events}:4: no_time: " in told
    assert "3 lines refused: " in told


def test_arrives_moves_the_clock_before_the_fact_is_taken(desk: Desk) -> None:
    first = fact(1, "purchase", "2026-01-01T00:00:00Z", arrives="2026-01-01T00:00:00Z")
    late = fact(2, "click", "2026-01-01T00:00:00Z", "c-2", arrives="2026-02-01T00:00:00Z")
    _, found, _ = desk.run("--events", desk.write("events.jsonl", first, late))
    assert [(t["change"], t["detected_at"]) for t in found] == [
        ("enter", "2026-01-01T00:00:00.000Z"),
        ("exit", "2026-02-01T00:00:00.000Z"),
    ]


def test_definitions_come_into_force_when_the_clock_reaches_them(desk: Desk) -> None:
    events = desk.write(
        "events.jsonl",
        fact(1, "purchase", "2026-01-01T00:00:00Z"),
        fact(2, "product_view", "2026-01-02T00:00:00Z"),
        fact(3, "click", "2026-01-03T00:00:00Z"),
    )
    changes = desk.write(
        "changes.jsonl",
        json.dumps(
            {"at": "2026-01-02T12:00:00Z", "apply": {"segment": "lookers", "when": {"did": {"event": "product_view"}}}}
        ),
        json.dumps({"at": "2026-01-04T00:00:00Z", "delete": "buyers"}),
        json.dumps({"at": "2027-01-01T00:00:00Z", "delete": "lookers"}),
    )
    code, found, told = desk.run("--events", events, "--definitions", changes, "--until", "2026-01-05T00:00:00Z")
    assert code == 0
    assert [(t["segment"], t["change"], t["cause"]["kind"]) for t in found] == [
        ("buyers", "enter", "event"),
        ("lookers", "enter", "backfill"),
        ("buyers", "exit", "definition"),
    ]
    assert [t["detected_at"][:16] for t in found[1:]] == ["2026-01-02T12:00", "2026-01-04T00:00"]
    assert "1 changes of definitions lie after the clock's end" in told


def test_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    line = fact(1, "purchase", "2026-01-31T10:00:00Z").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    code, found, _ = desk.run("--events", "-")
    assert (code, len(found)) == (0, 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "changes.jsonl:1: not JSON"),
        ("[]", "not an object"),
        ('{"at": "2026-01-01T00:00:00Z", "pause": "buyers"}', "pause is not supported by this version"),
        ('{"at": "2026-01-01T00:00:00Z", "resume": "buyers"}', "resume is not supported by this version"),
        ('{"at": "2026-01-01T00:00:00Z"}', "one of apply and delete"),
        ('{"at": "noon", "delete": "buyers"}', "changes.jsonl:1: at: "),
        ('{"at": 7, "delete": "buyers"}', "is not a text"),
        ('{"at": "2026-01-01T00:00:00Z", "delete": "nobody"}', "no segment default/nobody"),
        ('{"at": "2026-01-01T00:00:00Z", "apply": {"segment": "x", "wen": {}}}', "unknown key 'wen'"),
        (
            '{"at": "2026-01-01T00:00:00Z", "apply": {"segment": "x", "when": {"in_segment": "y"}}}',
            "unknown segment 'y'",
        ),
    ],
)
def test_a_wrong_change_is_a_users_error(desk: Desk, line: str, told: str) -> None:
    events = desk.write("events.jsonl", fact(1, "purchase", "2026-01-31T10:00:00Z"))
    code, found, error = desk.run("--events", events, "--definitions", desk.write("changes.jsonl", line))
    assert (code, found) == (2, [])
    assert told in error


def test_wrong_definitions_are_all_told_with_their_place(desk: Desk) -> None:
    desk.write("segments/a.yaml", "segment: a", "when: {did: {event: purchase, within: P30}}")
    desk.write("segments/b.yaml", "segment: b", "wen: {}", "when: {in_segment: nobody}")
    code, _, told = desk.run("--events", desk.write("events.jsonl"))
    assert code == 2
    assert "a.yaml:2:" in told
    assert "P30D" in told
    assert "b.yaml:2:" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--events", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
        (["--events", "-", "--until", "soon"], "--until: "),
        ([], "--events"),
    ],
)
def test_a_wrong_word_is_a_users_error(desk: Desk, words: list[str], told: str) -> None:
    code, _, error = desk.run(*words)
    assert code == 2
    assert told in error
