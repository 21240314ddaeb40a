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


def put(day: int, kind: str, named: Any) -> str:
    return json.dumps({"at": f"2026-01-{day:02}T12:00:00Z", kind: named})


def test_a_paused_segment_stands_still_until_it_goes_on(desk: Desk) -> None:
    desk.write("segments/lookers.yaml", LOOKERS)
    events = desk.write(
        "events.jsonl",
        fact(1, "purchase", "2026-01-01T00:00:00Z", "c-1"),
        fact(2, "product_view", "2026-01-03T00:00:00Z", "c-2"),
        fact(3, "click", "2026-01-06T00:00:00Z"),
    )
    paused = (put(2, "pause", "lookers"), put(2, "pause", "default/buyers"))
    changes = desk.write("changes.jsonl", *paused, put(4, "resume", "lookers"))
    code, found, _ = desk.run("--events", events, "--definitions", changes, "--until", "2026-03-01T00:00:00Z")
    assert code == 0
    assert [(t["contact"], t["segment"], t["change"], t["cause"]["kind"], t["version"]) for t in found] == [
        ("c-1", "buyers", "enter", "event", 1),  # and stays, paused, beyond its thirty days
        ("c-2", "lookers", "enter", "definition", 3),
    ]
    assert found[1]["detected_at"] == "2026-01-04T12:00:00.000Z"


def test_lines_of_one_instant_are_one_change_in_their_order(desk: Desk) -> None:
    view = {"segment": "lookers", "when": {"did": {"event": "product_view"}}}
    events = desk.write(
        "events.jsonl",
        fact(1, "product_view", "2026-01-01T00:00:00Z"),
        fact(2, "purchase", "2026-01-01T00:00:00Z"),
        fact(3, "click", "2026-01-06T00:00:00Z"),
    )
    lines = (
        put(2, "apply", view), put(2, "delete", "lookers"),  # never seen
        put(3, "pause", "buyers"), put(3, "resume", "buyers"),
        put(4, "delete", "buyers"), put(4, "apply", {"segment": "buyers", "when": {"did": {"event": "refund"}}}),
        put(5, "apply", view), put(5, "pause", "lookers"), put(5, "pause", "buyers"), put(5, "delete", "buyers"),
    )  # fmt: skip
    changes = desk.write("changes.jsonl", *lines)
    code, found, told = desk.run("--events", events, "--definitions", changes)
    assert code == 0, told
    assert [(t["segment"], t["change"], t["detected_at"][:10]) for t in found] == [
        ("buyers", "enter", "2025-12-31"),
        ("buyers", "exit", "2026-01-04"),
    ]


def test_a_model_is_not_paused(desk: Desk) -> None:
    cuts = {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [2, 3, 4, 5], "monetary": [1, 2, 3, 4]}
    model = {"model": "shop", "event": "purchase", "amount": "amount", "cuts": cuts}
    changes = desk.write("changes.jsonl", put(1, "apply", model), put(2, "pause", "model:shop"))
    code, _, told = desk.run("--events", desk.write("events.jsonl"), "--definitions", changes)
    assert code == 2
    assert "changes.jsonl:2: default/model:shop is a model; pause the segments that score by it" in told


def test_what_others_use_is_not_deleted(desk: Desk) -> None:
    desk.write("segments/again.yaml", "segment: again\nwhen: {in_segment: buyers}\n")
    changes = desk.write("changes.jsonl", put(1, "delete", "buyers"))
    code, _, told = desk.run("--events", desk.write("events.jsonl"), "--definitions", changes)
    assert code == 2
    assert "changes.jsonl:1: after this change the segments cannot run together" in told
    assert "unknown segment 'buyers'" in told
    changes = desk.write("changes.jsonl", put(1, "delete", "buyers"), put(1, "delete", "again"))
    assert desk.run("--events", desk.write("events.jsonl"), "--definitions", changes)[0] == 0


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
        (
            '{"at": "2026-01-01T00:00:00Z", "pause": "byers"}',
            ".jsonl:1: there is no segment default/byers to pause",
        ),
        ('{"at": "2026-01-01T00:00:00Z", "resume": "byers"}', "Did you mean buyers?"),
        ('{"at": "2026-01-01T00:00:00Z", "pause": "spot/buyers"}', "no segment spot/buyers to pause"),
        ('{"at": "2026-01-01T00:00:00Z", "pause": 7}', "pause names a segment: id, or workspace/id."),
        ('{"at": "2026-01-01T00:00:00Z", "pause": "a", "resume": "a"}', "one of apply, delete, pause and resume"),
        ('{"at": "2026-01-01T00:00:00Z"}', "one of apply, delete, pause and resume"),
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


def test_late_facts_from_before_what_the_journal_holds_are_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENT_ENGINE_JOURNAL_FACTS", "1000")
    desk.write("segments/lookers.yaml", "segment: lookers\nwhen: {did: {event: product_view, count: {gte: 1003}}}")
    times = [f"2026-01-01T{n // 60:02d}:{n % 60:02d}:00Z" for n in range(1_002)]
    facts = [fact(n, "product_view", at) for n, at in enumerate([*times, "2026-01-01T00:00:30Z"])]
    code, found, told = desk.run("--events", desk.write("facts.jsonl", *facts))
    assert (code, [each["change"] for each in found]) == (0, ["enter"]), "the count goes on"
    assert "1 late facts, 1 of them from before what the journal holds" in told
