"""`sequence`: distinct events in order, each soon enough after the one before.

True at t while there is a chain of facts e₁, e₂, …, one a step, each later than the one before by `at`, then arrival,
with eᵢ < eᵢ₋₁ + `within` of its step; with an outer `within`, t < eᵢ + `within` of every one of them. With `match` all
facts of the chain have the same single value at each path; what lacks one is in no chain. One fact may pass the tests
of several steps, and serves one of them in a chain; other facts may lie between.

Without an outer `within` a chain that was found stays true for good.

>>> steps = [{"event": "product_view"}, {"event": "cart_add", "within": "PT1H"}]
>>> Sequence.model_validate({"sequence": {"steps": steps, "match": "sku", "within": "P7D"}}).describe()
'viewed a product, then put something in the cart within 1 hour, of the same sku, all in the last 7 days'
"""

from __future__ import annotations

import collections.abc
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Paths, Window, mistake
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import EventDocument, Feature, Intake, WindowLength, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.matching import matcher_of
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.wording import done_words, duration_words, last_words

STEPS_MAX = 10
"""The longest sequence."""
VALUES_MAX = 1_000
"""Values on which chains still to be completed agree, of one contact and condition; with one more, the one that was
touched the longest ago is forgotten."""
SAME_LENGTH_MAX = 16
"""Chains of one length and value. One is enough, as a later one outlasts it in every way; only where months end may an
earlier one last longer, and of those there is one for each of the last days of a month."""

Chain = list[int]
"""`at` of the facts of a chain so far, in order (ms)."""


class Step(EventDocument):
    """One event of the sequence."""

    within: Window | None = None
    """How soon after the step before; without it, at any time after it."""


class SequenceOptions(Document):
    """Which events in which order, how soon, and what they agree on."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=STEPS_MAX)]
    """The events in order: `{event, where, within}` each, the first without `within`."""
    match: Paths | None = None
    """The property, or the properties, on which all events agree."""
    within: Window | None = None
    """The window in which all events lie."""

    @model_validator(mode="after")
    def _first_step(self) -> SequenceOptions:
        if self.steps[0].within is not None:
            hint = "take it out, or write within beside steps: the window of the whole sequence"
            raise mistake("steps", "the first step has none before it", hint, at=("steps", 0, "within"))
        return self


class Chains(Feature):
    """`[found, open]`: the complete chain that lasts the longest (None: there is none), and by what they agree on the
    chains still to be completed: of each length only those that no other outlasts, be it as a chain or for its next
    step. None: neither.

    A chain that lasts for good ends the search: what led to it is all that is kept, as a late fact, a refund or a
    retraction may have it found anew, and the journal may hold no more than its later part.
    """

    ordered: ClassVar[bool] = True

    def __init__(
        self,
        intakes: tuple[Intake, ...],
        identity: str,
        withins: tuple[WindowLength | None, ...],
        match: collections.abc.Sequence[str],
        window: WindowLength | None,
    ) -> None:
        spelled = "|".join(within.identity if within is not None else "" for within in (*withins, window))
        # A fact is taken as a later step first, so that it does not follow itself.
        super().__init__(f"sequence|{identity}|{spelled}|{list(match)}", intakes[::-1])
        self.withins = withins
        self.match = matcher_of(match)
        self.window = window

    def add(self, value: list[Any] | None, fact: Fact, role: int, as_of: int) -> list[Any] | None:
        found, chains = value if value is not None else (None, {})
        key = self.match(fact)
        if key is None or (found is not None and self.window is None):
            return value
        chain = self._longer(chains.get(key) or (), fact.at, role)
        if chain is None or self.end(chain) <= as_of:
            return value
        if len(chain) < len(self.withins):
            self._keep(chains, key, chain, as_of)
        elif found is None or self.end(chain) > self.end(found):
            found = chain
            if self.window is None:
                chains = {key: [chain[:-1]]} if chain[:-1] else {}
        return [found, chains]

    def fold(self, facts: Iterable[Fact], as_of: int, value: Any = None) -> Any:
        """As of other features, but facts at one instant come in order of arrival: they follow one another."""
        for fact in facts:
            for intake in self.intakes:
                if intake.takes(fact):
                    value = self.add(value, fact, intake.role, as_of)
        return value

    def counted_until(self, at: int) -> int:
        return NEVER if self.window is None else self.window.latest_end(at)

    def older(self, value: list[Any] | None, horizon: int) -> list[Any] | None:
        if value is None:
            return None
        found, chains = value
        if found is not None and found[-1] > horizon:
            found = None  # it is found again
        if found is not None and self.window is None:
            return [found, {}]
        beginnings: dict[str, list[Chain]] = {}
        for key, each in chains.items():
            begun = {tuple(chain[: bisect_right(chain, horizon)]) for chain in each} - {()}
            if begun:
                beginnings[key] = [list(chain) for chain in sorted(begun)]
        return [found, beginnings] if found is not None or beginnings else None

    def end(self, chain: Chain) -> int:
        """The first instant at which not all of the chain lies in the window."""
        if self.window is None:
            return NEVER
        return self.window.end(chain[0]) if self.window.fixed is not None else min(map(self.window.end, chain))

    def _due(self, chain: Chain) -> int:
        """The first instant that is too late for the chain's next step."""
        within = self.withins[len(chain)]
        return NEVER if within is None else within.end(chain[-1])

    def _longer(self, chains: Iterable[Chain], at: int, step: int) -> Chain | None:
        """The chain that a fact makes as this step, of those that are possible the one that lasts the longest."""
        if step == 0:
            return [at]
        before = [chain for chain in chains if len(chain) == step and self._due(chain) > at]
        return [*max(before, key=self.end), at] if before else None

    def _keep(self, chains: dict[str, list[Chain]], key: str, chain: Chain, as_of: int) -> None:
        at, due, end = chain[-1], self._due(chain), self.end(chain)
        alive = self._alive(chains.pop(key, ()), at, as_of)
        same = [each for each in alive if len(each) == len(chain)]
        if not any(self._due(each) >= due and self.end(each) >= end for each in same):
            same = [each for each in same if self._due(each) > due or self.end(each) > end][-SAME_LENGTH_MAX + 1 :]
            same.append(chain)
        chains[key] = [each for each in alive if len(each) != len(chain)] + same
        while not self._alive(chains[stalest := next(iter(chains))], at, as_of):
            del chains[stalest]
        if len(chains) > VALUES_MAX:
            for value in [value for value, each in chains.items() if not self._alive(each, at, as_of)]:
                del chains[value]
            while len(chains) > VALUES_MAX:
                del chains[next(iter(chains))]

    def _alive(self, chains: Iterable[Chain], at: int, as_of: int) -> list[Chain]:
        """The chains that facts after `at` may still complete, for an instant after as-of."""
        return [chain for chain in chains if self._due(chain) > at and self.end(chain) > as_of]


class Sequence(Document):
    """`sequence: {steps: [{event, where, within}, …], match, within}`"""

    sequence: SequenceOptions

    def compile(self, scope: Scope) -> Evaluate:
        """There is a chain."""
        feature = scope.share(self._chains(scope))
        key, end_of = feature.key, feature.end

        def evaluate(contact: Contact, t: int) -> Verdict:
            value = contact.features.get(key)
            if value is None or value[0] is None:
                return False, NEVER
            end = end_of(value[0])
            return (True, end) if end > t else (False, NEVER)

        return evaluate

    def _chains(self, scope: Scope) -> Chains:
        options = self.sequence
        taken = [intake_of(step.event, step.where, scope.calendar, role=n) for n, step in enumerate(options.steps)]
        return Chains(
            tuple(intake for intake, _ in taken),
            "|".join(identity for _, identity in taken),
            tuple(None if step.within is None else scope.window(step.within) for step in options.steps),
            options.match or (),
            None if options.within is None else scope.window(options.within),
        )

    def evidence(self, scope: Scope, facts: collections.abc.Sequence[Fact], t: int) -> list[Fact]:
        """The facts of the chain that lasts the longest; none where there is no chain."""
        chains = self._chains(scope)
        value = chains.fold(facts, t)
        if value is None or value[0] is None:
            return []
        by_step = chains.intakes[::-1]
        found: dict[str, list[Fact]] = {}  # by what they agree on: several may have facts at these instants
        for fact in facts:
            key = chains.match(fact)
            so_far = found.setdefault(key, []) if key is not None else []
            if key is not None and by_step[len(so_far)].takes(fact) and fact.at == value[0][len(so_far)]:
                so_far.append(fact)
                if len(so_far) == len(by_step):
                    return so_far
        raise AssertionError("a chain was found whose facts are not there")

    def describe(self) -> str:
        """Plain words."""
        options = self.sequence
        parts = []
        for step in options.steps:
            soon = f" within {duration_words(step.within)}" if step.within is not None else ""
            parts.append(f"{done_words(step.event, step.where)}{soon}")
        said = ", then ".join(parts)
        if options.match:
            said += f", of the same {' and '.join(options.match)}"
        if options.within is None:
            return said
        return f"{said}, {'all ' if len(parts) > 1 else ''}{last_words(options.within)}"


EXAMPLES = (
    Example(
        "Viewed and put in the cart within the hour, the same product",
        """
        segment: keen
        when:
          sequence:
            steps:
              - event: product_view
              - {event: cart_add, within: PT1H}
            match: sku
            within: P1D
        """,
        """
        2026-05-01T10:00:00Z product_view c-1 {"sku": "T-1"}
        2026-05-01T10:10:00Z product_view c-1 {"sku": "T-2"}
        2026-05-01T11:05:00Z cart_add c-1 {"sku": "T-1"}
        2026-05-01T11:06:00Z cart_add c-1 {"sku": "T-2"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T11:06:00.000Z enter keen c-1 event
        2026-05-02T10:10:00.000Z exit keen c-1 clock
        """,
    ),
)
