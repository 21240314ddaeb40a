"""What must be there before a worker starts: the topics, with the right numbers of partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.errors import KafkaError

from engine.state.changelog import changelog_topic, journal_topic
from engine.worker.clients import partition_counts, topic_settings
from engine.worker.settings import Settings
from topics import DEAD_LETTER, DEFINITIONS, FORWARDED, MEMBERS, TRANSITIONS, WORKERS

DELETE_RETENTION_MS: Final = 86_400_000
"""Kafka's default of delete.retention.ms."""


class NotPrepared(Exception):
    """The cluster is not as a worker needs it. The text is one paragraph that says what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a worker knows of the cluster before it starts. `delete_retention` is in milliseconds."""

    dead_letter_partitions: int
    delete_retention: int


async def look(settings: Settings) -> Cluster:
    """Checks the topics and reads what a worker needs of their settings. Raises NotPrepared."""
    by_contact = [
        *settings.input_topics,
        FORWARDED.name,
        TRANSITIONS.name,
        changelog_topic(settings.group),
        journal_topic(settings.group),
    ]
    others = [DEAD_LETTER.name, DEFINITIONS.name, WORKERS.name]
    if settings.members_topic:
        others.append(MEMBERS.name)
    changelog = changelog_topic(settings.group)
    try:
        counts = await partition_counts(settings, [*by_contact, *others])
        kept = (await topic_settings(settings, [changelog])) if changelog in counts else {}
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        why = f" ({error})" if str(error) else ""
        raise NotPrepared(
            f"Kafka at {settings.brokers} does not answer as it should{why}. Check the setting BROKERS and that the "
            "brokers run; for a local one: segment-engine broker"
        ) from error
    missing = [topic for topic in (*by_contact, *others) if topic not in counts]
    if missing:
        raise NotPrepared(
            f"These topics are missing: {', '.join(missing)}. Make them with: segment-engine topics create"
        )
    wrong = [f"{topic} has {counts[topic]}" for topic in by_contact if counts[topic] != settings.partitions]
    if wrong:
        raise NotPrepared(
            f"PARTITIONS is {settings.partitions}, but {', '.join(wrong)}. All inputs of a group, and what is kept by "
            "contact, have the same number of partitions: set PARTITIONS to it, or make the topics anew"
        )
    retention = kept.get(changelog, {}).get("delete.retention.ms", str(DELETE_RETENTION_MS))
    return Cluster(counts[DEAD_LETTER.name], int(retention))
