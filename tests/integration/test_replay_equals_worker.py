"""`replay` and a worker on a real Kafka publish the same, and a recount of the raw facts agrees with both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import engine.demo
from engine.conditions.instants import parse_instant
from engine.definitions.model import canonical_form
from engine.definitions.reading import load_definitions
from engine.demo import shop_log as rees46
from engine.recount import Result, compare, recount
from tests.data_sets import retentioneering_log
from tests.generate import Shape, generate, late_contacts, wire
from tests.generate.facts import key
from tests.integration.parity import (
    GRACE_MS,
    PARTITIONS,
    Line,
    Outcome,
    Who,
    by_contact,
    closing_lines,
    first_difference,
    replayed,
    worked,
)

pytestmark = pytest.mark.kafka
DEMO_SEGMENTS = Path(engine.demo.__file__).parent / "segments"
DATA_SETS = Path(__file__).parents[1] / "data_sets"
GENERATED_SEGMENTS = Path(__file__).parents[1] / "generate" / "segments"
HOUR = 3_600_000


def _agree(lines: Sequence[Line], segments: Path, folder: Path, late: set[Who]) -> None:
    replay, worker = replayed(lines, segments, folder), worked(lines, segments, folder)
    found = load_definitions(segments)
    documents, models = ([canonical_form(each) for each in kind] for kind in found)
    result = recount(
        documents, [line.value for line in lines], models, until=None, grace=GRACE_MS, partitions=PARTITIONS
    )
    assert result.rejected == []
    late = late | result.late_contacts
    assert len(replay.transitions) > 1_000, "too few transitions to prove anything"
    assert replay.members == worker.members
    assert first_difference(by_contact(replay, late), by_contact(worker, late)) is None
    for outcome in (replay, worker):
        assert _against_recount(outcome, result, late) == []


def _against_recount(outcome: Outcome, result: Result, late: set[Who]) -> list[str]:
    return compare(result, outcome.transitions, outcome.members, only_members=late)


def test_the_shipped_log(tmp_path: Path) -> None:
    topics = {"purchase": "events.purchases"}
    facts = list(rees46.shop_log())
    texts = rees46.shop_log_lines()
    lines = [
        Line(topics.get(fact["type"], "events.clicks"), fact["contact"].encode(), text)
        for fact, text in zip(facts, texts, strict=True)
    ]
    lines += closing_lines(parse_instant(facts[-1]["at"]) + HOUR)
    _agree(lines, DEMO_SEGMENTS, tmp_path, set())


def test_half_a_year_of_a_shop(tmp_path: Path) -> None:
    facts, texts = retentioneering_log.shop_log(), retentioneering_log.shop_log_lines()
    lines = [
        Line(retentioneering_log.topic_of(fact["type"]), fact["contact"].encode(), text)
        for fact, text in zip(facts, texts, strict=True)
    ]
    lines += closing_lines(parse_instant(facts[-1]["at"]) + HOUR)
    _agree(lines, DATA_SETS / "segments", tmp_path, set())


@pytest.mark.parametrize(("late", "facts"), [(0.0, 100_000), (0.02, 40_000)])
def test_every_condition_over_many_facts_on_five_topics(tmp_path: Path, late: float, facts: int) -> None:
    sent = generate(Shape(facts=facts, late=late, grace=GRACE_MS))
    lines = [Line(each.topic, key(each), wire(each)) for each in sent]
    lines += closing_lines(max(each.at for each in sent) + HOUR)
    contacts_late = late_contacts(sent, GRACE_MS)
    assert (late > 0) is bool(contacts_late)
    assert len(contacts_late) < len({each.contact for each in sent})
    _agree(lines, GENERATED_SEGMENTS, tmp_path, contacts_late)
