"""One partition: its clock, its contacts' deadlines, and the batch that is being made (DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from heapq import heappop, heappush

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.batch import Batch, Contacts
from engine.membership.ids import SeenIds
from engine.membership.placement import split_key
from engine.membership.plan import Plan
from engine.membership.step import fire, take_fact, take_up_plan

FORMER_PLANS_MAX = 2
"""Plans before the present one that are kept for the contacts still under them; beyond it their deadlines are judged
by the present one."""
NO_CLOCK = -1
"""The clock of a partition that has not seen anything."""


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
        self._contacts = contacts
        self._grace = grace
        self._retention = journal_retention
        self._owns = owns
        self._ids = SeenIds(dedup)
        self._due: list[tuple[int, bytes]] = []
        self._pins_wait = True
        self._former: dict[int, Plan] = {}

    def arm(self, key: bytes, deadline: int) -> None:
        """Note a stored contact's deadline, in milliseconds; NEVER is passed over."""
        if deadline < NEVER:
            heappush(self._due, (deadline, key))

    def next_deadline(self) -> int:
        """No contact is due before this instant; NEVER where none is due at all."""
        return self._due[0][0] if self._due else NEVER

    def take(self, facts: Sequence[Fact]) -> None:
        """Take facts in the order given; the clock follows them by `grace`. Other contacts' deadlines wait for
        `pass_time`."""
        plan, contacts, batch, grace = self.plan, self._contacts, self.batch, self._grace
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
            if not is_new(fact, contact, lambda key=key, contact=contact: self._all_history(key, contact)):  # type: ignore[misc]
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
            history = lambda key=key, contact=contact: self._history(key, contact)  # noqa: E731
            take_fact(workspace, contact, fact, clock, old_clock, history, batch)
            if contact.deadline < clock:
                fire(workspace, contact, key, clock, clock, batch)
            new_deadline = contact.deadline
            if new_deadline != deadline and new_deadline < NEVER:
                heappush(self._due, (new_deadline, key))
            batch.contacts[key] = contact

    def pass_time(self, to: int | None, limit: int) -> bool:
        """Move the clock to `to` if that is later, and fire the deadlines before it of at most `limit` contacts.

        False when more are due: call again.
        """
        if to is not None and to > self.clock:
            self.clock = to
        clock, due, contacts, batch = self.clock, self._due, self._contacts, self.batch
        found: list[tuple[int, bytes]] = []
        while due and due[0][0] < clock and len(found) < limit:
            found.append(heappop(due))
        if found:
            contacts.prefetch([key for _, key in found])
        for deadline, key in found:
            contact = contacts.get(key)
            if contact is None or contact.deadline != deadline:
                continue  # it moved; its present deadline has an entry of its own
            if contact.plan != self.plan.fingerprint:
                self._take_up(key, contact)
            else:
                fire(self.plan.workspace(split_key(key)[0]), contact, key, clock, clock, batch)
            self.arm(key, contact.deadline)
            batch.contacts[key] = contact
        return not (due and due[0][0] < clock)

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
            contact = self._contacts.get(key)
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
        history = partial(self._history, key, contact)
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
            if self._contacts.get(key) is None and (self._owns is None or self._owns(key)):
                contact = Contact(known_at=self.clock)
                self._contacts.put(key, contact)
                self._take_up(key, contact)
                self.arm(key, contact.deadline)

    def _all_history(self, key: bytes, contact: Contact) -> list[Fact]:
        return [*self._contacts.history(key, contact), *self.batch.journal.get(key, ())]

    def _history(self, key: bytes, contact: Contact) -> list[Fact]:
        oldest = self.clock - self._retention
        return [fact for fact in self._all_history(key, contact) if fact.at > oldest]
