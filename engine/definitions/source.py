"""Where a definition was written: its file, what stood there, and the line and column of each key and value.

As the nodes of a syntax tree do, a definition carries its source along, so that a mistake that shows only beside other
definitions is told with its exact place too. Where something stands is no part of what it means: sources are equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, PrivateAttr

from engine.conditions.document import Document
from engine.definitions.errors import DefinitionError

Place = tuple[str | int, ...]
"""The keys and indexes that lead from the whole document to a part of it."""
Mark = tuple[int, int]
"""Line and column, from 1."""
TEXT_MAX = 80
"""Characters of the offending text that a mistake repeats."""


def path_text(place: Place) -> str:
    """A place as people write it.

    >>> path_text(("when", "all", 1, "profile", '["a.b"]', "gte"))
    'when.all[1].profile["a.b"].gte'
    """
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text and not part.startswith("[") else part
    return text


def shown(value: Any) -> str:
    """A value as its author wrote it, cut to TEXT_MAX characters."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


@dataclass(frozen=True, slots=True)
class Source:
    """One written definition; without `document` nothing is known but the name of the file, if that."""

    file: str = field(default="", compare=False)
    document: Any = field(default=None, compare=False)
    keys: Mapping[Place, Mark] = field(default_factory=dict, compare=False)
    """Where each key of an object begins."""
    values: Mapping[Place, Mark] = field(default_factory=dict, compare=False)
    """Where each value begins."""

    def existing(self, place: Place) -> Place:
        """The parts of a place that are in the document: a short form, or a default, was not written."""
        if self.document is None:
            return place
        found: list[str | int] = []
        part = self.document
        for step in place:
            if isinstance(part, dict) and step in part:
                part = part[str(step)]
            elif isinstance(part, list) and isinstance(step, int) and step < len(part):
                part = part[step]
            else:
                continue
            found.append(step)
        return tuple(found)

    def at(self, place: Place) -> Any:
        """What was written at an existing place."""
        part = self.document
        for step in place:
            if isinstance(part, dict):
                part = part.get(str(step))
            elif isinstance(part, list) and isinstance(step, int):
                part = part[step]
            else:
                return None
        return part

    def mark(self, place: Place, *, key: bool = False) -> Mark | None:
        """Where a place, or what is next around it, begins: its value, or with `key` the key that names it."""
        for end in range(len(place), -1, -1):
            marks = (self.keys, self.values) if key else (self.values, self.keys)
            for known in marks:
                if place[:end] in known:
                    return known[place[:end]]
        return None

    def error(self, place: Place, problem: str, hint: str = "", *, key: bool = False) -> DefinitionError:
        """A mistake at a place: of the value there, or with `key` of the key itself."""
        written = self.existing(place)
        mark = self.mark(written, key=key)
        line, column = mark if mark is not None else (None, None)
        text = written[-1] if key and written else self.at(written) if self.document is not None else ""
        return DefinitionError(path_text(written), shown(text), problem, hint, self.file, line, column)

    def where(self, place: Place) -> str:
        """`file:line:column` of a place, as far as it is known."""
        return self.error(place, "").where


class Written(Document):
    """A document that remembers where it was written."""

    _source: Source = PrivateAttr(default=Source())

    @property
    def source(self) -> Source:
        """Where it was written."""
        return self._source

    def written_at(self, source: Source) -> None:
        """Says where it was written; once, by whoever reads it."""
        self._source = source


@lru_cache(maxsize=256)
def _fields(document: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The fields of a kind of document, each with the key that people write."""
    return tuple((name, field.alias or name) for name, field in document.model_fields.items())


def parts(part: Any, place: Place, skip: tuple[type, ...] = ()) -> Iterator[tuple[Place, Any]]:
    """A part of a document and all that it is made of, each with its place; nothing of the types in `skip`."""
    if part is None or isinstance(part, skip):
        return
    yield place, part
    if isinstance(part, BaseModel):
        for name, written in _fields(type(part)):
            yield from parts(getattr(part, name), (*place, written), skip)
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from parts(child, (*place, index), skip)
    elif isinstance(part, dict):
        for key, child in part.items():
            yield from parts(child, (*place, key), skip)
