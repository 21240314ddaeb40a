"""What a change of definitions does to those there are: versions, states, refusals with a way on. No broker."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definitions import Definition, DefinitionErrors, canonical_form, read_definition
from engine.worker.definition_changes import AUTHOR_MAX, NOTE_MAX, Change, Made, make
from engine.worker.definition_record import DefinitionLogError, DefinitionsMoved, Key, Record
from engine.worker.settings import Settings

AT = "2026-05-01T10:00:00.000Z"
CUTS = {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [2, 3, 4, 5], "monetary": [1, 2, 3, 4]}


def bought(name: str, within: str = "P30D", **more: Any) -> Definition:
    return read_definition({"segment": name, "when": {"did": {"event": "purchase", "within": within}}, **more})


def nests(name: str, other: str, **more: Any) -> Definition:
    return read_definition({"segment": name, "when": {"in_segment": other}, **more})


def model(name: str = "shop") -> Definition:
    return read_definition({"model": name, "event": "purchase", "amount": "amount", "cuts": CUTS})


def scored(name: str, by: str = "shop") -> Definition:
    return read_definition({"segment": name, "when": {"rfm": {"model": by, "frequency": 5}}})


class Log:
    """The records as the topic would hold them."""

    def __init__(self, *definitions: Definition, **settings: Any) -> None:
        self.known: dict[Key, Record] = {}
        self.settings = Settings(**settings)
        if definitions:
            self.make(apply=definitions)

    def make(self, **asked: Any) -> Made:
        made = make(self.known, Change(author="anna", note="why", **asked), AT, self.settings)
        self.known |= {record.key: record for record in made.records}
        return made

    def did(self, **asked: Any) -> list[tuple[str, str, int, str]]:
        return [(each.segment, each.result, each.version, each.state) for each in self.make(**asked).applied]

    def refused(self, **asked: Any) -> str:
        before = dict(self.known)
        with pytest.raises((DefinitionLogError, DefinitionErrors)) as told:
            self.make(**asked)
        assert self.known == before
        return str(told.value)


def key(name: str, workspace: str = "default") -> Key:
    return workspace, name


def test_the_life_of_a_definition_counts_one_version_a_change() -> None:
    log = Log()
    assert log.did(apply=[bought("a")]) == [("a", "created", 1, "active")]
    assert log.did(apply=[bought("a", "P60D")]) == [("a", "changed", 2, "active")]
    assert log.did(pause=[key("a")]) == [("a", "paused", 3, "paused")]
    assert log.did(apply=[bought("a", "P90D")]) == [("a", "changed", 4, "paused")]
    assert log.did(resume=[key("a")]) == [("a", "resumed", 5, "active")]
    assert log.did(delete=[key("a")]) == [("a", "deleted", 6, "deleted")]
    assert log.known[key("a")] == Record("default", "a", 6, "deleted", "anna", AT, "why", None)
    assert log.did(apply=[bought("a", "P90D")]) == [("a", "created", 7, "active")]
    assert log.known[key("a")].definition == canonical_form(bought("a", "P90D"))


def test_a_pause_keeps_the_text_that_is_in_force() -> None:
    log = Log(bought("a", "P60D"))
    log.make(pause=[key("a")])
    assert log.known[key("a")].definition == canonical_form(bought("a", "P60D"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"within": "P7D"}, {"within": "PT168H"}),
        ({"within": "P7D"}, {"within": "P1W", "count": {"gte": 1}}),
        ({"event": "purchase"}, {"event": ["purchase"]}),
        ({"where": {"a": 1, "b": 2}}, {"where": {"b": {"eq": 2}, "a": {"eq": 1}}}),
    ],
)
def test_another_text_of_the_same_meaning_is_no_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    first = read_definition({"segment": "a", "when": {"did": {"event": "purchase", **before}}})
    again = read_definition({"when": {"did": {**after, "event": after.get("event", "purchase")}}, "segment": "a"})
    log = Log(first)
    made = log.make(apply=[again])
    assert [(each.result, each.version) for each in made.applied] == [("unchanged", 1)]
    assert made.records == []


def test_defaults_and_the_order_of_pins_are_no_change() -> None:
    log = Log(bought("a", include=["c-2", "c-1", "c-2"]))
    same = bought("a", include=["c-1", "c-2"], timezone="UTC", mailable=True, description="", payload=[])
    assert log.did(apply=[same]) == [("a", "unchanged", 1, "active")]
    assert log.did(apply=[bought("a", include=["c-1"])]) == [("a", "changed", 2, "active")]


def test_a_record_of_an_older_engine_that_lacks_a_default_means_the_same() -> None:
    log = Log(bought("a"))
    written = dict(log.known[key("a")].definition or {})
    del written["hidden_from"]
    log.known[key("a")].definition = written
    assert log.did(apply=[bought("a")]) == [("a", "unchanged", 1, "active")]


def test_pausing_what_is_paused_and_resuming_what_runs_write_nothing() -> None:
    log = Log(bought("a"), bought("b"))
    log.make(pause=[key("a")])
    assert log.did(pause=[key("a"), key("b"), key("b")]) == [
        ("a", "unchanged", 2, "paused"),
        ("b", "paused", 2, "paused"),
    ]
    log.make(resume=[key("a")])
    assert log.make(resume=[key("a")]).records == []


def test_what_is_used_is_not_deleted_unless_its_users_go_too() -> None:
    log = Log(bought("a"), nests("b", "a"), nests("c", "a"), model(), scored("d"))
    told = log.refused(delete=[key("a"), key("b")])
    assert "a is used by c (in_segment)" in told
    assert "delete them in the same command" in told
    assert "model:shop is used by d (rfm)" in log.refused(delete=[key("model:shop")])
    assert [each[1] for each in log.did(delete=[key("a"), key("c"), key("b")])] == ["deleted"] * 3
    assert log.did(delete=[key("model:shop"), key("d")])[0] == ("model:shop", "deleted", 2, "deleted")


def test_a_paused_user_holds_what_it_uses() -> None:
    log = Log(bought("a"), nests("b", "a"))
    log.make(pause=[key("b")])
    assert "a is used by b" in log.refused(delete=[key("a")])


def test_a_user_changed_in_the_same_change_lets_go() -> None:
    log = Log(bought("a"), nests("b", "a"))
    done = log.did(apply=[bought("b")], delete=[key("a")])
    assert done == [("b", "changed", 2, "active"), ("a", "deleted", 2, "deleted")]


def test_a_namesake_in_another_workspace_is_no_user() -> None:
    log = Log(bought("a"), bought("a", workspace="spot"), nests("b", "a", workspace="spot"))
    assert log.did(delete=[key("a")]) == [("a", "deleted", 2, "deleted")]
    assert "spot/a is used by spot/b" in log.refused(delete=[key("a", "spot")])


def test_unknown_and_deleted_ids_are_told_all_at_once_with_a_way_on() -> None:
    log = Log(bought("buyers"), bought("lapsed"))
    log.make(delete=[key("lapsed")])
    told = log.refused(pause=[key("byers"), key("lapsed"), key("buyers")])
    assert "Did you mean buyers?" in told
    assert f"lapsed is deleted at version 2 since {AT} by anna (why)" in told
    assert "segment-engine segments restore lapsed 1" in told
    assert "lapsed was deleted." in log.refused(resume=[key("lapsd")])
    assert "deleted" not in log.refused(resume=[key("byers")])
    assert "no model 'model:shop'" in log.refused(delete=[key("model:shop")])


def test_a_model_is_not_paused() -> None:
    log = Log(model(), scored("d"), model("idle"))
    told = log.refused(pause=[key("model:shop")])
    assert "has no members" in told
    assert "Pause the segments that score by it: d" in told
    assert "No segment scores by it" in log.refused(resume=[key("model:idle")])


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({("default", "a"): 1}, "a was expected at version 1 and is active at version 2"),
        ({("default", "a"): None}, "a was expected not to be in force and is active at version 2"),
        ({("default", "gone"): 1}, "gone was expected at version 1 and is deleted at version 2"),
        ({("default", "x"): 3}, "x was expected at version 3 and is not there"),
        ({("default", "b"): 1, ("default", "a"): 9}, "a was expected at version 9"),
    ],
)
def test_a_change_on_other_versions_than_expected_is_refused(expected: dict[Key, int | None], told: str) -> None:
    log = Log(bought("a"), bought("b"), bought("gone"))
    log.make(apply=[bought("a", "P60D")], delete=[key("gone")])
    said = log.refused(apply=[bought("b", "P60D")], expected=expected)
    assert told in said
    assert "Nothing was changed" in said
    assert "segment-engine segments" in said


def test_expected_versions_that_are_there_let_the_change_pass() -> None:
    log = Log(bought("a"), bought("gone"))
    log.make(delete=[key("gone")])
    expected = {key("a"): 1, key("gone"): None, key("never"): None}
    assert log.did(apply=[bought("gone")], expected=expected) == [("gone", "created", 3, "active")]
    with pytest.raises(DefinitionsMoved) as moved:
        log.make(pause=[key("a")], expected=expected)
    assert set(moved.value.found) == {key("gone")}


def test_what_is_paused_counts_when_definitions_are_checked_together() -> None:
    log = Log(bought("a", group={"name": "g", "priority": 1}), nests("b", "a"))
    log.make(pause=[key("a"), key("b")])
    assert "cycle" in log.refused(apply=[nests("a", "b")])
    assert "already has a segment of priority 1" in log.refused(apply=[bought("c", group={"name": "g", "priority": 1})])


def test_the_bound_of_definitions_stops_growth_and_nothing_else() -> None:
    log = Log(bought("a"), bought("b"), bought("c"))
    log.settings = Settings(definitions_max=2)
    log.make(pause=[key("a")])
    log.make(apply=[bought("b", "P60D")])
    assert "DEFINITIONS_MAX allows 2" in log.refused(apply=[bought("d")])
    log.make(apply=[bought("d")], delete=[key("a")])
    log.make(delete=[key("b")])
    assert "DEFINITIONS_MAX allows 2" in log.refused(apply=[bought("e")])
    log.make(delete=[key("c")])
    assert log.did(apply=[bought("e")]) == [("e", "created", 1, "active")]


def test_the_bound_of_topics_counts_those_in_force() -> None:
    log = Log(bought("a"), bought("b", topic=False), segment_topics_max=1)
    told = log.refused(apply=[bought("b")])
    assert "2 segments would have a topic of their own" in told
    assert "topic: false" in told
    assert [each.segment for each in log.make(apply=[bought("c")], delete=[key("a")]).new_topics] == ["c"]
    log.settings = Settings(segment_topics_max=1, segment_topics=False)
    log.make(apply=[bought("b")])
    log.settings = Settings(segment_topics_max=1)
    assert log.did(apply=[bought("b", "P60D")]) == [("b", "changed", 3, "active")]  # no more topics than before


def test_what_cannot_be_understood_may_be_deleted_and_is_told_of() -> None:
    log = Log(bought("a"), bought("b"))
    log.known[key("a")].definition = {"segment": "a", "when": {"of_tomorrow": {}}}
    told = log.refused(apply=[bought("c")])
    assert "a, in force at version 1, is not a definition that this version understands" in told
    assert log.did(delete=[key("a")]) == [("a", "deleted", 2, "deleted")]
    assert log.did(apply=[bought("c")]) == [("c", "created", 1, "active")]
    log.known[key("b")].definition = {"segment": "b", "when": {"of_tomorrow": {}}}
    assert log.did(apply=[bought("b")]) == [("b", "changed", 2, "active")]


def test_one_thing_at_a_time() -> None:
    log = Log(bought("a"))
    assert "a is named for two things at once" in log.refused(pause=[key("a")], delete=[key("a")])
    assert "a is named for two things at once" in log.refused(apply=[bought("a"), bought("a", "P60D")])


def test_a_note_and_an_author_are_bounded() -> None:
    definitions = [bought("a")]
    with pytest.raises(DefinitionLogError, match="The note has 2001 characters"):
        make({}, Change(apply=definitions, note="x" * (NOTE_MAX + 1)), AT, Settings())
    with pytest.raises(DefinitionLogError, match="The author has 201 characters"):
        make({}, Change(apply=definitions, author="x" * (AUTHOR_MAX + 1)), AT, Settings())
