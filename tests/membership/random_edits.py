"""Random edits of random segments: made, changed in a window, a test, a threshold, a pin, the gate or the group,
deleted, paused, resumed; one at a time or several as one change."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from engine.definitions import Definition, DefinitionErrors, Segment, canonical, check, read_segment
from engine.definitions.uses import users
from tests.membership import random_conditions
from tests.membership.choices import Choices, between, chance, one, some
from tests.membership.random_conditions import WINDOWS, Json

PINNED = ("a", "z")
"""One whom facts name, and one whom none does."""
NUMBERS = (0, 1, 2, 3, 5, 10)
Key = tuple[str, str]


class Edit:
    """One change: what it puts in force, and the keys that it deletes, pauses and resumes."""

    def __init__(self) -> None:
        self.applied: list[Segment] = []
        self.deleted: list[Key] = []
        self.paused: list[Key] = []
        self.resumed: list[Key] = []

    @property
    def keys(self) -> set[Key]:
        """All that it names."""
        return {*(each.key for each in self.applied), *self.deleted, *self.paused, *self.resumed}

    def __repr__(self) -> str:
        applied = [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in self.applied]
        return f"apply {applied} delete {self.deleted} pause {self.paused} resume {self.resumed}"


def edit(choices: Choices, there: dict[str, Json], paused: set[str], number: int) -> Edit:
    """One that may be made; `there` are the documents by id, and `paused` ids: both are brought up to it."""
    for attempt in range(100):
        found, after, still = Edit(), deepcopy(there), set(paused)
        try:
            for part in range(1 + chance(choices, 4) + chance(choices, 6)):
                _one(choices, found, after, still, f"n{number}-{attempt}-{part}")
        except DefinitionErrors:  # a threshold that may not be
            continue
        segments = [read_segment(document) for document in after.values()]
        known = {each.segment: canonical(each) for each in map(read_segment, there.values())}
        idle = any(canonical(each) == known.get(each.segment) for each in found.applied)
        if idle or not found.keys or not _sound(segments):
            continue
        there.clear()
        there.update(after)
        paused.clear()
        paused.update(still)
        return found
    raise AssertionError("no edit of a hundred may be made")


def _sound(segments: Iterable[Definition]) -> bool:
    found = list(segments)
    try:
        check([each for each in found if isinstance(each, Segment)])
    except DefinitionErrors:
        return False
    there = {each.key for each in found}
    return users(found).keys() <= there


def _one(choices: Choices, found: Edit, after: dict[str, Json], paused: set[str], new: str) -> None:
    named = {name for _, name in found.keys}
    free = [name for name in after if name not in named]
    what = choices.below(10) if free else 0
    if what < 3:
        others = [name for name in after if name not in named]
        document = {
            "segment": new,
            "timezone": one(choices, random_conditions.ZONES),
            "mailable": one(choices, random_conditions.MAILABLES),
            "when": random_conditions.rule(choices, others),
        }
        if chance(choices, 4):
            document["group"] = {"name": "g", "priority": between(choices, 10, 10_000)}
        _pin(choices, document)
        after[new] = document
        found.applied.append(read_segment(document))
        return
    name = one(choices, free)
    if what == 3:
        del after[name]
        paused.discard(name)
        found.deleted.append(("default", name))
    elif what == 4 and name not in paused:
        paused.add(name)
        found.paused.append(("default", name))
    elif what in (4, 5) and name in paused:
        paused.discard(name)
        found.resumed.append(("default", name))
    else:
        document = after[name]
        _change(choices, document, [each for each in after if each != name])
        found.applied.append(read_segment(document))


def _change(choices: Choices, document: Json, others: list[str]) -> None:
    what = choices.below(8)
    if what == 0:
        document["when"] = random_conditions.rule(choices, others)
    elif what == 1:
        document["when"] = {one(choices, ("all", "any")): [document["when"], random_conditions.rule(choices, others)]}
    elif what == 2:
        _pin(choices, document)
    elif what == 3:
        document["mailable"] = one(choices, random_conditions.MAILABLES)
    elif what == 4:
        if document.pop("group", None) is None:
            document["group"] = {"name": "g", "priority": between(choices, 10, 10_000)}
    elif what == 5:
        document["payload"] = some(choices, ("city", "score"), 1, 2)
    else:
        document["when"] = _turned(choices, document["when"])


def _pin(choices: Choices, document: Json) -> None:
    for word in ("include", "exclude"):
        document.pop(word, None)
    if chance(choices, 2):
        document[one(choices, ("include", "exclude"))] = some(choices, PINNED, 1, 2)


def _turned(choices: Choices, part: Any, key: str = "") -> Any:
    """The rule with other windows, thresholds and tests here and there."""
    if isinstance(part, dict):
        return {name: _turned(choices, each, name) for name, each in part.items()}
    if isinstance(part, list):
        return [_turned(choices, each, key) for each in part]
    if key in ("within", "for", "ago") and part in WINDOWS and chance(choices, 2):
        return one(choices, WINDOWS)
    if key in ("eq", "gt", "gte", "lt", "lte", "at_least") and type(part) is int and chance(choices, 2):
        return one(choices, NUMBERS)
    if key == "kind" and chance(choices, 2):
        return one(choices, random_conditions.COMMON)
    return part
