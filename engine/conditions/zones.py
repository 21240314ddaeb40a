"""Time zones: whose calendar and wall clock a rule follows (DESIGN.md 4, 5).

A segment names a zone, or `contact` for the contact's own: the attribute `timezone`, UTC where that is no zone. The
zones are those of the pinned package `tzdata` and of nothing else, so that two machines never differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones, reset_tzpath

reset_tzpath(())  # else the machine's own database goes first, of whatever year

OWN = "contact"
"""The name that stands for each contact's own zone."""
ATTRIBUTE = "timezone"
"""The attribute that holds a contact's zone."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone of the IANA database, some 600."""
    return frozenset(available_timezones())


@dataclass(frozen=True, slots=True)
class Calendar:
    """Whose months and days count: those of `zone` (None: UTC); `own` where that is the zone of the contact at hand.

    >>> Calendar(ZoneInfo("Europe/Moscow")).name, Calendar(ZoneInfo("Europe/Moscow"), own=True).name
    ('Europe/Moscow', 'contact')
    """

    zone: ZoneInfo | None = None
    own: bool = False

    @property
    def name(self) -> str:
        """What stands for it in the identity of features: `contact` for any contact's own zone."""
        return OWN if self.own else self.zone.key if self.zone is not None else "UTC"


UTC_CALENDAR = Calendar()


def zone_of(value: Any) -> ZoneInfo | None:
    """The zone that an attribute's value names; None (UTC) for anything else.

    >>> zone_of("Asia/Vladivostok"), zone_of("UTC"), zone_of("nowhere"), zone_of(7)
    (zoneinfo.ZoneInfo(key='Asia/Vladivostok'), None, None, None)
    """
    if type(value) is not str or value == "UTC" or value not in zone_names():
        return None
    return ZoneInfo(value)
