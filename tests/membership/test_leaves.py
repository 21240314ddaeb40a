"""Each kind of condition by itself, and trees of them: after every fact, in whatever order facts come, the verdict is
the batch evaluator's at each instant and a millisecond beside, holds as long as it says, and is what a fold from
nothing gives. `EXAMPLES=n` makes each n examples long; `python -m tests.membership.soak` is faster for many."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from engine.conditions.registry import NAMES
from tests.membership.agreement import CONTACT, hold_rule
from tests.membership.choices import Choices, Seeded, chance, one, strategy_of
from tests.membership.random_conditions import KINDS, ZONES, Json, rule
from tests.membership.random_facts import lines, types_for

Case = tuple[Json, str, list[bytes], int]
EXAMPLES = os.environ.get("EXAMPLES")
FACTS_MOST = 10


def case(choices: Choices, kind: str | None) -> Case:
    """A condition of this kind (None: a tree), a zone, facts, and for how many days nothing follows them."""
    found = rule(choices, [], tuple(KINDS)) if kind is None else {kind: KINDS[kind](choices)}
    zone = one(choices, ZONES)
    facts = lines(choices, chance(choices, 3), (CONTACT,), FACTS_MOST, types_for([found, zone]))
    return found, zone, facts, choices.below(60)


def examples(count: int) -> Any:
    """So many, unless EXAMPLES says otherwise."""
    return settings(
        max_examples=int(EXAMPLES or count),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_condition_of_this_kind(kind: str) -> None:
    @examples(100)
    @given(strategy_of(case, kind))
    def holds(found: Case) -> None:
        hold_rule(*found)

    holds()


@examples(500)
@given(strategy_of(case, None))
def test_a_tree_of_conditions(found: Case) -> None:
    hold_rule(*found)


def test_every_kind_of_leaf_is_drawn() -> None:
    assert {*KINDS, "all", "any", "none", "not", "in_segment"} == set(NAMES)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_cases_of_this_kind_tell_true_from_false(kind: str) -> None:
    """Facts and conditions that never meet would prove nothing."""
    trues = falses = 0
    for seed in range(25):
        both = hold_rule(*case(Seeded(f"{kind} {seed}"), kind))
        trues, falses = trues + bool(both.trues), falses + bool(both.falses)
    assert min(trues, falses) >= 3
