"""Conditions by example where an edge decides: ties, calendars that are not in order, late answers, exact figures."""

from __future__ import annotations

import pytest

from tests.driver import fact, given


def figure(fn: str, test: str, of: str = "x", more: str = "") -> str:
    return f"segment: s\nwhen: {{aggregate: {{fn: {fn}, of: {of}, event: visit, is: {test}{more}}}}}"


@pytest.mark.parametrize("more", ["", ", within: P7D"])
@pytest.mark.parametrize(("fn", "value"), [("first", "a"), ("last", "c")])
def test_of_facts_at_one_instant_arrival_decides_what_is_first_and_last(fn: str, value: str, more: str) -> None:
    facts = [fact("2026-01-01", "visit", x=x) for x in "abc"]
    assert given(figure(fn, value, more=more), facts).at().members("s") == {"c-1"}


@pytest.mark.parametrize("more", ["", ", within: P7D"])
def test_a_late_fact_may_be_the_first_and_is_not_the_last(more: str) -> None:
    facts = [fact("2026-01-02", "visit", x="b"), fact("2026-01-01", "visit", x="a")]
    assert given(figure("first", "a", more=more), facts).at().members("s") == {"c-1"}
    assert given(figure("last", "b", more=more), facts).at().members("s") == {"c-1"}


@pytest.mark.parametrize("more", ["", ", within: P7D"])
def test_the_last_is_unset_where_the_latest_event_lacks_it(more: str) -> None:
    facts = [fact("2026-01-01", "visit", x="a"), fact("2026-01-02", "visit")]
    assert given(figure("last", "{exists: false}", more=more), facts).at().members("s") == {"c-1"}
    assert given(figure("first", "a", more=more), facts).at().members("s") == {"c-1"}


@pytest.mark.parametrize(("test", "member"), [("0.3333333333333333", False), ("{gt: 0.3333333333333333}", True)])
@pytest.mark.parametrize("more", ["", ", within: P7D"])
def test_an_average_is_the_exact_quotient(test: str, member: bool, more: str) -> None:
    facts = [fact(f"2026-01-0{day}", "visit", x=x) for day, x in enumerate((0, 0, 1), 1)]
    assert (given(figure("avg", test, more=more), facts).at().members("s") == {"c-1"}) is member


@pytest.mark.parametrize(
    ("fn", "empty"),
    [("sum", "0"), ("count", "0"), ("distinct", "0"), ("sum", "{exists: true}"), ("avg", "{exists: false}"),
     ("min", "{exists: false}"), ("max", "{exists: false}"), ("first", "{exists: false}"), ("last", "{exists: false}")],
)  # fmt: skip
@pytest.mark.parametrize("more", ["", ", within: P7D"])
def test_the_figure_of_nothing(fn: str, empty: str, more: str) -> None:
    assert given(figure(fn, empty, more=more), [fact("2026-01-01", "click")]).at().members("s") == {"c-1"}


@pytest.mark.parametrize("fn", ["avg", "min", "max", "first", "last"])
@pytest.mark.parametrize("test", ["{ne: 5}", "{not_in: [5]}", "{lt: 5}", "0"])
def test_what_has_no_value_meets_nothing_else(fn: str, test: str) -> None:
    assert given(figure(fn, test), [fact("2026-01-01", "click")]).at().members("s") == set()


def test_different_values_are_counted_once_each() -> None:
    facts = [fact("2026-01-01", "visit", x=x) for x in ("a", "b", "a", 1, 1.0, "1", True, ["c", "a"])]
    # a, b, 1, "1", true, c
    assert given(figure("distinct", "6"), facts).at().members("s") == {"c-1"}


MISSED = "segment: s\nwhen: {missed: {after: view, expect: cart, match: sku, within: %s}}"


def test_the_first_unmet_event_decides() -> None:
    facts = [fact("2026-01-01", "view", sku="T"), fact("2026-01-02", "view", sku="T")]
    assert given(MISSED % "P3D", facts).at("2026-02-01").told() == ["enter s 2026-01-04T00:00:00.000Z clock"]


def test_a_later_event_may_be_due_earlier_by_the_calendar() -> None:
    # A month after 30 January 23:00 is 28 February 23:00; after 31 January 01:00 it is 28 February 01:00.
    facts = [fact("2026-01-30T23:00Z", "view", sku="T"), fact("2026-01-31T01:00Z", "view", sku="T")]
    assert given(MISSED % "P1M", facts).at("2026-04-01").told() == ["enter s 2026-02-28T01:00:00.000Z clock"]


def test_missed_is_held_against_them_for_so_long() -> None:
    segment = "segment: s\nwhen: {missed: {after: view, expect: cart, within: PT2H, for: P1D}}"
    scene = given(segment, [fact("2026-01-01T10:00Z", "view"), fact("2026-01-01T20:00Z", "view")])
    assert scene.at("2026-02-01").told() == [
        "enter s 2026-01-01T12:00:00.000Z clock",
        "exit s 2026-01-02T22:00:00.000Z clock",
    ]
    assert scene.at("2026-02-01").transitions[0]["not_before"] <= "2026-01-02T22:00:00.000Z"


@pytest.mark.parametrize("answer", [45, 45.0, "45"])
@pytest.mark.parametrize("asked", [45, 45.0, "45"])
def test_numbers_agree_however_they_are_written(asked: object, answer: object) -> None:
    facts = [fact("2026-01-01", "view", sku=asked), fact("2026-01-02", "cart", sku=answer)]
    assert given(MISSED % "P3D", facts).at("2026-02-01").members("s") == set()


def test_an_answer_that_disagrees_or_says_nothing_meets_nothing() -> None:
    facts = [fact("2026-01-01", "view", sku="T"), fact("2026-01-02", "cart", sku="M"), fact("2026-01-02", "cart")]
    assert given(MISSED % "P3D", facts).at("2026-02-01").members("s") == {"c-1"}


def test_what_lacks_the_property_agrees_with_nothing() -> None:
    facts = [fact("2026-01-01", "view"), fact("2026-01-02", "cart")]
    assert given(MISSED % "P3D", facts).at("2026-02-01").told() == ["enter s 2026-01-04T00:00:00.000Z clock"]


def streak(rest: str) -> str:
    return f"segment: s\nwhen: {{streak: {{of: sent, without: read, at_least: 3{rest}}}}}"


def sent(day: int) -> dict[str, object]:
    return fact(f"2026-01-{day:02d}", "sent", m=day)


def test_a_late_answer_mends_a_streak() -> None:
    facts = [sent(1), sent(2), sent(3), fact("2026-01-01T12:00Z", "read", m=1)]
    for rest in ("", ", match: m"):
        assert given(streak(rest), facts).at().told() == [
            "enter s 2026-01-03T00:00:00.000Z event",
            "exit s 2026-01-03T00:00:00.000Z event",
        ]


def test_a_late_answer_settles_only_what_was_before_it() -> None:
    facts = [sent(1), sent(2), sent(3), sent(4), fact("2026-01-01T12:00Z", "read")]
    assert given(streak(""), facts).at().told() == ["enter s 2026-01-03T00:00:00.000Z event"]
    facts = [
        fact("2026-01-01", "view", sku="T"),
        fact("2026-01-02", "view", sku="T"),
        fact("2026-01-01T12:00Z", "cart", sku="T"),
    ]
    assert given(MISSED % "P3D", facts).at("2026-02-01").told() == ["enter s 2026-01-05T00:00:00.000Z clock"]


def test_without_match_an_answer_settles_all_before_it_and_nothing_after() -> None:
    facts = [sent(1), sent(2), fact("2026-01-02T12:00Z", "read"), sent(3), sent(4), sent(5)]
    assert given(streak(""), facts).at().told() == ["enter s 2026-01-05T00:00:00.000Z event"]


def test_an_answer_to_an_older_message_does_not_break_the_run() -> None:
    facts = [sent(1), sent(2), sent(3), sent(4), fact("2026-01-05", "read", m=1)]
    assert given(streak(", match: m"), facts).at().told() == ["enter s 2026-01-03T00:00:00.000Z event"]


def test_the_young_are_passed_over() -> None:
    facts = [sent(1), sent(2), sent(3)]
    assert given(streak(", grace: P2D"), facts).at("2026-02-01").told() == ["enter s 2026-01-05T00:00:00.000Z clock"]
    facts.append(fact("2026-01-04", "read", m=3))
    assert given(streak(", grace: P2D, match: m"), facts).at("2026-02-01").told() == []


@pytest.mark.parametrize("count", ["{eq: 0}", "{lte: 2}", "{ne: 1}"])
def test_a_contact_with_no_event_has_none(count: str) -> None:
    segment = f"segment: s\nwhen: {{did: {{event: purchase, within: P7D, count: {count}}}}}"
    assert given(segment, [fact("2026-01-01", "click")]).at().members("s") == {"c-1"}


def test_a_count_between_two_bounds_comes_and_goes() -> None:
    segment = "segment: s\nwhen: {did: {event: click, within: P7D, count: {between: [2, 3]}}}"
    facts = [fact(f"2026-01-0{day}", "click") for day in (1, 2, 3, 4)]
    assert given(segment, facts).at("2026-02-01").told() == [
        "enter s 2026-01-02T00:00:00.000Z event",
        "exit s 2026-01-04T00:00:00.000Z event",
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-10T00:00:00.000Z clock",
    ]


def test_bounds_all_apply() -> None:
    rule = "{event: [click, view_*], since: 2026-01-02, until: 2026-01-04, within: P30D, count: {gte: 2}}"
    facts = [
        fact("2026-01-01T23:59:59.999Z", "click"),
        fact("2026-01-02", "click"),
        fact("2026-01-03", "views"),
        fact("2026-01-03", "view_product"),
        fact("2026-01-04", "click"),
    ]
    assert given(f"segment: s\nwhen: {{did: {rule}}}", facts).at("2026-03-01").told() == [
        "enter s 2026-01-03T00:00:00.000Z event",
        "exit s 2026-02-01T00:00:00.000Z clock",
    ]


def test_a_prefix_is_no_part_of_other_names() -> None:
    segment = "segment: s\nwhen: {did: {event: message_*, count: {gte: 2}}}"
    facts = [fact("2026-01-01", kind) for kind in ("message_sent", "messages", "a_message_sent", "message", "message_")]
    assert given(segment, facts).at().members("s") == {"c-1"}
    assert given(segment, facts[:-1]).at().members("s") == set()


@pytest.mark.parametrize("word", ["within", "for"])
def test_known_turns_at_the_millisecond(word: str) -> None:
    scene = given(f"segment: s\nwhen: {{known: {{{word}: P1D}}}}", [fact("2026-01-01", "click")])
    assert scene.at("2026-01-02").members("s") == ({"c-1"} if word == "within" else set())
    assert scene.at("2026-01-02T00:00:00.001Z").members("s") == (set() if word == "within" else {"c-1"})


def test_attributes_go_by_their_own_instants_then_arrival() -> None:
    facts = [
        fact("2026-01-02", "contact_updated", city="Moscow", name="Anna"),
        fact("2026-01-01", "contact_updated", city="Kazan", age=5),
        fact("2026-01-02", "contact_updated", name="Maria"),
    ]
    rule = "{profile: {city: Moscow, age: 5, name: Maria}}"
    assert given(f"segment: s\nwhen: {rule}", facts).at().members("s") == {"c-1"}


def test_a_list_among_attributes_matches_by_any_element() -> None:
    facts = [fact("2026-01-01", "contact_updated", pets=[{"kind": "cat"}, {"kind": "dog"}], colours=["red", "blue"])]
    assert given("segment: s\nwhen: {profile: {pets.kind: dog, colours: blue}}", facts).at().members("s") == {"c-1"}
    assert given("segment: s\nwhen: {profile: {colours: {ne: blue}}}", facts).at().members("s") == set()
