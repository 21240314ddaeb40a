"""The same facts through `segment-engine replay` and through a worker on a real Kafka, and what each of them
published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from deploy.local_broker import LocalBroker
from tests.generate.facts import instant
from tests.integration.faults.checker import members_of
from tests.integration.harness import Worker, free_ports, run_engine
from tests.integration.harness_kafka import read_topic, send_all, wait_consumed
from tests.placement import partition_of

PARTITIONS = 4
GRACE_MS = 1_000
GROUP = "parity"
TAKEN_WITHIN = 300.0  # seconds for a worker to take the whole log
REPLAY_WITHIN = 300.0  # seconds
Who = tuple[str, str]


class Line(NamedTuple):
    """A fact on its way: the topic it goes to, its Kafka key, its JSON."""

    topic: str
    key: bytes
    value: bytes


class Outcome(NamedTuple):
    """Transitions as documents, in order for each contact; members as (workspace, segment) → contacts, empty ones
    left out.
    """

    transitions: list[dict[str, Any]]
    members: dict[tuple[str, str], set[str]]


def closing_lines(at: int) -> list[Line]:
    """One fact for each partition at the same instant (ms), so that all partition clocks end where the one of a
    replay does.
    """
    lines, missing, number = [], set(range(PARTITIONS)), 0
    while missing:
        name = f"closing-{number}"
        number += 1
        partition = partition_of(name.encode(), PARTITIONS)
        if partition in missing:
            missing.discard(partition)
            fact = {"id": name, "type": "closing", "contact": name, "at": instant(at)}
            lines.append(Line("events.clicks", name.encode(), orjson.dumps(fact)))
    return lines


def replayed(lines: Sequence[Line], segments: Path, folder: Path) -> Outcome:
    """What `segment-engine replay` publishes for the facts in this order."""
    facts = folder / "facts.jsonl"
    facts.write_bytes(b"".join(line.value + b"\n" for line in lines))
    words = ["replay", "--segments", str(segments), "--events", str(facts)]
    env = {"SEGMENT_ENGINE_GRACE": f"PT{GRACE_MS // 1000}S", "SEGMENT_ENGINE_PARTITIONS": str(PARTITIONS)}
    published = run_engine(words, env, within=REPLAY_WITHIN)
    transitions = [orjson.loads(line) for line in published.splitlines()]
    return Outcome(transitions, members_after(transitions))


def worked(lines: Sequence[Line], segments: Path, folder: Path) -> Outcome:
    """What a worker publishes that finds all these facts in its topics, with CLOCK=events."""
    prefix = "SEGMENT_ENGINE_"
    with LocalBroker(folder / "kafka") as broker:
        env = {
            f"{prefix}BROKERS": broker.brokers,
            f"{prefix}GROUP": GROUP,
            f"{prefix}DATA_DIR": str(folder / "data"),
            f"{prefix}PARTITIONS": str(PARTITIONS),
            f"{prefix}HTTP_PORT": str(free_ports(1)[0]),
            f"{prefix}CLOCK": "events",
            f"{prefix}GRACE": f"PT{GRACE_MS // 1000}S",
            f"{prefix}SEGMENT_TOPICS": "off",
        }
        run_engine(["topics", "create"], env)
        run_engine(["segments", "apply", str(segments)], env)
        send_all(broker.brokers, lines)
        topics = sorted({line.topic for line in lines})
        with Worker(env, log=folder / "worker.log") as worker:
            wait_consumed(broker.brokers, GROUP, topics, TAKEN_WITHIN, worker)
        letters = read_topic(broker.brokers, "events.dead-letter")
        assert not letters, f"{len(letters)} dead letters, the first says {letters[0].headers}"
        found = read_topic(broker.brokers, "segments.transitions")
        members = members_of(read_topic(broker.brokers, "segments.members"))
    return Outcome([orjson.loads(record.value) for record in found if record.value is not None], members)


def members_after(transitions: Iterable[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Who is in each segment after these transitions; segments without members are left out."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in transitions:
        members = found[each["workspace"], each["segment"]]
        (members.add if each["change"] == "enter" else members.discard)(each["contact"])
    return {segment: contacts for segment, contacts in found.items() if contacts}


def by_contact(outcome: Outcome, without: set[Who]) -> dict[Who, list[tuple[object, ...]]]:
    """Each contact's transitions in order: id, segment, change, sequence, instant, cause."""
    found: dict[Who, list[tuple[object, ...]]] = defaultdict(list)
    for each in outcome.transitions:
        who = (each["workspace"], each["contact"])
        if who not in without:
            cause = each["cause"]
            told = (each["id"], each["segment"], each["change"], each["sequence"], each["at"], each["late"])
            found[who].append((*told, cause["kind"], cause["event_id"]))
    return dict(found)


def first_difference(
    left: dict[Who, list[tuple[object, ...]]], right: dict[Who, list[tuple[object, ...]]]
) -> str | None:
    """The first contact whose transitions differ, in words; None if all are the same."""
    for who in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(who, []), right.get(who, [])
        if ours != theirs:
            place = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
            )
            return f"{who}, transition {place}: {ours[place : place + 2]} against {theirs[place : place + 2]}"
    return None
