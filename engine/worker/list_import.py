"""People put on a list, as ordinary facts: of one instant, with ids that are the same when the import is run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from xxhash import xxh3_64_hexdigest

from engine.conditions.fact import Fact
from engine.conditions.instants import format_instant
from engine.membership.facts import CONTACT_BYTES_MAX, ID_BYTES_MAX
from engine.worker.publishing import Publisher

FRAME_BYTES: Final = 4_096
"""Of an event around its properties, at most: ids, instant, names."""
assert CONTACT_BYTES_MAX + 200 < ID_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ListImport:
    """One import: onto which list, as of which instant (ms), of which content.

    `content` is a digest of the file and of how it is read. The same four make the same ids, which the engine takes
    once within DEDUP: so an import that broke off is simply run again.
    """

    workspace: str
    list: str
    at: int
    content: str

    @property
    def id(self) -> str:
        """Names the import, in every event's id too."""
        return f"import-{xxh3_64_hexdigest(orjson.dumps((self.workspace, self.list, self.at, self.content)))}"

    def added(self, contact: str, attributes: bytes | None, tags: bytes | None) -> Iterator[tuple[str, bytes]]:
        """Type and bytes of the facts of one contact on the list: `attributes` a JSON object, `tags` a JSON list.

        The list comes last, so that the enter that follows carries the new attributes.
        """
        if attributes is not None:
            yield self._event("contact_updated", contact, orjson.Fragment(attributes))
        if tags is not None:
            yield self._event("tags_added", contact, {"tags": orjson.Fragment(tags)})
        yield self._event("list_added", contact, {"list": self.list})

    def removed(self, contact: str) -> Iterator[tuple[str, bytes]]:
        """The same of one who is on the list no more."""
        yield self._event("list_removed", contact, {"list": self.list})

    def _event(self, kind: str, contact: str, properties: object) -> tuple[str, bytes]:
        event = {
            "id": f"{self.id}/{kind}/{contact}",
            "type": kind,
            "contact": contact,
            "at": format_instant(self.at),
            "workspace": self.workspace,
            "properties": properties,
        }
        return kind, orjson.dumps(event)


async def publish(publisher: Publisher, workspace: str, contact: str, facts: Sequence[tuple[str, bytes]]) -> None:
    """Sends one contact's facts, in their order. Raises PublishError."""
    for kind, value in facts:
        fact = Fact(contact, kind, "")
        fact.workspace = workspace
        await publisher.publish(fact, value)
