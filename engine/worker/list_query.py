"""Who is on a list of people, as the committed states of this worker's partitions have it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.state.codec import decode_contact
from engine.state.store import Store
from engine.worker.query import page_of


async def list_contacts(
    stores: Sequence[Store], workspace: str, name: str, after: str, limit: int
) -> tuple[list[str], str | None]:
    """Ids of at most `limit` contacts on the list `name` that come after the id `after`, in the order of their bytes.

    The second value is where to go on, None at the end. Each page is as of when it is read.
    """

    def is_on(encoded: bytes) -> bool:
        entry = (decode_contact(encoded).lists or {}).get(name)
        return entry is not None and entry[1] == 1

    # The name as it stands in a state: who has not these bytes is not on the list.
    return await page_of(stores, workspace, after, limit, msgspec.msgpack.encode(name), is_on)
