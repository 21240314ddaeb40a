"""Judging a life of definitions: a run played by the core alone passes, and every fault planted in it is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from engine.conditions.instants import format_instant, parse_instant
from engine.definitions import canonical, read_segment
from engine.definitions.document import Segment
from engine.membership.placement import store_key
from engine.membership.replay import Replay
from engine.membership.transitions import Transition, encode
from engine.state.codec import Position, encode_contact, encode_position
from tests.integration.faults import checker, life
from tests.integration.faults.checker import Seen
from tests.integration.harness_kafka import Record

GRACE = 1_000
START = parse_instant("2026-03-01T12:00:00Z")
UNTIL = START + 600_000
CONTACTS = [f"c-{number}" for number in range(6)]
FOLLOWED = {("default", contact) for contact in CONTACTS}
Plant = Callable[[life.Life], None]


def segment(id_: str, seconds: int, **more: Any) -> Segment:
    """Who clicked lately."""
    return read_segment({"segment": id_, "when": {"did": {"event": "click", "within": f"PT{seconds}S"}}, **more})


class Played:
    """One partition's topics, as a worker would have written them."""

    def __init__(self, first: Sequence[Segment]) -> None:
        self.seen = Seen([], [], [], [], [])
        self.definitions: list[Record] = []
        self._versions: Counter[str] = Counter()
        self._documents: dict[str, Segment] = {}
        self._replay = Replay(first, grace=GRACE)
        for each in first:
            self._record(each.segment, "active", each)
        self._commit([])

    def fact(self, second: float, contact: str, kind: str = "click", **properties: Any) -> None:
        """One is sent, and arrives at once."""
        at = START + int(second * 1000)
        said = {"id": f"e-{len(self.seen.facts)}", "type": kind, "contact": contact, "at": format_instant(at)}
        line = orjson.dumps({**said, "properties": properties})
        self.seen.facts.append(self._of("clicks", contact.encode(), line, len(self.seen.facts), at))
        self._commit(self._replay.take(line))

    def change(self, *applied: Segment, pause: Sequence[str] = (), delete: Sequence[str] = ()) -> None:
        """Definitions change at once."""
        for each in applied:
            self._record(each.segment, "active", each)
        for name in pause:
            self._record(name, "paused", self._documents[name])
        for name in delete:
            self._record(name, "deleted", None)
        keys = [[("default", name) for name in names] for names in (delete, pause)]
        self._commit(self._replay.change(applied, *keys))

    def end(self) -> None:
        """Time goes on until nothing falls due."""
        self._commit(self._replay.until(UNTIL))

    def _record(self, name: str, state: str, document: Segment | None) -> None:
        self._versions[name] += 1
        if document is not None:
            self._documents[name] = document
        record = {"workspace": "default", "segment": name, "version": self._versions[name], "state": state}
        value = orjson.dumps({**record, "definition": None if document is None else canonical(document)})
        self.definitions.append(self._of("definitions", f"default/{name}".encode(), value, len(self.definitions)))

    def _commit(self, published: Sequence[Transition]) -> None:
        partition, log = self._replay.partition, self.seen.changelog
        for each in published:
            key, value = each.contact.encode(), encode(each)
            headers = {"transition-id": each.id.encode()}
            offset = len(self.seen.transitions)
            self.seen.transitions.append(Record("transitions", 0, offset, 0, key, value, headers))
            place = f"default/{each.segment}/{each.contact}".encode()
            self.seen.members.append(self._of("members", place, b"{}" if each.change == "enter" else None, 0))
        for key, contact in self._replay.contacts.contacts.items():
            log.append(self._of("changelog", b"s" + key, encode_contact(contact), len(log)))
        position = Position(
            {"clicks": len(self.seen.facts)},
            partition.clock,
            partition.plan.fingerprint,
            None,
            partition.changed_at,
            len(self.definitions),
        )
        log.append(self._of("changelog", b"p", encode_position(position), len(log)))

    @staticmethod
    def _of(topic: str, key: bytes, value: bytes | None, offset: int, timestamp: int = 0) -> Record:
        return Record(topic, 0, offset, timestamp, key, value, {})


@pytest.fixture
def played() -> life.Life:
    """A run with every kind of change, and somebody moved by each."""
    run = Played([segment("edited", 60), segment("paused", 60, mailable=True), segment("deleted", 60)])
    for number, contact in enumerate(CONTACTS):
        run.fact(number, contact)
    run.change(segment("edited", 2), segment("created", 45))
    run.fact(20, CONTACTS[0])
    run.change(pause=["paused"], delete=["deleted"])
    run.fact(40, CONTACTS[1], "opt_out")
    run.fact(50.5, CONTACTS[2])
    run.change(segment("created", 45, name="Another name"))
    run.end()
    return life.life_of(run.seen, run.definitions)


def judged(run: life.Life) -> list[str]:
    """All faults that are found."""
    through = life.lived(run, FOLLOWED, until=UNTIL, grace=GRACE, partitions=1)
    last = run.history.behind(1 << 62)
    active = [
        each["definition"] for key, each in last.records.items() if key in last.segments and key not in last.paused
    ]
    final = checker.recounted(run.seen.facts, checker.Truth(active, UNTIL, GRACE, 1))
    given = checker.members_of(run.seen.members)
    assert not through.unsettled
    return [
        *checker.alternation(run.seen.transitions),
        *checker.unique_ids(run.seen.transitions),
        *life.wholly_filled(run),
        *life.versions_that_were(run),
        *life.paused_stood_still(run),
        *life.rightly_caused(run),
        *life.like_lived(run, through, FOLLOWED),
        *life.members_in_force(run, final, through, FOLLOWED, given),
    ]


def test_a_perfect_life_passes(played: life.Life) -> None:
    assert judged(played) == []
    causes = Counter(each["cause"]["kind"] for each in played.documents)
    assert causes.keys() == {"event", "clock", "definition", "backfill", "opt_out"}
    assert [len(epoch.renamed) for epoch in played.epochs[0]] == [0, 0, 0, len(CONTACTS)]
    assert {t["version"] for t in played.documents if t["segment"] == "created"} == {1, 2}


def _change(run: life.Life, place: int, **fields: Any) -> None:
    records = run.seen.transitions
    document = {**orjson.loads(records[place].value or b""), **fields}
    records[place] = records[place]._replace(value=orjson.dumps(document))


def _place(run: life.Life, segment: str, cause: str) -> int:
    return next(n for n, t in enumerate(run.documents) if (t["segment"], t["cause"]["kind"]) == (segment, cause))


def _caused(cause: str, other: str, segment: str) -> Plant:
    def plant(run: life.Life) -> None:
        place = _place(run, segment, cause)
        _change(run, place, cause={"kind": other, "event_id": None, "event_type": None, "event_at": None})
        del run.documents

    return plant


def _versioned(segment: str, cause: str, version: int) -> Plant:
    def plant(run: life.Life) -> None:
        places = [n for n, t in enumerate(run.documents) if (t["segment"], t["cause"]["kind"]) == (segment, cause)]
        _change(run, places[-1], version=version)
        del run.documents

    return plant


def _lose_a_difference(run: life.Life) -> None:
    del run.seen.transitions[_place(run, "deleted", "definition")]
    del run.documents


def _publish_a_difference_twice(run: life.Life) -> None:
    place = _place(run, "created", "backfill")
    run.seen.transitions.insert(place, run.seen.transitions[place])
    del run.documents


def _leave_by_the_clock_what_is_paused(run: life.Life) -> None:
    _caused("opt_out", "clock", "paused")(run)


def _enter_what_is_paused(run: life.Life) -> None:
    document = {**run.documents[_place(run, "paused", "opt_out")], "change": "enter", "sequence": 3}
    last = run.seen.transitions[-1]
    run.seen.transitions.append(last._replace(value=orjson.dumps(document), key=document["contact"].encode()))
    del run.documents


def _stay_in_what_is_deleted(run: life.Life) -> None:
    run.seen.members.append(Record("members", 0, 0, 0, b"default/deleted/c-3", b"{}", {}))


def _lose_a_frozen_member(run: life.Life) -> None:
    run.seen.members.append(Record("members", 0, 0, 0, b"default/paused/c-4", None, {}))


def _an_instant_of_no_change(run: life.Life) -> None:
    place = _place(run, "created", "backfill")
    _change(run, place, at=format_instant(parse_instant(run.documents[place]["at"]) + 7))
    del run.documents


def _a_fact_that_never_was(run: life.Life) -> None:
    place = _place(run, "edited", "event")
    _change(run, place, cause={**run.documents[place]["cause"], "event_id": "e-999"})
    del run.documents


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (_lose_a_difference, "only the recount has exit deleted (2, definition"),
        (_publish_a_difference_twice, "occurs 2 times"),
        (_caused("backfill", "definition", "created"), "created ('default', 'c-0') 1: definition as of"),
        (_caused("definition", "backfill", "edited"), "backfill at version 2, which is of another cause"),
        (_caused("definition", "backfill", "deleted"), "backfill of what is deleted"),
        (_caused("clock", "definition", "edited"), "where nothing was taken up"),
        (_caused("event", "clock", "edited"), "only the engine has enter edited (1, clock"),
        (_versioned("edited", "clock", 9), "there never was a version 9"),
        (_versioned("edited", "clock", 1), "version 1 after 2"),
        (_leave_by_the_clock_what_is_paused, "left by clock what is paused"),
        (_enter_what_is_paused, "entered at version 2, which is paused"),
        (_stay_in_what_is_deleted, "c-3 is a member by the engine, not in the recount"),
        (_lose_a_frozen_member, "c-4 is a member in the recount, not by the engine"),
        (_an_instant_of_no_change, "where nothing was taken up"),
        (_a_fact_that_never_was, "which is no fact of the contact"),
    ],
)
def test_a_planted_fault_is_found(played: life.Life, plant: Plant, found: str) -> None:
    plant(played)
    assert any(found in fault for fault in judged(played)), judged(played)


def test_whom_a_change_never_reached_goes_on_under_those_of_before(played: life.Life) -> None:
    """As if the fill of the first change had been overtaken before it came to c-5, whom nothing touched meanwhile."""
    key = store_key("default", "c-5")
    begin = next(n for n, r in enumerate(played.seen.changelog) if r.key == b"p" and played.epochs[0][1].at == _at(r))
    log = played.seen.changelog
    until = next(n for n, r in enumerate(log) if r.key == b"p" and _at(r) > played.epochs[0][1].at)
    kept = [r for n, r in enumerate(log) if not (begin - len(CONTACTS) <= n < until and r.key == b"s" + key)]
    played.seen.changelog[:] = kept
    other = life.life_of(played.seen, _definitions_of(played))
    assert ("default", "c-5") in other.epochs[0][1].passed_over
    told = judged(other)
    assert "partition 0: fill 1 ended without 1: [('default', 'c-5')] …" in told
    assert any("c-5" in fault and "only the engine has enter created" in fault for fault in told), told


def _at(record: Record) -> int:
    from engine.state.codec import decode_position

    return decode_position(record.value or b"").changed_at


def _definitions_of(run: life.Life) -> list[Record]:
    found: list[Record] = []
    for each in run.history.values:
        key = f"{each['workspace']}/{each['segment']}".encode()
        found.append(Record("definitions", 0, len(found), 0, key, orjson.dumps(each), {}))
    return found
