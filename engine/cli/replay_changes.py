"""The lines of `replay --definitions`: what comes into force, goes, stands still and goes on, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import orjson

from engine.cli.errors import UserError
from engine.cli.lines import open_lines

if TYPE_CHECKING:
    from engine.definitions import Definition, Documents
    from engine.worker.settings import Settings

Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with `model:` before it."""
KINDS: Final = ("apply", "delete", "pause", "resume")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: at `at` (ms) a definition comes into force, or the one with `key` is deleted, paused or resumed."""

    number: int
    at: int
    kind: str
    key: Key
    definition: Definition | None = None


@dataclass(slots=True)
class Change:
    """What the lines of one instant come to: `lines` of them, one change."""

    at: int
    lines: int = 0
    apply: dict[Key, Definition] = field(default_factory=dict)
    delete: set[Key] = field(default_factory=set)
    pause: dict[Key, bool] = field(default_factory=dict)
    """Whether a segment is paused then, by key, or goes on."""


def read_changes(source: str, definitions: Documents, settings: Settings) -> list[Change]:
    """The changes by instant, each checked with what is in force then. Raises UserError with the line."""
    lines: list[Line] = []
    with open_lines(source, "Reading definitions") as numbered:
        for number, text in numbered:
            lines.append(_read(text, f"{source}:{number}", number))
    lines.sort(key=lambda line: line.at)  # those of one instant stay in the order of the file
    active: dict[Key, Definition] = {each.key: each for each in definitions.segments}
    active |= {each.key: each for each in definitions.models}
    changes = []
    for at, together in groupby(lines, key=lambda line: line.at):
        change, before, last = Change(at), set(active), 0
        for line in together:
            _add(change, line, active, before, f"{source}:{line.number}")
            last = line.number
        _check(active, f"{source}:{last}", settings)
        changes.append(change)
    return changes


def _read(text: bytes, where: str, number: int) -> Line:
    from engine.cli.replay import instant_of
    from engine.definitions import DefinitionErrors, read_definition

    try:
        entry: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise UserError(f'{where}: not an object such as {{"at": "2026-05-01T10:00:00Z", "delete": "tea"}}.')
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1 or set(entry) != {"at", *kinds}:
        raise UserError(
            f"{where}: a line has at, and one of apply, delete, pause and resume; "
            f"this one has {', '.join(entry) or 'nothing'}."
        )
    at, (kind,) = instant_of(entry["at"], f"{where}: at"), kinds
    if kind != "apply":
        named = entry[kind]
        workspace, _, name = named.rpartition("/") if isinstance(named, str) else ("", "", "")
        if not name:
            model = "; or a model: model:id" if kind == "delete" else ""
            raise UserError(f"{where}: {kind} names a segment: id, or workspace/id{model}.")
        return Line(number, at, kind, (workspace or "default", name))
    try:
        definition = read_definition(entry["apply"], where)
    except DefinitionErrors as error:
        raise UserError(str(error)) from None
    return Line(number, at, kind, definition.key, definition)


def _add(change: Change, line: Line, active: dict[Key, Definition], before: set[Key], where: str) -> None:
    """Takes one more line of an instant up, and notes in `active` what is in force after it.

    `before` is what was in force when the instant began.
    """
    from engine.definitions import Model
    from engine.definitions.near import near_segment

    key = line.key
    change.lines += 1
    if line.definition is not None:
        active[key] = change.apply[key] = line.definition
        return
    if key not in active:
        hint = near_segment(*key, active)
        raise UserError(f"{where}: there is no segment {'/'.join(key)} to {line.kind}. {hint}")
    if line.kind == "delete":
        del active[key]
        change.apply.pop(key, None)
        change.pause.pop(key, None)
        if key in before:
            change.delete.add(key)
    elif isinstance(active[key], Model):
        raise UserError(f"{where}: {'/'.join(key)} is a model; {line.kind} the segments that score by it.")
    else:
        change.pause[key] = line.kind == "pause"


def _check(active: dict[Key, Definition], where: str, settings: Settings) -> None:
    """What is in force after all lines of one instant must be able to run together."""
    from engine.definitions import DefinitionErrors, Model, Segment, check

    try:
        segments = [each for each in active.values() if isinstance(each, Segment)]
        models = [each for each in active.values() if isinstance(each, Model)]
        check(segments, models, journal_retention=settings.journal_retention)
    except DefinitionErrors as error:
        raise UserError(f"{where}: after this change the segments cannot run together:\n{error}") from None
