"""`segments pin` and `unpin` without a broker: what the history is told, and files that hold no contacts; what comes of
pins on real workers: tests/integration/test_lists.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.worker import definition_log
from engine.worker.definition_changes import Applied
from engine.worker.definition_record import Key, Record
from tests.driver import command

VIP = Record("default", "vip", 1, definition={"segment": "vip", "when": {"in_list": "vip"}, "include": ["anna", "bo"]})


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notes of the changes that are made."""
    found: list[str] = []

    async def read_records(*_: Any) -> dict[Key, Record]:
        return {VIP.key: VIP}

    async def apply(*_: Any, note: str, **__: Any) -> list[Applied]:
        found.append(note)
        return [Applied("default", "vip", "changed", 2)]

    monkeypatch.setattr(definition_log, "read_records", read_records)
    monkeypatch.setattr(definition_log, "apply", apply)
    return found


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["unpin", "vip", "anna", "bo", "never-pinned"], "2 contacts no longer pinned"),
        (["unpin", "vip", "anna"], "1 contact no longer pinned"),
        (["pin", "vip", "anna", "clara"], "1 contact pinned by hand"),
        (["pin", "vip", "anna", "clara", "--exclude"], "2 contacts excluded by hand"),
        (["unpin", "vip", "anna", "--note", "moved away"], "moved away"),
    ],
)
def test_the_history_is_told_how_many_contacts_and_not_whom(words: list[str], note: str, notes: list[str]) -> None:
    assert command(["segments", *words])[0] == 0
    assert notes == [note]


def test_a_workbook_is_no_text_of_contacts(tmp_path: Path, notes: list[str]) -> None:
    path = tmp_path / "people.xlsx"
    path.write_bytes(b"PK\x03\x04\x14\x00\x06\x00\n")
    code, out, err = command(["segments", "pin", "vip", "--from", str(path)])
    assert (code, out, notes) == (2, "", [])
    assert "--from takes text, one contact a line" in err
