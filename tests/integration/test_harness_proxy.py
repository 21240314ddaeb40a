"""The proxy loses exactly what it was told to lose, and the broker has done what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.local_broker import LocalBroker
from tests.integration.harness_kafka import create_topics, read_topic
from tests.integration.harness_proxy import END_TXN, KafkaProxy, Loss

pytestmark = pytest.mark.kafka
ANSWER_WITHIN_MS = 2_000


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    with LocalBroker() as started:
        create_topics(started.brokers, ["through-the-proxy"], 2)
        yield started


async def _commit(address: str, name: str) -> bool:
    """Sends one record in a transaction of its own; whether the client believes it committed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=address, transactional_id=f"t-{name}", request_timeout_ms=ANSWER_WITHIN_MS
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait("through-the-proxy", name.encode(), partition=0)
        await asyncio.wait_for(producer.commit_transaction(), ANSWER_WITHIN_MS / 1000)
    except (KafkaError, TimeoutError):
        return False
    else:
        return True
    finally:
        task = asyncio.create_task(producer.stop())
        await asyncio.wait([task], timeout=ANSWER_WITHIN_MS / 1000)
        task.cancel()


def _committed(broker: LocalBroker) -> list[bytes | None]:
    return [record.value for record in read_topic(broker.brokers, "through-the-proxy")]


async def test_without_losses_it_is_not_there(broker: LocalBroker) -> None:
    with KafkaProxy(broker.port) as proxy:
        assert await _commit(proxy.address, "plain")
        assert (proxy.lost, proxy.pending()) == ([], 0)
    assert _committed(broker).count(b"plain") == 1


@pytest.mark.parametrize("how", list(Loss))
async def test_a_lost_answer_happens_once_and_the_broker_decides(broker: LocalBroker, how: Loss) -> None:
    with KafkaProxy(broker.port) as proxy:
        proxy.lose(END_TXN, how)
        believed = await _commit(proxy.address, how.name)
        assert proxy.lost == [how]
        assert proxy.pending() == 0
    done = _committed(broker).count(how.name.encode())
    if how is Loss.REQUEST:
        assert done == int(believed), "never seen by the broker, unless the client asked again"
    else:
        assert done == 1, "the broker did it, whatever the client believes"
