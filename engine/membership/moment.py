"""One contact at one instant, as explanations need it: its state then, how it came there, and the facts of then.

At or after the state's as-of it is the state itself with time passed on; before that, the journaled facts up to then,
taken anew by the real core in memory under the present definitions. At an instant everything that happens at it counts.
Long work is done in slices: generators that yield between them, so that whoever asks may let others have their turn.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from engine.conditions.contact import NEVER_ERASED, Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.membership.batch import Batch
from engine.membership.explanation import Basis, Instant, TooFarAhead
from engine.membership.partition import Partition
from engine.membership.placement import store_key
from engine.membership.plan import Plan, WorkspacePlan
from engine.membership.refunds import effective
from engine.membership.transitions import Transition
from engine.membership.unheld import horizon_of

FOLDED_MAX: Final = 20_000
"""Facts that are taken anew only to find what a transition came from: a second of work or so."""
SLICE: Final = 200
"""Facts taken anew between two turns: some ten milliseconds."""
READ_AGAIN: Final = 8
"""Facts of the journal read again for a late one, or a refund, that cost as much as one fact taken."""
STRIDE: Final = 30 * DAY
"""How far time passes on between two turns."""
FIRED_MAX: Final = 20_000
"""Deadlines that may fire on the way to an instant to come: ten years and more of what comes and goes every day."""

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that is done between the yields, and its result."""


def done(work: Slices[T]) -> T:
    """The result of work that is done at one go."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one contact: its state as of the partition's `clock` (ms), and its journaled facts as they were
    taken. `state` None: nothing. `dedup` and `journal_retention` are the partition's (ms). Nothing of it is changed."""

    plan: Plan
    workspace: str
    contact: str
    state: Contact | None
    history: Sequence[Fact]
    clock: int
    dedup: int
    journal_retention: int


@dataclass(frozen=True, slots=True)
class Moment:
    """The contact at `t` (ms): its state, its plan, the transitions that are known to have led there in order, and its
    effective facts by then."""

    known: Known
    t: int
    contact: Contact
    workspace: WorkspacePlan
    transitions: Sequence[Transition]
    facts: Sequence[Fact]
    basis: Basis


def moment_of(known: Known, state: Contact, t: int) -> Slices[Moment]:
    """The contact at `t` (ms), from its `state` now."""
    key = store_key(known.workspace, known.contact)
    horizon = horizon_of(state, known.clock, known.journal_retention)  # what is older may be gone at any time
    kept = [fact for fact in known.history if fact.at > horizon]
    taken = [fact for fact in kept if fact.at <= t]
    is_past = t < state.as_of
    contact, transitions = Contact(), list[Transition]()
    # When a segment was paused is not known here: of the past it is told what its rule gives.
    going = replace(known, plan=known.plan.going(known.workspace))
    if is_past:
        contact, transitions = yield from _taken_anew(going, key, state, taken, t)
    elif len(taken) <= FOLDED_MAX:
        _, transitions = yield from _taken_anew(going, key, state, taken, state.as_of, FOLDED_MAX)
    if not is_past:
        contact, since = yield from _passed_on(known, key, state, t)
        transitions += since
    older = max(0, state.facts - len(kept))
    basis = Basis("journal" if is_past else "state", len(taken), older, Instant(horizon) if older else None)
    plan = going.plan if is_past else known.plan
    workspace = plan.workspace(known.workspace).for_contact(contact)
    return Moment(known, t, contact, workspace, transitions, effective(taken), basis)


def copied(contact: Contact) -> Contact:
    """A contact of its own, down to the last list."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(contact), type=Contact)


class _Alone:
    """One contact and its journal; the `Contacts` of a partition that holds nobody else."""

    def __init__(self, key: bytes, contact: Contact | None = None, history: Sequence[Fact] = ()) -> None:
        self._key = key
        self.contact = contact
        self.read = 0
        """Facts that were asked for again."""
        self._history = list(history)

    def get(self, key: bytes) -> Contact | None:
        return self.contact if key == self._key else None

    def put(self, key: bytes, contact: Contact) -> None:
        self.contact = contact

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """It is here."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        self.read += len(self._history)
        return self._history

    def drop(self, key: bytes) -> None:
        """Nobody is erased here: an erasure is not in the journal."""

    def mark(self, digest: bytes) -> int:
        """What the journal holds came after whatever erasure there was."""
        return NEVER_ERASED

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        return enumerate(self._history)

    def commit(self, batch: Batch) -> list[Transition]:
        """Adds the batch's facts to the journal."""
        self._history += batch.journal.get(self._key, ())
        return batch.transitions


def _taken_anew(
    known: Known, key: bytes, state: Contact, taken: Sequence[Fact], t: int, most: int | None = None
) -> Slices[tuple[Contact, list[Transition]]]:
    """The contact's facts taken by a partition in memory, up to `t`; nothing where that is the work of more than `most`
    facts."""
    contacts, first = _Alone(key), min((fact.at for fact in taken), default=t + 1)
    partition = Partition(
        known.plan, contacts, grace=0, dedup=known.dedup, journal_retention=known.journal_retention,
        owns=lambda each: each == key,
    )  # fmt: skip
    found: list[Transition] = []
    if state.known_at < first:  # pinned before its first fact, or its first facts are no longer kept
        partition.pass_time(state.known_at, 0)
        partition.place_pins()
        found += contacts.commit(partition.drain())
        if contacts.contact is None:
            contacts.contact = Contact(plan=known.plan.fingerprint, known_at=state.known_at)
    turn = 0
    for number, fact in enumerate(taken, 1):
        fact = copy(fact)
        fact.workspace, fact.contact, fact.key = known.workspace, known.contact, key
        partition.take((fact,))
        found += contacts.commit(partition.drain())
        work = number + contacts.read // READ_AGAIN
        if most is not None and work > most:
            return Contact(), []
        if work >= turn + SLICE:
            turn = work
            yield
    while not partition.pass_time(t + 1, 1):
        pass
    found += contacts.commit(partition.drain())
    return contacts.contact or Contact(), found


def _passed_on(known: Known, key: bytes, state: Contact, t: int) -> Slices[tuple[Contact, list[Transition]]]:
    """A copy of the state, brought up to the definitions in force if it is not yet, once time has come to `t`."""
    contacts = _Alone(key, copied(state), known.history)
    assert contacts.contact is not None
    partition = Partition(
        known.plan, contacts, clock=min(known.clock, t), grace=0, dedup=known.dedup,
        journal_retention=known.journal_retention,
    )  # fmt: skip
    partition.fill((key,))
    partition.arm(key, contacts.contact.deadline)
    while (due := partition.next_deadline()) <= t:
        partition.pass_time(min(t, due + STRIDE) + 1, 1)
        if partition.batch.deadlines > FIRED_MAX:
            raise TooFarAhead(t)
        yield
    return contacts.contact, partition.drain().transitions
