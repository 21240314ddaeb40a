"""Where a contact came from: the earliest fact that says so, whatever comes later, is taken back or is folded anew."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from engine.conditions.first_touch import SOURCE_BYTES_MAX
from engine.conditions.instants import DAY
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.plan import compile_plan
from engine.membership.replay import read_line
from engine.membership.transitions import Transition, encode
from tests.driver import documents, fact, line_of

LOOKERS = "segment: lookers\nwhen: {did: {event: look}}"
BUYERS = "segment: buyers\nwhen: {did: {event: purchase}}"


class Shop:
    """One partition that knows where contacts came from."""

    def __init__(self, segments: str = LOOKERS, source: Sequence[str] = ("utm_source",)) -> None:
        self.contacts = MemoryContacts()
        self.partition = Partition(
            self.plan(segments, source), self.contacts, grace=0, dedup=7 * DAY, journal_retention=400 * DAY
        )
        self._lines = 0

    def plan(self, segments: str, source: Sequence[str] = ("utm_source",)) -> Any:
        return compile_plan([(each, 1) for each in documents(segments)], source=source)

    def take(self, *facts: Any) -> list[Transition]:
        for each in facts:
            self._lines += 1
            found = read_line(line_of(each), self._lines, skew=0, max_event_bytes=10_000)
            self.partition.take((found,))  # type: ignore[arg-type]  # none is refused
        return self.commit()

    def change(self, segments: str, source: Sequence[str] = ("utm_source",)) -> list[Transition]:
        assert self.partition.change_plan(self.plan(segments, source))
        self.partition.fill(sorted(self.contacts.contacts))
        self.partition.fill_ended()
        return self.commit()

    def commit(self) -> list[Transition]:
        batch = self.partition.drain()
        self.contacts.commit(batch)
        return batch.transitions

    def source(self) -> str:
        """What the next transition would say."""
        (transition,) = self.take(fact("2026-12-31", "look"))
        return transition.source


def touch(day: int, source: Any, kind: str = "click", named: str | None = None) -> Any:
    return fact(f"2026-05-{day:02d}", kind, named=named or f"t-{day}-{source}", utm_source=source)


def test_r29_the_first_touch_is_kept_on_a_second_visit() -> None:
    shop = Shop()
    (transition,) = shop.take(touch(1, "qr"), touch(2, "Yandex"), fact("2026-05-03", "look"))
    assert transition.source == "qr"
    assert b"qr" not in encode(transition)  # counted by, not told to subscribers


def test_the_fact_that_makes_a_member_may_be_the_touch() -> None:
    assert [t.source for t in Shop().take(touch(1, "mail", "look"))] == ["mail"]


def test_an_earlier_fact_that_comes_late_was_the_first() -> None:
    shop = Shop()
    shop.take(touch(5, "Yandex"), touch(2, "qr"))
    assert shop.source() == "qr"


@pytest.mark.parametrize("value", [7, "", None, {"a": 1}])
def test_what_is_no_text_is_no_source(value: Any) -> None:
    shop = Shop()
    shop.take(touch(1, value), touch(2, "mail"))
    assert shop.source() == "mail"


def test_a_touch_that_is_taken_back_leaves_the_next() -> None:
    shop = Shop()
    shop.take(touch(1, "qr", named="wrong"), touch(2, "Yandex"))
    shop.take(fact("2026-05-03", "event_retracted", id="wrong"))
    assert shop.source() == "Yandex"


def test_an_erased_contact_comes_back_from_elsewhere() -> None:
    shop = Shop()
    shop.take(touch(1, "qr"), fact("2026-05-02", "contact_erased"), touch(3, "mail"))
    assert shop.source() == "mail"


def test_definitions_that_come_later_find_it_in_the_journal_and_exits_still_know_it() -> None:
    shop = Shop(BUYERS.replace("buyers", "other").replace("purchase", "never"))
    shop.take(touch(1, "qr"), touch(2, "mail", "purchase"))
    assert [t.source for t in shop.change(BUYERS)] == ["qr"]
    retired = [("default", "buyers", 2)]
    shop.partition.change_plan(compile_plan([], retired, source=("utm_source",)))
    shop.partition.fill(sorted(shop.contacts.contacts))
    assert [(t.change, t.source) for t in shop.commit()] == [("exit", "qr")]


def test_other_properties_fill_contacts_anew_and_publish_nothing() -> None:
    shop = Shop(f"{LOOKERS}\n---\n{BUYERS}", ())
    bought = shop.take(fact("2026-05-01", "purchase", qr="poster", utm_source="mail"))
    assert [t.source for t in bought] == [""]
    assert shop.change(f"{LOOKERS}\n---\n{BUYERS}", ("qr", "utm_source")) == []
    assert shop.source() == "poster"


@pytest.mark.parametrize("line", ['"utm_\\u0073ource": "mail"', '"utm": 1, "utm_source": "m\\u0061il"'])
def test_a_property_is_found_however_its_json_is_written(line: str) -> None:
    shop = Shop()
    raw = f'{{"id": "1", "type": "click", "contact": "c-1", "at": "2026-05-01T00:00:00Z", "properties": {{{line}}}}}'
    found = read_line(raw.encode(), 1, skew=0, max_event_bytes=10_000)
    shop.partition.take((found,))  # type: ignore[arg-type]  # it is not refused
    shop.commit()
    assert shop.source() == "mail"


def test_names_beyond_ascii_and_long_values() -> None:
    shop = Shop(source=("метка.источник",))
    properties = {"метка": {"источник": "Яндекс " * 50}}
    for line in (json.dumps(properties), json.dumps(properties, ensure_ascii=False)):
        raw = f'{{"id": "1", "type": "click", "contact": "c-1", "at": "2026-05-01T00:00:00Z", "properties": {line}}}'
        found = read_line(raw.encode(), 1, skew=0, max_event_bytes=10_000)
        shop = Shop(source=("метка.источник",))
        shop.partition.take((found,))  # type: ignore[arg-type]  # it is not refused
        assert 100 < len(shop.source().encode()) <= SOURCE_BYTES_MAX


def test_whatever_the_order_the_source_is_that_of_the_earliest_that_counts() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        facts = [touch(day, rng.choice(["a", "b", None, 3]), named=f"n{day}") for day in range(1, 9)]
        gone = {f"n{rng.randint(1, 8)}" for _ in range(rng.randint(0, 3))}
        told = [*facts, *(fact("2026-05-20", "event_retracted", named=f"r-{each}", id=each) for each in sorted(gone))]
        rng.shuffle(told)
        shop = Shop()
        shop.take(*told)
        left = [each["properties"]["utm_source"] for each in facts if each["id"] not in gone]
        assert shop.source() == next((each for each in left if isinstance(each, str)), ""), seed
