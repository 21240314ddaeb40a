"""What a leaf condition rests on, asked as `explain` asks it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER, parse_instant
from engine.membership.facts import read_fact
from engine.membership.plan import compile_plan
from engine.membership.refunds import effective
from tests.driver import Row, definitions, line_of


def evidence(rule: str, facts: Sequence[Row], at: str, besides: str = "") -> list[str]:
    """The ids (`named`, or line/1, line/2 …) of the facts with `at` ≤ t that a leaf's verdict at t rests on.

    `besides` are definitions that the rule names.
    """
    [segment], models = definitions("\n---\n".join((f"segment: s\nwhen: {rule}", *filter(None, (besides,)))))
    t = parse_instant(at)
    read: list[Fact] = []
    for number, each in enumerate(facts, 1):
        found = read_fact(line_of(each), arrival=None, fallback_id=f"line/{number}", skew=0, max_bytes=NEVER)
        assert isinstance(found, Fact)
        read.append(found)
    scope = compile_plan([(segment, 1)], (), models).workspace("default").segments[0].scope
    assert segment.when is not None
    asked = [fact for fact in effective(read) if fact.at <= t]
    return [fact.id for fact in segment.when.evidence(scope, asked, t)]  # type: ignore[union-attr,unused-ignore]
