"""The values that an aggregate takes from an event: those at its path, and in a list those of the elements that pass
the tests on the same list.

>>> items = [{"kind": "tea", "size": 2, "price": 45}, {"kind": "tea", "size": 1, "price": 9}, {"price": 7}]
>>> bought = Fact("c-1", "purchase", "", decoded={"items": items})
>>> value_reader("items.price", {"items": Test(any_item={"kind": Test(eq="tea"), "size": Test(gt=1)})})(bought)
[45]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from engine.conditions.fact import Fact
from engine.conditions.money import amount
from engine.conditions.paths import Names, flat, parse_path, reader_at
from engine.conditions.values import Test, Where, compile_values

ValueReader = Callable[[Fact], list[Any] | None]


@dataclass(frozen=True, slots=True)
class _PathTest:
    """A test of the values at a path; `inner`: what `any_item` asks of one element there, None for other tests."""

    names: Names
    passes: Callable[[list[Any]], bool]
    inner: tuple[_PathTest, ...] | None = None


_IS_OBJECT = _PathTest((), lambda values: any(type(value) is dict for value in values), ())
"""What `any_item` asks of an element beside its tests."""


def split_where(path: str, where: Where) -> tuple[Where, Where]:
    """The tests on the event, and those that may be on elements of the list that `path` leads into."""
    head = parse_path(path)[0]
    inner = {tested: test for tested, test in where.items() if parse_path(tested)[0] == head}
    return {tested: test for tested, test in where.items() if tested not in inner}, inner


def value_reader(path: str, inner: Where) -> ValueReader:
    """A function from a fact to the values at `path`; None for a fact that the tests of `inner` turn away.

    A purchase that refunds have lessened shows what is left as its `amount`.
    """
    of = parse_path(path)
    tests = _path_tests(inner)
    own = reader_at(of)
    of_amount = of == ("amount",)

    def read(fact: Fact) -> list[Any] | None:
        if not tests:
            found = own(fact.properties)
        else:
            found = _picked(fact.properties, of, tests)
            if not found and not _all_pass(fact.properties, tests):
                return None
        return [amount(fact.left)] if found and fact.left is not None and of_amount else found

    return read


def _path_tests(where: Where) -> tuple[_PathTest, ...]:
    found: list[_PathTest] = []
    for path, test in where.items():
        names = parse_path(path)
        rest = test
        if test.any_item is not None:
            passes = compile_values(Test(any_item=test.any_item))
            found.append(_PathTest(names, passes, _path_tests(test.any_item)))
            rest = test.model_copy(update={"any_item": None})
        if rest.operators():
            found.append(_PathTest(names, compile_values(rest)))
    return tuple(found)


def _picked(source: Any, of: Names, tests: Sequence[_PathTest]) -> list[Any]:
    """The values at `of` below `source`; in a list those of the elements that pass the tests on that list."""
    depth, value = 0, source
    while type(value) is not list and depth < len(of):
        value = value.get(of[depth]) if type(value) is dict else None
        depth += 1
    if type(value) is not list:
        return flat([value]) if _all_pass(source, tests) else []
    of_elements: list[_PathTest] = []
    of_all: list[_PathTest] = []
    for test in tests:
        rest = test.names[depth:]
        if test.names[:depth] != of[:depth]:
            of_all.append(test)
        elif test.inner is not None and not rest:
            of_elements += (_IS_OBJECT, *test.inner)
        elif rest or len(of) == depth:
            of_elements.append(replace(test, names=rest))
        else:
            of_all.append(test)
    if not _all_pass(source, of_all):
        return []
    return [found for element in value for found in _picked(element, of[depth:], of_elements)]


def _all_pass(source: Any, tests: Iterable[_PathTest]) -> bool:
    return all(test.passes(_read(source, test.names)) for test in tests)


def _read(source: Any, names: Names) -> list[Any]:
    return _reader(names)(source) if not names or type(source) is dict else []


@lru_cache(maxsize=1_024)
def _reader(names: Names) -> Callable[[Any], list[Any]]:
    return reader_at(names) if names else (lambda value: flat([value]))
