"""A real Kafka for these tests alone: their workers ask for a number of partitions that others' topics have not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local_broker import LocalBroker
from tests.conftest import Kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One broker for all tests of this folder, started when the first asks for it."""
    with LocalBroker() as broker:
        yield Kafka(broker.brokers, broker)
