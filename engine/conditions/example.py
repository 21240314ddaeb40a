"""Worked examples that the conditions carry: the language reference shows them, and tests run them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, slots=True)
class Example:
    """Segments, facts, and the transitions that follow.

    `segments` is the text of definitions (YAML, parted by `---`); `facts` a fact a line, in arrival order: instant,
    type, contact, properties if any; `until` where the clock goes at the end; `published` a transition a line:
    instant, change, segment, contact, cause.
    """

    title: str
    segments: str
    facts: str
    until: str
    published: str

    @property
    def definitions(self) -> str:
        """The segments' text as an author would write it."""
        return dedent(self.segments).strip() + "\n"

    @property
    def lines(self) -> list[bytes]:
        """The facts as JSON lines, as `replay` reads them."""
        found = []
        for line in self.facts.strip().splitlines():
            at, kind, contact, properties = (*line.strip().split(" ", 3), "")[:4]
            fact = {"type": kind, "contact": contact, "at": at}
            found.append(json.dumps(fact | ({"properties": json.loads(properties)} if properties else {})).encode())
        return found

    @property
    def expected(self) -> list[str]:
        """The transitions, a line each."""
        return [line.strip() for line in self.published.strip().splitlines()]
