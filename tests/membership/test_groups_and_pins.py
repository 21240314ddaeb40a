"""Groups and pins: exclude, the gate, include, the rule; then the highest of a group whose own answer is yes."""

from __future__ import annotations

from engine.conditions.instants import parse_instant
from tests.driver import fact, given, line_of, rows, told


def of_group(name: str, priority: int, rest: str) -> str:
    return f"segment: {name}\ngroup: {{name: g, priority: {priority}}}\n{rest}"


def tagged(tag: str) -> str:
    return f"when: {{tags: {{any: {tag}}}}}"


LOW, HIGH = of_group("a-high", 2, tagged("high")), of_group("b-low", 1, tagged("low"))
BOTH = f"{LOW}\n---\n{HIGH}"


def tags(day: int, *names: str, contact: str = "c-1") -> dict[str, object]:
    return fact(f"2026-01-{day:02d}", "tags_added", contact, tags=list(names))


def without(day: int, *names: str) -> dict[str, object]:
    return fact(f"2026-01-{day:02d}", "tags_removed", tags=list(names))


def test_the_highest_whose_answer_is_yes_and_the_next_when_it_ends() -> None:
    facts = [tags(1, "low", "high"), without(2, "high"), tags(3, "high"), without(4, "low"), without(5, "high")]
    assert given(BOTH, facts).at().told() == [
        "enter a-high 2026-01-01T00:00:00.000Z event",
        "exit a-high 2026-01-02T00:00:00.000Z event",
        "enter b-low 2026-01-02T00:00:00.000Z event",
        "exit b-low 2026-01-03T00:00:00.000Z event",
        "enter a-high 2026-01-03T00:00:00.000Z event",
        "exit a-high 2026-01-05T00:00:00.000Z event",
    ]


def test_priority_decides_not_the_name() -> None:
    swapped = BOTH.replace("priority: 2", "priority: 0")
    assert given(swapped, [tags(1, "low", "high")]).at().told() == ["enter b-low 2026-01-01T00:00:00.000Z event"]


def test_the_next_takes_its_place_at_the_very_instant_and_not_before_is_the_groups() -> None:
    hot = of_group("hot", 3, "when: {did: {event: click, within: PT1H}}")
    found = given(f"{hot}\n---\n{BOTH}", [tags(1, "low"), fact("2026-01-02", "click")]).at("2026-01-03").transitions
    assert [(row["change"], row["segment"], row["at"], row["not_before"]) for row in found[1:]] == [
        ("exit", "b-low", "2026-01-02T00:00:00.000Z", "2026-01-02T01:00:00.000Z"),
        ("enter", "hot", "2026-01-02T00:00:00.000Z", "2026-01-02T01:00:00.000Z"),
        ("exit", "hot", "2026-01-02T01:00:00.000Z", None),
        ("enter", "b-low", "2026-01-02T01:00:00.000Z", None),
    ]


def test_a_closed_gate_lets_the_next_in() -> None:
    report = of_group("b-low", 1, f"mailable: false\n{tagged('low')}")
    facts = [tags(1, "low", "high"), fact("2026-01-02", "opt_out")]
    assert given(f"{LOW}\n---\n{report}", facts).at().told()[1:] == [
        "exit a-high 2026-01-02T00:00:00.000Z opt_out",
        "enter b-low 2026-01-02T00:00:00.000Z event",
    ]


def test_pins_are_the_own_answers_of_a_group() -> None:
    excluded = f"{LOW}\nexclude: [c-1]\n---\n{HIGH}"
    assert given(excluded, [tags(1, "low", "high")]).at().told() == ["enter b-low 2026-01-01T00:00:00.000Z event"]
    included = f"{LOW}\n---\n{HIGH}\ninclude: [c-1]"
    assert given(included, [tags(1, "high"), without(2, "high")]).at().told() == [
        "enter a-high 2026-01-01T00:00:00.000Z event",
        "exit a-high 2026-01-02T00:00:00.000Z event",
        "enter b-low 2026-01-02T00:00:00.000Z event",
    ]


def test_nested_segments_see_who_won() -> None:
    nested = "segment: a-nested\nwhen: {in_segment: b-low}"
    found = given(f"{BOTH}\n---\n{nested}", [tags(1, "low"), tags(2, "high"), without(3, "high")]).at().told()
    assert found == [
        "enter b-low 2026-01-01T00:00:00.000Z event",
        "enter a-nested 2026-01-01T00:00:00.000Z event",
        "exit b-low 2026-01-02T00:00:00.000Z event",
        "exit a-nested 2026-01-02T00:00:00.000Z event",
        "enter a-high 2026-01-02T00:00:00.000Z event",
        "exit a-high 2026-01-03T00:00:00.000Z event",
        "enter b-low 2026-01-03T00:00:00.000Z event",
        "enter a-nested 2026-01-03T00:00:00.000Z event",
    ]


def test_two_groups_and_two_workspaces_do_not_mix() -> None:
    other = "segment: other\ngroup: {name: h, priority: 1}\n" + tagged("low")
    elsewhere = "segment: elsewhere\nworkspace: two\ngroup: {name: g, priority: 9}\n" + tagged("low")
    segments = f"{BOTH}\n---\n{other}\n---\n{elsewhere}"
    seen = given(segments, [tags(1, "low"), {**tags(1, "low"), "workspace": "two"}]).at()
    assert seen.members("b-low") == seen.members("other") == seen.members("elsewhere", "two") == {"c-1"}


def test_exclude_is_stronger_than_the_rule_and_include_too() -> None:
    segment = f"segment: s\ninclude: [c-in]\nexclude: [c-out]\n{tagged('x')}"
    facts = [tags(1, "x", contact=who) for who in ("c-out", "c-1")] + [fact("2026-01-01", "click", "c-in")]
    assert given(segment, facts).at().members("s") == {"c-1", "c-in"}


def test_a_pinned_contact_of_another_workspace_is_another() -> None:
    segment = "segment: s\nworkspace: one\ninclude: [c-1]"
    assert (
        given(segment, [fact("2026-01-01", "click")]).at("2026-01-02").transitions[0]["at"]
        == "2026-01-02T00:00:00.000Z"
    )


def test_a_pinned_unknown_contact_becomes_known() -> None:
    segments = "segment: picked\ninclude: [c-9]\n---\nsegment: new\nwhen: {known: {within: P7D}}"
    scene = given(segments, [fact("2026-01-01", "click", "c-2")])
    replay = scene.replay()
    replay.take(line_of(scene.facts[0]))
    found = rows(replay.until(parse_instant("2026-01-02")) + replay.until(parse_instant("2026-01-10")))
    assert told(found, "c-9") == [
        "enter new 2026-01-02T00:00:00.000Z backfill",
        "enter picked 2026-01-02T00:00:00.000Z backfill",
        "exit new 2026-01-09T00:00:00.000Z clock",
    ]


def test_a_pinned_contact_is_in_with_its_first_fact() -> None:
    facts = [fact("2026-01-01", "click", "c-2"), fact("2026-01-05", "click", "c-9")]
    found = given("segment: picked\ninclude: [c-9]", facts).at("2026-01-10")
    assert found.told("c-9") == ["enter picked 2026-01-05T00:00:00.000Z event"]
