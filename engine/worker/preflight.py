"""What must be there before a worker starts: the topics, with the right numbers of partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka.errors import KafkaError

from engine.state.changelog import changelog_topic, journal_topic
from engine.worker.clients import partition_counts, topic_settings
from engine.worker.settings import Settings
from topics import DEAD_LETTER, DEFINITIONS, FORWARDED, LETTER_LIMIT, MEMBERS, TRANSITIONS, WORKERS

DELETE_RETENTION_MS: Final = 86_400_000
"""Kafka's default of delete.retention.ms."""


class NotPrepared(Exception):
    """The cluster is not as a worker needs it. The text is one paragraph that says what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a worker knows of the cluster before it starts. `delete_retention` is in milliseconds.

    `letter_bytes` is the largest record batch that the dead-letter topic takes.
    """

    dead_letter_partitions: int
    delete_retention: int
    letter_bytes: int = LETTER_LIMIT


async def look(settings: Settings) -> Cluster:
    """Checks the topics and reads what a worker needs of their settings. Raises NotPrepared."""
    by_contact = [
        *settings.input_topics,
        FORWARDED.name,
        TRANSITIONS.name,
        changelog_topic(settings.group),
        journal_topic(settings.group),
    ]
    if settings.members_topic:
        by_contact.append(MEMBERS.name)
    others = [DEAD_LETTER.name, DEFINITIONS.name, WORKERS.name]
    changelog = changelog_topic(settings.group)
    try:
        counts = await partition_counts(settings, [*by_contact, *others])
        judged = [topic for topic in (changelog, DEAD_LETTER.name) if topic in counts]
        kept = await topic_settings(settings, judged) if judged else {}
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
    policy = kept.get(changelog, {}).get("cleanup.policy", "compact")
    if policy.strip() != "compact":
        raise NotPrepared(
            f"The topic {changelog} has cleanup.policy={policy}: Kafka would remove the states of contacts in it. Set "
            "cleanup.policy=compact; what was removed already does not come back"
        )
    letter_bytes = int(kept.get(DEAD_LETTER.name, {}).get("max.message.bytes", str(LETTER_LIMIT)))
    retention = kept.get(changelog, {}).get("delete.retention.ms", str(DELETE_RETENTION_MS))
    return Cluster(counts[DEAD_LETTER.name], int(retention), min(letter_bytes, LETTER_LIMIT))
