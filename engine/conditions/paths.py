"""Paths into properties and attributes: names with dots between them, through objects and into every element of
lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Values = list[Any]


def reader(path: str) -> Callable[[dict[str, Any]], Values]:
    """A function from an object to the values found at `path`, without nulls; a list at the end gives its elements.

    >>> reader("items.sku")({"items": [{"sku": "T-1"}, {"sku": "T-2"}, {}]})
    ['T-1', 'T-2']
    """
    first, *rest = path.split(".")
    if not rest:

        def read_one(source: dict[str, Any]) -> Values:
            value = source.get(first)
            if value is None:
                return []
            if type(value) is list:
                return flat(value)
            return [value]

        return read_one

    def read_deep(source: dict[str, Any]) -> Values:
        found = flat([source.get(first)])
        for part in rest:
            found = flat([value.get(part) for value in found if type(value) is dict])
            if not found:
                break
        return found

    return read_deep


def flat(values: Values) -> Values:
    """The values with lists replaced by their elements, without nulls."""
    out: Values = []
    for value in values:
        if type(value) is list:
            out += flat(value)
        elif value is not None:
            out.append(value)
    return out
