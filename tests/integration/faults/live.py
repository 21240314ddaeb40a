"""A producer that writes to all five topics while faults happen: in order for some contacts, in disorder for the
others.

Contacts `o-…` are in order: each sends all its facts, stamped with the moment of sending, through one topic. Contacts
`x-…` spread over the topics by type, late within GRACE and far beyond it, some ahead of their time. Topics fall
silent one by one. Every EPOCH seconds new contacts take over, so that each stays small and many begin in the middle
of a fault.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import Any, Self

import orjson

from engine.membership.facts import ERASURE
from tests.generate.contacts import TOPIC_OF, TOPICS, Story
from tests.generate.facts import instant
from tests.integration.harness_kafka import producer

EPOCH = 30.0  # seconds
CONTACTS = 20  # of each kind, at a time
BEAT = 0.02  # seconds between two bursts
FLUSH_WITHIN = 60.0  # seconds, at the end
FAR = 15_000  # ms beyond GRACE
AHEAD = 300  # ms
ERASED = 0.01  # share of facts that erase their contact, which goes on as a new one
_NAMES = tuple(TOPICS)
_REMEMBERED = 200  # records that may be sent again


def in_order(who: tuple[str, str]) -> bool:
    """Whether this (workspace, contact) sends its facts in order, through one topic."""
    return who[1].startswith("o-")


class _Contact:
    """One contact of the running epoch."""

    def __init__(self, rng: random.Random, name: str, topic: str | None) -> None:
        self.name, self.topic = name, topic
        self.story = Story(rng, name)
        self.count = 0
        self.last = 0  # ms


class LiveProducer:
    """Writes about `rate` facts a second from `start` to `stop`, in a thread; `grace` in ms. As a context manager it
    does both.
    """

    def __init__(self, brokers: str, *, rate: float, seed: int, grace: int) -> None:
        self._rng = random.Random(seed)
        self._rate, self._grace = rate, grace
        self._producer = producer(brokers, **{"message.timeout.ms": 300_000, "linger.ms": 2})
        self._thread = threading.Thread(target=self._run, name="live-producer", daemon=True)
        self._quit, self._renew = threading.Event(), threading.Event()
        self._silent: dict[str, float] = {}
        self._recent: deque[tuple[str, bytes, dict[str, Any]]] = deque(maxlen=_REMEMBERED)
        self._refused: list[str] = []
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._quit.set()
        self._thread.join()

    def renew(self) -> None:
        """Lets new contacts take over now, so that those of before and those to come share no fault."""
        self._renew.set()

    def stop(self) -> int:
        """Ends the stream, waits for every acknowledgement and returns the last instant sent (ms)."""
        self._quit.set()
        self._thread.join()
        left = self._producer.flush(FLUSH_WITHIN)
        assert left == 0, f"{left} facts were not acknowledged"
        assert not self._refused, self._refused[:3]
        return int(time.time() * 1000)

    def _run(self) -> None:
        start, epoch, until = time.monotonic(), 0, 0.0
        contacts: list[_Contact] = []
        owed = 0.0
        while not self._quit.wait(BEAT):
            spent = time.monotonic() - start
            if spent >= until or self._renew.is_set():
                self._renew.clear()
                epoch, until = epoch + 1, spent + EPOCH
                contacts = self._contacts(epoch)
            self._fall_silent(spent)
            # A stall of this thread is not caught up with: the rate is a wish, the order is a promise.
            owed = min(owed + self._rate * BEAT, self._rate)
            while owed >= 1:
                owed -= 1
                self._send(self._rng.choice(contacts), spent)
            self._producer.poll(0)

    def _contacts(self, epoch: int) -> list[_Contact]:
        ordered = [_Contact(self._rng, f"o-{epoch}-{n}", _NAMES[n % len(_NAMES)]) for n in range(CONTACTS)]
        return ordered + [_Contact(self._rng, f"x-{epoch}-{n}", None) for n in range(CONTACTS)]

    def _fall_silent(self, spent: float) -> None:
        """About every five seconds one topic goes quiet for one to five seconds."""
        if self._rng.random() < BEAT / 5:
            self._silent[self._rng.choice(_NAMES)] = spent + self._rng.uniform(1, 5)

    def _send(self, contact: _Contact, spent: float) -> None:
        kind, properties = contact.story.next()
        if self._rng.random() < ERASED:
            kind, properties = ERASURE, {}
        topic = contact.topic or TOPIC_OF.get(kind, "events.contacts")
        if self._silent.get(topic, 0) > spent:
            return
        at = self._instant(contact)
        contact.count += 1
        fact = {
            "id": f"{contact.name}-{contact.count}",
            "type": kind,
            "contact": contact.name,
            "at": instant(at),
            "properties": properties,
        }
        self._publish(topic, contact.name.encode(), fact)
        if self._rng.random() < 0.03:
            self._repeat()

    def _instant(self, contact: _Contact) -> int:
        now = int(time.time() * 1000)
        if contact.topic is not None:
            contact.last = max(now, contact.last + 1)
            return contact.last
        fate = self._rng.random()
        if fate < 0.1:
            return now + self._rng.randrange(AHEAD)
        if fate < 0.7:
            return now - self._rng.randrange(self._grace)
        return now - self._grace - self._rng.randrange(FAR) if fate < 0.9 else now

    def _repeat(self) -> None:
        """An id once more, through the same topic; half of the time with other content."""
        topic, key, fact = self._rng.choice(self._recent)
        if self._rng.random() < 0.5 and fact["type"] != ERASURE:  # which has none
            fact = {**fact, "properties": {"button": "other", "amount": 99_999}}
        self._publish(topic, key, fact)

    def _publish(self, topic: str, key: bytes, fact: dict[str, Any]) -> None:
        self._recent.append((topic, key, fact))
        self._producer.produce(topic, orjson.dumps(fact), key, on_delivery=self._answered)
        self.sent += 1

    def _answered(self, error: object, _: object) -> None:
        if error is not None:
            self._refused.append(str(error))
