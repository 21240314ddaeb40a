"""One partition: its clock, its contacts' deadlines, and the batch that is being made (DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from engine.conditions.channels import SPEAKING
from engine.conditions.contact import NEVER_ERASED, Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.membership.batch import Batch, Contacts
from engine.membership.erasure import SAMPLE_KEY, digest_of, erase
from engine.membership.facts import ERASURE, FACT_BYTES, Rejected
from engine.membership.filled import Filled
from engine.membership.ids import SeenIds
from engine.membership.placement import split_key
from engine.membership.plan import Plan
from engine.membership.retractions import RETRACTION
from engine.membership.step import fire, take_fact, take_up_plan

CONTACT_SIZE_MAX = 8 << 20
"""Bytes of a contact's state: half of what a record of the changelog may have, as it is not measured with every
fact."""
GROWTH_MAX = 512 << 10
"""Bytes of properties that a contact takes before its state is measured again."""
NEW = Filled()
"""What a contact that a pin makes known was brought up to: nothing."""
TOO_LARGE = Rejected("contact_too_large", f"the contact's state has more than {CONTACT_SIZE_MAX} bytes")
PLANS_KNOWN = 8
"""Plans that were changed before every contact was under them, the last ones: what of them is known is some megabytes
for ten thousand segments, for all partitions of a worker together."""
STALE_MAX = 10_000
"""Entries of moved deadlines that the heap may hold beside one for each contact, before it is made anew."""
LET_GO = 10
"""One in so many of a contact's facts is let go at once when its journal has too many: reading the oldest again costs
each fact as much as if it were read twice."""
NO_CLOCK = -1
"""The clock of a partition that has not seen anything."""


_encode = msgspec.msgpack.Encoder().encode


class Partition:
    """Facts in, transitions out, for the contacts of one partition.

    `grace`, `dedup` and `journal_retention` are in milliseconds. `owns` tells whether a contact's store key belongs
    here; it is asked for pinned contacts that no fact has named.

    `journal_facts` and `journal_bytes` are the most that is kept of a contact's facts; beyond it the first ones by the
    order in which they were taken are let go.

    `filled` is what contacts that are not under `plan` yet were last wholly brought up to, and `changed_at` the clock
    at which `plan` was taken up; without them there is no such contact.
    """

    def __init__(
        self, plan: Plan, contacts: Contacts, *, clock: int = NO_CLOCK, grace: int, dedup: int, journal_retention: int,
        owns: Callable[[bytes], bool] | None = None, filled: Filled | None = None, changed_at: int | None = None,
        erasure_key: bytes = SAMPLE_KEY, journal_facts: int = NEVER, journal_bytes: int = NEVER,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.filled = plan.filled if filled is None else filled
        self._lately: dict[int, Filled] = {}
        self.changed_at = clock if changed_at is None else changed_at
        self.clock = clock
        self.batch = Batch()
        self.contacts = contacts
        self._grace = grace
        self.journal_retention = journal_retention
        self._journal_facts, self._journal_bytes = journal_facts, journal_bytes
        self._owns = owns
        self.erasure_key = erasure_key
        self._ids = SeenIds(dedup)
        self._due: list[tuple[int, bytes]] = []
        self._armed: dict[bytes, int] = {}
        self._pins_placed = 0

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
        most_facts, most_bytes = self._journal_facts, self._journal_bytes
        for fact in facts:
            clock = old_clock = self.clock
            if fact.at - grace > clock:
                clock = self.clock = max(fact.at - grace, 0)
            key = fact.key
            workspace = plan.workspace(fact.workspace)
            contact = contacts.get(key)
            if contact is None:
                erased_at = self._erased_at(key)
                if fact.at <= erased_at:
                    self._ignore(fact)
                    continue
                if fact.type == ERASURE:
                    batch.facts += 1
                    batch.marks[digest_of(key, self.erasure_key)] = fact.at
                    continue
                contact = Contact(plan=fingerprint, erased_at=erased_at)
                contacts.put(key, contact)
            elif fact.at <= contact.erased_at:
                self._ignore(fact)
                continue
            deadline = contact.deadline
            if contact.plan != fingerprint:
                self._take_up(key, contact)
            if fact.type == ERASURE:
                self._erase(contact, fact, deadline, old_clock)
                continue
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
                batch.unplaced += fact.at <= history.horizon and fact.at < contact.as_of
            if contact.facts - contact.journal_gone >= most_facts or contact.journal_bytes >= most_bytes:
                self._shorten(key, contact)
            contact.journal_bytes += fact.size + FACT_BYTES
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
            fire(self.plan.workspace(split_key(key)[0]), contact, key, clock, clock, batch)
            self.arm(key, contact.deadline)
            batch.contacts[key] = contact
        return self.next_deadline() >= clock

    def change_plan(self, plan: Plan) -> bool:
        """Go on with another plan, when no deadline is due any more. True if contacts must follow: they do when a fact
        or a deadline touches them, or by `fill`, each as of the clock of now or its own as-of."""
        former, self.plan = self.plan, plan
        if plan.fingerprint == former.fingerprint:
            return False
        self.changed_at = self.clock
        self._pins_placed = 0
        self._lately.pop(former.fingerprint, None)
        self._lately[former.fingerprint] = former.filled
        if len(self._lately) > PLANS_KNOWN:
            del self._lately[next(iter(self._lately))]
        return True

    def fill(self, keys: Iterable[bytes]) -> None:
        """Bring these contacts up to the plan, where they are not yet."""
        clock = self.clock
        for key in keys:
            contact = self.contacts.get(key)
            if contact is not None and contact.plan != self.plan.fingerprint:
                self._take_up(key, contact)
                fire(self.plan.workspace(split_key(key)[0]), contact, key, clock, clock, self.batch)
                self.arm(key, contact.deadline)

    def fill_ended(self) -> None:
        """Every contact is under the plan."""
        self.filled = self.plan.filled

    def drain(self) -> Batch:
        """Hand out what has come since the last time, and start anew."""
        batch, self.batch = self.batch, Batch()
        return batch

    def _erased_at(self, key: bytes) -> int:
        """When a contact that is not known was erased, NEVER_ERASED if it was not."""
        digest = digest_of(key, self.erasure_key)
        found = self.batch.marks.get(digest)
        return self.contacts.mark(digest) if found is None else found

    def _ignore(self, fact: Fact) -> None:
        """A fact came after its contact had been erased at its instant or later; an erasure itself, once more."""
        if fact.type == ERASURE:
            self.batch.duplicates += 1
        else:
            self.batch.erased += 1

    def _erase(self, contact: Contact, fact: Fact, deadline: int, old_clock: int) -> None:
        """Erase a known contact, whose armed deadline is `deadline`."""
        batch, key, clock = self.batch, fact.key, self.clock
        history = _History(self, key, contact)
        if not self._ids.is_new(fact, contact, history.everything):
            batch.duplicates += 1
            self._rearm(key, contact, deadline)
            return
        workspace = self.plan.workspace(fact.workspace)
        fire(workspace, contact, key, clock, clock, batch)
        batch.facts += 1
        if fact.at < contact.as_of or fact.at < old_clock:
            batch.late += 1
        anew = erase(self.plan, contact, fact, clock, old_clock, history, self._ids, batch)
        batch.marks[digest_of(key, self.erasure_key)] = fact.at
        batch.gone[key] = max(contact.journal_next, batch.gone.get(key, 0))
        batch.contacts.pop(key, None)
        batch.journal.pop(key, None)
        if anew is None:
            batch.kept.pop(key, None)
            self.contacts.drop(key)
            self.arm(key, NEVER)
            return
        self.contacts.put(key, anew)
        batch.contacts[key] = anew
        fire(workspace, anew, key, clock, clock, batch)
        self.arm(key, anew.deadline)

    def _rearm(self, key: bytes, contact: Contact, deadline: int) -> None:
        if contact.deadline != deadline:
            self.arm(key, contact.deadline)

    def _take_up(self, key: bytes, contact: Contact) -> None:
        batch, at = self.batch, self.changed_at
        history = _History(self, key, contact, at)
        under = self._lately.get(contact.plan)
        take_up_plan(self.plan, self.filled, contact, key, at, self.clock, history, batch, under)
        batch.contacts[key] = contact

    def _shorten(self, key: bytes, contact: Contact) -> None:
        """Let go of the oldest facts of a contact whose journal has too many, or too large ones."""
        gone, held, most = contact.journal_gone, contact.journal_bytes, NEVER
        first = contact.facts - self._journal_facts + max(1, self._journal_facts // LET_GO)
        numbered: Iterable[tuple[int, Fact]] = self._numbered(key, contact)
        if held >= self._journal_bytes:
            # Counted anew: what the retention has taken was never counted off.
            numbered, horizon = list(numbered), self.clock - self.journal_retention
            held = sum(len(fact.raw) + FACT_BYTES for number, fact in numbered if number >= gone and fact.at > horizon)
            if held >= self._journal_bytes:
                most = self._journal_bytes - self._journal_bytes // LET_GO
        left: list[Fact] = []
        for number, fact in numbered:
            if number < gone:
                continue
            if number >= first and held <= most:
                break
            left.append(fact)
            held -= len(fact.raw) + FACT_BYTES
            gone = number + 1
            contact.journal_since = max(contact.journal_since, fact.at)
        contact.journal_gone = max(gone, min(first, contact.facts))
        contact.journal_bytes = max(held, 0)
        self._ids.lose(key, left)
        self.batch.shortened.add(key)

    def _numbered(self, key: bytes, contact: Contact) -> Iterator[tuple[int, Fact]]:
        """The contact's facts so far in the order in which they were taken, each with its number among all it had."""
        batch = self.batch
        number = 0
        if key in batch.gone:
            for chunk in batch.kept.get(key, ()):
                yield from enumerate(chunk, number)
                number += len(chunk)
        else:
            yield from self.contacts.numbered(key, contact)
        new = batch.journal.get(key, ())
        yield from enumerate(new, contact.facts - len(new))

    def place_pins(self, limit: int = NEVER) -> bool:
        """Make contacts known, as of the clock, that a segment includes by name and no fact has named yet; at most
        `limit` are looked at. False when more are left: call again.

        For when the facts so far are all taken: a contact whose facts are still to be read is known as of the first
        of them.
        """
        if self.clock == NO_CLOCK:
            return True
        pins, first = self.plan.pins, self._pins_placed
        self._pins_placed = min(first + limit, len(pins))
        for key, _ in pins[first : self._pins_placed]:
            self.place_pin(key)
        return self._pins_placed == len(pins)

    def place_pin(self, key: bytes) -> None:
        """Make one contact that a segment includes by name known, if it belongs here and is not known yet."""
        if not (self._owns is None or self._owns(key)) or self.contacts.get(key) is not None:
            return
        if self._erased_at(key) != NEVER_ERASED:  # a fact must make it new first
            return
        contact = Contact(known_at=self.clock)
        self.contacts.put(key, contact)
        history = _History(self, key, contact)
        take_up_plan(self.plan, NEW, contact, key, self.clock, self.clock, history, self.batch)
        self.batch.contacts[key] = contact
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

    __slots__ = ("_at", "_contact", "_key", "_partition")

    def __init__(self, partition: Partition, key: bytes, contact: Contact, at: int | None = None) -> None:
        """`at`: as of when the contact is judged, by default the clock."""
        self._partition = partition
        self._key = key
        self._contact = contact
        self._at = at

    @property
    def horizon(self) -> int:
        at = self._partition.clock if self._at is None else self._at
        return max(at - self._partition.journal_retention, self._contact.journal_since)

    def everything(self) -> list[Fact]:
        """With those that the journal is about to forget."""
        partition, key, batch = self._partition, self._key, self._partition.batch
        if key in batch.gone:  # what is committed is of before the erasure
            committed: Sequence[Fact] = [fact for chunk in batch.kept.get(key, ()) for fact in chunk]
        else:
            committed = partition.contacts.history(key, self._contact)
        facts = [*committed, *batch.journal.get(key, ())]
        if self._contact.journal_gone:  # of what was let go some may still be there
            return facts[-max(self._contact.facts - self._contact.journal_gone, 1) :]
        return facts

    def __call__(self) -> list[Fact]:
        horizon = self.horizon
        return [fact for fact in self.everything() if fact.at > horizon]
