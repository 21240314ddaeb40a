"""The facts that a verdict rests on, for explanations: what every condition's `evidence` picks from.

`facts` are always a contact's effective facts (refunds and retractions worked out) at or before the instant of the
verdict, in order of `at`, then arrival. Nothing here is on the way of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from engine.conditions.fact import Fact
from engine.conditions.feature import Intake, WindowLength
from engine.conditions.scope import Evaluate, Scope


class Leaf(Protocol):
    """A condition that looks at the contact itself, and not at other conditions."""

    def compile(self, scope: Scope) -> Evaluate: ...
    def describe(self) -> str: ...
    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The facts that the verdict at `t` (ms) rests on, in order; none where it rests on absence."""


def counted(intake: Intake, window: WindowLength | None, facts: Sequence[Fact], t: int) -> list[Fact]:
    """The facts that `intake` takes and that still count in the window at `t`; without one, all that it takes."""
    return [fact for fact in facts if intake.takes(fact) and (window is None or window.end(fact.at) > t)]


def in_turn(facts: Sequence[Fact], intakes: Sequence[Intake]) -> list[tuple[Fact, int]]:
    """The facts with the roles in which they are taken, as an ordered feature gets them: by `at`, then role."""
    taken = [(fact, intake.role) for fact in facts for intake in intakes if intake.takes(fact)]
    return sorted(taken, key=lambda pair: (pair[0].at, pair[1]))


def last_naming(
    facts: Sequence[Fact], types: Iterable[str], names: Iterable[str], named: Callable[[Fact], Iterable[Any]]
) -> list[Fact]:
    """For each of `names` the last fact of these types that names it (`named` gives what a fact names), each once."""
    wanted, found, kinds = set(names), list[Fact](), set(types)
    for fact in reversed(facts):
        if not wanted:
            break
        if fact.type in kinds and (hit := wanted.intersection(each for each in named(fact) if type(each) is str)):
            wanted -= hit
            found.append(fact)
    return found[::-1]


def attribute_facts(facts: Sequence[Fact], names: Iterable[str]) -> list[Fact]:
    """The facts that set these top-level attributes to what they are, or took them away."""
    return last_naming(facts, ("contact_updated",), names, lambda fact: fact.properties)


def listed(property_name: str) -> Callable[[Fact], list[Any]]:
    """A function from a fact to the names in a property that is a text or a list of texts."""

    def names(fact: Fact) -> list[Any]:
        value = fact.properties.get(property_name)
        return value if type(value) is list else [value]

    return names
