"""Transitions: enter and exit, their ids and their wire form (DESIGN.md 6)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from engine.conditions.instants import NEVER, format_instant


class Transition:
    """One enter or exit of one contact in one segment. Instants in milliseconds; `not_before` NEVER: not without a
    new fact."""

    __slots__ = (
        "at", "cause_at", "cause_id", "cause_kind", "cause_type", "change", "contact", "detected_at", "late",
        "not_before",
        "payload", "segment", "sequence", "topic", "version", "workspace",
    )  # fmt: skip

    def __init__(
        self, workspace: str, segment: str, version: int, contact: str, sequence: int, at: int, detected_at: int,
        late: bool, not_before: int,
        cause: tuple[str, str | None, str | None, int | None], payload: dict[str, Any] | None, topic: bool,
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
        self.topic = topic

    @property
    def id(self) -> str:
        """A pure function of workspace, segment, contact, sequence, change and `at`: 32 hexadecimal digits."""
        return transition_id(self.workspace, self.segment, self.contact, self.sequence, self.at)

    def __repr__(self) -> str:
        what = f"{self.workspace}/{self.segment} {self.contact} {self.change} #{self.sequence}"
        return f"Transition({what} at {format_instant(self.at)})"


def transition_id(workspace: str, segment: str, contact: str, sequence: int, at: int) -> str:
    """The id of the transition with this sequence number (odd: enter, even: exit)."""
    text = f"{workspace}\0{segment}\0{contact}\0{sequence}\0{'enter' if sequence & 1 else 'exit'}\0{at}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def encode(transition: Transition, detected_at: int | None = None) -> bytes:
    """The JSON of DESIGN.md 6; `detected_at` in milliseconds, by default the partition clock when it was made."""
    detected = transition.detected_at if detected_at is None else detected_at
    return orjson.dumps(
        {
            "id": transition.id,
            "workspace": transition.workspace,
            "segment": transition.segment,
            "version": transition.version,
            "contact": transition.contact,
            "change": transition.change,
            "sequence": transition.sequence,
            "at": format_instant(transition.at),
            "detected_at": format_instant(max(detected, 0)),
            "late": transition.late,
            "not_before": None if transition.not_before >= NEVER else format_instant(transition.not_before),
            "cause": {
                "kind": transition.cause_kind,
                "event_id": transition.cause_id,
                "event_type": transition.cause_type,
                "event_at": None if transition.cause_at is None else format_instant(transition.cause_at),
            },
            "payload": transition.payload,
        }
    )


def headers(transition: Transition) -> list[tuple[str, bytes]]:
    """What a consumer may decide by without reading the value."""
    return [
        ("transition-id", transition.id.encode()),
        ("segment", transition.segment.encode()),
        ("change", transition.change.encode()),
    ]
