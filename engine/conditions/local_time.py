"""`local_time`: what the clock shows where the contact is: from ≤ now < to, on some days of the week.

The zone is the one that the contact's attribute `timezone` names; where that is none, the segment's. A span with `from`
after `to` goes over midnight and belongs to the day on which it starts. The clock's face alone decides: a span that a
night skips when the clocks go forward does not come, one that they show twice comes twice.

>>> LocalTime.model_validate({"local_time": {"from": "10:00", "to": "20:00", "days": ["sat", "sun"]}}).describe()
'it is between 10:00 and 20:00 where they are, on Saturday or Sunday'
>>> LocalTime.model_validate({"local_time": {"from": "22:00", "to": "06:00"}}).describe()
'it is between 22:00 and 06:00 of the next day where they are'
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from engine.conditions.clocks import piece
from engine.conditions.contact import Contact
from engine.conditions.document import Document, mistake
from engine.conditions.evidence import attribute_facts
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import DAY, LAST_INSTANT, MINUTE, NEVER, WEEK
from engine.conditions.scope import Evaluate, Scope, Verdict
from engine.conditions.zones import ATTRIBUTE, zone_of

DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_MONDAY = 3 * DAY
"""1 January 1970 was a Thursday: so long before it, a week began."""
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_HINT = "write hours and minutes such as 09:30, in quotes if need be"


def _clock_time(value: Any) -> str:
    if isinstance(value, str) and _CLOCK.fullmatch(value):
        return value
    near = re.fullmatch(r"(\d{1,2})(?:[:.](\d\d)(?::00)?)?", str(value), re.ASCII)
    text = f"{int(near[1]):02d}:{near[2] or '00'}" if near else ""
    meant = f" (did you mean {text}?)" if _CLOCK.fullmatch(text) else ""
    raise mistake("clock", f"{value!r} is not a time of day", _HINT + meant)


ClockTime = Annotated[
    str,
    BeforeValidator(_clock_time),
    WithJsonSchema({"type": "string", "pattern": f"^({_CLOCK.pattern})$", "examples": ["09:30"]}),
]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Days = Annotated[
    list[Day],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=len(DAYS)),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(DAYS)},
                {"type": "array", "items": {"enum": list(DAYS)}, "minItems": 1, "maxItems": len(DAYS)},
            ]
        }
    ),
]


class LocalTimeOptions(Document):
    """A span of the day, and the days on which it starts."""

    from_: ClockTime = Field(alias="from")
    """When it starts, as HH:MM."""
    to: ClockTime
    """When it ends, as HH:MM; not after `from`: on the next day. 24:00 is the end of the day."""
    days: Days = Field(default_factory=lambda: list[Day](DAYS))  # type: ignore[arg-type]
    """The days on which it starts: some of `mon tue wed thu fri sat sun`; without it, every day."""

    @model_validator(mode="after")
    def _a_span(self) -> LocalTimeOptions:
        if self.from_ == "24:00":
            raise mistake("clock", "24:00 is the end of a day, and no start", "write from: 00:00", at=("from",))
        if self.from_ == self.to:
            hint = "for the whole day write from: 00:00 and to: 24:00"
            raise mistake("clock", f"from {self.from_} to {self.to} is no time at all", hint)
        return self


class LocalTime(Document):
    """`local_time: {from, to, days}`"""

    local_time: LocalTimeOptions

    def compile(self, scope: Scope) -> Evaluate:
        """What the clock shows in the contact's zone lies in the span."""
        scope.attributes.add(ATTRIBUTE)
        options = self.local_time
        week = week_of(_millis(options.from_), _millis(options.to), options.days)
        fallback = scope.calendar.zone

        def evaluate(contact: Contact, t: int) -> Verdict:
            entry = contact.attributes.get(ATTRIBUTE) if contact.attributes is not None else None
            named = None if entry is None else entry[1]
            zone = zone_of(named)
            return week_verdict(week, fallback if zone is None and named != "UTC" else zone, t)

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The fact that set the contact's time zone."""
        return attribute_facts(facts, (ATTRIBUTE,))

    def describe(self) -> str:
        """Plain words."""
        options = self.local_time
        overnight = options.from_ > options.to
        text = f"it is between {options.from_} and {options.to}{' of the next day' * overnight} where they are"
        days = [name for day, name in DAYS.items() if day in options.days]
        if len(days) == len(DAYS):
            return text
        named = days[0] if len(days) == 1 else f"{', '.join(days[:-1])} or {days[-1]}"
        return f"{text}, {'starting ' * overnight}on {named}"


def _millis(clock: str) -> int:
    return (int(clock[:2]) * 60 + int(clock[3:])) * MINUTE


@dataclass(frozen=True, slots=True)
class Week:
    """When in the week the answer turns: ms of the clock's face since Monday 00:00, ascending; none: always true.

    `opens`: the first of the turns is to true.
    """

    turns: tuple[int, ...]
    opens: bool


def week_of(start: int, end: int, days: Sequence[Day]) -> Week:
    """The week of spans from `start` to `end` (ms since midnight; one not after the other: of the next day).

    >>> [turn // MINUTE for turn in week_of(22 * 60 * MINUTE, 6 * 60 * MINUTE, ["sun", "mon"]).turns]
    [360, 1320, 1800, 9960]
    """
    length = (end - start) % DAY or DAY
    starts = [number * DAY + start for number, day in enumerate(DAYS) if day in days]

    def inside(face: int) -> bool:
        return any((face - each) % WEEK < length for each in starts)

    edges = sorted({edge % WEEK for each in starts for edge in (each, each + length)})
    turns = tuple(edge for edge in edges if inside(edge) is not inside(edge - 1))
    return Week(turns, not turns or inside(turns[0]))


def week_verdict(week: Week, zone: ZoneInfo | None, t: int) -> Verdict:
    """Whether the week is open at what the clock of `zone` shows at `t`, and until when that stays so."""
    turns = week.turns
    if not turns:
        return True, NEVER
    truth: bool | None = None
    begins = t
    while True:  # ends: clocks stay as they are for longer than a week some time
        offset, stops = piece(begins, zone)
        face = (begins + offset + _MONDAY) % WEEK
        place = bisect_right(turns, face)
        now = (place % 2 == 1) is week.opens
        if truth is not None and now is not truth:
            return truth, begins if begins <= LAST_INSTANT else NEVER
        truth = now
        turn = begins - face + (turns[place] if place < len(turns) else turns[0] + WEEK)
        if turn < stops:
            return truth, turn if turn <= LAST_INSTANT else NEVER
        begins = stops


EXAMPLES = (
    Example(
        "Those for whom it is ten o'clock: Moscow is seven hours behind Vladivostok",
        """
        segment: at-ten
        timezone: Europe/Moscow
        when: {local_time: {from: "10:00", to: "11:00", days: [mon, tue, wed, thu, fri]}}
        """,
        """
        2026-05-01T20:00:00Z contact_updated moscow {"timezone": "Europe/Moscow"}
        2026-05-01T20:00:00Z contact_updated vladivostok {"timezone": "Asia/Vladivostok"}
        2026-05-01T20:00:00Z contact_updated nowhere {"city": "Atlantis"}
        """,
        "2026-05-04T12:00:00Z",
        """
        2026-05-04T00:00:00.000Z enter at-ten vladivostok clock
        2026-05-04T01:00:00.000Z exit at-ten vladivostok clock
        2026-05-04T07:00:00.000Z enter at-ten moscow clock
        2026-05-04T07:00:00.000Z enter at-ten nowhere clock
        2026-05-04T08:00:00.000Z exit at-ten moscow clock
        2026-05-04T08:00:00.000Z exit at-ten nowhere clock
        """,
    ),
)
