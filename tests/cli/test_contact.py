"""`contact` as a table: what is shown of an answer, and what is said where something is missing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import schemas
from engine.cli import contact
from tests.driver import command

ANNA, BORIS = (each["document"] for each in schemas.examples("contact")["valid"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the worker is asked; it answers with `answer`."""
    found: dict[str, Any] = {}

    def ask(url: str, path: str, **params: str | int) -> Any:
        found.update(url=url, path=path, params=params)
        return found["answer"]

    monkeypatch.setattr(contact, "ask", ask)
    return found


def shown(*words: str) -> list[str]:
    code, out, errors = command(["contact", *words, "--url", "http://w0"])
    assert (code, errors) == (0, "")
    return [" ".join(line.split()) for line in out.splitlines()]


def test_r48_the_table_shows_who_it_is_why_it_is_in_and_what_comes(asked: dict[str, Any]) -> None:
    asked["answer"] = ANNA
    lines = shown("anna", "-w", "shop", "--facts", "3", "--agent", "agent-7")
    assert asked["params"] == {"id": "anna", "workspace": "shop", "facts": 3, "agent": "agent-7"}
    for line in (
        "first seen 2026-01-31T10:00:00.000Z",
        "consent all: granted, sms: revoked",
        "attribute city Moscow",
        f"buyers (Bought lately) 2026-01-31T10:00:00.000Z 2026-03-02T10:00:00.000Z {ANNA['segments'][0]['why']}",
        "2026-04-30T10:00:00.000Z enter tea-again Tea, three months on",
    ):
        assert line in lines, line
    assert lines[-1].startswith('2026-01-31T10:00:00.000Z purchase p-1 {"order_id":"A-1"')
    assert not any(line.startswith(("Looked at until", "in the journal")) for line in lines)
    assert orjson.loads("\n".join(shown("anna", "-o", "json"))) == ANNA


def test_what_is_not_known_is_said(asked: dict[str, Any]) -> None:
    asked["answer"] = BORIS
    lines = shown("boris")
    assert "It is still being brought up to changed definitions: its segments are those last published." in lines
    assert "in the journal the last 0 of them" in lines
    assert lines[-1] == "Last facts: none."
    unsure = {**ANNA["segments"][0], "next": {"at": "2027-01-01T00:00:00.000Z", "exact": False}}
    asked["answer"] = {**ANNA, "segments": [unsure], "changes": [], "changes_until": "2028-01-01T00:00:00.000Z"}
    lines = shown("anna", "--facts", "0")
    assert any("not before 2027-01-01T00:00:00.000Z" in line for line in lines)
    assert "Next changes, if nothing happens: none." in lines
    assert lines[-1] == "Looked at until 2028-01-01T00:00:00.000Z: there may be more behind it."


def test_an_empty_id_asks_nobody(asked: dict[str, Any]) -> None:
    code, out, errors = command(["contact", ""])
    assert (code, out, asked) == (2, "", {})
    assert "its id is not empty" in errors
