"""The generator's own promises: the same facts for the same shape, and exactly the disorder that was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.conditions.registry import NAMES
from engine.definitions.reading import load_folder
from tests.generate import Shape, by_topic, generate, late_contacts, wire
from tests.generate.contacts import TOPICS

SMALL = Shape(facts=6_000, contacts=150)
SEGMENTS = Path(__file__).parent / "segments"


def test_the_same_shape_gives_the_same_bytes_in_another_interpreter() -> None:
    words = [
        sys.executable,
        "-m",
        "tests.generate",
        "--facts",
        "6000",
        "--contacts",
        "150",
        "--late",
        "0.1",
        "--arrives",
    ]
    first, second = (subprocess.run(words, capture_output=True, check=True).stdout for _ in range(2))
    here = generate(Shape(facts=6_000, contacts=150, late=0.1))
    assert first == second == b"".join(wire(sent, arrives=True) + b"\n" for sent in here)


def test_on_time_facts_are_in_order_in_every_topic_and_nobody_is_late() -> None:
    sent = generate(SMALL)
    assert len(sent) == SMALL.facts
    assert late_contacts(sent, SMALL.grace) == set()
    for records in by_topic(sent).values():
        instants = [each.at for each in records if not each.duplicate]
        assert instants == sorted(instants)


def test_all_topics_and_types_occur() -> None:
    kinds = Counter((sent.topic, sent.fact["type"]) for sent in generate(SMALL))
    assert set(kinds) == {(topic, kind) for topic, kinds in TOPICS.items() for kind in kinds}


def test_copies_follow_their_originals_in_the_same_topic() -> None:
    seen: dict[str, str] = {}
    copies = altered = 0
    contents: dict[str, bytes] = {}
    for sent in generate(SMALL):
        name = sent.fact["id"]
        if sent.duplicate:
            copies += 1
            altered += contents[name] != wire(sent)
            assert seen[name] == sent.topic
        else:
            assert name not in seen
            seen[name], contents[name] = sent.topic, wire(sent)
    assert copies == SMALL.facts * SMALL.duplicates
    assert 0 < altered < copies


def test_refunds_come_before_and_after_their_purchases_in_part_and_in_full() -> None:
    amounts: dict[str, float] = {}
    before = part = full = 0
    for sent in sorted((s for s in generate(SMALL) if not s.duplicate), key=lambda s: s.at):
        found = sent.fact["properties"]
        if sent.fact["type"] == "purchase":
            amounts[found["order_id"]] = found["amount"]
        elif sent.fact["type"] == "refund":
            before += found["order_id"] not in amounts
            part += found["amount"] < amounts.get(found["order_id"], 0)
            full += found["amount"] == amounts.get(found["order_id"])
    assert min(before, part, full) > 0


def test_late_facts_are_within_grace_and_beyond_and_some_contacts_have_none() -> None:
    sent = generate(Shape(facts=6_000, contacts=150, late=0.01))
    late = [each.arrives - each.at for each in sent if not each.duplicate and each.arrives - each.at > 40]
    assert any(delay < SMALL.grace for delay in late)
    assert any(delay > 2 * SMALL.grace for delay in late)
    assert 0 < len(late_contacts(sent, SMALL.grace)) < len({each.contact for each in sent})


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_instants_are_shared_only_when_asked(share: float) -> None:
    sent = generate(Shape(facts=3_000, contacts=100, same_instant=share))
    together = Counter((each.contact, each.at) for each in sent if not each.duplicate)
    assert (max(together.values()) > 1) is (share > 0)


def test_a_shape_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="late is a share"):
        Shape(late=2)


def test_the_segments_are_valid_and_use_every_condition() -> None:
    segments = load_folder(SEGMENTS)
    text = json.dumps([segment.model_dump(mode="json", by_alias=True, exclude_none=True) for segment in segments])
    for kind in [*NAMES, "group", "include", "exclude", "any_item", "of_last", "first", "anniversary", "ago"]:
        assert f'"{kind}":' in text, kind
    assert '"timezone": "contact"' in text
    assert len(segments) >= 37
