"""A fact as the core sees it: one thing that is true of one contact at one instant (DESIGN.md 2, 3)."""

from __future__ import annotations

import json
from typing import Any

import msgspec

Properties = dict[str, Any]

_INT_DIGITS = 1_000
"""Whole numbers of more digits are infinite: Python reads at most 4,300."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Fact(msgspec.Struct):
    """One event, read and normalised; built by `engine.membership.facts.read_fact`.

    `at` is in milliseconds and never after `arrival`; `arrival` is None where nobody knows it (replay without
    `arrives`).
    `left` is set on a purchase that refunds have lessened: what is left of its `amount`, in millionths.
    `dead` is a fact that was retracted before it came: it counts nowhere.
    `raw` is the JSON text of the properties as bytes of its own, once the fact is read.
    """

    contact: str
    type: str
    at_text: str = msgspec.field(name="at")
    id_text: str | None = msgspec.field(name="id", default=None)
    workspace_text: str | None = msgspec.field(name="workspace", default=None)
    raw: msgspec.Raw = msgspec.field(name="properties", default=msgspec.Raw(b"{}"))
    # Set after reading, whatever the record says under these names.
    id: str = msgspec.field(name="~id", default="")
    workspace: str = msgspec.field(name="~workspace", default="default")
    at: int = msgspec.field(name="~at", default=0)
    size: int = msgspec.field(name="~size", default=0)
    arrival: int | None = msgspec.field(name="~arrival", default=None)
    key: bytes = msgspec.field(name="~key", default=b"")
    left: int | None = msgspec.field(name="~left", default=None)
    dead: bool = msgspec.field(name="~dead", default=False)
    decoded: Properties | None = msgspec.field(name="~decoded", default=None)

    @property
    def properties(self) -> Properties:
        """The event's properties, decoded when first asked for."""
        found = self.decoded
        if found is None:
            found = self.decoded = decode_properties(self.raw)
        return found


def _whole(text: str) -> int | float:
    return int(text) if len(text) < _INT_DIGITS else float(text)


def decode_properties(raw: bytes | msgspec.Raw) -> Properties:
    """The object in `raw`, a JSON text that was checked when the record was read."""
    try:
        return _decode(raw)
    except ValueError:  # a number beyond a double, such as 1e999: infinite, as JSON readers have it
        found = json.loads(bytes(raw), parse_int=_whole)
        return found if isinstance(found, dict) else {}
