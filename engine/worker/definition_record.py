"""One record of the definitions' own log: a version of a definition, and why it could not be read or changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from engine.definitions.model import Definition, is_model
from engine.definitions.reading import read_definition

Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with `model:` before it."""
State = Literal["active", "paused", "deleted"]


class DefinitionLogError(Exception):
    """The definitions could not be read or changed; nothing was changed. The text is one readable paragraph."""


class DefinitionsMoved(DefinitionLogError):
    """Definitions are not at the versions that a change expects; nothing was changed.

    `found` holds what there is of each that differs, None where it never was; `moved` tells that, up to what is to be
    done instead.
    """

    def __init__(self, expected: Mapping[Key, int | None], found: Mapping[Key, Record | None]) -> None:
        self.found = dict(found)
        told = "; ".join(
            f"{called(key)} was expected {_version(expected[key])} and is {record.told() if record else 'not there'}"
            for key, record in found.items()
        )
        there = next((key for key, record in found.items() if record is not None), None)
        look = "segment-engine segments list" if there is None else f"segment-engine segments history {called(there)}"
        self.moved = (
            f"Nothing was changed, as somebody else changed definitions before: {told}. Look at what they did ({look})"
        )
        super().__init__(
            f"{self.moved} and make the change again on top of it, expecting the versions that there are now."
        )


class Record(msgspec.Struct):
    """A value of `segments.definitions` and its history: a version, `at` RFC 3339, `definition` canonical.

    `segment` is the second part of the key: a segment's id, or a model's with `model:` before it. What is deleted has
    no definition, and keeps its record: its version counter and the exits of its members go on.
    """

    workspace: str
    segment: str
    version: int
    state: State = "active"
    author: str = ""
    at: str = ""
    note: str = ""
    definition: dict[str, Any] | None = None

    @property
    def key(self) -> Key:
        """Workspace and id."""
        return self.workspace, self.segment

    @property
    def in_force(self) -> bool:
        """Whether there is such a definition, active or paused."""
        return self.state != "deleted" and self.definition is not None

    @property
    def has_topic(self) -> bool:
        """Whether there is such a segment, and it has a topic of its own."""
        return self.in_force and not is_model(self.key) and (self.definition or {}).get("topic") is not False

    def document(self) -> Definition:
        """The definition. Raises DefinitionErrors for one that this engine does not understand."""
        return read_definition(self.definition, f"{self.workspace}/{self.segment} version {self.version}")

    def told(self) -> str:
        """What it is, by whom and since when."""
        by = f" by {self.author}" if self.author else ""
        since = f" since {self.at}" if self.at else ""
        note = f" ({' '.join(self.note.split())})" if self.note.strip() else ""
        return f"{self.state} at version {self.version}{since}{by}{note}"


def _version(expected: int | None) -> str:
    return "not to be in force" if expected is None else f"at version {expected}"


def called(key: Key) -> str:
    """A definition as the command line takes it: its id, with the workspace before it unless that is `default`."""
    workspace, name = key
    return name if workspace == "default" else f"{workspace}/{name}"


def listed(keys: Iterable[Key], most: int = 20) -> str:
    """Some definitions in words, by workspace and id.

    >>> listed([("spot", "b"), ("default", "a"), ("default", "c")], most=2)
    'a, c and 1 more'
    """
    names = [called(key) for key in sorted(keys)]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
