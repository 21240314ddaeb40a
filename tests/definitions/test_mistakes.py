"""Every kind of mistake in one definition: path, line, column, what was written, what is wrong, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.conditions.registry import NAMES
from engine.definitions import DefinitionErrors, read_definition
from engine.definitions.reading import parse_definitions

BEFORE = "when: {"


def mistakes(text: str | bytes, name: str = "tea.yaml") -> DefinitionErrors:
    """What is said of a text that must be refused."""
    with pytest.raises(DefinitionErrors) as caught:
        parse_definitions(text, name)
    return caught.value


def rule(condition: str) -> str:
    return f"segment: s\n{BEFORE}{condition}}}"


def _table() -> Iterator[tuple[str, int, list[str]]]:
    """Condition, column in it, and what is said of it: path, text, problem, hint."""
    for block in Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            condition, said = lines
            yield condition, said.index("^") + 1, [part.strip() for part in said.replace("^", " ", 1).split(" | ")]


CONDITIONS = list(_table())


@pytest.mark.parametrize(("condition", "column", "said"), CONDITIONS)
def test_a_mistake_in_a_condition(condition: str, column: int, said: list[str]) -> None:
    path, text, problem, hint = said
    errors = mistakes(rule(condition))
    first = errors.errors[0]
    assert (first.path, first.line, first.column) == (f"when.{path}", 2, len(BEFORE) + column)
    assert (first.text, first.problem) == (text, problem)
    assert hint in first.hint
    assert len(errors.errors) == 1
    assert str(errors).startswith(f"tea.yaml:2:{len(BEFORE) + column}: when.{path}: {problem}")


@pytest.mark.parametrize("kind", NAMES)
def test_the_table_has_a_row_of_each_kind_of_condition(kind: str) -> None:
    assert any(condition.startswith(f"{kind}:") for condition, *_ in CONDITIONS)


DID = "when: {did: {event: a}}"
CUTS = "{recency: [P1D, P2D, P3D, P4D], frequency: [1, 2, 3, 4], monetary: [1, 2, 3, 4]}"
MODEL = "model: m\nevent: purchase\namount: amount\n"


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "written", "problem", "hint"),
    [
        ("segment: s\nwen: {did: {event: a}}", "wen", 2, 1, "wen", "unknown key 'wen'", "Did you mean 'when'?"),
        ("segment: s\nzzz: 1\n" + DID, "zzz", 2, 1, "zzz", "unknown key 'zzz'", "Allowed here: segment, name,"),
        (
            "segment: s\nwhen:\n  all:\n    - did: {event: a}\n    - did: {event: a, witin: P3D}",
            "when.all[1].did.witin", 5, 23, "witin", "unknown key 'witin'", "Did you mean 'within'?",
        ),
        (
            "segment: s\nwhen:\n  all:\n    - did: {event: a}\n    - did:\n        event: a\n        within: P30",
            "when.all[1].did.within", 7, 17, "P30", "'P30' is not a duration", "did you mean P30D?",
        ),
        (
            "segment: s\nwhen:\n  did:\n    within:\n      P30\n    event: a",
            "when.did.within", 5, 7, "P30", "'P30' is not a duration", "did you mean P30D?",
        ),
        ("segment: s\nwhen:\n  did:\n    within: P1D", "when.did.event", 3, 3, '{"within": "P1D"}',
         "'event' is missing", "add it; allowed here: event, where"),
        ("segment: s\r\nwhen:\r\n  did: {event: a, withn: P1D}\r\n", "when.did.withn", 3, 19, "withn",
         "unknown key 'withn'", "'within'"),
        ("segment: s\nwhen: did", "when", 2, 7, "did", "'did' is not a condition", "Did you mean did: …?"),
        ("segment: s\nwhen: {}", "when", 2, 7, "{}", "a condition has one key, and here is none", "A condition is one"),
        (rule("did: {event: a}, tags: {any: [x]}"), "when", 2, 7, '{"did": {"event": "a"}, "tags": {"any": ["x"]}}',
         "a condition has one key, not 2: did, tags", "put several under all: [...] or any: [...]"),
        ("segment: Tea Again\n" + DID, "segment", 1, 10, "Tea Again", "'Tea Again' is not a segment id", "tea-again"),
        ("segment: 5\n" + DID, "segment", 1, 10, "5", "5 is not a segment id", "such as '5'"),
        ("segment: s\nname: 5\n" + DID, "name", 2, 7, "5", "5 is not a text", 'put it in quotes: "5"'),
        (f"segment: s\nname: {'x' * 201}\n" + DID, "name", 2, 7, "x" * 79 + "…", "the text has 201 characters", "200"),
        ("segment: s\nworkspace: a/b\n" + DID, "workspace", 2, 12, "a/b", "'a/b' is not a workspace", "letters"),
        ("segment: s\ntimezone: moskow\n" + DID, "timezone", 2, 11, "moskow", "'moskow' is not a time zone",
         "(did you mean Europe/Moscow?)"),
        ("segment: s\ntimezone: UTC+3\n" + DID, "timezone", 2, 11, "UTC+3", "'UTC+3' is not a time zone",
         "(did you mean Etc/GMT-3?)"),
        ("segment: s\ntimezone: Mars\n" + DID, "timezone", 2, 11, "Mars", "'Mars' is not a time zone", "Europe/Moscow"),
        ("segment: s\ntopic: yes\n" + DID, "topic", 2, 8, "yes", "'yes' is not true or false", "write true"),
        ("segment: s\nmailable: yes\n" + DID, "mailable", 2, 11, "yes", "'yes' does not say who may be mailed",
         "(did you mean true?)"),
        ("segment: s\nmailable: {chanel: email}\n" + DID, "mailable.chanel", 2, 12, "chanel", "unknown key 'chanel'",
         "Did you mean 'channel'? Allowed here: channel, consent"),
        ("segment: s\nmailable: {channel: email, consent: requierd}\n" + DID, "mailable.consent", 2, 37, "requierd",
         "'requierd' is not allowed here", "Did you mean 'required'?"),
        ("segment: s\ngroup: g\n" + DID, "group", 2, 8, "g", "'g' is not an object", "allowed are name, priority"),
        ("segment: s\ngroup: {name: g, priority: high}\n" + DID, "group.priority", 2, 28, "high",
         "'high' is not a whole number", ""),
        ("segment: s\ngroup: {name: g}\n" + DID, "group.priority", 2, 1, '{"name": "g"}', "'priority' is missing", ""),
        ("segment: s\nhidden_from: agent-7\n" + DID, "hidden_from", 2, 14, "agent-7", "'agent-7' is not a list",
         "write [agent-7]"),
        ("segment: s\ninclude: [79001234567]", "include[0]", 2, 11, "79001234567", "79001234567 is not a contact id",
         "in quotes if it is a number"),
        ("segment: s\npayload: [name, last.purchase]\n" + DID, "payload[1]", 2, 17, "last.purchase",
         "'last.purchase' names no property", "write last.<event type>.<property>"),
        ("segment: s\npayload: ['a.[\"b.c\"]']\n" + DID, "payload[0]", 2, 11, 'a.["b.c"]',
         "'a.[\"b.c\"]' is not a path (no dot or bracket at character 2)", '(did you mean a["b.c"]?)'),
        ("segment: s", "", 1, 1, '{"segment": "s"}', "the segment has neither a rule nor pinned members", "add when:"),
        (DID, "segment", 1, 1, '{"when": {"did": {"event": "a"}}}', "'segment' is missing", "add it"),
        (DID + "\nsegmnt: s", "segmnt", 2, 1, "segmnt", "unknown key 'segmnt'", "Did you mean 'segment'?"),
        ("- a\n- b", "", 1, 1, '["a", "b"]', '["a", "b"] is not an object', "allowed are segment, name"),
        ("segment: s\ntimezone: Europe/Moscow\nwhen: {any: [{did: {event: a, since: 1970-01-01}}]}",
         "when.any[0].did.since", 3, 38, "1970-01-01", "'1970-01-01' is outside 1970 to 9999",
         "in Europe/Moscow it is out of bounds"),
        ("segment: s\ntimezone: America/New_York\nwhen: {did: {event: a, until: '9999-12-31T23:59:59'}}",
         "when.did.until", 3, 31, "9999-12-31T23:59:59", "'9999-12-31T23:59:59' is outside 1970 to 9999",
         "in America/New_York it is out of bounds"),
        ("model: M\n" + f"event: a\namount: b\ncuts: {CUTS}", "model", 1, 8, "M", "'M' is not a model id", "such as m"),
        (f"modle: m\nevent: a\namount: b\ncuts: {CUTS}", "modle", 1, 1, "modle", "unknown key 'modle'",
         "Did you mean 'model'?"),
        (MODEL, "cuts", 1, 1, '{"model": "m", "event": "purchase", "amount": "amount"}', "'cuts' is missing", ""),
        (MODEL + "cuts: " + CUTS.replace("P3D", "3"), "cuts.recency[2]", 4, 28, "3", "3 is not a duration",
         "(did you mean P3D?)"),
        (MODEL + "cuts: " + CUTS.replace(", P4D", ""), "cuts.recency", 4, 17, '["P1D", "P2D", "P3D"]',
         "3 entries here is too few", "write at least 4"),
        (MODEL + "monetary: averge\ncuts: " + CUTS, "monetary", 4, 11, "averge", "'averge' is not allowed here",
         "Did you mean 'average'? Allowed here: average, total"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_definition(
    text: str, path: str, line: int, column: int, written: str, problem: str, hint: str
) -> None:
    errors = mistakes(text)
    first = errors.errors[0]
    assert (first.path, first.line, first.column, first.file) == (path, line, column, "tea.yaml")
    assert (first.text, first.problem) == (written, problem)
    assert hint in first.hint
    assert len(errors.errors) == 1


def test_all_mistakes_of_all_documents_are_told_at_once_in_their_order() -> None:
    errors = mistakes("segment: A\nwen: {}\n---\nsegment: b\nwhen: {did: {event: a, within: P3}}\n---\nsegment: c")
    found = [(error.path, error.line) for error in errors.errors]
    assert found == [("segment", 1), ("wen", 2), ("when.did.within", 5), ("", 7)]


def test_several_mistakes_of_one_condition() -> None:
    errors = mistakes(rule("any: [{did: {event: '', within: P, count: x}}, {held: {is: {eqq: 5}, for: {lt: 0}}}]"))
    assert [error.path.removeprefix("when.any") for error in errors.errors] == [
        "[0].did.event",
        "[0].did.within",
        "[0].did.count",
        "[1].held.path",
        "[1].held.is.eqq",
        "[1].held.for.lt",
    ]


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"profile": {"x": {"gte": None}}}, "when.profile.x.gte"),
        ({"did": {"event": "a", "within": None}}, "when.did.within"),
        ({"did": {"event": ["a", None]}}, "when.did.event[1]"),
    ],
)
def test_null_is_no_value_in_plain_json_either(condition: dict[str, Any], path: str) -> None:
    # As it comes in a line of `replay --definitions`, or over HTTP.
    with pytest.raises(DefinitionErrors) as caught:
        read_definition({"segment": "s", "when": condition})
    assert (caught.value.errors[0].path, caught.value.errors[0].problem) == (path, "the value is missing")


def test_plain_json_tells_path_and_text_where_there_are_no_lines() -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read_definition({"segment": "s", "when": {"did": {"event": "a", "within": 30}}}, "changes.jsonl:3")
    (error,) = caught.value.errors
    assert (error.file, error.path, error.text, error.line) == ("changes.jsonl:3", "when.did.within", "30", None)
    assert str(error).startswith("changes.jsonl:3: when.did.within: 30 is not a duration")
