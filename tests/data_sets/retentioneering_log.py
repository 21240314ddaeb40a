"""The retentioneering shop log (`retentioneering/SOURCE.md`) as facts on four topics: half a year of browsing and
buying.

It names neither products nor amounts; both are drawn from a digest of the row, so they are the same every time. Each
user opens with a `contact_updated` that carries platform, channel, cohort and life-cycle stage.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from engine.conditions.instants import format_instant

LOG = Path(__file__).parent / "retentioneering" / "ecom.csv.gz"
TYPES = {"add_to_cart": "cart_add", "wishlist_add": "favourite_add"}
ATTRIBUTES = ("platform", "acquisition_channel", "user_cohort", "user_lifecycle")
CATEGORIES = ("electronics", "books", "garden", "toys")


def topic_of(kind: str) -> str:
    """The topic that a type of this log is published to."""
    return {"purchase": "events.purchases", "contact_updated": "events.contacts"}.get(kind, "events.clicks")


def shop_log(*, ends_at: int | None = None) -> list[dict[str, Any]]:
    """The facts in the order of their instants; `ends_at` (ms) moves them all so that the last one happens then."""
    with gzip.open(LOG, "rt", encoding="utf-8", newline="") as text:
        rows = sorted(csv.DictReader(text), key=lambda row: row["timestamp"])
    last: dict[str, int] = {}
    timed: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        contact = row["user_id"]
        at = int(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp()) * 1000
        if contact not in last:
            # One millisecond before the first event, so that no two facts of a contact share an instant.
            opening = {"id": f"{contact}-profile", "type": "contact_updated", "contact": contact}
            timed.append((at - 1, {**opening, "properties": {name: row[name] for name in ATTRIBUTES}}))
        at = max(at, last.get(contact, 0) + 1)
        last[contact] = at
        timed.append((at, _fact(row)))
    timed.sort(key=lambda pair: pair[0])
    shift = 0 if ends_at is None else ends_at - timed[-1][0]
    return [{**fact, "at": format_instant(at + shift)} for at, fact in timed]


def shop_log_lines(*, ends_at: int | None = None) -> list[bytes]:
    """The same facts as JSON lines, without newlines."""
    return [orjson.dumps(fact) for fact in shop_log(ends_at=ends_at)]


def _fact(row: dict[str, str]) -> dict[str, Any]:
    digest = hashlib.blake2b("|".join(row.values()).encode(), digest_size=8)
    number, kind = int.from_bytes(digest.digest(), "big"), TYPES.get(row["event"], row["event"])
    price = (number % 9_000 + 500) / 100
    category, sku = CATEGORIES[number // 9_000 % len(CATEGORIES)], f"p-{number // 9_000 % 40}"
    item = {"sku": sku, "category": category, "price": price}
    properties: dict[str, Any] = {"session": row["session_id"], "platform": row["platform"]}
    if kind == "purchase":
        properties |= {"order_id": digest.hexdigest(), "amount": price, "items": [{**item, "quantity": 1}]}
    elif kind in ("product_view", "cart_add", "favourite_add"):
        properties |= item
    return {"id": digest.hexdigest(), "type": kind, "contact": row["user_id"], "properties": properties}
