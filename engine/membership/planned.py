"""One segment, compiled: its answer for a contact at an instant, and what its transitions carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from engine.conditions.aggregating import EverValue
from engine.conditions.contact import Contact
from engine.conditions.feature import Feature, digest, intake_of
from engine.conditions.instants import NEVER
from engine.conditions.paths import parse_path, path_text
from engine.conditions.picking import value_reader
from engine.conditions.profile import attribute_reader
from engine.conditions.scope import Scope, Verdict
from engine.conditions.scoring import Scoring
from engine.conditions.values import where_identity
from engine.conditions.zones import UTC_CALENDAR, Calendar
from engine.definitions.document import Segment
from engine.membership.gate import gate_of

Payload = Callable[[Contact], dict[str, Any]]
Rule = Callable[[Contact, int], Verdict]


def segment_key(workspace: str, segment: str) -> int:
    """The digest that stands for a segment in contacts' states."""
    return digest(f"segment|{workspace}|{segment}")


class PlannedSegment:
    """One segment, compiled. `rank` is its place in the order of judging within its workspace."""

    __slots__ = (
        "document", "gate", "group", "id", "judged", "kept", "key", "open_unknown", "paused", "payload", "priority",
        "rank", "rule", "scope", "version", "workspace",
    )  # fmt: skip

    def __init__(
        self, document: Segment, version: int, rank: int, features: dict[int, Feature], models: Mapping[str, Scoring],
        judged: int = 0, paused: bool = False,
    ) -> None:  # fmt: skip
        """`judged` is the digest of what its answers rest on (`engine.membership.filled`). Of a paused segment the
        rule is frozen: who is in stays in, until the gate or an exclusion takes them out, and nobody enters."""
        self.document = document
        self.workspace = document.workspace
        self.id = document.segment
        self.version = version
        self.rank = rank
        self.key = segment_key(document.workspace, document.segment)
        self.judged = judged
        self.paused = paused
        self.kept = document.members_topic
        self.group = document.group.name if document.group is not None else None
        self.priority = document.group.priority if document.group is not None else 0
        self.gate = gate_of(document.mailable)
        self._compile(document.calendar, features, models)
        self.open_unknown = self.gate is None or self.gate(None)
        self.payload = _payload(document.payload, self.scope)

    def by_calendar(self, calendar: Calendar, features: dict[int, Feature]) -> PlannedSegment:
        """The same segment with its rule by another calendar; the features that the rule needs are in `features`, or
        are put there."""
        found = copy(self)
        found._compile(calendar, features, self.scope.models)
        return found

    def going(self) -> PlannedSegment:
        """The same segment as if it were not paused."""
        found = copy(self)
        found.paused = False
        found._compile(self.scope.calendar, {**self.scope.features}, self.scope.models)
        return found

    def _compile(self, calendar: Calendar, features: dict[int, Feature], models: Mapping[str, Scoring]) -> None:
        document = self.document
        self.scope = Scope(calendar, features, lambda name: segment_key(document.workspace, name), models=models)
        # A paused rule is compiled too: its features are kept up to date for when it is resumed.
        self.rule = _nobody if document.when is None else document.when.compile(self.scope)
        if self.paused:
            self.rule = _as_it_is(self.key)

    def answer(self, contact: Contact, t: int) -> Verdict:
        """The verdict behind the consent gate."""
        if self.gate is not None and not self.gate(contact.consent):
            return False, NEVER
        return self.rule(contact, t)

    def pinned_answer(self, contact: Contact, included: bool) -> Verdict:
        """The answer for a contact that is pinned here: excluded never, included wherever the gate is open."""
        if not included or (self.gate is not None and not self.gate(contact.consent)):
            return False, NEVER
        return self.rule(contact, 0) if self.paused else (True, NEVER)


def _as_it_is(key: int) -> Rule:
    """The frozen answer: as the contact was when the segment was paused, or has left since."""
    return lambda contact, _: (contact.is_member(key), NEVER)


def _nobody(contact: Contact, t: int) -> Verdict:
    return False, NEVER


def _payload(paths: Sequence[str], scope: Scope) -> Payload | None:
    """A function from a contact to the fields that its transitions carry; null where there is none."""
    if not paths:
        return None
    readers: list[tuple[str, Callable[[Contact], list[Any]]]] = []
    judged = set(scope.uses), set(scope.attributes)
    for path in paths:
        names = parse_path(path)
        if names[0] == "last":
            event, rest = names[1], path_text(names[2:])
            intake, identity = intake_of([event], {}, UTC_CALENDAR)
            feature = scope.share(
                EverValue("last", intake, f"{rest}|{where_identity({})}|{identity}", value_reader(rest, {}))
            )
            readers.append((path, _feature_reader(feature)))
        else:
            readers.append((path, attribute_reader(path)))

    scope.uses, scope.attributes = judged  # what is only carried touches nobody

    def fields(contact: Contact) -> dict[str, Any]:
        found = {}
        for path, read in readers:
            values = read(contact)
            found[path] = None if not values else values[0] if len(values) == 1 else values
        return found

    return fields


def _feature_reader(feature: EverValue) -> Callable[[Contact], list[Any]]:
    key, figure = feature.key, feature.figure
    return lambda contact: figure(contact.features.get(key), 0)[0]
