"""Erasure: `contact_erased` ends all that is known of a contact up to its instant `e` (DESIGN.md 3, "Erased").

The contact leaves every segment it is in, at `e` or its as-of where that is later, without payload; its state and its
journal go. What stays is a mark: a keyed hash of its store key, and `e`. Facts at or before `e` that come later are
ignored. The first one after `e` makes the contact new: sequences from 1 again, nothing of what was. Where such facts
had come before the erasure, the contact is new at once, of these facts taken anew from nothing, and is judged as of its
as-of. A mark stays for ever, one small row for each contact ever erased; it is looked up only for a contact that is not
known. An erasure can't be retracted, and one at or before the mark is a duplicate, whatever its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from hashlib import blake2b
from typing import Final

from engine.conditions.contact import NO_AS_OF, SEQUENCE, Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.batch import Batch
from engine.membership.facts import FACT_BYTES
from engine.membership.ids import SeenIds
from engine.membership.judge import judge
from engine.membership.mending import History
from engine.membership.placement import split_key
from engine.membership.plan import Plan, WorkspacePlan
from engine.membership.step import Cause, fire, next_deadline, publish, source_of, take_fact
from engine.membership.transitions import Transition

DIGEST_BYTES: Final = 16
"""A contact of a billion erased ones is taken for another once in 10^29."""
CHUNK_BYTES: Final = 1 << 20
"""Bytes of properties at which a chunk of the journal that is written anew is closed."""
SAMPLE_KEY: Final = b"erasures in memory"
"""Key of the digests where they never leave memory."""


def digest_of(key: bytes, secret: bytes) -> bytes:
    """What stands for the contact with this store key once it is erased; `secret` has at most 64 bytes."""
    return blake2b(key, key=secret, digest_size=DIGEST_BYTES).digest()


def erase(
    plan: Plan, contact: Contact, erasure: Fact, clock: int, old_clock: int, history: History, ids: SeenIds,
    batch: Batch,
) -> Contact | None:  # fmt: skip
    """Publish that the contact leaves; the contact that is new by the facts that had come since, None without any.

    Deadlines before the clock have fired; of the new contact those after its as-of are the caller's to fire, and to
    write its journal anew: `batch.kept` has it. `old_clock` is the clock before the erasure came (all in ms).
    """
    key, at = erasure.key, erasure.at
    name, contact_id = split_key(key)
    workspace = plan.workspace(name)
    if at >= contact.as_of:
        fire(workspace, contact, key, at, clock, batch)
    late = at < contact.as_of or at < old_clock
    as_of = max(at, contact.as_of)
    cause: Cause = ("erase", erasure.id, erasure.type, at)
    for segment in workspace.segments:
        entry = contact.members.get(segment.key)
        if entry is not None and entry[SEQUENCE] & 1:
            leaving = Transition(
                name, segment.id, segment.version, contact_id, entry[SEQUENCE] + 1, as_of, clock, late, NEVER, cause,
                None, segment.kept, contact.erased_at, source_of(workspace.touch, contact),
            )  # fmt: skip
            batch.transitions.append(leaving)
    since = [fact for fact in history() if fact.at > at]
    ids.forget(key)
    if not since:
        return None
    kept = [_untold(fact, erasure) for fact in since]
    anew = Contact(plan=plan.fingerprint, erased_at=at)
    if contact.journal_since > at:
        anew.journal_since = contact.journal_since
    _take_anew(workspace, anew, kept, history.horizon, ids)
    anew.as_of = as_of
    chunks = batch.kept[key] = _chunks(kept)
    anew.journal_next = len(chunks)
    workspace = workspace.for_contact(anew)
    changes, _ = judge(workspace, anew, contact_id, workspace.segments, as_of)
    anew.deadline = next_deadline(anew)
    publish(workspace.touch, anew, contact_id, changes, as_of, clock, True, cause, cause, batch)
    return anew


class _Since:
    """The facts that were taken anew so far."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.facts: list[Fact] = []

    def __call__(self) -> list[Fact]:
        return list(self.facts)


def _untold(fact: Fact, erasure: Fact) -> Fact:
    """A journaled fact as it came: whether it is retracted, or refunded, is found out anew."""
    found = copy(fact)
    found.workspace, found.contact, found.key = erasure.workspace, erasure.contact, erasure.key
    found.dead, found.left = False, None
    return found


def _take_anew(workspace: WorkspacePlan, contact: Contact, facts: Sequence[Fact], horizon: int, ids: SeenIds) -> None:
    """Take facts in the order in which they came, and be in no segment: who was in meanwhile was told before."""
    history, aside = _Since(horizon), Batch()
    for fact in facts:
        ids.is_new(fact, contact, history)  # it was
        history.facts.append(fact)
        contact.grown += len(fact.raw)
        contact.journal_bytes += len(fact.raw) + FACT_BYTES
        take_fact(workspace, contact, fact, fact.at, fact.at, history, aside)
    contact.members = {}
    contact.as_of, contact.deadline = NO_AS_OF, NEVER


def _chunks(facts: Sequence[Fact]) -> list[list[Fact]]:
    """The facts in their order, as many together as a record may hold."""
    chunks: list[list[Fact]] = []
    room = 0
    for fact in facts:
        room -= len(fact.raw)
        if room < 0 or not chunks:
            chunks.append([])
            room = CHUNK_BYTES - len(fact.raw)
        chunks[-1].append(fact)
    return chunks
