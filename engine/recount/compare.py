"""Holds what the engine published against a recount and says in readable lines where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from engine.recount.instants import instant, text_of
from engine.recount.run import Result

Who = tuple[str, str]  # workspace, contact
Line = tuple[str, str, int, int]  # segment, change, sequence, at (ms)
Members = Mapping[tuple[str, str], set[str]]  # (workspace, segment) → contacts
# A definition taken up later than the facts it looks at publishes at the clock of that moment, which no recount knows.
_LATER_DEFINED = ("definition", "backfill")


def compare(
    result: Result,
    transitions: Iterable[Mapping[str, Any]] | None = None,
    members: Members | Iterable[Mapping[str, Any]] | None = None,
    *,
    only_members: Iterable[Who] = (),
    by_members: Collection[tuple[str, str]] = (),
) -> list[str]:
    """The differences, one readable line each; none: they agree.

    transitions: the engine's, as objects of DESIGN 6 in the order of the topic (`at` RFC 3339, or ms). They must be the
    same for every contact, in (segment, change, sequence, at) and in order, and lead to the same members. Contacts with
    a late fact or a definition taken up later, and those of `only_members`, are compared by their members alone; so
    are the segments of `by_members`, by workspace and id, whose definition was another in the past.
    members: the engine's, as sets or as objects with `workspace`, `segment`, `contact`.
    """
    differences: list[str] = []
    if transitions is not None:
        published = list(transitions)
        ours, theirs = _by_contact(result.transitions), _by_contact(published)
        skipped = result.late_contacts | result.unsettled | set(only_members) | _later_defined(published)
        for who in sorted(ours.keys() | theirs.keys()):
            differences.extend(_alternation(who, theirs.get(who, []), who in result.erased_contacts))
            if who not in skipped:
                our_lines, their_lines = (
                    [line for line in lines.get(who, ()) if (who[0], line[0]) not in by_members]
                    for lines in (ours, theirs)
                )
                differences.extend(_order(who, our_lines, their_lines))
        differences.extend(_membership(result.members, members_after(published), "the engine's transitions"))
    if members is not None:
        given = members if isinstance(members, Mapping) else _as_sets(members)
        differences.extend(_membership(result.members, given, "the engine"))
    return differences


def members_after(transitions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Who is in each segment after these transitions, read in their order."""
    members: dict[tuple[str, str], set[str]] = {}
    for t in transitions:
        contacts = members.setdefault((t.get("workspace", "default"), t["segment"]), set())
        (contacts.add if t["change"] == "enter" else contacts.discard)(t["contact"])
    return members


def _as_sets(members: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[str]]:
    return members_after({**member, "change": "enter"} for member in members)


def _by_contact(transitions: Iterable[Mapping[str, Any]]) -> dict[Who, list[Line]]:
    contacts: dict[Who, list[Line]] = {}
    for t in transitions:
        at = t["at"] if isinstance(t["at"], int) else instant(t["at"])
        who = (t.get("workspace", "default"), t["contact"])
        contacts.setdefault(who, []).append((t["segment"], t["change"], t["sequence"], at))
    return contacts


def _later_defined(transitions: Iterable[Mapping[str, Any]]) -> set[Who]:
    return {(t.get("workspace", "default"), t["contact"]) for t in transitions if _kind_of_cause(t) in _LATER_DEFINED}


def _kind_of_cause(transition: Mapping[str, Any]) -> str | None:
    cause = transition.get("cause")
    return cause.get("kind") if isinstance(cause, Mapping) else cause


def _alternation(who: Who, lines: list[Line], erased: bool) -> list[str]:
    """Enter and exit alternate and sequences have no gap, whatever the facts were; of an erased contact they may begin
    anew after any exit."""
    differences, last = [], dict[str, int]()
    for line in lines:
        segment, change, sequence, _ = line
        expected = last.get(segment, 0) + 1
        if erased and sequence == 1 and expected % 2:
            expected = 1
        if sequence != expected or change != ("enter" if sequence % 2 else "exit"):
            differences.append(
                f"{_name(who)}: the engine has {_words(line)}, after sequence {expected - 1} of that segment"
            )
        last[segment] = sequence
    return differences


def _order(who: Who, ours: list[Line], theirs: list[Line]) -> list[str]:
    if ours == theirs:
        return []
    if sorted(ours) == sorted(theirs):
        first = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        pair = f"{_words(ours[first])} by the recount, {_words(theirs[first])} by the engine"
        return [f"{_name(who)}: the same transitions in another order, first {pair}"]
    return [f"{_name(who)}: only the recount has {_words(line)}" for line in ours if line not in theirs] + [
        f"{_name(who)}: only the engine has {_words(line)}" for line in theirs if line not in ours
    ]


def _membership(ours: Members, theirs: Members, where: str) -> list[str]:
    differences = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, given = ours.get(key, set()), theirs.get(key, set())
        name = "/".join(key)
        differences += [
            f"{name}: {contact} is a member in the recount, not by {where}" for contact in sorted(mine - given)
        ]
        differences += [
            f"{name}: {contact} is a member by {where}, not in the recount" for contact in sorted(given - mine)
        ]
    return differences


def _name(who: Who) -> str:
    return who[1] if who[0] == "default" else "/".join(who)


def _words(line: Line) -> str:
    segment, change, sequence, at = line
    return f"{change} {segment} ({sequence}) at {text_of(at)}"
