"""`rfm`: scores by a model's cut points, to the millisecond and to the millionth."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from engine.conditions import rfm, scoring
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, parse_duration, parse_instant
from engine.conditions.zones import zone_of
from engine.definitions import DefinitionErrors, Model, parse_segment, read_definition
from engine.membership.plan import compile_plan
from tests.conditions.evidence import evidence
from tests.conditions.judged import Moment, hold_against
from tests.driver import definitions, fact, given

MODEL = """
model: shop
event: purchase
amount: amount
%s
cuts:
  recency: [P30D, P60D, P90D, P180D]
  frequency: [2, 3, 5, 8]
  monetary: [50, 100, 200, 500]
"""
PLAIN = MODEL % ""


def scored(tests: str, more: str = "", **settings: str) -> str:
    """A model with `more`, and a segment `s` on it."""
    set_too = "".join(f"{name}: {value}\n" for name, value in settings.items())
    return f"{MODEL % more}---\nsegment: s\n{set_too}when: {{rfm: {{model: shop, {tests}}}}}"


def score_of(part: str, facts: Sequence[dict[str, Any]], at: str | None = None, more: str = "") -> int | None:
    """The one score that a contact has; None where it has none."""
    texts = [f"segment: s{n}\nwhen: {{rfm: {{model: shop, {part}: {n}}}}}" for n in range(1, 6)]
    texts.append(f"segment: none\nwhen: {{rfm: {{model: shop, {part}: {{exists: false}}}}}}")
    known = fact("2025-01-01", "contact_updated")
    seen = given("\n---\n".join([MODEL % more, *texts]), [known, *facts]).at(at)
    [found] = [name for name in ("s1", "s2", "s3", "s4", "s5", "none") if seen.members(name)]
    return None if found == "none" else int(found[1])


def bought(day: str, amount: float | str | None = None, **more: Any) -> dict[str, Any]:
    return fact(day, "purchase", **({} if amount is None else {"amount": amount}), **more)


def test_r33_the_average_of_100_and_300_is_200() -> None:
    purchases = [bought("2026-05-01", 100), bought("2026-05-02", 300)]
    assert score_of("monetary", purchases) == 4
    assert score_of("monetary", purchases, more="monetary: total") == 4
    assert score_of("monetary", [*purchases, bought("2026-05-03", 100)]) == 3
    assert score_of("monetary", [*purchases, bought("2026-05-03", 100)], more="monetary: total") == 5
    assert given(scored("monetary: {gte: 4}"), purchases).at().told() == ["enter s 2026-05-02T00:00:00.000Z event"]


@pytest.mark.parametrize(("count", "score"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 4), (8, 5), (20, 5)])
def test_a_number_on_a_cut_point_gains_its_point(count: int, score: int) -> None:
    assert score_of("frequency", [bought(f"2026-05-{day:02d}") for day in range(1, count + 1)]) == score


@pytest.mark.parametrize(("count", "score"), [(2, 2), (4, 3), (7, 4), (8, 5), (12, 5)])
def test_in_a_window_too_every_cut_point_is_reached(count: int, score: int) -> None:
    purchases = [bought(f"2026-05-{day:02d}") for day in range(1, count + 1)]
    assert score_of("frequency", purchases, more="within: P30D") == score


@pytest.mark.parametrize(
    ("amounts", "score"),
    [
        ([49.99], 1), ([49.999999], 1), ([50], 2), (["50"], 2), ([199.999999], 3), ([200], 4), ([499.9], 4), ([500], 5),
        ([0.1, 0.2, 149.7], 2), ([0.1, 0.2, 149.699999], 1),  # a third of 150, and of what is a millionth less
    ],
)  # fmt: skip
def test_money_is_exact_to_a_millionth(amounts: list[Any], score: int) -> None:
    assert score_of("monetary", [bought(f"2026-05-0{n}", amount) for n, amount in enumerate(amounts, 1)]) == score


def test_recency_loses_a_point_on_the_very_millisecond() -> None:
    texts = "\n---\n".join(
        [PLAIN] + [f"segment: s{n}\nwhen: {{rfm: {{model: shop, recency: {n}}}}}" for n in range(1, 6)]
    )
    told = given(texts, [fact("2026-01-01T10:00:00.007Z", "purchase")]).at("2027-01-01").told()
    assert told == [
        "enter s5 2026-01-01T10:00:00.007Z event",
        "exit s5 2026-01-31T10:00:00.007Z clock",
        "enter s4 2026-01-31T10:00:00.007Z clock",
        "exit s4 2026-03-02T10:00:00.007Z clock",
        "enter s3 2026-03-02T10:00:00.007Z clock",
        "exit s3 2026-04-01T10:00:00.007Z clock",
        "enter s2 2026-04-01T10:00:00.007Z clock",
        "exit s2 2026-06-30T10:00:00.007Z clock",
        "enter s1 2026-06-30T10:00:00.007Z clock",
    ]


def test_it_says_how_long_a_score_holds() -> None:
    [enter] = given(scored("recency: {gte: 4}"), [fact("2026-01-01T10:00Z", "purchase")]).at().of("s")
    assert enter["not_before"] == "2026-03-02T10:00:00.000Z"
    [enter] = given(scored("recency: {gte: 1}"), [fact("2026-01-01T10:00Z", "purchase")]).at().of("s")
    assert enter["not_before"] is None
    [enter] = given(scored("frequency: 1"), [fact("2026-01-01T10:00Z", "purchase")]).at().of("s")
    assert enter["not_before"] is None


def test_months_go_by_the_segment_s_calendar() -> None:
    text = scored("recency: 5", timezone="Europe/Moscow").replace("P30D, P60D, P90D, P180D", "P1M, P2M, P3M, P1Y")
    # 23:00 in Moscow on the 31st; February ends on the 28th, at the same time of day.
    told = given(text, [fact("2026-01-31T20:00Z", "purchase")]).at("2026-06-01").told()
    assert told == ["enter s 2026-01-31T20:00:00.000Z event", "exit s 2026-02-28T20:00:00.000Z clock"]


def test_months_may_go_by_each_contact_s_own_calendar() -> None:
    text = scored("recency: 5", timezone="contact").replace("P30D, P60D, P90D, P180D", "P1M, P2M, P3M, P1Y")
    # 21:00 in New York on 30 January, and there to 28 February; by UTC it was the 31st.
    facts = [fact("2026-01-01", "contact_updated", timezone="America/New_York"), fact("2026-01-31T02:00Z", "purchase")]
    assert given(text, facts).at("2026-04-01").told()[1:] == ["exit s 2026-03-01T02:00:00.000Z clock"]
    moved = [*facts, fact("2026-02-10", "contact_updated", timezone="UTC")]
    assert given(text, moved).at("2026-04-01").told()[1:] == ["exit s 2026-02-28T02:00:00.000Z clock"]


def test_a_retracted_purchase_counts_nowhere() -> None:
    facts = [bought("2026-02-01", 100, named="a"), bought("2026-05-01", 300, named="b")]
    gone = [*facts, fact("2026-05-02", "event_retracted", id="b")]
    assert [score_of(name, gone) for name in ("recency", "frequency", "monetary")] == [2, 1, 3]
    gone.append(fact("2026-05-03", "event_retracted", id="a"))
    assert [score_of(name, gone) for name in ("recency", "frequency", "monetary")] == [None] * 3


def test_a_month_that_is_shorter_than_the_cut_before_it_costs_its_point_first() -> None:
    text = "\n---\n".join(
        [PLAIN, *(f"segment: s{n}\nwhen: {{rfm: {{model: shop, recency: {n}}}}}" for n in range(1, 6))]
    )
    text = text.replace("P30D, P60D, P90D, P180D", "P29D, P30D, P1M, P1Y")
    told = given(text, [fact("2026-01-31T20:00Z", "purchase")]).at("2026-04-01").told()
    assert [line for line in told if line.startswith("enter")] == [
        "enter s5 2026-01-31T20:00:00.000Z event",
        "enter s4 2026-02-28T20:00:00.000Z clock",  # a month
        "enter s3 2026-03-01T20:00:00.000Z clock",  # 29 days
        "enter s2 2026-03-02T20:00:00.000Z clock",
    ]


@pytest.mark.parametrize("part", ["recency", "frequency", "monetary"])
def test_without_a_purchase_there_is_no_score(part: str) -> None:
    assert score_of(part, []) is None
    assert score_of(part, [fact("2026-05-01", "click", amount=100)]) is None
    for test in ("{ne: 5}", "{lte: 5}", "{not_in: [1, 2]}", "{exists: true}", "{exists: false, ne: 5}"):
        assert not given(scored(f"{part}: {test}"), [fact("2026-05-01", "click")]).at().members("s"), test


def test_a_purchase_without_an_amount_has_no_score_of_money_alone() -> None:
    purchases = [bought("2026-05-01"), bought("2026-05-02", "much")]
    assert score_of("monetary", purchases) is None
    assert score_of("frequency", purchases) == 2
    assert score_of("monetary", [*purchases, bought("2026-05-03", 60)]) == 2


def test_refunds_lessen_and_a_purchase_of_which_nothing_is_left_counts_nowhere() -> None:
    purchases = [bought("2026-02-01", 100, order_id="A"), bought("2026-05-01", 300, order_id="B")]
    part = [*purchases, fact("2026-05-02", "refund", order_id="B", amount=100)]
    whole = [*purchases, fact("2026-05-02", "refund", order_id="B")]
    assert [score_of("monetary", facts) for facts in (purchases, part, whole)] == [4, 3, 3]
    assert [score_of("frequency", facts) for facts in (purchases, part, whole)] == [2, 2, 1]
    assert [score_of("recency", facts) for facts in (purchases, part, whole)] == [5, 5, 2]
    both = [*whole, fact("2026-05-02", "refund", order_id="A")]
    assert [score_of(name, both) for name in ("recency", "frequency", "monetary")] == [None] * 3


def test_only_the_purchases_in_the_model_s_window_count() -> None:
    purchases = [bought("2026-05-01", 500), bought("2026-05-05", 100)]
    before, after = "2026-05-11", "2026-05-11T00:00:00.001Z"  # what falls due at an instant is seen right after it
    window = "within: P10D"
    assert [score_of("frequency", purchases, at, window) for at in (before, after)] == [2, 1]
    assert [score_of("monetary", purchases, at, window) for at in (before, after)] == [4, 3]
    for part, last in (("recency", 5), ("frequency", 1), ("monetary", 3)):
        assert score_of(part, purchases, "2026-05-15", window) == last
        assert score_of(part, purchases, "2026-05-15T00:00:00.001Z", window) is None


def test_in_a_window_of_months_an_earlier_purchase_may_count_longer() -> None:
    # Both end on 28 February, at their own time of day: the one of the 30th later than that of the 31st.
    text = scored("recency: {exists: true}", "within: P1M")
    told = given(text, [fact("2026-01-30T12:00Z", "purchase"), fact("2026-01-31T10:00Z", "purchase")]).at("2026-04-01")
    assert told.told() == ["enter s 2026-01-30T12:00:00.000Z event", "exit s 2026-02-28T12:00:00.000Z clock"]


def test_where_and_several_types_choose_what_counts() -> None:
    text = scored("frequency: 2", "where: {currency: EUR}").replace("event: purchase", "event: [purchase, order_*]")
    facts = [
        bought("2026-05-01", 1, currency="EUR"),
        bought("2026-05-02", 1, currency="RUB"),
        fact("2026-05-03", "order_paid", currency="EUR"),
    ]
    assert given(text, facts).at().told() == ["enter s 2026-05-03T00:00:00.000Z event"]


def test_late_purchases_count_by_their_own_instant() -> None:
    facts = [bought("2026-05-10", 100), bought("2026-01-01", 300)]
    assert score_of("recency", facts) == 5
    assert score_of("frequency", facts) == 2
    assert score_of("monetary", facts) == 4


def test_models_of_other_workspaces_are_not_these() -> None:
    other = PLAIN.replace("model: shop", "model: shop\nworkspace: other").replace("[2, 3, 5, 8]", "[1, 1, 1, 1]")
    text = f"{other}---\n{scored('frequency: 5')}"
    assert not given(text, [bought("2026-05-01")]).at().members("s")


def test_all_tests_of_one_rule_must_hold() -> None:
    text = scored("recency: {gte: 4}, frequency: {gte: 2}, monetary: {between: [2, 3]}")
    facts = [bought("2026-05-01", 60), bought("2026-05-02", 60), bought("2026-05-03", 1000)]
    assert given(text, facts).at().told() == [
        "enter s 2026-05-02T00:00:00.000Z event",
        "exit s 2026-05-03T00:00:00.000Z event",
    ]


def test_it_shares_its_features_with_what_asks_for_the_same() -> None:
    same = "{aggregate: {fn: %s, of: amount, event: purchase, is: {gte: 1}}}"
    alone = definitions(
        f"{PLAIN}---\nsegment: s\nwhen: {{rfm: {{model: shop, recency: 5, frequency: 5, monetary: 5}}}}"
    )
    others = [f"segment: {fn}\nwhen: {same % fn}" for fn in ("last", "avg")]
    others.append("segment: did\nwhen: {did: {event: purchase, count: {gte: 7}}}")
    more = definitions("\n---\n".join(others))
    plans = [
        compile_plan([(segment, 1) for segment in segments], (), alone.models)
        for segments in (alone.segments, alone.segments + more.segments)
    ]
    assert [len(plan.workspace("default").features) for plan in plans] == [3, 3]


def test_evidence_is_the_last_purchase_or_all_that_count() -> None:
    facts = [bought("2026-05-01", named="a"), fact("2026-05-02", "click"), bought("2026-05-03", named="b")]
    facts.append(bought("2026-05-09", named="later"))
    at = "2026-05-05T00:00:00Z"
    assert evidence("{rfm: {model: shop, recency: 5}}", facts, at, PLAIN) == ["b"]
    assert evidence("{rfm: {model: shop, recency: 5, frequency: 2}}", facts, at, PLAIN) == ["a", "b"]
    assert evidence("{rfm: {model: shop, monetary: 5}}", facts, at, MODEL % "within: P3D") == ["b"]
    over = "2026-05-06T00:00:00Z"
    assert evidence("{rfm: {model: shop, frequency: 1}}", facts, over, MODEL % "within: P3D") == []
    assert evidence("{rfm: {model: shop, recency: 5}}", facts[:1], "2026-06-01T00:00:00Z", MODEL % "within: P3D") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{model: m}", "rfm tests no score"),
        ("{recency: 5}", "'model' is missing"),
        ("{model: m, recency: 0}", "0 is not a score"),
        ("{model: m, recency: {gte: 6}}", "6 is not a score"),
        ("{model: m, recency: {in: [1, 2.0]}}", "2.0 is not a score"),
        ("{model: m, recency: '5'}", "'5' is not a score"),
        ("{model: m, recency: {contains: '5'}}", "contains does not fit a score"),
        ("{model: m, recencey: 5}", "Did you mean 'recency'?"),
    ],
)
def test_mistakes_are_told(options: str, said: str) -> None:
    with pytest.raises(DefinitionErrors) as error:
        parse_segment(f"segment: s\nwhen: {{rfm: {options}}}")
    assert said in str(error.value)


def test_doctests() -> None:
    for module in (rfm, scoring):
        assert doctest.testmod(module).failed == 0


RECENCY = ("PT12H", "P2D", "P3D", "P1M")
CUTS = {"recency": [*RECENCY], "frequency": [2, 3, 3, 4], "monetary": [5, 10.5, 20, 40]}
TESTS: tuple[Any, ...] = (5, {"gte": 4}, {"lte": 2}, {"ne": 3}, {"in": [1, 3, 5]}, {"exists": False}, {"exists": True})
START = parse_instant("2026-01-29T00:00:00Z")


@st.composite
def moments(draw: st.DrawFn) -> list[Moment]:
    found: list[Moment] = []
    for _ in range(draw(st.integers(1, 8))):
        at = START + draw(st.integers(0, 24)) * (DAY // 4) + draw(st.sampled_from((0, 0, 1)))
        order = draw(st.sampled_from(("A", "B", "C")))
        kind = draw(st.sampled_from(("purchase", "purchase", "purchase", "refund", "click")))
        amount = draw(st.sampled_from((None, 4, 5, 10.5, 0.000001, 31.4, 100, "x")))
        said = {"order_id": order, "amount": amount}
        properties = {name: value for name, value in said.items() if value is not None}
        found.append({"type": kind, "at": at, "properties": properties})
    return found


@examples(
    moments=moments(),
    tests=st.dictionaries(st.sampled_from(rfm.PARTS), st.sampled_from(TESTS), min_size=1),
    within=st.sampled_from((None, "P2D", "P1M")),
    monetary=st.sampled_from(("average", "total")),
    zone=st.sampled_from(("UTC", "America/New_York")),
)
def test_against_what_the_model_says(
    moments: list[Moment], tests: dict[str, Any], within: str | None, monetary: str, zone: str
) -> None:
    document = {"model": "m", "event": "purchase", "amount": "amount", "monetary": monetary, "cuts": CUTS}
    model = read_definition(document if within is None else {**document, "within": within})
    assert isinstance(model, Model)

    def ends(at: int) -> list[int]:
        lengths = RECENCY if within is None else (*RECENCY, within)
        return [parse_duration(length).after(at, zone_of(zone)) for length in lengths]

    def truth(facts: Sequence[Fact], t: int) -> bool:
        counting = [each for each in facts if each.type == "purchase" and (within is None or t < ends(each.at)[-1])]
        scores = _scores(counting, t, ends, monetary)
        return all(_holds(test, scores[part]) for part, test in tests.items())

    hold_against({"rfm": {"model": "m", **tests}}, moments, truth, ends, zone, [model])


def _scores(counting: Sequence[Fact], t: int, ends: Any, monetary: str) -> dict[str, int | None]:
    if not counting:
        return dict.fromkeys(rfm.PARTS)
    amounts = [
        Fraction(each.left, 1_000_000) if each.left is not None else Fraction(str(each.properties["amount"]))
        for each in counting
        if each.left is not None or each.properties.get("amount") not in (None, "x")
    ]
    money = sum(amounts, Fraction())
    if monetary == "average" and amounts:
        money /= len(amounts)
    return {
        "recency": 5 - sum(end <= t for end in ends(counting[-1].at)[:4]),
        "frequency": 1 + sum(len(counting) >= cut for cut in (2, 3, 3, 4)),
        "monetary": 1 + sum(money >= Fraction(cut) for cut in ("5", "10.5", "20", "40")) if amounts else None,
    }


def _holds(test: Any, score: int | None) -> bool:
    if score is None:
        return bool(test == {"exists": False})
    ((name, operand),) = test.items() if isinstance(test, dict) else (("eq", test),)
    if name == "exists":
        return bool(operand)
    if name == "in":
        return score in list(operand)
    holds: dict[str, bool] = {"eq": score == operand, "ne": score != operand}
    if name in holds:
        return holds[name]
    return score >= int(operand) if name == "gte" else score <= int(operand)
