"""The dry run: what taking up other definitions at this clock would publish, counted, with nothing published.

Each contact is decoded anew, brought to where it stands under the plan in force, and then the real core takes the
candidate up for it: the same partition code that `apply` makes run, over a copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Final, TypeVar

import msgspec

from engine.conditions.contact import SEQUENCE, Contact
from engine.conditions.fact import Fact
from engine.conditions.feature import digest
from engine.conditions.instants import NEVER
from engine.membership.batch import Contacts
from engine.membership.erasure import SAMPLE_KEY
from engine.membership.filled import Filled
from engine.membership.partition import NO_CLOCK, Partition
from engine.membership.placement import split_key
from engine.membership.plan import Plan
from engine.membership.planned import segment_key
from engine.membership.transitions import Transition
from engine.membership.unheld import horizon_of, unheld

SAMPLE: Final = 10
"""Contacts that are named of those that would enter a segment, and of those that would leave it, unless asked
otherwise."""

Key = tuple[str, str]
"""Workspace, and a segment's id or a model's with `model:` before it."""
K = TypeVar("K", int, str)
Sampled = tuple[int, str]
"""A contact's place, which is the same in every run, and its id."""


class Tally(msgspec.Struct):
    """What is counted of one segment: members `now` and `then`, who would enter and leave, in all and by cause of the
    transition, the first of them by place.

    Of an edited segment also `together_now` and `together_then`: members that are in another one as well, by its key.
    `lacking` is for how many contacts its answer may rest on facts that the journal no longer holds and that no
    condition had counted. Bounded by the number of segments and the size of the sample.
    """

    now: int = 0
    then: int = 0
    entering: int = 0
    leaving: int = 0
    lacking: int = 0
    enter_sample: list[Sampled] = []
    leave_sample: list[Sampled] = []
    causes: dict[str, int] = {}
    together_now: dict[int, int] = {}
    together_then: dict[int, int] = {}

    def add(self, other: Tally, sample: int) -> None:
        """Count what another worker, or another partition, has counted of the same segment."""
        self.now += other.now
        self.then += other.then
        self.entering += other.entering
        self.leaving += other.leaving
        self.lacking += other.lacking
        self.enter_sample = list(islice(merge(self.enter_sample, other.enter_sample), sample))
        self.leave_sample = list(islice(merge(self.leave_sample, other.leave_sample), sample))
        _add(self.causes, other.causes)
        _add(self.together_now, other.together_now)
        _add(self.together_then, other.together_then)


class Outcome(msgspec.Struct):
    """What is counted of some contacts: how many there are, for how many something changes, and each segment's tally by
    the segment's key. A contact that would become known, as a pin names it, is one of them."""

    contacts: int = 0
    moving: int = 0
    lacking: int = 0
    segments: dict[int, Tally] = {}

    def of(self, workspace: str, segment: str) -> Tally:
        """The tally of one segment."""
        return self.segments.get(segment_key(workspace, segment)) or Tally()

    def add(self, other: Outcome, sample: int) -> None:
        """Count other contacts with these; of each sample the first `sample` are kept."""
        self.contacts += other.contacts
        self.moving += other.moving
        self.lacking += other.lacking
        for key, tally in other.segments.items():
            self.segments.setdefault(key, Tally()).add(tally, sample)


class DryRun:
    """The dry run over one partition's contacts: `look` at each, then `place_pins`, or `place_pin` each; `outcome` has
    what came of it."""

    def __init__(
        self, present: Plan, candidate: Plan, edited: Collection[Key], known: Contacts, *, clock: int, dedup: int,
        journal_retention: int, filled: Filled | None = None, changed_at: int | None = None,
        erasure_key: bytes = SAMPLE_KEY, sample: int = SAMPLE,
    ) -> None:  # fmt: skip
        """`present` is the plan in force, `candidate` the one that would be, `edited` the keys of what would differ.

        `known` is asked for histories, for marks of erased contacts, and whether a pinned contact is there; it is
        never written to. `clock`, `dedup` and `journal_retention` are the partition's (ms), `filled` and `changed_at`
        tell where a contact stands that is not under `present` yet, as in Partition; `erasure_key` too is as there.
        """
        self._outcome = Outcome()
        self._held = _Held(known)
        self._clock, self._retention, self._sample = clock, journal_retention, sample
        self._changes = present.fingerprint != candidate.fingerprint
        self._candidate = candidate
        self._edited = frozenset(segment_key(*key) for key in edited)
        self._now, self._then = Counter[int](), Counter[int]()
        self._together_now = {key: Counter[int]() for key in self._edited}
        self._together_then = {key: Counter[int]() for key in self._edited}
        self._folded = {
            name: space.features.keys() - present.workspace(name).features.keys()
            for name, space in candidate.workspaces.items()
        }
        self._before, self._after = (
            Partition(
                present, self._held, clock=clock, grace=0, dedup=dedup, journal_retention=journal_retention,
                filled=since, changed_at=changed, erasure_key=erasure_key,
            )
            for since, changed in ((filled, changed_at), (None, None))
        )  # fmt: skip
        self._after.change_plan(candidate)

    @property
    def outcome(self) -> Outcome:
        """What is counted so far."""
        outcome = self._outcome
        for key in self._now.keys() | self._then.keys():
            tally = outcome.segments.setdefault(key, Tally())
            tally.now, tally.then = self._now[key], self._then[key]
        for key in self._edited & outcome.segments.keys():
            tally = outcome.segments[key]
            tally.together_now = {other: count for other, count in self._together_now[key].items() if other != key}
            tally.together_then = {other: count for other, count in self._together_then[key].items() if other != key}
        return outcome

    def look(self, key: bytes, contact: Contact) -> None:
        """Count one contact; `contact` is changed, so it must be a copy."""
        before, after = self._before, self._after
        self._held.hold(key, contact)
        before.fill((key,))
        if contact.deadline < self._clock:  # due, and its turn has not come
            before.arm(key, contact.deadline)
            while not before.pass_time(None, 1):
                pass
        before.arm(key, NEVER)
        if before.batch.contacts:
            before.drain()
        now = _memberships(contact)
        after.fill((key,))
        after.arm(key, NEVER)
        transitions: Sequence[Transition] = ()
        if after.batch.contacts:
            transitions = after.drain().transitions
        self._count(key, now, _memberships(contact) if transitions else now, transitions)
        self._count_lacking(key, contact)

    def place_pins(self) -> None:
        """Count the contacts that a pin would make known."""
        for key, _ in self._candidate.pins:
            self.place_pin(key)

    def place_pin(self, key: bytes) -> None:
        """Count one contact that a segment would include by name, if it is not known yet."""
        if not self._changes or self._clock == NO_CLOCK:
            return
        self._held.let_go()
        self._after.place_pin(key)
        if not self._after.batch.contacts:
            return
        batch = self._after.drain()
        self._after.arm(key, NEVER)
        self._count(key, frozenset(), _memberships(batch.contacts[key]), batch.transitions)

    def _count(self, key: bytes, now: frozenset[int], then: frozenset[int], transitions: Sequence[Transition]) -> None:
        outcome = self._outcome
        outcome.contacts += 1
        self._now.update(now)
        self._then.update(then)
        for each in self._edited & now:
            self._together_now[each].update(now)
        for each in self._edited & then:
            self._together_then[each].update(then)
        if not transitions:
            return
        outcome.moving += 1
        contact = split_key(key)[1]
        sampled = digest(contact), contact
        for transition in transitions:
            tally = outcome.segments.setdefault(segment_key(transition.workspace, transition.segment), Tally())
            tally.causes[transition.cause_kind] = tally.causes.get(transition.cause_kind, 0) + 1
            if transition.sequence & 1:
                tally.entering += 1
                tally.enter_sample = _kept(tally.enter_sample, sampled, self._sample)
            else:
                tally.leaving += 1
                tally.leave_sample = _kept(tally.leave_sample, sampled, self._sample)

    def _count_lacking(self, key: bytes, contact: Contact) -> None:
        workspace = split_key(key)[0]
        folded = self._folded.get(workspace)
        if not folded:
            return
        horizon = horizon_of(contact, self._clock, self._retention)
        space = self._candidate.workspace(workspace)
        lacking = unheld(space, contact, horizon, folded, max(self._clock, contact.as_of))
        self._outcome.lacking += bool(lacking)
        for segment in lacking:
            self._outcome.segments.setdefault(segment.key, Tally()).lacking += 1


class _Held:
    """The contact in hand, and what is known of the others; the `Contacts` of the partitions of a dry run."""

    def __init__(self, known: Contacts) -> None:
        self._known = known
        self._key = b""
        self._contact: Contact | None = None

    def hold(self, key: bytes, contact: Contact) -> None:
        """The contact that is looked at."""
        self._key, self._contact = key, contact

    def let_go(self) -> None:
        """None is looked at."""
        self._key, self._contact = b"", None

    def get(self, key: bytes) -> Contact | None:
        return self._contact if key == self._key else self._known.get(key)

    def put(self, key: bytes, contact: Contact) -> None:
        """Whom a pin would make known stays unknown."""

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """It is in hand."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        return self._known.history(key, contact)

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        return self._known.numbered(key, contact)

    def drop(self, key: bytes) -> None:
        """Nobody is erased here."""

    def mark(self, digest: bytes) -> int:
        return self._known.mark(digest)


def _memberships(contact: Contact) -> frozenset[int]:
    return frozenset([key for key, entry in contact.members.items() if entry[SEQUENCE] & 1])


def _kept(sample: list[Sampled], one: Sampled, most: int) -> list[Sampled]:
    if len(sample) < most or (sample and one < sample[-1]):
        return sorted([*sample, one])[:most]
    return sample


def _add(mine: dict[K, int], theirs: Mapping[K, int]) -> None:
    for key, count in theirs.items():
        mine[key] = mine.get(key, 0) + count
