"""Makes the declared topics on a cluster, and says how the existing ones differ.

`create` makes only what is missing and changes nothing that is there; `verify` changes nothing at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from topics.declaration import Topic

REPLICAS: Final = 3
"""Copies of each partition where the cluster has so many brokers: one may be away and another be lost."""
REQUEST_TOPICS_MAX: Final = 100
"""Topics made by one request: a broker answers well within its time-out."""
UNKNOWN_TOPIC: Final = 3
"""Kafka's error code for a topic that somebody else deleted meanwhile."""
ALREADY_EXISTS: Final = 36
"""Kafka's error code for a topic that somebody else made meanwhile."""


class TopicsError(Exception):
    """The cluster could not be asked, or refused. The text is one readable paragraph."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `create` did about one topic."""

    topic: str
    result: Literal["created", "present"]
    partitions: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One point where the cluster is not as declared.

    `setting` is `topic` (missing), `partitions`, `replication.factor` or a Kafka setting; `found` is None where there
    is nothing.
    """

    topic: str
    setting: str
    declared: str
    found: str | None

    def __str__(self) -> str:
        if self.setting == "topic":
            return f"{self.topic} is missing"
        return f"{self.topic}: {self.setting} is {self.found}, declared {self.declared}"


async def create(
    brokers: str, topics: Sequence[Topic], *, partitions: int, replication: int | None = None, timeout_ms: int = 30_000
) -> list[Outcome]:
    """Makes the missing of `topics` and waits until the cluster shows them; what exists is left as it is.

    `partitions` is the inputs' count; `replication` defaults to 3, or to the number of brokers if there are fewer.
    Raises TopicsError when no broker answers within `timeout_ms` or one refuses.
    """
    async with _admin(brokers, timeout_ms) as admin:
        found = await _described(admin)
        copies = replication or min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
        missing = [t for t in topics if t.name not in found]
        for at in range(0, len(missing), REQUEST_TOPICS_MAX):
            asked = [_new_topic(t, partitions, copies) for t in missing[at : at + REQUEST_TOPICS_MAX]]
            answer = await admin.create_topics(asked, timeout_ms=timeout_ms)
            for name, code, *message in answer.topic_errors:
                if code not in (0, ALREADY_EXISTS):
                    raise TopicsError(f"Kafka refused to make the topic {name}: {_reason(code, message)}")
        shown = await _until_shown(admin, {t.name for t in missing}, found)
    made = {t.name for t in missing}
    return [Outcome(t.name, "created" if t.name in made else "present", len(shown[t.name])) for t in topics]


async def names(brokers: str, *, timeout_ms: int = 30_000) -> frozenset[str]:
    """Names of all topics of the cluster. Raises TopicsError."""
    async with _admin(brokers, timeout_ms) as admin:
        return frozenset(await admin.list_topics())


async def delete(brokers: str, topics: Sequence[str], *, timeout_ms: int = 30_000) -> None:
    """Deletes topics by their names; those that are not there any more are no error. Raises TopicsError."""
    async with _admin(brokers, timeout_ms) as admin:
        answer = await admin.delete_topics(list(topics), timeout_ms=timeout_ms)
        for name, code, *message in answer.topic_error_codes:
            if code not in (0, UNKNOWN_TOPIC):
                raise TopicsError(f"Kafka refused to delete the topic {name}: {_reason(code, message)}")


async def verify(
    brokers: str, topics: Sequence[Topic], *, partitions: int, replication: int | None = None, timeout_ms: int = 30_000
) -> list[Difference]:
    """Every point where the cluster differs from `topics`, in their order; empty when it is as declared.

    Of an operator's own inputs only the number of partitions is judged: all inputs of a group must have the same.
    More copies than declared are no difference. Raises TopicsError when no broker answers within `timeout_ms`.
    """
    async with _admin(brokers, timeout_ms) as admin:
        found = await _described(admin)
        copies = replication or min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
        present = [t for t in topics if t.name in found]
        settings = await _settings(admin, [t.name for t in present if not t.operators])
    return list(_differences(topics, found, settings, partitions, copies))


def _differences(
    topics: Iterable[Topic],
    found: dict[str, list[int]],
    settings: dict[str, dict[str, str | None]],
    partitions: int,
    copies: int,
) -> Iterable[Difference]:
    for topic in topics:
        if topic.name not in found:
            yield Difference(topic.name, "topic", "present", None)
            continue
        replicas = found[topic.name]
        if len(replicas) != topic.count(partitions):
            yield Difference(topic.name, "partitions", str(topic.count(partitions)), str(len(replicas)))
        if topic.operators:
            continue
        if min(replicas) < copies:
            yield Difference(topic.name, "replication.factor", str(copies), str(min(replicas)))
        for name, value in _configuration(topic, copies).items():
            has = settings[topic.name].get(name)
            if not _equal(name, value, has):
                yield Difference(topic.name, name, value, has)


def _equal(name: str, declared: str, found: str | None) -> bool:
    if found is not None and name == "cleanup.policy":  # a list, in any order
        return set(declared.split(",")) == set(found.replace(" ", "").split(","))
    return declared == found


def _configuration(topic: Topic, copies: int) -> dict[str, str]:
    """The declared settings, and as many copies written before a commit counts as the loss of one broker allows."""
    safe = {"min.insync.replicas": str(copies - 1)} if copies >= REPLICAS else {}
    return {**topic.configuration(), **safe}


def _new_topic(topic: Topic, partitions: int, copies: int) -> Any:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.count(partitions),
        replication_factor=copies,
        topic_configs=_configuration(topic, copies),
    )


async def _described(admin: Any) -> dict[str, list[int]]:
    """Copies of each partition, by topic."""
    return {
        t["topic"]: [len(p["replicas"]) for p in t["partitions"]]
        for t in await admin.describe_topics()
        if t["error_code"] == 0
    }


async def _until_shown(admin: Any, names: set[str], found: dict[str, list[int]]) -> dict[str, list[int]]:
    """A new topic is known to the controller before every broker shows it; bounded by the time-out of `_admin`."""
    while not all(found.get(name) for name in names):
        found = await _described(admin)
        await asyncio.sleep(0.05)
    return found


async def _settings(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
    if not names:
        return {}
    settings: dict[str, dict[str, str | None]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise TopicsError(f"Kafka does not tell the settings of the topic {name}: {_reason(code, [message])}")
            settings[name] = {entry[0]: entry[1] for entry in entries}
    return settings


def _reason(code: int, message: Sequence[str | None]) -> str:
    return message[0] if message and message[0] else str(for_code(code).__name__)


@asynccontextmanager
async def _admin(brokers: str, timeout_ms: int) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=timeout_ms)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await admin.start()
            yield admin
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        why = f" ({error})" if str(error) else ""
        raise TopicsError(
            f"Kafka at {brokers} does not answer as it should{why}. Check the setting BROKERS and that the "
            "brokers run; for a local one: segment-engine broker"
        ) from error
    finally:
        await admin.close()
