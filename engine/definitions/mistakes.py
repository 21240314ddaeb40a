"""What validation found wrong, in the words of a definition's author: where, what, and what is allowed there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.conditions.registry import NAMES, TAG
from engine.conditions.spelling import near_name
from engine.conditions.values import OPERATORS
from engine.definitions.errors import DefinitionError
from engine.definitions.keys import keys_at
from engine.definitions.source import Place, Source, path_text, shown

_KEY = "[key]"
"""What pydantic puts at the end of the place of a key that is wrong itself."""
_SCALAR_ERRORS = frozenset(("bool_type", "int_type", "float_type", "string_type", "finite_number", "string_too_long"))
_YES, _NO = ("yes", "on", "y", "1"), ("no", "off", "n", "0")
_CHOICE = re.compile(r"'((?:[^'\\]|\\.)*)'")


def mistakes(error: ValidationError, source: Source, document: type[BaseModel]) -> list[DefinitionError]:
    """One mistake for each place, in the order of the text: a value of several kinds fails as each of them."""
    found: dict[Place, list[tuple[str, DefinitionError]]] = {}
    meant: set[Place] = set()
    for each in error.errors(include_url=False):
        place, told = _mistake(each, source, document)
        found.setdefault(place, []).append((each["type"], told))
        if each["type"] == "extra_forbidden" and (near := near_name(str(place[-1]), _allowed(place[:-1], document))):
            meant.add((*place[:-1], near))
    for place in meant:  # what is mistyped is not missing too
        if [kind for kind, _ in found.get(place, ())] == ["missing"]:
            del found[place]
    told_once = [each for place, several in found.items() for each in _of_one_place(place, several, found, source)]
    return sorted(dict.fromkeys(told_once), key=lambda each: (each.line or 0, each.column or 0))


def _of_one_place(
    place: Place, several: list[tuple[str, DefinitionError]], all_found: dict[Place, Any], source: Source
) -> Iterator[DefinitionError]:
    kinds = [kind for kind, _ in several]
    if all(kind.endswith("_type") for kind in kinds) and any(
        len(other) > len(place) and other[: len(place)] == place for other in all_found
    ):
        return  # it is of the other kind that may stand here, with a mistake further inside
    if len(kinds) > 1 and _SCALAR_ERRORS.issuperset(kinds):
        hint = "write one value; in: [...] asks for one of several"
        yield source.error(place, f"{_quoted(source.at(place))} is not a text, a number, true or false", hint)
        return
    yield from (told for _, told in several)


def _mistake(error: Any, source: Source, document: type[BaseModel]) -> tuple[Place, DefinitionError]:
    """The mistake and its place."""
    kind, context = error["type"], error.get("ctx") or {}
    place: Place = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith(TAG)))
    if kind == "missing":
        return _missing(place, source, document)
    of_key = place[-1:] == (_KEY,)
    place = source.existing(place[:-1] if of_key else place)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _no_condition(place, source)
    if "problem" in context:
        place = source.existing((*place, *context.get("at", ())))
        of_key = of_key or bool(context.get("key"))
        return place, source.error(place, context["problem"], context["hint"], key=of_key)
    if kind == "extra_forbidden":
        return place, _unknown_key(place, source, document)
    value = source.at(place)
    problem, hint = _WORDS[kind](value, context) if kind in _WORDS else (f"{_quoted(value)}: {error['msg']}", "")
    if kind in ("model_type", "model_attributes_type"):
        hint = f"write keys and values; allowed are {', '.join(_allowed(place, document))}"
    return place, source.error(place, problem, hint)


def _missing(place: Place, source: Source, document: type[BaseModel]) -> tuple[Place, DefinitionError]:
    parent, name = source.existing(place[:-1]), str(place[-1])
    told = source.error(
        parent, f"{name!r} is missing", f"add it; allowed here: {', '.join(_allowed(parent, document))}", key=True
    )
    where = (*parent, name)
    return where, replace(told, path=path_text(where), text=shown(source.at(parent)))


def _unknown_key(place: Place, source: Source, document: type[BaseModel]) -> DefinitionError:
    key, allowed = str(place[-1]), _allowed(place[:-1], document)
    close = near_name(key, allowed)
    hint = (f"Did you mean {close!r}? " if close else "") + f"Allowed here: {', '.join(allowed)}"
    return source.error(place, f"unknown key {key!r}", hint, key=True)


LOGIC = {"and": "all", "or": "any", "nor": "none"}
"""What other languages call these conditions; by letters alone, `and` would be taken for `any`."""


def _no_condition(place: Place, source: Source) -> tuple[Place, DefinitionError]:
    value = source.at(place)
    allowed = f"A condition is one of: {', '.join(NAMES)}"
    if not isinstance(value, dict):
        close = near_name(value, NAMES) if isinstance(value, str) else None
        hint = (f"Did you mean {close}: …? " if close else "") + allowed
        return place, source.error(place, f"{_quoted(value)} is not a condition", hint)
    if len(value) == 1:
        (key,) = value
        close = LOGIC.get(str(key).casefold()) or near_name(key, NAMES)
        hint = (f"Did you mean {close!r}? " if close else "") + allowed
        return (*place, key), source.error((*place, key), f"{key!r} is not a condition", hint, key=True)
    if not value:
        return place, source.error(place, "a condition has one key, and here is none", allowed)
    problem = f"a condition has one key, not {len(value)}: {', '.join(map(str, value))}"
    return place, source.error(place, problem, "put several under all: [...] or any: [...]. " + allowed)


def _allowed(place: Place, document: type[BaseModel]) -> list[str]:
    """The keys that the object at a place may have."""
    return keys_at(place, document) or list(OPERATORS)


def _quoted(value: Any) -> str:
    return repr(shown(value)) if isinstance(value, str) else shown(value)


Words = tuple[str, str]


def _list_type(value: Any, _context: Any) -> Words:
    hint = f"write [{shown(value)}]" if isinstance(value, str | int | float) else "write [one, another]"
    return f"{_quoted(value)} is not a list", hint


def _string_type(value: Any, _context: Any) -> Words:
    plain = isinstance(value, bool | int | float)
    return f"{_quoted(value)} is not a text", f'put it in quotes: "{shown(value)}"' if plain else "write one text"


def _bool_type(value: Any, _context: Any) -> Words:
    said = shown(value).lower()
    near = "true" if said in _YES else "false" if said in _NO else None
    return f"{_quoted(value)} is not true or false", f"write {near}" if near else "write true or false"


def _number_type(what: str) -> Callable[[Any, Any], Words]:
    def words(value: Any, _context: Any) -> Words:
        problem, hint = f"{_quoted(value)} is not {what}", f"write {what}"
        try:
            figure = float(value) if isinstance(value, str | float) else None
        except ValueError:
            figure = None
        if figure is not None and figure.is_integer():
            hint = f"write {int(figure)}" + (", without quotes" if isinstance(value, str) else "")
        return problem, hint

    return words


def _bound(name: str, problem: str, allowed: str) -> Callable[[Any, Any], Words]:
    return lambda value, context: (f"{_quoted(value)} is too {problem}", f"write {allowed} {context[name]}")


def _literal(value: Any, context: Any) -> Words:
    allowed = _CHOICE.findall(str(context["expected"])) or [str(context["expected"])]
    close = near_name(value, allowed) if isinstance(value, str) else None
    hint = (f"Did you mean {close!r}? " if close else "") + f"Allowed here: {', '.join(allowed)}"
    return f"{_quoted(value)} is not allowed here", hint


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


_WORDS: dict[str, Callable[[Any, Any], Words]] = {
    "list_type": _list_type,
    "dict_type": lambda value, _: (f"{_quoted(value)} is not an object", "write path: test, as in city: Petersburg"),
    "model_type": lambda value, _: (f"{_quoted(value)} is not an object", ""),
    "model_attributes_type": lambda value, _: (f"{_quoted(value)} is not an object", ""),
    "string_type": _string_type,
    "bool_type": _bool_type,
    "int_type": _number_type("a whole number"),
    "int_from_float": _number_type("a whole number"),
    "float_type": _number_type("a number"),
    "finite_number": lambda value, _: (f"{_quoted(value)} is not a finite number", "write a number"),
    "greater_than_equal": _bound("ge", "small", "at least"),
    "greater_than": _bound("gt", "small", "more than"),
    "less_than_equal": _bound("le", "great", "at most"),
    "less_than": _bound("lt", "great", "less than"),
    "too_short": lambda value, context: (
        f"{_quoted(value)} is empty" if not value else f"{_entries(len(value))} here is too few",
        f"write at least {context['min_length']}",
    ),
    "too_long": lambda _, context: (
        f"more than {_entries(context['max_length'])}",
        f"write at most {context['max_length']}",
    ),
    "string_too_short": lambda value, context: (
        "the text is empty" if not value else f"the text has less than {context['min_length']} characters",
        f"write at least {_characters(context['min_length'])}",
    ),
    "string_too_long": lambda value, context: (
        f"the text has {_characters(len(value))}",
        f"write at most {context['max_length']}",
    ),
    "literal_error": _literal,
}
"""What pydantic's own errors mean to whoever wrote the value."""
