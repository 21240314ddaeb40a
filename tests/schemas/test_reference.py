"""The language reference: each example publishes what it says, by the core and by the recount, and the page is new."""

from __future__ import annotations

import sys

import pytest

from engine.cli import reference
from engine.cli.worked import WORKED
from engine.conditions.example import Example
from engine.conditions.instants import format_instant, parse_instant
from engine.definitions import canonical_form
from engine.definitions.reading import parse_definitions
from engine.recount import recount

MODULES = sorted({model.__module__ for model in reference.conditions()})
EXAMPLES = [each for name in MODULES for each in getattr(sys.modules[name], "EXAMPLES", ())]
EXAMPLES += [each.example for each in WORKED]


def test_every_condition_has_an_example() -> None:
    for model in reference.conditions():
        ((name, only),) = model.model_fields.items()
        examples: tuple[Example, ...] = getattr(sys.modules[model.__module__], "EXAMPLES", ())
        assert any(f"{only.alias or name}:" in each.segments for each in examples), name


def test_every_option_is_explained() -> None:
    for model in reference.conditions():
        for name, field in reference.options(model):
            assert field.description, f"{model.__name__}: {name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.title)
def test_example_publishes_what_it_says(example: Example) -> None:
    assert reference.published(example) == example.expected


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.title)
def test_recount_agrees(example: Example) -> None:
    definitions = parse_definitions(example.definitions, example.title)
    segments, models = [[canonical_form(each) for each in kind] for kind in definitions]
    found = recount(
        segments, example.lines, models, until=parse_instant(example.until), clock_follows_arrival=False
    ).transitions
    told = [
        f"{format_instant(each['at'])} {each['change']} {each['segment']} {each['contact']} {each['cause']}"
        for each in sorted(found, key=lambda each: int(each["at"]))
    ]
    assert sorted(told) == sorted(example.expected)


def test_all_rows_that_asked_for_worked_examples_have_one() -> None:
    rows = {row for each in WORKED for row in each.rows.split(", ")}
    assert rows >= {"R59", "R24", "R29", "R30", "R31", "R32", "R38", "R39"}


def test_page_is_up_to_date() -> None:
    assert reference.PLACE.read_text(encoding="utf-8") == reference.page(), "run: python -m engine.cli.reference"
