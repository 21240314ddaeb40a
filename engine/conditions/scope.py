"""What compiling one segment's rule collects: the shared features, and which changes of a contact the rule looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.conditions.contact import Contact
from engine.conditions.feature import Feature, WindowLength
from engine.conditions.instants import Duration
from engine.conditions.scoring import Scoring
from engine.conditions.zones import Calendar

Verdict = tuple[bool, int]
"""A truth value, and the instant before which no verdict may change without a new fact (NEVER: none)."""
Evaluate = Callable[[Contact, int], Verdict]
"""The verdict on a contact at an instant at or after its as-of."""

F = TypeVar("F", bound=Feature)


@dataclass(slots=True)
class Scope:
    """Where a rule is compiled: its calendar, the features shared by all rules, and what this rule depends on."""

    calendar: Calendar
    features: dict[int, Feature]
    segment_key: Callable[[str], int]
    uses: set[int] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    """Channels whose consent it looks at."""
    nested: set[str] = field(default_factory=set)
    known: bool = False
    models: Mapping[str, Scoring] = field(default_factory=dict)
    """The models of the workspace, by id."""

    def model(self, name: str) -> Scoring:
        """The model that `rfm` names. Raises LookupError for one that is not there."""
        found = self.models.get(name)
        if found is None:
            raise LookupError(f"there is no model {name!r}")
        return found

    def window(self, length: Duration) -> WindowLength:
        """A window of this length by the rule's calendar."""
        return WindowLength(length, self.calendar)

    def share(self, feature: F) -> F:
        """The one feature with this identity: the one that exists, or this."""
        found: Any = self.features.setdefault(feature.key, feature)
        if found.identity != feature.identity:
            raise AssertionError(f"two features have the digest {feature.key}: {found.identity} and {feature.identity}")
        self.uses.add(feature.key)
        return found  # type: ignore[no-any-return]
