"""A condition without parts: which facts it looks at, and at which instants its verdict may change (DESIGN 5).

What each kind makes of its facts stands in engine.recount.rules and beside; no verdict is derived from an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.recount.facts import Fact
from engine.recount.instants import BEGINNING, NEVER, Duration, add, instant
from engine.recount.past import Past
from engine.recount.values import all_hold


class Unsupported(ValueError):
    """A definition says something that the recount can't evaluate."""


@dataclass(slots=True)
class Choice:
    """Which facts a leaf looks at: type patterns, tests, bounds on `at` (ms, `since ≤ at < until`)."""

    events: tuple[str, ...]
    where: Mapping[str, Any] = field(default_factory=dict)
    since: int = BEGINNING
    until: int = NEVER

    def takes_type(self, kind: str) -> bool:
        """Whether a type is among `events`, where a trailing `*` means any ending."""
        return any(kind.startswith(one[:-1]) if one.endswith("*") else kind == one for one in self.events)

    def passes(self, fact: Fact) -> bool:
        """Whether tests and bounds hold of a fact, whatever its type."""
        return self.since <= fact.at < self.until and all_hold(self.where, fact.properties)

    def takes(self, fact: Fact) -> bool:
        """Whether the fact is one to look at."""
        return self.takes_type(fact.type) and self.passes(fact)


def choice_of(said: Any, zone: str) -> Choice:
    """The choice that a type, a list of types, or `{event, where, since, until}` makes."""
    said = said if isinstance(said, Mapping) else {"event": said}
    events = said["event"]
    bounds = {name: instant(str(said[name]), zone) for name in ("since", "until") if said.get(name) is not None}
    return Choice(tuple([events] if isinstance(events, str) else events), said.get("where") or {}, **bounds)


Chosen = Sequence[Sequence[Fact]]  # for every choice of the leaf, its facts in (at, taken) order


def _no_choice(_options: Mapping[str, Any], _zone: str) -> tuple[Choice, ...]:
    return ()


def _each_length(leaf: Leaf) -> Iterable[tuple[Duration, ...]]:
    return ((length,) for length in leaf.lengths.values())


@dataclass(frozen=True)
class Kind:
    """What is the same for all leaves of one kind.

    options: the words under the condition's name, None where no object stands there
    verdict: (leaf, past, chosen, t) → the answer at `t`, which is not before any fact
    choices: (options, zone) → which facts are looked at
    changes: (leaf) → the sums of durations after a fact, or after the first one, at which the verdict may change
    of_contact: the types of facts that matter although no choice names them
    first_fact: whether the contact's first fact matters
    turns: (leaf, past, t) → instants, among which is the next one after `t` at which the verdict may change for what
        the contact is now, whatever facts were chosen; None: there are none
    every_turn: (leaf, past, low, high) → instants, among which are all such in low < t < high, for all that the contact
        ever was, found by going through the days one by one
    """

    options: tuple[str, ...] | None
    verdict: Callable[[Leaf, Past, Chosen, int], bool]
    choices: Callable[[Mapping[str, Any], str], tuple[Choice, ...]] = _no_choice
    changes: Callable[[Leaf], Iterable[tuple[Duration, ...]]] = _each_length
    of_contact: tuple[str, ...] = ()
    first_fact: bool = False
    turns: Callable[[Leaf, Past, int], Iterable[int]] | None = None
    every_turn: Callable[[Leaf, Past, int, int], Iterable[int]] | None = None


@dataclass(slots=True)
class Leaf:
    """One condition without parts. `changes`: as `Kind.changes` gives them."""

    kind: Kind
    spec: Mapping[str, Any]
    zone: str
    choices: tuple[Choice, ...] = ()
    lengths: Mapping[str, Duration] = field(default_factory=dict)
    changes: tuple[tuple[Duration, ...], ...] = ()
    values_of: dict[int, list[Any]] = field(default_factory=dict)  # by line: what a fact's properties give, read once

    def minds(self, kind: str) -> bool:
        """Whether a fact of this type can change the verdict."""
        return kind in self.kind.of_contact or any(choice.takes_type(kind) for choice in self.choices)

    def instants(self, at: int) -> Iterable[int]:
        """The instants (ms) at which the verdict may change because of a fact at `at`."""
        for lengths in self.changes:
            moment = at
            for length in lengths:
                moment = add(moment, length, self.zone)
            yield moment

    def next_turn(self, past: Past, t: int) -> int:
        """The next instant after `t` at which the verdict may change for what the contact is now; NEVER for none."""
        turns = () if self.kind.turns is None else self.kind.turns(self, past, t)
        return min((turn for turn in turns if turn > t), default=NEVER)

    def every_instant(self, past: Past, low: int, high: int) -> set[int]:
        """All instants in low < t < high at which the verdict may change, found without wit."""
        found = {moment for fact in past.facts for moment in self.instants(fact.at)}
        if self.kind.every_turn is not None:
            found.update(self.kind.every_turn(self, past, low, high))
        return {moment for moment in found if low < moment < high}

    def after(self, at: int, name: str) -> int:
        """`at` plus the duration under `name`, by the segment's calendar."""
        return add(at, self.lengths[name], self.zone)

    def choose(self, past: Past) -> list[list[Fact]]:
        """For every choice its facts, without the purchases of which refunds left nothing."""
        gone = {line for line, left in past.left.items() if left is None}
        facts = [fact for fact in past.facts if fact.line not in gone]
        return [[fact for fact in facts if choice.takes(fact)] for choice in self.choices]

    def verdict(self, past: Past, chosen: Chosen, t: int) -> bool:
        """The answer at `t` (ms), which is not before any fact of `past`."""
        return self.kind.verdict(self, past, chosen, t)
