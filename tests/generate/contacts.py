"""What one made-up contact does next: a type and properties that refer to what the same contact did before.

The same random source gives the same story. Shops, prices and names are few, so that conditions on them are met often.
"""

from __future__ import annotations

import random
from collections import deque
from itertools import accumulate
from typing import Any

Properties = dict[str, Any]

CHANNELS = ("email", "push", "sms", "whatsapp")
CATEGORIES = ("tea", "coffee", "mugs", "books", "garden")
CITIES = ("Petersburg", "Moscow", "Vladivostok", "Kazan")
TAGS = ("promo", "vip", "women", "men")
LISTS = ("spring", "loyal")
STAGES = ("lead", "ignored", "registration", "client")
ZONES = ("Europe/Moscow", "Asia/Vladivostok", "America/New_York", "Australia/Lord_Howe", "UTC", "nowhere")
BUTTONS = ("buy-now", "women", "men", "see-details")

TOPICS: dict[str, dict[str, float]] = {
    "events.clicks": {"click": 22, "product_view": 20, "cart_add": 7, "cart_remove": 1, "search": 3, "quiz_step": 2},
    "events.purchases": {"purchase": 9, "refund": 2},
    "events.opt-outs": {"opt_out": 1.0, "opt_in": 1.4, "block": 0.2, "complaint": 0.1, "consent": 0.6},
    "events.messages": {"message_sent": 11, "message_delivered": 3, "message_read": 6, "message_clicked": 2},
    "events.contacts": {
        "contact_updated": 4,
        "tags_added": 1.5,
        "tags_removed": 0.8,
        "list_added": 0.8,
        "list_removed": 0.4,
        "event_retracted": 0.7,
    },
}
"""Topic → type → weight."""
TOPIC_OF = {kind: topic for topic, kinds in TOPICS.items() for kind in kinds}
_KINDS = list(TOPIC_OF)
_WEIGHTS = list(accumulate(weight for kinds in TOPICS.values() for weight in kinds.values()))


class Story:
    """One contact's past, as far as later facts refer to it."""

    def __init__(self, rng: random.Random, name: str) -> None:
        self._rng = rng
        self._name = name
        self._messages: deque[str] = deque(maxlen=6)
        self._viewed: deque[str] = deque(maxlen=4)
        self._orders: list[tuple[str, int]] = []  # order, cents not yet refunded
        self._awaited: deque[tuple[str, int]] = deque(maxlen=2)  # refunded before they were bought
        self._count = 0

    def next(self, kind: str | None = None) -> tuple[str, Properties]:
        """The next fact's type (drawn, or `kind`) and properties."""
        self._count += 1
        drawn = kind or self._rng.choices(_KINDS, cum_weights=_WEIGHTS)[0]
        make = getattr(self, f"_{drawn}", None)
        properties: Properties = make() if make is not None else {"value": self._rng.randrange(100)}
        return drawn, properties

    def _number(self, what: str) -> str:
        return f"{what}-{self._name}-{self._count}"

    def _click(self) -> Properties:
        return {"button": self._rng.choice(BUTTONS), "url": f"https://shop.example.com/{self._rng.choice(CATEGORIES)}"}

    def _product(self, sku: str) -> Properties:
        category = CATEGORIES[int(sku.removeprefix("s-")) % len(CATEGORIES)]
        return {"sku": sku, "category": category, "price": self._rng.randrange(100, 9_000) / 100}

    def _product_view(self) -> Properties:
        self._viewed.append(f"s-{self._rng.randrange(12)}")
        return self._product(self._viewed[-1])

    def _cart_add(self) -> Properties:
        seen = bool(self._viewed) and self._rng.random() < 0.7
        return self._product(self._rng.choice(self._viewed) if seen else f"s-{self._rng.randrange(12)}")

    def _cart_remove(self) -> Properties:
        return self._cart_add()

    def _purchase(self) -> Properties:
        items, cents = [], 0
        for _ in range(self._rng.randrange(1, 4)):
            item = self._product(f"s-{self._rng.randrange(12)}")
            quantity = self._rng.randrange(1, 3)
            cents += round(item["price"] * 100) * quantity
            items.append({**item, "quantity": quantity})
        order = self._number("o")
        if self._awaited:
            order, cents = self._awaited.popleft()
        self._orders.append((order, cents))
        return {"order_id": order, "amount": cents / 100, "currency": "EUR", "items": items}

    def _refund(self) -> Properties:
        fate = self._rng.random()
        if not self._orders or fate < 0.2:  # before its purchase, or for one that never comes
            order, cents = self._number("o"), self._rng.randrange(500, 20_000)
            self._awaited.append((order, cents))
            return {"order_id": order, "amount": cents / 100 if fate < 0.1 else cents // 2 / 100}
        place = self._rng.randrange(len(self._orders))
        order, left = self._orders[place]
        part = left if fate < 0.6 else self._rng.randrange(1, max(2, left))
        self._orders[place] = (order, left - part)
        if left == part:
            del self._orders[place]
        return {"order_id": order, "amount": part / 100, "currency": "EUR"}

    def _channel(self) -> Properties:
        if self._rng.random() < 0.25:
            return {} if self._rng.random() < 0.5 else {"channel": "all"}
        return {"channel": self._rng.choice(CHANNELS)}

    _opt_out = _opt_in = _block = _complaint = _channel

    def _consent(self) -> Properties:
        return {**self._channel(), "status": "granted" if self._rng.random() < 0.7 else "revoked"}

    def _message_sent(self) -> Properties:
        self._messages.append(self._number("m"))
        return {"message_id": self._messages[-1], "channel": self._rng.choice(CHANNELS), "campaign": "spring"}

    def _answer(self) -> Properties:
        message = self._rng.choice(self._messages) if self._messages else self._number("unknown")
        return {"message_id": message, "channel": self._rng.choice(CHANNELS)}

    _message_delivered = _message_read = _message_clicked = _answer

    def _contact_updated(self) -> Properties:
        attributes: Properties = {
            "name": f"Name {self._name}",
            "city": self._rng.choice(CITIES),
            "balance": self._rng.randrange(0, 120_000) / 100,
            "stage": self._rng.choice(STAGES),
            "address": {"street": self._rng.choice(("Long", "Short")), "flat": self._rng.randrange(9)},
            "timezone": self._rng.choice(ZONES),
            "birthday": f"19{self._rng.randrange(60, 99)}-{self._rng.randrange(1, 5):02d}-{self._rng.randrange(1, 29)}",
            "loyalty.card": self._rng.choice(("gold", "silver")),
            "interests": [
                {"key": self._rng.choice(CATEGORIES), "value": self._rng.randrange(9)}
                for _ in range(self._rng.randrange(3))
            ],
        }
        kept = {name: value for name, value in attributes.items() if self._rng.random() < 0.6}
        return {name: None if self._rng.random() < 0.08 else value for name, value in kept.items()}

    def _event_retracted(self) -> Properties:
        """One of the facts before, or in one case of ten one that is still to come."""
        near = self._count - 1 - self._rng.randrange(12)
        number = self._count + self._rng.randrange(3) if self._rng.random() < 0.1 else max(near, 0)
        return {"id": f"e-{self._name}-{number}"}

    def _tags_added(self) -> Properties:
        return {"tags": self._rng.sample(TAGS, self._rng.randrange(1, 3))}

    _tags_removed = _tags_added

    def _list_added(self) -> Properties:
        return {"list": self._rng.choice(LISTS)}

    _list_removed = _list_added
