"""An explanation as text, for people: the answer, what decided it, and the rule leaf by leaf.

>>> from engine.membership.explanation import Basis, Decision, Explanation, Instant, Next
>>> known = dict(workspace="default", segment="picked", name="", version=2, contact="c-1", at=Instant(0), member=True,
...     since=None, cause=None, decided=Decision("include", "the segment includes the contact by name"), rule=None,
...     smallest=[], needed=["it would have to be taken off include"], next=Next(None), basis=Basis("state", 1, 0))
>>> print(tell(Explanation(**known)))
c-1 is in picked at 1970-01-01T00:00:00.000Z.
Because the segment includes the contact by name.
If nothing happens, this stays so.
For another answer: it would have to be taken off include.
By the present definition, version 2, from 1 journaled fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.conditions.boolean import HEADINGS
from engine.conditions.instants import format_instant
from engine.membership.explanation import Cause, Explanation, FactShown, Next, Node

MARK: Final = "*"
"""Beside the leaves that would have to change for the answer to change."""
OTHER_SETS: Final = 3
"""Further smallest sets that are told."""
BRIEF_LEAVES: Final = 3
"""Conditions that are named where the answer is told in one line."""


def tell(explanation: Explanation) -> str:
    """The explanation in some lines, without a line end at the end."""
    return "\n".join(_lines(explanation))


def brief(each: Explanation) -> str:
    """In one line: what decided, and of a rule the conditions that the answer hangs on, with their newest fact."""
    if each.decided.by != "rule":
        return each.decided.words
    paths = {path for one in each.smallest for path in one}
    leaves = [node for node in _leaves(each.rule) if node.path in paths]
    told = [_brief_leaf(node) for node in leaves[:BRIEF_LEAVES]]
    more = f"; and {len(leaves) - BRIEF_LEAVES} more" if len(leaves) > BRIEF_LEAVES else ""
    return f"{each.decided.words}: {'; '.join(told)}{more}" if told else each.decided.words


def _brief_leaf(node: Node) -> str:
    fact = f" ({fact_words(node.facts[-1])})" if node.facts else ""
    return f"{node.words}{fact}" if node.truth else f"not: {node.words}{fact}"


def _lines(each: Explanation) -> Iterator[str]:
    place = "in" if each.member else "out of"
    named = f" ({each.name})" if each.name else ""
    yield f"{each.contact} is {place} {each.segment}{named} at {format_instant(each.at)}."
    yield from _about(each)
    if each.rule is not None:
        yield ""
        yield from _tree(each.rule, 0, marks=True)
        yield ""
    yield from _otherwise(each)
    yield from _basis(each)


def _about(each: Explanation) -> Iterator[str]:
    """Since when, why, and until when."""
    if each.since is not None:
        yield f"{'In' if each.member else 'Out'} since {format_instant(each.since)}, {cause_words(each.cause)}."
    elif not each.member:
        yield "It has never been in."
    yield f"Because {each.decided.words}."
    for fact in each.decided.facts:
        yield f"  {fact_words(fact)}"
    yield f"If nothing happens, {_next_words(each.next, 'this')}."


def cause_words(cause: Cause | None) -> str:
    """What a transition came from."""
    if cause is None:
        return "by what is not remembered"
    if cause.event_id is not None and cause.event_at is not None:
        return f"by {cause.event_type} {cause.event_id} of {format_instant(cause.event_at)}"
    if cause.kind == "backfill":
        return "when the segment was filled for the first time"
    return "by the clock" if cause.kind == "clock" else "by a change of the definition"


def _next_words(found: Next, what: str) -> str:
    if found.at is None:
        return f"{what} stays so"
    if found.exact:
        return f"{what} changes at {format_instant(found.at)}"
    return f"{what} does not change before {format_instant(found.at)}"


def fact_words(fact: FactShown) -> str:
    """A fact by type, id and instant."""
    return f"{fact.type} {fact.id} of {format_instant(fact.at)}"


def _tree(node: Node, depth: int, marks: bool) -> Iterator[str]:
    margin = "    " * depth
    truth = "yes" if node.truth else "no"
    heading = HEADINGS.get(node.condition)
    if heading is not None:
        yield f"{margin}{truth:4} {heading}:"
        for child in node.children:
            yield from _tree(child, depth + 1, marks)
        return
    marked = marks and node.would_change
    yield f"{margin}{truth + MARK if marked else truth:4} {node.words}"
    inner = margin + " " * 7
    if node.unheld:
        yield f"{inner}facts that are no longer in the journal might have a say in this"
    if node.next is not None and node.next.at is not None:
        yield f"{inner}if nothing happens, {_next_words(node.next, 'this')}"
    if len(node.facts) < node.facts_all:
        yield f"{inner}{node.facts_all} facts, the newest {len(node.facts)}:"
    for fact in node.facts:
        yield f"{inner}{fact_words(fact)}"
    if node.nested is not None:
        nested = node.nested
        yield f"{inner}{'in' if nested.member else 'out of'} {nested.segment}:"
        yield from (f"{inner}  {line}" for line in _about(nested))
        if nested.rule is not None:
            yield from (f"{inner}  {line}" for line in _tree(nested.rule, 0, marked))


def _otherwise(each: Explanation) -> Iterator[str]:
    """What would have to change."""
    if each.smallest:
        many = len(each.smallest[0]) > 1
        yield f"For another answer {'those' if many else 'the one'} marked {MARK} would have to change."
        words = {node.path: node.words for node in _leaves(each.rule)}
        for other in each.smallest[1 : 1 + OTHER_SETS]:
            yield f"  Or: {'; and '.join(words[path] for path in other)}"
    if each.needed:
        yield f"For another answer{' also' if each.smallest else ''}: {'; and '.join(each.needed)}."


def _leaves(node: Node | None) -> Iterator[Node]:
    if node is not None:
        yield from (leaf for child in node.children for leaf in _leaves(child))
        if not node.children:
            yield node


def _basis(each: Explanation) -> Iterator[str]:
    facts = "1 journaled fact" if each.basis.facts == 1 else f"{each.basis.facts} journaled facts"
    anew = ", taken anew up to then" if each.basis.of == "journal" else ""
    yield f"By the present definition, version {each.version}, from {facts}{anew}."
    if each.basis.older:
        were = "fact is" if each.basis.older == 1 else "facts are"
        lost = "counts here" if each.basis.of == "journal" else "is shown, though it may count"
        yield f"{each.basis.older} older {were} no longer in the journal: nothing of that {lost}."
        since = each.basis.since
        if since is not None and each.basis.of == "state" and any(leaf.unheld for leaf in _leaves(each.rule)):
            yield f"A condition that was new or changed after them counts only facts after {format_instant(since)}."
