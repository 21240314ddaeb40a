"""Who is on a list of people, as the committed states of this worker's partitions have it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from typing import Final

import msgspec

from engine.membership.placement import store_key
from engine.state.codec import decode_contact
from engine.state.store import Store

SCAN_SLICE: Final = 2_000
"""States looked at between two turns of the event loop: most are passed over undecoded, in a millisecond all."""
PAGE_MAX: Final = 10_000


async def list_contacts(
    stores: Sequence[Store], workspace: str, name: str, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Ids of at most `limit` contacts on the list `name` that come after the id `after`, in the order of their bytes.

    The second value is where to go on, None at the end. Each page is as of when it is read.
    """
    limit = max(1, min(limit, PAGE_MAX))
    found = [await _of_store(store, workspace, name, after, limit + 1) for store in stores]
    page = list(islice(merge(*found), limit + 1))
    more = len(page) > limit
    ids = [each.decode() for each in page[:limit]]
    return ids, ids[-1] if more else None


async def _of_store(store: Store, workspace: str, name: str, after: str, limit: int) -> list[bytes]:
    prefix, cursor = store_key(workspace, ""), store_key(workspace, after)
    # The name as it stands in a state: who has not these bytes is not on the list.
    written = msgspec.msgpack.encode(name)
    found: list[bytes] = []
    while True:
        part = list(islice(store.states(cursor), SCAN_SLICE))
        for key, encoded in part:
            if not key.startswith(prefix):
                return found
            if written not in encoded:
                continue
            entry = (decode_contact(encoded).lists or {}).get(name)
            if entry is not None and entry[1] == 1:
                found.append(key[len(prefix) :])
                if len(found) == limit:
                    return found
        if len(part) < SCAN_SLICE:
            return found
        cursor = part[-1][0]
        await asyncio.sleep(0)
