"""What a transition says: id, number, cause, how long it holds, what it carries; and in which order they come."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from engine.conditions.instants import NEVER, format_instant, parse_instant
from engine.membership.transitions import Transition, encode, headers, transition_id
from tests.driver import fact, given, line_of, rows

AT = parse_instant("2026-01-01T00:00:00Z")


def transition(**more: Any) -> Transition:
    found: dict[str, Any] = {
        "workspace": "default", "segment": "tea", "version": 3, "contact": "c-42", "sequence": 5, "at": AT,
        "detected_at": AT, "late": False, "not_before": NEVER, "cause": ("event", "e-1", "purchase", AT),
        "payload": None, "kept": True,
    }  # fmt: skip
    return Transition(**{**found, **more})


def test_the_id_of_a_saved_transition_has_not_changed() -> None:
    # Consumers remember ids: an engine of tomorrow must give the same.
    assert transition().id == transition_id("default", "tea", "c-42", 5, AT) == SAVED


SAVED = "38cdf43a5a3484b61d99bb4368afe2b6"


@pytest.mark.parametrize(
    "more",
    [{"workspace": "w"}, {"segment": "mug"}, {"contact": "c-43"}, {"sequence": 6}, {"sequence": 7}, {"at": AT + 1}],
)
def test_the_id_depends_on_what_makes_a_transition(more: dict[str, Any]) -> None:
    assert transition(**more).id != transition().id


@pytest.mark.parametrize(
    "more",
    [{"version": 4}, {"detected_at": AT + 9}, {"late": True}, {"not_before": AT + 5}, {"payload": {"a": 1}},
     {"kept": False}, {"cause": ("clock", None, None, None)}],
)  # fmt: skip
def test_the_id_depends_on_nothing_else(more: dict[str, Any]) -> None:
    assert transition(**more).id == transition().id


def test_parts_of_an_id_do_not_run_together() -> None:
    assert transition(segment="te", contact="ac-42").id != transition().id
    assert transition(workspace="a", segment="b-c").id != transition(workspace="a-b", segment="c").id


def test_the_wire_form_is_that_of_the_design() -> None:
    found = json.loads(encode(transition(payload={"name": "Анна"}, not_before=AT + 1), AT + 250))
    assert found == {
        "id": transition().id,
        "workspace": "default",
        "segment": "tea",
        "version": 3,
        "contact": "c-42",
        "change": "enter",
        "sequence": 5,
        "at": "2026-01-01T00:00:00.000Z",
        "detected_at": "2026-01-01T00:00:00.250Z",
        "late": False,
        "not_before": "2026-01-01T00:00:00.001Z",
        "cause": {
            "kind": "event",
            "event_id": "e-1",
            "event_type": "purchase",
            "event_at": "2026-01-01T00:00:00.000Z",
        },
        "payload": {"name": "Анна"},
    }
    assert json.loads(encode(transition(sequence=6)))["change"] == "exit"
    assert json.loads(encode(transition()))["not_before"] is None


def test_headers_repeat_what_consumers_skip_by() -> None:
    assert dict(headers(transition(sequence=6))) == {
        "transition-id": transition(sequence=6).id.encode(),
        "segment": b"tea",
        "change": b"exit",
    }


CLICKS = "segment: s\nwhen: {did: {event: click, within: PT1H, count: {in: [1, 3]}}}"


def test_enter_and_exit_alternate_and_are_counted_without_a_gap() -> None:
    facts = [fact(f"2026-01-01T00:{minute:02d}Z", "click") for minute in range(0, 60, 7)]
    found = given(CLICKS, facts).at("2026-01-02").of("s")
    assert [row["sequence"] for row in found] == list(range(1, len(found) + 1))
    assert [row["change"] for row in found] == ["enter", "exit"] * (len(found) // 2)
    assert len({row["id"] for row in found}) == len(found) > 4


def test_the_state_keeps_since_when() -> None:
    replay = given(CLICKS, []).replay()
    for number, minute in enumerate((0, 10, 20), 1):
        found = replay.take(line_of(fact(f"2026-01-01T00:{minute:02d}Z", "click")))
        (contact,) = replay.contacts.contacts.values()
        assert [entry[:2] for entry in contact.members.values()] == [[number, found[-1].at]]


def test_before_not_before_nothing_changes_by_itself() -> None:
    facts = [fact(f"2026-01-01T00:{minute:02d}Z", "click") for minute in (0, 10, 20)]
    found = given(CLICKS, facts).at("2026-01-02").transitions
    for row, following in pairwise(found):
        if following["cause"]["kind"] == "clock":
            assert row["not_before"] <= following["at"]
    assert found[-1]["not_before"] is None


@pytest.mark.parametrize(
    ("kind", "properties", "cause"),
    [("click", {}, "event"), ("list_added", {"list": "x"}, "list"), ("contact_updated", {"a": 1}, "event")],
)
def test_the_cause_names_the_event(kind: str, properties: dict[str, Any], cause: str) -> None:
    segment = f"segment: s\nwhen: {{did: {{event: {kind}}}}}"
    line = fact("2026-01-01T00:00:00.007Z", kind, named="e-7", **properties)
    assert given(segment, [line]).at().transitions[0]["cause"] == {
        "kind": cause,
        "event_id": "e-7",
        "event_type": kind,
        "event_at": "2026-01-01T00:00:00.007Z",
    }


def test_an_event_without_id_is_named_by_its_place() -> None:
    facts = [fact("2026-01-01", "view"), fact("2026-01-01", "click")]
    assert given(CLICKS, facts).at().transitions[0]["cause"]["event_id"] == "line/2"


def test_all_exits_come_before_all_enters_each_in_the_order_of_the_graph() -> None:
    # By id a, b, c …; but a asks for c, and d asks for b.
    rules = {
        "a": "{not: {in_segment: c}}", "b": "{not: {tags: {any: x}}}", "c": "{tags: {any: x}}", "d": "{in_segment: b}",
        "e": "{tags: {any: x}}", "f": "{tags: {none: x}}",
    }  # fmt: skip
    segments = "\n---\n".join(f"segment: {name}\nwhen: {rule}" for name, rule in rules.items())
    facts = [fact("2026-01-01", "click"), fact("2026-01-02", "tags_added", tags="x")]
    found = [(row["change"], row["segment"]) for row in given(segments, facts).at().transitions]
    assert found == [
        *[("enter", name) for name in "abdf"],
        *[("exit", name) for name in "abdf"],
        ("enter", "c"),
        ("enter", "e"),
    ]


def test_an_exit_carries_what_is_true_then() -> None:
    segment = "segment: s\npayload: [city, last.click.button, tags]\nwhen: {profile: {vip: true}}"
    facts = [
        fact("2026-01-01", "contact_updated", vip=True, city="Moscow", tags=["a", "b"]),
        fact("2026-01-02", "click", button="Women"),
        fact("2026-01-03", "contact_updated", vip=False, city=None, tags=["a"]),
    ]
    payloads = [row["payload"] for row in given(segment, facts).at().transitions]
    assert payloads == [
        {"city": "Moscow", "last.click.button": None, "tags": ["a", "b"]},
        {"city": None, "last.click.button": "Women", "tags": "a"},
    ]


def test_without_payload_there_is_null() -> None:
    assert given(CLICKS, [fact("2026-01-01", "click")]).at().transitions[0]["payload"] is None


def test_a_rule_may_ask_for_what_the_payload_carries() -> None:
    segment = "segment: s\npayload: [last.purchase.order_id]\n"
    segment += "when: {aggregate: {fn: last, of: order_id, event: purchase, is: A-7}}"
    assert given(segment, [fact("2026-01-01", "purchase", order_id="A-7")]).at().members("s") == {"c-1"}


def test_detected_at_is_the_clock_in_a_replay() -> None:
    replay = given(CLICKS, []).replay()
    found = rows(replay.take(line_of(fact("2026-01-01T10:00Z", "click"))))
    assert found[0]["detected_at"] == "2026-01-01T09:59:59.000Z"
    found = rows(replay.until(parse_instant("2026-01-01T12:00:00Z")))
    assert [(row["at"], row["detected_at"]) for row in found] == [
        ("2026-01-01T11:00:00.000Z", "2026-01-01T12:00:00.000Z")
    ]
    assert format_instant(replay.partition.clock) == "2026-01-01T12:00:00.000Z"
