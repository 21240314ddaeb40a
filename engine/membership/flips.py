"""The smallest sets of leaves whose change would change a rule's answer.

Leaves that are the same condition change together, wherever they stand. For up to `TRIED_MAX` different leaves every
set is tried, the small ones first, so what is found is smallest; beyond that the sets follow from the tree, level by
level, and each is tried before it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any, Final

import msgspec

TRIED_MAX: Final = 10
"""Different leaves of which every set is tried: 1,023 sets."""
SETS_MAX: Final = 8
"""Sets that are told, and that are carried from level to level."""

Leaves = frozenset[str]


class Shape(msgspec.Struct, frozen=True):
    """A rule's tree: `word` is all, any, none, not, or empty for a leaf, which `same` tells from different ones."""

    word: str
    truth: bool
    same: str = ""
    children: tuple[Shape, ...] = ()


def smallest_sets(rule: Shape) -> list[Leaves]:
    """The smallest sets of leaves, by `same`, that all have to change for the rule's truth to change.

    In the order of the tree; at most SETS_MAX. None where no change of the leaves changes it.

    >>> tea, mail, far = Shape("", False, "tea"), Shape("", False, "mail"), Shape("", True, "far")
    >>> rule = Shape("all", False, children=(tea, Shape("any", False, children=(mail, Shape("not", False,
    ...     children=(far,))))))
    >>> [sorted(each) for each in smallest_sets(rule)]
    [['mail', 'tea'], ['far', 'tea']]
    """
    order = list(dict.fromkeys(_leaves(rule)))
    tried: Iterable[Leaves]
    if len(order) <= TRIED_MAX:
        tried = (frozenset(each) for size in range(1, len(order) + 1) for each in combinations(order, size))
    else:
        tried = sorted(_candidates(rule), key=len)
    found: list[Leaves] = []
    for each in tried:
        if found and len(each) > len(found[0]):
            break
        if len(found) < SETS_MAX and each not in found and truth_after(rule, each) is not rule.truth:
            found.append(each)
    return found


def truth_after(rule: Shape, changed: Leaves) -> bool:
    """The rule's truth once these leaves have changed."""
    if not rule.word:
        return rule.truth is not (rule.same in changed)
    truths = [truth_after(child, changed) for child in rule.children]
    match rule.word:
        case "all":
            return all(truths)
        case "any":
            return any(truths)
        case _:  # none, not
            return not any(truths)


def _leaves(rule: Shape) -> list[str]:
    return [rule.same] if not rule.word else [same for child in rule.children for same in _leaves(child)]


def _candidates(rule: Shape) -> list[Leaves]:
    """Sets that may change the rule's truth, from those that may change the truth of its children."""
    if not rule.word:
        return [frozenset((rule.same,))]
    # One child decides alone where it is enough for the other answer; else all that stand in the way must change.
    one_is_enough = rule.truth if rule.word == "all" else not rule.truth if rule.word == "any" else rule.truth
    in_the_way = rule.children
    if not one_is_enough:
        wanted = rule.word != "all"
        in_the_way = tuple(child for child in rule.children if child.truth is wanted)
    each_way = [sorted(_candidates(child), key=len)[:SETS_MAX] for child in in_the_way]
    if one_is_enough:
        found = [ways for child in each_way for ways in child]
    else:
        found = []
        for ways in each_way:
            pairs: Sequence[Any] = list(product(found, ways)) if found else [(frozenset(), way) for way in ways]
            found = sorted({one | other for one, other in pairs}, key=lambda each: (len(each), sorted(each)))
            found = found[:SETS_MAX]
    return sorted(dict.fromkeys(found), key=len)[: SETS_MAX * 4]
