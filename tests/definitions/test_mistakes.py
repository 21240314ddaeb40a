"""Every kind of mistake in a definition: the error names file, path, line, column, and what is allowed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.definitions import DefinitionErrors, check, load_folder, parse_segment, read_segment
from engine.definitions.reading import parse_segments
from tests.driver import command


def mistakes(text: str | bytes, name: str = "tea.yaml") -> DefinitionErrors:
    """What is said of a text that must be refused, by itself or with itself."""
    with pytest.raises(DefinitionErrors) as caught:
        check(parse_segments(text, name))
    return caught.value


def rule(condition: str) -> str:
    return f"segment: s\nwhen: {{{condition}}}"


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "said"),
    [
        ("segment: s\nwen: {did: {event: a}}", "wen", 2, 1, ["unknown key 'wen'", "'when'", "payload, include"]),
        (
            "segment: s\nwhen:\n  all:\n    - did: {event: a}\n    - did: {event: a, witin: P3D}",
            "when.all[1].did.witin", 5, 23, ["unknown key 'witin'", "'within'", "event, where, within, since"],
        ),
        (
            "segment: s\nwhen:\n  all:\n    - did: {event: a}\n    - did:\n        event: a\n        within: P30",
            "when.all[1].did.within", 7, 9, ["'P30' is not a duration", "P30D, PT2H or P3M", "did you mean P30D?"],
        ),
        (rule("did: {event: a, within: 2h}"), "when.did.within", 2, 24, ["did you mean PT2H?"]),
        (rule("did: {event: a, within: 30}"), "when.did.within", 2, 24, ["30 is not a duration"]),
        (rule("did: {event: a, within: P0D}"), "when.did.within", 2, 24, ["no time at all"]),
        (rule("dit: {event: a}"), "when", 2, 1, ["is not a condition", "'did'", "all, any, none, not, did, aggregate"]),
        (rule("did: {event: a}, tags: {any: [x]}"), "when", 2, 1, ["one key, not 2"]),
        (rule("all: []"), "when.all", 2, 8, ["at least 1"]),
        (rule("did: {event: '*'}"), "when.did.event", 2, 14, ["'*' is not an event type", "message_*"]),
        (rule("did: {event: 'a*b'}"), "when.did.event", 2, 14, ["not an event type"]),
        (rule("did: {event: []}"), "when.did.event", 2, 14, ["at least 1"]),
        (rule("did: {within: P1D}"), "when.did.event", 2, 8, ["'event' is missing"]),
        (rule("did: {event: a, count: -1}"), "when.did.count", 2, 24, ["-1 is not a count", "0 to 10000"]),
        (rule("did: {event: a, count: {gte: 1.5}}"), "when.did.count", 2, 24, ["1.5 is not a count"]),
        (rule("did: {event: a, count: {contains: x}}"), "when.did.count", 2, 24, ["eq ne in not_in gt gte"]),
        (rule("did: {event: a, since: 01.05.2026}"), "when.did.since", 2, 24, ["not an instant", "2026-05-01T10:"]),
        (
            rule("did: {event: a, where: {x: {gte_: 5}}}"),
            "when.did.where.x.gte_", 2, 36, ["unknown key 'gte_'", "'gte'", "contains, icontains"],
        ),
        (rule("did: {event: a, where: {x: [1, 2]}}"), "when.did.where.x", 2, 32, ["in: [...]"]),
        (rule("did: {event: a, where: {x: null}}"), "when.did.where.x", 2, 35, ["exists: false"]),
        (rule("did: {event: a, where: {x: {}}}"), "when.did.where.x", 2, 32, ["empty", "not_in"]),
        (rule("did: {event: a, where: {x: {matches: '('}}}"), "when.did.where.x", 2, 32, ["not a regular expression"]),
        (rule("did: {event: a, where: {x..y: 1}}"), "when.did.where.x..y", 2, 32, ["not a path", "items.category"]),
        (rule("aggregate: {fn: total, of: a, event: b, is: 1}"), "when.aggregate.fn", 2, 20, ["'sum', 'avg'"]),
        (rule("known: {}"), "when.known", 2, 8, ["known: {within: P7D} or known: {for: P7D}"]),
        (rule("known: {within: P1D, for: P1D}"), "when.known", 2, 8, ["needs one of two"]),
        (rule("tags: {}"), "when.tags", 2, 8, ["names no tag"]),
        (rule("streak: {of: a, without: b, at_least: 0}"), "when.streak.at_least", 2, 36, ["or equal to 1"]),
        (rule("missed: {after: a, expect: b}"), "when.missed.within", 2, 8, ["'within' is missing"]),
        ("segment: Tea Again\nwhen: {did: {event: a}}", "segment", 1, 1, ["lower-case letters", "tea-again"]),
        ("segment: 5\nwhen: {did: {event: a}}", "segment", 1, 1, ["5 is not a segment id"]),
        ("segment: s\nworkspace: a/b\nwhen: {did: {event: a}}", "workspace", 2, 1, ["letters, digits"]),
        ("segment: s\ntimezone: Mars\nwhen: {did: {event: a}}", "timezone", 2, 1, ["Europe/Moscow"]),
        ("segment: s\nmailable: yes\nwhen: {did: {event: a}}", "mailable", 2, 1, ["true, false or {channel"]),
        ("segment: s\ngroup: {name: g, priority: high}\nwhen: {did: {event: a}}", "group.priority", 2, 18, ["'high'"]),
        ("segment: s\ninclude: [79001234567]", "include[0]", 2, 11, ["in quotes if it is a number"]),
        (f"segment: s\ninclude: [{'x' * 257}]", "include[0]", 2, 11, ["1 to 256 bytes"]),
        ("segment: s\npayload: [last.purchase]\nwhen: {did: {event: a}}", "", 1, 1, ["last.<event type>.<property>"]),
        ("segment: s", "", 1, 1, ["neither a rule nor pinned members", "include: [contact"]),
        ("when: {did: {event: a}}", "segment", 1, 1, ["'segment' is missing"]),
        ("- a\n- b", "", 1, 1, ["['a', 'b']"]),
        ("segment: s\nname: a\nname: b\nwhen: {did: {event: a}}", "name", 3, 1, ["'name' stands here twice"]),
        ('{"segment": "s",\n "when": {"did": {"event": "a", "event": "b"}}}', "when.did.event", 2, 33, ["twice"]),
        ("segment: s\nwhen:\n\tdid: {event: a}", "", 3, 1, ["not YAML or JSON"]),
        ("segment: s\nwhen: {did: {event: a}", "", 2, 23, ["not YAML or JSON"]),
        ("segment: s\r\nwhen:\r\n  did: {event: a, withn: P1D}\r\n", "when.did.withn", 3, 19, ["'within'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(
    text: str, path: str, line: int, column: int, said: list[str]
) -> None:
    errors = mistakes(text)
    first = errors.errors[0]
    assert (first.path, first.line, first.column, first.file) == (path, line, column, "tea.yaml")
    assert str(errors).startswith(f"tea.yaml:{line}:{column}: ")
    for words in said:
        assert words in str(errors)


@pytest.mark.parametrize("later", ["first: true", "within: [P2D, P7D]", "of_last: 20"])
def test_what_is_not_kept_yet_is_refused_and_not_half_done(later: str) -> None:
    assert mistakes(rule(f"did: {{event: a, {later}}}")).errors[0].path.startswith("when.did.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no definition"),
        ("# only a remark\n", "holds no definition"),
        ("segment: s\nname: &a x\ndescription: *a\nwhen: {did: {event: a}}", "aliases (*name) are not allowed"),
        (b"segment: \xff", "not UTF-8"),
        ("segment: s\nwhen: {did: {event: a}}".encode("utf-16"), "not UTF-8"),
        (b"segment: s\x00", "not YAML or JSON"),
        (f"segment: s\ndescription: {'x' * 262_144}\nwhen: {{did: {{event: a}}}}", "at most 262144 are allowed"),
        ("segment: s\nwhen: " + "{not: " * 100 + "{did: {event: a}}" + "}" * 100, "nested more than 64 deep"),
        ("segment: s\nwhen: " + "[" * 200 + "]" * 200, "nested more than 64 deep"),
        ("segment: s\nname: !!python/object/apply:os.system [ls]\nwhen: {did: {event: a}}", "valid string"),
    ],
)
def test_a_text_that_is_no_definition(text: str | bytes, said: str) -> None:
    errors = mistakes(text)
    assert said in str(errors)
    assert str(errors).startswith("tea.yaml")


def test_a_bomb_of_aliases_is_refused_unopened() -> None:
    layers = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 12))
    assert "aliases" in str(mistakes(f"x0: &x0 lol\n{layers}"))


def test_all_mistakes_of_all_documents_are_told_at_once() -> None:
    errors = mistakes("segment: A\nwen: {}\n---\nsegment: b\nwhen: {did: {event: a, within: P3}}\n---\nsegment: c")
    found = [(error.path, error.line) for error in errors.errors]
    assert found == [("segment", 1), ("wen", 2), ("when.did.within", 5), ("", 7)]


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
        "a": "no",
        "b": "2026-05-01",
        "c": "12:30:00",
        "d": True,
        "e": 5,
        "f": 1.5,
        "g": "5",
        "h": 8,
        "i": 10,
    }
    assert [type(found[name]) for name in "def"] == [bool, int, float]


def test_a_byte_order_mark_and_json_are_read() -> None:
    assert parse_segment('\ufeff{"segment": "s", "when": {"tags": {"any": "x"}}}').segment == "s"


def test_several_documents_are_several_segments_but_not_where_one_is_asked_for() -> None:
    text = "segment: a\ninclude: [x]\n---\nsegment: b\ninclude: [x]"
    assert [segment.segment for segment in parse_segments(text, "f")] == ["a", "b"]
    with pytest.raises(DefinitionErrors, match="2 definitions where one is asked for"):
        parse_segment(text)


NESTED = "segment: {}\nwhen: {{in_segment: {}}}"
GROUPED = "\n---\nsegment: {}\ngroup: {{name: g, priority: {}}}\n{}"


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (NESTED.format("a", "nobody"), "a: when", ["unknown segment 'nobody'", "Known here: a"]),
        (NESTED.format("a", "a"), "a: when", ["cycle: a → a"]),
        (NESTED.format("a", "b") + "\n---\n" + NESTED.format("b", "a"), "a: when", ["cycle", "a → b → a"]),
        (
            "segment: a\nwhen: {not: {any: [{in_segment: c}]}}\n---\n" + NESTED.format("b", "a") + "\n---\n"
            "segment: c\nwhen: {all: [{tags: {any: x}}, {none: [{in_segment: b}]}]}",
            "a: when", ["a → c → b → a"],
        ),
        (  # a is in the group of b, whose answer c needs, and a needs c's
            GROUPED.format("a", 1, "when: {in_segment: c}")
            + GROUPED.format("b", 2, "when: {tags: {any: x}}")
            + "\n---\n" + NESTED.format("c", "b"),
            "a: when", ["cycle", "c"],
        ),
        (  # a member of a group can't ask for another of the same
            GROUPED.format("a", 1, "when: {in_segment: b}") + GROUPED.format("b", 2, "when: {tags: {any: x}}"),
            "a: when", ["cycle", "a → b"],
        ),
        ("segment: a\ninclude: [x]\n---\nsegment: a\ninclude: [y]", "a: segment", ["used twice", "rename"]),
        ("segment: a\ninclude: [x, y]\nexclude: [y]", "a: include", ["'y' is both included and excluded"]),
        (
            GROUPED.format("a", 1, "include: [x]") + GROUPED.format("b", 1, "include: [x]"),
            "b: group.priority", ["already has a segment of priority 1: a"],
        ),
        (
            "segment: a\nwhen: {all: [{did: {event: x, within: P401D}}]}",
            "a: when.all[0].did.within", ["P401D", "longer than the journal", "P400D", "JOURNAL_RETENTION"],
        ),
        ("segment: a\nwhen: {did: {event: x, within: P14M}}", "a: when.did.within", ["P1Y2M"]),
    ],
)  # fmt: skip
def test_what_cannot_run_together(text: str, path: str, said: list[str]) -> None:
    errors = mistakes(text)
    assert errors.errors[0].path == path
    for words in said:
        assert words in str(errors)


def test_what_may_run_together() -> None:
    check(parse_segments("segment: a\nwhen: {did: {event: x, within: P400D}}", "f"))
    check(parse_segments(NESTED.format("a", "b") + "\n---\nsegment: b\ninclude: [x]", "f"))
    # The same id, group and priority in another workspace are no clash; but a segment there is unknown here.
    one = "segment: a\nworkspace: one\ngroup: {name: g, priority: 1}\ninclude: [x]"
    check(parse_segments(f"{one}\n---\n{one.replace('one', 'two')}", "f"))
    assert "unknown segment 'a'" in str(mistakes(f"{one}\n---\n{NESTED.format('b', 'a')}"))


def test_a_folder_tells_the_file_of_each_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("segment: a\nwhen: {did: {event: x, within: P3}}")
    (tmp_path / "b.json").write_text('{"segment": "b", "wen": 1, "include": ["x"]}')
    (tmp_path / "notes.txt").write_text("not a definition")
    with pytest.raises(DefinitionErrors) as caught:
        load_folder(tmp_path)
    assert [error.file for error in caught.value.errors] == [str(tmp_path / "a.yaml"), str(tmp_path / "b.json")]
    with pytest.raises(FileNotFoundError, match="is not there"):
        load_folder(tmp_path / "none")


def test_the_command_tells_it_in_one_paragraph(tmp_path: Path) -> None:
    (tmp_path / "tea.yaml").write_text(rule("did: {event: a, within: P30}"))
    code, out, errors = command(["segments", "check", str(tmp_path)])
    assert (code, out) == (2, "")
    assert f"{tmp_path}/tea.yaml:2:24: when.did.within: 'P30' is not a duration" in errors


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (rule("profile: {x: {gte: null}}"), "when.profile.x.gte", "the value is missing"),
        (rule("did: {event: a, within: null}"), "when.did.within", "the value is missing"),
        ("segment: s\nwhen:\n  did:\n    event: a\n    within:", "when.did.within", "the value is missing"),
        ("segment: s\nname: !secret x\nwhen: {did: {event: a}}", "name", "the tag !secret is not allowed"),
        (rule("profile: {x: {lt: 1e400}}"), "when.profile.x.lt", "is not a text, a number, true or false"),
        (rule("profile: {'[\"a.b]': 1}"), 'when.profile["a.b]', "is not a path"),
        (
            "segment: s\ntimezone: Europe/Moscow\nwhen: {did: {event: a, since: 1970-01-01}}",
            "",
            "in Europe/Moscow it is out of bounds",
        ),
        (
            "segment: s\ntimezone: America/New_York\nwhen: {did: {event: a, until: '9999-12-31T23:59:59'}}",
            "",
            "in America/New_York it is out of bounds",
        ),
    ],
)
def test_what_cannot_be_run_exactly_is_refused(text: str, path: str, said: str) -> None:
    errors = mistakes(text)
    assert errors.errors[0].path == path
    assert said in str(errors)


def test_many_brackets_are_refused_at_once() -> None:
    errors = mistakes("segment: s\nwhen: " + "[" * 5_000 + "]" * 5_000)
    assert "nested more than 64 deep" in str(errors)


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"profile": {"x": {"gte": None}}}, "when.profile.x.gte"),
        ({"did": {"event": "a", "within": None}}, "when.did.within"),
    ],
)
def test_null_is_no_value_in_plain_json_either(condition: dict[str, Any], path: str) -> None:
    # As it comes in a line of `replay --definitions`, or over HTTP.
    with pytest.raises(DefinitionErrors) as caught:
        read_segment({"segment": "s", "when": condition})
    assert caught.value.errors[0].path == path
