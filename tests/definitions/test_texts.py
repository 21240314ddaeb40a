"""Texts that are no definitions, and YAML without its surprises."""

from __future__ import annotations

import pytest

from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.definitions.reading import parse_segments
from tests.definitions.test_mistakes import mistakes

DID = "when: {did: {event: a}}"


@pytest.mark.parametrize(
    ("text", "line", "column", "written", "problem", "hint"),
    [
        ("", 1, 1, "", "the text holds no definition", "start with segment: some-id"),
        ("# only a remark\n", 1, 1, "", "the text holds no definition", ""),
        ("segment: s\nwhen:\n\tdid: {event: a}", 3, 1, "did: {event: a}", "not YAML or JSON: found character '\\t'",
         "indent with spaces, not with tabs"),
        ("segment: s\nwhen: {did: {event: a}", 2, 23, "when: {did: {event: a}", "not YAML or JSON: expected ',' or '}'",
         "close what was opened with { or ["),
        ("segment: s\nname: 'x\n" + DID, 3, 24, DID, "not YAML or JSON: found unexpected end of stream",
         "close the text with the quote that it begins with"),
        ("segment: s\nname: a: b\n", 2, 8, "name: a: b", "not YAML or JSON: mapping values are not allowed here",
         "texts with a colon in quotes"),
        ("segment: s\n  name: x\n", 2, 7, "name: x", "not YAML or JSON: mapping values are not allowed here", ""),
        ('{"segment": "s",\n "when": {"did": {"event": "a",, "within": "P1D"}}}', 2, 32,
         '"when": {"did": {"event": "a",, "within": "P1D"}}}', "not YAML or JSON: ", "part entries with commas"),
        ("segment: s\nname: &a x\ndescription: *a\n" + DID, 3, 14, "*a", "aliases (*name) are not allowed",
         "write the value out"),
        (b"segment: s\nname: \xff", 2, 7, "ff", "the text is not UTF-8 (invalid start byte)", "save it as UTF-8"),
        ("segment: s\nwhen: {did: {event: a}}".encode("utf-16"), 1, 1, "ff", "the text is not UTF-8", ""),
        (b"segment: s\n\x00", 2, 1, "'\\x00'", "not YAML or JSON: the character U+0000 is not allowed", "take it out"),
        (f"segment: s\ndescription: {'x' * 262_144}\n" + DID, 1, 1, "",
         "the definition has 262192 bytes; at most 262144 are allowed", "put long lists of contacts on a list"),
        ("segment: s\nwhen: " + "[" * 5_000 + "]" * 5_000, 2, 135, "[", "nested more than 64 deep", "split it"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_definition(
    text: str | bytes, line: int, column: int, written: str, problem: str, hint: str
) -> None:
    (error,) = mistakes(text).errors
    assert (error.file, error.line, error.column, error.path) == ("tea.yaml", line, column, "")
    assert error.text == written
    assert error.problem.startswith(problem)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "written", "problem"),
    [
        ("segment: s\nname: a\nname: b\n" + DID, "name", 3, 1, "name", "the key 'name' stands here twice"),
        ('{"segment": "s",\n "when": {"did": {"event": "a", "event": "b"}}}', "when.did.event", 2, 33, "event",
         "the key 'event' stands here twice"),
        ("segment: s\nwhen:\n  did:\n    event: a\n    within:", "when.did.within", 5, 5, "", "the value is missing"),
        ("segment: s\nname:\n" + DID, "name", 2, 1, "", "the value is missing"),
        ("segment: s\nwhen:\n  tags:\n    any:\n    - x\n    -\n", "when.tags.any[1]", 5, 5, "",
         "the value is missing"),
        ("segment: s\nwhen: {profile: {x: {gte: null}}}", "when.profile.x.gte", 2, 27, "null", "the value is missing"),
        ("segment: s\nwhen: {tags: {any: [~]}}", "when.tags.any[0]", 2, 21, "~", "the value is missing"),
        ("segment: s\nname: !secret x\n" + DID, "name", 2, 7, "!secret", "the tag !secret is not allowed"),
        ("segment: s\n? [a]\n: b\n" + DID, "", 2, 3, "''", "a key must be a text"),
        ('{"segment": "s", "include": ["\\ud83d"]}', "include[0]", 1, 30, "'\\ud83d'",
         "the text holds what is no character"),
        ('{"segment": "s", "when": {"did": {"event":\n"b_*\\ud800"}}}', "when.did.event", 2, 1, "'b_*\\ud800'",
         "the text holds what is no character"),
        ('{"segment": "s", "when": {"profile": {\n "\\ude00x": 1}}}', "when.profile", 2, 2, "'\\ude00x'",
         "the text holds what is no character"),
        ("segment: s\nwhen: " + "{not: " * 65 + "{did: {event: a}}" + "}" * 65,
         "when.not.not.not.not.not.not.not…", 2, 391, "", "nested more than 64 deep"),
    ],
)  # fmt: skip
def test_what_yaml_allows_and_definitions_do_not(
    text: str, path: str, line: int, column: int, written: str, problem: str
) -> None:
    error = mistakes(text).errors[0]
    assert (error.path, error.line, error.column, error.text) == (path, line, column, written)
    assert error.problem == problem


def test_what_is_wrong_in_form_hides_nothing_else() -> None:
    errors = mistakes("segment: s\nname:\nwhen:\n  did: {event: a, event: b, within: P3}\n").errors
    assert [(error.path, error.line) for error in errors] == [
        ("name", 2),
        ("when.did.event", 4),
        ("when.did.within", 4),
    ]


def test_a_bad_document_hides_none_of_the_others_in_its_file() -> None:
    text = "segment: A\ninclude: [x]\n---\nsegment: b\nwhen: [\n---\nsegment: c\nwhn: {}\ninclude: [x]\n---\n'"
    errors = mistakes(text).errors
    assert [(error.line, error.path) for error in errors] == [(1, "segment"), (5, ""), (8, "whn"), (11, "")]


def test_a_bomb_of_aliases_is_refused_unopened() -> None:
    layers = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 12))
    assert "aliases" in str(mistakes(f"x0: &x0 lol\n{layers}"))


def test_yaml_1_2_has_no_surprises() -> None:
    text = """
segment: no
name: no
description: 2026-05-01
when: {did: {event: on, where: {a: no, b: 2026-05-01, c: 12:30:00, d: true, e: 5, f: 1.5, g: "5", h: 0o10, i: 010}}}
"""
    segment = parse_segment(text)
    assert (segment.segment, segment.name, segment.description) == ("no", "no", "2026-05-01")
    found = {path: test["eq"] for path, test in segment.model_dump()["when"]["did"]["where"].items()}
    assert found == {
        "a": "no", "b": "2026-05-01", "c": "12:30:00", "d": True, "e": 5, "f": 1.5, "g": "5", "h": 8, "i": 10,
    }  # fmt: skip
    assert [type(found[name]) for name in "def"] == [bool, int, float]


def test_a_byte_order_mark_and_json_are_read() -> None:
    assert parse_segment('\ufeff{"segment": "s", "when": {"tags": {"any": "x"}}}').segment == "s"


def test_json_may_write_one_character_as_two_escapes() -> None:
    escaped = parse_segment('{"segment": "s", "name": "\\ud83c\\udf75 tea", "include": ["\\ud83c\\udf75"]}')
    plain = parse_segment('{"segment": "s", "name": "🍵 tea", "include": ["🍵"]}')
    assert canonical(escaped) == canonical(plain)


def test_several_documents_are_several_segments_but_not_where_one_is_asked_for() -> None:
    text = "segment: a\ninclude: [x]\n---\nsegment: b\ninclude: [x]"
    assert [segment.segment for segment in parse_segments(text, "f")] == ["a", "b"]
    with pytest.raises(DefinitionErrors, match="4:1: segment: 2 definitions where one is asked for"):
        parse_segment(text)
