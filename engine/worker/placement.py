"""Facts that arrived in another partition than their contact's (DESIGN.md 3): found out, and sent on with their origin.

Checked when a contact is first seen in a partition. What comes from the forwarding topic is where it belongs and is
never sent on again.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Final

from engine.conditions.fact import Fact
from engine.membership.placement import partition_of, wire_key

ORIGIN_TOPIC: Final = "origin-topic"
ORIGIN_PARTITION: Final = "origin-partition"
ORIGIN_OFFSET: Final = "origin-offset"
ORIGIN_TIMESTAMP: Final = "origin-timestamp"

Headers = Sequence[tuple[str, bytes | None]]
"""Of a record; Kafka allows a header to have no value."""


def origin(record: Any) -> Headers:
    """Headers that tell where a record was read."""
    return [
        (ORIGIN_TOPIC, record.topic.encode()),
        (ORIGIN_PARTITION, b"%d" % record.partition),
        (ORIGIN_OFFSET, b"%d" % record.offset),
        (ORIGIN_TIMESTAMP, b"%d" % record.timestamp),
    ]


def origin_of(record: Any) -> tuple[str, int]:
    """The id that a record without one has, and its arrival: those of the place where it first arrived.

    Of headers of one name the first counts: what a record brought itself comes behind ours.
    """
    found = dict(reversed(record.headers))
    try:
        place = f"{found[ORIGIN_TOPIC].decode()}/{int(found[ORIGIN_PARTITION])}/{int(found[ORIGIN_OFFSET])}"
        return place, int(found[ORIGIN_TIMESTAMP])
    except (KeyError, ValueError, AttributeError, TypeError):  # not from us: it counts as what arrived here
        return f"{record.topic}/{record.partition}/{record.offset}", record.timestamp


def right_partition(fact: Fact, partitions: int) -> int:
    """The partition number that a fact's contact belongs in."""
    return partition_of(wire_key(fact.workspace, fact.contact), partitions)


def split_misplaced(
    facts: list[Fact],
    records: list[Any],
    *,
    number: int,
    partitions: int,
    unknown: Set[bytes],
    forwarding: str,
) -> tuple[list[Fact], list[Any], list[tuple[int, Any]]]:
    """Facts and records that belong in partition `number`, and the others with their right partition.

    `unknown` are the store keys of contacts without a state here; `forwarding` names the topic whose records are never
    sent on.
    """
    if not unknown:
        return facts, records, []
    judged: dict[bytes, int] = {}
    for fact in facts:
        key = fact.key
        if key in unknown and key not in judged:
            judged[key] = right_partition(fact, partitions)
    elsewhere = {key: right for key, right in judged.items() if right != number}
    if not elsewhere:
        return facts, records, []
    kept: list[tuple[Fact, Any]] = []
    misplaced: list[tuple[int, Any]] = []
    for fact, record in zip(facts, records, strict=True):
        if fact.key in elsewhere and record.topic != forwarding:
            misplaced.append((elsewhere[fact.key], record))
        else:
            kept.append((fact, record))
    return [fact for fact, _ in kept], [record for _, record in kept], misplaced
