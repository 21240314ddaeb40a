"""A definition spoiled at random is read or refused, never a crash, and every mistake names a line that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definitions import DefinitionErrors, read_definition
from engine.definitions.check import together
from engine.definitions.reading import parse_definitions
from tests.definitions.test_mistakes import CONDITIONS

ROOT = Path(__file__).parents[2]
TEXTS = [
    file.read_text(encoding="utf-8")
    for folder in ("engine/demo/segments", "tests/generate/segments")
    for file in sorted((ROOT / folder).glob("*.yaml"))
]
HEAD: dict[str, Any] = {
    "segment": "tea-again", "name": "Tea", "workspace": "shop", "timezone": "Europe/Moscow",
    "mailable": {"channel": "email", "consent": "required"}, "group": {"name": "g", "priority": 20},
    "hidden_from": ["agent-7"], "payload": ["name", 'last["a.b"].c'], "include": ["c-1"], "exclude": ["c-2"],
}  # fmt: skip
RULES: list[Any] = [
    {"all": [{"did": {"event": ["a", "b_*"], "where": {"items": {"any_item": {"x.y": 1, "z": {"gt": 1, "ne": 5}}}},
                      "within": ["P1D", "P7D"], "since": "2026-01-01", "count": {"in": [1, 2]}}},
             {"none": [{"quiet": {"event": "a", "for": "P1M"}}]}, {"not": {"known": {"within": "P7D"}}}]},
    {"any": [{"aggregate": {"fn": "sum", "of": "items.price", "event": "b", "where": {"s": {"matches": "^t"}},
                            "within": "P90D", "is": {"between": [1, 2.5]}}},
             {"profile": {"a": {"calendar": {"unit": "week", "offset": -1}}, "b": {"anniversary": {"before": "P7D"}},
                          '["c.d"]': {"within": "P7D"}}}, {"held": {"path": "x", "is": 1, "for": {"lt": "P7D"}}}]},
    {"all": [{"streak": {"of": {"event": "a", "where": {"x": True}}, "without": "b", "match": "id", "at_least": 3,
                         "grace": "P1D"}}, {"missed": {"after": "a", "expect": "b", "within": "PT2H", "match": "x"}},
             {"sequence": {"steps": [{"event": "a"}, {"event": "b", "within": "P1D"}], "match": ["x"]}},
             {"regularly": {"event": "a", "period": "P1W", "periods": 4, "at_least": 3}}]},
    {"all": [{"rfm": {"model": "m", "recency": {"gte": 4}}}, {"sample": {"percent": 10, "salt": "x"}},
             {"local_time": {"from": "10:00", "to": "18:00", "days": ["mon"]}}, {"in_segment": "x"}, {"in_list": "y"},
             {"consent": {"channel": "email", "is": "granted"}}, {"tags": {"any": ["a"], "none": ["b"]}}]},
]  # fmt: skip
MODEL = {
    "model": "m", "event": "purchase", "amount": "amount", "within": "P365D", "monetary": "total",
    "cuts": {"recency": ["P1D", "P2D", "P3D", "P4D"], "frequency": [1, 2, 3, 4], "monetary": [1, 2, 3, 4]},
}  # fmt: skip
DOCUMENTS = [*({**HEAD, "when": rule} for rule in RULES), MODEL]

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=8),
    st.sampled_from(["", "P30", "2h", "a..b", '["', "*", "9" * 400, "yes", "\ud800", "\0", "01.05.2026"]),
    st.sampled_from([[], {}, [[]], [{}], {"": 1}, {"did": 5}, [None], {"eq": {}}, {"any_item": {}}, ["P1D"], [1, 2]]),
)  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_spoiled_below_is_sound(document: dict[str, Any]) -> None:
    read_definition(document)


def _spoil(draw: st.DrawFn, document: Any) -> Any:
    """One key dropped, named otherwise or given another value, or one entry of a list dropped, doubled or changed."""
    copy = json.loads(json.dumps(document))
    spots: list[tuple[Any, Any]] = []
    todo: list[Any] = [copy]
    while todo:
        part = todo.pop()
        pairs = (
            list(part.items()) if isinstance(part, dict) else list(enumerate(part)) if isinstance(part, list) else []
        )
        spots += [(part, key) for key, _ in pairs]
        todo += [value for _, value in pairs]
    part, key = draw(st.sampled_from(spots))
    what = draw(st.sampled_from(("drop", "rename", "retype", "wrap")))
    if what == "drop":
        del part[key]
    elif what == "retype":
        part[key] = draw(odd)
    elif what == "wrap":
        part[key] = draw(st.sampled_from(([part[key]], {"x": part[key]}, str(part[key]))))
    elif isinstance(part, dict):
        name = draw(st.sampled_from((key[:-1], key + "s", key.upper(), "zz", "", "eq", "\ud800")))
        part[name] = part.pop(key)
    else:
        part.append(part[key])
    return copy


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    document = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.integers(1, 4))):
        if document:
            document = _spoil(draw, document)
    return document


def _told(text: str) -> None:
    """It is read, or refused with places in the text."""
    lines = text.splitlines() or [""]
    try:
        found = parse_definitions(text, "spoiled")
    except DefinitionErrors as refused:
        errors = refused.errors
    else:
        errors = together(*found)
    for error in errors:
        assert error.file == "spoiled"
        assert error.line is not None
        assert error.column is not None
        assert 1 <= error.line <= len(lines), str(error)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1, str(error)
        assert error.problem
        assert "validation error" not in str(error)
        assert "Input should" not in str(error), str(error)


@settings(max_examples=300)
@given(spoiled())
def test_a_spoiled_document(document: Any) -> None:
    _told(json.dumps(document, indent=1))
    with suppress(DefinitionErrors):
        read_definition(document)


def _halved(part: Any) -> Iterator[Any]:
    """The document with half a character at the end of one of its texts or keys, each in turn."""
    if isinstance(part, str):
        yield part + "\ud83d"
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from ([*part[:index], spoilt, *part[index + 1 :]] for spoilt in _halved(child))
    elif isinstance(part, dict):
        for key, child in part.items():
            yield {name + "\ud83d" * (name == key): value for name, value in part.items()}
            yield from ({**part, key: spoilt} for spoilt in _halved(child))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_half_a_character_anywhere_is_a_mistake_with_its_place(document: dict[str, Any]) -> None:
    """It could be neither kept nor sent: UTF-8 has no form for it."""
    spoilt = list(_halved(document))
    assert len(spoilt) > 15
    for each in spoilt:
        text = json.dumps(each, indent=1)
        line = text[: text.index("\\ud83d")].count("\n") + 1
        with pytest.raises(DefinitionErrors) as refused:
            parse_definitions(text, "f")
        found = [error for error in refused.value.errors if error.problem == "the text holds what is no character"]
        assert [error.line for error in found] == [line], text
        assert str(refused.value).encode()
        with pytest.raises(DefinitionErrors, match="the text holds what is no character") as refused:
            read_definition(each)
        assert str(refused.value).encode()


MARKS = ["", " ", "\n", "\t", "{", "]", "'", '"', ":", "- ", "---\n", "*a", "&b ", "!x ", "5", "~"]


@settings(max_examples=200)
@given(st.sampled_from(TEXTS), st.data())
def test_a_spoiled_text(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        put = data.draw(
            st.sampled_from(["", " ", "\n", "\t", "{", "]", "'", '"', ":", "- ", "---\n", "*a", "&b ", "!x ", "5", "~"])
        )
        text = text[:start] + put + text[end:]
    _told(text)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([condition for condition, *_ in CONDITIONS]), min_size=1, max_size=4))
def test_mistakes_of_several_conditions_do_not_hide_each_other(conditions: list[str]) -> None:
    lines = ["segment: s", "when:", "  any:", *(f"    - {{{condition}}}" for condition in conditions)]
    _told("\n".join(lines))
    with pytest.raises(DefinitionErrors) as caught:
        parse_definitions("\n".join(lines), "f")
    assert {error.line for error in caught.value.errors} == set(range(4, 4 + len(conditions)))
