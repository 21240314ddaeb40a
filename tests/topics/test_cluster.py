"""`create` and `verify` against a real Kafka."""

from __future__ import annotations

from dataclasses import replace

import pytest

import topics
from deploy.local_broker import free_port
from tests.conftest import Kafka
from topics.cluster import Difference
from topics.declaration import MIB, Topic

pytestmark = pytest.mark.kafka


def own(kafka: Kafka, *declared: Topic) -> list[Topic]:
    """The declarations under names of this test's own."""
    prefix = kafka.unique("cluster")
    return [replace(t, name=f"{prefix}.{t.name}") for t in declared]


async def test_created_topics_are_as_declared_and_a_second_create_changes_nothing(kafka: Kafka) -> None:
    group = kafka.unique("group")
    wanted = topics.declared(group, [t.name for t in topics.INPUTS], segments=[(kafka.unique("shop"), "tea")])
    first = await topics.create(kafka.brokers, wanted, partitions=3)
    assert [o.topic for o in first] == [t.name for t in wanted]
    assert {o.partitions for o in first} == {1, 3}
    again = await topics.create(kafka.brokers, wanted, partitions=3)
    assert {o.result for o in again} == {"present"}
    assert await topics.verify(kafka.brokers, wanted, partitions=3) == []


async def test_only_the_missing_are_made(kafka: Kafka) -> None:
    one, other = own(kafka, topics.TRANSITIONS, topics.MEMBERS)
    await topics.create(kafka.brokers, [one], partitions=2)
    outcomes = await topics.create(kafka.brokers, [one, other], partitions=2)
    assert [o.result for o in outcomes] == ["present", "created"]


async def test_every_difference_is_told(kafka: Kafka) -> None:
    there, absent = own(kafka, topics.MEMBERS, topics.WORKERS)
    made = replace(there, cleanup="delete", timestamps="CreateTime", max_message_bytes=2 * MIB, retention=1_000)
    await topics.create(kafka.brokers, [made], partitions=2)
    differences = await topics.verify(kafka.brokers, [there, absent], partitions=3)
    assert differences == [
        Difference(there.name, "partitions", "3", "2"),
        Difference(there.name, "cleanup.policy", "compact", "delete"),
        Difference(there.name, "retention.ms", "-1", "1000"),
        Difference(there.name, "message.timestamp.type", "LogAppendTime", "CreateTime"),
        Difference(there.name, "max.message.bytes", str(MIB), str(2 * MIB)),
        Difference(absent.name, "topic", "present", None),
    ]
    assert str(differences[0]) == f"{there.name}: partitions is 2, declared 3"
    assert str(differences[-1]) == f"{absent.name} is missing"


async def test_the_order_of_cleanup_policies_is_no_difference(kafka: Kafka) -> None:
    (journal,) = own(kafka, topics.journal("g"))
    await topics.create(kafka.brokers, [journal], partitions=1)
    turned = replace(journal, more={**journal.more, "cleanup.policy": "delete,compact"})
    assert await topics.verify(kafka.brokers, [turned], partitions=1) == []


async def test_an_operators_input_is_left_and_judged_by_its_partitions_alone(kafka: Kafka) -> None:
    name = kafka.unique("operators.events")
    made = replace(topics.input_topic(name), timestamps="CreateTime", retention=-1)
    await topics.create(kafka.brokers, [made], partitions=2)
    declared = topics.input_topic(name)
    outcomes = await topics.create(kafka.brokers, [declared], partitions=4)
    assert (outcomes[0].result, outcomes[0].partitions) == ("present", 2)
    assert await topics.verify(kafka.brokers, [declared], partitions=2) == []
    assert await topics.verify(kafka.brokers, [declared], partitions=4) == [Difference(name, "partitions", "4", "2")]


async def test_too_few_copies_are_told(kafka: Kafka) -> None:
    (topic,) = own(kafka, topics.TRANSITIONS)
    await topics.create(kafka.brokers, [topic], partitions=1)
    differences = await topics.verify(kafka.brokers, [topic], partitions=1, replication=3)
    assert differences == [
        Difference(topic.name, "replication.factor", "3", "1"),
        Difference(topic.name, "min.insync.replicas", "2", "1"),
    ]


async def test_a_refusal_is_one_readable_paragraph(kafka: Kafka) -> None:
    (topic,) = own(kafka, topics.TRANSITIONS)
    with pytest.raises(topics.TopicsError, match=f"refused to make the topic {topic.name}: .*replication"):
        await topics.create(kafka.brokers, [topic], partitions=1, replication=3)


async def test_no_broker_is_one_readable_paragraph() -> None:
    with pytest.raises(topics.TopicsError, match=r"does not answer .* segment-engine broker"):
        await topics.verify(f"127.0.0.1:{free_port()}", [topics.TRANSITIONS], partitions=1, timeout_ms=3_000)
