"""The checker itself: a run made by hand passes, and every fault planted in it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.conditions.instants import format_instant
from engine.definitions.document import canonical
from engine.definitions.graph import named_models
from engine.definitions.reading import load_folder
from engine.membership.facts import ERASURE, read_fact
from engine.membership.placement import split_key, store_key
from engine.membership.transitions import transition_id
from engine.recount import recount
from engine.state.codec import encode_chunk, encode_contact
from tests.generate import Shape, generate, wire
from tests.generate.facts import LATENCY, key
from tests.integration.faults.checker import (
    Seen,
    Truth,
    erasures_of,
    ids_of,
    in_arrival_order,
    judge,
    recounted,
    with_arrival,
)
from tests.integration.harness_kafka import Record
from tests.placement import partition_of

GENERATED = Path(__file__).parents[2] / "generate" / "segments"
SEGMENTS = [canonical(segment) for segment in load_folder(GENERATED) if not list(named_models(segment))]
"""All but those that score by a model, which the checker is not given."""
PARTITIONS = 4
UNTIL = 1_775_000_000_000
Plant = Callable[[Seen], None]


def _record(
    topic: str, key: bytes, value: bytes | None, offset: int = 0, timestamp: int = 0, **headers: bytes
) -> Record:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Record(topic, partition_of(key, PARTITIONS), offset, timestamp, key, value, named)


def _transition(each: dict[str, Any], offset: int) -> Record:
    name = transition_id(each["workspace"], each["segment"], each["contact"], each["sequence"], each["at"])
    document = {**each, "id": name, "at": format_instant(each["at"]), "cause": {"kind": each["cause"]}}
    return _record(
        "segments.transitions", each["contact"].encode(), orjson.dumps(document), offset, transition_id=name.encode()
    )


def _chunks(facts: list[Record]) -> list[Record]:
    kept: dict[bytes, list[Fact]] = {}
    ids: dict[bytes, set[str]] = {}
    wanted = ids_of(facts)
    for record in facts:
        assert record.value is not None
        fact = read_fact(record.value, arrival=record.timestamp, fallback_id="", skew=0, max_bytes=1 << 20)
        assert isinstance(fact, Fact)
        if fact.id in wanted.get(split_key(fact.key), ()) and fact.id not in ids.setdefault(fact.key, set()):
            ids[fact.key].add(fact.id)
            kept.setdefault(fact.key, []).append(fact)
    chunks = []
    for contact, taken in kept.items():
        for number, start in enumerate(range(0, len(taken), 5)):
            place = contact + number.to_bytes(4, "big")
            chunks.append(_record("journal", place, encode_chunk(taken[start : start + 5])))
    return chunks


@pytest.fixture
def seen(perfect: Seen) -> Seen:
    """A perfect run that a test may spoil."""
    return Seen(
        facts=list(perfect.facts),
        transitions=list(perfect.transitions),
        members=list(perfect.members),
        changelog=list(perfect.changelog),
        journal=list(perfect.journal),
        segment_topics={name: list(records) for name, records in perfect.segment_topics.items()},
    )


@pytest.fixture(scope="module")
def perfect() -> Seen:
    """A perfect run over 900 facts, written by hand from the recount."""
    sent = generate(Shape(facts=900, contacts=30, grace=1_000))
    newest = max(sent, key=lambda each: each.at)  # of a contact that is not heard of again
    for each in [newest, *{each.contact: each for each in sent[400:420] if each.contact != newest.contact}.values()]:
        erasure = {**each.fact, "id": f"erase-{each.fact['contact']}", "type": ERASURE, "properties": {}}
        sent.append(each._replace(topic="events.contacts", fact=erasure, arrives=each.arrives + 1))
    facts = in_arrival_order(
        _record(each.topic, key(each), wire(each), offset, each.arrives) for offset, each in enumerate(sent)
    )
    lines = [with_arrival(record) for record in facts]
    result = recount(SEGMENTS, lines, until=UNTIL, partitions=PARTITIONS, clock_follows_arrival=False)
    transitions = [_transition(each, offset) for offset, each in enumerate(result.transitions)]
    members = [
        _record("segments.members", f"{workspace}/{segment}/{contact}".encode(), b"{}")
        for (workspace, segment), contacts in result.members.items()
        for contact in sorted(contacts)
    ]
    states = [
        _record("changelog", b"s" + store_key(*contact), encode_contact(Contact(facts=len(ids))))
        for contact, ids in ids_of(facts).items()
    ]
    topic = "segments.default.buyers"
    single = [record for record in transitions if b'"segment":"buyers"' in (record.value or b"")]
    return Seen(facts, transitions, members, states, _chunks(facts), segment_topics={topic: single})


def _judge(seen: Seen) -> None:
    truth = Truth(SEGMENTS, until=UNTIL, grace=1_000, partitions=PARTITIONS)
    judge(seen, recounted(seen.facts, truth), truth, lambda _: True, compared_at_least=5)


def test_a_perfect_run_passes(seen: Seen) -> None:
    assert all(record.timestamp - LATENCY > 0 for record in seen.facts)
    assert len(seen.transitions) > 500
    _judge(seen)


def _change(record: Record, **fields: Any) -> Record:
    document = {**orjson.loads(record.value or b""), **fields}
    return record._replace(value=orjson.dumps(document))


def _lose_transition(seen: Seen) -> None:
    del seen.transitions[100]


def _repeat_transition(seen: Seen) -> None:
    seen.transitions.insert(100, seen.transitions[100])


def _swap_transitions(seen: Seen) -> None:
    erased = {contact.encode() for _, contact in erasures_of(seen.facts)}
    chosen = next(record.key for record in seen.transitions if record.key not in erased)
    mine = [i for i, r in enumerate(seen.transitions) if r.key == chosen]
    first, second = mine[0], mine[-1]
    seen.transitions[first], seen.transitions[second] = seen.transitions[second], seen.transitions[first]


def _move_transition(seen: Seen) -> None:
    last = {record.key: place for place, record in enumerate(seen.transitions)}
    for place in last.values():  # of each contact, as not all are in order
        seen.transitions[place] = _change(seen.transitions[place], at="2026-03-31T23:59:59.999Z")


def _rename_header(seen: Seen) -> None:
    seen.transitions[7] = seen.transitions[7]._replace(headers={"transition-id": b"another"})


def _two_of_one_id(seen: Seen) -> None:
    seen.transitions[50] = _change(seen.transitions[50], id=orjson.loads(seen.transitions[51].value or b"")["id"])


def _lose_member(seen: Seen) -> None:
    del seen.members[3]


def _keep_member(seen: Seen) -> None:
    seen.members.append(_record("segments.members", b"default/buyers/nobody", b"{}"))


def _count_twice(seen: Seen) -> None:
    seen.changelog[0] = seen.changelog[0]._replace(value=encode_contact(Contact(facts=1_000)))


def _lose_state(seen: Seen) -> None:
    seen.changelog.append(seen.changelog[0]._replace(value=None))


def _lose_chunk(seen: Seen) -> None:
    del seen.journal[4]


def _repeat_chunk(seen: Seen) -> None:
    chunk = seen.journal[4]
    assert chunk.key is not None
    seen.journal.append(chunk._replace(key=chunk.key[:-4] + (99).to_bytes(4, "big")))


def _keep_erased_state(seen: Seen) -> None:
    gone = next(who for who in erasures_of(seen.facts) if who not in ids_of(seen.facts))
    seen.changelog.append(_record("changelog", b"s" + store_key(*gone), encode_contact(Contact(facts=3))))


def _lose_erasures(seen: Seen) -> None:
    seen.facts = [record for record in seen.facts if b"contact_erased" not in (record.value or b"")]


def _lose_from_fan_out(seen: Seen) -> None:
    del seen.segment_topics["segments.default.buyers"][0]


def _repeat_in_fan_out(seen: Seen) -> None:
    records = seen.segment_topics["segments.default.buyers"]
    records.append(records[0])


def _dead_letter(seen: Seen) -> None:
    seen.dead_letters.append(_record("events.dead-letter", b"c-1", b"x", reason=b"bad_json"))


def _nothing_in_order(seen: Seen) -> None:
    seen.facts = [record._replace(timestamp=record.timestamp + 2_000) for record in seen.facts]


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (_lose_transition, "was due"),
        (_repeat_transition, "occurs 2 times"),
        (_swap_transitions, "is before the contact's last"),
        (_move_transition, "recount: "),
        (_rename_header, "the header of"),
        (_two_of_one_id, "occurs 2 times"),
        (_lose_member, "recount: "),
        (_keep_member, "recount: "),
        (_count_twice, "1000 facts counted of"),
        (_lose_state, "0 facts counted of"),
        (_lose_chunk, "the journal lacks"),
        (_repeat_chunk, "has too often {'"),
        (_keep_erased_state, "3 facts counted of 0"),
        (_lose_erasures, "sequence 1 where"),
        (_lose_from_fan_out, "lacks 1 transitions"),
        (_repeat_in_fan_out, "has 1 too many"),
        (_dead_letter, "dead letter from"),
        (_nothing_in_order, "contacts were in order"),
    ],
)
def test_a_planted_fault_is_found(seen: Seen, plant: Plant, found: str) -> None:
    plant(seen)
    with pytest.raises(AssertionError) as caught:
        _judge(seen)
    assert found in str(caught.value)
