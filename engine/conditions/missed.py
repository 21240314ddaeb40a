"""`missed`: after some `after` event no agreeing `expect` event came in time. "Viewed, not put in the cart for two
hours".

True at t when some `after` event at a has a + within ≤ t (< a + within + for) and no `expect` event agreeing on
`match` lies in
[a, t]; one at exactly a + within is in time.

>>> Missed.model_validate({"missed": {"after": "product_view", "expect": "cart_add", "within": "PT2H"}}).describe()
'product view with no cart add within 2 hours'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Path, Window
from engine.conditions.evidence import in_turn
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake, WindowLength, event_words, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.matching import Events, matcher
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.wording import duration_words

AFTER, EXPECT = 0, 1
DUE, GONE, MATCH = 0, 1, 2
OPEN_MAX = 1_000
"""Unmet expectations of one contact and condition; with one more the oldest is forgotten."""


class MissedOptions(Document):
    """`expect` should have come `within` so long after `after`; `for` limits how long it is held against them."""

    after: Events
    """What should be followed: types, or `{event, where}`."""
    expect: Events
    """What should follow: types, or `{event, where}`."""
    within: Window
    """How soon; at exactly this long after is in time."""
    match: Path | None = None
    """The property that must agree, as in "per product"."""
    for_: Window | None = Field(default=None, alias="for")
    """How long it is held against them; without it, until it is met."""


class Unmet(Feature):
    """Unmet `after` events in order: `[a + within, a + within + for, what it agrees on]`.

    Without `for`, one that agrees with an earlier unmet one adds nothing: whatever meets the earlier meets it too.
    """

    ordered: ClassVar[bool] = True

    def __init__(
        self,
        intakes: tuple[Intake, Intake],
        identity: str,
        match: str | None,
        within: WindowLength,
        for_: WindowLength | None,
    ) -> None:
        super().__init__(f"missed|{identity}|{match}|{within.identity}|{for_.identity if for_ else ''}", intakes)
        self.match = matcher(match)
        self.within = within
        self.for_ = for_

    def add(self, value: list[list[Any]] | None, fact: Fact, role: int, as_of: int) -> list[list[Any]] | None:
        match = self.match(fact)
        if role == EXPECT:
            if not value or match is None:
                return value
            return [entry for entry in value if entry[MATCH] != match] or None
        due = self.within.end(fact.at)
        if value is not None and len(value) >= OPEN_MAX:
            value = value[1:]
        if self.for_ is None:
            for entry in value or ():
                if entry[MATCH] == match:
                    entry[DUE] = min(entry[DUE], due)
                    return value
            return [*(value or ()), [due, NEVER, match]]
        gone = self.for_.end(due)
        kept = [entry for entry in value or () if entry[GONE] > as_of]
        if gone > as_of:
            kept.append([due, gone, match])
        return kept or None

    def counted_until(self, at: int) -> int:
        return NEVER if self.for_ is None else self.for_.latest_end(self.within.latest_end(at))

    def older(self, value: list[list[Any]] | None, horizon: int) -> list[list[Any]] | None:
        end = self.within.end(max(horizon, 0))
        return [list(entry) for entry in value or () if entry[DUE] <= end] or None


class Missed(Document):
    """`missed: {after, expect, within, match, for}`"""

    missed: MissedOptions

    def compile(self, scope: Scope) -> Evaluate:
        """Some expectation is due and unmet."""
        options = self.missed
        after, after_identity = intake_of(options.after.event, options.after.where, scope.calendar, role=AFTER)
        expect, expect_identity = intake_of(options.expect.event, options.expect.where, scope.calendar, role=EXPECT)
        within = scope.window(options.within)
        for_ = scope.window(options.for_) if options.for_ is not None else None
        key = scope.share(
            Unmet((after, expect), f"{after_identity}|{expect_identity}", options.match, within, for_)
        ).key

        def evaluate(contact: Contact, t: int) -> Verdict:
            last_gone, next_due = -1, NEVER
            for due, gone, _ in contact.features.get(key) or ():
                if due > t:
                    if due < next_due:
                        next_due = due
                elif gone > t and gone > last_gone:
                    last_gone = gone
            return (True, last_gone) if last_gone >= 0 else (False, next_due)

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The `after` events that are held against the contact; where there are none, those still waited for."""
        options = self.missed
        after, _ = intake_of(options.after.event, options.after.where, scope.calendar, role=AFTER)
        expect, _ = intake_of(options.expect.event, options.expect.where, scope.calendar, role=EXPECT)
        within, match = scope.window(options.within), matcher(options.match)
        for_ = scope.window(options.for_) if options.for_ is not None else None
        unmet: list[Fact] = []
        for fact, role in in_turn(facts, (after, expect)):
            agreed = match(fact)
            if role == AFTER:
                unmet.append(fact)
            elif agreed is not None:
                unmet = [each for each in unmet if match(each) != agreed]
        due = [each for each in unmet if within.end(each.at) <= t]
        held = [each for each in due if for_ is None or for_.end(within.end(each.at)) > t]
        return held or [each for each in unmet if within.end(each.at) > t]

    def describe(self) -> str:
        """Plain words."""
        options = self.missed
        after, expect = (event_words(each.event, each.where) for each in (options.after, options.expect))
        agreeing = f" of the same {options.match}" if options.match else ""
        held = f", for {duration_words(options.for_)} from then" if options.for_ else ""
        return f"{after} with no {expect}{agreeing} within {duration_words(options.within)}{held}"


EXAMPLES = (
    Example(
        "Viewed, and left out of the cart for two hours",
        """
        segment: left-out
        when:
          missed: {after: product_view, expect: cart_add, within: PT2H, match: sku, for: P1D}
        """,
        """
        2026-05-01T10:00:00Z product_view c-1 {"sku": "T-1"}
        2026-05-01T11:59:59Z cart_add c-1 {"sku": "T-1"}
        2026-05-01T12:00:00Z product_view c-1 {"sku": "T-2"}
        2026-05-01T12:30:00Z cart_add c-1 {"sku": "T-1"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T14:00:00.000Z enter left-out c-1 clock
        2026-05-02T14:00:00.000Z exit left-out c-1 clock
        """,
    ),
)
