"""What definitions can't do together, and folders of them: each mistake with the file, line and column of its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.definitions import DefinitionError, DefinitionErrors, check, load_folder, parse_segment, read_segment
from engine.definitions.reading import parse_definitions, parse_segments, read_folder
from tests.driver import command

NESTED = "segment: {}\nwhen: {{in_segment: {}}}"
GROUPED = "segment: {}\ngroup: {{name: g, priority: {}}}\n{}"
BREAK = "break it: a segment can't need its own answer, nor that of another in its group"


def clashes(text: str) -> list[DefinitionError]:
    """What is said of definitions that are sound each by itself."""
    with pytest.raises(DefinitionErrors) as caught:
        check(parse_segments(text, "f"))
    return caught.value.errors


@pytest.mark.parametrize(
    ("text", "path", "line", "column", "written", "problem", "hint"),
    [
        (NESTED.format("a", "nobody"), "when.in_segment", 2, 20, "nobody",
         "in_segment names the unknown segment 'nobody'", "Known here: a"),
        (NESTED.format("a", "byers") + "\n---\nsegment: buyers\ninclude: [x]", "when.in_segment", 2, 20, "byers",
         "in_segment names the unknown segment 'byers'", "Did you mean 'buyers'? Known here: a, buyers"),
        (NESTED.format("a", "a"), "when.in_segment", 2, 20, "a", "the segments form a cycle: a → a", BREAK),
        (NESTED.format("a", "b") + "\n---\n" + NESTED.format("b", "a"), "when.in_segment", 2, 20, "b",
         "the segments form a cycle: a → b → a", f"{BREAK}; b asks for a (f:5:20)"),
        (
            "segment: a\nwhen: {not: {any: [{in_segment: c}]}}\n---\n" + NESTED.format("b", "a") + "\n---\n"
            "segment: c\nwhen: {all: [{tags: {any: x}}, {none: [{in_segment: b}]}]}",
            "when.not.any[0].in_segment", 2, 33, "c", "the segments form a cycle: a → c → b → a",
            f"{BREAK}; c asks for b (f:8:53); b asks for a (f:5:20)",
        ),
        (  # a is in the group of b, whose answer c needs, and a needs c's
            GROUPED.format("a", 1, "when: {in_segment: c}") + "\n---\n"
            + GROUPED.format("b", 2, "when: {tags: {any: x}}") + "\n---\n" + NESTED.format("c", "b"),
            "when.in_segment", 3, 20, "c", "the segments form a cycle: a → c → b → a",
            f"{BREAK}; c asks for b (f:10:20)",
        ),
        (  # a member of a group can't ask for another of the same
            GROUPED.format("a", 1, "when: {in_segment: b}") + "\n---\n"
            + GROUPED.format("b", 2, "when: {tags: {any: x}}"),
            "when.in_segment", 3, 20, "b", "the segments form a cycle: a → b → a", BREAK,
        ),
        ("segment: a\ninclude: [x]\n---\nsegment: a\ninclude: [y]", "segment", 4, 10, "a",
         "the id 'a' is used twice in workspace default", "rename one; the other stands first (f:1:10)"),
        ("segment: a\ninclude: [x, y]\nexclude: [z, y]", "exclude[1]", 3, 14, "y",
         "contact 'y' is both included and excluded", "take it out of one of them"),
        (
            GROUPED.format("a", 1, "include: [x]") + "\n---\n" + GROUPED.format("b", 1, "include: [x]"),
            "group.priority", 6, 28, "1", "group 'g' already has a segment of priority 1: a (f:2:28)",
            "give each segment of a group a priority of its own",
        ),
        (
            "segment: a\nwhen: {all: [{did: {event: x, within: P401D}}]}", "when.all[0].did.within", 2, 39, "P401D",
            "the window P401D is longer than the journal keeps facts",
            "the journal keeps P400D; shorten the window or raise JOURNAL_RETENTION",
        ),
        ("segment: a\nwhen: {did: {event: x, within: P14M}}", "when.did.within", 2, 32, "P14M",
         "the window P1Y2M is longer than the journal keeps facts", "P400D"),
        ("segment: a\nwhen: {did: {event: x, within: [P7D, P2Y]}}", "when.did.within[1]", 2, 38, "P2Y",
         "the window P2Y is longer than the journal keeps facts", "P400D"),
        ("segment: a\nwhen: {rfm: {model: m, recency: 5}}", "when.rfm.model", 2, 21, "m",
         "rfm names the unknown model 'm'", "There is none; write it as a document with model: some-id"),
    ],
)  # fmt: skip
def test_what_cannot_run_together(
    text: str, path: str, line: int, column: int, written: str, problem: str, hint: str
) -> None:
    (error,) = clashes(text)
    assert (error.file, error.path, error.line, error.column, error.text) == ("f", path, line, column, written)
    assert error.problem == problem
    assert hint in error.hint


def test_every_cycle_is_told() -> None:
    pairs = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "a")]
    found = clashes("\n---\n".join(NESTED.format(*pair) for pair in pairs))
    assert [error.problem for error in found] == [
        "the segments form a cycle: a → b → a",
        "the segments form a cycle: c → d → c",
    ]


def test_segments_may_nest_as_deep_as_they_like() -> None:
    chain = [read_segment({"segment": "s0", "include": ["x"]})]
    chain += [read_segment({"segment": f"s{n}", "when": {"in_segment": f"s{n - 1}"}}) for n in range(1, 1_500)]
    check(chain[::-1])


def test_what_may_run_together() -> None:
    check(parse_segments("segment: a\nwhen: {did: {event: x, within: P400D}}", "f"))
    check(parse_segments(NESTED.format("a", "b") + "\n---\nsegment: b\ninclude: [x]", "f"))
    # The same id, group and priority in another workspace are no clash; but a segment there is unknown here.
    one = "segment: a\nworkspace: one\ngroup: {name: g, priority: 1}\ninclude: [x]"
    check(parse_segments(f"{one}\n---\n{one.replace('one', 'two')}", "f"))
    assert "unknown segment 'a'" in clashes(f"{one}\n---\n{NESTED.format('b', 'a')}")[0].problem


def test_without_a_text_the_id_leads_to_the_definition() -> None:
    document = {"segment": "a", "when": {"any": [{"in_segment": "b"}]}}
    with pytest.raises(DefinitionErrors) as caught:
        check([read_segment(document, "")])
    assert str(caught.value).startswith("a: when.any[0].in_segment: in_segment names the unknown segment 'b'")
    with pytest.raises(DefinitionErrors) as caught:
        check([read_segment(document, "default/a version 3")])
    assert str(caught.value).startswith("default/a version 3: when.any[0].in_segment: in_segment names")


def test_a_clash_with_what_is_in_force_names_both_places() -> None:
    in_force = {"segment": "b", "group": {"name": "g", "priority": 1}, "include": ["x"]}
    new = parse_segment("segment: c\ninclude: [x]\ngroup:\n  name: g\n  priority: 1", "c.yaml")
    with pytest.raises(DefinitionErrors) as caught:
        check([new, read_segment(in_force, "default/b version 3")])
    told = "c.yaml:5:13: group.priority: group 'g' already has a segment of priority 1: b (default/b version 3)"
    assert str(caught.value).startswith(told)


def test_a_model_of_long_recency_is_no_long_window() -> None:
    cuts = "{recency: [P1D, P2D, P3D, P500D], frequency: [1, 2, 3, 4], monetary: [1, 2, 3, 4]}"
    model = f"model: m\nevent: a\namount: b\nwithin: P400D\ncuts: {cuts}"
    check(*parse_definitions(model, "m.yaml"))
    with pytest.raises(DefinitionErrors, match=r"m\.yaml:4:9: within: the window P401D is longer than the journal"):
        check(*parse_definitions(model.replace("P400D", "P401D"), "m.yaml"))
    with pytest.raises(DefinitionErrors, match=r"m\.yaml:7:8: model: the id 'm' is used twice.* \(m.yaml:1:8\)"):
        check(*parse_definitions(f"{model}\n---\n{model}", "m.yaml"))


def test_where_it_stands_is_no_part_of_what_a_definition_means() -> None:
    text = "segment: a\nwhen: {did: {event: x}}"
    assert parse_segment(text, "f") == parse_segment("\n\n" + text, "g")


FOLDER: dict[str, str | bytes] = {
    "a.yaml": """segment: a
group: {name: g, priority: 5}
when:
  any:
    - in_segment: byers
    - in_segment: unsound
    - in_segment: unread
    - did: {event: x, within: P2Y}
---
segment: unsound
when: {did: {event: x, within: P30}}
""",
    "b.json": '{"segment": "b", "group": {"name": "g", "priority": 5},\n "include": ["c-1"], "exclude": ["c-1"]}',
    "c.yaml": "segment: buyers\ninclude: [x]\n---\nsegment: unread\nwhen: [\n---\nsegment: a\ninclude: [x]\n",
    "d.yml": b"segment: d\xff",
    "notes.txt": "not a definition",
}
TOLD = [
    ("a.yaml", 5, 19, "when.any[0].in_segment", "byers"),
    ("a.yaml", 8, 31, "when.any[3].did.within", "P2Y"),
    ("a.yaml", 11, 32, "when.did.within", "P30"),
    ("b.json", 1, 53, "group.priority", "5"),
    ("b.json", 2, 34, "exclude[0]", "c-1"),
    ("c.yaml", 5, 8, "", "when: ["),
    ("c.yaml", 7, 10, "segment", "a"),
    ("d.yml", 1, 11, "", "ff"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FOLDER.items():
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path


def test_check_tells_all_mistakes_of_all_files_at_once(folder: Path) -> None:
    code, out, errors = command(["segments", "check", str(folder)])
    head, *lines = errors.splitlines()
    assert (code, out, head) == (2, "", f"segment-engine: 8 mistakes in {folder}:")
    expected = [f"{folder / name}:{line}:{column}: {path}" for name, line, column, path, _ in TOLD]
    assert [line.startswith(place) for line, place in zip(lines, expected, strict=True)] == [True] * len(TOLD)
    assert "Did you mean 'buyers'?" in lines[0]
    assert f"a ({folder / 'a.yaml'}:2:28)" in lines[3]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_check_gives_the_mistakes_as_data(folder: Path, form: str) -> None:
    code, out, errors = command(["segments", "check", str(folder), "-o", form])
    rows = json.loads(out) if form == "json" else [json.loads(line) for line in out.splitlines()]
    found = [(Path(row["file"]).name, row["line"], row["column"], row["path"], row["text"]) for row in rows]
    assert (code, found) == (2, TOLD)
    assert all(row["problem"] and row["hint"] for row in rows)
    assert errors == f"segment-engine: 8 mistakes in {folder}.\n"


def test_what_names_an_unsound_definition_is_no_mistake_but_an_unknown_one_is(folder: Path) -> None:
    problems = [error.problem for error in read_folder(folder).checked()]
    assert sum("unknown segment" in problem for problem in problems) == 1


def test_a_file_that_cannot_be_read_is_a_mistake_like_others(folder: Path) -> None:
    (folder / "e.yaml").mkdir()
    errors = read_folder(folder).checked()
    assert (errors[-1].file, errors[-1].problem) == (str(folder / "e.yaml"), "the file cannot be read: Is a directory")
    # What it holds nobody knows: any name may be its.
    assert not any("unknown" in error.problem for error in errors)


def test_a_folder_tells_the_file_of_each_mistake(folder: Path) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        load_folder(folder)
    assert [Path(error.file).name for error in caught.value.errors] == [name for name, *_ in TOLD]
    with pytest.raises(FileNotFoundError, match="is not there"):
        load_folder(folder / "none")
