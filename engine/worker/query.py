"""What the HTTP interface asks: committed states of the partitions that this worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from heapq import merge
from itertools import islice
from typing import Final, TypeVar

from engine.conditions.contact import SEQUENCE
from engine.membership.explain import explaining
from engine.membership.explanation import Explanation
from engine.membership.moment import Known, Slices
from engine.membership.placement import partition_of, store_key, wire_key
from engine.membership.plan import Plan
from engine.membership.planned import segment_key
from engine.state.codec import decode_contact, decode_roll, membership_mark
from engine.state.store import Store
from engine.worker.settings import Settings

T = TypeVar("T")
SCAN_SLICE: Final = 500
"""States decoded between two turns of the event loop: one or two milliseconds."""
MEMBERS_MAX: Final = 10_000
"""Members of one page."""
NEAR_SCAN: Final = 200
"""States of one store that are looked at for ids like one that is unknown: below a millisecond."""


def place(workspace: str, contact: str, partitions: int) -> int:
    """The partition number of a contact."""
    return partition_of(wire_key(workspace, contact), partitions)


async def explain_contact(
    store: Store, plan: Plan, settings: Settings, clock: int, workspace: str, contact: str, segment: str,
    at: int | None, nested: int,
) -> Explanation:  # fmt: skip
    """Why a contact is in a segment or is not, by its committed state as of `clock` and its journal; `at` in
    milliseconds. What is read is read at once; the work on it leaves others their turn.

    Raises engine.membership.explanation.Unknown.
    """
    key = store_key(workspace, contact)
    encoded = store.get(key)
    known = Known(
        plan=plan, workspace=workspace, contact=contact,
        state=None if encoded is None else decode_contact(encoded), history=store.history(key), clock=clock,
        dedup=settings.dedup, journal_retention=settings.journal_retention,
    )  # fmt: skip
    return await in_turns(explaining(known, segment, at, nested))


async def in_turns(work: Slices[T]) -> T:
    """The result of work in slices, between which others have their turn."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found
        await asyncio.sleep(0)


def near_contacts(stores: Sequence[Store], workspace: str, contact: str) -> list[str]:
    """Ids like this one, among those in these stores that begin as it does."""
    prefix, found = store_key(workspace, ""), list[str]()
    for length in (len(contact) * 2 // 3, len(contact) // 3):
        start = store_key(workspace, contact[:length])
        for store in stores:
            for key, _ in islice(store.states(start), NEAR_SCAN):
                if not key.startswith(start if length else prefix):
                    break
                found.append(key[len(prefix) :].decode())
        if near := get_close_matches(contact, found):
            return near
    return []


async def list_members(
    stores: Sequence[Store], workspace: str, segment: str, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Ids of at most `limit` members that come after the id `after`, in the order of their bytes, over these stores.

    The second value is where to go on, None at the end. Each page is as of when it is read.
    """
    wanted = segment_key(workspace, segment)

    def is_in(encoded: bytes) -> bool:
        entry = decode_roll(encoded).members.get(wanted)
        return entry is not None and entry[SEQUENCE] & 1 == 1

    return await page_of(stores, workspace, after, limit, membership_mark(wanted), is_in)


async def page_of(
    stores: Sequence[Store], workspace: str, after: str, limit: int, mark: bytes, is_in: Callable[[bytes], bool]
) -> tuple[list[str], str | None]:
    """Ids of at most `limit` contacts that come after the id `after`, in the order of their bytes, over these stores,
    and where to go on: those whose encoded state has the bytes `mark` in it and passes `is_in`."""
    limit = max(1, min(limit, MEMBERS_MAX))
    found = [await _of_store(store, workspace, after, limit + 1, mark, is_in) for store in stores]
    page = list(islice(merge(*found), limit + 1))
    more = len(page) > limit
    ids = [each.decode() for each in page[:limit]]
    return ids, ids[-1] if more else None


async def _of_store(
    store: Store, workspace: str, after: str, limit: int, mark: bytes, is_in: Callable[[bytes], bool]
) -> list[bytes]:
    prefix, cursor = store_key(workspace, ""), store_key(workspace, after)
    found: list[bytes] = []
    while True:
        part = list(islice(store.states(cursor), SCAN_SLICE))
        for key, encoded in part:
            if not key.startswith(prefix):
                return found
            # Most are passed over undecoded.
            if mark in encoded and is_in(encoded):
                found.append(key[len(prefix) :])
                if len(found) == limit:
                    return found
        if len(part) < SCAN_SLICE:
            return found
        cursor = part[-1][0]
        await asyncio.sleep(0)
