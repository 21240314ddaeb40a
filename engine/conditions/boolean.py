"""`all`, `any`, `none`, `not`: and, or, nor, not.

`all` that is false holds at least until the last of its false parts may change; `any` that is true at least until the
last of
its true parts; otherwise the earliest part decides (DESIGN.md 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.document import CHILDREN_MAX, Document
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict

if TYPE_CHECKING:
    from engine.conditions.registry import Condition

Children = Annotated[list["Condition"], Field(min_length=1, max_length=CHILDREN_MAX)]


def every(parts: list[Evaluate], wanted: bool) -> Evaluate:
    """A verdict that is `wanted` only where every part is; `wanted=True` makes `all`, False makes the reverse of
    `any`."""

    def evaluate(contact: Contact, t: int) -> Verdict:
        earliest, last = NEVER, -1
        for part in parts:
            truth, until = part(contact, t)
            if truth is wanted:
                if until < earliest:
                    earliest = until
            elif until == NEVER:
                return not wanted, NEVER
            elif until > last:
                last = until
        return (wanted, earliest) if last < 0 else (not wanted, last)

    return evaluate


def reverse(part: Evaluate) -> Evaluate:
    """The negation, for as long."""

    def evaluate(contact: Contact, t: int) -> Verdict:
        truth, until = part(contact, t)
        return not truth, until

    return evaluate


class AllOf(Document):
    """`all: [...]`: every condition is true."""

    all: Children

    def compile(self, scope: Scope) -> Evaluate:
        """And."""
        return every([child.compile(scope) for child in self.all], True)

    def describe(self) -> str:
        """Plain words."""
        return "all of (" + "; ".join(child.describe() for child in self.all) + ")"


class AnyOf(Document):
    """`any: [...]`: at least one condition is true."""

    any: Children

    def compile(self, scope: Scope) -> Evaluate:
        """Or."""
        return every([child.compile(scope) for child in self.any], False)

    def describe(self) -> str:
        """Plain words."""
        return "any of (" + "; ".join(child.describe() for child in self.any) + ")"


class NoneOf(Document):
    """`none: [...]`: no condition is true."""

    none: Children

    def compile(self, scope: Scope) -> Evaluate:
        """Nor."""
        return reverse(every([child.compile(scope) for child in self.none], False))

    def describe(self) -> str:
        """Plain words."""
        return "none of (" + "; ".join(child.describe() for child in self.none) + ")"


class Not(Document):
    """`not: …`: the condition is false."""

    not_: Annotated[Condition, Field(alias="not")]

    def compile(self, scope: Scope) -> Evaluate:
        """Not."""
        return reverse(self.not_.compile(scope))

    def describe(self) -> str:
        """Plain words."""
        return f"not ({self.not_.describe()})"
