"""Pairs of events that must agree on a property, as `streak` and `missed` name them: a type, a list of types, or
`{event, where}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Any

from pydantic import BeforeValidator

from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument
from engine.conditions.paths import parse_path, reader_at


def _short_form(value: Any) -> Any:
    return {"event": value} if isinstance(value, str | bool | int | float | list) else value


MATCH_LENGTH_MAX = 64
"""Characters of a text that the state holds as it is, to tell which events agree."""
Events = Annotated[EventDocument, BeforeValidator(_short_form)]
"""A type, a list of types, or `{event, where}`."""


def matcher(path: str | None) -> Callable[[Fact], str | None]:
    """A function from a fact to the text that agreeing facts share; None where the property is missing, "" without a
    path."""
    if path is None:
        return lambda fact: ""
    names = parse_path(path)
    if len(names) == 1:
        name = names[0]

        def plain(fact: Fact) -> str | None:
            value = fact.properties.get(name)
            return _text(value)

        return plain
    read = reader_at(names)

    def deep(fact: Fact) -> str | None:
        values = read(fact.properties)
        return _text(values[0]) if len(values) == 1 else None

    return deep


def matcher_of(paths: Sequence[str]) -> Callable[[Fact], str | None]:
    """`matcher` of several paths, at all of which facts must agree; none of them: all facts agree."""
    if len(paths) < 2:
        return matcher(paths[0] if paths else None)
    matchers = [matcher(path) for path in paths]

    def together(fact: Fact) -> str | None:
        found = [each(fact) for each in matchers]
        # With the lengths in front no two lists of texts are one.
        return None if None in found else "".join(f"{len(text or '')}:{text}" for text in found)

    return together


def _text(value: Any) -> str | None:
    """The text that stands for a value: 45 and "45" agree. A long one is stood for by its digest."""
    if type(value) is list:
        return _text(value[0]) if len(value) == 1 else None
    if value is None or type(value) is dict:
        return None
    if type(value) is str:
        return (
            "=" + value if len(value) <= MATCH_LENGTH_MAX else "#" + blake2b(value.encode(), digest_size=16).hexdigest()
        )
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and value.is_integer():
        value = int(value)
    return f"={value}"
