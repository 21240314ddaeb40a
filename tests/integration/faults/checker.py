"""Judges a run of the engine by topics alone, read committed: what any consumer could see, and what a restart would
be built from.

Every check gives readable lines, one a fault; none means that it holds. The recount is the truth for members, and for
the transitions of contacts whose facts came in order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.conditions.instants import format_instant, parse_instant
from engine.membership.facts import ERASURE
from engine.membership.placement import split_key
from engine.recount import Result, compare, recount
from engine.state.changelog import STATE, changelog_topic, journal_topic
from engine.state.codec import decode_chunk, decode_contact
from tests.integration.harness_kafka import Record, latest, read_topics, topic_names

Who = tuple[str, str]  # workspace, contact
SHOWN = 12  # faults of one kind that are spelled out
_CHUNK_BYTES = 4


@dataclass(slots=True)
class Seen:
    """Everything that was read. `facts` over all inputs in arrival order; the others in the order of their
    partitions.
    """

    facts: list[Record]
    transitions: list[Record]
    members: list[Record]
    changelog: list[Record]
    journal: list[Record]
    dead_letters: list[Record] = field(default_factory=list)
    segment_topics: dict[str, list[Record]] = field(default_factory=dict)


def read_all(brokers: str, group: str, inputs: Sequence[str]) -> Seen:
    """Reads every topic that the checks need."""
    engine = ["segments.transitions", "segments.members", changelog_topic(group), journal_topic(group)]
    single = segment_topics(brokers)
    found = read_topics(brokers, [*inputs, *engine, "events.dead-letter", *single])
    transitions, members, changelog, journal = (found[topic] for topic in engine)
    return Seen(
        facts=in_arrival_order(record for topic in inputs for record in found[topic]),
        transitions=transitions,
        members=members,
        changelog=changelog,
        journal=journal,
        dead_letters=found["events.dead-letter"],
        segment_topics={topic: found[topic] for topic in single},
    )


def segment_topics(brokers: str) -> list[str]:
    """The topics of single segments."""
    fixed = {"segments.transitions", "segments.members", "segments.definitions", "segments.definitions.history"}
    return sorted(name for name in topic_names(brokers) if name.startswith("segments.") and name not in fixed)


def in_arrival_order(facts: Iterable[Record]) -> list[Record]:
    """By append time; within a partition by offset."""
    return sorted(facts, key=lambda record: (record.timestamp, record.topic, record.partition, record.offset))


def with_arrival(record: Record) -> bytes:
    """The fact as a JSON line that carries its arrival."""
    assert record.value is not None
    return b'{"arrives":"%s",%s' % (format_instant(record.timestamp).encode(), record.value[1:])


def _read(records: Iterable[Record]) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in records if record.value is not None]


def who(document: Mapping[str, Any]) -> Who:
    return document.get("workspace", "default"), document["contact"]


def erasures_of(facts: Iterable[Record]) -> dict[Who, int]:
    """The last instant (ms) at which each erased contact was erased."""
    found: dict[Who, int] = {}
    for at, fact in _with_instants(facts):
        if fact["type"] == ERASURE:
            found[who(fact)] = max(at, found.get(who(fact), at))
    return found


def ids_of(facts: Sequence[Record]) -> dict[Who, set[str]]:
    """The distinct event ids of each contact, of an erased one those of its facts since."""
    found: dict[Who, set[str]] = defaultdict(set)
    erased = erasures_of(facts)
    for at, fact in _with_instants(facts):
        if fact["type"] != ERASURE and at > erased.get(who(fact), -1):
            found[who(fact)].add(fact["id"])
    return dict(found)


def _with_instants(facts: Iterable[Record]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Facts with the instants (ms) at which they count: never after their arrival."""
    for record in facts:
        if record.value is not None:
            fact = orjson.loads(record.value)
            yield min(parse_instant(fact["at"]), record.timestamp), fact


def alternation(transitions: Sequence[Record], erased: Collection[Who] = ()) -> list[str]:
    """Enter and exit alternate, sequences count 1, 2, 3 …, and no contact's instants go back; of `erased` contacts
    sequences may begin anew after any exit, at an earlier instant."""
    faults: list[str] = []
    sequences: dict[tuple[str, str, str], int] = defaultdict(int)
    last: dict[Who, int] = {}
    for each in _read(transitions):
        name = (*who(each), each["segment"])
        wanted = sequences[name] + 1
        if each["sequence"] == 1 and wanted > 1 and wanted % 2 and who(each) in erased:
            wanted = 1
        if each["sequence"] != wanted:
            faults.append(f"{name}: sequence {each['sequence']} where {wanted} was due")
        sequences[name] = each["sequence"]
        if each["change"] != ("enter" if each["sequence"] % 2 else "exit"):
            faults.append(f"{name}: {each['change']} has sequence {each['sequence']}")
        at = parse_instant(each["at"])
        if at < last.get(who(each), at) and who(each) not in erased:
            faults.append(f"{name}: {each['at']} is before the contact's last transition")
        last[who(each)] = at
    return faults


def unique_ids(transitions: Sequence[Record]) -> list[str]:
    """No transition id twice, and each header repeats it."""
    counted = Counter(each["id"] for each in _read(transitions))
    faults = [f"transition id {name} occurs {count} times" for name, count in counted.items() if count > 1]
    for record, each in zip(transitions, _read(transitions), strict=True):
        if record.headers.get("transition-id") != each["id"].encode():
            faults.append(f"the header of {each['id']} says {record.headers.get('transition-id')!r}")
    return faults


def counted_once(facts: Sequence[Record], changelog: Sequence[Record]) -> list[str]:
    """The states that a restart would find have counted each distinct fact of their contact exactly once."""
    states = {key[1:]: value for key, value in latest(changelog).items() if key.startswith(STATE)}
    counted = {split_key(key): decode_contact(value).facts for key, value in states.items()}
    wanted = {contact: len(ids) for contact, ids in ids_of(facts).items()}
    return [
        f"{contact}: {counted.get(contact, 0)} facts counted of {wanted.get(contact, 0)}"
        for contact in sorted(wanted.keys() | counted.keys())
        if counted.get(contact, 0) != wanted.get(contact, 0)
    ]


def journaled_once(facts: Sequence[Record], journal: Sequence[Record]) -> list[str]:
    """The journal holds each distinct fact exactly once, and nothing else."""
    found: dict[Who, Counter[str]] = defaultdict(Counter)
    for key, value in latest(journal).items():
        owner = key[:-_CHUNK_BYTES]
        found[split_key(owner)].update(fact.id for fact in decode_chunk(value, owner))
    wanted = {contact: Counter(ids) for contact, ids in ids_of(facts).items()}
    faults = []
    for contact in sorted(wanted.keys() | found.keys()):
        kept, sent = found.get(contact, Counter()), wanted.get(contact, Counter())
        if kept != sent:
            faults.append(f"{contact}: the journal lacks {dict(sent - kept)}, has too often {dict(kept - sent)}")
    return faults


def no_dead_letters(letters: Sequence[Record]) -> list[str]:
    """Nothing that was sent is a dead letter: all of it was good."""
    return [f"dead letter from {letter.headers}" for letter in letters]


def fanned_out(transitions: Sequence[Record], segment_topics: Mapping[str, Sequence[Record]]) -> list[str]:
    """Each segment's own topic holds exactly its transitions, each once."""
    faults = []
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    for each in _read(transitions):
        wanted[f"segments.{each['workspace']}.{each['segment']}"][each["id"]] += 1
    for name, records in segment_topics.items():
        found = Counter(each["id"] for each in _read(records))
        if found != wanted[name]:
            lacks, more = (wanted[name] - found).total(), (found - wanted[name]).total()
            faults.append(f"{name}: lacks {lacks} transitions, has {more} too many")
    return faults


def members_of(records: Sequence[Record]) -> dict[tuple[str, str], set[str]]:
    """(workspace, segment) → contacts, as the compacted members topic says."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key in latest(records):
        workspace, segment, contact = key.decode().split("/", 2)
        found[workspace, segment].add(contact)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Truth:
    """What the recount needs: canonical segments and models, settings in ms, the instant to which the clock has
    gone."""

    segments: Sequence[Mapping[str, Any]]
    until: int
    grace: int
    partitions: int
    models: Sequence[Mapping[str, Any]] = ()


def recounted(facts: Sequence[Record], truth: Truth) -> Result:
    """The batch proof over facts in arrival order."""
    return recount(
        truth.segments,
        [with_arrival(record) for record in facts],
        truth.models,
        until=truth.until,
        grace=truth.grace,
        partitions=truth.partitions,
        clock_follows_arrival=False,
    )


def like_recount(seen: Seen, result: Result, grace: int, in_order: Callable[[Who], bool]) -> tuple[list[str], int]:
    """Members equal the recount's, and for contacts in order the transitions too; with the number of contacts so
    compared.

    A contact is in order if `in_order` says so and each of its facts arrived within `grace` (ms) of its instant.
    """
    known = {who(fact) for fact in _read(seen.facts)}
    slow = {
        who(fact)
        for record, fact in zip(seen.facts, _read(seen.facts), strict=True)
        if record.timestamp - parse_instant(fact["at"]) >= grace
    }
    loose = {contact for contact in known if contact in slow or not in_order(contact)}
    faults = compare(result, _read(seen.transitions), members_of(seen.members), only_members=loose)
    faults.extend(f"line {line} is no fact for the recount: {reason}" for line, reason in result.rejected)
    return faults, len(known - loose - result.late_contacts)


def of_topics(seen: Seen) -> dict[str, list[str]]:
    """By kind, the faults that the topics show by themselves."""
    return {
        "dead letters": no_dead_letters(seen.dead_letters),
        "facts counted": counted_once(seen.facts, seen.changelog),
        "facts journaled": journaled_once(seen.facts, seen.journal),
        "alternation": alternation(seen.transitions, erasures_of(seen.facts)),
        "ids": unique_ids(seen.transitions),
        "segment topics": fanned_out(seen.transitions, seen.segment_topics),
    }


def spelled_out(kinds: Mapping[str, Sequence[str]]) -> list[str]:
    """The first faults of each kind."""
    lines: list[str] = []
    for kind, faults in kinds.items():
        lines.extend(f"{kind}: {fault}" for fault in faults[:SHOWN])
        if len(faults) > SHOWN:
            lines.append(f"{kind}: … and {len(faults) - SHOWN} more")
    return lines


def judge(seen: Seen, result: Result, truth: Truth, in_order: Callable[[Who], bool], *, compared_at_least: int) -> None:
    """All checks against the recount `result` of the same facts; AssertionError with the first faults of each kind.

    Fails too when fewer contacts than `compared_at_least` were in order: a comparison of nothing proves nothing.
    """
    unlike, compared = like_recount(seen, result, truth.grace, in_order)
    lines = spelled_out({**of_topics(seen), "recount": unlike})
    if compared < compared_at_least:
        lines.append(f"only {compared} contacts were in order, {compared_at_least} were to be compared")
    seen_in_all = f"{len(seen.facts)} facts, {len(seen.transitions)} transitions, {compared} contacts in order"
    assert not lines, f"{seen_in_all}\n" + "\n".join(lines)
