"""Short words for the recount's examples: facts, segments, and transitions as readable text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.recount import Change, Result, recount
from engine.recount.instants import instant, text_of


def fact(at: str, kind: str, contact: str = "c-1", /, **properties: Any) -> dict[str, Any]:
    """One fact without id and arrival; `at` as 2026-05-01T10:00:00Z."""
    return {"type": kind, "contact": contact, "at": at, "properties": properties}


def segment(name: str, when: Mapping[str, Any] | None, /, **settings: Any) -> dict[str, Any]:
    """A definition as a plain dict."""
    return {"segment": name, **settings, **({} if when is None else {"when": when})}


def told(result: Result, contact: str = "c-1") -> list[str]:
    """What was published of one contact: "enter tea 2026-05-01T10:00:00.000Z event", in order."""
    ours = [t for t in result.transitions if t["contact"] == contact]
    return [f"{t['change']} {t['segment']} {text_of(t['at'])} {t['cause']}" for t in ours]


def counted(
    segments: Iterable[Mapping[str, Any]],
    facts: Iterable[Mapping[str, Any] | bytes | Change],
    until: str | None = None,
    **more: Any,
) -> Result:
    """The recount up to the instant `until`, where deadlines at `until` itself have not fired."""
    return recount(list(segments), list(facts), until=None if until is None else instant(until), **more)
