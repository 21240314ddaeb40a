"""Job J10 by brute force: the truth that every system of the benchmark is compared with.

For each contact every segment is evaluated at every instant at which anything can change (each of its events, and
each event plus each window length) over its whole history. Shares nothing with the engine. A deadline counts only if
it is strictly before the last event of the contact's partition: the job's clock is the greatest event time that a
partition has read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter

import orjson

from tests.placement import partition_of

HOUR, DAY = 3_600_000, 86_400_000
SEGMENTS = (
    "bought-30d",
    "bought-3-in-30d",
    "big-90d",
    "clicks-5-in-7d",
    "clicks-3-in-1d",
    "looker-2h",
    "unread-3",
    "lapsed-30d",
    "reader-not-buyer",
    "tea-again",
)
WINDOWS = {
    "purchase": (30 * DAY, 90 * DAY),
    "click": (DAY, 7 * DAY),
    "product_view": (2 * HOUR,),
    "cart_add": (2 * HOUR,),
    "message_read": (30 * DAY,),
    "tea": (60 * DAY,),
}
Row = tuple[str, str, str, int]  # segment, contact, change, at in ms


def instant(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 text."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


class _Contact:
    """The whole history of one contact, in event-time order."""

    def __init__(self) -> None:
        self.at: dict[str, list[int]] = {kind: [] for kind in WINDOWS}
        self.events: list[int] = []
        self.cents = [0]  # prefix sums of purchase amounts
        self.sent: list[tuple[int, str]] = []
        self.read: dict[str, int] = {}
        self.opted: list[tuple[int, bool]] = []

    def add(self, kind: str, at: int, properties: dict[str, object]) -> None:
        self.events.append(at)
        if kind in self.at:
            self.at[kind].append(at)
        if kind == "purchase":
            amount, items = properties["amount"], properties["items"]
            assert isinstance(amount, (int, float))
            assert isinstance(items, list)
            self.cents.append(self.cents[-1] + round(amount * 100))
            if any(item["category"] == "tea" for item in items):
                self.at["tea"].append(at)
        elif kind == "message_sent":
            self.sent.append((at, str(properties["message_id"])))
        elif kind == "message_read":
            self.read.setdefault(str(properties["message_id"]), at)
        elif kind in ("opt_in", "opt_out"):
            self.opted.append((at, kind == "opt_out"))

    def count(self, kind: str, t: int, window: int) -> int:
        """Events of a kind with e ≤ t < e + window."""
        at = self.at[kind]
        return bisect_right(at, t) - bisect_right(at, t - window)

    def members(self, t: int) -> tuple[bool, ...]:
        """Which of SEGMENTS hold the contact at `t`."""
        opted = bisect_right(self.opted, (t, True))
        if opted and self.opted[opted - 1][1]:
            return (False,) * len(SEGMENTS)
        purchases = self.at["purchase"]
        ever = bisect_right(purchases, t)
        bought = self.count("purchase", t, 30 * DAY)
        spent = self.cents[ever] - self.cents[bisect_right(purchases, t - 90 * DAY)]
        so_far = bisect_right(self.sent, t, key=itemgetter(0))
        sent = [message for _, message in self.sent[max(0, so_far - 3) : so_far]]
        return (
            bought >= 1,
            bought >= 3,
            spent >= 50_000,
            self.count("click", t, 7 * DAY) >= 5,
            self.count("click", t, DAY) >= 3,
            self.count("product_view", t, 2 * HOUR) >= 1 and self.count("cart_add", t, 2 * HOUR) == 0,
            len(sent) == 3 and all(self.read.get(message, t + 1) > t for message in sent),
            ever >= 1 and bought == 0,
            self.count("message_read", t, 30 * DAY) >= 1 and bought == 0,
            bisect_right(self.at["tea"], t) >= 1 and self.count("tea", t, 60 * DAY) == 0,
        )


def transitions(events: Iterable[bytes], partitions: int) -> list[Row]:
    """All transitions of the job over JSON lines in event-time order, sorted."""
    contacts: dict[str, _Contact] = {}
    last: dict[int, int] = {}
    home: dict[str, int] = {}
    for line in events:
        event = orjson.loads(line)
        name, at = event["contact"], instant(event["at"])
        contact = contacts.get(name)
        if contact is None:
            contact = contacts[name] = _Contact()
            home[name] = partition_of(name.encode(), partitions)
        last[home[name]] = at
        contact.add(event["type"], at, event["properties"])
    rows: list[Row] = []
    for name, contact in contacts.items():
        rows.extend(_changes(name, contact, last[home[name]]))
    rows.sort()
    return rows


def _changes(name: str, contact: _Contact, end: int) -> Iterable[Row]:
    due = {at + w for kind, windows in WINDOWS.items() for w in windows for at in contact.at[kind] if at + w < end}
    before = (False,) * len(SEGMENTS)
    for t in sorted(due.union(contact.events)):
        now = contact.members(t)
        if now == before:
            continue
        for segment, was, is_in in zip(SEGMENTS, before, now, strict=True):
            if was != is_in:
                yield segment, name, "enter" if is_in else "exit", t
        before = now
