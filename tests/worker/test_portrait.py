"""One contact as a whole, out of a store: what the HTTP interface and the command line show (R48)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas
from engine.conditions.instants import parse_instant
from engine.definitions import load_folder
from engine.demo.shop_log import shop_log_lines
from engine.membership.placement import store_key
from engine.membership.replay import Replay
from engine.state.changelog import journal_key
from engine.state.codec import encode_chunk, encode_contact
from engine.state.store import Meta, Store
from engine.worker.portrait import CUT, show_contact
from engine.worker.settings import Settings
from tests.driver import fact, given, line_of

CONTRACT = Draft202012Validator(schemas.load("contact"))
ROOT = Path(__file__).parents[2]
SEGMENTS = """
segment: buyers
name: Bought lately
when: {did: {event: purchase, within: P30D}}
---
segment: newcomers
when: {known: {within: P7D}}
---
segment: again
when: {all: [{did: {event: purchase}}, {quiet: {event: purchase, for: P90D}}]}
"""
FACTS = [
    fact("2026-01-01T10:00Z", "contact_updated", named="u-1", name="Anna", city="Тверь", gone=None),
    fact("2026-01-01T11:00Z", "tags_added", named="t-1", tags=["vip", "tea"]),
    fact("2026-01-01T12:00Z", "list_added", named="l-1", list="may"),
    fact("2026-01-02T10:00Z", "opt_out", named="o-1", channel="sms"),
    fact("2026-01-02T10:00Z", "consent", named="o-2", channel="email", status="granted"),
    fact("2026-01-03T10:00Z", "purchase", named="p-1", order_id="A-1", amount=10),
    fact("2026-01-02T12:00Z", "click", named="late", button="Women"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "0")
    yield found
    found.close()


def put(replay: Replay, store: Store) -> None:
    """What a worker would have on its disk after these facts."""
    contacts = replay.contacts.contacts
    chunks = [(journal_key(key, 0), encode_chunk(list(replay.contacts.journal(key)))) for key in contacts]
    store.write({key: encode_contact(state) for key, state in contacts.items()}, chunks, Meta())


async def shown(
    replay: Replay, store: Store, contact: str = "c-1", facts: int = 10, why: bool = True
) -> dict[str, Any]:
    partition = replay.partition
    found = await show_contact(
        store, partition.plan, Settings(), partition.clock, "default", contact, facts=facts, why=why
    )
    assert found is not None
    CONTRACT.validate(json.loads(json.dumps(found)))
    return found


def played(facts: list[dict[str, Any]], until: str = "2026-01-05T00:00:00Z") -> Replay:
    replay = given(SEGMENTS, facts).replay()
    for each in facts:
        replay.take(line_of(each))
    replay.until(parse_instant(until))
    return replay


async def test_r48_the_profile_lists_the_contacts_segments_with_since_when_and_why(store: Store) -> None:
    replay = played(FACTS)
    put(replay, store)
    found = await shown(replay, store)
    assert found["attributes"] == {"city": "Тверь", "name": "Anna"}
    assert (found["tags"], found["lists"]) == (["tea", "vip"], ["may"])
    assert found["consent"] == {"email": "granted", "sms": "revoked"}
    assert (found["known_at"], found["facts"], found["facts_journaled"]) == ("2026-01-01T10:00:00.000Z", 7, 7)
    buyers, newcomers = found["segments"]
    assert (buyers["segment"], buyers["name"], buyers["since"], buyers["sequence"]) == (
        "buyers", "Bought lately", "2026-01-03T10:00:00.000Z", 1
    )  # fmt: skip
    assert buyers["why"] == (
        "bought something in the last 30 days (purchase p-1 of 2026-01-03T10:00:00.000Z); "
        "entered by purchase p-1 of 2026-01-03T10:00:00.000Z"
    )
    assert buyers["cause"]["event_id"] == "p-1"
    assert buyers["next"] == {"at": "2026-02-02T10:00:00.000Z", "exact": True}
    assert newcomers["not_before"] == "2026-01-08T10:00:00.000Z"
    assert [(each["at"], each["change"], each["segment"]) for each in found["changes"]] == [
        ("2026-01-08T10:00:00.000Z", "exit", "newcomers"),
        ("2026-02-02T10:00:00.000Z", "exit", "buyers"),
        ("2026-04-03T10:00:00.000Z", "enter", "again"),
    ]
    assert found["changes_until"] is None


async def test_the_last_facts_are_the_newest_by_their_instants(store: Store) -> None:
    replay = played(FACTS)
    put(replay, store)
    found = await shown(replay, store)
    assert [each["id"] for each in found["last_facts"]] == ["p-1", "late", "o-2", "o-1", "l-1", "t-1", "u-1"]
    assert found["last_facts"][0] == {
        "id": "p-1", "type": "purchase", "at": "2026-01-03T10:00:00.000Z",
        "properties": {"order_id": "A-1", "amount": 10},
    }  # fmt: skip
    assert [each["id"] for each in (await shown(replay, store, facts=2))["last_facts"]] == ["p-1", "late"]
    brief = await shown(replay, store, facts=0, why=False)
    assert (brief["last_facts"], brief["changes"]) == ([], [])
    assert [(each["segment"], each["why"]) for each in brief["segments"]] == [("buyers", None), ("newcomers", None)]


async def test_long_properties_are_cut(store: Store) -> None:
    deep = {
        "a": {"b": {"c": {"d": 1}}},
        "text": "x" * 101,
        "list": list(range(11)),
        "fit": ["y" * 100] * 10,
        "empty": {},
    }
    many = {f"n-{number:02}": number for number in range(11)}
    replay = played([fact("2026-01-01T10:00Z", "view", **deep), fact("2026-01-01T11:00Z", "view", **many)])
    put(replay, store)
    second, first = (each["properties"] for each in (await shown(replay, store))["last_facts"])
    assert first == {
        "a": {"b": {"c": CUT}},
        "text": "x" * 99 + CUT,
        "list": [*range(10), CUT],
        "fit": ["y" * 100] * 10,
    } | {"empty": {}}
    assert second == {f"n-{number:02}": number for number in range(10)} | {CUT: CUT}


async def test_a_retracted_fact_is_not_shown_and_nobody_is_nobody(store: Store) -> None:
    facts = [
        fact("2026-01-01T10:00Z", "event_retracted", named="r-1", id="p-9"),
        fact("2026-01-01T09:00Z", "purchase", named="p-9"),
    ]
    replay = played(facts)
    put(replay, store)
    assert [each["type"] for each in (await shown(replay, store))["last_facts"]] == ["event_retracted"]
    plan, clock = replay.partition.plan, replay.partition.clock
    assert await show_contact(store, plan, Settings(), clock, "default", "nobody", 10, True) is None


async def test_every_contact_of_the_demo_meets_the_contract(store: Store) -> None:
    replay = Replay(load_folder(ROOT / "engine/demo/segments"))
    lines = shop_log_lines()[:2_000]
    for line in lines:
        replay.take(line)
    put(replay, store)
    segments = set()
    for contact in {json.loads(line)["contact"] for line in lines[::50]}:
        found = await shown(replay, store, contact)
        state = replay.contacts.get(store_key("default", contact))
        assert state is not None
        segments |= {each["segment"] for each in found["segments"]}
    assert len(segments) > 2
