"""Replay: facts in arrival order through the very core that the worker runs, without a broker.

>>> from engine.definitions import parse_segment
>>> replay = Replay([parse_segment("segment: buyers\\nwhen: {did: {event: purchase, within: P30D}}")])
>>> found = replay.take(b'{"id":"1","type":"purchase","contact":"c","at":"2026-01-31T10:00:00Z"}')
>>> [(t.change, t.sequence) for t in found + replay.until(parse_instant("2026-03-31T00:00:00Z"))]
[('enter', 1), ('exit', 2)]
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, MINUTE, SECOND, parse_instant
from engine.definitions.document import Segment
from engine.definitions.model import Definition, Model, canonical_form, is_model
from engine.membership.dry_run import SAMPLE, DryRun, Outcome
from engine.membership.explain import explain
from engine.membership.explanation import Explanation, UnknownContact
from engine.membership.facts import Rejected, read_fact
from engine.membership.memory import MemoryContacts
from engine.membership.moment import Known, copied
from engine.membership.partition import Partition
from engine.membership.placement import split_key, store_key
from engine.membership.plan import Plan, compile_plan
from engine.membership.transitions import Transition

GRACE, DEDUP, SKEW, JOURNAL_RETENTION = SECOND, 7 * DAY, 5 * MINUTE, 400 * DAY
"""The defaults of the settings with these names, in milliseconds."""
JOURNAL_FACTS, JOURNAL_BYTES = 50_000, 64 << 20
"""The same of what is kept of a contact's facts at most."""
EVENT_BYTES_MAX = 262_144
_DEADLINES_AT_ONCE = 10_000


Key = tuple[str, str]
"""Workspace, and a segment's id, or a model's with `model:` before it."""


class _Arrives(msgspec.Struct):
    arrives: str | None = None


_arrives = msgspec.json.Decoder(_Arrives).decode


def read_line(line: bytes, number: int, *, skew: int, max_event_bytes: int) -> Fact | Rejected:
    """A fact as a JSON line, with `arrives` or without; `number` is its id where it has none. `skew` is in ms."""
    arrival: int | None = None
    if b'"arrives"' in line:
        try:
            text = _arrives(line).arrives
            arrival = parse_instant(text) if text is not None else None
        except msgspec.ValidationError:
            return Rejected("bad_time", "arrives is not a text")
        except msgspec.DecodeError:
            pass  # no JSON: what reads the fact says so
        except ValueError as error:
            return Rejected("bad_time", f"arrives: {error}")
    return read_fact(line, arrival=arrival, fallback_id=f"line/{number}", skew=skew, max_bytes=max_event_bytes)


class Replay:
    """One partition in memory. `rejected` counts refused lines by reason; the last refusal is `refusal`."""

    def __init__(
        self, segments: Sequence[Segment], models: Sequence[Model] = (), *, grace: int = GRACE, dedup: int = DEDUP,
        skew: int = SKEW, journal_retention: int = JOURNAL_RETENTION, max_event_bytes: int = EVENT_BYTES_MAX,
        journal_facts: int = JOURNAL_FACTS, journal_bytes: int = JOURNAL_BYTES,
    ) -> None:  # fmt: skip
        self._versions: dict[tuple[str, str], int] = {}
        definitions: list[Definition] = [*segments, *models]
        self._active = {each.key: each for each in definitions}
        for key in self._active:
            self._versions[key] = 1
        self._paused: set[Key] = set()
        self._skew, self._dedup = skew, dedup
        self._bytes = max_event_bytes
        self._lines = 0
        self.contacts = MemoryContacts()
        self.partition = Partition(
            self._plan(), self.contacts, grace=grace, dedup=dedup, journal_retention=journal_retention,
            journal_facts=journal_facts, journal_bytes=journal_bytes,
        )  # fmt: skip
        self.rejected: dict[str, int] = {}
        self.refusal: Rejected | None = None
        self.duplicates = 0
        self.erased = 0
        """Facts ignored, as their contact was erased at their instant or later."""
        self.late = 0
        self.unplaced = 0
        """Late facts that conditions on an order are without, as the journal no longer holds what was then."""
        self.facts = 0

    def take(self, line: bytes) -> list[Transition]:
        """Take one fact as a JSON line, with `arrives` or without; the transitions that follow, in order."""
        self._lines += 1
        self.refusal = None
        fact = read_line(line, self._lines, skew=self._skew, max_event_bytes=self._bytes)
        if isinstance(fact, Rejected):
            return self._refuse(fact)
        found = self._advance(fact.arrival) if fact.arrival is not None else []
        self.partition.take((fact,))
        for _, why in self.partition.batch.refused:
            self._refuse(why)
        return found + self._advance(None)

    def until(self, instant: int) -> list[Transition]:
        """Let time pass to `instant` (ms): deadlines strictly before it fire."""
        found = self._advance(instant)
        self.partition.place_pins()
        return found + self._commit()

    def apply(self, definition: Definition) -> list[Transition]:
        """Put a new or changed definition in force at the clock; the difference is published."""
        return self.change([definition])

    def delete(self, workspace: str, name: str) -> list[Transition]:
        """Take a definition out of force: a segment's members leave. Raises KeyError for one that is not there."""
        return self.change([], [(workspace, name)])

    def change(
        self, applied: Sequence[Definition], deleted: Sequence[Key] = (), paused: Sequence[Key] = (),
        resumed: Sequence[Key] = (),
    ) -> list[Transition]:  # fmt: skip
        """Put definitions in and out of force, freeze their rules or set them going, as one change; what is so already
        changes nothing.

        `deleted`, `paused` and `resumed` are keys: workspace, and the id of a segment, or to delete it of a model with
        `model:` before it. Raises KeyError for one that is not there, LookupError where a model is missing then.
        """
        return self._take_up() if self._put(applied, deleted, paused, resumed) else []

    def dry_run(
        self, applied: Sequence[Definition], deleted: Sequence[Key] = (), paused: Sequence[Key] = (),
        resumed: Sequence[Key] = (), *, sample: int = SAMPLE,
    ) -> Outcome:  # fmt: skip
        """What `change` would publish now, counted; nothing is changed. Raises as it does."""
        present = self.partition.plan
        kept = dict(self._active), dict(self._versions), set(self._paused)
        try:
            edited = self._put(applied, deleted, paused, resumed)
            candidate = self._plan()
        finally:
            self._active, self._versions, self._paused = kept
        trial = DryRun(
            present, candidate, edited, self.contacts, clock=self.partition.clock, dedup=self._dedup,
            journal_retention=self.partition.journal_retention, sample=sample,
        )  # fmt: skip
        for key in sorted(self.contacts.contacts):
            trial.look(key, copied(self.contacts.contacts[key]))
        trial.place_pins()
        return trial.outcome

    def pause(self, workspace: str, segment: str) -> list[Transition]:
        """Freeze a segment's rule: nobody enters, and only exclusion, erasure, gate and group take members out.

        Raises KeyError for one that is not there.
        """
        return self.change([], paused=[(workspace, segment)])

    def resume(self, workspace: str, segment: str) -> list[Transition]:
        """Set a paused segment going; the difference is published. Raises KeyError for one that is not there."""
        return self.change([], resumed=[(workspace, segment)])

    def finish(self) -> list[Transition]:
        """The input has ended where it is: pinned contacts that no fact named become known as of the clock."""
        self.partition.place_pins()
        return self._commit()

    def members(self, segment: str, workspace: str = "default") -> set[str]:
        """The contacts that are in a segment now."""
        from engine.membership.planned import segment_key

        key, prefix = segment_key(workspace, segment), store_key(workspace, "")
        return {
            each[len(prefix) :].decode()
            for each, contact in self.contacts.contacts.items()
            if each.startswith(prefix) and contact.is_member(key)
        }

    def explain(
        self, contact: str, segment: str, workspace: str = "default", at: int | None = None, nested: int = 1
    ) -> Explanation:
        """Why a contact is in a segment or is not, now or at `at` (ms), as `engine.membership.explain.explain` has it.

        Raises its Unknown, with contacts like the one asked for.
        """
        key, partition = store_key(workspace, contact), self.partition
        known = Known(
            plan=partition.plan, workspace=workspace, contact=contact, state=self.contacts.get(key),
            history=self.contacts.journal(key), clock=partition.clock, dedup=self._dedup,
            journal_retention=partition.journal_retention,
        )  # fmt: skip
        try:
            return explain(known, segment, at, nested)
        except UnknownContact:
            names = [name for place, name in map(split_key, self.contacts.contacts) if place == workspace]
            raise UnknownContact(workspace, contact, get_close_matches(contact, names)) from None

    def _put(
        self, applied: Sequence[Definition], deleted: Sequence[Key], paused: Sequence[Key], resumed: Sequence[Key]
    ) -> list[Key]:
        """Note what is in force then; the keys of what differs."""
        for key in deleted:
            del self._active[key]
            self._versions[key] += 1
            self._paused.discard(key)
        changed = [
            each
            for each in applied
            if each.key not in self._active or canonical_form(self._active[each.key]) != canonical_form(each)
        ]
        for definition in changed:
            self._versions[definition.key] = self._versions.get(definition.key, 0) + 1
            self._active[definition.key] = definition
        turned: list[Key] = []
        for key, pause in [*((key, True) for key in paused), *((key, False) for key in resumed)]:
            if not isinstance(self._active[key], Segment):
                raise KeyError(key)
            if (key in self._paused) != pause:
                (self._paused.add if pause else self._paused.discard)(key)
                self._versions[key] += 1
                turned.append(key)
        return [*deleted, *(each.key for each in changed), *turned]

    def _plan(self) -> Plan:
        gone = [key for key in self._versions if key not in self._active and not is_model(key)]
        retired = [(*key, self._versions[key]) for key in gone]
        segments = [(each, self._versions[key]) for key, each in self._active.items() if isinstance(each, Segment)]
        models = [each for each in self._active.values() if isinstance(each, Model)]
        return compile_plan(segments, retired, models, self._paused)

    def _take_up(self) -> list[Transition]:
        if self.partition.change_plan(self._plan()):
            self.partition.fill(sorted(self.contacts.contacts))
            self.partition.place_pins()
            self.partition.fill_ended()
        return self._commit()

    def _refuse(self, refusal: Rejected) -> list[Transition]:
        self.refusal = refusal
        self.rejected[refusal.reason] = self.rejected.get(refusal.reason, 0) + 1
        return []

    def _advance(self, to: int | None) -> list[Transition]:
        while not self.partition.pass_time(to, _DEADLINES_AT_ONCE):
            pass
        return self._commit()

    def _commit(self) -> list[Transition]:
        batch = self.partition.drain()
        self.contacts.commit(batch)
        self.facts += batch.facts
        self.duplicates += batch.duplicates
        self.erased += batch.erased
        self.late += batch.late
        self.unplaced += batch.unplaced
        return batch.transitions
