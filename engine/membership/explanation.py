"""What an explanation holds (DESIGN.md 1: "an answer to why"), and its plain JSON.

Instants are whole milliseconds inside and RFC 3339 on the wire. `as_json` and `from_json` are each other's reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.conditions.instants import format_instant, parse_instant


class Instant(int):
    """Milliseconds since the epoch, in a field that is RFC 3339 on the wire."""


class FactShown(msgspec.Struct, frozen=True):
    """One fact that something rests on."""

    id: str
    type: str
    at: Instant


class Next(msgspec.Struct, frozen=True):
    """When something will change if nothing happens; `at` None: never. Not `exact`: not before `at`."""

    at: Instant | None
    exact: bool = True


class Cause(msgspec.Struct, frozen=True):
    """What a transition came from, as in its `cause` (DESIGN.md 6)."""

    kind: str
    event_id: str | None = None
    event_type: str | None = None
    event_at: Instant | None = None


class Decision(msgspec.Struct, frozen=True):
    """What decided: `by` is exclude, gate, paused, include, rule, group or unknown (no fact names the contact by then).

    `segment` is the one of the group that is in instead; `facts` what closed the gate.
    """

    by: str
    words: str
    segment: str | None = None
    facts: list[FactShown] = []


class Basis(msgspec.Struct, frozen=True):
    """What the answer is made from: `of` is state (as it stands, time passed on to then) or journal (folded anew).

    `facts` is how many journaled facts count by then; `older` how many more were taken once that the journal does not
    keep any more: what rests on them alone is not told, and of a past instant not counted. `since` is the instant up
    to which facts may be missing, None where none is.
    """

    of: str
    facts: int
    older: int
    since: Instant | None = None


class Node(msgspec.Struct):
    """One condition of the rule: a leaf, or `all`, `any`, `none`, `not` with `children`.

    `until`: its truth is known to hold until then without a new fact, None for ever; `next`, of leaves: when that truth
    really changes. `facts` are the newest it rests on, `facts_all` how many there are. `would_change` marks the leaves
    of one smallest set whose change would change the answer. `nested` explains the segment of an `in_segment`,
    without its rule where that was not asked for. `unheld` marks leaves on which facts that are no longer in the
    journal might have a say: they are counted only where the condition was there when they came, and of a past instant
    not at all.
    """

    condition: str
    path: str
    words: str
    truth: bool
    until: Instant | None
    next: Next | None = None
    facts: list[FactShown] = []
    facts_all: int = 0
    would_change: bool = False
    children: list[Node] = []
    nested: Explanation | None = None
    unheld: bool = False


class Explanation(msgspec.Struct):
    """Why a contact is in a segment, or is not, at the instant `at`, by the present definition.

    `since` is the instant of the transition that the present answer came by, None where there was none; `cause` is what
    that came from, None where nobody remembers. `smallest` are the smallest sets of leaves, by their paths, whose
    change would change the answer, the marked one first; `needed` says in words what else would have to change. `next`
    is when the answer changes if nothing happens.
    """

    workspace: str
    segment: str
    name: str
    version: int
    contact: str
    at: Instant
    member: bool
    since: Instant | None
    cause: Cause | None
    decided: Decision
    rule: Node | None
    smallest: list[list[str]]
    needed: list[str]
    next: Next
    basis: Basis


class Unknown(LookupError):
    """Nothing can be explained. The text is one paragraph; `hint` is its end, with names like the one asked for."""

    def __init__(self, problem: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{problem} {hint}".rstrip())


class UnknownSegment(Unknown):
    """A segment that is not in force."""

    def __init__(self, workspace: str, segment: str, hint: str = "") -> None:
        super().__init__(f"There is no segment {segment!r} in workspace {workspace}.", hint)


class UnknownContact(Unknown):
    """A contact that no fact names."""

    def __init__(self, workspace: str, contact: str, near: Sequence[str] = ()) -> None:
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"No fact names the contact {contact!r} in workspace {workspace}.", hint)


class TooFarAhead(Unknown):
    """An instant to come that lies behind too many changes by the clock of the day."""

    def __init__(self, at: int) -> None:
        super().__init__(f"{format_instant(at)} is too far ahead: too much comes and goes by the clock until then.")


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation in plain JSON."""
    found: dict[str, Any] = msgspec.to_builtins(explanation, enc_hook=_written)
    return found


def from_json(document: dict[str, Any]) -> Explanation:
    """The explanation in plain JSON that `as_json` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.convert(document, Explanation, dec_hook=_read)


def _written(value: Any) -> str:
    return format_instant(int(value))


def _read(_: type, value: Any) -> Instant:
    return Instant(parse_instant(value))
