"""The nearest right spelling of what somebody wrote wrong: a name, a duration, an instant, a time zone.

Each function gives the spelling, or None where nothing is near; what it gives is always right itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches

from engine.conditions.instants import Duration, parse_duration, parse_instant
from engine.conditions.zones import zone_names

_NEAR, _NEAR_ZONE = 0.6, 0.75
"""How alike two names must be, from 0 to 1 (difflib's ratio); of the many zones some is always half alike."""
_TEXT_MAX = 64
"""Characters of a text for which a near one is looked for: the search takes time as their square."""

_UNITS = (
    (r"y|yr|yrs|year|years", "P{}Y", None),
    (r"mo|mon|month|months", "P{}M", None),
    (r"w|wk|wks|week|weeks", "P{}W", 7 * 86_400_000),
    (r"d|day|days", "P{}D", 86_400_000),
    (r"h|hr|hrs|hour|hours", "PT{}H", 3_600_000),
    (r"m|min|mins|minute|minutes", "PT{}M", 60_000),
    (r"s|sec|secs|second|seconds", "PT{}S", 1_000),
)
_AMOUNT = re.compile(r"p?t?(\d{1,9}(?:[.,]\d{1,9})?)\s*([a-z]*)", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)", re.ASCII | re.DOTALL)
_YEAR_FIRST = re.compile(r"(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})(.*)", re.ASCII | re.DOTALL)
_CLOCK = re.compile(r"[T ]?(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(Z|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE)
_OFFSET = re.compile(r"(?:utc|gmt)?\s*([+-])(\d{1,2})(?::?00)?", re.ASCII | re.IGNORECASE)


def did_you_mean(spelling: str | None) -> str:
    """What a hint says of the nearest spelling; nothing of none."""
    return f" (did you mean {spelling}?)" if spelling is not None else ""


def near_name(text: str, names: Iterable[str], alike: float = _NEAR) -> str | None:
    """The one of `names` that is most like `text`, in whatever case.

    >>> near_name("Witin", ["where", "within"]), near_name("tea", ["within"])
    ('within', None)
    """
    if len(text) > _TEXT_MAX:
        return None
    by_case = {name.casefold(): name for name in names}
    close = get_close_matches(text.casefold().strip(), list(by_case), 1, alike)
    return by_case[close[0]] if close else None


def near_duration(text: str) -> str | None:
    """The duration that is meant.

    >>> [near_duration(each) for each in ("30", "2h", "P2H", "PT3D", "1.5 days", "p30d", "3 months", "soon")]
    ['P30D', 'PT2H', 'PT2H', 'P3D', 'PT36H', 'P30D', 'P3M', None]
    """
    bare = text.strip()
    if len(bare) > _TEXT_MAX:
        return None
    for spelled in (bare.upper(), bare.upper().replace(" ", "").rstrip("T")):
        if _is_duration(spelled):
            return spelled
    found = _AMOUNT.fullmatch(bare.lower())
    if found is None:
        return None
    amount, unit = found[1].replace(",", "."), found[2] or ("h" if bare.lower().startswith("pt") else "d")
    for units, form, millis in _UNITS:
        if not re.fullmatch(units, unit):
            continue
        if "." not in amount:
            return form.format(int(amount))
        length = float(amount) * millis if millis is not None else 0.5
        return _shortest(int(length)) if length.is_integer() else None
    return None


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except ValueError:
        return False
    return True


def _shortest(millis: int) -> str:
    hours, rest = divmod(millis, 3_600_000)
    return f"PT{hours}H" if not rest else str(Duration(0, millis))


def near_instant(text: str) -> str | None:
    """The date or instant that is meant; days stand first where dots part them.

    >>> [near_instant(each) for each in ("01.05.2026", "2026-5-1", "20260501", "2026/05/01 10:00", "31.02.2026")]
    ['2026-05-01', '2026-05-01', '2026-05-01', '2026-05-01T10:00:00', None]
    """
    bare = text.strip()[:_TEXT_MAX]
    if found := _DAY_FIRST.fullmatch(bare):
        day, month, year, rest = found.groups()
    elif found := _YEAR_FIRST.fullmatch(bare):
        year, month, day, rest = found.groups()
    else:
        return None
    try:
        spelled = date(int(year), int(month), int(day)).isoformat()
        if rest:
            clock = _CLOCK.fullmatch(rest)
            if clock is None:
                return None
            hour, minute, second, offset = clock.groups()
            offset = (offset or "").upper()
            offset = f"{offset[:3]}:{offset[-2:]}" if len(offset) > 1 else offset
            spelled += f"T{hour.zfill(2)}:{minute}:{second or '00'}{offset}"
        parse_instant(spelled)
    except ValueError:
        return None
    return spelled


def near_zone(text: str) -> str | None:
    """The time zone that is meant, by its whole name, its city, or its whole hours from UTC.

    >>> [near_zone(each) for each in ("Moscow", "europe/moskow", "new york", "UTC+3", "utc", "Mars")]
    ['Europe/Moscow', 'Europe/Moscow', 'America/New_York', 'Etc/GMT-3', 'UTC', None]
    """
    bare = text.strip().replace(" ", "_").casefold()
    if len(bare) > _TEXT_MAX:
        return None
    names = sorted(zone_names())
    if found := _OFFSET.fullmatch(bare):
        hours = int(found[2])
        fixed = f"Etc/GMT{'-' if found[1] == '+' else '+'}{hours}" if hours else "UTC"  # POSIX: the sign is turned
        return fixed if fixed in zone_names() else None
    for name in names:
        if bare == name.casefold():
            return name
    cities = {name.rpartition("/")[2].casefold(): name for name in reversed(names) if "/" in name}
    if bare in cities:
        return cities[bare]
    if near := near_name(bare, names, _NEAR_ZONE):
        return near
    close = near_name(bare, cities, _NEAR_ZONE)
    return cities[close] if close is not None else None
