"""The verdict of every condition at one instant, over all facts that a contact has by then (DESIGN 5).

A definition is taken apart into leaves. A leaf says which facts it looks at, at which instants after a fact its
verdict may change, and what the verdict is. No verdict is ever derived from an earlier one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.recount.facts import Fact
from engine.recount.instants import BEGINNING, NEVER, Duration, add, duration, instant
from engine.recount.past import LIST_TYPES, Past
from engine.recount.values import all_hold, holds, known_test, number, path_of, picked, reach

MICROS = 10**6


class Unsupported(ValueError):
    """A definition says something that the recount can't evaluate."""


@dataclass(slots=True)
class Choice:
    """Which facts a leaf looks at: type patterns, tests, bounds on `at` (ms, `since ≤ at < until`)."""

    events: tuple[str, ...]
    where: Mapping[str, Any] = field(default_factory=dict)
    since: int = BEGINNING
    until: int = NEVER

    def takes_type(self, kind: str) -> bool:
        """Whether a type is among `events`, where a trailing `*` means any ending."""
        return any(kind.startswith(one[:-1]) if one.endswith("*") else kind == one for one in self.events)

    def takes(self, fact: Fact) -> bool:
        """Whether the fact is one to look at."""
        in_bounds = self.since <= fact.at < self.until
        return in_bounds and self.takes_type(fact.type) and all_hold(self.where, fact.properties)


Chosen = Sequence[Sequence[Fact]]  # for every choice of the leaf, its facts in (at, taken) order


@dataclass(slots=True)
class Leaf:
    """One condition without parts. `changes`: sums of durations after a fact, or after the first one, that matter."""

    kind: str
    spec: Mapping[str, Any]
    zone: str
    choices: tuple[Choice, ...] = ()
    lengths: Mapping[str, Duration] = field(default_factory=dict)
    changes: tuple[tuple[Duration, ...], ...] = ()
    values_of: dict[int, list[Any]] = field(default_factory=dict)  # by line: what a fact's properties give, read once

    def minds(self, kind: str) -> bool:
        """Whether a fact of this type can change the verdict."""
        if any(choice.takes_type(kind) for choice in self.choices):
            return True
        return kind in _OF_CONTACT.get(self.kind, ())

    def instants(self, at: int) -> Iterable[int]:
        """The instants (ms) at which the verdict may change because of a fact at `at`."""
        for lengths in self.changes:
            moment = at
            for length in lengths:
                moment = add(moment, length, self.zone)
            yield moment

    def after(self, at: int, name: str) -> int:
        """`at` plus the duration under `name`, by the segment's calendar."""
        return add(at, self.lengths[name], self.zone)

    def verdict(self, past: Past, chosen: Chosen, t: int) -> bool:
        """The answer at `t` (ms), which is not before any fact of `past`."""
        return _VERDICTS[self.kind](self, past, chosen, t)


_OF_CONTACT: dict[str, tuple[str, ...]] = {
    "profile": ("contact_updated",),
    "tags": ("tags_added", "tags_removed"),
    "in_list": LIST_TYPES,
}
FOLLOWS_FIRST_FACT = ("known", "quiet")


def make_leaf(kind: str, spec: Any, zone: str) -> Leaf:
    """Takes one leaf of a definition apart; raises Unsupported."""
    if kind in ("profile", "in_list"):
        if kind == "profile":
            _check_tests(spec)
        return Leaf(kind, spec if kind == "profile" else {"list": spec}, zone)
    if kind not in _OPTIONS:
        raise Unsupported(f"the recount does not know the condition {kind!r}")
    options = {name: value for name, value in spec.items() if value is not None and (name, value) != ("first", False)}
    for name in options:
        if name not in _OPTIONS[kind]:
            raise Unsupported(f"the recount does not know {name!r} of {kind!r}")
    lengths = _lengths(options)
    leaf = Leaf(kind, options, zone, _choices(kind, options, zone), lengths)
    if kind == "missed":
        within = lengths["within"]
        leaf.changes = ((within,), (within, lengths["for"])) if "for" in lengths else ((within,),)
    else:
        leaf.changes = tuple((length,) for length in lengths.values())
    for test in (options.get("count"), options.get("is")):
        if test is not None:
            _check_tests({"count": test})
    return leaf


_OPTIONS: dict[str, tuple[str, ...]] = {
    "did": ("event", "where", "within", "since", "until", "count"),
    "aggregate": ("fn", "of", "event", "where", "within", "since", "until", "is"),
    "tags": ("any", "all", "none"),
    "known": ("within", "for"),
    "quiet": ("event", "where", "for"),
    "streak": ("of", "without", "match", "at_least", "grace"),
    "missed": ("after", "expect", "within", "match", "for"),
}


def _lengths(options: Mapping[str, Any]) -> dict[str, Duration]:
    lengths = {name: duration(options[name]) for name in ("for", "grace") if name in options}
    if isinstance(options.get("within"), list):
        lengths["from"], lengths["within"] = (duration(text) for text in options["within"])
    elif "within" in options:
        lengths["within"] = duration(options["within"])
    return lengths


def _choices(kind: str, options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
    if kind in ("streak", "missed"):
        names = ("of", "without") if kind == "streak" else ("after", "expect")
        return tuple(_choice(options.get(name, []), zone) for name in names)
    if "event" not in options:
        return ()
    # An aggregate tests each element of a list by itself, so it chooses by type and bounds only.
    return (_choice({**options, "where": {}} if kind == "aggregate" else options, zone, options.get("where")),)


def _choice(said: Any, zone: str, also_check: Any = None) -> Choice:
    said = said if isinstance(said, Mapping) else {"event": said}
    events, where = said["event"], said.get("where") or {}
    _check_tests(where)
    _check_tests(also_check or {})
    bounds = {name: instant(str(said[name]), zone) for name in ("since", "until") if said.get(name) is not None}
    return Choice(tuple([events] if isinstance(events, str) else events), where, **bounds)


def _check_tests(tests: Mapping[str, Any]) -> None:
    for path, test in tests.items():
        path_of(path)
        if not known_test(test):
            raise Unsupported(f"the recount does not know the test {test!r} of {path!r}")


def _in_window(leaf: Leaf, facts: Sequence[Fact], t: int) -> Sequence[Fact]:
    """The facts with e + from ≤ t < e + within. None older than the longest that `within` can be is looked at."""
    if "within" not in leaf.lengths:
        return facts
    first = bisect_left(facts, t - leaf.lengths["within"].at_most(), key=lambda fact: fact.at)
    within = [fact for fact in facts[first:] if t < leaf.after(fact.at, "within")]
    return [fact for fact in within if leaf.after(fact.at, "from") <= t] if "from" in leaf.lengths else within


def _did(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    return holds(leaf.spec.get("count", {"gte": 1}), [len(_in_window(leaf, chosen[0], t))])


def _aggregate(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    result = _FUNCTIONS[leaf.spec["fn"]](leaf, past, _in_window(leaf, chosen[0], t))
    if result is None:
        return bool(leaf.spec["is"] == {"exists": False})
    return holds(leaf.spec["is"], [result])


def _values(leaf: Leaf, past: Past, fact: Fact) -> list[Any]:
    """What one fact gives to the aggregate; a purchase's `amount` is what refunds left of it."""
    of = path_of(leaf.spec["of"])
    found = leaf.values_of.get(fact.line)
    if found is None:
        tests = [(path_of(path), test) for path, test in leaf.spec.get("where", {}).items()]
        found = leaf.values_of[fact.line] = picked(fact.properties, of, tests)
    if found and fact.type == "purchase" and of == ("amount",) and fact.line in past.left:
        return [past.left[fact.line]]
    return found


def _all_values(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> list[Any]:
    return [value for fact in facts for value in _values(leaf, past, fact)]


def _numbers(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> list[Fraction]:
    return [n for n in map(number, _all_values(leaf, past, facts)) if n is not None]


def _sum(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> Fraction:
    return Fraction(sum(round(n * MICROS) for n in _numbers(leaf, past, facts)), MICROS)  # round() is half to even


def _avg(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> Fraction | None:
    count = len(_numbers(leaf, past, facts))
    return _sum(leaf, past, facts) / count if count else None


def _last(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> Any:
    for fact in reversed(facts):
        values = _values(leaf, past, fact)
        if values or all_hold(leaf.spec.get("where", {}), fact.properties):
            return values[-1] if values else None
    return None


def _kind_and_value(value: Any) -> tuple[str, str]:
    """Two values are one to `distinct` when both are the same text, the same number or the same JSON."""
    if isinstance(value, str):
        return "text", value
    return ("other", repr(value)) if number(value) is None else ("number", str(number(value)))


_FUNCTIONS: dict[str, Callable[[Leaf, Past, Sequence[Fact]], Any]] = {
    "sum": _sum,
    "avg": _avg,
    "min": lambda leaf, past, facts: min(_numbers(leaf, past, facts), default=None),
    "max": lambda leaf, past, facts: max(_numbers(leaf, past, facts), default=None),
    "count": lambda leaf, past, facts: len(_all_values(leaf, past, facts)),
    "distinct": lambda leaf, past, facts: len({_kind_and_value(v) for v in _all_values(leaf, past, facts)}),
    "first": lambda leaf, past, facts: next(iter(_all_values(leaf, past, facts)), None),
    "last": _last,
}


def _profile(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    return all_hold(leaf.spec, past.attributes())


def _tags(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    has = past.tags()
    asked = {name: set([tags] if isinstance(tags, str) else tags) for name, tags in leaf.spec.items()}
    if "any" in asked and not asked["any"] & has:
        return False
    return asked.get("all", set()) <= has and not asked.get("none", set()) & has


def _in_list(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    return leaf.spec["list"] in past.lists()


def _known(leaf: Leaf, past: Past, _chosen: Chosen, t: int) -> bool:
    young_enough = "within" not in leaf.lengths or t < leaf.after(past.known_at, "within")
    return young_enough and ("for" not in leaf.lengths or t >= leaf.after(past.known_at, "for"))


def _quiet(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    if t < leaf.after(past.known_at, "for"):
        return False
    first = bisect_left(chosen[0], t - leaf.lengths["for"].at_most(), key=lambda fact: fact.at)
    return not any(t < leaf.after(fact.at, "for") for fact in chosen[0][first:])


def _agree(leaf: Leaf, one: Fact, other: Fact) -> bool:
    """Whether two facts have the same text or number (or true, false) under `match`."""
    if "match" not in leaf.spec:
        return True
    path = path_of(leaf.spec["match"])
    ours, theirs = reach(one.properties, path), reach(other.properties, path)
    if len(ours) != 1 or len(theirs) != 1:
        return False
    if isinstance(ours[0], bool) or isinstance(theirs[0], bool):
        return ours[0] is theirs[0]
    if isinstance(ours[0], str) and isinstance(theirs[0], str):
        return ours[0] == theirs[0]
    numbers = number(ours[0]), number(theirs[0])
    return None not in numbers and numbers[0] == numbers[1]


def _answers(leaf: Leaf, asked: Fact, answers: Sequence[Fact]) -> bool:
    first = bisect_left(answers, asked.at, key=lambda fact: fact.at)
    return any(_agree(leaf, asked, answer) for answer in answers[first:])


def _streak(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    run = 0
    for fact in reversed(chosen[0]):
        if "grace" in leaf.lengths and leaf.after(fact.at, "grace") > t:
            continue
        if run >= leaf.spec["at_least"] or _answers(leaf, fact, chosen[1]):
            break
        run += 1
    return run >= int(leaf.spec["at_least"])


def _missed(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    for fact in chosen[0]:
        due = leaf.after(fact.at, "within")
        over = leaf.after(due, "for") if "for" in leaf.lengths else NEVER
        if due <= t < over and not _answers(leaf, fact, chosen[1]):
            return True
    return False


_VERDICTS: dict[str, Callable[[Leaf, Past, Chosen, int], bool]] = {
    "did": _did,
    "aggregate": _aggregate,
    "profile": _profile,
    "tags": _tags,
    "in_list": _in_list,
    "known": _known,
    "quiet": _quiet,
    "streak": _streak,
    "missed": _missed,
}
