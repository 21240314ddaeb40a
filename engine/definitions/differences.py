"""What changed from one version of a definition to the next, in a few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from engine.definitions.source import Place, path_text, shown

DIFFERENCES_MAX: Final = 5
"""Differences that are told one by one."""
NAMED_MAX: Final = 3
"""Entries of a list that are named."""
_NOTHING: Final = object()


def differences(before: Mapping[str, Any], after: Mapping[str, Any], most: int = DIFFERENCES_MAX) -> list[str]:
    """The places where two canonical forms differ, each with what stood there and what stands there now.

    >>> differences({"name": "a", "when": {"did": {"within": "P30D"}}}, {"name": "b", "when": {"did": {}}})
    ['name: a → b', 'when.did.within: P30D taken out']
    """
    found = list(islice(_differences(before, after, ()), most + 1))
    return found if len(found) <= most else [*found[:most], "and more"]


def _differences(before: Any, after: Any, place: Place) -> Iterator[str]:
    if _plain(before) == _plain(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(before.get(name, _NOTHING), after.get(name, _NOTHING), (*place, name))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, place)
    elif before is _NOTHING:
        yield f"{path_text(place)}: {shown(after)} added"
    elif after is _NOTHING:
        yield f"{path_text(place)}: {shown(before)} taken out"
    else:
        yield f"{path_text(place)}: {shown(before) or 'nothing'} → {shown(after) or 'nothing'}"


def _of_lists(before: list[Any], after: list[Any], place: Place) -> Iterator[str]:
    if not any(isinstance(each, Mapping | list) for each in (*before, *after)):
        then, now = set(before), set(after)
        gone, new = [each for each in before if each not in now], [each for each in after if each not in then]
        parts = [_some("added", new), _some("taken out", gone)] if gone or new else ["in another order"]
        yield f"{path_text(place)}: {', '.join(part for part in parts if part)}"
    elif len(before) == len(after):
        for index, (old, new_one) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new_one, (*place, index))
    else:
        yield f"{path_text(place)}: {len(before)} → {len(after)} entries"


def _some(done: str, entries: list[Any]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - NAMED_MAX} more" if len(entries) > NAMED_MAX else ""
    return f"{' '.join(shown(each) for each in entries[:NAMED_MAX])}{more} {done}"


def _plain(value: Any) -> Any:
    """True is not 1 where people write."""
    return (bool, value) if isinstance(value, bool) else value
