"""The shipped shop log (`rees46/SOURCE.md`) as facts: three real hours of views, carts and purchases.

The log knows whole seconds. A contact's events of one second keep their order as successive milliseconds, so that no
two facts of a contact share an instant. A row that occurs twice becomes the same fact with the same id twice, as a
shop would deliver it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import orjson

from engine.conditions.instants import format_instant

LOG: Final = "2019-Oct-head.csv.gz"
TYPES: Final = {"view": "product_view", "cart": "cart_add", "purchase": "purchase"}
_ID_HEX: Final = 16  # 64 bits: no collision among 17 thousand rows


def shop_log(*, ends_at: int | None = None) -> Iterator[dict[str, Any]]:
    """Yields the facts in the order of their instants, as objects of DESIGN 3.

    `ends_at` (ms since the epoch) moves all instants so that the last fact happens then; without it they stay in 2019.
    """
    rows = _rows()
    shift = 0 if ends_at is None else ends_at - rows[-1][0]
    for at, row in rows:
        yield _fact(at + shift, row)


def shop_log_lines(*, ends_at: int | None = None) -> list[bytes]:
    """The same facts as JSON lines, without newlines."""
    return [orjson.dumps(fact) for fact in shop_log(ends_at=ends_at)]


def _rows() -> list[tuple[int, dict[str, str]]]:
    """The log's rows with their instants in ms, ascending."""
    found: list[tuple[int, dict[str, str]]] = []
    last: dict[str, int] = {}
    log = files("engine.demo") / "rees46" / LOG
    with log.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            second = datetime.fromisoformat(row["event_time"].replace(" UTC", "+00:00"))
            contact = row["user_id"]
            at = max(int(second.timestamp()) * 1000, last.get(contact, 0) + 1)
            last[contact] = at
            found.append((at, row))
    found.sort(key=lambda pair: pair[0])  # stable: one instant of several contacts keeps the order of the log
    return found


def _fact(at: int, row: dict[str, str]) -> dict[str, Any]:
    digest = hashlib.blake2b("|".join(row.values()).encode(), digest_size=_ID_HEX // 2).hexdigest()
    item: dict[str, Any] = {"sku": row["product_id"], "price": float(row["price"])}
    if row["category_code"]:
        item["category"] = row["category_code"]
    if row["brand"]:
        item["brand"] = row["brand"]
    session = row["user_session"]
    properties: dict[str, Any] = {**item, "session": session}
    if row["event_type"] == "purchase":
        bought = [{**item, "quantity": 1}]
        properties = {"order_id": f"o-{digest}", "amount": item["price"], "items": bought, "session": session}
    return {
        "id": f"rees46-{digest}",
        "type": TYPES[row["event_type"]],
        "contact": row["user_id"],
        "at": format_instant(at),
        "properties": properties,
    }
