"""`segments counts`: what the table leaves out, and what is refused before a worker is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.cli import counts
from tests.driver import command


def row(hour: int, entered: int, left: int, members: int) -> dict[str, Any]:
    return {"period": f"2026-05-01T{hour:02}:00:00.000Z", "entered": entered, "left": left, "members": members}


ROWS = [row(0, 0, 0, 0), row(1, 0, 0, 0), row(2, 1, 1, 0), row(3, 0, 0, 0), row(4, 2, 0, 2)]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the worker answers."""
    found = [*ROWS]
    monkeypatch.setattr(counts, "ask", lambda *_, **__: {"rows": found, "kept_from": "2026-04-01T00:00:00.000Z"})
    return found


def table(*words: str) -> list[str]:
    """The hours that the table tells."""
    code, out, err = command(["segments", "counts", "tea", "--url", "http://w0", *words])
    assert (code, err) == (0, "")
    return [line[11:13] for line in out.splitlines() if line.startswith("2026")]


def test_the_table_begins_where_something_happened(rows: list[dict[str, Any]]) -> None:
    assert table() == ["02", "03", "04"]
    assert table("--from", "2026-05-01") == ["00", "01", "02", "03", "04"]
    del rows[2:]
    assert table() == ["01"]  # nobody is in now: that is told
    rows[0] = row(0, 0, 0, 7)
    assert table() == ["00", "01"]


@pytest.mark.usefixtures("rows")
def test_forms_for_programs_have_every_period() -> None:
    _, out, _ = command(["segments", "counts", "tea", "--url", "http://w0", "-o", "json"])
    assert json.loads(out) == ROWS
    _, out, _ = command(["segments", "counts", "tea", "--url", "http://w0", "-o", "csv"])
    assert len(out.splitlines()) == 1 + len(ROWS)


@pytest.mark.usefixtures("rows")
def test_an_end_before_the_beginning_is_refused_by_the_names_of_the_options() -> None:
    words = ["segments", "counts", "tea", "--url", "http://w0", "--from", "2026-05-02", "--to", "2026-05-01"]
    code, _, err = command(words)
    assert code == 2
    assert "--to 2026-05-01 is not after --from 2026-05-02" in err
