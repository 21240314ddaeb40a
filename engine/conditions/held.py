"""`held`: an attribute has met a test without a break for so long, or for less.

With s the instant since which every value of the attribute has met the test: `for: W`, and `for: {gte: W}`, hold where
s + W ≤ t; `for: {lt: W}` where the test is met and t < s + W. An update that leaves the test met is no break. A test
that is met by an attribute that is not set (`ne`, `not_in`, `exists: false`) has been met since the contact's earliest
fact, until an update breaks it.

Of updates that the journal no longer holds, the contact's present value is known, and since when at the latest it has
met the test; a late fact, a retraction or a new segment brings no older one back.

>>> Held.model_validate({"held": {"path": "status", "is": "trial", "for": "P7D"}}).describe()
'status is trial, for at least 7 days without a break'
>>> Held.model_validate({"held": {"path": "status", "is": {"ne": "paid"}, "for": {"lt": "P1M"}}}).describe()
'status is not paid, for less than 1 month'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from engine.conditions.aggregating import storable
from engine.conditions.contact import Contact
from engine.conditions.document import Document, Path, Window, mistake
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake
from engine.conditions.instants import NEVER, Duration
from engine.conditions.paths import parse_path, reader_at
from engine.conditions.profile import attribute_reader
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.values import AnyTest, Test, compile_values, where_identity, words
from engine.conditions.wording import duration_words

MET, SINCE, BEFORE = 0, 1, 2
"""Places in the feature's value: 1 while the test is met, the instant since which that is as it is, and the instant of
the change before that one (-1: there was none)."""


def _short_form(value: Any) -> Any:
    return {"gte": value} if isinstance(value, str | bool | int | float | Duration) else value


class HeldFor(Document):
    """One of the two: at least so long, or less."""

    lt: Window | None = None
    gte: Window | None = None

    @model_validator(mode="after")
    def _one(self) -> HeldFor:
        if (self.lt is None) == (self.gte is None):
            raise mistake("held", "for needs one duration", "write for: P7D, {gte: P7D} or {lt: P7D}")
        return self


class HeldOptions(Document):
    """Which attribute meets which test, and for how long."""

    path: Path
    """The attribute, by path."""
    is_: Annotated[AnyTest, Field(alias="is")]
    """The test that it has met."""
    for_: Annotated[HeldFor, BeforeValidator(_short_form), Field(alias="for")]
    """At least so long; `{lt: P7D}`: for less than that."""


class MetSince(Feature):
    """`[met, since, the change before]`, see MET; None as long as the test stands as it does of what is not set.

    The change before tells, when a late fact has all folded anew, how the test stood where the journal begins.
    """

    ordered: ClassVar[bool] = True

    def __init__(self, path: str, test: Test) -> None:
        names = parse_path(path)
        name = self.name = names[0]
        intake = Intake(
            frozenset(("contact_updated",)), (), lambda properties: name in properties, f"sets {name}", 0, NEVER
        )
        super().__init__(f"held|{where_identity({path: test})}", (intake,))
        self._read = reader_at(names)
        self._passes = compile_values(test)
        self.met_unset = self._passes([])

    def meets(self, value: Any) -> bool:
        """Whether the test is met once the attribute that the path begins with has this value, None for unset."""
        return self._passes(self._read({self.name: storable(value)}))

    def add(self, value: list[int] | None, fact: Fact, role: int, as_of: int) -> list[int] | None:
        met = self.meets(fact.properties.get(self.name))
        if met == (self.met_unset if value is None else value[MET]):
            return value
        return [int(met), fact.at, -1 if value is None else value[SINCE]]

    def older(self, value: list[int] | None, horizon: int) -> list[int] | None:
        if value is None or value[SINCE] <= horizon:
            return value
        return [1 - value[MET], value[BEFORE], -1] if 0 <= value[BEFORE] <= horizon else None

    def forgotten(self, contact: Contact, horizon: int) -> list[int] | None:
        entry = contact.attributes.get(self.name) if contact.attributes is not None else None
        return [int(self.meets(entry[1])), entry[0], -1] if entry is not None and entry[0] <= horizon else None


class Held(Document):
    """`held: {path, is, for}`"""

    held: HeldOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The attribute meets the test, and has done so for long enough, or not yet too long."""
        options = self.held
        feature = scope.share(MetSince(options.path, options.is_))
        key, met_unset = feature.key, feature.met_unset
        read, passes = attribute_reader(options.path), compile_values(options.is_)
        length = options.for_.gte or options.for_.lt
        assert length is not None
        window, long_enough = scope.window(length), options.for_.gte is not None
        scope.attributes.add(feature.name)
        scope.known = scope.known or met_unset

        def evaluate(contact: Contact, t: int) -> Verdict:
            if not passes(read(contact)):
                return False, NEVER
            value = contact.features.get(key)
            # Met, and no update said so: never set, or set by one that was older than the journal when it came.
            end = window.end(value[SINCE] if value is not None and value[MET] else contact.known_at)
            return (not long_enough, end) if t < end else (long_enough, NEVER)

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The updates of the attribute since it has met the test; the last one where it does not."""
        feature = MetSince(self.held.path, self.held.is_)
        found: list[Fact] = []
        was_met = False
        for fact in facts:
            if feature.intakes[0].takes(fact):
                met = feature.meets(fact.properties.get(feature.name))
                if not (was_met and met):
                    found.clear()
                found.append(fact)
                was_met = met
        return found

    def describe(self) -> str:
        """Plain words."""
        options = self.held
        said = f"{options.path} {words(options.is_)}, for "
        if options.for_.lt is not None:
            return f"{said}less than {duration_words(options.for_.lt)}"
        assert options.for_.gte is not None
        return f"{said}at least {duration_words(options.for_.gte)} without a break"


EXAMPLES = (
    Example(
        "A trial for a week; then no longer new",
        """
        segment: trial-week
        when: {held: {path: status, is: trial, for: P7D}}
        ---
        segment: fresh-trial
        when: {held: {path: status, is: trial, for: {lt: P7D}}}
        """,
        """
        2026-05-01T10:00:00Z contact_updated c-1 {"status": "trial"}
        2026-05-04T10:00:00Z contact_updated c-1 {"status": "trial", "city": "Kazan"}
        2026-05-20T10:00:00Z contact_updated c-1 {"status": "paid"}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter fresh-trial c-1 event
        2026-05-08T10:00:00.000Z exit fresh-trial c-1 clock
        2026-05-08T10:00:00.000Z enter trial-week c-1 clock
        2026-05-20T10:00:00.000Z exit trial-week c-1 event
        """,
    ),
)
