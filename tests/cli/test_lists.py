"""`lists import` without a broker: what is said of a segment that is there already; the rest with real workers:
tests/integration/test_lists.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from engine.cli.lists import left_as_it_is
from engine.worker.definition_record import Record
from tests.driver import command


def looked(when: dict[str, Any] | None, state: Literal["active", "paused"] = "active") -> str:
    definition = {"segment": "looked", "include": ["anna"], "when": when}
    return left_as_it_is(Record("shop", "looked", 3, state, definition=definition), "looked")


@pytest.mark.parametrize(
    "when", [{"did": {"event": "page_view"}}, {"any": [{"in_list": "other"}, {"tags": {"any": ["looked"]}}]}, None]
)
def test_a_rule_that_does_not_ask_for_the_list_is_told(when: dict[str, Any] | None) -> None:
    said = looked(when)
    assert "does not ask for the list looked" in said
    assert "--segment ID" in said
    assert "paused" not in said


@pytest.mark.parametrize(
    "when", [{"in_list": "looked"}, {"all": [{"did": {"event": "click"}}, {"not": {"in_list": "looked"}}]}]
)
def test_a_rule_that_asks_for_the_list_is_as_it_should_be(when: dict[str, Any]) -> None:
    assert looked(when).endswith("is left as it is")


def test_a_paused_segment_is_told_to_take_nobody_in() -> None:
    said = looked({"in_list": "looked"}, "paused")
    assert "nobody enters until segment-engine segments resume shop/looked" in said
    assert "does not ask" not in said


def test_an_empty_tag_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id\nanna\n", encoding="utf-8")
    code, _, err = command(["lists", "import", str(path), "--list", "looked", "--tag", "", "--dry-run"])
    assert code == 2
    assert "--tag" in err
