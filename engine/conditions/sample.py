"""`sample`: a stable share of the contacts, by hash: for hold-outs and splits.

The salt, the workspace and the contact's id give one point from 0 to 100, the same on every machine and for ever;
`percent: p` takes the points below p, `{from, to}` those from ≤ point < to. So ranges of one salt that do not meet
share no contact, and different salts split independently.

>>> Sample.model_validate({"sample": {"percent": 10, "salt": "hold-out"}}).describe()
'among a stable 10 % of contacts (salt hold-out)'
>>> Sample.model_validate({"sample": {"from": 10, "to": 55.5, "salt": "hold-out"}}).describe()
'between 10 % and 55.5 % of a stable split of contacts (salt hold-out)'
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, mistake
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.feature import ContactFeature
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.spelling import did_you_mean

POINT_BITS = 64
"""A point is a whole number below two to this power; that power stands for 100 percent."""
_HINT = "write a number from 0 to 100 with at most three decimals"


def _percent(value: Any) -> int | float:
    if type(value) in (int, float) and isfinite(value) and 0 <= value <= 100 and _thousandths(value) % 1 == 0:
        whole: int | float = int(value) if value == int(value) else value
        return whole
    near = value.strip().rstrip("% ") if isinstance(value, str) else ""
    hint = _HINT + did_you_mean(near if near.isdecimal() and int(near) <= 100 else None)
    raise mistake("percent", f"{value!r} is not a share in percent", hint)


def _thousandths(percent: int | float) -> Decimal:
    return Decimal(repr(percent)) * 1_000


Percent = Annotated[
    int | float, BeforeValidator(_percent), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})
]


def _salt(value: Any) -> Any:
    if isinstance(value, str) and any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise mistake("salt", f"{value!r} holds what is no character", "write a name such as autumn-test")
    return value


Salt = Annotated[str, BeforeValidator(_salt), Field(min_length=1, max_length=256)]


class SampleOptions(Document):
    """`percent`, or `from` and `to`: percent with at most three decimals; `salt` names the split."""

    percent: Percent | None = None
    """The share of contacts, in percent."""
    from_: Percent | None = Field(default=None, alias="from")
    """The lower end of a range, in percent; it belongs to it."""
    to: Percent | None = None
    """The upper end, which does not."""
    salt: Salt
    """Any text; the same salt splits alike everywhere."""

    @model_validator(mode="after")
    def _one(self) -> SampleOptions:
        hint = "write sample: {percent: 10, salt: some-name} or {from: 10, to: 20, salt: some-name}"
        if (self.percent is None) == (self.from_ is None) or (self.from_ is None) != (self.to is None):
            raise mistake("sample", "sample needs either percent, or from and to", hint)
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise mistake("sample", f"no share lies from {self.from_} to {self.to}", hint)
        return self


class Point(ContactFeature):
    """The contact's point: a whole number below 2 to the power of POINT_BITS."""

    def __init__(self, salt: str) -> None:
        super().__init__(f"sample|{salt}")
        self.salt = salt

    def of_contact(self, workspace: str, contact: str) -> int:
        """The point of this contact, by nothing but the three texts."""
        text = f"{self.salt}\0{workspace}\0{contact}"
        return int.from_bytes(blake2b(text.encode(), digest_size=POINT_BITS // 8).digest(), "big")


class Sample(Document):
    """`sample: {percent, salt}` or `sample: {from, to, salt}`"""

    sample: SampleOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The contact's point lies in the range."""
        options = self.sample
        key = scope.share(Point(options.salt)).key
        low = _first_point(options.from_ or 0)
        end = _first_point(options.to if options.to is not None else options.percent or 0)

        def evaluate(contact: Contact, t: int) -> Verdict:
            point = contact.features.get(key)
            return point is not None and low <= point < end, NEVER

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """None: it rests on who the contact is."""
        return []

    def describe(self) -> str:
        """Plain words."""
        options = self.sample
        if options.percent is not None:
            return f"among a stable {options.percent} % of contacts (salt {options.salt})"
        return f"between {options.from_} % and {options.to} % of a stable split of contacts (salt {options.salt})"


def _first_point(percent: int | float) -> int:
    """The least point at or above so many percent."""
    return -((-int(_thousandths(percent)) << POINT_BITS) // 100_000)


EXAMPLES = (
    Example(
        "A hold-out, and the rest in two halves",
        """
        segment: hold-out
        when: {sample: {percent: 10, salt: spring}}
        ---
        segment: offer-a
        when: {sample: {from: 10, to: 55, salt: spring}}
        ---
        segment: offer-b
        when: {sample: {from: 55, to: 100, salt: spring}}
        """,
        """
        2026-05-01T10:00:00Z click c-1
        2026-05-01T10:00:00Z click c-2
        2026-05-01T10:00:00Z click c-3
        2026-05-01T10:00:00Z click c-11
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter offer-b c-1 event
        2026-05-01T10:00:00.000Z enter hold-out c-2 event
        2026-05-01T10:00:00.000Z enter offer-b c-3 event
        2026-05-01T10:00:00.000Z enter offer-a c-11 event
        """,
    ),
)
