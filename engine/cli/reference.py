"""Writes the reference of the segment language from the conditions' own modules: `python -m engine.cli.reference`.

A condition's chapter is its module's docstring, a table of its options, and its examples with what they publish, all
of which the tests run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.cli.worked import WORKED, Worked
from engine.conditions.dates import AttributeTest
from engine.conditions.example import Example
from engine.conditions.instants import format_instant, parse_instant
from engine.conditions.registry import Condition
from engine.conditions.values import Test
from engine.definitions import check
from engine.definitions.describing import describe
from engine.definitions.model import describe_model
from engine.definitions.reading import parse_definitions
from engine.membership.replay import Replay
from engine.membership.transitions import Transition

PLACE: Final = Path(__file__).parents[2] / "schemas" / "language.md"
"""Where the page stands in the source tree."""


def published(example: Example) -> list[str]:
    """What the example publishes, a line each: `instant change segment contact cause`.

    By instant: contacts have an order of their own, but none among each other.
    """
    segments, models = parse_definitions(example.definitions, example.title)
    check(segments, models)
    replay = Replay(segments, models)
    found = [each for line in example.lines for each in replay.take(line)]
    if replay.rejected:
        raise ValueError(f"{example.title}: {replay.rejected}")
    found += replay.until(parse_instant(example.until))
    return [_line(each) for each in sorted(found, key=lambda each: each.at)]


def _line(each: Transition) -> str:
    return f"{format_instant(each.at)} {each.change} {each.segment} {each.contact} {each.cause_kind}"


def conditions() -> list[type[BaseModel]]:
    """The models of all conditions, in the order of the reference."""
    return [get_args(each)[0] for each in get_args(get_args(Condition)[0])]


def options(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The options below a condition's one key, by the names that people write."""
    ((_, only),) = model.model_fields.items()
    if isinstance(only.annotation, type) and issubclass(only.annotation, BaseModel):
        for name, field in only.annotation.model_fields.items():
            yield field.alias or name, field


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, _fields(Test, set()), _DATES, _fields(AttributeTest, set(Test.model_fields))]
    parts += [_chapter(model) for model in conditions()]
    parts += ["## Worked examples\n", *(_worked(each) for each in WORKED)]
    return "\n".join(parts)


def _fields(model: type[BaseModel], but: set[str]) -> str:
    rows = [
        f"| `{field.alias or name}` | {field.description} |"
        for name, field in model.model_fields.items()
        if name not in but
    ]
    return "\n".join(("| test | meaning |", "|---|---|", *rows, ""))


def _chapter(model: type[BaseModel]) -> str:
    ((name, only),) = model.model_fields.items()
    module = sys.modules[model.__module__]
    together = [each for each in conditions() if each.__module__ == model.__module__]
    parts = [f"## `{only.alias or name}`\n", f"{model.__doc__}\n"]
    if model is together[0]:  # what stands in one module is told once
        parts.append(f"{(module.__doc__ or '').split('>>>')[0].strip()}\n")
    rows = [f"| `{each}` | {field.description or ''} | {_default(field)} |" for each, field in options(model)]
    if rows:
        parts += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
    examples: tuple[Example, ...] = getattr(module, "EXAMPLES", ())
    parts += [_example(each) for each in examples if model is together[-1]]
    return "\n".join(parts)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return "" if value is None or value in ({}, []) else f"`{value}`"


def _example(example: Example) -> str:
    segments, models = parse_definitions(example.definitions, example.title)
    words = [f"- `model: {model.model}` {describe_model(model)}" for model in models]
    words += [f"- `{segment.segment}`: {describe(segment)}" for segment in segments]
    facts = "\n".join(line.decode() for line in example.lines)
    told = "\n".join(published(example)) or "(nothing)"
    return "\n".join(
        (
            f"**{example.title}**\n",
            f"```yaml\n{example.definitions}```\n",
            "In words:\n",
            *words,
            f"\nFacts, until {example.until}:\n",
            f"```json\n{facts}\n```\n",
            "Published:\n",
            f"```text\n{told}\n```\n",
        )
    )


def _worked(each: Worked) -> str:
    return f"### {each.heading}\n\n{each.text}\n\n{_example(each.example)}"


_HEAD: Final = """# The language of segments

Written by `python -m engine.cli.reference` from the conditions' own modules; change it there. Every example on this
page is run by the tests, through the core and through the recount.

A rule stands under `when:` and is a tree of conditions, each an object with the condition's name as its only key.
Durations are ISO 8601 (`P30D`, `PT2H`, `P3M`). An event at `e` counts in a window `W` at `t` exactly when
`e ≤ t < e + W`: it leaves at `e + W`, on the millisecond. Days and weeks are fixed lengths; months and years go by the
calendar of the segment's `timezone`, which may be `contact`: the contact's own attribute `timezone`.

## Tests

`where` tests the properties of an event and `profile` the attributes of a contact, each by its path: names with dots
between them, through objects and into every element of lists; `["a.b"]` is a name that holds a dot. A path into a list
matches if any element does. Several tests of one path, and tests of several paths, all hold together. A bare value
means `eq`.
"""
_DATES: Final = """Attributes may be dates: RFC 3339 texts, where one without an offset is wall time in the segment's
time zone. What is no date passes none of these, which `profile` has beside the others:
"""


def main() -> None:
    """Writes the page."""
    PLACE.write_text(page(), encoding="utf-8")
    print(f"written: {PLACE.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
