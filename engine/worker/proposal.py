"""What is proposed to be put in force: what a change would do to the definitions, by the code that makes changes, and
the plan that it would lead to. Nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from engine.definitions import Definition, Segment, read_definition
from engine.definitions.uses import uses
from engine.membership.plan import Plan
from engine.worker.definition_changes import Applied, Change, make
from engine.worker.definition_record import DefinitionLogError, Key, Record
from engine.worker.definitions import Definition as Known
from engine.worker.definitions import compiled
from engine.worker.settings import Settings

AT: Final = ""
"""Of records that are never written."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that is asked about; `prune`: whatever else is in force in the workspaces that `apply` names is deleted
    with it."""

    apply: Sequence[Definition] = ()
    pause: Sequence[Key] = ()
    resume: Sequence[Key] = ()
    delete: Sequence[Key] = ()
    prune: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a change would do: to the definitions by `applied`, and with contacts by going from plan `present` to
    `candidate`. `before` and `after` hold all records by key, `expected` the versions that it builds on."""

    change: Change
    applied: list[Applied]
    present: Plan
    candidate: Plan
    before: Mapping[Key, Record]
    after: Mapping[Key, Record]
    expected: Mapping[Key, int | None] = field(default_factory=dict)

    @property
    def edited(self) -> list[Key]:
        """The keys of what would be different."""
        return [each.key for each in self.applied if each.result != "unchanged"]


def propose(known: Mapping[Key, Known], present: Plan, asked: Asked, settings: Settings) -> Proposal:
    """What the change would do to what is `known`, of which `present` is the plan; some seconds for ten thousand
    definitions.

    Raises what making it would: DefinitionErrors, DefinitionLogError, which say what to do.
    """
    before = {
        key: Record(*key, each.version, _state(each), definition=each.definition)  # type: ignore[arg-type]
        for key, each in known.items()
    }
    delete = list(dict.fromkeys([*asked.delete, *(_pruned(before, asked.apply) if asked.prune else ())]))
    change = Change(apply=asked.apply, pause=asked.pause, resume=asked.resume, delete=delete)
    made = make(before, change, AT, settings)
    after = {**before, **{record.key: record for record in made.records}}
    if made.records:
        _, candidate = compiled(
            {key: Known(*key, each.version, each.definition, each.state) for key, each in after.items()},
            present.read_to,
            settings.source,
        )
    else:
        candidate = present
    expected = expected_of(before, change)
    return Proposal(replace(change, expected=expected), made.applied, present, candidate, before, after, expected)


def _state(known: Known) -> str:
    return "deleted" if known.definition is None else known.state


def _pruned(before: Mapping[Key, Record], apply: Iterable[Definition]) -> list[Key]:
    kept = {each.key for each in apply}
    workspaces = {workspace for workspace, _ in kept}
    if not workspaces:
        raise DefinitionLogError(
            "There is nothing to keep: --prune deletes what is in force beside the definitions of a folder. Name one, "
            "or what to delete with --delete."
        )
    return sorted(key for key, each in before.items() if each.in_force and key[0] in workspaces and key not in kept)


def expected_of(before: Mapping[Key, Record], change: Change) -> dict[Key, int | None]:
    """The versions that a change builds on, None for what is not in force: of all that it names, of what these nest or
    score by, of those who share a group with them, and so on.

    Raises DefinitionErrors for what is in force and not understood.
    """
    documents = {each.key: each for each in change.apply}
    fellows: dict[tuple[str, str], list[Key]] = {}
    for key, each in before.items():
        if each.in_force and (group := (each.definition or {}).get("group")) is not None:
            fellows.setdefault((key[0], group["name"]), []).append(key)
    found: dict[Key, int | None] = {}
    todo = [*documents, *change.pause, *change.resume, *change.delete]
    while todo:
        key = todo.pop()
        if key in found:
            continue
        known = before.get(key)
        record = known if known is not None and known.in_force else None
        found[key] = None if record is None else record.version
        if key in change.delete:
            continue
        document = documents.get(key)
        if document is None and record is not None:
            document = read_definition(record.definition, "/".join(key))
        if document is None:
            continue
        todo += uses(document)
        if isinstance(document, Segment) and document.group is not None:
            todo += fellows.get((key[0], document.group.name), ())
    return dict(sorted(found.items()))
