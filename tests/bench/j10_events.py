"""The input of job J10: events in global event-time order, the same for the same (events, contacts, seed, start, days).

Per contact 70 % of the choices are uniform and 30 % follow a Zipf law of exponent 1.1; event times are uniform over
the span. A `message_read` answers one of the contact's last five `message_sent` when there is one. 180-400 bytes a
record.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

MIX = {
    "click": 0.45,
    "product_view": 0.20,
    "message_sent": 0.10,
    "message_read": 0.08,
    "purchase": 0.10,
    "cart_add": 0.05,
    "opt_out": 0.01,
    "opt_in": 0.01,
}
CATEGORIES = ("tea", "coffee", "mugs", "books", "kitchen", "garden", "toys", "office")
BUTTONS = ("buy-now", "add-to-wishlist", "see-details", "newsletter-signup", "open-reviews")
CHANNELS = ("email", "push", "sms")
DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Input:
    """What makes an input: `start` in ms since the epoch, `days` of event time."""

    events: int = 1_000_000
    contacts: int = 100_000
    seed: int = 7
    start: int = 1_777_593_600_000  # 2026-05-01T00:00:00Z
    days: int = 90


class _Writer:
    """Renders one event at a time; keeps what later events refer to."""

    def __init__(self) -> None:
        self._sent: dict[int, deque[str]] = {}
        self._days: dict[int, str] = {}

    def instant(self, at: int) -> str:
        day, ms = divmod(at, DAY)
        date = self._days.get(day)
        if date is None:
            date = self._days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
        return f"{date}T{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}Z"

    def properties(self, kind: str, contact: int, number: int, x: int, y: int, z: int) -> str:
        """The properties as JSON text; x, y and z are independent random integers below 2**30."""
        if kind == "click":
            page = f"https://shop.example.com/{CATEGORIES[y % 8]}/item-{z % 100_000:05d}"
            return f'{{"button":"{BUTTONS[x % 5]}","url":"{page}?ref=campaign-{x % 997:03d}&pos={y % 40}"}}'
        if kind in ("product_view", "cart_add"):
            category = CATEGORIES[y % 8]
            sku = f"sku-{category}-{x % 5000:04d}-edition-2026-eu-warehouse-1"
            return f'{{"sku":"{sku}","category":"{category}","price":{3 + z % 11_700 / 100:.2f}}}'
        if kind == "purchase":
            return self._purchase(number, x, y, z)
        if kind in ("message_sent", "message_read"):
            message = self._message(kind, contact, number, x)
            campaign = f"campaign-spring-2026-europe-{y % 997:03d}"
            return f'{{"message_id":"{message}","channel":"{CHANNELS[x % 3]}","campaign":"{campaign}"}}'
        return '{"channel":"all","source":"preference-center","reason":"requested by the contact on the website form"}'

    def _purchase(self, number: int, x: int, y: int, z: int) -> str:
        items, cents = [], 0
        for line in range(1 + x % 3):
            price, quantity = 300 + (z >> 5 * line) % 11_700, 1 + (x >> 4 + line) % 2
            cents += price * quantity
            sku, category = f"s-{(x + line * 31) % 5000:04d}", CATEGORIES[(y >> 3 * line) % 8]
            items.append(f'{{"sku":"{sku}","category":"{category}","price":{price / 100:.2f},"quantity":{quantity}}}')
        return (
            f'{{"order_id":"o-{number:09d}","amount":{cents / 100:.2f},"currency":"EUR","items":[{",".join(items)}]}}'
        )

    def _message(self, kind: str, contact: int, number: int, x: int) -> str:
        recent = self._sent.setdefault(contact, deque(maxlen=5))
        if kind == "message_read":
            return recent[x % len(recent)] if recent else f"m-x{number:08d}"  # a read of a message never seen
        recent.append(f"m-{number:09d}")
        return recent[-1]


def lines(job: Input) -> Iterator[str]:
    """The events as JSON lines (each ends with a newline), in event-time order."""
    rng = random.Random(job.seed)
    uniform = rng.random
    span = job.days * DAY
    instants = sorted(int(uniform() * span) for _ in range(job.events))
    weights = list(accumulate(1.0 / rank**1.1 for rank in range(1, job.contacts + 1)))
    kinds, shares = list(MIX), list(accumulate(MIX.values()))
    shares[-1] = 1.0
    writer = _Writer()
    for number, offset in enumerate(instants, 1):
        kind = kinds[bisect(shares, uniform())]
        if uniform() < 0.30:
            contact = min(bisect(weights, uniform() * weights[-1]), job.contacts - 1)
        else:
            contact = int(uniform() * job.contacts)
        x, y, z = rng.getrandbits(30), rng.getrandbits(30), rng.getrandbits(30)
        properties = writer.properties(kind, contact, number, x, y, z)
        yield (
            f'{{"id":"e-{number:09d}","type":"{kind}","contact":"c-{contact + 1}",'
            f'"at":"{writer.instant(job.start + offset)}","properties":{properties}}}\n'
        )


def write(job: Input, path: Path) -> None:
    """Writes the input as JSON lines to `path`, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", buffering=1 << 20) as out:
        out.writelines(lines(job))
    part.replace(path)
