"""The dry run over a worker's own partitions: each store read from one snapshot in short slices, beside the facts
(DESIGN.md 5, "Life of a definition"). Nothing is written and nothing is published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from engine.conditions.contact import NEVER_ERASED, Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import format_instant
from engine.membership.dry_run import DryRun, Outcome
from engine.membership.explanation import Unknown
from engine.membership.filled import Filled
from engine.membership.placement import partition_of, store_key
from engine.membership.plan import Plan
from engine.membership.planned import segment_key
from engine.membership.telling import brief
from engine.state.changelog import ERASED
from engine.state.codec import NO_CLOCK, Position, decode_contact, decode_mark, decode_position
from engine.state.readings import Reading, ReadingEnded
from engine.state.store import Store
from engine.worker.filling import FillTurns
from engine.worker.proposal import Proposal
from engine.worker.query import explain_contact, place
from engine.worker.settings import Settings

SLICE_SECONDS: Final = 0.005
"""Work between two turns of the event loop: what a fact may have to wait for."""
TAKEN: Final = 50
"""States taken from the store at once."""
REASONS_SECONDS: Final = 20.0
"""For explaining the contacts of the samples; beyond it they are named without a reason."""

Reasons = dict[int, dict[str, str]]
"""By a segment's key and a contact's id, in one line why the contact is in or out then."""


@dataclass(frozen=True, slots=True)
class Part:
    """A partition that is looked at: its store, the plan that its core has taken up with what contacts were filled for
    and the clock at which that was, and about how many contacts it has."""

    number: int
    store: Store
    plan: Plan
    filled: Filled
    changed_at: int
    contacts: int


class Walk:
    """One dry run over some partitions as of its making; `end` it.

    Raises engine.state.readings.TooManyReadings, and ReadingEnded where a partition is just leaving.
    """

    def __init__(
        self, parts: Sequence[Part], proposal: Proposal, settings: Settings, turns: FillTurns, sample: int
    ) -> None:
        self.looked = 0
        """Contacts looked at so far."""
        self.total = sum(part.contacts for part in parts)
        """About how many there are in all."""
        self._parts, self._proposal, self._settings = parts, proposal, settings
        self._turns, self._sample = turns, sample
        prefixes = sorted({store_key(workspace, "") for workspace, _ in proposal.edited})
        self._prefixes = tuple(prefixes)
        self._trials: list[tuple[Part, Position, DryRun]] = []
        self._readings: list[Reading] = []
        try:
            for part in parts:
                self._trials.append((part, *self._trial(part)))
                self._readings.append(part.store.reading(prefixes[0] if prefixes else b""))
        except BaseException:
            self.end()
            raise

    def _trial(self, part: Part) -> tuple[Position, DryRun]:
        meta = part.store.read_meta()
        position = decode_position(meta.position) if meta is not None and meta.position else Position()
        present = self._proposal.present
        taken_up = part.plan.fingerprint == present.fingerprint
        return position, DryRun(
            present, self._proposal.candidate, self._proposal.edited, _Stored(part.store), clock=position.clock,
            dedup=self._settings.dedup, journal_retention=self._settings.journal_retention, filled=part.filled,
            changed_at=part.changed_at if taken_up else position.clock,
            erasure_key=b"" if meta is None else meta.identity, sample=self._sample,
        )  # fmt: skip

    def partitions(self) -> list[dict[str, Any]]:
        """The number of each partition, and `as_of` when it is looked at (RFC 3339; null before its first fact)."""
        return [
            {"partition": part.number, "as_of": None if at.clock == NO_CLOCK else format_instant(at.clock)}
            for part, at, _ in self._trials
        ]

    async def run(self) -> Outcome:
        """What is counted of all these partitions. Raises ReadingEnded where a partition leaves meanwhile."""
        outcome = Outcome()
        for (part, _, trial), reading in zip(self._trials, self._readings, strict=True):
            if self._prefixes:
                with _open(part.store):
                    await self._walk(trial, reading)
                    await self._place_pins(trial, part.number)
            reading.end()
            outcome.add(trial.outcome, self._sample)
        return outcome

    async def _walk(self, trial: DryRun, reading: Reading) -> None:
        prefixes, last = self._prefixes, self._prefixes[-1]
        began = time.perf_counter()
        while states := reading.take(TAKEN):
            for key, encoded in states:
                if not key.startswith(prefixes):
                    if key > last:
                        return
                    continue
                trial.look(key, decode_contact(encoded))
                self.looked += 1
                if time.perf_counter() - began > SLICE_SECONDS:
                    began = await self._turn(began)
            if time.perf_counter() - began > SLICE_SECONDS:
                began = await self._turn(began)

    async def _place_pins(self, trial: DryRun, number: int) -> None:
        began = time.perf_counter()
        for key, wire in self._proposal.candidate.pins:
            if key.startswith(self._prefixes) and partition_of(wire, self._settings.partitions) == number:
                trial.place_pin(key)
            if time.perf_counter() - began > SLICE_SECONDS:
                began = await self._turn(began)

    async def _turn(self, began: float) -> float:
        """Lets others have their turn, and their share of the event loop; the beginning of the next slice."""
        self._turns.ended(time.perf_counter() - began)
        await asyncio.sleep(self._turns.wait())
        return time.perf_counter()

    async def reasons(self, outcome: Outcome) -> Reasons:
        """Why the contacts of the samples would be in or out, by the definitions that would be in force. Raises
        ReadingEnded where a partition leaves meanwhile."""
        until = time.monotonic() + REASONS_SECONDS
        trials = {part.number: (part, position) for part, position, _ in self._trials}
        found: Reasons = {}
        for name, space in self._proposal.candidate.workspaces.items():
            for segment in space.segments:
                tally = outcome.segments.get(segment.key)
                for _, contact in [*tally.enter_sample, *tally.leave_sample] if tally is not None else ():
                    number = place(name, contact, self._settings.partitions)
                    if number in trials and time.monotonic() < until:
                        with _open(trials[number][0].store):
                            said = await self._reason(*trials[number], name, contact, segment.id)
                        found.setdefault(segment_key(name, segment.id), {})[contact] = said
        return found

    async def _reason(self, part: Part, position: Position, workspace: str, contact: str, segment: str) -> str:
        plan, clock = self._proposal.candidate, position.clock
        try:
            explained = await explain_contact(
                part.store, plan, self._settings, clock, workspace, contact, segment, None, 0
            )
        except Unknown:
            return "a segment that includes it by name makes it known"
        return brief(explained)

    def end(self) -> None:
        """Lets go of the stores; harmless when done already."""
        for reading in self._readings:
            reading.end()


@contextmanager
def _open(store: Store) -> Iterator[None]:
    """What is read of a store that is closed meanwhile raises ReadingEnded, however the store itself says it."""
    try:
        yield
    except ReadingEnded:
        raise
    except Exception as error:
        if store.closed:
            raise ReadingEnded("the store was closed: the partition is leaving this worker") from error
        raise


class _Stored:
    """What is asked of a store beside the contact in hand; the `Contacts` of a dry run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: bytes) -> Contact | None:
        """A blank contact where one is known: it is only asked whether there is one."""
        return None if self._store.get(key) is None else Contact()

    def put(self, key: bytes, contact: Contact) -> None:
        """Nothing is kept."""

    def prefetch(self, keys: Sequence[bytes]) -> None:
        """Nothing is needed."""

    def history(self, key: bytes, contact: Contact) -> Sequence[Fact]:
        """The facts that the contact had when its store was opened for reading: later ones are no part of its state."""
        return [fact for number, fact in self._store.numbered(key) if number < contact.facts]

    def numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        return ((number, fact) for number, fact in self._store.numbered(key) if number < contact.facts)

    def drop(self, key: bytes) -> None:
        """Nobody is erased."""

    def mark(self, digest: bytes) -> int:
        found = self._store.more(ERASED + digest)
        return NEVER_ERASED if found is None else decode_mark(found)
