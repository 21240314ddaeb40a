"""The plan: all active segments compiled together, with shared features and an index from facts to segments."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from types import MappingProxyType
from typing import Any
from weakref import ref
from zoneinfo import ZoneInfo

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import ContactFeature, Feature, digest
from engine.conditions.first_touch import FirstTouch
from engine.conditions.instants import NEVER
from engine.conditions.scoring import Scoring
from engine.conditions.values import PropertyTest
from engine.conditions.zones import ATTRIBUTE, UTC_CALENDAR, Calendar, zone_of
from engine.definitions.document import Segment
from engine.definitions.graph import judging_order
from engine.definitions.model import Model
from engine.membership.filled import Filled, judged_digest
from engine.membership.gate import Gate, gate_of
from engine.membership.judge import judge
from engine.membership.placement import store_key, wire_key
from engine.membership.planned import PlannedSegment, segment_key

TYPES_CACHED = 10_000
"""Event types whose probes are remembered: more come from a mistake upstream."""
TOUCHES_CACHED = 100_000
"""Sets of segments remembered by what touched them."""
SINCE_CACHED = 16
"""Plans that contacts may still be under of which it is remembered what is new since."""
ZONES_KEPT = 100
"""Time zones of contacts by which a workspace's rules stay compiled; beyond it the one met first is compiled anew when
it is met again."""


class Probe:
    """A test of an event, made once for all features that share it, and those features with their roles."""

    __slots__ = ("bit", "bounded", "since", "takers", "test", "until")

    def __init__(self, bit: int, test: PropertyTest | None, since: int, until: int) -> None:
        self.bit = bit
        self.test = test
        self.since = since
        self.until = until
        self.bounded = since > 0 or until < NEVER
        self.takers: list[tuple[Feature, int, int]] = []
        """Feature, its key, and the role in which it takes the event."""

    def passes(self, fact: Fact) -> bool:
        """Whether a fact of the type is meant."""
        return self.since <= fact.at < self.until and (self.test is None or self.test(fact.properties))


class TypePlan:
    """What an event of one type can touch: the probes to make, and by the bits of those that passed the segments to
    judge."""

    __slots__ = ("probes", "ranks", "segments")

    def __init__(self, probes: list[Probe]) -> None:
        self.probes = probes
        self.ranks: dict[int, tuple[int, ...]] = {}
        self.segments: dict[int, tuple[PlannedSegment, ...]] = {}


class WorkspacePlan:
    """One workspace's segments in the order of judging, and the index from what changes to whom it may touch."""

    def __init__(
        self,
        documents: Sequence[tuple[Segment, int]],
        features: dict[int, Feature],
        models: Mapping[str, Scoring] = MappingProxyType({}),
        paused: Collection[str] = (),
        touch: FirstTouch | None = None,
    ) -> None:
        """`paused` are the ids of those that are; `touch` tells where contacts came from."""
        versions = {document.segment: version for document, version in documents}
        order = judging_order([document for document, _ in documents])
        groups: dict[str, list[tuple[int, str]]] = {}
        for document in order:
            if document.group is not None:
                groups.setdefault(document.group.name, []).append((document.group.priority, document.segment))
        self.segments: list[PlannedSegment] = []
        for rank, document in enumerate(order):
            frozen = document.segment in paused
            judged = judged_digest(document, frozen, models, versions, groups)
            version = versions[document.segment]
            planned = PlannedSegment(document, version, rank, features, models, judged, frozen)
            # With its features: another version of the engine may give the same words others.
            planned.judged = digest(f"{judged}|{sorted(planned.scope.uses)}")
            self.segments.append(planned)
        self.by_key = {segment.key: segment for segment in self.segments}
        self.touch = touch
        """A feature that no segment looks at, and no probe feeds: `take_fact` does."""
        if touch is not None:
            features[touch.key] = touch
        self.features = {key: features[key] for key in sorted(features)}
        self.money = [
            feature
            for feature in self.features.values()
            if any(intake.takes_type("purchase") for intake in feature.intakes)
        ]
        self.of_contact = [feature for feature in self.features.values() if isinstance(feature, ContactFeature)]
        """What is set when a contact is first seen, and never changes."""
        self._with = self._dependents()
        users: dict[int, list[int]] = {}
        for segment in self.segments:
            for key in segment.scope.uses:
                users.setdefault(key, []).append(segment.rank)
        self._users = {key: tuple(ranks) for key, ranks in users.items()}
        self.by_attribute = self._named(lambda segment: segment.scope.attributes)
        self.by_tag = self._named(lambda segment: segment.scope.tags)
        self.by_list = self._named(lambda segment: segment.scope.lists)
        self.by_channel = self._named(lambda segment: segment.scope.channels)
        self.gates: list[tuple[Gate, tuple[int, ...]]] = []
        for gate, document_gate in _distinct_gates(order):
            ranks = tuple(
                segment.rank
                for segment, document in zip(self.segments, order, strict=True)
                if document.mailable == document_gate
            )
            self.gates.append((gate, ranks))
        self.by_age = tuple(segment.rank for segment in self.segments if segment.scope.known)
        self.pins: dict[str, dict[int, bool]] = {}
        for rank, document in enumerate(order):
            for contact in document.include:
                self.pins.setdefault(contact, {})[rank] = True
            for contact in document.exclude:
                self.pins.setdefault(contact, {})[rank] = False
        self.everyone: tuple[int, ...] = ()
        """Ranks of the segments that are not simply false of a contact of whom nothing is known; set by
        compile_plan."""
        self._types: dict[str, TypePlan] = {}
        self._touched: dict[tuple[int, ...], tuple[PlannedSegment, ...]] = {}
        self._since: dict[tuple[int, str], tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._takers: dict[str, list[int]] = {}
        """Keys of the features that take events of a type, but for those that name types by a prefix."""
        self._prefixed: list[int] = []
        for key, feature in self.features.items():
            if feature is not touch:
                for name in {name for intake in feature.intakes for name in intake.names}:
                    self._takers.setdefault(name, []).append(key)
                if any(intake.prefixes for intake in feature.intakes):
                    self._prefixed.append(key)
        self._going: WorkspacePlan | None = None
        self.own = tuple(segment.rank for segment in self.segments if segment.document.calendar.own)
        """Ranks of the segments that follow each contact's own time zone; here they follow UTC."""
        by_utc: dict[int, Feature] = {}
        own = [self.segments[rank] for rank in self.own]
        for segment in own:
            segment.by_calendar(UTC_CALENDAR, by_utc)
        # An identity holds the calendar wherever the value depends on it.
        self.zoned = sorted({key for segment in own for key in segment.scope.uses} - by_utc.keys())
        """Keys of the features whose value depends on the contact's own zone."""
        # No plan refers to itself: while a worker is busy, only what nothing refers to any more leaves the memory.
        self._by_zone: dict[str, WorkspacePlan] = {}
        self._home: ref[WorkspacePlan] | None = None

    def for_contact(self, contact: Contact) -> WorkspacePlan:
        """This plan by the time zone that the contact's attribute names: the same ranks and keys, other rules behind
        those in `own` and other features behind those in `zoned`."""
        if not self.own:
            return self
        entry = contact.attributes.get(ATTRIBUTE) if contact.attributes is not None else None
        name = entry[1] if entry is not None and type(entry[1]) is str else "UTC"
        home = self if self._home is None else self._home() or self
        found = home if name == "UTC" else home._by_zone.get(name)
        return home._in_zone(zone_of(name)) if found is None else found

    def _in_zone(self, zone: ZoneInfo | None) -> WorkspacePlan:
        if zone is None:
            return self
        if len(self._by_zone) >= ZONES_KEPT:
            del self._by_zone[next(iter(self._by_zone))]
        found = copy(self)
        found._by_zone, found._home = {}, ref(self)
        features = {**self.features}
        for key in self.zoned:
            del features[key]
        found.segments = list(self.segments)
        for rank in self.own:
            found.segments[rank] = self.segments[rank].by_calendar(Calendar(zone, own=True), features)
        found.by_key = {segment.key: segment for segment in found.segments}
        found.features = {key: features[key] for key in self.features}
        found.money = [features[feature.key] for feature in self.money]
        found._types, found._touched = {}, {}
        self._by_zone[zone.key] = found
        return found

    def ready_for(self, former: WorkspacePlan) -> None:
        """Compile the rules by the time zones that contacts had under the former plan, before a fact waits for it."""
        if self.own:
            for name in list(former._by_zone):
                if name not in self._by_zone:
                    self._in_zone(zone_of(name))

    def going(self) -> WorkspacePlan:
        """This plan as if nothing in it were paused."""
        if not any(segment.paused for segment in self.segments):
            return self
        if self._going is not None:
            return self._going
        found = self._going = copy(self)
        found.segments = [segment.going() if segment.paused else segment for segment in self.segments]
        found.by_key = {segment.key: segment for segment in found.segments}
        found._types, found._touched, found._by_zone = {}, {}, {}
        found.everyone = tuple(range(len(found.segments)))
        return found

    def _named(self, names: Callable[[PlannedSegment], Iterable[str]]) -> dict[str, tuple[int, ...]]:
        found: dict[str, list[int]] = {}
        for segment in self.segments:
            for name in names(segment):
                found.setdefault(name, []).append(segment.rank)
        return {name: tuple(ranks) for name, ranks in found.items()}

    def _dependents(self) -> list[set[int]]:
        """For each rank, the ranks to judge with it: itself, its group, and all that nest any of these."""
        nesting: dict[int, set[int]] = {segment.rank: {segment.rank} for segment in self.segments}
        groups: dict[str, set[int]] = {}
        for segment in self.segments:
            if segment.group is not None:
                groups.setdefault(segment.group, set()).add(segment.rank)
        for segment in self.segments:
            if segment.group is not None:
                nesting[segment.rank] |= groups[segment.group]
        by_id = {segment.id: segment.rank for segment in self.segments}
        for segment in reversed(self.segments):
            for name in segment.scope.nested:
                if name in by_id:
                    nesting[by_id[name]].add(segment.rank)
        closed: list[set[int]] = []
        for rank in range(len(self.segments)):
            found: set[int] = set()
            todo = [rank]
            while todo:
                each = todo.pop()
                if each not in found:
                    found.add(each)
                    todo += nesting[each]
            closed.append(found)
        return closed

    def using(self, features: Iterable[Feature]) -> tuple[int, ...]:
        """The ranks of the segments that look at any of these features."""
        return tuple(sorted({rank for feature in features for rank in self._users.get(feature.key, ())}))

    def since(self, filled: Filled, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ranks of the segments that rest on something else than what contacts were filled for, and the keys of the
        features that are new since; `name` is this workspace's."""
        found = self._since.get((filled.fingerprint, name))
        if found is None:
            if len(self._since) >= SINCE_CACHED:
                self._since.clear()
            known, had = filled.segments, filled.features.get(name, frozenset())
            ranks = tuple(segment.rank for segment in self.segments if known.get(segment.key) != segment.judged)
            found = self._since[filled.fingerprint, name] = ranks, tuple(key for key in self.features if key not in had)
        return found

    def together(self, ranks: tuple[int, ...]) -> tuple[PlannedSegment, ...]:
        """The segments to judge when these ranks may have changed, in the order of judging."""
        found = self._touched.get(ranks)
        if found is None:
            if len(self._touched) >= TOUCHES_CACHED:
                self._touched.clear()
            wanted = set().union(*(self._with[rank] for rank in ranks)) if ranks else set()
            found = self._touched[ranks] = tuple(self.segments[rank] for rank in sorted(wanted))
        return found

    def of_type(self, event_type: str) -> TypePlan:
        """The plan for events of a type."""
        found = self._types.get(event_type)
        if found is None:
            if len(self._types) >= TYPES_CACHED:
                self._types.clear()
            shared: dict[tuple[int, str, int, int], Probe] = {}
            for key in sorted({*self._takers.get(event_type, ()), *self._prefixed}):
                feature = self.features[key]
                intakes = [intake for intake in feature.intakes if intake.takes_type(event_type)]
                for place, intake in enumerate(intakes):
                    # A fact that a feature takes in two roles is taken in their order: the second has a later probe.
                    identity = (place, intake.test_identity, intake.since, intake.until)
                    probe = shared.get(identity)
                    if probe is None:
                        probe = shared[identity] = Probe(1 << len(shared), intake.test, intake.since, intake.until)
                    probe.takers.append((feature, feature.key, intake.role))
            probes = [shared[identity] for identity in sorted(shared)]
            found = self._types[event_type] = TypePlan(probes)
        return found

    def touched(self, plan: TypePlan, bits: int) -> tuple[int, ...]:
        """The ranks of the segments that use a feature whose probe passed. Thresholds of one feature would be told
        apart here."""
        ranks = plan.ranks.get(bits)
        if ranks is None:
            if len(plan.ranks) >= TOUCHES_CACHED:
                plan.ranks.clear()
                plan.segments.clear()
            keys = {key for probe in plan.probes if probe.bit & bits for _, key, _ in probe.takers}
            ranks = plan.ranks[bits] = tuple(sorted({rank for key in keys for rank in self._users.get(key, ())}))
            plan.segments[bits] = self.together(ranks)
        return ranks


def _distinct_gates(order: Sequence[Segment]) -> list[tuple[Gate, Any]]:
    found: list[tuple[Gate, Any]] = []
    for document in order:
        gate = gate_of(document.mailable)
        if gate is not None and all(document.mailable != known for _, known in found):
            found.append((gate, document.mailable))
    return found


class Plan:
    """Everything that judging needs.

    `fingerprint` is equal for plans that give the same answers and payloads: one may take the other's place without a
    look at any contact. `read_to` is how far `segments.definitions` was read for it.
    """

    def __init__(
        self, fingerprint: int, workspaces: dict[str, WorkspacePlan], retired: dict[int, tuple[str, str, int]],
        read_to: int = -1, touch: FirstTouch | None = None,
    ) -> None:  # fmt: skip
        self.fingerprint = fingerprint
        self.workspaces = workspaces
        self.retired = retired
        """Deleted segments by key: workspace, id and last version; their members leave."""
        self.read_to = read_to
        self.touch = touch
        self.unkept = frozenset(s.key for each in workspaces.values() for s in each.segments if not s.kept)
        """Keys of the segments whose members are not in `segments.members`."""
        self.nothing = WorkspacePlan((), {})
        self.pins = [
            (store_key(name, contact), wire_key(name, contact))
            for name, workspace in sorted(workspaces.items())
            for contact, pins in sorted(workspace.pins.items())
            if any(pins.values())
        ]
        """Store key and Kafka key of every contact that some segment includes by name."""

    @cached_property
    def filled(self) -> Filled:
        """What holds once every contact is brought up to this plan."""
        return Filled.of(self)

    def workspace(self, name: str) -> WorkspacePlan:
        """The workspace's plan; an empty one where it has no segment."""
        return self.workspaces.get(name, self.nothing)

    def going(self, name: str) -> Plan:
        """This plan as if nothing in the workspace were paused, for what can't be told of a frozen rule."""
        found = copy(self)
        found.workspaces = {**self.workspaces, name: self.workspace(name).going()}
        return found


def compile_plan(
    segments: Sequence[tuple[Segment, int]],
    retired: Iterable[tuple[str, str, int]] = (),
    models: Iterable[Model] = (),
    paused: Collection[tuple[str, str]] = (),
    read_to: int = -1,
    source: Sequence[str] = (),
) -> Plan:
    """The plan of checked definitions with their versions; `retired` are deleted ones (workspace, id, last version).

    `models` are those in force; one that no segment scores by changes nothing. `paused` are the keys of the segments
    whose rule is frozen; `read_to` is as in Plan; `source` are the properties that tell where a contact came from, in
    the order in which they are tried. For definitions that were not checked it raises
    `engine.definitions.graph.Cycle`, or LookupError where a model is missing.
    """
    scoring: dict[str, dict[str, Scoring]] = {}
    for model in models:
        scoring.setdefault(model.workspace, {})[model.model] = model
    workspaces: dict[str, WorkspacePlan] = {}
    by_workspace: dict[str, list[tuple[Segment, int]]] = {}
    for document, version in segments:
        by_workspace.setdefault(document.workspace, []).append((document, version))
    touch = FirstTouch(tuple(source)) if source else None
    for name, documents in by_workspace.items():
        frozen = {segment for workspace, segment in paused if workspace == name}
        workspaces[name] = WorkspacePlan(documents, {}, scoring.get(name, {}), frozen, touch)
    gone = {segment_key(workspace, name): (workspace, name, version) for workspace, name, version in retired}
    judged = [[s.key, s.judged] for each in workspaces.values() for s in each.segments]
    judged += [[s.key] for each in workspaces.values() for s in each.segments if not s.kept]
    kept = sorted([name, *each.features] for name, each in workspaces.items())  # those of payloads and `touch` too
    plan = Plan(digest(json.dumps([sorted(judged), kept])), workspaces, gone, read_to, touch)
    for workspace in workspaces.values():
        blank = Contact(known_at=0, as_of=0)
        judge(workspace, blank, "", workspace.segments, 0)
        not_false = {workspace.by_key[key].rank for key in blank.members}
        # What follows from who a contact is comes with the first fact, and touches nobody later.
        workspace.everyone = tuple(sorted({*not_false, *workspace.using(workspace.of_contact)}))
    return plan
