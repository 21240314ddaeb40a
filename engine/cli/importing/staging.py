"""People of a file, each once: kept in a temporary database on disk, so that memory does not grow with the file.

Rows of one contact are folded: of each attribute the later row's value stands (an empty cell leaves it), tags are
joined.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from engine.cli.importing.columns import Person
from engine.cli.importing.rows import Bad

BATCH: Final = 5_000
"""People folded in memory before they are written."""
CACHE_KIB: Final = 32_768
"""Pages of the database in memory."""
TAGS_MAX: Final = 10_000
"""Of one contact: what the engine keeps of one."""

_attributes = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_tags = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.Encoder().encode


class Staged(NamedTuple):
    """One contact, folded: attributes as a JSON object, tags as a JSON list, each None where there are none."""

    contact: str
    attributes: bytes | None
    tags: bytes | None


class Staging:
    """The people in a new database at `path`, in the order of their ids' bytes. Close it; remove the file yourself.

    `bytes_max` is how long attributes or tags of one contact may be. `folded` counts rows that were of a contact that
    had one.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        self.folded = 0
        self._bytes_max = bytes_max
        self._pending: dict[str, Person] = {}
        self._lines: dict[str, int] = {}
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        for name in ("people (contact TEXT PRIMARY KEY, attributes BLOB, tags BLOB)", "kept (contact TEXT PRIMARY KEY)",
                     "gone (contact TEXT PRIMARY KEY)"):  # fmt: skip
            self._base.execute(f"CREATE TABLE {name} WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def add(self, person: Person, line: int) -> list[Bad]:
        """Folds one row in; the rows that made a contact too long, if it comes to that now."""
        known = self._pending.get(person.contact)
        if known is None:
            self._pending[person.contact] = person
            self._lines[person.contact] = line
            return self.flush() if len(self._pending) >= BATCH else []
        attributes = known.attributes | person.attributes
        tags = list(dict.fromkeys((*known.tags, *person.tags)))
        if why := self._too_long(_encode(_raw(attributes)), len(tags), _encode(tags)):
            return [Bad(line, why, person.contact[:80])]
        known.attributes, known.tags = attributes, tags
        self._lines[person.contact] = line
        self.folded += 1
        return []

    def flush(self) -> list[Bad]:
        """Writes what is held in memory; as `add`."""
        bad: list[Bad] = []
        self._base.execute("BEGIN")
        for contact, person in self._pending.items():
            row = self._base.execute("SELECT attributes, tags FROM people WHERE contact = ?", (contact,)).fetchone()
            attributes, tags = _raw(person.attributes), person.tags
            if row is not None:
                attributes = (_attributes(row[0]) if row[0] else {}) | attributes
                tags = list(dict.fromkeys((*(_tags(row[1]) if row[1] else ()), *tags)))
            encoded = _encode(attributes) if attributes else None, _encode(tags) if tags else None
            if why := self._too_long(encoded[0] or b"", len(tags), encoded[1] or b""):
                bad.append(Bad(self._lines[contact], why, contact[:80]))
                self.keep(contact)
            elif row is None:
                self._base.execute("INSERT INTO people VALUES (?, ?, ?)", (contact, *encoded))
            else:
                self.folded += 1
                self._base.execute("UPDATE people SET attributes = ?, tags = ? WHERE contact = ?", (*encoded, contact))
        self._base.execute("COMMIT")
        self._pending.clear()
        self._lines.clear()
        return bad

    def keep(self, contact: str) -> None:
        """A contact whose row is bad: it is not loaded, and is no one who is missing."""
        self._base.execute("INSERT OR IGNORE INTO kept VALUES (?)", (contact,))

    def miss(self, present: Iterable[str]) -> int:
        """Notes who of those `present` on the list is not in the file; returns how many that are."""
        count = 0
        self._base.execute("BEGIN")
        for contact in present:
            found = self._base.execute(
                "SELECT 1 FROM people WHERE contact = ?1 UNION ALL SELECT 1 FROM kept WHERE contact = ?1", (contact,)
            ).fetchone()
            if found is None:
                count += self._base.execute("INSERT OR IGNORE INTO gone VALUES (?)", (contact,)).rowcount
        self._base.execute("COMMIT")
        return count

    def __len__(self) -> int:
        """Contacts, after `flush`."""
        return int(self._base.execute("SELECT count(*) FROM people").fetchone()[0])

    def people(self) -> Iterator[Staged]:
        """All contacts."""
        for row in self._base.execute("SELECT contact, attributes, tags FROM people ORDER BY contact"):
            yield Staged(*row)

    def gone(self) -> Iterator[str]:
        """Those of `miss`."""
        for (contact,) in self._base.execute("SELECT contact FROM gone ORDER BY contact"):
            yield contact

    def _too_long(self, attributes: bytes, tags: int, encoded: bytes) -> str | None:
        if tags > TAGS_MAX:
            return f"with the rows before it the contact has more than {TAGS_MAX:,} tags"
        if max(len(attributes), len(encoded)) > self._bytes_max:
            return f"the contact's attributes or tags have more than {self._bytes_max:,} bytes (MAX_EVENT_BYTES)"
        return None


def _raw(attributes: dict[str, bytes]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(value) for name, value in attributes.items()}
