"""What must agree: the core's transitions and members with the batch evaluator's, which shares no code with it; and for
a single rule its verdicts, how long each is said to hold, and what a fold of all facts from nothing gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from engine.conditions.contact import Contact
from engine.conditions.feature import ContactFeature
from engine.conditions.instants import DAY, NEVER, format_instant
from engine.definitions import canonical, check, read_segment
from engine.definitions.document import Segment
from engine.definitions.model import Model, canonical_form
from engine.membership.plan import WorkspacePlan
from engine.membership.refunds import effective
from engine.membership.replay import SKEW, Replay
from engine.recount import recount
from engine.recount.facts import read_fact
from engine.recount.past import Past
from engine.recount.plan import Plan
from engine.state.codec import decode_contact, encode_contact
from tests.membership.random_conditions import MODELS, Json

Row = tuple[str, str, str, int, int]
MODELS_READ = [Model.model_validate(model) for model in MODELS]
MODELS_PLAIN = [canonical_form(model) for model in MODELS_READ]


def documents(found: Sequence[Json]) -> list[Segment]:
    """The parsed segments."""
    segments = [read_segment(document) for document in found]
    check(segments, MODELS_READ)
    return segments


def rows_of(replayed: Iterable[Any]) -> dict[str, list[Row]]:
    """Transitions by contact, in order."""
    found: dict[str, list[Row]] = {}
    for each in replayed:
        found.setdefault(each.contact, []).append((each.segment, each.change, each.cause_kind, each.sequence, each.at))
    return found


def recounted_rows(found: Iterable[Mapping[str, Any]]) -> dict[str, list[Row]]:
    """The batch evaluator's transitions by contact, in order."""
    rows: dict[str, list[Row]] = {}
    for each in found:
        rows.setdefault(each["contact"], []).append(
            (each["segment"], each["change"], each["cause"], each["sequence"], each["at"])
        )
    return rows


def hold_transitions(segments: Sequence[Segment], lines: Sequence[bytes], until: int) -> None:
    """The core and the recount publish the same, in the same order, at the same instants; also for late facts.

    A pinned contact of whom no fact tells is the core's alone. `until` (ms) is where the clock goes at the end.
    """
    replay = Replay(segments, MODELS_READ)
    replayed = [each for line in lines for each in replay.take(line)]
    replayed += replay.until(until)
    result = recount([canonical(each) for each in segments], lines, MODELS_PLAIN, until=until, thorough=True)
    named = {line.split(b'"contact":"')[1].split(b'"')[0].decode() for line in lines}
    unknown = {contact for segment in segments for contact in segment.include} - named
    ours, theirs = rows_of(replayed), recounted_rows(result.transitions)
    for contact in sorted((set(ours) | set(theirs)) - unknown):
        assert ours.get(contact, []) == theirs.get(contact, []), contact
    for segment in segments:
        members = {each for each in replay.members(segment.segment) if each not in unknown}
        assert members == result.members.get((segment.workspace, segment.segment), set()) - unknown, segment.segment
    assert (replay.duplicates, replay.erased) == (result.duplicates, result.erased)
    for contact, rows in ours.items():
        by_segment: dict[str, int] = {}
        erased = ("default", contact) in result.erased_contacts
        for segment_id, change, _, sequence, _ in rows:
            anew = erased and sequence == 1 and by_segment.get(segment_id, 0) % 2 == 0
            assert anew or sequence == by_segment.get(segment_id, 0) + 1, contact
            assert change == ("enter" if sequence & 1 else "exit")
            by_segment[segment_id] = sequence


CONTACT = "a"
KEY = b"\x07default" + CONTACT.encode()
AHEAD = 70 * DAY
"""How far beyond the facts a single rule is looked at: longer than any window but those of years."""
INSTANTS_MOST = 60
"""Instants at which one rule is looked at after one fact, beside each of which lie two more."""


class BothWays:
    """One rule of one contact, in the core and in the recount side by side. `trues` counts the true answers."""

    def __init__(self, rule: Json, zone: str) -> None:
        segment = documents([{"segment": "s", "timezone": zone, "mailable": False, "when": rule}])[0]
        self._replay = Replay([segment], MODELS_READ)
        self._workspace: WorkspacePlan = self._replay.partition.plan.workspace("default")
        self._plan = Plan([canonical(segment)], MODELS_PLAIN)
        self._past = Past("default", CONTACT)
        self._lines = 0
        self.trues = 0
        self.falses = 0

    def take(self, line: bytes) -> None:
        """One more fact, which both must understand alike from now on."""
        before = self._replay.facts
        self._replay.take(line)
        self._lines += 1
        if self._replay.facts > before:
            self._past.take(read_fact(line, self._lines, SKEW))
        self._agree()

    def pass_time(self, days: int) -> None:
        """So many days pass without a fact: the deadlines of the time have fired."""
        self._replay.until(self._replay.partition.clock + days * DAY)
        self._agree()

    def _agree(self) -> None:
        contact = self._replay.contacts.contacts[KEY]
        truths = self._truths(contact.as_of)
        self.trues += sum(truths.values())
        self.falses += len(truths) - sum(truths.values())
        workspace = self._workspace.for_contact(contact)
        if self._lines % 2:
            self._hold(workspace, contact, truths, "as taken")
        else:
            self._hold(workspace, decode_contact(encode_contact(contact)), truths, "as stored")
        scratch = copy(contact)
        scratch.features = dict(self._folded(workspace, contact))
        self._hold(workspace, scratch, truths, "folded from nothing")

    def _folded(self, workspace: WorkspacePlan, contact: Contact) -> Iterator[tuple[int, Any]]:
        facts = effective(self._replay.contacts.history(KEY, contact))
        for key, feature in workspace.features.items():
            value = contact.features[key] if isinstance(feature, ContactFeature) else feature.fold(facts, contact.as_of)
            if value is not None:
                yield key, value

    def _truths(self, as_of: int) -> dict[int, bool]:
        """The recount's answers at each instant that matters and just beside, from `as_of` (ms) on."""
        past, leaves = self._past, self._plan.leaves(self._past.zone)
        chosen = [leaf.choose(past) for leaf in leaves]
        instants = sorted({as_of}.union(*(leaf.every_instant(past, as_of - 2, as_of + AHEAD) for leaf in leaves)))
        if len(instants) > INSTANTS_MOST:
            instants = instants[: INSTANTS_MOST // 2] + instants[:: len(instants) * 2 // INSTANTS_MOST]
        truths = {}
        for t in sorted({each + beside for each in instants for beside in (-1, 0, 1)}):
            if t >= as_of:
                verdicts = [leaf.verdict(past, each, t) for leaf, each in zip(leaves, chosen, strict=True)]
                truths[t] = self._plan.answers(CONTACT, past, verdicts)["s"]
        return truths

    @staticmethod
    def _hold(workspace: WorkspacePlan, contact: Contact, truths: Mapping[int, bool], how: str) -> None:
        backwards = [*truths.items()][::-1]
        next_other, later = NEVER, backwards[0]
        for t, truth in backwards:
            if truth is not later[1]:
                next_other = later[0]
            later = t, truth
            found, until = workspace.segments[0].rule(contact, t)
            assert found is truth, f"{how}: {found} at {format_instant(t)}, as of {format_instant(contact.as_of)}"
            assert t < until <= next_other, (
                f"{how}: {found} at {format_instant(t)} is said to hold until {until}, "
                f"but changes at {format_instant(next_other)}"
            )


def hold_rule(rule: Json, zone: str, lines: Sequence[bytes], days_after: int) -> BothWays:
    """After every fact of `CONTACT`, and so many days after the last, the verdict of a rule is the recount's at every
    instant from the as-of on, does not change before its `until`, and is the same of state folded from nothing."""
    both = BothWays(rule, zone)
    for line in lines:
        both.take(line)
    both.pass_time(days_after)
    return both
