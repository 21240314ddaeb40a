"""What a change of definitions does: from the records that there are to those to write, or why not (DESIGN.md 5).

In force is what is active or paused: it is checked together, counted by the bounds, and keeps what it uses from being
deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from engine.conditions.spelling import near_name
from engine.definitions import Definition, DefinitionErrors, Model, Segment, canonical_form, check
from engine.definitions.model import is_model
from engine.definitions.near import near_segment
from engine.definitions.uses import users
from engine.worker.definition_record import (
    DefinitionLogError,
    DefinitionsMoved,
    Key,
    Record,
    State,
    called,
    listed,
)
from engine.worker.settings import Settings

NOTE_MAX: Final = 2_000
"""Characters of a note: as many as a description has."""
AUTHOR_MAX: Final = 200

Result = Literal["created", "changed", "unchanged", "paused", "resumed", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked for, all of it or nothing: definitions to put in force, keys to pause, to resume and to delete.

    `expected` holds versions that must be in force when the change is made, None for what must not be in force; they
    need not be of what changes, but may be of what it builds on.
    """

    apply: Sequence[Definition] = ()
    pause: Sequence[Key] = ()
    resume: Sequence[Key] = ()
    delete: Sequence[Key] = ()
    expected: Mapping[Key, int | None] = field(default_factory=dict)
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did to one definition; `segment` as in Record, `version` and `state` those there are now.

    `offset` is that of the record written to `segments.definitions`, None where none was.
    """

    workspace: str
    segment: str
    result: Result
    version: int
    state: State = "active"
    offset: int | None = None

    @property
    def key(self) -> Key:
        """Workspace and id."""
        return self.workspace, self.segment


@dataclass(frozen=True, slots=True)
class Made:
    """A change that may be made: what it does to each definition named, and the records to write, in this order."""

    applied: list[Applied]
    records: list[Record]
    new_topics: list[Segment]
    """Segments put in force whose topics must be there before."""


def make(known: Mapping[Key, Record], change: Change, at: str, settings: Settings) -> Made:
    """What the change does to what is known, as of `at` (RFC 3339).

    Raises DefinitionErrors if what would be in force cannot run together, DefinitionsMoved where the versions are not
    as expected, DefinitionLogError for everything else that is refused; each says what to do.
    """
    _expect(known, change.expected)
    _words(change)
    _named_once(change)
    _there(known, change)
    applied = [
        *(_put(known, each) for each in change.apply),
        *(_switched(known[key], "active", "paused") for key in dict.fromkeys(change.pause)),
        *(_switched(known[key], "paused", "resumed") for key in dict.fromkeys(change.resume)),
        *(Applied(*key, "deleted", known[key].version + 1, "deleted") for key in dict.fromkeys(change.delete)),
    ]
    documents = {each.key: each for each in change.apply}
    put = [documents[each.key] for each in applied if each.key in documents and each.result != "unchanged"]
    if put or change.delete:
        after = _documents(known, {*documents, *change.delete}) | documents
        _unused(change.delete, after)
        if put:
            _runs_together(after, settings)
            _bounded(known, after, settings)
    records = [
        Record(
            *each.key, each.version, each.state, change.author, at, change.note,
            _definition(known, documents, each),
        )
        for each in applied
        if each.result != "unchanged"
    ]  # fmt: skip
    return Made(applied, records, [each for each in put if isinstance(each, Segment) and each.topic])


def _expect(known: Mapping[Key, Record], expected: Mapping[Key, int | None]) -> None:
    differing: dict[Key, Record | None] = {}
    for key, version in expected.items():
        record = known.get(key)
        there = record.version if record is not None and record.in_force else None
        if there != version:
            differing[key] = record
    if differing:
        raise DefinitionsMoved(expected, differing)


def _words(change: Change) -> None:
    for name, text, most in (("author", change.author, AUTHOR_MAX), ("note", change.note, NOTE_MAX)):
        if len(text) > most:
            raise DefinitionLogError(f"The {name} has {len(text)} characters; at most {most} are kept. Shorten it.")


def _named_once(change: Change) -> None:
    asked = [each.key for each in change.apply]
    for keys in (change.pause, change.resume, change.delete):
        asked += dict.fromkeys(keys)
    twice = [key for key, times in Counter(asked).items() if times > 1]
    if twice:
        raise DefinitionLogError(
            f"{listed(twice)} is named for two things at once; nothing was changed. Make two changes, one after the "
            "other."
        )


def _there(known: Mapping[Key, Record], change: Change) -> None:
    """What is paused, resumed and deleted must be there, and models are not paused."""
    missing = [
        missing_text(key, known)
        for key in dict.fromkeys([*change.pause, *change.resume, *change.delete])
        if key not in known or not known[key].in_force
    ]
    if missing:
        raise DefinitionLogError(f"Nothing was changed. {' '.join(missing)}")
    models = [key for key in (*change.pause, *change.resume) if is_model(key)]
    if models:
        by = _users_of(models, _documents(known, ()))
        advice = f"Pause the segments that score by it: {listed(by)}." if by else "No segment scores by it: delete it."
        raise DefinitionLogError(
            f"{listed(models)} is a model: it has no members, so there is nothing to pause, and nothing was changed. "
            + advice
        )


def missing_text(key: Key, known: Mapping[Key, Record]) -> str:
    """That a definition is not in force, with how to bring it back, or what may be meant of all that ever was."""
    record = known.get(key)
    if record is not None:
        back = f"segment-engine segments restore {called(key)} {record.version - 1}"
        return f"{called(key)} is {record.told()}; its last text comes back with: {back}"
    kind = "model" if is_model(key) else "segment"
    there = [each for each, record in known.items() if record.in_force]
    hint = near_segment(*key, there)
    if not near_name(key[1], [name for workspace, name in there if workspace == key[0]]):
        gone = [name for (workspace, name), each in known.items() if workspace == key[0] and not each.in_force]
        if near := near_name(key[1], gone):
            hint += f" {near} was deleted."
    return f"There is no {kind} {key[1]!r} in workspace {key[0]}. {hint}"


def _put(known: Mapping[Key, Record], definition: Definition) -> Applied:
    record = known.get(definition.key)
    if record is None:
        return Applied(*definition.key, "created", 1)
    if not record.in_force:
        return Applied(*definition.key, "created", record.version + 1)
    if _means_the_same(record, definition):
        return Applied(*definition.key, "unchanged", record.version, record.state)
    return Applied(*definition.key, "changed", record.version + 1, record.state)


def _means_the_same(record: Record, definition: Definition) -> bool:
    form = canonical_form(definition)
    if record.definition == form:
        return True
    try:  # an older engine wrote it without the keys that came since
        return canonical_form(record.document()) == form
    except DefinitionErrors:
        return False


def _switched(record: Record, when: State, result: Literal["paused", "resumed"]) -> Applied:
    if record.state != when:
        return Applied(*record.key, "unchanged", record.version, record.state)
    return Applied(*record.key, result, record.version + 1, "paused" if result == "paused" else "active")


def _definition(
    known: Mapping[Key, Record], documents: Mapping[Key, Definition], applied: Applied
) -> dict[str, Any] | None:
    if applied.result == "deleted":
        return None
    if applied.key in documents:
        return canonical_form(documents[applied.key])
    return known[applied.key].definition


def _documents(known: Mapping[Key, Record], without: Iterable[Key]) -> dict[Key, Definition]:
    """What is in force, but for some. Raises DefinitionLogError for what this version does not understand."""
    left_out, found = set(without), dict[Key, Definition]()
    for key, record in known.items():
        if not record.in_force or key in left_out:
            continue
        try:
            found[key] = record.document()
        except DefinitionErrors as error:
            raise DefinitionLogError(
                f"{called(key)}, in force at version {record.version}, is not a definition that this version "
                f"understands ({error}); nothing was changed. Put a right one in its place (segment-engine segments "
                "apply), delete it, or use the version of the engine that it was written for."
            ) from None
    return found


def _users_of(keys: Iterable[Key], definitions: Mapping[Key, Definition]) -> list[Key]:
    by = users(definitions.values())
    return sorted({user for key in keys for user in by.get(key, ())})


def _unused(deleted: Sequence[Key], after: Mapping[Key, Definition]) -> None:
    by = users(after.values())
    told = [
        f"{called(key)} is used by {listed(by[key])} ({'rfm' if is_model(key) else 'in_segment'})"
        for key in dict.fromkeys(deleted)
        if key in by
    ]
    if told:
        raise DefinitionLogError(
            f"Nothing was deleted: {'; '.join(told)}. Take it out of their rules and apply them first, or delete them "
            "in the same command."
        )


def _runs_together(after: Mapping[Key, Definition], settings: Settings) -> None:
    segments = [each for each in after.values() if isinstance(each, Segment)]
    models = [each for each in after.values() if isinstance(each, Model)]
    check(segments, models, journal_retention=settings.journal_retention)


def _bounded(known: Mapping[Key, Record], after: Mapping[Key, Definition], settings: Settings) -> None:
    """No more definitions, and no more topics of segments, than the settings allow; what lessens them may go on."""
    before = [record for record in known.values() if record.in_force]
    if len(before) < len(after) > settings.definitions_max:
        raise DefinitionLogError(
            f"{len(after)} definitions would be in force; DEFINITIONS_MAX allows {settings.definitions_max}. "
            "Delete some, or raise it."
        )
    had = sum(not is_model(each.key) and (each.definition or {}).get("topic") is not False for each in before)
    has = sum(isinstance(each, Segment) and each.topic for each in after.values())
    if settings.segment_topics and had < has > settings.segment_topics_max:
        raise DefinitionLogError(
            f"{has} segments would have a topic of their own; SEGMENT_TOPICS_MAX allows {settings.segment_topics_max}. "
            "Say topic: false in those that nobody subscribes to by themselves (segments.transitions carries them "
            "all), or raise it."
        )
