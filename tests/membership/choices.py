"""Where random documents and facts come from: one source of choices for hypothesis, which shrinks, one for long runs,
which is fast and repeats a case by its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """Whatever chooses among so many, the first of them being the simplest."""

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1."""


class Seeded:
    """Choices that are the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1."""
        return int(self._random.random() * end)


class Drawn:
    """Choices that hypothesis makes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1."""
        return self._draw(_numbers(end))


@lru_cache(maxsize=256)
def _numbers(end: int) -> st.SearchStrategy[int]:
    return st.integers(0, end - 1)


def one(choices: Choices, options: Sequence[T]) -> T:
    """One of the options."""
    return options[choices.below(len(options))]


def between(choices: Choices, low: int, high: int) -> int:
    """A number from `low` to `high`."""
    return low + choices.below(high - low + 1)


def chance(choices: Choices, in_all: int) -> bool:
    """True once in so many times."""
    return choices.below(in_all) == in_all - 1


def some(choices: Choices, options: Sequence[T], least: int, most: int) -> list[T]:
    """So many of the options, each at most once, in any order."""
    left = list(options)
    return [left.pop(choices.below(len(left))) for _ in range(min(between(choices, least, most), len(options)))]


def strategy_of(make: Callable[..., T], *given: Any, **named: Any) -> st.SearchStrategy[T]:
    """What `make` makes of choices, as hypothesis draws it."""

    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return make(Drawn(draw), *given, **named)

    return drawn()
