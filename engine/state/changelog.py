"""The two topics that are the truth of a partition: names, keys, and when a local store still agrees with them.

Changelog keys: `s` + store key → state (nothing: erased), `p` → position, `i` → the identity of the log itself, `v` →
the definitions that every contact was filled for, `e` + digest (16 bytes, keyed by the identity) of an erased contact →
when, `h` + segment and hour → counts (`engine.state.counts`); keys of other kinds are kept as they are.
Journal keys: store key + chunk number (4 bytes, big-endian) → facts. All of one commit is in one transaction.

The identity is 16 random bytes, written as the very first record of a changelog partition and never again, so that it
stays the first that a reader sees: a topic deleted and made anew under the same name has another, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.state.store import Meta

STATE: Final = b"s"
POSITION: Final = b"p"
IDENTITY: Final = b"i"
FILLED: Final = b"v"
ERASED: Final = b"e"


def changelog_topic(group: str) -> str:
    """Name of the changelog topic of a consumer group."""
    return f"engine.{group}.changelog"


def journal_topic(group: str) -> str:
    """Name of the journal topic of a consumer group."""
    return f"engine.{group}.journal"


def transactional_id(group: str, number: int) -> str:
    """The stable id under which a partition's owner commits, and fences the owner before it."""
    return f"{group}-{number}"


def journal_key(key: bytes, chunk: int) -> bytes:
    """Key of one chunk of the journal of the contact with this store key."""
    return key + chunk.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Log:
    """What the broker says of one partition of a log: the first offset kept, and the one after the last committed."""

    begin: int
    end: int


def why_wipe(
    meta: Meta,
    *,
    identity: bytes,
    changelog: Log,
    journal: Log,
    now: int,
    delete_retention: int,
) -> str | None:
    """Why a store cannot be brought up to date and must be restored from the start; None if it can.

    `identity` is the changelog's, empty when it has none; `now` and `delete_retention` are in milliseconds. A journal
    whose beginning has passed the stored offset is no reason: what retention removed from the topic is not needed.
    """
    if meta.identity != identity:
        return "the changelog is another topic than the store was filled from"
    if meta.changelog > changelog.end:
        return f"the changelog ends at {changelog.end}, before the stored offset {meta.changelog}"
    if meta.changelog < changelog.begin:
        return f"the changelog begins at {changelog.begin}, after the stored offset {meta.changelog}"
    if meta.journal > journal.end:
        return f"the journal ends at {journal.end}, before the stored offset {meta.journal}"
    if now - meta.written_at > delete_retention:
        return "the store is older than the changelog keeps what was deleted"
    return None
