"""Paths into properties and the tests of `where`, `profile`, `count` and `is` (DESIGN 5), one plain function each.

A path gives a list of values, because it may lead into lists; a test holds if any of them meets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any

from engine.recount.instants import nanoseconds

Path = tuple[str, ...]
_NAME = re.compile(r'\["(?P<quoted>[^"]*)"\]|(?P<plain>[^.\[\]]+)')
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_LARGEST_EXPONENT = 308  # as of a double: nothing beyond it is a number in JSON as the world reads it


@lru_cache(maxsize=4096)
def path_of(text: str) -> Path:
    """`items.category` → its names; `["a.b"]` is one name with a dot in it. ValueError if it is no path."""
    names, place = [], 0
    while True:
        found = _NAME.match(text, place)
        if found is None:
            raise ValueError(f"{text!r} is not a path such as items.category")
        names.append(found["plain"] if found["quoted"] is None else found["quoted"])
        place = found.end()
        if place == len(text):
            return tuple(names)
        if text[place] == ".":
            place += 1
        elif text[place] != "[":
            raise ValueError(f"{text!r} is not a path such as items.category")


def reach(value: Any, path: Path) -> list[Any]:
    """All values under `path`; lists on the way are gone through, a list at the end stays one; null is no value."""
    if not path:
        return [] if value is None else [value]
    if isinstance(value, list):
        return [found for element in value for found in reach(element, path)]
    if isinstance(value, dict) and path[0] in value:
        return reach(value[path[0]], path[1:])
    return []


def number(value: Any) -> Fraction | None:
    """A number, or text that is one, exactly; None for anything else (true and false are not numbers)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | Fraction):
        return Fraction(value)
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        try:
            value = Decimal(value)
        except InvalidOperation:
            return None
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= _LARGEST_EXPONENT:
        return Fraction(value)
    return Fraction(0) if isinstance(value, Decimal) and value == 0 else None


def comparable(left: Any, right: Any) -> tuple[Any, Any] | None:
    """The two as things that Python orders rightly, or None if they can't be compared."""
    if isinstance(left, str) and isinstance(right, str):
        moments = nanoseconds(left), nanoseconds(right)
        return (left, right) if None in moments else moments
    numbers = number(left), number(right)
    return None if None in numbers else numbers


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same to a test."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return type(left) is type(right) and bool(left == right)
    pair = comparable(left, right)
    return pair is not None and pair[0] == pair[1]


def opened(values: Sequence[Any]) -> list[Any]:
    """The values with lists replaced by their elements, without nulls."""
    found = [element for value in values for element in (opened(value) if isinstance(value, list) else [value])]
    return [element for element in found if element is not None]


def _any_equal(values: Sequence[Any], operand: Any) -> bool:
    return any(equal(value, operand) for value in opened(values))


def _any_in(values: Sequence[Any], operand: Sequence[Any]) -> bool:
    return any(_any_equal(values, one) for one in operand)


def _ordered(meets: Callable[[Any, Any], bool]) -> Callable[[Sequence[Any], Any], bool]:
    def holds_for_any(values: Sequence[Any], operand: Any) -> bool:
        pairs = (comparable(value, operand) for value in opened(values))
        return any(pair is not None and meets(*pair) for pair in pairs)

    return holds_for_any


def _between(values: Sequence[Any], operand: Sequence[Any]) -> bool:
    low, high = operand
    return any(_OPERATORS["gte"]([value], low) and _OPERATORS["lte"]([value], high) for value in opened(values))


def _of_text(meets: Callable[[str, str], bool]) -> Callable[[Sequence[Any], Any], bool]:
    return lambda values, operand: any(isinstance(value, str) and meets(value, operand) for value in opened(values))


def _any_item(values: Sequence[Any], operand: Mapping[str, Any]) -> bool:
    return any(isinstance(element, dict) and all_hold(operand, element) for element in opened(values))


_OPERATORS: dict[str, Callable[[Sequence[Any], Any], bool]] = {
    "eq": _any_equal,
    "ne": lambda values, operand: not _any_equal(values, operand),
    "in": _any_in,
    "not_in": lambda values, operand: not _any_in(values, operand),
    "gt": _ordered(lambda value, operand: bool(value > operand)),
    "gte": _ordered(lambda value, operand: bool(value >= operand)),
    "lt": _ordered(lambda value, operand: bool(value < operand)),
    "lte": _ordered(lambda value, operand: bool(value <= operand)),
    "between": _between,
    "contains": _of_text(lambda value, operand: operand in value),
    "icontains": _of_text(lambda value, operand: operand.casefold() in value.casefold()),
    "starts_with": _of_text(lambda value, operand: value.startswith(operand)),
    "ends_with": _of_text(lambda value, operand: value.endswith(operand)),
    "matches": _of_text(lambda value, operand: re.search(operand, value) is not None),
    "exists": lambda values, operand: bool(opened(values)) is operand,
    "any_item": _any_item,
}


def known_test(test: Any) -> bool:
    """Whether the recount knows every operator of this test."""
    if isinstance(test, dict):
        return test.keys() <= _OPERATORS.keys() and all(map(known_test, test.get("any_item", {}).values()))
    return not isinstance(test, list)


def holds(test: Any, values: Sequence[Any]) -> bool:
    """Whether the values found under a path meet a test: a bare value, or operators that must all hold."""
    if not isinstance(test, dict):
        return _any_equal(values, test)
    return all(_OPERATORS[name](values, operand) for name, operand in test.items())


def all_hold(tests: Mapping[str, Any], value: Any) -> bool:
    """Whether every `path: test` holds on one JSON object."""
    return all(holds(test, reach(value, path_of(path))) for path, test in tests.items())


def picked(value: Any, of: Path, tests: Sequence[tuple[Path, Any]]) -> list[Any]:
    """The values under `of` that count: in a list, those of the elements that pass the tests on that same list.

    Tests on other paths must hold on the whole. Gives no value if they don't, or if `of` leads nowhere.
    """
    depth = _depth_of_list(value, of)
    if depth is None:
        return reach(value, of) if all(holds(test, reach(value, path)) for path, test in tests) else []
    tests = [single for path, test in tests for single in _item_apart(path, test)]
    same = [(path, test) for path, test in tests if _is_on_elements(path, test, of, depth)]
    other = [(path, test) for path, test in tests if not _is_on_elements(path, test, of, depth)]
    if not all(holds(test, reach(value, path)) for path, test in other):
        return []
    inner = [pair for path, test in same for pair in _asked_of_element(path[depth:], test)]
    return [found for element in reach(value, of[:depth])[0] for found in picked(element, of[depth:], inner)]


def _item_apart(path: Path, test: Any) -> list[tuple[Path, Any]]:
    """`any_item` and the operators beside it as two tests: the one asks of elements, the others of the whole."""
    if not isinstance(test, dict) or "any_item" not in test or len(test) == 1:
        return [(path, test)]
    beside = {name: operand for name, operand in test.items() if name != "any_item"}
    return [(path, {"any_item": test["any_item"]}), (path, beside)]


def _depth_of_list(value: Any, of: Path) -> int | None:
    for depth in range(len(of) + 1):
        if isinstance(value, list):
            return depth
        if depth == len(of) or not isinstance(value, dict) or of[depth] not in value:
            return None
        value = value[of[depth]]
    return None


def _is_on_elements(path: Path, test: Any, of: Path, depth: int) -> bool:
    if path[:depth] != of[:depth]:
        return False
    any_item = isinstance(test, dict) and set(test) == {"any_item"}
    return len(path) > depth or any_item or len(of) == depth


def _asked_of_element(path: Path, test: Any) -> list[tuple[Path, Any]]:
    if not path and isinstance(test, dict) and set(test) == {"any_item"}:
        an_object: list[tuple[Path, Any]] = [((), {"any_item": {}})]
        return an_object + [(path_of(inner), inner_test) for inner, inner_test in test["any_item"].items()]
    return [(path, test)]
