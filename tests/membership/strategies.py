"""Random segments and facts as hypothesis draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.membership import random_conditions, random_facts
from tests.membership.choices import Choices, strategy_of
from tests.membership.random_conditions import KINDS, MODELS, USUAL, WINDOWS
from tests.membership.random_facts import CONTACTS, START

__all__ = ["CONTACTS", "KINDS", "MODELS", "START", "WINDOWS", "fact_lines", "leaves", "segment_sets"]

leaves = strategy_of(random_conditions.leaf)


def segment_sets(most: int = 4, kinds: tuple[str, ...] = USUAL) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One to `most` segments of a workspace, some nested, grouped, pinned, gated."""
    return strategy_of(random_conditions.segments, most, kinds)


def fact_lines(in_order: bool, erasing: bool = False) -> st.SearchStrategy[list[bytes]]:
    """Facts as JSON lines in arrival order: by `at`, or in any order; with erasures, and facts that come again."""

    def drawn(choices: Choices) -> list[bytes]:
        return random_facts.lines(choices, in_order, erasing=erasing)

    return strategy_of(drawn)
