"""Tests of one value: the right-hand side of `where` and `profile`, and the `is` of aggregates (DESIGN.md 5).

A bare value means equal; else one or several operators, all of which hold. Numbers in text compare as numbers with
numbers, RFC 3339 texts as instants with each other, and nothing is compared by tolerance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import re2  # type: ignore[import-untyped]
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from engine.conditions.document import CHILDREN_MAX, Document, Path, mistake
from engine.conditions.instants import parse_instant
from engine.conditions.paths import Names, parse_path, reader

_REGEX = re2.Options()
_REGEX.log_errors = False
_REGEX.max_mem = 1 << 20  # a pattern that would take more is refused

Scalar = bool | int | float | str
Check = Callable[[Any], bool]
PropertyTest = Callable[[dict[str, Any]], bool]

TEXT_MAX = 1_024
"""Characters of a text that a test compares with."""
_FINER = re.compile(r"[.,]\d{3}(\d{1,6})", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)

ScalarField = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-(1 << 63), lt=1 << 63)]
    | Annotated[StrictFloat, Field(allow_inf_nan=False)]
    | Annotated[StrictStr, Field(max_length=TEXT_MAX)]
)
Scalars = Annotated[list[ScalarField], Field(min_length=1, max_length=CHILDREN_MAX)]
OPERATORS = (
    "eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between",
    "contains", "icontains", "starts_with", "ends_with", "matches", "exists", "any_item",
)  # fmt: skip
ITEM_DEPTH_MAX = 5
"""How deep `any_item` may stand in `any_item`, the outermost counted."""


DATE_TESTS = ("within", "ago", "calendar", "anniversary")
"""Tests that only attributes have (engine.conditions.dates)."""


class Test(Document):
    """One or several operators, all of which must hold.

    >>> Test.model_validate({"gte": 500}).gte
    500
    """

    eq: ScalarField | None = None
    """Equal; the bare value means the same. Numbers in text equal numbers, RFC 3339 texts compare as instants."""
    ne: ScalarField | None = None
    """The exact negation of `eq`: it holds where nothing is set, too."""
    in_: Scalars | None = Field(default=None, alias="in")
    """Equal to one of these."""
    not_in: Scalars | None = None
    """The exact negation of `in`."""
    gt: ScalarField | None = None
    """Above: numbers with numbers, instants with instants, texts with texts."""
    gte: ScalarField | None = None
    """At or above."""
    lt: ScalarField | None = None
    """Below."""
    lte: ScalarField | None = None
    """At or below."""
    between: Annotated[list[ScalarField], Field(min_length=2, max_length=2)] | None = None
    """At or above the first, and at or below the second."""
    contains: Annotated[StrictStr, Field(max_length=TEXT_MAX)] | None = None
    """A text that contains this one."""
    icontains: Annotated[StrictStr, Field(max_length=TEXT_MAX)] | None = None
    """The same, whatever the case."""
    starts_with: Annotated[StrictStr, Field(max_length=TEXT_MAX)] | None = None
    """A text that starts so."""
    ends_with: Annotated[StrictStr, Field(max_length=TEXT_MAX)] | None = None
    """A text that ends so."""
    matches: Annotated[StrictStr, Field(max_length=256)] | None = None
    """A text in which this regular expression (RE2) is found."""
    exists: StrictBool | None = None
    """Whether there is any value."""
    any_item: Annotated[Where, Field(min_length=1, max_length=CHILDREN_MAX)] | None = None
    """One element of the list, an object, passes all of these tests."""

    @model_validator(mode="before")
    @classmethod
    def _no_date_test(cls, value: Any) -> Any:
        for name in DATE_TESTS:
            if isinstance(value, dict) and name in value and name not in cls.model_fields:
                problem = f"{name} is a test of a date among the contact's attributes, which only profile has"
                raise mistake("test", problem, f"here stand {', '.join(OPERATORS)}", at=(name,), key=True)
        return value

    @model_validator(mode="after")
    def _sound(self) -> Test:
        if self.matches is not None:
            try:
                pattern(self.matches)
            except ValueError as error:
                hint = (
                    "write it in the syntax of RE2, which takes time in proportion to the text (no look-around, no \\1)"
                )
                problem = f"{self.matches!r} is not a regular expression ({error})"
                raise mistake("regex", problem, hint, at=("matches",)) from None
        if _item_depth(self) > ITEM_DEPTH_MAX:
            problem = f"any_item stands in any_item more than {ITEM_DEPTH_MAX} deep"
            raise mistake("any_item", problem, "ask it of fewer lists within lists", at=("any_item",))
        return self

    def operators(self) -> list[tuple[str, Any]]:
        """The operators that are set, in the order of the reference."""
        found = ((name, getattr(self, "in_" if name == "in" else name)) for name in OPERATORS)
        return [(name, value) for name, value in found if value is not None]


def _item_depth(test: Test) -> int:
    return 0 if test.any_item is None else 1 + max(map(_item_depth, test.any_item.values()))


def short_form(value: Any) -> Any:
    """The document of a test: a bare value means `eq`. Raises the mistake of what is no test."""
    if isinstance(value, (bool, int, float, str)):
        return {"eq": value}
    if value is None or isinstance(value, list):
        hint = (
            "write in: [...] for one of several values"
            if isinstance(value, list)
            else "write exists: false for a value that is not there"
        )
        raise mistake("test", f"{value!r} is not a test", hint)
    if value == {}:
        raise mistake("test", "the test is empty", f"use one of {', '.join(OPERATORS)}, or a bare value")
    return value


AnyTest = Annotated[Test, BeforeValidator(short_form)]
"""A bare value (equal), or operators."""


def spelled_once(value: Any) -> Any:
    """Tests by path as they are. Raises the mistake of one path in two spellings."""
    if isinstance(value, dict):
        spelled: dict[Names, str] = {}
        for key in value:
            try:
                first = spelled.setdefault(parse_path(key), key)
            except (TypeError, ValueError):
                continue  # no path: told with its place
            if first != key:
                hint = "put all tests of a path under one key"
                raise mistake("path", f"{first} and {key} are the same path", hint, at=(key,), key=True)
    return value


Where = Annotated[dict[Path, AnyTest], BeforeValidator(spelled_once)]
"""Tests by path, all of which hold."""
Test.model_rebuild()


def _of_a_figure(test: Test) -> Test:
    if test.any_item is not None:
        hint = "any_item asks for an element of a list of objects: it belongs into where or profile"
        raise mistake("any_item", "a figure has no items", hint, at=("any_item",), key=True)
    return test


FigureTest = Annotated[Test, BeforeValidator(short_form), AfterValidator(_of_a_figure)]
"""A test of one figure, such as the `is` of aggregates."""


def pattern(text: str) -> Any:
    """The compiled regular expression (RE2: its time grows with the text, never worse). Raises ValueError."""
    try:
        return re2.compile(text, options=_REGEX)
    except re2.error as error:
        said = error.args[0] if error.args else "not understood"
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None


def number(value: Any) -> int | float | Decimal | Fraction | None:
    """The number in a JSON value: a number itself, or a text that is one; None otherwise (a boolean is not a
    number)."""
    kind = type(value)
    if kind is int or kind is float or kind is Decimal or kind is Fraction:
        return value  # type: ignore[no-any-return]
    if kind is str and _NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def exact(value: int | float | Decimal | Fraction) -> int | Decimal | Fraction:
    """A number as its shortest decimal text says it, for comparison without binary fractions."""
    if type(value) is float:
        return Decimal(repr(value))
    return value  # type: ignore[return-value]


def _instant(value: Any) -> int | None:
    """Nanoseconds of a text that is an RFC 3339 instant or date."""
    if type(value) is not str or len(value) < 10 or value[4] != "-":
        return None
    try:
        millis = parse_instant(value)
    except ValueError:
        return None
    finer = _FINER.search(value)
    return millis * 1_000_000 + (int(finer[1].ljust(6, "0")) if finer is not None else 0)


def compare(value: Any, operand: Scalar) -> int | None:
    """-1, 0 or 1 as `value` is below, at or above `operand`; None where the two do not compare."""
    a: Any
    b: Any
    kind, wanted = type(value), type(operand)
    if kind is str and wanted is str:
        a, b = _instant(value), _instant(operand)
        if a is None or b is None:
            a, b = value, operand
    elif kind is bool or wanted is bool:
        if kind is not wanted:
            return None
        a, b = value, operand
    else:
        a, b = number(value), number(operand)
        if a is None or b is None:
            return None
        if a != a or b != b:  # not a number
            return None
        if type(a) is not type(b):
            a, b = exact(a), exact(b)
            if type(a) is Fraction or type(b) is Fraction:
                a, b = Fraction(a), Fraction(b)
    above: bool = a > b
    below: bool = a < b
    return above - below


def equals(operand: Scalar) -> Check:
    """Whether a value is equal to `operand`."""
    if type(operand) is bool:
        return lambda value: value is operand
    if type(operand) is str and number(operand) is None and _instant(operand) is None:
        return lambda value: value == operand
    return lambda value: compare(value, operand) == 0


def _ordered(name: str, operand: Scalar) -> Check:
    if type(operand) is int:
        at: int = operand
        quick = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}[name]

        def check_int(value: Any) -> bool:
            return quick(value, at) if type(value) is int else general(value)

    def general(value: Any) -> bool:
        found = compare(value, operand)
        if found is None or type(value) is bool:
            return False
        return found > 0 if name == "gt" else found >= 0 if name == "gte" else found < 0 if name == "lt" else found <= 0

    return check_int if type(operand) is int else general


def _operator(name: str, operand: Any) -> Check:
    """A check of one value for a positive operator."""
    match name:
        case "eq":
            return equals(operand)
        case "in":
            checks = [equals(each) for each in operand]
            return lambda value: any(check(value) for check in checks)
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(name, operand)
        case "between":
            low, high = _ordered("gte", operand[0]), _ordered("lte", operand[1])
            return lambda value: low(value) and high(value)
        case "contains":
            return lambda value: type(value) is str and operand in value
        case "icontains":
            folded = operand.casefold()
            return lambda value: type(value) is str and folded in value.casefold()
        case "starts_with":
            return lambda value: type(value) is str and value.startswith(operand)
        case "ends_with":
            return lambda value: type(value) is str and value.endswith(operand)
        case _:
            search = pattern(operand).search
            return lambda value: type(value) is str and search(value) is not None


NEGATIONS = {"ne": "eq", "not_in": "in"}


def compile_values(test: Test) -> Callable[[list[Any]], bool]:
    """A function over all values found at a path: a list matches if any element does; `ne` and `not_in` negate that.

    `any_item` asks all its tests of one value that is an object: of one element, then, where the path leads to a list.
    """
    parts: list[Callable[[list[Any]], bool]] = []
    for name, operand in test.operators():
        if name == "exists":
            parts.append((lambda values: bool(values)) if operand else (lambda values: not values))
            continue
        if name == "any_item":
            parts.append(_some_of(_item(operand)))
            continue
        check = _operator(NEGATIONS.get(name, name), operand)
        parts.append(_none_of(check) if name in NEGATIONS else _some_of(check))
    if len(parts) == 1:
        return parts[0]
    return lambda values: all(part(values) for part in parts)


def _some_of(check: Check) -> Callable[[list[Any]], bool]:
    def some(values: list[Any]) -> bool:
        for value in values:  # noqa: SIM110 - a generator costs more than the check
            if check(value):
                return True
        return False

    return some


def _none_of(check: Check) -> Callable[[list[Any]], bool]:
    def none(values: list[Any]) -> bool:
        return not any(check(value) for value in values)

    return none


def _item(where: Where) -> Check:
    """Whether a value is an object that passes all tests."""
    passes = compile_where(where)
    return lambda value: type(value) is dict and (passes is None or passes(value))


def compile_where(where: Where) -> PropertyTest | None:
    """A function over an event's properties, or None where there is nothing to test."""
    parts = [(reader(path), compile_values(test)) for path, test in where.items()]
    if not parts:
        return None
    if len(parts) == 1:
        read, passes = parts[0]
        return lambda properties: passes(read(properties))
    return lambda properties: all(passes(read(properties)) for read, passes in parts)


def plain(test: Test) -> dict[str, Any]:
    """The test as plain JSON, for identities and canonical forms."""
    return {name: _plain_where(value) if name == "any_item" else value for name, value in test.operators()}


def _plain_where(where: Where) -> dict[str, Any]:
    return {path: plain(test) for path, test in where.items()}


def words(test: Test) -> str:
    """The test in plain words."""
    said = {
        "eq": "is", "ne": "is not", "in": "is one of", "not_in": "is none of", "gt": "is above", "gte": "is at least",
        "lt": "is below", "lte": "is at most", "between": "is between", "contains": "contains",
        "icontains": "contains (in any case)", "starts_with": "starts with", "ends_with": "ends with", "matches":
        "matches",
    }  # fmt: skip
    parts = []
    for name, operand in test.operators():
        if name == "exists":
            parts.append("is set" if operand else "is not set")
        elif name == "any_item":
            parts.append(f"has an item{where_words(operand)}")
        elif name == "between":
            parts.append(f"is between {_value_words(operand[0])} and {_value_words(operand[1])}")
        else:
            value = ", ".join(map(_value_words, operand)) if isinstance(operand, list) else _value_words(operand)
            parts.append(f"{said[name]} {value}")
    return " and ".join(parts)


def _value_words(value: Scalar) -> str:
    """A value as it is written: yes and no for truth, quotes only around what would not be seen."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) and value.strip() == value != "" else json.dumps(value, ensure_ascii=False)


def where_words(where: Where) -> str:
    """` (where a is x and b is y)`, or nothing."""
    return f" (where {' and '.join(f'{path} {words(test)}' for path, test in where.items())})" if where else ""


def where_identity(where: Where) -> str:
    """The same text for the same tests, whatever their order."""
    return json.dumps(_plain_where(where), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
