"""Plain words that the descriptions of conditions share: durations, counts, bounds, and what people do.

Written for whoever owns a campaign: no ISO durations, no operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine.conditions.instants import DAY, HOUR, MINUTE, SECOND, Duration
from engine.conditions.values import Test, Where, number, where_words

DEEDS: Final = {
    "click": ("clicked", "clicked", ""),
    "product_view": ("viewed {}", "viewed {}", "a product"),
    "cart_add": ("put {} in the cart", "put {} in the cart", "something"),
    "cart_remove": ("took {} out of the cart", "taken {} out of the cart", "anything"),
    "favourite_add": ("made {} a favourite", "made {} a favourite", "something"),
    "search": ("searched", "searched", ""),
    "quiz_step": ("took a quiz step", "taken a quiz step", ""),
    "quiz_completed": ("completed a quiz", "completed a quiz", ""),
    "purchase": ("bought {}", "bought {}", "something"),
    "refund": ("got a refund", "got a refund", ""),
    "opt_out": ("opted out", "opted out", ""),
    "opt_in": ("opted in", "opted in", ""),
    "block": ("blocked us", "blocked us", ""),
    "complaint": ("complained", "complained", ""),
    "message_sent": ("was sent a message", "been sent a message", ""),
    "message_delivered": ("got a message", "got a message", ""),
    "message_read": ("read a message", "read a message", ""),
    "message_clicked": ("clicked in a message", "clicked in a message", ""),
    "message_failed": ("had a message fail", "had a message fail", ""),
}
"""The types of DESIGN.md 3 that people would not call by their names: what was done, what has (not) been done, and to
what."""
OBJECTS: Final = frozenset(("category", "name", "title"))
"""Properties whose text can stand for the thing itself: bought Chinese tea."""
ONCE_OR_TWICE: Final = ("never", "once", "twice")


def duration_words(duration: Duration) -> str:
    """A duration as people say it.

    >>> from engine.conditions.instants import parse_duration
    >>> [duration_words(parse_duration(text)) for text in ("P30D", "P1Y2M", "PT1H30M", "PT0.001S")]
    ['30 days', '1 year 2 months', '1 hour 30 minutes', '0.001 seconds']
    """
    years, months = divmod(duration.months, 12)
    days, rest = divmod(duration.millis, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, millis = divmod(rest, SECOND)
    parts = ((years, "year"), (months, "month"), (days, "day"), (hours, "hour"), (minutes, "minute"))
    said = [f"{count} {unit}" if count == 1 else f"{count} {unit}s" for count, unit in parts if count]
    if millis:
        said.append(f"{seconds}.{millis:03d}".rstrip("0") + " seconds")
    elif seconds or not said:
        said.append("1 second" if seconds == 1 else f"{seconds} seconds")
    return " ".join(said)


def last_words(duration: Duration) -> str:
    """A window that ends now.

    >>> last_words(Duration(3, 0)), last_words(Duration(0, DAY))
    ('in the last 3 months', 'in the last day')
    """
    said = duration_words(duration)
    return f"in the last {said.removeprefix('1 ') if said.count(' ') == 1 else said}"


def bounds_words(
    within: Duration | Sequence[Duration] | None = None, since: str | None = None, until: str | None = None
) -> str:
    """When the events meant must have happened, with a space in front; nothing where any time will do.

    >>> bounds_words(Duration(0, 30 * DAY), since="2026-05-01")
    ' in the last 30 days, from 2026-05-01 on'
    >>> bounds_words((Duration(0, 2 * DAY), Duration(0, 7 * DAY)))
    ' from 7 days to 2 days ago'
    """
    said: list[str] = []
    if isinstance(within, Duration):
        said.append(last_words(within))
    elif within is not None:
        newest, oldest = within
        is_now = not newest.months and not newest.millis
        said.append(last_words(oldest) if is_now else f"from {duration_words(oldest)} to {duration_words(newest)} ago")
    if since is not None and until is not None:
        said.append(f"from {since} until before {until}")
    elif since is not None:
        said.append(f"from {since} on")
    elif until is not None:
        said.append(f"before {until}")
    return " " + ", ".join(said) if said else ""


def times(count: int) -> str:
    """How often.

    >>> [times(count) for count in range(4)]
    ['never', 'once', 'twice', '3 times']
    """
    return ONCE_OR_TWICE[count] if count < len(ONCE_OR_TWICE) else f"{count} times"


def count_words(test: Test) -> str:
    """A test of a count as people say how often.

    >>> [count_words(Test(**test)) for test in ({"gte": 3}, {"eq": 2}, {"lt": 1}, {"between": [2, 4]}, {"lte": 0})]
    ['at least 3 times', 'exactly twice', 'never', '2 to 4 times', 'never']
    """
    return " and ".join(_count_words(name, operand) for name, operand in test.operators())


def _count_words(name: str, operand: Any) -> str:
    match name, operand:
        case "gte", _:
            return f"at least {times(operand)}" if operand else "any number of times"
        case "gt", _:
            return f"at least {times(operand + 1)}"
        case "eq" | "lte", 0:
            return "never"
        case "lte", _:
            return f"at most {times(operand)}"
        case "lt", 0:
            return "fewer than 0 times"
        case "lt", _:
            return _count_words("lte", operand - 1)
        case "eq", _:
            return f"exactly {times(operand)}"
        case "ne", 0:
            return "at least once"
        case "ne", _:
            return f"any number of times but {operand}"
        case "between", [low, high]:
            return f"{low} to {high} times"
        case "not_in", _:
            return f"any number of times but {_or(operand)}"
        case _:
            return f"exactly {_or(operand)} times"


def _or(parts: Sequence[object]) -> str:
    said = [str(part) for part in parts]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def done_words(events: Sequence[str], where: Where, *, has: bool = False) -> str:
    """What was done, or with `has` what somebody has done or not.

    >>> tea = {"items.category": Test(eq="Chinese tea"), "amount": Test(gt=45)}
    >>> done_words(["purchase"], tea)
    'bought Chinese tea (where amount is above 45)'
    >>> done_words(["visit", "cart_add"], {}), done_words(["visit"], {}, has=True)
    ('did visit or put something in the cart', 'done visit')
    """
    thing, rest = _thing(events, where)
    said = []
    for event in events:
        past, participle, default = DEEDS.get(event, _unknown(event))
        said.append((participle if has else past).format(thing or default))
    return _or(said) + where_words(rest)


def _unknown(event: str) -> tuple[str, str, str]:
    name = (f"any {event}" if event.endswith("*") else event.replace("_", " ")).replace("{", "{{").replace("}", "}}")
    return f"did {name}", f"done {name}", ""


def _thing(events: Sequence[str], where: Where) -> tuple[str, Where]:
    """What was bought or viewed, where one test says it and every event is done to something; and the other tests."""
    if all("{}" in DEEDS.get(event, ("",))[0] for event in events):
        for path, test in where.items():
            text, alone = test.eq, [name for name, _ in test.operators()] == ["eq"]
            if alone and path.rpartition(".")[2] in OBJECTS and isinstance(text, str) and text.strip():
                if number(text) is not None:
                    continue
                return text, {other: each for other, each in where.items() if other != path}
    return "", where
