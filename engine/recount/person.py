"""What looks at the contact itself: `profile held tags in_list known quiet consent sample local_time` (DESIGN 5)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from engine.recount import wall
from engine.recount.dates import DATE_TESTS, dates_hold, turns
from engine.recount.instants import DAY_MS
from engine.recount.leaf import Choice, Chosen, Leaf
from engine.recount.past import Past
from engine.recount.values import holds, number, path_of, reach

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UPDATES = (Choice(("contact_updated",)),)


def _parted(test: Any) -> tuple[Any, dict[str, Any]]:
    """The tests of values, None for none, and those on dates."""
    if not isinstance(test, Mapping):
        return test, {}
    plain = {name: operand for name, operand in test.items() if name not in DATE_TESTS}
    return plain or None, {name: operand for name, operand in test.items() if name in DATE_TESTS}


def profile(leaf: Leaf, past: Past, _chosen: Chosen, t: int) -> bool:
    """Every test holds on the attributes as they are."""
    attributes = past.attributes()
    for path, test in leaf.spec.items():
        found = reach(attributes, path_of(path))
        plain, on_dates = _parted(test)
        if (plain is not None and not holds(plain, found)) or not dates_hold(on_dates, found, t, leaf.zone):
            return False
    return True


def profile_turns(leaf: Leaf, past: Past, t: int) -> Iterator[int]:
    """Of the dates that the contact has now."""
    attributes = past.attributes()
    for path, test in leaf.spec.items():
        yield from turns(_parted(test)[1], reach(attributes, path_of(path)), leaf.zone, [t])


def every_profile_turn(leaf: Leaf, past: Past, low: int, high: int) -> Iterator[int]:
    """Of the dates that the contact ever had; and each midnight, and each jump of the clock."""
    on_dates = {path: _parted(test)[1] for path, test in leaf.spec.items()}
    if not any(on_dates.values()):
        return
    every_year = [*range(low, high, 300 * DAY_MS), high]
    for fact in past.facts:
        if fact.type == "contact_updated":
            for path, tests in on_dates.items():
                yield from turns(tests, reach(fact.properties, path_of(path)), leaf.zone, every_year)
    yield from wall.jumps(leaf.zone, low, high)
    for day in wall.days_between(low, high, leaf.zone):
        yield from wall.readings(day, 0, leaf.zone)


def held_choices(_options: Mapping[str, Any], _zone: str) -> tuple[Choice, ...]:
    """Every change of attributes."""
    return _UPDATES


def held(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    """The attribute meets the test since long enough (`lt`: not so long)."""
    path = path_of(leaf.spec["path"])
    since = past.known_at if holds(leaf.spec["is"], []) else None
    for fact in chosen[0]:
        if path[0] in fact.properties:
            if not holds(leaf.spec["is"], reach(fact.properties, path)):
                since = None
            elif since is None:
                since = fact.at
    if since is None:
        return False
    long_enough = "for" not in leaf.lengths or leaf.after(since, "for") <= t
    return long_enough and ("lt" not in leaf.lengths or t < leaf.after(since, "lt"))


def tags(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    """Some, all, none of the tags."""
    has = past.tags()
    asked = {name: set([tags] if isinstance(tags, str) else tags) for name, tags in leaf.spec.items()}
    if "any" in asked and not asked["any"] & has:
        return False
    return asked.get("all", set()) <= has and not asked.get("none", set()) & has


def in_list(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    """The contact is on the list."""
    return leaf.spec["list"] in past.lists()


def known(leaf: Leaf, past: Past, _chosen: Chosen, t: int) -> bool:
    """Long enough since the first fact, not too long."""
    young_enough = "within" not in leaf.lengths or t < leaf.after(past.known_at, "within")
    return young_enough and ("for" not in leaf.lengths or t >= leaf.after(past.known_at, "for"))


def quiet(leaf: Leaf, past: Past, chosen: Chosen, t: int) -> bool:
    """Known for so long, and none of the events since."""
    if t < leaf.after(past.known_at, "for"):
        return False
    first = bisect_left(chosen[0], t - leaf.lengths["for"].at_most(), key=lambda fact: fact.at)
    return not any(t < leaf.after(fact.at, "for") for fact in chosen[0][first:])


def consent(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    """What was said last of the channel."""
    said = past.granted(leaf.spec["channel"])
    return bool(leaf.spec["is"] == ("unknown" if said is None else "granted" if said else "revoked"))


def sample(leaf: Leaf, past: Past, _chosen: Chosen, _t: int) -> bool:
    """The contact's point among 0..100 lies in the share."""
    text = "\0".join((leaf.spec["salt"], past.workspace, past.contact))
    point = Fraction(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") * 100, 1 << 64)
    first, last = (number(leaf.spec.get(name)) for name in ("from", "to"))
    if first is None or last is None:
        first, last = Fraction(0), number(leaf.spec["percent"])
    return last is not None and first <= point < last


@lru_cache(maxsize=1440)
def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def local_time(leaf: Leaf, past: Past, _chosen: Chosen, t: int) -> bool:
    """The clock on the contact's wall is between the two; what goes on past midnight belongs to the day before."""
    zone = past.zone or leaf.zone
    first, last = _minute(leaf.spec["from"]), _minute(leaf.spec["to"])
    today, now = wall.shown(t, zone).date(), wall.minute_of_day(t, zone)
    if first < last:
        return first <= now < last and _on(leaf, today.weekday())
    if now >= first:
        return _on(leaf, today.weekday())
    return now < last and _on(leaf, (today - timedelta(days=1)).weekday())


def _on(leaf: Leaf, weekday: int) -> bool:
    return _DAYS[weekday] in (leaf.spec.get("days") or _DAYS)


def local_time_turns(leaf: Leaf, past: Past, t: int) -> Iterator[int]:
    """Those of two days: there is one every day."""
    return every_local_time_turn(leaf, past, t, t + 48 * 3_600_000)


def every_local_time_turn(leaf: Leaf, past: Past, low: int, high: int) -> Iterator[int]:
    """When the clock shows either bound, and each jump of the clock."""
    zone = past.zone or leaf.zone
    yield from wall.jumps(zone, low, high)
    for day in wall.days_between(low, high, zone):
        for minute in {_minute(leaf.spec["from"]), _minute(leaf.spec["to"])}:
            yield from wall.readings(day, minute, zone)
