"""Tests of dates among attributes: by hand, and against a plain evaluation by another calendar at every turn ± 1 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from whenever import PlainDateTime

from engine.conditions.contact import Contact
from engine.conditions.instants import DAY, HOUR, MINUTE, NEVER, SECOND, WEEK, format_instant, parse_instant
from engine.conditions.profile import Profile
from engine.conditions.scope import Evaluate, Scope
from engine.conditions.zones import Calendar
from engine.definitions import DefinitionErrors, parse_segment
from tests import driver
from tests.conditions.calendars import ZONES, changes, in_zone, instants, later, millis, shown, zone_named
from tests.conditions.evidence import evidence
from tests.driver import fact


def told(test: str, value: Any, until: str, zone: str = "UTC", at: str = "2026-01-01") -> list[str]:
    """What happens, as `enter 2026-05-01T10:00:00.000Z`, to a contact with the attribute `d` from `at` on."""
    segment = f"segment: s\ntimezone: {zone}\nwhen: {{profile: {{d: {{{test}}}}}}}"
    found = driver.given(segment, [fact(at, "contact_updated", d=value)]).at(until).told()
    return [f"{line.split()[0]} {line.split()[2]}" for line in found]


@pytest.mark.parametrize(
    ("test", "value", "expected"),
    [
        ("within: P7D", "2026-03-01", ["enter 2026-03-01T00:00", "exit 2026-03-08T00:00"]),
        ("within: P1M", "2026-01-31T12:00:00Z", ["enter 2026-01-31T12:00", "exit 2026-02-28T12:00"]),
        ("within: [P2D, P7D]", "2026-03-01", ["enter 2026-03-03T00:00", "exit 2026-03-08T00:00"]),
        ("within: [PT0S, PT2H]", "2026-03-01T10:00:00+03:00", ["enter 2026-03-01T07:00", "exit 2026-03-01T09:00"]),
        ("within: P1Y", "2025-06-01", ["enter 2026-01-01T00:00", "exit 2026-06-01T00:00"]),
        ("ago: P18Y", "2008-02-29", ["enter 2026-02-28T00:00"]),
        ("ago: P1D", "2025-12-01", ["enter 2026-01-01T00:00"]),
        ("calendar: {unit: day}", "2026-03-01T23:59:59Z", ["enter 2026-03-01T00:00", "exit 2026-03-02T00:00"]),
        ("calendar: {unit: day, offset: 1}", "2026-03-01", ["enter 2026-02-28T00:00", "exit 2026-03-01T00:00"]),
        ("calendar: {unit: week}", "2026-03-01", ["enter 2026-02-23T00:00", "exit 2026-03-02T00:00"]),
        ("calendar: {unit: week, offset: -1}", "2026-03-02", ["enter 2026-03-09T00:00", "exit 2026-03-16T00:00"]),
        ("calendar: {unit: month}", "2026-02-14", ["enter 2026-02-01T00:00", "exit 2026-03-01T00:00"]),
        ("calendar: {unit: month, offset: -1}", "2026-12-31", ["enter 2027-01-01T00:00", "exit 2027-02-01T00:00"]),
        ("calendar: {unit: quarter}", "2026-06-30", ["enter 2026-04-01T00:00", "exit 2026-07-01T00:00"]),
        ("calendar: {unit: year, offset: 1}", "2027-07-01", ["enter 2026-01-01T00:00", "exit 2027-01-01T00:00"]),
        ("calendar: {unit: year}", "2025-12-31", []),
        (
            "anniversary: {within: P7D}", "1990-03-08",
            ["enter 2026-03-08T00:00", "exit 2026-03-15T00:00", "enter 2027-03-08T00:00", "exit 2027-03-15T00:00"],
        ),
        (
            "anniversary: {before: P1M}", "1965-03-31",
            ["enter 2026-02-28T00:00", "exit 2026-03-31T00:00", "enter 2027-02-28T00:00", "exit 2027-03-31T00:00"],
        ),
        (
            "anniversary: {within: P1D}", "2024-02-29T10:00:00Z",
            ["enter 2026-02-28T10:00", "exit 2026-03-01T10:00", "enter 2027-02-28T10:00", "exit 2027-03-01T10:00"],
        ),
        (
            "anniversary: {within: P1D}", "2026-05-05",  # the day itself is the first
            ["enter 2026-05-05T00:00", "exit 2026-05-06T00:00", "enter 2027-05-05T00:00", "exit 2027-05-06T00:00"],
        ),
        ("anniversary: {before: P1D}", "2026-05-05", ["enter 2027-05-04T00:00", "exit 2027-05-05T00:00"]),
        ("within: P30D, calendar: {unit: month}", "2026-02-14", ["enter 2026-02-14T00:00", "exit 2026-03-01T00:00"]),
        ("within: P1Y, lt: '2026-02-01'", "2026-02-14", []),
        ("within: P7D, gte: '2026-02-01'", "2026-02-14", ["enter 2026-02-14T00:00", "exit 2026-02-21T00:00"]),
    ],
)  # fmt: skip
def test_when_a_date_test_holds(test: str, value: str, expected: list[str]) -> None:
    assert told(test, value, "2027-12-31") == [f"{line}:00.000Z" for line in expected]


def test_a_date_of_a_leap_day_is_celebrated_on_it_where_there_is_one() -> None:
    found = told("anniversary: {within: P1D}", "2000-02-29", "2028-12-31", at="2027-06-01")
    assert found == ["enter 2028-02-29T00:00:00.000Z", "exit 2028-03-01T00:00:00.000Z"]


@pytest.mark.parametrize(
    ("zone", "test", "value", "enter", "leave"),
    [
        # The day of Berlin on which clocks go forward has 23 hours, that on which they go back 25.
        ("Europe/Berlin", "calendar: {unit: day}", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "calendar: {unit: day}", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Europe/Berlin", "within: P1D", "2026-03-29", "2026-03-28T23:00", "2026-03-29T23:00"),
        # 00:00 does not come: the day begins at 01:00.
        ("Africa/Cairo", "calendar: {unit: day}", "2026-04-24", "2026-04-23T22:00", "2026-04-24T21:00"),
        ("Africa/Cairo", "within: PT1H", "2026-04-24", "2026-04-23T22:00", "2026-04-23T23:00"),
        # 23:00 comes twice: the day has 25 hours.
        ("Africa/Cairo", "calendar: {unit: day}", "2026-10-29", "2026-10-28T21:00", "2026-10-29T22:00"),
        ("Australia/Lord_Howe", "calendar: {unit: month}", "2026-10-09", "2026-09-30T13:30", "2026-10-31T13:00"),
        ("Asia/Kathmandu", "calendar: {unit: week}", "2026-03-01", "2026-02-22T18:15", "2026-03-01T18:15"),
        ("Europe/Berlin", "anniversary: {within: PT1H}", "1990-03-29T02:30:00", "2026-03-29T01:30", "2026-03-29T02:30"),
        ("Europe/Berlin", "anniversary: {before: P1D}", "1999-10-25T02:30:00", "2026-10-24T00:30", "2026-10-25T00:30"),
    ],
)  # fmt: skip
def test_by_the_clocks_of_the_zone(zone: str, test: str, value: str, enter: str, leave: str) -> None:
    assert told(test, value, "2026-12-31", zone) == [f"enter {enter}:00.000Z", f"exit {leave}:00.000Z"]


def test_an_anniversary_is_of_the_wall_time_as_written_though_the_first_was_skipped() -> None:
    # On the day of birth the clocks of São Paulo went from 24:00 to 01:00; in 2026 they have no summer time.
    found = told("anniversary: {within: P1D}", "2018-11-04", "2026-12-31", "America/Sao_Paulo")
    assert found == ["enter 2026-11-04T03:00:00.000Z", "exit 2026-11-05T03:00:00.000Z"]


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "8 March", "2026-02-29", "2026-13-01", "2026", 20260301, 1_772_323_200_000, 5.5, True, {},
     {"date": "2026-03-01"}, [], [None, "x", 7], "2026-03-01T25:00:00Z", "0000-01-01", "10000-01-01"],
)  # fmt: skip
@pytest.mark.parametrize(
    "test", ["within: P400D", "ago: PT1S", "calendar: {unit: year}", "anniversary: {within: P1Y}"]
)  # fmt: skip
def test_what_is_no_date_meets_no_test(value: Any, test: str) -> None:
    assert told(test, value, "2027-01-01") == []
    assert told(f"exists: true, {test}", value, "2027-01-01") == []


@pytest.mark.parametrize("value", ["0001-01-01", "0001-01-05", "9999-12-31", "9999-12-31T23:59:59+00:00"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_dates_at_the_ends_of_the_calendar(value: str, zone: str) -> None:
    past = value == "0001-01-05"
    for test in ("within: P1Y", "calendar: {unit: year}", "calendar: {unit: week, offset: 3}"):
        assert told(test, value, "2026-03-01", zone) == []
    assert told("ago: P1M", value, "2026-03-01", zone) == ["enter 2026-01-01T00:00:00.000Z"] * past
    assert len(told("anniversary: {within: P1Y}", value, "2026-03-01", zone)) == past


def test_of_a_list_any_element_meets_each_test() -> None:
    found = told("within: P2D", ["2026-02-01", "no date", "2026-02-02", ["2026-03-01"]], "2026-12-31")
    assert found == [
        "enter 2026-02-01T00:00:00.000Z",
        "exit 2026-02-04T00:00:00.000Z",
        "enter 2026-03-01T00:00:00.000Z",
        "exit 2026-03-03T00:00:00.000Z",
    ]


def test_a_date_within_objects_of_a_list_and_several_paths() -> None:
    rule = "{profile: {pets.born: {anniversary: {within: P1D}}, city: {in: [Moscow, Kazan]}, since: {ago: P1M}}}"
    facts = [
        fact("2026-01-01", "contact_updated", city="Moscow", since="2026-02-10"),
        fact("2026-01-02", "contact_updated", pets=[{"born": "2020-03-05"}, {"name": "Rex"}, {"born": "2021-03-20"}]),
        fact("2026-03-20T12:00:00Z", "contact_updated", city="Perm"),
    ]
    assert driver.given(f"segment: s\nwhen: {rule}", facts).at("2026-12-31").told() == [
        "enter s 2026-03-20T00:00:00.000Z clock",
        "exit s 2026-03-20T12:00:00.000Z event",
    ]


def test_a_new_date_moves_the_deadline() -> None:
    facts = [
        fact("2026-01-01", "contact_updated", trial_ends="2026-02-01"),
        fact("2026-01-15", "contact_updated", trial_ends="2026-03-01"),
        fact("2026-03-02", "contact_updated", trial_ends=None),
    ]
    segment = "segment: s\nwhen: {profile: {trial_ends: {within: P7D}}}"
    assert driver.given(segment, facts).at("2026-12-31").told() == [
        "enter s 2026-03-01T00:00:00.000Z clock",
        "exit s 2026-03-02T00:00:00.000Z event",
    ]


def test_a_verdict_rests_on_the_facts_that_set_the_date() -> None:
    facts = [
        fact("2026-01-01", "contact_updated", d="2026-02-01", named="first"),
        fact("2026-01-02", "contact_updated", d="2026-03-01", timezone="Asia/Tokyo", named="second"),
        fact("2026-01-03", "contact_updated", timezone="Europe/Moscow", named="moved"),
        fact("2026-01-04", "contact_updated", city="Moscow", named="city"),
        fact("2026-02-01", "contact_updated", d=None, named="none"),
    ]
    rule = "{profile: {d: {within: P7D}}}"
    assert evidence(rule, facts, "2026-01-31T00:00:00Z") == ["second"]
    assert evidence(f"{rule}\ntimezone: contact", facts, "2026-01-31T00:00:00Z") == ["second", "moved"]
    assert evidence("{profile: {city: Moscow, d: {eq: x}}}\ntimezone: contact", facts, "2026-03-01") == ["city", "none"]


def test_what_two_tests_forbid_stays_so_until_the_last_of_them_may_change() -> None:
    scope = Scope(Calendar(), {}, lambda _: 0)
    document = {"a": {"within": "P1Y"}, "b": {"within": "P1Y"}, "c": {"within": "P1Y"}}
    evaluate = Profile.model_validate({"profile": document}).compile(scope)
    contact = Contact(as_of=0, attributes={"a": [0, "2026-03-01"], "b": [0, "2026-05-01"], "c": [0, "2026-04-01"]})
    assert evaluate(contact, parse_instant("2026-02-01")) == (False, parse_instant("2026-05-01"))
    assert evaluate(contact, parse_instant("2026-05-01")) == (True, parse_instant("2027-03-01"))


@pytest.mark.parametrize(
    "rule",
    [
        "did: {event: a, where: {x: {%s}}}",
        "did: {event: a, where: {x: {any_item: {y: {%s}}}}}",
        "did: {event: a, count: {%s}}",
        "aggregate: {fn: last, of: x, event: a, is: {%s}}",
        "profile: {x: {any_item: {y: {%s}}}}",
    ],
)
@pytest.mark.parametrize("test", ["within: P7D", "ago: P7D", "calendar: {unit: day}", "anniversary: {within: P7D}"])
def test_elsewhere_a_date_test_is_refused_in_so_many_words(rule: str, test: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{{rule % test}}}")
    (error,) = caught.value.errors
    name = test.partition(":")[0]
    assert error.path.endswith(f".{name}")
    assert f"{name} is a test of a date among the contact's attributes, which only profile has" in error.problem


@pytest.mark.parametrize(
    ("test", "path", "said"),
    [
        ("within: P7", "within", "did you mean P7D?"),
        ("within: [P7D, P2D]", "within", "P7D is not shorter than P2D"),
        ("within: [P7D]", "within", "not a pair"),
        ("within: PT0S", "within", "no time at all"),
        ("ago: [P1D, P2D]", "ago", "is not a duration"),
        ("calendar: month", "calendar", "write calendar: {unit: month}"),
        ("calendar: {unit: fortnight}", "calendar.unit", "quarter"),
        ("calendar: {offset: 1}", "calendar.unit", "is missing"),
        ("calendar: {unit: day, offset: 0.5}", "calendar.offset", "0.5"),
        ("calendar: {unit: day, ofset: 1}", "calendar.ofset", "'offset'"),
        ("anniversary: P7D", "anniversary", "{before: P7D}"),
        ("anniversary: {}", "anniversary", "needs one of two"),
        ("anniversary: {within: P7D, before: P7D}", "anniversary", "needs one of two"),
        ("anniversary: {within: P13M}", "anniversary.within", "longer than a year"),
        ("anniversary: {before: P367D}", "anniversary.before", "longer than a year"),
        ("agp: P7D", "agp", "'ago'"),
    ],
)
def test_mistakes(test: str, path: str, said: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{profile: {{d: {{{test}}}}}}}")
    assert [error.path for error in caught.value.errors] == [f"when.profile.d.{path}"]
    assert said in str(caught.value)


def test_a_date_test_may_look_back_further_than_the_journal() -> None:
    segment = parse_segment("segment: s\nwhen: {profile: {d: {ago: P18Y, within: [P18Y, P65Y]}}}")
    driver.given("segment: s\nwhen: {profile: {d: {ago: P18Y}}}", [fact("2026-01-01", "click")]).at()
    assert segment.when is not None
    assert segment.when.describe() == (
        "d is at least 18 years and less than 65 years ago and is at least 18 years ago"
    )  # fmt: skip


# Against a plain evaluation.


@pytest.mark.parametrize(
    ("zone", "test", "value", "at", "truth", "until"),
    [
        # A day of New York ends when it is the next one in UTC already; one of Apia begins when it is the one before.
        ("America/New_York", {"calendar": {"unit": "day"}}, "2026-03-01", "2026-03-02T04:59:59.999Z", True,
         "2026-03-02T05:00:00Z"),
        ("America/New_York", {"calendar": {"unit": "year"}}, "2026-03-01", "2027-01-01T04:00:00Z", True,
         "2027-01-01T05:00:00Z"),
        ("Pacific/Apia", {"calendar": {"unit": "day"}}, "2026-03-01", "2026-02-27T00:00:00Z", False,
         "2026-02-28T11:00:00Z"),
        ("Pacific/Apia", {"calendar": {"unit": "day"}}, "2026-03-01", "2026-02-28T11:00:00Z", True,
         "2026-03-01T11:00:00Z"),
        # The 30 December that did not come lasts no time; what is dated on it lies in the day after.
        ("Pacific/Apia", {"calendar": {"unit": "day"}}, "2011-12-30", "2011-12-30T09:59:59.999Z", False,
         "2011-12-30T10:00:00Z"),
        # A minute after midnight the clocks of St. John's went back to 23:01 of the day before.
        ("America/St_Johns", {"calendar": {"unit": "day"}}, "2010-11-07", "2010-11-07T02:30:00Z", True,
         "2010-11-07T02:31:00Z"),
        ("America/St_Johns", {"calendar": {"unit": "day"}}, "2010-11-07", "2010-11-07T02:31:00Z", False,
         "2010-11-07T03:30:00Z"),
        ("America/St_Johns", {"calendar": {"unit": "day"}}, "2010-11-07", "2010-11-07T03:30:00Z", True,
         "2010-11-08T03:30:00Z"),
        # Anniversaries over the end of the year, by the zone's year and by that of UTC.
        ("UTC", {"anniversary": {"within": "P7D"}}, "1990-12-28", "2026-01-03T23:59:59.999Z", True, "2026-01-04"),
        ("UTC", {"anniversary": {"before": "P7D"}}, "1990-01-03", "2026-12-27T00:00:00Z", True, "2027-01-03"),
        ("America/New_York", {"anniversary": {"within": "P1Y"}}, "1990-12-31T22:00:00", "2026-01-01T00:30:00Z", True,
         "2030-01-01T03:00:00Z"),  # of the five that are looked at; early is allowed
        ("Pacific/Apia", {"anniversary": {"within": "PT1H"}}, "1990-01-01", "2026-12-31T20:00:00Z", False,
         "2027-12-31T11:00:00Z"),
        # Quarters begin with January and April.
        ("UTC", {"calendar": {"unit": "quarter"}}, "2026-01-10", "2026-03-31T23:59:59.999Z", True, "2026-04-01"),
        ("UTC", {"calendar": {"unit": "quarter"}}, "2026-04-10", "2026-03-31T23:59:59.999Z", False, "2026-04-01"),
        # Of 29 February: the year 2000 has one, 2100 has none.
        ("UTC", {"anniversary": {"within": "P1D"}}, "1996-02-29", "1999-06-01T00:00:00Z", False, "2000-02-29"),
        ("UTC", {"anniversary": {"within": "P1D"}}, "2024-02-29", "2099-06-01T00:00:00Z", False, "2100-02-28"),
        # A first day in the second of two equal hours is what it is.
        ("Europe/Berlin", {"anniversary": {"within": "PT1H"}}, "2026-10-25T02:30:00+01:00", "2026-10-25T00:30:00Z",
         False, "2026-10-25T01:30:00Z"),
    ],
)  # fmt: skip
def test_a_verdict_and_how_long_it_holds(
    zone: str, test: dict[str, Any], value: str, at: str, truth: bool, until: str
) -> None:
    contact = Contact(as_of=0, known_at=0, attributes={"d": [0, value]})
    found = compiled(test, zone)(contact, parse_instant(at))
    assert (found[0], format_instant(found[1])) == (truth, format_instant(parse_instant(until)))


@dataclass(frozen=True)
class Given:
    """A date as an attribute holds it, and what it is: an instant (ms), and the wall time of its anniversaries."""

    text: str
    at: int
    wall: PlainDateTime


def written(wall: PlainDateTime, offset: str | None, zone: str) -> Given:
    """A wall time with an offset as in `+05:45`, `Z` or none."""
    text = wall.format_iso() if offset is not None or wall.time().format_iso() != "00:00:00" else str(wall.date())
    if offset is None:
        return Given(text, in_zone(wall, zone), wall)
    minutes = 0 if offset == "Z" else int(offset[0] + "1") * (int(offset[1:3]) * 60 + int(offset[4:]))
    at = in_zone(wall, "UTC") - minutes * MINUTE
    return Given(text + offset, at, shown(at, zone).to_plain())


OFFSETS = st.sampled_from([None, None, None, "Z", "+05:45", "-03:30"])
LENGTHS = st.sampled_from(
    [(0, 1), (0, HOUR), (0, DAY), (0, 7 * DAY), (1, 0), (1, DAY), (3, 0), (11, 2 * HOUR), (12, 0)]
)
Length = tuple[int, int]


def iso(length: Length) -> str:
    """Months and milliseconds as a duration."""
    months, fixed = length
    days, rest = divmod(fixed, DAY)
    time = f"T{rest // SECOND}.{rest % SECOND:03d}S" if rest else ""
    return f"P{f'{months}M' if months else ''}{f'{days}D' if days else ''}{time}"


def within(each: Given, start: Length, end: Length, zone: str) -> Callable[[int], bool]:
    return lambda t: later(each.at, *start, zone) <= t < later(each.at, *end, zone)


def calendar(each: Given, unit: str, offset: int, zone: str) -> Callable[[int], bool]:
    def numbered(at: int) -> int:
        day = date.fromisoformat(str(shown(at, zone).date()))
        week = (day.toordinal() - day.isocalendar().weekday) // 7
        numbers = {"day": day.toordinal(), "week": week, "month": day.year * 12 + day.month, "year": day.year}
        return {**numbers, "quarter": day.year * 4 + (day.month + 2) // 3}[unit]

    return lambda t: numbered(each.at) == numbered(t) + offset


def anniversaries(each: Given, year: int, zone: str) -> Iterator[tuple[int, int]]:
    """The years and instants of all anniversaries up to a year."""
    for years in range(max(year - each.wall.year, -1) + 1):
        if years == 0:
            yield 0, each.at
            continue
        try:
            yield years, in_zone(each.wall.replace(year=each.wall.year + years), zone)
        except ValueError:
            yield years, in_zone(each.wall.replace(year=each.wall.year + years, day=28), zone)


def celebrated(each: Given, after: bool, length: Length, zone: str) -> Callable[[int], bool]:
    def holds(t: int) -> bool:
        for years, at in anniversaries(each, shown(t, zone).year + 2, zone):
            if after and at <= t < later(at, *length, zone):
                return True
            if not after and years > 0 and later(at, -length[0], -length[1], zone) <= t < at:
                return True
        return False

    return holds


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[Given], dict[str, Any], Callable[[int], bool], int]:
    """A zone, dates, a test as a document, the same as a function of t by plain evaluation, and an instant."""
    zone = draw(st.sampled_from(ZONES))
    t = draw(instants(zone))
    dates = draw(st.lists(dates_near(zone, t), min_size=1, max_size=2))
    documents: dict[str, Any] = {}
    checks: list[Callable[[int], bool]] = []
    for kind in draw(st.lists(st.sampled_from(["within", "ago", "calendar", "anniversary"]), min_size=1, unique=True)):
        document, make = draw(date_tests(kind, zone))
        documents[kind] = document
        each_of = [make(each) for each in dates]
        checks.append(lambda at, each_of=each_of: any(check(at) for check in each_of))  # type: ignore[misc]
    return zone, dates, documents, lambda at: all(check(at) for check in checks), t


@st.composite
def dates_near(draw: st.DrawFn, zone: str, t: int) -> Given:
    """A date near `t`, or where the clocks change, or of any year; often without its time."""
    at = draw(
        st.integers(t - 2 * DAY, t + 2 * DAY)
        | st.integers(t - 500 * DAY, t + 500 * DAY)
        | st.integers(parse_instant("1971-01-01") - 60 * 366 * DAY, t)
        | instants(zone)
    )
    wall = shown(at, zone).to_plain()
    if draw(st.booleans()):
        wall = wall.date().at(wall.time().replace(hour=0, minute=0, second=0, nanosecond=0))
    if draw(st.integers(0, 9)) == 0:
        wall = wall.replace(year=wall.year // 4 * 4, month=2, day=29)
    return written(wall, draw(OFFSETS), zone)


Make = Callable[[Given], Callable[[int], bool]]


@st.composite
def date_tests(draw: st.DrawFn, kind: str, zone: str) -> tuple[Any, Make]:
    """A date test as a document, and as a function."""
    length = draw(LENGTHS)
    if kind == "within":
        start = draw(st.sampled_from([(0, 0), (0, SECOND), (0, HOUR), (0, 7 * DAY), (1, 0)]))
        if start[0] * 32 * DAY + start[1] >= length[0] * 31 * DAY + length[1]:
            return iso(length), lambda each: within(each, (0, 0), length, zone)
        return [iso(start) if any(start) else "PT0S", iso(length)], lambda each: within(each, start, length, zone)
    if kind == "ago":
        return iso(length), lambda each: lambda t: later(each.at, *length, zone) <= t
    if kind == "calendar":
        unit = draw(st.sampled_from(["day", "week", "month", "quarter", "year"]))
        offset = draw(st.sampled_from([0, 0, 1, -1, -7]))
        return {"unit": unit, "offset": offset}, lambda each: calendar(each, unit, offset, zone)
    after = draw(st.booleans())
    return {"within" if after else "before": iso(length)}, lambda each: celebrated(each, after, length, zone)


def compiled(document: dict[str, Any], zone: str) -> Evaluate:
    scope = Scope(Calendar(zone_named(zone)), {}, lambda _: 0)
    return Profile.model_validate({"profile": {"d": document}}).compile(scope)


def looked_at(t: int, until: int, zone: str) -> Iterator[int]:
    """Instants from t to `until`: the ends, the changes of the clocks, and a sample, all of them ± 1 ms."""
    end = min(until - 1, t + 800 * DAY)
    yield from (t, min(t + 1, end), end, max(t, end - 1))
    for change in changes(zone):
        for at in (change - 1, change, change + 30 * SECOND, change + HOUR, change + 2 * DAY):
            if t <= at <= end:
                yield at
    for part in range(1, 24):
        yield t + (end - t) * part // 24


@given(cases())
@example(
    (
        "America/St_Johns",  # 00:00:30 of 7 November, a day before it is 7 November again
        [written(PlainDateTime(2010, 11, 7, 12), None, "America/St_Johns")],
        {"calendar": {"unit": "day"}},
        calendar(written(PlainDateTime(2010, 11, 7, 12), None, "America/St_Johns"), "day", 0, "America/St_Johns"),
        parse_instant("2010-11-07T02:30:30Z"),
    )
)
@example(
    (
        "Antarctica/Casey",
        [written(PlainDateTime(2010, 3, 5, 1), None, "Antarctica/Casey")],
        {"calendar": {"unit": "week", "offset": 0}},
        calendar(written(PlainDateTime(2010, 3, 5, 1), None, "Antarctica/Casey"), "week", 0, "Antarctica/Casey"),
        parse_instant("2010-03-04T14:30:00Z"),
    )
)
def test_dates_as_a_plain_evaluation_has_them(
    case: tuple[str, list[Given], dict[str, Any], Callable[[int], bool], int],
) -> None:
    zone, dates, document, holds, t = case
    values = dates[0].text if len(dates) == 1 else [each.text for each in dates]
    contact = Contact(as_of=0, known_at=0, attributes={"d": [0, values]})
    evaluate = compiled(document, zone)
    for _ in range(4):  # on from deadline to deadline, as the engine goes
        truth, until = evaluate(contact, t)
        assert until > t
        for at in looked_at(t, until, zone):
            assert holds(at) is truth, (document, values, format_instant(t), format_instant(at))
        if until == NEVER or until > t + 40 * 366 * DAY:
            break
        t = until
        # Of one date and one test, the answer turns then, not before; a whole year of anniversaries knows no end.
        if len(dates) == len(document) == 1 and "anniversary" not in document:
            assert holds(until) is not truth, (document, values, format_instant(until))


@given(st.sampled_from(ZONES), st.data())
def test_a_date_alone_is_midnight_of_the_zone(zone: str, data: st.DataObject) -> None:
    day = shown(data.draw(instants(zone)), zone).date()
    begins = millis(day.at(PlainDateTime(2000, 1, 1).time()).assume_tz(zone, disambiguation="compatible"))
    contact = Contact(as_of=0, known_at=0, attributes={"d": [0, str(day)]})
    assert compiled({"within": "P1W"}, zone)(contact, begins - 1) == (False, begins)
    assert compiled({"within": "P1W"}, zone)(contact, begins) == (True, begins + WEEK)
