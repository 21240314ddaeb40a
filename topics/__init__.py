"""Every Kafka topic of the engine, declared once: what it carries, how it is keyed, cut, kept and limited.

`declaration` says what there should be; `cluster` makes it, or says how a cluster differs. Neither knows the engine.
"""

from topics.cluster import Difference, Outcome, TopicsError, create, delete, names, verify
from topics.declaration import (
    DEAD_LETTER,
    DEFINITIONS,
    FORWARDED,
    HISTORY,
    INPUTS,
    LETTER_LIMIT,
    MEMBERS,
    SEGMENT_TOPICS_MAX,
    TRANSITIONS,
    WORKERS,
    Topic,
    changelog,
    declared,
    input_topic,
    journal,
    segment_topic,
)

__all__ = [
    "DEAD_LETTER",
    "DEFINITIONS",
    "FORWARDED",
    "HISTORY",
    "INPUTS",
    "LETTER_LIMIT",
    "MEMBERS",
    "SEGMENT_TOPICS_MAX",
    "TRANSITIONS",
    "WORKERS",
    "Difference",
    "Outcome",
    "Topic",
    "TopicsError",
    "changelog",
    "create",
    "declared",
    "delete",
    "input_topic",
    "journal",
    "names",
    "segment_topic",
    "verify",
]
