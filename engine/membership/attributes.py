"""What facts do to a contact besides its features: attributes, tags, lists (DESIGN.md 3); the latest by `at` wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.conditions.aggregating import storable
from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.membership.plan import WorkspacePlan

NAMES_MAX = 10_000
"""Attributes, tags or lists of one contact; facts that would add more change nothing."""
NAME_LENGTH_MAX = 256
"""Characters of a tag or list; a definition may name no longer one, and what is longer is passed over."""
Ranks = tuple[int, ...]


def _update(contact: Contact, fact: Fact, workspace: WorkspacePlan) -> Ranks:
    attributes = contact.attributes
    if attributes is None:
        attributes = contact.attributes = {}
    ranks: list[int] = []
    for name, value in fact.properties.items():
        if _put(attributes, name, fact.at, storable(value)):
            ranks += workspace.by_attribute.get(name, ())
    return tuple(sorted(set(ranks)))


def _put(entries: dict[str, list[Any]], name: str, at: int, value: Any) -> bool:
    entry = entries.get(name)
    if entry is None:
        if len(entries) >= NAMES_MAX:
            return False
        entries[name] = [at, value]
        return True
    if at < entry[0]:
        return False
    entry[0], entry[1] = at, value
    return True


def names_in(value: Any) -> list[str]:
    """The names in a property that is a text or a list of texts; anything else in it is passed over."""
    names = value if type(value) is list else [value]
    return [name for name in names if type(name) is str and 0 < len(name) <= NAME_LENGTH_MAX]


def _tags(present: int) -> Callable[[Contact, Fact, WorkspacePlan], Ranks]:
    def change(contact: Contact, fact: Fact, workspace: WorkspacePlan) -> Ranks:
        if contact.tags is None:
            contact.tags = {}
        return _mark(contact.tags, fact, names_in(fact.properties.get("tags")), present, workspace.by_tag)

    return change


def _lists(present: int) -> Callable[[Contact, Fact, WorkspacePlan], Ranks]:
    def change(contact: Contact, fact: Fact, workspace: WorkspacePlan) -> Ranks:
        if contact.lists is None:
            contact.lists = {}
        return _mark(contact.lists, fact, names_in(fact.properties.get("list")), present, workspace.by_list)

    return change


def _mark(entries: dict[str, list[int]], fact: Fact, names: list[str], present: int, index: dict[str, Ranks]) -> Ranks:
    ranks: list[int] = []
    for name in names:
        if _put(entries, name, fact.at, present):
            ranks += index.get(name, ())
    return tuple(sorted(set(ranks)))


CHANGES: dict[str, Callable[[Contact, Fact, WorkspacePlan], Ranks]] = {
    "contact_updated": _update,
    "tags_added": _tags(1),
    "tags_removed": _tags(0),
    "list_added": _lists(1),
    "list_removed": _lists(0),
}
"""What each type of fact does to the contact; the result is the ranks of the segments that look at it."""


def put_back(workspace: WorkspacePlan, contact: Contact, gone: Sequence[Fact], left: Sequence[Fact]) -> Ranks:
    """Set anew what facts that count no more had set: as the latest of those that are left says, by `at`, then arrival.

    `left` are in that order. What none of them says is unset: an older value that the journal no longer holds is not
    guessed. The result is the ranks of the segments that look at what changed.
    """
    ranks: set[int] = set()
    for entries, kinds, index in (
        (contact.attributes, ("contact_updated",), workspace.by_attribute),
        (contact.tags, ("tags_added", "tags_removed"), workspace.by_tag),
        (contact.lists, ("list_added", "list_removed"), workspace.by_list),
    ):
        if entries is None:
            continue
        newest: dict[str, int] = {}
        for fact in gone:
            if fact.type in kinds:
                newest.update((name, max(fact.at, newest.get(name, 0))) for name, _ in _says(fact))
        for name in [name for name, at in newest.items() if name not in entries or entries[name][0] > at]:
            del newest[name]  # they had not set what stands
        if not newest:
            continue
        latest: dict[str, list[Any]] = {}
        for fact in left:
            if fact.type in kinds:
                latest.update((name, [fact.at, value]) for name, value in _says(fact) if name in newest)
        for name in newest:
            ranks.update(index.get(name, ()))
            if name in latest:
                entries[name] = latest[name]
            else:
                del entries[name]
    return tuple(sorted(ranks))


def _says(fact: Fact) -> Iterable[tuple[str, Any]]:
    """What a fact sets of attributes, tags or lists, and to which value."""
    if fact.type == "contact_updated":
        return [(name, storable(value)) for name, value in fact.properties.items()]
    tagged = fact.type in ("tags_added", "tags_removed")
    present = 1 if fact.type in ("tags_added", "list_added") else 0
    return [(name, present) for name in names_in(fact.properties.get("tags" if tagged else "list"))]
