"""The topics, each declared once (DESIGN.md 3, 6, 7).

Timestamps are the broker's (`LogAppendTime`) everywhere: arrival is the record's timestamp, and events carry old
instants in their bodies, which must not make retention delete them. Limits are bytes, spans milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Cleanup = Literal["delete", "compact", "compact,delete"]

DAY: Final = 86_400_000
MIB: Final = 1 << 20
FOREVER: Final = -1
"""`retention.ms` for "never deleted"."""

INPUT_LIMIT: Final = MIB
"""Largest record batch of an input, so the largest fact a producer can send."""
LETTER_LIMIT: Final = 16 * MIB
"""A dead letter or forwarded fact is the whole record with its origin in headers: it is larger than what came in,
and an input's limit counts compressed bytes."""
CHANGELOG_LIMIT: Final = 16 * MIB
"""Room for a hot contact's whole state and for a batch of many; a broker's default, 1 MiB, would be the end of it."""
SEGMENT_TOPICS_MAX: Final = 1_000
"""Topics of single segments, by default; apply refuses the next."""
TOPIC_NAME_MAX: Final = 249
"""Kafka's limit, from the length of a file name."""

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)

_COMPACTION: Final = {
    # Tombstones stay readable for a week, so that a worker stopped over a weekend restores from where it stood.
    "delete.retention.ms": str(7 * DAY),
    # What was erased or replaced is gone from disk after this long, also where little is written.
    "max.compaction.lag.ms": str(7 * DAY),
    # The segment being written is never compacted: small ones bound what a restore reads twice.
    "segment.bytes": str(64 * MIB),
    "min.cleanable.dirty.ratio": "0.3",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be.

    `partitions` is a count, or None for "as many as the inputs" (the setting PARTITIONS). `retention` is in
    milliseconds, `FOREVER` for never deleted. `max_message_bytes` limits one record batch. `carries` names the
    contract in `schemas/` of a value, None where the value is the engine's own. `operators`: the topic is another
    system's, and the engine only reads it: made when missing, never judged by its configuration.
    """

    name: str
    key: str
    description: str
    carries: str | None
    partitions: int | None = None
    cleanup: Cleanup = "delete"
    retention: int = FOREVER
    timestamps: Literal["LogAppendTime", "CreateTime"] = "LogAppendTime"
    max_message_bytes: int = INPUT_LIMIT
    operators: bool = False
    more: Mapping[str, str] = field(default_factory=dict)

    def count(self, inputs: int) -> int:
        """Partitions of this topic where the inputs have `inputs`."""
        return inputs if self.partitions is None else self.partitions

    def configuration(self) -> dict[str, str]:
        """The topic's Kafka settings, by their Kafka names."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention),
            "message.timestamp.type": self.timestamps,
            "max.message.bytes": str(self.max_message_bytes),
            **self.more,
        }


_CONTACT = "contact id; workspace/contact outside the default workspace"


def _input(name: str, description: str) -> Topic:
    return Topic(name, key=_CONTACT, description=description, carries="event", retention=30 * DAY)


INPUTS: Final[tuple[Topic, ...]] = (
    _input("events.clicks", "Behaviour: clicks, product views, carts, favourites, searches, quiz steps"),
    _input("events.purchases", "Purchases and refunds"),
    _input("events.opt-outs", "Opt-outs, opt-ins, blocks, complaints and consent"),
    _input("events.messages", "What became of sent messages: sent, delivered, read, clicked, failed"),
    _input("events.contacts", "Attributes, tags, lists, merges, erasures and retractions"),
)
"""The five input topics that the engine reads by default."""

FORWARDED: Final = Topic(
    "events.forwarded",
    key=_CONTACT,
    description="Facts that arrived in another partition than their contact's, sent on to the right one",
    carries="event",
    retention=30 * DAY,
    max_message_bytes=LETTER_LIMIT,
)
DEAD_LETTER: Final = Topic(
    "events.dead-letter",
    key="the record's own key",
    description="Records that are no events, untouched, with reason and origin in the headers",
    carries=None,
    retention=90 * DAY,
    max_message_bytes=LETTER_LIMIT,
)
DEFINITIONS: Final = Topic(
    "segments.definitions",
    key="workspace/segment",
    description="The newest version of every definition, active, paused or deleted: the truth",
    carries="definition",
    partitions=1,
    cleanup="compact",
    more=_COMPACTION,
)
HISTORY: Final = Topic(
    "segments.definitions.history",
    key="workspace/segment",
    description="Every version of every definition, with author and instant",
    carries="definition",
    partitions=1,
)
TRANSITIONS: Final = Topic(
    "segments.transitions",
    key=_CONTACT,
    description="Every enter and exit of every contact and segment",
    carries="transition",
    retention=90 * DAY,
)
MEMBERS: Final = Topic(
    "segments.members",
    key="workspace/segment/contact",
    description="The present members, by their latest enter; none of segments that say members_topic: false",
    carries="transition",
    cleanup="compact",
    more=_COMPACTION,
)
WORKERS: Final = Topic(
    "engine.workers",
    key="group/worker",
    description="Where each worker's HTTP interface is, and which partitions it owns",
    carries=None,
    partitions=1,
    cleanup="compact",
    more=_COMPACTION,
)


def changelog(group: str) -> Topic:
    """The states and positions of the partitions of a consumer group. Raises ValueError for an unusable group name."""
    return Topic(
        topic_name(f"engine.{group}.changelog"),
        key="the store's key of a contact, or the position",
        description="Every contact's state and every partition's position, in the transaction of their transitions",
        carries=None,
        cleanup="compact",
        max_message_bytes=CHANGELOG_LIMIT,
        more=_COMPACTION,
    )


def journal(group: str, retention: int = 400 * DAY) -> Topic:
    """The retained facts of a group's contacts, `retention` milliseconds by their own instants (JOURNAL_RETENTION).

    A fact's instant is never after its record's timestamp, so records as old as the retention hold no fact that still
    counts; a week on top covers a partition clock that runs behind the wall. Raises ValueError for an unusable group
    name.
    """
    return Topic(
        topic_name(f"engine.{group}.journal"),
        key="the store's key of a contact and the number of the chunk",
        description="The retained facts of every contact, in chunks that are appended and never rewritten",
        carries=None,
        cleanup="compact,delete",
        retention=retention + 7 * DAY,
        max_message_bytes=CHANGELOG_LIMIT,
        more=_COMPACTION,
    )


def segment_topic(workspace: str, segment: str, *, partitions: int = 1) -> Topic:
    """The topic of one segment's transitions, fed from `segments.transitions`.

    One partition unless told otherwise: a thousand segments are then a thousand partitions, not a thousand times the
    inputs' count, and a consumer sees one segment's transitions in one order. Raises ValueError if no topic can have
    the name: characters that Kafka does not allow, more than 249 bytes, or the name of a topic of the engine.
    """
    name = topic_name(f"segments.{workspace}.{segment}")
    if name in _RESERVED:
        raise ValueError(f"{name} is a topic of the engine: rename the segment or the workspace, or say topic: false")
    return Topic(
        name,
        key=_CONTACT,
        description=f"Enters and exits of the segment {segment} in the workspace {workspace}",
        carries="transition",
        partitions=partitions,
        retention=30 * DAY,
    )


def input_topic(name: str) -> Topic:
    """The declaration of an input by its name: one of the five, or an operator's own with the settings of events.

    Raises ValueError if no topic can have the name, or it is one that the engine writes.
    """
    for topic in INPUTS:
        if topic.name == name:
            return topic
    topic_name(name)
    if name in _RESERVED or re.fullmatch(r"segments\..*|engine\..*\.(changelog|journal)", name):
        raise ValueError(f"{name} is written by the engine and cannot be one of its inputs")
    return Topic(
        name, key=_CONTACT, description="Events, any types", carries="event", retention=30 * DAY, operators=True
    )


def declared(
    group: str,
    inputs: Iterable[str],
    *,
    journal_retention: int = 400 * DAY,
    segments: Iterable[tuple[str, str]] = (),
    segment_topic_partitions: int = 1,
) -> list[Topic]:
    """Every topic that a group of workers needs: its inputs, the common ones, its own, and those of segments.

    `segments` are pairs of workspace and segment id; `journal_retention` is in milliseconds.

    Raises ValueError for a name that no topic can have.
    """
    return [
        *(input_topic(name) for name in dict.fromkeys(inputs)),
        FORWARDED,
        DEAD_LETTER,
        DEFINITIONS,
        HISTORY,
        TRANSITIONS,
        MEMBERS,
        WORKERS,
        changelog(group),
        journal(group, journal_retention),
        *(segment_topic(w, s, partitions=segment_topic_partitions) for w, s in dict.fromkeys(segments)),
    ]


def topic_name(name: str) -> str:
    """`name`, if Kafka takes it as a topic's. Raises ValueError otherwise, saying what is allowed."""
    if not _TOPIC_NAME.fullmatch(name) or len(name) > TOPIC_NAME_MAX or name in {".", ".."}:
        raise ValueError(
            f"{name[:300]!r} cannot be a Kafka topic: only letters, digits, '.', '_' and '-' of ASCII, "
            f"at most {TOPIC_NAME_MAX} of them"
        )
    return name


_RESERVED: Final = frozenset(
    t.name for t in (FORWARDED, DEAD_LETTER, DEFINITIONS, HISTORY, TRANSITIONS, MEMBERS, WORKERS)
)
