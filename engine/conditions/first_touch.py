"""The first touch of a contact: where it came from, told by the earliest of its facts that says so.

>>> touch = FirstTouch(("utm_source", "qr"))
>>> first = Fact("c-1", "click", "", decoded={"qr": "poster-7", "utm_source": ""})
>>> touch.add(None, first, 0, 0)
[0, 'poster-7']
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine.conditions.fact import Fact
from engine.conditions.feature import Feature, Intake
from engine.conditions.instants import NEVER
from engine.conditions.paths import parse_path, path_text, reader_at

SOURCE_BYTES_MAX: Final = 128
"""Bytes of a source's name in UTF-8; a longer one is cut."""
_BACKSLASH: Final = 0x5C
"""In a JSON text, what any letter of a name may hide behind."""
_COMMON: Final = b"etaoinsrhdlucmfpygwbvk0123456789-"
"""Bytes that many properties have, the most common first: a name is looked for only where its rarest byte is found,
which takes a tenth of the time."""


class FirstTouch(Feature):
    """`[at, source]` of the earliest fact, by `at`, then arrival, that names one of the properties as a text.

    No segment looks at it, so facts of every type go past it: `may_be_in` turns away those that cannot name a source
    without decoding their properties.
    """

    def __init__(self, properties: tuple[str, ...]) -> None:
        """`properties` are paths, at least one; of one fact the first counts that is there. Raises ValueError."""
        names = [parse_path(path) for path in properties]
        every_type = Intake(frozenset(), ("",), None, "", 0, NEVER)
        super().__init__(f"first touch|{[path_text(each) for each in names]}", (every_type,))
        self._readers = [reader_at(each) for each in names]
        marks = [each[-1].encode() for each in names]
        self._marks = [(min(mark, key=_commonness), mark) for mark in marks]

    def may_be_in(self, raw: bytes) -> bool:
        """Whether properties with this JSON text may name a source; never False for those that do."""
        for rarest, mark in self._marks:
            if rarest in raw and raw.find(mark) >= 0:
                return True
        return _BACKSLASH in raw

    def named_in(self, fact: Fact) -> str | None:
        """The source that a fact names."""
        properties = fact.properties
        for read in self._readers:
            for value in read(properties):
                if type(value) is str and value:
                    return _cut(value)
        return None

    def add(self, value: Any, fact: Fact, role: int, as_of: int) -> Any:
        if value is not None and value[0] <= fact.at:
            return value
        source = self.named_in(fact)
        return value if source is None else [fact.at, source]

    def mend(self, value: Any, before: list[Fact], after: list[Fact], as_of: int) -> Any:
        was, now = self.fold(before, as_of), self.fold(after, as_of)
        if value == was:
            return now
        # It is older than the history and stays, unless something still older came.
        return value if now is None or (value is not None and value[0] <= now[0]) else now

    def fold(self, facts: Iterable[Fact], as_of: int, value: Any = None) -> Any:
        for fact in facts:
            if self.may_be_in(bytes(fact.raw)):
                value = self.add(value, fact, 0, as_of)
        return value


def _commonness(byte: int) -> int:
    place = _COMMON.find(byte)
    return 0 if place < 0 else len(_COMMON) - place


def _cut(text: str) -> str:
    """The text, or as many of its first characters as have SOURCE_BYTES_MAX bytes.

    >>> len(_cut("ё" * 200)), _cut("direct")
    (64, 'direct')
    """
    if len(text) * 4 <= SOURCE_BYTES_MAX:
        return text
    return text.encode()[:SOURCE_BYTES_MAX].decode(errors="ignore")
