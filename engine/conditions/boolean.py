"""`all`, `any`, `none`, `not`: and, or, nor, not.

`all` that is false holds at least until the last of its false parts may change; `any` that is true at least until the
last of its true parts; otherwise the earliest part decides (DESIGN.md 4).

>>> from engine.conditions.registry import AllOf
>>> tea = {"event": "purchase", "where": {"items.category": "tea"}}
>>> AllOf.model_validate({"all": [{"did": tea}, {"not": {"did": {**tea, "within": "P3M"}}}]}).describe()
'bought tea at least once, but not in the last 3 months'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from engine.conditions.contact import Contact
from engine.conditions.did import AT_LEAST_ONE, Did
from engine.conditions.document import CHILDREN_MAX, Document
from engine.conditions.example import Example
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict

if TYPE_CHECKING:
    from engine.conditions.registry import Condition

HEADINGS = {"all": "all of these", "any": "at least one of these", "none": "none of these", "not": "not this"}
"""Words above the conditions under `all`, `any`, `none` and `not`."""
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
        return _joined("; and ", _with_exceptions(self.all))


class AnyOf(Document):
    """`any: [...]`: at least one condition is true."""

    any: Children

    def compile(self, scope: Scope) -> Evaluate:
        """Or."""
        return every([child.compile(scope) for child in self.any], False)

    def describe(self) -> str:
        """Plain words."""
        return _joined("; or ", [child.describe() for child in self.any])


class NoneOf(Document):
    """`none: [...]`: no condition is true."""

    none: Children

    def compile(self, scope: Scope) -> Evaluate:
        """Nor."""
        return reverse(every([child.compile(scope) for child in self.none], False))

    def describe(self) -> str:
        """Plain words."""
        said = "; ".join(child.describe() for child in self.none)
        return f"none of ({said})" if len(self.none) > 1 else contrary_words(self.none[0])


class Not(Document):
    """`not: …`: the condition is false."""

    not_: Annotated[Condition, Field(alias="not")]

    def compile(self, scope: Scope) -> Evaluate:
        """Not."""
        return reverse(self.not_.compile(scope))

    def describe(self) -> str:
        """Plain words."""
        return contrary_words(self.not_)


Parts = tuple[str, list["Condition"]]


def parts_of(condition: Any) -> Parts | None:
    """`all`, `any`, `none` or `not`, and the conditions under it; None for a condition that is none of these."""
    match condition:
        case AllOf(all=children):
            return "all", children
        case AnyOf(any=children):
            return "any", children
        case NoneOf(none=children):
            return "none", children
        case Not(not_=child):
            return "not", [child]
        case _:
            return None


def outline(condition: Condition, depth: int = 0) -> list[str]:
    """Plain words, a condition a line, those under another further in."""
    margin = "  " * depth + "- "
    parts = parts_of(condition)
    if parts is None:
        return [margin + condition.describe()]
    word, children = parts
    if len(children) == 1 and parts_of(children[0]) is None:
        return [margin + (children[0].describe() if word in ("all", "any") else contrary_words(children[0]))]
    return [f"{margin}{HEADINGS[word]}:", *(line for child in children for line in outline(child, depth + 1))]


def contrary_words(condition: Condition) -> str:
    """Plain words for what holds where the condition does not."""
    return condition.describe_not() if isinstance(condition, Did) else f"not ({condition.describe()})"


def _joined(word: str, said: list[str]) -> str:
    return said[0] if len(said) == 1 else word.join(f"({each})" if "; " in each else each for each in said)


def _with_exceptions(children: list[Condition]) -> list[str]:
    """The children's words; what somebody did, and did not do lately, as one: bought tea once, but not in …"""
    said: list[str] = []
    done: dict[str, int] = {}  # what was done → its place in `said`
    for child in children:
        inner = child.not_ if isinstance(child, Not) else child
        if not isinstance(inner, Did):
            said.append(child.describe())
            continue
        place = done.get(inner.deed())
        if inner is not child and place is not None and inner.bounds() and inner.did.count == AT_LEAST_ONE:
            said[place] += f", but not{inner.bounds()}"
        else:
            said.append(child.describe())
            if inner is child and inner.describe().startswith(inner.deed()):
                done.setdefault(inner.deed(), len(said) - 1)
    return said


EXAMPLES = (
    Example(
        "Tea drinkers who like neither mugs nor spoons",
        """
        segment: tea-only
        when:
          all:
            - any:
                - did: {event: purchase, where: {category: tea}}
                - profile: {interest: tea}
            - none:
                - did: {event: purchase, where: {category: mugs}}
                - did: {event: purchase, where: {category: spoons}}
            - not: {tags: {any: [staff]}}
        """,
        """
        2026-05-01T10:00:00Z contact_updated c-1 {"interest": "tea"}
        2026-05-02T10:00:00Z purchase c-1 {"category": "tea"}
        2026-05-03T10:00:00Z purchase c-1 {"category": "mugs"}
        2026-05-01T10:00:00Z purchase c-2 {"category": "tea"}
        2026-05-04T10:00:00Z tags_added c-2 {"tags": ["staff"]}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter tea-only c-1 event
        2026-05-01T10:00:00.000Z enter tea-only c-2 event
        2026-05-03T10:00:00.000Z exit tea-only c-1 event
        2026-05-04T10:00:00.000Z exit tea-only c-2 event
        """,
    ),
)
