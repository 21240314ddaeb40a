"""Transitions: enter and exit, their ids and their wire form (DESIGN.md 6)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from orjson import dumps

from engine.conditions.contact import NEVER_ERASED
from engine.conditions.instants import NEVER, format_instant

PAYLOAD_BYTES_MAX = 512 << 10
"""Bytes of a payload: a record of the transitions' topic may have 1 MiB."""
FIELD_BYTES_MAX = 8 << 10
"""Bytes of one field of a payload that would be too large: what is larger is left out."""


class Transition:
    """One enter or exit of one contact in one segment. Instants in milliseconds; `not_before` NEVER: not without a
    new fact. `source` is where the contact came from by what was known then, empty where nothing says: counted, and not
    told to subscribers. `kept`: segments.members follows it."""

    __slots__ = (
        "at", "cause_at", "cause_id", "cause_kind", "cause_type", "change", "contact", "detected_at", "id", "kept",
        "late", "not_before", "payload", "segment", "sequence", "source", "version", "workspace",
    )  # fmt: skip

    def __init__(
        self, workspace: str, segment: str, version: int, contact: str, sequence: int, at: int, detected_at: int,
        late: bool, not_before: int,
        cause: tuple[str, str | None, str | None, int | None], payload: dict[str, Any] | None, kept: bool,
        erased_at: int = NEVER_ERASED, source: str = "",
    ) -> None:  # fmt: skip
        self.workspace = workspace
        self.segment = segment
        self.version = version
        self.contact = contact
        self.change = "enter" if sequence & 1 else "exit"
        self.sequence = sequence
        self.at = at
        self.detected_at = detected_at
        self.late = late
        self.not_before = not_before
        self.cause_kind, self.cause_id, self.cause_type, self.cause_at = cause
        self.payload = payload
        self.kept = kept
        self.source = source
        self.id = transition_id(workspace, segment, contact, sequence, at, erased_at)
        """A pure function of workspace, segment, contact, sequence, change and `at`, and of the erasure that the
        contact is new since: 32 hexadecimal digits."""

    def __repr__(self) -> str:
        what = f"{self.workspace}/{self.segment} {self.contact} {self.change} #{self.sequence}"
        return f"Transition({what} at {format_instant(self.at)})"


def transition_id(
    workspace: str, segment: str, contact: str, sequence: int, at: int, erased_at: int = NEVER_ERASED
) -> str:
    """The id of the transition with this sequence number (odd: enter, even: exit).

    `erased_at` is when the contact was erased before it (ms): sequences begin anew then, and a late erasure may lead to
    the very instants of before.
    """
    change = "enter" if sequence & 1 else "exit"
    text = f"{workspace}\0{segment}\0{contact}\0{sequence}\0{change}\0{at}"
    if erased_at != NEVER_ERASED:
        text += f"\0{erased_at}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def encode(transition: Transition, detected_at: int | None = None) -> bytes:
    """The JSON of DESIGN.md 6; `detected_at` in milliseconds, by default the partition clock when it was made.

    Written out, as a general encoder takes three times as long for it; texts that people chose go through the encoder.
    """
    t = transition
    detected = t.detected_at if detected_at is None else detected_at
    not_before = "null" if t.not_before >= NEVER else f'"{format_instant(t.not_before)}"'
    if t.cause_at is None:
        cause = f'{{"kind":"{t.cause_kind}","event_id":null,"event_type":null,"event_at":null}}'
    else:
        event_id, event_type = _quoted(t.cause_id), _quoted(t.cause_type)
        event_at = format_instant(t.cause_at)
        cause = f'{{"kind":"{t.cause_kind}","event_id":{event_id},"event_type":{event_type},"event_at":"{event_at}"}}'
    payload = "null" if t.payload is None else _payload(t.payload)
    return (
        f'{{"id":"{t.id}","workspace":{_quoted(t.workspace)},"segment":"{t.segment}","version":{t.version},'
        f'"contact":{_quoted(t.contact)},"change":"{t.change}","sequence":{t.sequence},"at":"{format_instant(t.at)}",'
        f'"detected_at":"{format_instant(detected if detected > 0 else 0)}","late":{"true" if t.late else "false"},'
        f'"not_before":{not_before},"cause":{cause},"payload":{payload}}}'
    ).encode()


def _payload(fields: dict[str, Any]) -> str:
    """The fields as JSON; where they are too large together, the large ones become null."""
    text = dumps(fields)
    if len(text) > PAYLOAD_BYTES_MAX:
        text = dumps({name: value if len(dumps(value)) <= FIELD_BYTES_MAX else None for name, value in fields.items()})
    return text.decode()


def _quoted(text: str | None) -> str:
    return dumps(text).decode()


def headers(transition: Transition) -> list[tuple[str, bytes]]:
    """What a consumer may decide by without reading the value."""
    return [
        ("transition-id", transition.id.encode()),
        ("segment", transition.segment.encode()),
        ("change", transition.change.encode()),
    ]
