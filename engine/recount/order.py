"""What looks at how events follow each other: `sequence`, `streak`, `missed` (DESIGN 5)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from engine.recount.facts import Fact
from engine.recount.instants import NEVER, add, duration
from engine.recount.leaf import Choice, Chosen, Leaf, choice_of
from engine.recount.past import Past
from engine.recount.values import number, opened, path_of, reach

Agreement = tuple[str, ...] | None  # what agreeing events share, at each path of `match`; None agrees with nothing


def agreement(leaf: Leaf, fact: Fact) -> Agreement:
    """The one value under each path of `match`, as text: 45 and "45" are the same."""
    paths = leaf.spec.get("match") or []
    shared = []
    for path in [paths] if isinstance(paths, str) else paths:
        found = opened(reach(fact.properties, path_of(path)))
        if len(found) != 1 or isinstance(found[0], dict):
            return None
        shared.append(_text(found[0]))
    return tuple(shared)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return "=" + value
    exact = number(value)
    return f"={exact.numerator if exact is not None and exact.denominator == 1 else float(value)}"


def sequence_choices(options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
    """One a step."""
    return tuple(choice_of(step, zone) for step in options["steps"])


def sequence(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    """There is a chain: distinct events in order, each near enough to the one before, all agreeing."""
    inside = [
        [fact for fact in facts if "within" not in leaf.lengths or t < leaf.after(fact.at, "within")]
        for facts in chosen
    ]
    reached = inside[0]
    for step, facts in zip(leaf.spec["steps"][1:], inside[1:], strict=True):
        reached = [fact for fact in facts if any(_follows(leaf, step, before, fact) for before in reached)]
    return any(agreement(leaf, fact) is not None for fact in reached)


def _follows(leaf: Leaf, step: Mapping[str, Any], before: Fact, fact: Fact) -> bool:
    within = step.get("within")
    return (
        before.place() < fact.place()
        and (within is None or fact.at < add(before.at, duration(within), leaf.zone))
        and agreement(leaf, before) == agreement(leaf, fact) is not None
    )


def pair_choices(first: str, second: str) -> Any:
    """Those of two options that name events each."""

    def choices(options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
        return tuple(choice_of(options.get(name) or {"event": []}, zone) for name in (first, second))

    return choices


def _answers(leaf: Leaf, asked: Fact, answers: Sequence[Fact]) -> bool:
    first = bisect_left(answers, asked.at, key=lambda fact: fact.at)
    shared = agreement(leaf, asked)
    return shared is not None and any(agreement(leaf, answer) == shared for answer in answers[first:])


def streak(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    """The trailing run of events that were not answered is long enough."""
    run = 0
    for fact in reversed(chosen[0]):
        if "grace" in leaf.lengths and leaf.after(fact.at, "grace") > t:
            continue
        if run >= leaf.spec["at_least"] or _answers(leaf, fact, chosen[1]):
            break
        run += 1
    return run >= int(leaf.spec["at_least"])


def missed(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    """Some event was not answered in time, and not too long ago."""
    for fact in chosen[0]:
        due = leaf.after(fact.at, "within")
        over = leaf.after(due, "for") if "for" in leaf.lengths else NEVER
        if due <= t < over and not _answers(leaf, fact, chosen[1]):
            return True
    return False
