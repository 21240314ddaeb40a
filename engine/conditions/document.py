"""What the documents that people write are made of: strict pydantic models and their field types."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from engine.conditions.instants import Duration, parse_duration, parse_instant
from engine.conditions.paths import PATH_MAX, parse_path, path_text
from engine.conditions.spelling import did_you_mean, near_duration, near_instant

EVENTS_MAX = 50
"""Event names in one condition."""
CHILDREN_MAX = 200
"""Conditions under one `all`, `any` or `none`, and values of one list test: more belongs in a list of contacts."""
COUNT_MAX = 10_000
"""The highest number that `count` or `at_least` may ask for: the state keeps that many instants."""


class Document(BaseModel):
    """A part of a document: unknown keys are errors, nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )


def mistake(
    kind: str, problem: str, hint: str, at: tuple[str | int, ...] = (), *, key: bool = False
) -> PydanticCustomError:
    """An error of a document's author: what is wrong, and what is allowed there.

    `at` leads from the part of the document that is validated to the very value that is meant, or with `key` to the
    key that names it.
    """
    about = {"problem": problem, "hint": hint, "at": at, "key": key}
    return PydanticCustomError(kind, "{problem}; {hint}", about)


_DURATION_HINT = "write an ISO 8601 duration such as P30D, PT2H or P3M"


def _duration(value: Any, at: tuple[int, ...] = ()) -> Duration:
    if isinstance(value, Duration):
        return value
    try:
        if isinstance(value, str):
            return parse_duration(value)
        raise ValueError("not a text")
    except ValueError:
        hint = _DURATION_HINT + did_you_mean(near_duration(str(value)))
        raise mistake("duration", f"{value!r} is not a duration", hint, at=at) from None


def _window(value: Any, at: tuple[int, ...] = ()) -> Duration:
    duration = _duration(value, at)
    if not duration.months and not duration.millis:
        raise mistake("duration", f"{value!r} is no time at all", "a window is at least PT0.001S", at=at)
    return duration


def _instant_text(value: Any) -> str:
    if isinstance(value, str):
        try:
            parse_instant(value)
        except ValueError:
            pass
        else:
            return value
    hint = "write a date or an RFC 3339 instant such as 2026-05-01T10:00:00Z"
    raise mistake("instant", f"{value!r} is not an instant", hint + did_you_mean(near_instant(str(value))))


_duration_schema = WithJsonSchema({"type": "string", "format": "duration", "examples": ["P30D", "PT2H", "P3M"]})
Window = Annotated[Duration, BeforeValidator(_window), PlainSerializer(str, return_type=str), _duration_schema]
"""A duration above zero."""
Span = Annotated[Duration, BeforeValidator(_duration), PlainSerializer(str, return_type=str), _duration_schema]
"""A duration, zero allowed."""


def _bounds(value: Any) -> Duration | list[Duration]:
    if not isinstance(value, (list, tuple)):
        return _window(value)
    if len(value) != 2:
        raise mistake("bounds", f"{value!r} is not a pair of durations", "write within: P7D or within: [P2D, P7D]")
    start, end = _duration(value[0], (0,)), _window(value[1], (1,))
    if start.longest() >= end.longest():
        raise mistake("bounds", f"{start} is not shorter than {end}", "write the shorter first, as in [P2D, P7D]")
    return [start, end]


def _bounds_text(bounds: Duration | list[Duration]) -> str | list[str]:
    return str(bounds) if isinstance(bounds, Duration) else [str(each) for each in bounds]


_duration_json = {"type": "string", "format": "duration"}
Bounds = Annotated[
    Duration | list[Duration],
    PlainValidator(_bounds),
    PlainSerializer(_bounds_text, return_type=str | list[str]),
    WithJsonSchema(
        {
            "anyOf": [_duration_json, {"type": "array", "items": _duration_json, "minItems": 2, "maxItems": 2}],
            "examples": ["P7D", ["P2D", "P7D"]],
        }
    ),
]
"""A window, or a pair [from, to] of durations, the first of them shorter and perhaps zero."""
InstantText = Annotated[
    str,
    BeforeValidator(_instant_text),
    WithJsonSchema({"type": "string", "examples": ["2026-05-01", "2026-05-01T10:00:00Z"]}),
]


def _is_event_name(value: Any) -> bool:
    if not isinstance(value, str) or not value or value == "*" or "*" in value[:-1]:
        return False
    return len(value.encode(errors="replace")) <= 128


def _event_name(value: Any) -> str:
    if not _is_event_name(value):
        hint = "a type is text of 1 to 128 bytes; one * may stand at its end, as in message_*"
        near = _near_event(value)
        raise mistake("event", f"{value!r} is not an event type", hint + did_you_mean(near))
    return str(value)


def _near_event(value: Any) -> str | None:
    if type(value) in (int, float):
        return repr(str(value))
    near = f"{value.replace('*', '')}*" if isinstance(value, str) else ""
    return near if _is_event_name(near) else None


EventName = Annotated[
    str, BeforeValidator(_event_name), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128})
]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | bool | int | float) else value


EventNames = Annotated[list[EventName], BeforeValidator(_as_list), Field(min_length=1, max_length=EVENTS_MAX)]
"""One event type, or a list of them."""
Texts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=CHILDREN_MAX),
]
"""One text, or a list of them."""


def _path(value: Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError("not a text")
        return path_text(parse_path(value))
    except ValueError as error:
        hint = 'name a property, with dots into objects and lists, as in items.category; ["a.b"] is a name with dots'
        raise mistake("path", f"{value!r} is not a path ({error})", f"{hint}{_near_path(value)}") from None


def _near_path(value: Any) -> str:
    """The path that other spellings may mean: quotes of the other kind, a dot before a bracket, positions in lists."""
    if not isinstance(value, str):
        return ""
    text = re.sub(r"\.?\[(?:\d*|\*)\]", "", value)
    text = re.sub(r"\.?\[\s*['\"]?([^'\"\[\]]+)['\"]?\s*\]", r'["\1"]', text)
    text = re.sub(r"\s*\.[.\s]*(\[?)", lambda dots: dots[1] or ".", text).strip(". ")
    try:
        return did_you_mean(path_text(parse_path(text)))
    except ValueError:
        return ""


Path = Annotated[str, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": PATH_MAX})]
"""A path in its canonical spelling (engine.conditions.paths)."""
PATHS_MAX = 10
"""Paths in a list of them."""
Paths = Annotated[list[Path], BeforeValidator(_as_list), Field(min_length=1, max_length=PATHS_MAX)]
"""One path, or a list of them."""
