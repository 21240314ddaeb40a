"""`local_time`: by hand over changes of the clocks, and against the face of an independent clock at every turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.conditions.contact import Contact
from engine.conditions.instants import DAY, NEVER, format_instant, parse_instant
from engine.conditions.local_time import DAYS, LocalTime
from engine.conditions.scope import Scope
from engine.conditions.zones import Calendar
from engine.definitions import DefinitionErrors, parse_segment
from tests import driver
from tests.conditions.calendars import ZONES, changes, instants, shown, zone_named
from tests.conditions.evidence import evidence
from tests.driver import fact

Facts = list[dict[str, Any]]


def told(rule: str, start: str, until: str, zone: str | None = None, segment: str = "UTC") -> list[str]:
    """What happens from `start` to `until`, as `enter 2026-05-01T10:00`, to a contact of a zone."""
    who = fact(start, "contact_updated", **({"timezone": zone} if zone is not None else {"city": "Moscow"}))
    text = f"segment: s\ntimezone: {segment}\nwhen: {{local_time: {{{rule}}}}}"
    lines = [line.split() for line in driver.given(text, [who]).at(until).told()]
    assert all(at.endswith(":00.000Z") for _, _, at, _ in lines)
    return [f"{change} {at.removesuffix(':00.000Z')}" for change, _, at, _ in lines]


TEN = "from: '10:00', to: '11:00'"


@pytest.mark.parametrize(
    ("zone", "segment", "enter"),
    [
        ("Europe/Moscow", "UTC", "07:00"),
        ("Asia/Vladivostok", "UTC", "00:00"),
        ("Asia/Kathmandu", "Europe/Moscow", "04:15"),
        ("UTC", "Europe/Moscow", "10:00"),  # UTC is a zone as good as any
        (None, "Europe/Moscow", "07:00"),
        (None, "UTC", "10:00"),
        ("Moscow", "Asia/Vladivostok", "00:00"),
        ("", "UTC", "10:00"),
        ("../etc/passwd", "UTC", "10:00"),
    ],
)
def test_whose_clock_it_is(zone: str | None, segment: str, enter: str) -> None:
    found = told(TEN, "2026-05-04T00:00:00Z", "2026-05-05", zone, segment)
    assert found[0] == f"enter 2026-05-04T{enter}"
    assert len(found) == 2


@pytest.mark.parametrize("zone", [7, True, None, ["Europe/Moscow"], {"name": "Europe/Moscow"}])
def test_what_names_no_zone_leaves_the_segments(zone: Any) -> None:
    text = f"segment: s\ntimezone: Asia/Vladivostok\nwhen: {{local_time: {{{TEN}}}}}"
    seen = driver.given(text, [fact("2026-05-04T00:00:00Z", "contact_updated", timezone=zone)])
    assert seen.at("2026-05-04T00:30Z").members("s") == {"c-1"}


def test_a_contact_who_moves_follows_the_new_clock() -> None:
    facts = [
        fact("2026-05-04T06:00Z", "contact_updated", timezone="Europe/Moscow"),
        fact("2026-05-04T07:30Z", "contact_updated", timezone="Asia/Vladivostok"),
        fact("2026-05-04T07:40Z", "contact_updated", timezone="Africa/Nairobi"),
    ]
    assert driver.given(f"segment: s\nwhen: {{local_time: {{{TEN}}}}}", facts).at("2026-05-05").told() == [
        "enter s 2026-05-04T07:00:00.000Z clock",
        "exit s 2026-05-04T07:30:00.000Z event",
        "enter s 2026-05-04T07:40:00.000Z event",
        "exit s 2026-05-04T08:00:00.000Z clock",
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # 2 May 2026 is a Saturday.
        ("from: '22:00', to: '06:00', days: [sat]", ["enter 2026-05-02T22:00", "exit 2026-05-03T06:00"]),
        ("from: '22:00', to: '00:00', days: sat", ["enter 2026-05-02T22:00", "exit 2026-05-03T00:00"]),
        ("from: '22:00', to: '24:00', days: [sat, sat]", ["enter 2026-05-02T22:00", "exit 2026-05-03T00:00"]),
        ("from: '00:00', to: '24:00', days: [mon, sun]", ["enter 2026-05-03T00:00", "exit 2026-05-05T00:00"]),
        ("from: '18:00', to: '09:00', days: [sun]", ["enter 2026-05-03T18:00", "exit 2026-05-04T09:00"]),
        (
            "from: '06:00', to: '05:59', days: [sat, sun]",
            ["enter 2026-05-02T06:00", "exit 2026-05-03T05:59", "enter 2026-05-03T06:00", "exit 2026-05-04T05:59"],
        ),
        ("from: '00:00', to: '24:00'", ["enter 2026-05-02T00:00"]),  # always
    ],
)
def test_spans_and_their_days(rule: str, expected: list[str]) -> None:
    assert told(rule, "2026-05-02", "2026-05-07") == expected


def test_who_comes_within_a_span_is_in_it_at_once() -> None:
    assert told("from: '22:00', to: '06:00', days: [sat]", "2026-05-03T05:59Z", "2026-05-07") == [
        "enter 2026-05-03T05:59",
        "exit 2026-05-03T06:00",
    ]


@pytest.mark.parametrize(
    ("zone", "rule", "start", "expected"),
    [
        # A span that the night skips does not come; one that it cuts is shorter.
        ("Europe/Berlin", "from: '02:00', to: '03:00'", "2026-03-29", []),
        ("Europe/Berlin", "from: '02:30', to: '03:30'", "2026-03-29",
         ["enter 2026-03-29T01:00", "exit 2026-03-29T01:30"]),
        ("Africa/Cairo", "from: '00:00', to: '01:00'", "2026-04-23T22:00Z", []),
        ("Africa/Cairo", "from: '23:00', to: '00:30'", "2026-04-23",
         ["enter 2026-04-23T21:00", "exit 2026-04-23T22:00"]),
        ("Australia/Lord_Howe", "from: '02:10', to: '03:00'", "2026-10-03T15:00Z",
         ["enter 2026-10-03T15:30", "exit 2026-10-03T16:00"]),
        # One that the night shows twice comes twice.
        ("Europe/Berlin", "from: '02:15', to: '02:45'", "2026-10-25",
         ["enter 2026-10-25T00:15", "exit 2026-10-25T00:45", "enter 2026-10-25T01:15", "exit 2026-10-25T01:45"]),
        ("Europe/Berlin", "from: '02:30', to: '03:30'", "2026-10-25",
         ["enter 2026-10-25T00:30", "exit 2026-10-25T01:00", "enter 2026-10-25T01:30", "exit 2026-10-25T02:30"]),
        ("Africa/Cairo", "from: '23:00', to: '24:00', days: [thu]", "2026-10-29",
         ["enter 2026-10-29T20:00", "exit 2026-10-29T22:00"]),
        # A Friday that did not come.
        ("Pacific/Apia", "from: '00:00', to: '24:00', days: [fri]", "2011-12-28", ["enter 2012-01-05T10:00"]),
    ],
)  # fmt: skip
def test_where_the_clocks_change(zone: str, rule: str, start: str, expected: list[str]) -> None:
    until = "2012-01-06T00:00:00Z" if start.startswith("2011") else f"{start[:10]}T23:59:00Z"
    assert told(rule, start, until, zone) == expected


@pytest.mark.parametrize(
    ("rule", "path", "said"),
    [
        ("from: '9:00', to: '10:00'", "from", "did you mean 09:00?"),
        ("from: 9, to: '10:00'", "from", "did you mean 09:00?"),
        ("from: '09.30', to: '10:00'", "from", "did you mean 09:30?"),
        ("from: '25:00', to: '26:00'", "from", "'25:00' is not a time of day"),
        ("from: '10:00', to: '10:60'", "to", "not a time of day"),
        ("from: '24:00', to: '10:00'", "from", "write from: 00:00"),
        ("from: '10:00', to: '10:00'", "", "write from: 00:00 and to: 24:00"),
        ("from: '10:00'", "to", "'to' is missing"),
        ("from: '10:00', to: '11:00', days: []", "days", "at least 1"),
        ("from: '10:00', to: '11:00', days: [monday]", "days[0]", "mon"),
        ("from: '10:00', to: '11:00', day: [mon]", "day", "'days'"),
    ],
)
def test_mistakes(rule: str, path: str, said: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{local_time: {{{rule}}}}}")
    assert caught.value.errors[0].path == f"when.local_time.{path}".rstrip(".")
    assert said in str(caught.value)


def test_a_verdict_rests_on_the_fact_that_named_the_zone() -> None:
    facts = [
        fact("2026-01-01", "contact_updated", timezone="Asia/Tokyo", named="first"),
        fact("2026-01-02", "contact_updated", timezone="Europe/Moscow", named="second"),
        fact("2026-01-03", "contact_updated", city="Moscow", named="city"),
    ]
    assert evidence(f"{{local_time: {{{TEN}}}}}", facts, "2026-01-01T12:00:00Z") == ["first"]
    assert evidence(f"{{local_time: {{{TEN}}}}}", facts, "2026-01-05") == ["second"]
    assert evidence(f"{{local_time: {{{TEN}}}}}", facts[2:], "2026-01-05") == []


def test_plain_yaml_will_do() -> None:
    segment = parse_segment("segment: s\nwhen: {local_time: {from: 22:00, to: 06:00, days: [fri, sat]}}")
    assert segment.when is not None
    assert segment.when.describe() == (
        "it is between 22:00 and 06:00 of the next day where they are, starting on Friday or Saturday"
    )


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def face(at: int, zone: str) -> tuple[int, int]:
    """Which day of the week the clock shows, Monday being 0, and the millisecond of the day."""
    here = shown(at, zone)
    passed = ((here.hour * 60 + here.minute) * 60 + here.second) * 1000 + here.nanosecond // 1_000_000
    return here.day_of_week().value - 1, passed


def opened(start: int, end: int, days: set[int], at: int, zone: str) -> bool:
    """Whether a span of minutes is open: that of the day shown, or the overnight one of the day before."""
    day, passed = face(at, zone)
    if start < end:
        return day in days and start * 60_000 <= passed < end * 60_000
    return (day in days and start * 60_000 <= passed) or ((day - 1) % 7 in days and passed < end * 60_000)


MINUTES = st.sampled_from([0, 1, 60, 90, 120, 135, 150, 180, 600, 1380, 1410, 1439]) | st.integers(0, 1439)


@given(
    st.sampled_from(ZONES), st.data(), MINUTES, MINUTES | st.just(1440), st.sets(st.integers(0, 6), min_size=1)
)  # fmt: skip
@example("America/St_Johns", None, 0, 1, {5, 6})
@example("Antarctica/Casey", None, 1380, 1440, {3})
@example("Pacific/Apia", None, 0, 1440, {4})
def test_as_the_face_of_the_clock_has_it(
    zone: str, data: st.DataObject | None, start: int, end: int, days: set[int]
) -> None:
    names = list(DAYS)
    end = end if start != end else end + 1
    document = {"from": clock(start), "to": clock(end), "days": [names[day] for day in sorted(days)]}
    scope = Scope(Calendar(), {}, lambda _: 0)
    evaluate = LocalTime.model_validate({"local_time": document}).compile(scope)
    assert scope.attributes == {"timezone"}
    contact = Contact(as_of=0, known_at=0, attributes={"timezone": [0, zone]})
    beginnings = [data.draw(instants(zone))] if data is not None else [at - 2 * DAY for at in changes(zone)]
    for begins in beginnings:
        t = begins
        for _ in range(6):  # on from deadline to deadline
            truth, until = evaluate(contact, t)
            assert until > t
            last = min(until, t + 9 * DAY) - 1
            turns = [at for change in changes(zone) for at in (change - 1, change, change + 60_000) if t <= at <= last]
            for at in (t, *turns, *(t + (last - t) * part // 20 for part in range(1, 21))):
                assert opened(start, end, days, at, zone) is truth, (document, format_instant(t), format_instant(at))
            if until == NEVER:
                assert document["days"] == names
                assert (start, end) == (0, 1440)
                break
            assert opened(start, end, days, until, zone) is not truth, (document, format_instant(until))
            t = until


def test_in_a_zone_without_any_change_the_deadline_is_the_next_turn() -> None:
    evaluate = LocalTime.model_validate({"local_time": {"from": "10:00", "to": "11:00", "days": ["mon"]}}).compile(
        Scope(Calendar(zone_named("Asia/Kathmandu")), {}, lambda _: 0)
    )
    t = parse_instant("2026-05-04T05:15:00Z")  # 11:00 on a Monday
    assert evaluate(Contact(as_of=0, known_at=0), t) == (False, parse_instant("2026-05-11T04:15:00Z"))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    "rule",
    [
        "local_time: {from: '00:00', to: '24:00', days: [fri, sat]}",
        "profile: {d: {calendar: {unit: day}}}",
        "profile: {d: {calendar: {unit: week}}}",
    ],
)
def test_nothing_is_said_of_what_comes_after_the_year_9999(zone: str, rule: str) -> None:
    text = f"segment: s\ntimezone: {zone}\nwhen: {{{rule}}}"
    row = fact("9999-12-31T20:00:00Z", "contact_updated", d="9999-12-31T20:00:00Z")
    for each in driver.given(text, [row]).at("9999-12-31T23:59:59.999Z").transitions:
        assert each["not_before"] is None or each["not_before"] <= "9999-12-31T23:59:59.999Z"
