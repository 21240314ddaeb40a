"""Names like one that is not there, for whoever mistyped it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LISTED_MAX: Final = 20
"""Segments that are listed where none is like the one asked for."""


def near_segment(workspace: str, segment: str, known: Iterable[tuple[str, str]]) -> str:
    """A sentence that helps to find the segment meant among those known, each as (workspace, id).

    >>> near_segment("default", "byers", [("default", "buyers"), ("spot", "byers")])
    'Did you mean buyers?'
    >>> near_segment("default", "zzz", [("spot", "zzz")])
    'There is one in workspace spot: add --workspace spot.'
    """
    known = list(known)
    here = [name for place, name in known if place == workspace]
    if near := get_close_matches(segment, here, n=1):
        return f"Did you mean {near[0]}?"
    elsewhere = sorted(place for place, name in known if name == segment)
    if elsewhere:
        return f"There is one in workspace {elsewhere[0]}: add --workspace {elsewhere[0]}."
    more = f" and {len(here) - LISTED_MAX} more" if len(here) > LISTED_MAX else ""
    return f"It has {', '.join(sorted(here)[:LISTED_MAX])}{more}." if here else "It has none."
