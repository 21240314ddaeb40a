"""`held`: how long an attribute has met a test without a break, in whatever order updates come."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from engine.conditions import held as module
from engine.conditions.instants import DAY, NEVER, format_instant, parse_duration, parse_instant
from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.membership.placement import store_key
from engine.membership.replay import Replay
from tests.conditions.evidence import evidence
from tests.driver import Row, documents, fact, given, line_of, rows
from tests.membership.test_state_roundtrip import differs


def segment(test: str, for_: str = "P7D", path: str = "status", name: str = "s", zone: str = "UTC") -> str:
    return f"segment: {name}\ntimezone: {zone}\nwhen: {{held: {{path: {path}, is: {test}, for: {for_}}}}}"


def became(at: str, value: Any, **more: Any) -> Row:
    return fact(at, "contact_updated", status=value, **more)


TRIAL = segment("trial")
LEFT = "segment: clicks\nwhen: {did: {event: click}}"


def test_it_is_entered_on_the_millisecond_and_left_with_the_break() -> None:
    scene = given(TRIAL, [became("2026-01-01T10:00Z", "trial"), became("2026-02-01", "paid")])
    assert scene.at("2026-01-08T10:00:00.000Z").told() == [
        "enter s 2026-01-08T10:00:00.000Z clock",
        "exit s 2026-02-01T00:00:00.000Z event",
    ]
    assert given(TRIAL, [became("2026-01-01T10:00Z", "trial")]).at("2026-01-08T10:00:00.000Z").members("s") == set()
    assert given(TRIAL, [became("2026-01-01T10:00Z", "trial")]).at("2026-01-08T10:00:00.001Z").members("s") == {"c-1"}


def test_less_than_so_long_is_left_on_the_millisecond() -> None:
    scene = given(segment("trial", "{lt: P7D}"), [became("2026-01-01", "trial")])
    assert scene.at("2026-03-01").told() == [
        "enter s 2026-01-01T00:00:00.000Z event",
        "exit s 2026-01-08T00:00:00.000Z clock",
    ]
    assert scene.at().of("s")[0]["not_before"] == "2026-01-08T00:00:00.000Z"


def test_the_short_form_is_at_least() -> None:
    short, long = (parse_segment(segment("trial", form)) for form in ("P7D", "{gte: P7D}"))
    assert canonical(short) == canonical(long)


def test_an_update_that_leaves_it_met_is_no_break() -> None:
    facts = [became("2026-01-01", "trial"), became("2026-01-05", "trial"), fact("2026-01-06", "contact_updated", x=1)]
    assert given(TRIAL, facts).at("2026-03-01").told() == ["enter s 2026-01-08T00:00:00.000Z clock"]
    facts = [became("2026-01-01", 5), became("2026-01-05", 9), became("2026-01-06", "7.5")]
    assert given(segment("{gte: 5}"), facts).at("2026-03-01").told() == ["enter s 2026-01-08T00:00:00.000Z clock"]


@pytest.mark.parametrize("breaking", ["paid", None, ["paid"], {}])
def test_a_break_starts_it_anew(breaking: Any) -> None:
    facts = [became("2026-01-01", "trial"), became("2026-01-05", breaking), became("2026-01-06", "trial")]
    assert given(TRIAL, facts).at("2026-03-01").told() == ["enter s 2026-01-13T00:00:00.000Z clock"]


def test_a_break_of_no_length_is_a_break_all_the_same() -> None:
    # Facts at one instant are judged one by one, in the order of their arrival.
    facts = [became("2026-01-01", "trial"), became("2026-01-09", "paid"), became("2026-01-09", "trial")]
    assert given(TRIAL, facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-09T00:00:00.000Z event",
        "enter s 2026-01-16T00:00:00.000Z clock",
    ]


@pytest.mark.parametrize("test", ["{ne: paid}", "{not_in: [paid, lost]}", "{exists: false}"])
def test_what_was_never_set_is_so_since_the_first_fact(test: str) -> None:
    scene = given(segment(test), [fact("2026-01-01", "click"), fact("2026-01-03", "click")])
    assert scene.at("2026-03-01").told() == ["enter s 2026-01-08T00:00:00.000Z clock"]
    late = given(segment(test), [fact("2026-01-05", "click"), fact("2026-01-01", "click")])
    assert late.at("2026-03-01").told() == ["enter s 2026-01-08T00:00:00.000Z clock"]


def test_what_was_never_set_goes_on_with_a_value_that_also_passes() -> None:
    facts = [fact("2026-01-01", "click"), became("2026-01-04", "trial"), became("2026-01-20", "paid"),
             became("2026-01-21", None)]  # fmt: skip
    assert given(segment("{ne: paid}"), facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-20T00:00:00.000Z event",
        "enter s 2026-01-28T00:00:00.000Z clock",
    ]


def test_taking_an_attribute_away_starts_what_asks_for_none() -> None:
    facts = [became("2026-01-01", "trial"), became("2026-01-10", None), became("2026-01-12", None)]
    assert given(segment("{exists: false}"), facts).at("2026-03-01").told() == [
        "enter s 2026-01-17T00:00:00.000Z clock"
    ]


def test_a_late_update_is_put_in_its_place() -> None:
    facts = [became("2026-01-01", "trial"), became("2026-01-09", "trial"), became("2026-01-04", "paid")]
    assert given(TRIAL, facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-09T00:00:00.000Z event",  # it turned out not to have been so: since the 9th only
        "enter s 2026-01-16T00:00:00.000Z clock",
    ]
    facts = [became("2026-01-05", "trial"), fact("2026-01-10", "click"), became("2026-01-02", "trial")]
    found = given(TRIAL, facts).at("2026-03-01").of("s")
    assert [(row["at"], row["late"]) for row in found] == [("2026-01-10T00:00:00.000Z", True)]


def test_a_path_leads_into_objects_which_are_replaced_whole() -> None:
    card = segment("{gte: 500}", path="card.balance")
    facts = [
        fact("2026-01-01", "contact_updated", card={"balance": 500, "level": "gold"}),
        fact("2026-01-03", "contact_updated", card={"balance": "900.50"}),
        fact("2026-01-20", "contact_updated", card={"level": "gold"}),
    ]
    assert given(card, facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-20T00:00:00.000Z event",
    ]


def test_a_path_may_name_what_holds_dots_and_lists() -> None:
    facts = [fact("2026-01-01", "contact_updated", **{"crm.deals": [{"stage": "won"}, {"stage": "new"}]})]
    assert given(segment("new", path="'[\"crm.deals\"].stage'"), facts).at("2026-01-09").members("s") == {"c-1"}


def test_months_go_by_the_calendar_of_the_segment() -> None:
    # 30 January 22:00 UTC is the 31st in Moscow, a month from which is clamped to the end of February.
    facts = [became("2026-01-30T22:00Z", "trial")]
    in_moscow = given(segment("trial", "P1M", zone="Europe/Moscow"), facts).at("2026-06-01")
    assert in_moscow.told() == ["enter s 2026-02-27T22:00:00.000Z clock"]
    assert given(segment("trial", "P1M"), facts).at("2026-06-01").told() == ["enter s 2026-02-28T22:00:00.000Z clock"]


def test_a_segment_that_is_added_later_counts_from_the_history() -> None:
    later = {"segment": "later", "when": {"held": {"path": "status", "is": "trial", "for": "P7D"}}}
    facts = [became("2026-01-01", "trial"), became("2026-01-02", "trial")]
    seen = given(LEFT, facts, [{"at": "2026-01-03T00:00:00Z", "apply": later}]).replayed("2026-03-01")
    assert [row["at"] for row in seen.of("later")] == ["2026-01-08T00:00:00.000Z"]


def test_conditions_of_one_path_and_test_share_one_feature() -> None:
    segments = [segment("trial", for_, name=name) for name, for_ in (("a", "P7D"), ("b", "{lt: P1M}"))]
    segments.append(segment("{eq: trial}", name="c", zone="Europe/Moscow"))
    assert len(given("\n---\n".join(segments), []).replay().partition.plan.workspace("default").features) == 1
    other = [segment("{in: [trial, lead]}", name="d"), segment("trial", path="plan", name="e")]
    scene = given("\n---\n".join([segments[0], *other]), [became("2026-01-01", "lead"), became("2026-01-05", "trial")])
    assert scene.at("2026-02-01").told(None) == [
        "enter d 2026-01-08T00:00:00.000Z clock",
        "enter a 2026-01-12T00:00:00.000Z clock",
    ]


def test_a_value_is_tested_as_profile_tests_it() -> None:
    # Whole numbers beyond 64 bits are kept as texts.
    held, now = (
        segment("{starts_with: '118059'}", "PT1H"),
        "segment: now\nwhen: {profile: {status: {starts_with: '118059'}}}",
    )
    seen = given(f"{held}\n---\n{now}", [fact("2026-01-01", "click"), became("2026-01-05", 2**70)]).at("2026-02-01")
    assert seen.told() == ["enter now 2026-01-05T00:00:00.000Z event", "enter s 2026-01-05T01:00:00.000Z clock"]


def taken_back(name: str, at: str = "2026-01-20") -> Row:
    return fact(at, "event_retracted", id=name)


def test_a_break_taken_back_was_none() -> None:
    facts = [became("2026-01-01", "trial"), became("2026-01-15", "paid", named="p"), taken_back("p")]
    assert given(TRIAL, facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-15T00:00:00.000Z event",
        "enter s 2026-01-20T00:00:00.000Z event",
    ]


def test_a_beginning_taken_back_leaves_the_next_one() -> None:
    facts = [became("2026-01-10", "trial", named="t"), became("2026-01-18", "trial"), taken_back("t")]
    assert given(TRIAL, facts).at("2026-03-01").told() == [
        "enter s 2026-01-17T00:00:00.000Z clock",
        "exit s 2026-01-20T00:00:00.000Z event",
        "enter s 2026-01-25T00:00:00.000Z clock",
    ]


@pytest.mark.parametrize("between", [[], [became("2026-01-03", "trial")], [became("2026-01-14", None)]])
def test_what_was_never_set_is_so_again_since_the_first_fact(between: list[Row]) -> None:
    facts = [fact("2026-01-01", "click"), *between, became("2026-01-12", "paid", named="p"), taken_back("p")]
    facts.sort(key=lambda row: str(row["at"]))
    # Nineteen days have been whole when the break is taken back.
    seen = given(segment("{ne: paid}", "P12D"), facts).at("2026-03-01")
    assert [row["at"] for row in seen.of("s")] == ["2026-01-20T00:00:00.000Z"]
    seen = given(segment("{ne: paid}", "P25D"), facts).at("2026-03-01")
    assert [row["at"] for row in seen.of("s")] == ["2026-01-26T00:00:00.000Z"]


def test_what_never_was_set_follows_the_first_fact_that_counts() -> None:
    facts = [fact("2026-01-01", "click", named="c"), fact("2026-01-05", "click"), taken_back("c", "2026-01-09")]
    assert given(segment("{ne: paid}"), facts).at("2026-03-01").told() == [
        "enter s 2026-01-08T00:00:00.000Z clock",
        "exit s 2026-01-09T00:00:00.000Z event",
        "enter s 2026-01-12T00:00:00.000Z clock",
    ]


def test_a_written_state_goes_on_as_it_was() -> None:
    facts = [fact("2026-01-01", "click"), became("2026-01-03", "trial"), became("2026-01-12", "paid", named="p")]
    facts += [became("2026-01-02", 5), taken_back("p"), became("2026-01-21", None), became("2026-01-30", "trial")]
    differs(EVERY, [line_of(each) for each in facts], parse_instant("2026-03-01"))


# What the journal has lost ------------------------------------------------------------------------------------------

RETENTION = 30 * DAY
BEFORE = "2026-01-01"


def remembering(segments: str, facts: list[Row]) -> Replay:
    """A replay whose journal keeps thirty days."""
    replay = Replay(documents(segments), journal_retention=RETENTION)
    for each in facts:
        replay.take(line_of(each))
    return replay


def test_a_late_update_leaves_what_began_before_the_journal() -> None:
    for late, ends in (("trial", []), ("paid", ["exit"])):
        replay = remembering(
            TRIAL, [became(BEFORE, "trial"), fact("2026-05-01", "click"), became("2026-05-03", "trial")]
        )
        assert replay.members("s") == {"c-1"}
        assert [each.change for each in replay.take(line_of(became("2026-05-02", late)))] == ends
    enters = [row["at"] for row in rows(replay.until(parse_instant("2026-06-01")))]
    assert enters == ["2026-05-10T00:00:00.000Z"]


def test_a_late_repetition_leaves_a_break_before_the_journal() -> None:
    facts = [fact(BEFORE, "click"), became("2026-01-02", "paid"), became("2026-05-20", "trial")]
    replay = remembering(segment("{ne: paid}"), [*facts, fact("2026-05-25", "click")])
    replay.take(line_of(became("2026-05-23", "trial")))
    assert [row["at"] for row in rows(replay.until(parse_instant("2026-06-01")))] == ["2026-05-27T00:00:00.000Z"]


@pytest.mark.parametrize("millis", [999, 1000, 1001])
@pytest.mark.parametrize("test", ["trial", "{ne: paid}"])
def test_an_update_that_the_journal_has_just_lost_or_has_still(test: str, millis: int) -> None:
    # The clock is a second behind: thirty days and a second later the update is no longer kept.
    later = format_instant(parse_instant("2026-01-31T00:00:00Z") + millis)
    facts = [fact(BEFORE, "click"), became(BEFORE, "trial"), fact(later, "click")]
    new = remembering(LEFT, facts)
    new.apply(documents(segment(test))[0])
    assert new.members("s") == {"c-1"}
    new.take(line_of(became("2026-02-02", "trial")))
    assert new.members("s") == {"c-1"}
    old = remembering(segment(test), facts)
    assert old.members("s") == {"c-1"}
    old.take(line_of(became("2026-01-30", "trial")))
    assert old.members("s") == {"c-1"}


def test_a_late_update_leaves_a_break_before_the_journal() -> None:
    replay = remembering(segment("{ne: paid}"), [fact(BEFORE, "click"), became("2026-01-02", "paid"),
                                                 became("2026-05-20", "trial")])  # fmt: skip
    replay.take(line_of(became("2026-05-19", "paid")))
    assert [row["at"] for row in rows(replay.until(parse_instant("2026-06-01")))] == ["2026-05-27T00:00:00.000Z"]


def test_an_update_from_before_the_journal_is_told_by_the_attribute() -> None:
    replay = remembering(TRIAL, [fact(BEFORE, "click"), fact("2026-05-01", "click")])
    replay.take(line_of(became("2026-02-01", "trial")))
    assert replay.members("s") == {"c-1"}


@pytest.mark.parametrize(
    ("test", "value", "held"),
    [("trial", "trial", True), ("trial", "paid", False), ("{ne: paid}", "trial", True), ("{ne: paid}", "paid", False),
     ("{exists: false}", None, True), ("{exists: true}", None, False)],
)  # fmt: skip
def test_a_new_segment_knows_what_stands_since_before_the_journal(test: str, value: Any, held: bool) -> None:
    replay = remembering(LEFT, [became(BEFORE, value), fact("2026-05-01", "click")])
    replay.apply(documents(segment(test))[0])
    assert replay.members("s") == ({"c-1"} if held else set())
    # An update that says the same again is no break.
    replay.take(line_of(became("2026-05-02", value)))
    assert replay.members("s") == ({"c-1"} if held else set())


def test_a_new_segment_sees_the_end_of_what_stood_before_the_journal() -> None:
    replay = remembering(LEFT, [became(BEFORE, "paid"), fact("2026-05-01", "click")])
    replay.apply(documents(segment("{ne: paid}"))[0])
    replay.take(line_of(became("2026-05-02", "trial")))
    assert replay.members("s") == set()
    assert [row["at"] for row in rows(replay.until(parse_instant("2026-06-01")))] == ["2026-05-09T00:00:00.000Z"]


# Against a plain reading of the definition ---------------------------------------------------------------------------

START = parse_instant("2026-01-30T00:00:00Z")
VALUES = ("trial", "paid", None, 5)
TESTS = ("trial", "{ne: paid}", "{exists: false}", "{in: [trial, 5]}", "{gte: 3}", "{not_in: [5]}")
MEETS: dict[str, Callable[[Any], bool]] = {
    "trial": lambda value: value == "trial",
    "{ne: paid}": lambda value: value != "paid",
    "{exists: false}": lambda value: value is None,
    "{in: [trial, 5]}": lambda value: value in ("trial", 5),
    "{gte: 3}": lambda value: value == 5,
    "{not_in: [5]}": lambda value: value != 5,
}
LENGTHS = ("P1D", "PT1H", "P1M", "PT0.001S")
offsets = st.one_of(
    st.builds(lambda hours, ms: hours * 3_600_000 + ms, st.integers(0, 30), st.sampled_from([0, 0, 1, -1])),
    st.builds(lambda days: days * DAY, st.integers(0, 60)),
)
updates = st.lists(st.tuples(offsets, st.sampled_from([*VALUES, "click"])), min_size=1, max_size=8)


def truth(found: list[tuple[int, Any]], test: str, length: str, less: bool, t: int) -> bool:
    """Whether the test has been met since s with s + length ≤ t, over the updates in order of `at`, then arrival."""
    meets = MEETS[test]
    since: int | None = min(at for at, _ in found) if meets(None) else None
    for at, value in sorted(found, key=lambda pair: pair[0]):
        if value != "click":
            since = (at if since is None else since) if meets(value) else None
    if since is None:
        return False
    long_enough = parse_duration(length).after(since, None) <= t
    return not long_enough if less else long_enough


@settings(max_examples=400)
@drawn(updates, st.sampled_from(TESTS), st.sampled_from(LENGTHS), st.booleans())
def test_verdict_and_until_are_those_of_the_definition(
    drawn_updates: list[tuple[int, Any]], test: str, length: str, less: bool
) -> None:
    replay = Replay(documents(segment(test, f"{{lt: {length}}}" if less else length)))
    found: list[tuple[int, Any]] = []
    for offset, value in drawn_updates:
        at = START + max(offset, 0)
        found.append((at, value))
        said = format_instant(at)
        replay.take(line_of(fact(said, "click") if value == "click" else became(said, value)))
        contact = replay.contacts.contacts[store_key("default", "c-1")]
        rule = replay.partition.plan.workspace("default").segments[0].rule
        edges = {contact.as_of} | {parse_duration(length).after(each, None) for each, _ in found}
        instants = sorted(t for edge in edges for t in (edge - 1, edge, edge + 1) if t >= contact.as_of)
        for t in instants:
            now, until = rule(contact, t)
            assert now is truth(found, test, length, less, t), (found, t)
            assert until > t
            for later in instants:
                if t <= later < until:
                    assert truth(found, test, length, less, later) is now, (found, t, until, later)
            if until != NEVER:
                assert truth(found, test, length, less, until) is not now, "until is the very instant of the change"


EVERY = documents(
    "\n---\n".join(
        segment(test, f"P{days}D", name=f"s{number}-{days}") for number, test in enumerate(TESTS) for days in (5, 25)
    )
)
steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 30, 200, 35 * 24]), st.sampled_from([*VALUES, "click", "click"])),
    min_size=2,
    max_size=10,
)
lates = st.lists(st.tuples(st.integers(1, 29 * 24), st.sampled_from(VALUES)), min_size=1, max_size=3)


@settings(max_examples=200)
@drawn(steps, lates)
def test_a_short_journal_is_enough_for_late_facts_that_it_covers(
    in_order: list[tuple[int, Any]], late: list[tuple[int, Any]]
) -> None:
    short, whole = (Replay(EVERY, journal_retention=days * DAY) for days in (30, 10_000))
    at = START
    facts: list[tuple[int, Any]] = []
    for hours, value in in_order:
        at += hours * 3_600_000
        facts.append((at, value))
    facts += [(max(at - hours * 3_600_000, START), value) for hours, value in late]
    for each, value in facts:
        said = format_instant(each)
        line = line_of(fact(said, "click") if value == "click" else became(said, value))
        assert rows(short.take(line)) == rows(whole.take(line))
    assert rows(short.until(at + 20 * DAY)) == rows(whole.until(at + 20 * DAY))


@pytest.mark.parametrize(
    ("facts", "ids"),
    [
        ([], []),
        ([fact("2026-01-01", "click", named="x")], []),
        ([became("2026-01-01", "paid", named="a"), became("2026-01-02", "trial", named="b"),
          fact("2026-01-03", "contact_updated", named="x", city="Perm"), became("2026-01-04", "trial", named="c")],
         ["b", "c"]),
        ([became("2026-01-01", "trial", named="a"), became("2026-01-02", "paid", named="b"),
          became("2026-01-03", "lost", named="c")], ["c"]),
        ([became("2026-01-02", "trial", named="b"), became("2026-01-09", "paid", named="later")], ["b"]),
    ],
)  # fmt: skip
def test_it_rests_on_the_updates_since_it_is_so(facts: list[Row], ids: list[str]) -> None:
    assert evidence("{held: {path: status, is: trial, for: P1D}}", facts, "2026-01-05T00:00:00Z") == ids


def test_never_set_rests_on_nothing_and_then_on_the_updates() -> None:
    rule = "{held: {path: status, is: {ne: paid}, for: P1D}}"
    facts = [became("2026-01-01", "trial", named="a"), became("2026-01-02", "lead", named="b")]
    assert evidence(rule, [fact("2026-01-01", "click")], "2026-01-05T00:00:00Z") == []
    assert evidence(rule, facts, "2026-01-05T00:00:00Z") == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("path: a, is: x", "'for' is missing"),
        ("path: a, for: P1D", "'is' is missing"),
        ("is: x, for: P1D", "'path' is missing"),
        ("path: a, is: x, for: 7 days", "when.held.for: '7 days' is not a duration"),
        ("path: a, is: x, for: 7 days", "did you mean P7D?"),
        ("path: a, is: x, for: PT0S", "no time at all"),
        ("path: a, is: x, for: {gt: P1D}", "unknown key 'gt'. Did you mean"),
        ("path: a, is: x, for: {}", "for needs one duration"),
        ("path: a, is: x, for: {lt: P2D, gte: P1D}", "for needs one duration"),
        ("path: a, is: {like: x}, for: P1D", "unknown key 'like'"),
        ("path: 'a..b', is: x, for: P1D", "is not a path"),
        ("path: a, is: x, fro: P1D", "Did you mean 'for'"),
    ],
)
def test_mistakes_are_told(options: str, told: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{held: {{{options}}}}}")
    assert told in str(caught.value)


def test_longer_than_the_journal_keeps_is_refused() -> None:
    with pytest.raises(DefinitionErrors) as caught:
        documents(segment("trial", "P2Y"))
    assert "longer than the journal keeps" in str(caught.value)


def test_the_docstring_says_what_is_true() -> None:
    assert doctest.testmod(module).failed == 0
