"""Where a partition begins to read an input, and what is lost when the topic does not reach so far any more."""

from __future__ import annotations

from typing import NamedTuple


class Beginning(NamedTuple):
    """`offset` to read from; `lost` counts the records known to be gone; `problem` says it, empty when all is well."""

    offset: int
    lost: int
    problem: str


def beginning(place: str, position: int | None, begin: int, end: int) -> Beginning:
    """Where to go on in the input `place` (topic/partition) whose log holds the offsets from `begin` to before `end`.

    `position` is the next offset by what was committed, None when nothing was. Of a log that ends before it nobody
    knows how much was lost: it counts as one record.

    >>> beginning("events.clicks/0", 7, 9, 20).lost
    2
    """
    if position is None:
        return Beginning(begin, 0, "")
    if position < begin:
        return Beginning(
            begin,
            begin - position,
            f"{begin - position} records of {place} (offsets {position} to {begin - 1}) were removed before they were "
            "read, and memberships lack their facts: publish these again, and raise the topic's retention.ms",
        )
    if position > end:
        return Beginning(
            begin,
            1,
            f"{place} ends at offset {end}, before the position {position}: the topic was made anew or has lost "
            "records. It is read from its beginning; publish again what it held and was not read",
        )
    return Beginning(position, 0, "")


class ChangelogLost(Exception):
    """The changelog does not hold what was committed. The text is one paragraph that says what to do."""


def refuse_lost(place: str, *, position: bool, begins_right: bool, committed: bool) -> None:
    """Raises ChangelogLost for a changelog partition `place` that lost what it held: starting over from it would let
    members enter again.

    `position` tells whether it has one, `begins_right` whether its first record is its identity or there is none,
    `committed` whether the group has offsets.
    """
    if begins_right and (position or not committed):
        return
    why = "does not begin with its identity" if not begins_right else "is empty, but its group has committed offsets"
    raise ChangelogLost(
        f"The changelog {place} {why}: states were removed from it, and the worker does not start over by itself. "
        "Bring the topic back from a copy; or, to begin anew from what the inputs still hold, take another GROUP (or "
        "delete the group's changelog, journal and offsets)"
    )
