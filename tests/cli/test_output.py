"""Lists as table, JSON and JSON lines."""

from __future__ import annotations

import io
import json

import pytest

from engine.cli.output import Format, emit

ROWS: list[dict[str, object]] = [
    {"contact": "c-1", "since": None, "tags": ["tea", "чай"], "late": True, "count": 3, "more": {"a": 1}},
    {"contact": "[bold]c-2[/bold]", "since": "2026-05-01T10:00:00.000Z", "tags": [], "late": False, "count": 0},
]


def written(output: Format, *columns: str) -> str:
    out = io.StringIO()
    emit(iter(ROWS), columns, output, out=out)
    return out.getvalue()


def test_json_is_one_array_with_every_key() -> None:
    assert json.loads(written("json", "contact")) == ROWS


def test_jsonl_is_a_line_for_each_row() -> None:
    assert [json.loads(line) for line in written("jsonl", "contact").splitlines()] == ROWS


def test_a_table_shows_the_columns_as_text() -> None:
    head, _, first, second = written("table", "contact", "since", "tags", "late", "count", "more").splitlines()
    assert head.split() == ["contact", "since", "tags", "late", "count", "more"]
    assert first.split() == ["c-1", "tea,", "чай", "yes", "3", '{"a":1}']
    assert second.split() == ["[bold]c-2[/bold]", "2026-05-01T10:00:00.000Z", "no", "0"]


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    emit([{"text": "x" * 500}], ("text",), "table", out=out)
    assert "x" * 500 in out.getvalue()


@pytest.mark.parametrize(("output", "text"), [("json", "[]\n"), ("jsonl", "")])
def test_an_empty_list_is_an_empty_array_or_no_line(output: Format, text: str) -> None:
    out = io.StringIO()
    emit([], ("a",), output, out=out)
    assert out.getvalue() == text


def test_a_csv_has_a_header_row_and_is_quoted_by_the_rfc() -> None:
    rows: list[dict[str, object]] = [
        {"a": 'x"y', "b": "1,2", "c": "two\nlines"},
        {"a": None, "b": True, "c": ["д"]},
        {"b": 0.1},
    ]
    out = io.StringIO()
    emit(rows, ("a", "b", "c"), "csv", out=out)
    assert out.getvalue() == 'a,b,c\r\n"x""y","1,2","two\nlines"\r\n,true,"[""д""]"\r\n,0.1,\r\n'
    assert written("csv", "contact", "nothing") == "contact,nothing\r\nc-1,\r\n[bold]c-2[/bold],\r\n"
