"""Reads one record as a fact (DESIGN 3): what it must have, when it counts, and where Kafka puts it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.recount.instants import instant

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339. A fact's `at` is no looser, unlike dates in attributes: it would count at an instant that nobody named."""

MAX_BYTES = 262_144  # the engine's default for one event
_UNSUPPORTED = ("contact_merged",)
ERASURE = "contact_erased"
_MASK = 0xFFFFFFFF


@dataclass(slots=True, eq=False)
class Fact:
    """One taken record. `at` and `arrival` in ms; `line` is its place in the input, counted from 1."""

    line: int
    id: str
    type: str
    contact: str
    workspace: str
    at: int
    arrival: int | None
    properties: dict[str, Any]

    def place(self) -> tuple[int, int]:
        """Where the fact stands in its contact's history: by `at`, then by when it was taken."""
        return self.at, self.line


class Refused(Exception):
    """A record that is no fact; `reason` is the word that a dead letter carries."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_fact(record: bytes | Mapping[str, Any], line: int, skew: int, max_bytes: int = MAX_BYTES) -> Fact:
    """Reads a JSON line or its object; raises Refused. `skew` (ms) is how far `at` may be ahead of the arrival."""
    fields = _object(record, max_bytes)
    kind = _text(fields, "type", 128, "no_type", "bad_type")
    if "*" in kind:
        raise Refused("bad_type")
    contact = _text(fields, "contact", 256, "no_contact", "bad_contact")
    workspace = _text({"workspace": "default", **_given(fields)}, "workspace", 64, "bad_workspace", "bad_workspace")
    if "/" in workspace:
        raise Refused("bad_workspace")
    properties = {} if fields.get("properties") is None else fields["properties"]
    if not isinstance(properties, dict):
        raise Refused("bad_properties")
    if kind in _UNSUPPORTED:
        raise Refused("unsupported")
    if kind == ERASURE and properties:
        raise Refused("bad_properties")
    at = _instant(fields, "at", "no_time")
    arrival = None if fields.get("arrives") is None else _instant(fields, "arrives", "no_time")
    if arrival is not None:
        if at > arrival + skew:
            raise Refused("too_far_ahead")
        at = min(at, arrival)
    named = _text({"id": f"#{line}", **_given(fields)}, "id", 512, "bad_id", "bad_id")
    return Fact(line, named, kind, contact, workspace, at, arrival, properties)


def wire_key(workspace: str, contact: str) -> bytes:
    """The Kafka key of a contact's records."""
    return (contact if workspace == "default" else f"{workspace}/{contact}").encode()


def partition_of(key: bytes, count: int) -> int:
    """Where the Java client's default partitioner puts `key` among `count` partitions (murmur2)."""
    value = (0x9747B28C ^ len(key)) & _MASK
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * 0x5BD1E995 & _MASK
        value = (value * 0x5BD1E995 & _MASK) ^ ((word ^ word >> 24) * 0x5BD1E995 & _MASK)
    if key[whole:]:
        value = (value ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & _MASK
    value = (value ^ value >> 13) * 0x5BD1E995 & _MASK
    return ((value ^ value >> 15) & 0x7FFFFFFF) % count


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _object(record: bytes | Mapping[str, Any], max_bytes: int) -> Mapping[str, Any]:
    if not isinstance(record, bytes):
        return record
    if len(record) > max_bytes:
        raise Refused("oversize")
    try:
        read = json.loads(record.decode(), parse_float=_decimal, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Refused("bad_utf8") from None
    except (ValueError, RecursionError):
        raise Refused("bad_json") from None
    if not isinstance(read, dict):
        raise Refused("not_an_object")
    return read


def _decimal(text: str) -> Decimal:
    if abs(float(text)) == float("inf"):
        raise ValueError("a number beyond what JSON readers hold")
    return Decimal(repr(float(text)))  # JSON numbers with a fraction are doubles, here as everywhere


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _text(fields: Mapping[str, Any], name: str, limit: int, missing: str, bad: str) -> str:
    value = fields.get(name)
    if value is None:
        raise Refused(missing)
    if not isinstance(value, str) or not value:
        raise Refused(bad)
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise Refused("bad_utf8") from None
    if length > limit:
        raise Refused(bad)
    return value


def _instant(fields: Mapping[str, Any], name: str, missing: str) -> int:
    value = fields.get(name)
    if value is None:
        raise Refused(missing)
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise Refused("bad_time")
    try:
        found = instant(value)
    except ValueError:
        raise Refused("bad_time") from None
    if found < 0:
        raise Refused("bad_time")
    return found
