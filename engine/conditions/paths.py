"""Paths into properties and attributes: names with dots between them, through objects and into every element of
lists. `["a.b"]` is one name that holds dots.

A path is read once, when a rule is compiled, into the tuple of its names; its canonical spelling (`path_text`) stands
for it in documents and identities, so that equal paths are equal however they were written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Values = list[Any]
Names = tuple[str, ...]

PATH_MAX = 256
"""Characters of a path."""
_NAME = re.compile(r'\["(?P<quoted>[^"]+)"\]|(?P<plain>[^.\[\]"]+)')


@lru_cache(maxsize=4_096)
def parse_path(text: str) -> Names:
    """The names of a path. Raises ValueError, saying what does not fit, for what is none.

    >>> parse_path('items["a.b"].c'), parse_path('["a.b"]'), parse_path("city")
    (('items', 'a.b', 'c'), ('a.b',), ('city',))
    """
    if not 0 < len(text) <= PATH_MAX:
        raise ValueError(f"a path has 1 to {PATH_MAX} characters")
    names: list[str] = []
    place = 0
    while True:
        found = _NAME.match(text, place)
        if found is None:
            raise ValueError(f"no name at character {place + 1}")
        names.append(found["quoted"] or found["plain"])
        place = found.end()
        if place == len(text):
            return tuple(names)
        if text[place] == "." and text[place + 1 : place + 2] != "[":
            place += 1
        elif text[place] != "[":
            raise ValueError(f"no dot or bracket at character {place + 1}")


def path_text(names: Names) -> str:
    """The one spelling of a path: brackets only around names that need them.

    >>> path_text(("items", "a.b", "c")), path_text(parse_path('["city"]'))
    ('items["a.b"].c', 'city')
    """
    text = ""
    for name in names:
        if set(name) & set(".[]"):
            text += f'["{name}"]'
        else:
            text += f".{name}" if text else name
    return text


def reader(path: str) -> Callable[[dict[str, Any]], Values]:
    """A function from an object to the values found at `path`, without nulls; a list at the end gives its elements.

    >>> reader("items.sku")({"items": [{"sku": "T-1"}, {"sku": "T-2"}, {}]})
    ['T-1', 'T-2']
    >>> reader('["utm.source"]')({"utm.source": "mail"})
    ['mail']
    """
    return reader_at(parse_path(path))


def reader_at(names: Names) -> Callable[[dict[str, Any]], Values]:
    """`reader` of a path's names; at least one."""
    first, *rest = names
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
