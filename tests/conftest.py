"""What all tests share: one real Kafka a session, names of a test's own, Hypothesis without clock limits."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, settings

from deploy.local_broker import LocalBroker

# A shared machine is slow at times; how long an example takes says nothing about the code.
settings.register_profile("engine", deadline=None, print_blob=True)
# A mutant has to be caught, not to be understood: looking for the smallest example takes half a minute.
CAUGHT = (Phase.explicit, Phase.reuse, Phase.generate)
settings.register_profile("mutant", settings.get_profile("engine"), phases=CAUGHT)
settings.load_profile("mutant" if "MUTANT_UNDER_TEST" in os.environ else "engine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no broker runs first."""
    items.sort(key=lambda item: item.get_closest_marker("kafka") is not None)


@dataclass(frozen=True)
class Kafka:
    """The session's broker; `brokers` is the value of the setting BROKERS."""

    brokers: str
    broker: LocalBroker
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def unique(self, word: str) -> str:
        """A name for a topic, prefix or group that no other test has: `word`, the process id and a number."""
        return f"{word}-{os.getpid()}-{next(self._numbers)}"


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One real Kafka for the whole session, started when the first test asks for it.

    Tests that stop, kill or reconfigure a broker start one of their own (`deploy.local_broker.LocalBroker`).
    """
    with LocalBroker() as broker:
        yield Kafka(broker.brokers, broker)
