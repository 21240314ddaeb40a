"""`sequence`: edges by hand, what the journal forgets, and all of it against every chain there is."""

from __future__ import annotations

import doctest
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from engine.conditions import sequence as module
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, HOUR, NEVER, format_instant, parse_duration, parse_instant
from engine.conditions.sequence import SAME_LENGTH_MAX, VALUES_MAX, Chains
from engine.conditions.sequence import Sequence as Condition
from engine.conditions.zones import zone_of
from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.membership.replay import Replay
from tests.conditions.evidence import evidence
from tests.conditions.judged import Moment, hold_against
from tests.driver import Row, fact, given, line_of


def segment(steps: str, more: str = "") -> str:
    return f"segment: s\nwhen: {{sequence: {{steps: [{steps}]{more}}}}}"


A, B, C = "{event: a}", "{event: b}", "{event: c}"


def seen(text: str, month: str = "2026-05") -> list[Row]:
    """`1a 2b` is an event a on the first and b on the second day, `1a=x` one with the sku x."""
    found = []
    for word in text.split():
        day, _, sku = word.partition("=")
        found.append(fact(f"{month}-{int(day[:-1]):02d}", day[-1], **({"sku": sku} if sku else {})))
    return found


def told(rule: str, text: str, until: str = "2026-12-01") -> list[str]:
    """Change and day of what follows."""
    return [f"{each.split()[0]} {each.split()[2][5:10]}" for each in given(rule, seen(text)).at(until).told()]


def test_the_docstring_holds() -> None:
    assert doctest.testmod(module).failed == 0


def test_events_in_order_with_others_between() -> None:
    rule = segment(f"{A}, {B}, {C}")
    assert told(rule, "1a 2c 3x 4b 5a 6c") == ["enter 05-06"]
    assert told(rule, "1c 2b 3a") == []


def test_a_step_is_in_time_until_the_millisecond_before() -> None:
    rule = segment(f"{A}, {{event: b, within: P2D}}")
    first, second = fact("2026-05-01T10:00:00.000Z", "a"), fact("2026-05-03T09:59:59.999Z", "b")
    assert given(rule, [first, second]).at().members("s") == {"c-1"}
    assert given(rule, [first, fact("2026-05-03T10:00:00.000Z", "b")]).at().members("s") == set()


def test_the_latest_event_before_counts_for_the_next_step() -> None:
    assert told(segment(f"{A}, {{event: b, within: P2D}}"), "1a 5a 6b") == ["enter 05-06"]
    assert told(segment(f"{A}, {{event: b, within: P2D}}, {{event: c, within: P2D}}"), "1a 2b 3a 5b 6c") == []


def test_all_steps_lie_in_the_window() -> None:
    rule = segment(f"{A}, {B}", ", within: P7D")
    assert told(rule, "1a 3b") == ["enter 05-03", "exit 05-08"]
    assert told(rule, "1a 3b 4a 6b") == ["enter 05-03", "exit 05-11"]
    assert told(rule, "1a 8b") == []


def test_all_steps_lie_in_the_window_where_months_end_out_of_order() -> None:
    # A month after 30 January 23:00 is 28 February 23:00; after 31 January 01:00 it is 28 February 01:00.
    facts = [fact("2026-01-30T23:00Z", "a"), fact("2026-01-31T01:00Z", "b")]
    assert given(segment(f"{A}, {B}", ", within: P1M"), facts).at("2026-05-01").told() == [
        "enter s 2026-01-31T01:00:00.000Z event",
        "exit s 2026-02-28T01:00:00.000Z clock",
    ]


def test_an_earlier_event_may_leave_more_time_by_the_calendar() -> None:
    facts = [fact("2026-01-30T23:00Z", "a"), fact("2026-01-31T01:00Z", "a"), fact("2026-02-28T12:00Z", "b")]
    assert given(segment(f"{A}, {{event: b, within: P1M}}"), facts).at().members("s") == {"c-1"}
    assert given(segment(f"{A}, {{event: b, within: P1M}}"), facts[1:]).at().members("s") == set()


@pytest.mark.parametrize(
    ("step", "window", "at", "until"),
    [
        # The later of the two lasts longer, and the earlier leaves more time for the next step.
        ("P1M", "P2M", "2026-02-10T12:00Z", "2026-03-31T01:00:00.000Z"),
        ("P1M", "P2M", "2026-02-28T12:00Z", "2026-03-30T23:00:00.000Z"),
        # The other way round.
        ("P2M", "P1M", "2026-02-10T12:00Z", "2026-02-28T23:00:00.000Z"),
    ],
)
def test_of_chains_that_outlast_each_other_each_is_kept(step: str, window: str, at: str, until: str) -> None:
    facts = [fact("2026-01-30T23:00Z", "a"), fact("2026-01-31T01:00Z", "a"), fact(at, "b")]
    rule = segment(f"{A}, {{event: b, within: {step}}}", f", within: {window}")
    assert given(rule, facts).at("2026-12-01").told()[1:] == [f"exit s {until} clock"]


def test_one_event_serves_one_step() -> None:
    rule = segment("{event: [a, b]}, {event: a}")
    assert told(rule, "1a") == []
    assert told(rule, "1a 2a") == ["enter 05-02"]
    assert told(rule, "1b 2a") == ["enter 05-02"]
    assert told(segment(f"{A}, {A}, {A}"), "1a 2a 3b 4a") == ["enter 05-04"]


def test_at_one_instant_the_order_of_arrival_decides() -> None:
    rule = segment(f"{A}, {B}")
    assert told(rule, "1a 1b") == ["enter 05-01"]
    assert told(rule, "1b 1a") == []
    assert told(segment(f"{A}, {{event: b, within: PT0.001S}}"), "1b 1a 1b") == ["enter 05-01"]


def test_a_late_event_completes_the_chain_where_it_belongs() -> None:
    rule = segment(f"{A}, {{event: b, within: P2D}}, {{event: c, within: P2D}}")
    assert told(rule, "1a 4c 2b 3x 2b") == []
    assert told(rule, "1a 3c 2b") == ["enter 05-03"]
    assert told(rule, "1a 3c 3b") == []


def test_what_agrees() -> None:
    rule = segment(f"{A}, {B}", ", match: sku")
    assert told(rule, "1a=x 2b=y") == []
    assert told(rule, "1a=x 2a=y 3b=x") == ["enter 05-03"]
    assert told(rule, "1a=x 2b 3a 4b") == []
    facts = [fact("2026-05-01", "a", sku=45), fact("2026-05-02", "b", sku="45")]
    assert given(rule, facts).at().members("s") == {"c-1"}


def test_what_agrees_at_several_paths() -> None:
    rule = segment(f"{A}, {B}", ", match: [sku, items.shop]")

    def event(day: int, kind: str, sku: str, *shops: str) -> Row:
        return fact(f"2026-05-0{day}", kind, sku=sku, items=[{"shop": shop} for shop in shops])

    assert given(rule, [event(1, "a", "x", "M"), event(2, "b", "x", "M")]).at().members("s") == {"c-1"}
    assert given(rule, [event(1, "a", "x", "M"), event(2, "b", "x", "K")]).at().members("s") == set()
    assert given(rule, [event(1, "a", "x", "M"), event(2, "b", "y", "M")]).at().members("s") == set()
    assert given(rule, [event(1, "a", "x", "M", "K"), event(2, "b", "x", "M", "K")]).at().members("s") == set()
    # The lengths of the texts are no part of what agrees.
    assert given(rule, [event(1, "a", "x=M", "K"), event(2, "b", "x", "M=K")]).at().members("s") == set()


def test_one_step_is_an_event_with_what_agrees() -> None:
    assert told(segment(A, ", within: P2D"), "1a 2a") == ["enter 05-01", "exit 05-04"]
    assert told(segment(A, ", match: sku"), "1a 2a=x") == ["enter 05-02"]


def test_where_tells_steps_apart() -> None:
    rule = segment("{event: a, where: {sku: x}}, {event: a, where: {sku: {ne: x}}}")
    assert told(rule, "1a=x 2a=x 3a=y") == ["enter 05-03"]


def test_a_refunded_purchase_is_no_step() -> None:
    rule = "segment: s\nwhen: {sequence: {steps: [{event: purchase}, {event: purchase}]}}"
    facts = [
        fact("2026-05-01", "purchase", order_id="A", amount=5),
        fact("2026-05-02", "purchase", order_id="B", amount=5),
        fact("2026-05-03", "refund", order_id="A", amount=2),
        fact("2026-05-04", "refund", order_id="A", amount=3),
        fact("2026-05-05", "purchase", order_id="C", amount=5),
    ]
    assert given(rule, facts).at().told() == [
        "enter s 2026-05-02T00:00:00.000Z event",
        "exit s 2026-05-04T00:00:00.000Z event",
        "enter s 2026-05-05T00:00:00.000Z event",
    ]


# --- what is kept, and what the journal no longer holds


def replayed(rule: str, facts: Sequence[Row], retention: int = 400) -> tuple[list[str], Any]:
    """The changes, and the feature's value at the end."""
    replay = Replay([parse_segment(rule)], journal_retention=retention * DAY)
    changes = [each.change for line in facts for each in replay.take(line_of(line))]
    [contact] = replay.contacts.contacts.values()
    return changes, next(iter(contact.features.values()), None)


def daily(kinds: str, count: int) -> list[Row]:
    start = parse_instant("2026-05-01T00:00:00Z")
    return [fact(format_instant(start + n * HOUR), kinds[n % len(kinds)], n=n) for n in range(count)]


@pytest.mark.parametrize("within", ["P2D", "P1M"])
def test_of_many_events_one_chain_a_length_is_kept(within: str) -> None:
    rule = segment(f"{A}, {{event: b, within: {within}}}, {{event: c, within: {within}}}", ", within: P2M")
    _, [_, chains] = replayed(rule, daily("ab", 1_000))
    assert [len(each) for each in chains[""]] == [1, 2] or [len(each) for each in chains[""]] == [2, 1]


def test_a_chain_that_lasts_for_good_ends_the_search() -> None:
    changes, value = replayed(segment(f"{A}, {B}", ", match: sku"), seen("1a=y 2a=x 3b=x 4a=z 5a=x 6b=x"))
    assert changes == ["enter"]
    days = [parse_instant(f"2026-05-0{day}T00:00:00Z") for day in (2, 3)]
    assert value == [days, {"=x": [days[:1]]}]


def test_values_are_bounded_and_the_stalest_goes_first() -> None:
    rule = segment(f"{A}, {B}", ", match: n")
    facts = daily("a", VALUES_MAX + 1)
    assert len(replayed(rule, facts)[1][1]) == VALUES_MAX

    def completed(facts: list[Row], n: int) -> bool:
        return replayed(rule, [*facts, fact("2026-07-01", "b", n=n)])[0] == ["enter"]

    assert completed(facts, 1)
    assert not completed(facts, 0)
    again = [*facts[:-1], fact("2026-06-20", "a", n=0), fact("2026-06-21", "a", n=-1)]
    assert completed(again, 0)
    assert not completed(again, 1)


def test_the_dead_go_before_the_stalest() -> None:
    rule = segment(f"{A}, {{event: b, within: PT1H}}, {C}", ", match: n")
    facts = [fact("2026-04-30", "a", n=-1), fact("2026-04-30", "b", n=-1), *daily("a", VALUES_MAX + 10)]
    assert replayed(rule, [*facts, fact("2026-07-01", "c", n=-1)])[0] == ["enter"]


@pytest.mark.parametrize("rule", [
    segment(f"{A}, {{event: b, within: P1D}}", ", match: n"), segment(f"{A}, {B}", ", match: n, within: P1D"),
])  # fmt: skip
def test_values_whose_time_is_over_are_not_held(rule: str) -> None:
    assert len(replayed(rule, daily("a", 2_000))[1][1]) == 24


def test_a_chain_goes_on_though_the_journal_has_forgotten_how_it_began() -> None:
    rule = segment(f"{A}, {B}, {C}")
    late = fact("2026-05-14", "x")
    assert replayed(rule, [*seen("1a 20x 21b 31x"), late, fact("2026-06-01", "c")], 15)[0] == ["enter"]
    # The refund of something else has all folded anew.
    rule = segment("{event: a}, {event: purchase}")
    facts = [*seen("1a 20x"), fact("2026-05-21", "purchase"), fact("2026-05-22", "purchase", order_id="A", amount=1)]
    assert replayed(rule, [*facts, fact("2026-05-23", "refund", order_id="A")], 15)[0] == ["enter"]
    # So it has where the one that ended the chain is refunded, and the beginning is still good.
    facts = [*seen("1a 20x"), fact("2026-05-21", "purchase", order_id="A"), fact("2026-05-22", "refund", order_id="A")]
    assert replayed(rule, [*facts, fact("2026-05-23", "purchase")], 15)[0] == ["enter", "exit", "enter"]


def test_a_chain_that_is_older_than_the_journal_stays() -> None:
    rule = segment(f"{A}, {B}")
    assert replayed(rule, [*seen("1a 2b 20x 30x"), fact("2026-05-25", "a")], 15)[0] == ["enter"]


def test_the_latest_and_the_one_before_are_known_beyond_the_journal() -> None:
    # 1 May is followed by 12 May, which alone is in the journal when the late event of 11 May comes.
    rule = segment(f"{A}, {B}")
    assert replayed(rule, [*seen("1a 12a 20x"), fact("2026-05-11", "b")], 15)[0] == ["enter"]


# --- mistakes, what it rests on, words


@pytest.mark.parametrize(
    ("steps", "more", "path"),
    [
        ("", "", "steps"),
        (", ".join([A] * 11), "", "steps"),
        ("{event: a, within: P1D}", "", "steps[0].within"),
        (f"{A}, {{event: b, within: PT0S}}", "", "steps[1].within"),
        (f"{A}, {{event: b, witin: P1D}}", "", "steps[1].witin"),
        (f"{A}, {{event: b, within: P3Y}}", "", "steps[1].within"),
        (A, ", within: P3Y", "within"),
        (A, ", match: []", "match"),
        (A, ", match: [sku, 5]", "match[1]"),
        (A, ", match: a..b", "match"),
    ],
)
def test_a_mistake_is_told_with_its_place(steps: str, more: str, path: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        given(segment(steps, more), []).replay()
    [error] = caught.value.errors
    assert error.path.endswith(f"when.sequence.{path}"), error


def test_match_of_one_path_is_a_list_of_it() -> None:
    one, listed = (canonical(parse_segment(segment(A, f", match: {match}"))) for match in ("sku", "[sku]"))
    assert one == listed


def test_evidence_is_the_chain_that_lasts() -> None:
    rule = "{sequence: {steps: [{event: a}, {event: b}], match: sku, within: P7D}}"
    facts = seen("1a=x 2a=y 2a 3b=x 3b=y 4b=x")
    assert evidence(rule, facts, "2026-05-04T00:00:00Z") == ["line/2", "line/5"]
    assert evidence(rule, facts, "2026-05-03T00:00:00Z") == ["line/2", "line/5"]
    assert evidence(rule, facts, "2026-05-02T00:00:00Z") == []
    assert evidence(rule, facts, "2026-05-09T00:00:00Z") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": [{"event": "a"}]}, "did a"),
        ({"steps": [{"event": "a"}], "within": "P7D"}, "did a, in the last 7 days"),
        (
            {"steps": [{"event": "a"}, {"event": "b"}], "match": ["sku", "shop"]},
            "did a, then did b, of the same sku and shop",
        ),
    ],
)
def test_it_says_what_it_means(options: dict[str, Any], words: str) -> None:
    assert Condition.model_validate({"sequence": options}).describe() == words


# --- against every chain there is

START = parse_instant("2026-01-28T22:00:00Z")
LENGTHS = ("PT1H", "PT2H", "P1D", "P2D", "P1M", "P1M1D", "P2M", "PT0.001S")
events_of_step = st.sampled_from(["a", "a", "b", "purchase", ["a", "b"], ["a", "purchase"]])
wheres = st.sampled_from([{}, {}, {"item": "tea"}])
maybe_length = st.none() | st.sampled_from(LENGTHS)
later_steps = st.lists(
    st.fixed_dictionaries({"event": events_of_step, "where": wheres, "within": maybe_length}), max_size=3
)
rules = st.builds(
    lambda first, later, match, within: {
        "steps": [{name: value for name, value in step.items() if value is not None} for step in (first, *later)],
        **({"match": match} if match else {}), **({"within": within} if within else {}),
    },
    st.fixed_dictionaries({"event": events_of_step, "where": wheres}), later_steps,
    st.sampled_from([None, None, "item", ["item", "sku"]]), maybe_length,
)  # fmt: skip
moments = st.lists(
    st.builds(
        lambda kind, offset, properties: {"type": kind, "at": START + offset, "properties": properties},
        st.sampled_from(["a", "a", "b", "b", "purchase", "purchase", "refund"]),
        st.builds(lambda hours, ms: hours * HOUR + ms, st.integers(0, 75), st.sampled_from([0, 0, 0, 0, 1])),
        st.fixed_dictionaries(
            {"item": st.sampled_from(["tea", "tea", "mug", None])},
            optional={"order_id": st.sampled_from(["A", "B"]), "sku": st.sampled_from([1, "1", 2])},
        ),
    ),
    min_size=2,
    max_size=8,
)


def texts(match: Any, one: Fact) -> list[str] | None:
    found = [one.properties.get(path) for path in ([match] if isinstance(match, str) else match)]
    return None if None in found else [str(each) for each in found]


def chains(rule: dict[str, Any], facts: Sequence[Fact], zone: str) -> Iterator[tuple[Fact, ...]]:
    """Every chain, whatever the outer window."""
    own = zone_of(zone)

    def fits(step: dict[str, Any], one: Fact) -> bool:
        types = step["event"] if isinstance(step["event"], list) else [step["event"]]
        return one.type in types and (not step["where"] or one.properties.get("item") == "tea")

    for chain in combinations(facts, len(rule["steps"])):
        if not all(map(fits, rule["steps"], chain)):
            continue
        withins = [step.get("within") for step in rule["steps"][1:]]
        ends = [
            NEVER if within is None else parse_duration(within).after(before.at, own)
            for before, within in zip(chain, withins, strict=False)
        ]
        agree = [texts(rule.get("match", []), one) for one in chain]
        soon = all(one.at < end for one, end in zip(chain[1:], ends, strict=True))
        if soon and None not in agree and all(each == agree[0] for each in agree):
            yield chain


def naive(rule: dict[str, Any], zone: str) -> Any:
    own, length = zone_of(zone), rule.get("within")

    def truth(facts: Sequence[Fact], t: int) -> bool:
        lasting = [
            one for one in facts
            if one.at <= t and (length is None or t < parse_duration(length).after(one.at, own))
        ]  # fmt: skip
        return next(chains(rule, lasting, zone), None) is not None

    return truth


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(rules, moments, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), st.booleans())
def test_every_verdict_is_whether_there_is_a_chain(
    rule: dict[str, Any], found: list[Moment], zone: str, sort: bool
) -> None:
    if sort:
        found = sorted(found, key=lambda each: each["at"])
    own, length = zone_of(zone), rule.get("within")

    def ends(at: int) -> list[int]:
        return [] if length is None else [parse_duration(length).after(at, own)]

    hold_against({"sequence": rule}, found, naive(rule, zone), ends, zone)


@settings(max_examples=200, deadline=None)
@drawn(st.lists(st.integers(0, 80), min_size=1, max_size=80), st.sampled_from(["P1M", "P3M", "P6M"]))
def test_chains_of_one_length_are_few(hours: list[int], within: str) -> None:
    rule = segment(f"{A}, {{event: a, within: {within}}}, {{event: b, within: P1M1D}}", ", within: P6M")
    start = parse_instant("2026-08-28T22:00:00Z")
    facts = [fact(format_instant(start + hour * HOUR), "a") for hour in sorted(hours)]
    value = replayed(rule, facts)[1]
    lengths = [len(each) for each in value[1][""]]
    assert max(map(lengths.count, lengths)) <= SAME_LENGTH_MAX // 2


def test_a_fact_is_taken_as_a_later_step_first() -> None:
    [feature] = given(segment(f"{A}, {A}"), []).replay().partition.plan.workspace("default").features.values()
    assert isinstance(feature, Chains)
    assert [intake.role for intake in feature.intakes] == [1, 0]
