"""What counts and sums events: `did`, `aggregate`, `regularly`, `rfm` (DESIGN 5)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from engine.recount.facts import Fact
from engine.recount.instants import Duration, add, duration, times
from engine.recount.leaf import Choice, Chosen, Leaf, choice_of
from engine.recount.past import Past
from engine.recount.values import all_hold, holds, number, opened, path_of, picked, reach

MICROS = 10**6
_AT_LEAST_ONE = {"gte": 1}
_TOP_SCORE = 5


def in_window(leaf: Leaf, facts: Sequence[Fact], t: int) -> Sequence[Fact]:
    """The facts with e + from ≤ t < e + within. None older than the longest that `within` can be is looked at."""
    if "within" not in leaf.lengths:
        return facts
    first = bisect_left(facts, t - leaf.lengths["within"].at_most(), key=lambda fact: fact.at)
    within = [fact for fact in facts[first:] if t < leaf.after(fact.at, "within")]
    return [fact for fact in within if leaf.after(fact.at, "from") <= t] if "from" in leaf.lengths else within


def did_choices(options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
    """`first` and `of_last` pick among more events than those that count: the second choice tells which those are."""
    counted = choice_of(options, zone)
    if options.get("first"):
        return Choice(counted.events, counted.where), counted
    return (Choice(counted.events), counted) if "of_last" in options else (counted,)


def did(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    """The number of events meets `count`."""
    facts = chosen[0]
    if leaf.spec.get("first"):
        facts = [fact for fact in facts[:1] if leaf.choices[1].passes(fact)]
    elif "of_last" in leaf.spec:
        facts = [fact for fact in facts[-leaf.spec["of_last"] :] if leaf.choices[1].passes(fact)]
    return holds(leaf.spec.get("count", _AT_LEAST_ONE), [len(in_window(leaf, facts, t))])


def aggregate_choices(options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
    """By type and bounds only: an aggregate tests each element of a list by itself."""
    return (choice_of({**options, "where": {}}, zone),)


def aggregate(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    """What the function gives meets `is`."""
    return _meets(leaf.spec["is"], _FUNCTIONS[leaf.spec["fn"]](leaf, past, in_window(leaf, chosen[0], t)))


def _meets(test: Any, result: Any) -> bool:
    """No value meets nothing but `exists: false`."""
    return bool(test == {"exists": False}) if result is None else holds(test, [result])


def regularly(leaf: Leaf, _past: Past, chosen: Chosen, t: int) -> bool:
    """`count` is met in at least so many of the last periods."""
    met = 0
    for number_of_period in range(1, leaf.spec["periods"] + 1):
        begins, ends = (times(leaf.lengths["period"], n) for n in (number_of_period - 1, number_of_period))
        count = sum(add(fact.at, begins, leaf.zone) <= t < add(fact.at, ends, leaf.zone) for fact in chosen[0])
        met += holds(leaf.spec.get("count", _AT_LEAST_ONE), [count])
    return met >= int(leaf.spec["at_least"])


def regularly_changes(leaf: Leaf) -> Iterator[tuple[Duration, ...]]:
    """Where an event passes from one period to the next, and out of the last."""
    return ((times(leaf.lengths["period"], n),) for n in range(1, leaf.spec["periods"] + 1))


def rfm_choices(options: Mapping[str, Any], zone: str) -> tuple[Choice, ...]:
    """The model says what a purchase is."""
    return (choice_of(options["model"], zone),)


def rfm_changes(leaf: Leaf) -> Iterator[tuple[Duration, ...]]:
    """Where a purchase stops counting, and where the last one is older than a cut."""
    model = leaf.spec["model"]
    lengths = [*((model.get("cuts") or {}).get("recency") or ()), *([model["within"]] if model.get("within") else [])]
    return ((duration(length),) for length in lengths)


def rfm(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    """Every score that is asked for meets its test; without a purchase there is no score."""
    model = leaf.spec["model"]
    within = model.get("within")
    bought = [fact for fact in chosen[0] if within is None or t < add(fact.at, duration(within), leaf.zone)]
    cuts = model.get("cuts") or {}
    for name, score in (("recency", _recency), ("frequency", _frequency), ("monetary", _monetary)):
        if name in leaf.spec:
            found = score(leaf, past, bought, cuts.get(name) or (), t) if bought else None
            if not _meets(leaf.spec[name], found):
                return False
    return True


def _recency(leaf: Leaf, _past: Past, bought: Sequence[Fact], cuts: Sequence[str], t: int) -> int:
    return _TOP_SCORE - sum(add(bought[-1].at, duration(cut), leaf.zone) <= t for cut in cuts)


def _frequency(_leaf: Leaf, _past: Past, bought: Sequence[Fact], cuts: Sequence[Any], _t: int) -> int:
    return 1 + sum(holds({"gte": cut}, [len(bought)]) for cut in cuts)


def _monetary(leaf: Leaf, past: Past, bought: Sequence[Fact], cuts: Sequence[Any], _t: int) -> int | None:
    model = leaf.spec["model"]
    path = path_of(model.get("amount") or "amount")
    amounts = [n for fact in bought for n in map(number, _left_of(past, fact, path)) if n is not None]
    if not amounts:
        return None
    spent = _exact_sum(amounts)
    return 1 + sum(
        holds({"gte": cut}, [spent if model.get("monetary") == "total" else spent / len(amounts)]) for cut in cuts
    )


def _left_of(past: Past, fact: Fact, path: tuple[str, ...]) -> list[Any]:
    found = opened(reach(fact.properties, path))
    refunded = found and fact.type == "purchase" and path == ("amount",) and fact.line in past.left
    return [past.left[fact.line]] if refunded else found


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


def _exact_sum(numbers: Iterable[Fraction]) -> Fraction:
    return Fraction(sum(round(n * MICROS) for n in numbers), MICROS)  # round() is half to even


def _avg(leaf: Leaf, past: Past, facts: Sequence[Fact]) -> Fraction | None:
    numbers = _numbers(leaf, past, facts)
    return _exact_sum(numbers) / len(numbers) if numbers else None


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
    "sum": lambda leaf, past, facts: _exact_sum(_numbers(leaf, past, facts)),
    "avg": _avg,
    "min": lambda leaf, past, facts: min(_numbers(leaf, past, facts), default=None),
    "max": lambda leaf, past, facts: max(_numbers(leaf, past, facts), default=None),
    "count": lambda leaf, past, facts: len(_all_values(leaf, past, facts)),
    "distinct": lambda leaf, past, facts: len({_kind_and_value(v) for v in _all_values(leaf, past, facts)}),
    "first": lambda leaf, past, facts: next(iter(_all_values(leaf, past, facts)), None),
    "last": _last,
}
