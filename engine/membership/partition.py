"""One partition: its clock, its contacts' deadlines, and the batch that is being made (DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from engine.conditions.channels import SPEAKING
from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.batch import Batch, Contacts
from engine.membership.facts import Rejected
from engine.membership.ids import SeenIds
from engine.membership.placement import split_key
from engine.membership.plan import Plan
from engine.membership.retractions import RETRACTION
from engine.membership.step import fire, take_fact, take_up_plan

FORMER_PLANS_MAX = 2
"""Plans before the present one that are kept for the contacts still under them; beyond it their deadlines are judged
by the present one."""
CONTACT_SIZE_MAX = 8 << 20
"""Bytes of a contact's state: half of what a record of the changelog may have, as it is not measured with every
fact."""
GROWTH_MAX = 512 << 10
"""Bytes of properties that a contact takes before its state is measured again."""
TOO_LARGE = Rejected("contact_too_large", f"the contact's state has more than {CONTACT_SIZE_MAX} bytes")
STALE_MAX = 10_000
"""Entries of moved deadlines that the heap may hold beside one for each contact, before it is made anew."""
NO_CLOCK = -1
"""The clock of a partition that has not seen anything."""


_encode = msgspec.msgpack.Encoder().encode


class Partition:
    """Facts in, transitions out, for the contacts of one partition.

    `grace`, `dedup` and `journal_retention` are in milliseconds. `owns` tells whether a contact's store key belongs
    here; it is asked
    for pinned contacts that no fact has named.
    """

    def __init__(
        self, plan: Plan, contacts: Contacts, *, clock: int = NO_CLOCK, grace: int, dedup: int, journal_retention: int,
        owns: Callable[[bytes], bool] | None = None,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.clock = clock
        self.batch = Batch()
        self.contacts = contacts
        self._grace = grace
        self.journal_retention = journal_retention
        self._owns = owns
        self._ids = SeenIds(dedup)
        self._due: list[tuple[int, bytes]] = []
        self._armed: dict[bytes, int] = {}
        self._pins_wait = True
        self._former: dict[int, Plan] = {}

    def arm(self, key: bytes, deadline: int) -> None:
        """Note a contact's deadline, in milliseconds; NEVER takes it off."""
        armed = self._armed
        if deadline >= NEVER:
            armed.pop(key, None)
        elif armed.get(key) != deadline:
            armed[key] = deadline
            heappush(self._due, (deadline, key))
            if len(self._due) > 2 * len(armed) + STALE_MAX:  # most entries are of deadlines that have moved
                self._due = [(at, each) for each, at in armed.items()]
                heapify(self._due)

    def next_deadline(self) -> int:
        """No contact is due before this instant; NEVER where none is due at all."""
        return self._due[0][0] if self._due else NEVER

    def take(self, facts: Sequence[Fact]) -> None:
        """Take facts in the order given; the clock follows them by `grace`. Other contacts' deadlines wait for
        `pass_time`."""
        plan, contacts, batch, grace = self.plan, self.contacts, self.batch, self._grace
        fingerprint = plan.fingerprint
        is_new = self._ids.is_new
        for fact in facts:
            clock = old_clock = self.clock
            if fact.at - grace > clock:
                clock = self.clock = max(fact.at - grace, 0)
            key = fact.key
            workspace = plan.workspace(fact.workspace)
            contact = contacts.get(key)
            if contact is None:
                contact = Contact(plan=fingerprint)
                contacts.put(key, contact)
            deadline = contact.deadline
            if contact.plan != fingerprint:
                self._take_up(key, contact)
            contact.grown += fact.size
            if (contact.grown > GROWTH_MAX or contact.size > CONTACT_SIZE_MAX) and not self._has_room(contact, fact):
                batch.refused.append((fact, TOO_LARGE))
                self._rearm(key, contact, deadline)
                continue
            history = _History(self, key, contact)
            if not is_new(fact, contact, history.everything):
                batch.duplicates += 1
                self._rearm(key, contact, deadline)
                continue
            if contact.deadline < clock:
                fire(workspace, contact, key, clock, clock, batch)
            batch.facts += 1
            if fact.at < contact.as_of or fact.at < old_clock:
                batch.late += 1
            if key in batch.journal:
                batch.journal[key].append(fact)
            else:
                batch.journal[key] = [fact]
                contact.journal_next += 1
            take_fact(workspace, contact, fact, clock, old_clock, history, batch)
            if contact.deadline < clock:
                fire(workspace, contact, key, clock, clock, batch)
            if contact.deadline != deadline:
                self.arm(key, contact.deadline)
            batch.contacts[key] = contact

    def pass_time(self, to: int | None, limit: int) -> bool:
        """Move the clock to `to` if that is later, and fire the deadlines before it of at most `limit` contacts.

        False when more are due: call again.
        """
        if to is not None and to > self.clock:
            self.clock = to
        clock, due, contacts, batch = self.clock, self._due, self.contacts, self.batch
        found: list[tuple[int, bytes]] = []
        armed = self._armed
        while due and due[0][0] < clock and len(found) < limit:
            entry = heappop(due)
            if armed.get(entry[1]) == entry[0]:  # else it moved; its present deadline has an entry of its own
                del armed[entry[1]]
                found.append(entry)
        if found:
            contacts.prefetch([key for _, key in found])
        for deadline, key in found:
            contact = contacts.get(key)
            if contact is None or contact.deadline != deadline:
                continue
            if contact.plan != self.plan.fingerprint:
                self._take_up(key, contact)
            else:
                fire(self.plan.workspace(split_key(key)[0]), contact, key, clock, clock, batch)
            self.arm(key, contact.deadline)
            batch.contacts[key] = contact
        return self.next_deadline() >= clock

    def change_plan(self, plan: Plan) -> None:
        """Go on with another plan. Contacts follow when a fact or a deadline touches them, or by `fill`."""
        self._former[self.plan.fingerprint] = self.plan
        while len(self._former) > FORMER_PLANS_MAX:
            del self._former[next(iter(self._former))]
        self.plan = plan
        self._former.pop(plan.fingerprint, None)
        self._pins_wait = True

    def fill(self, keys: Iterable[bytes]) -> None:
        """Bring these contacts up to the plan, where they are not yet."""
        for key in keys:
            contact = self.contacts.get(key)
            if contact is not None and contact.plan != self.plan.fingerprint:
                self._take_up(key, contact)
                self.arm(key, contact.deadline)

    def drain(self) -> Batch:
        """Hand out what has come since the last time, and start anew."""
        batch, self.batch = self.batch, Batch()
        return batch

    def _rearm(self, key: bytes, contact: Contact, deadline: int) -> None:
        if contact.deadline != deadline:
            self.arm(key, contact.deadline)

    def _take_up(self, key: bytes, contact: Contact) -> None:
        name, batch = split_key(key)[0], self.batch
        former = self._former.get(contact.plan)
        before = None
        if former is not None:  # what fell due until now did so under the plan that was in force
            before = former.workspace(name)
            fire(before, contact, key, max(self.clock, contact.as_of) + 1, self.clock, batch)
        history = _History(self, key, contact)
        take_up_plan(self.plan, self.plan.workspace(name), before, contact, key, self.clock, history, batch)
        batch.contacts[key] = contact

    def place_pins(self) -> None:
        """Make contacts known, as of the clock, that a segment includes by name and no fact has named yet.

        For when the facts so far are all taken: a contact whose facts are still to be read is known as of the first
        of them.
        """
        if not self._pins_wait or self.clock == NO_CLOCK:
            return
        self._pins_wait = False
        for key, _ in self.plan.pinned():
            if self.contacts.get(key) is None and (self._owns is None or self._owns(key)):
                contact = Contact(known_at=self.clock)
                self.contacts.put(key, contact)
                self._take_up(key, contact)
                self.arm(key, contact.deadline)

    def _has_room(self, contact: Contact, fact: Fact) -> bool:
        """Whether the contact may take one more fact; what is said of consent always counts, and what is taken
        back."""
        if contact.grown > GROWTH_MAX:
            contact.size, contact.grown = len(_encode(contact)), 0
        if fact.type == RETRACTION:
            contact.grown = GROWTH_MAX + 1  # measured again with the next fact: it may have room then
            return True
        return contact.size <= CONTACT_SIZE_MAX or fact.type in SPEAKING


class _History:
    """A contact's facts so far, for the steps: see `engine.membership.step.History`."""

    __slots__ = ("_contact", "_key", "_partition")

    def __init__(self, partition: Partition, key: bytes, contact: Contact) -> None:
        self._partition = partition
        self._key = key
        self._contact = contact

    @property
    def horizon(self) -> int:
        return self._partition.clock - self._partition.journal_retention

    def everything(self) -> list[Fact]:
        """With those that the journal is about to forget."""
        partition, key = self._partition, self._key
        return [*partition.contacts.history(key, self._contact), *partition.batch.journal.get(key, ())]

    def __call__(self) -> list[Fact]:
        horizon = self.horizon
        return [fact for fact in self.everything() if fact.at > horizon]
