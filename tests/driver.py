"""The test driver: segments as YAML and facts as JSON lines in, transitions as their JSON out (DESIGN.md 6).

`given(segments, facts).at(T)` runs the core as `segment-engine replay` does, in memory; `.replayed(T)` runs the command
itself on files. Both let the clock go to T: deadlines strictly before T fire.

>>> buyers = "segment: buyers\\nwhen: {did: {event: purchase, within: P30D}}"
>>> seen = given(buyers, [fact("2026-01-31T10:00Z", "purchase")])
>>> seen.at("2026-03-02T10:00:00Z").members("buyers")
{'c-1'}
>>> seen.at("2026-03-02T10:00:00.001Z").told()
['enter buyers 2026-01-31T10:00:00.000Z event', 'exit buyers 2026-03-02T10:00:00.000Z clock']
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.cli import main
from engine.conditions.instants import parse_instant
from engine.definitions import Segment, check
from engine.definitions.reading import Documents, parse_definitions
from engine.membership.replay import Replay
from engine.membership.transitions import Transition, encode

Line = bytes | Mapping[str, Any]
Row = dict[str, Any]


def fact(at: str, kind: str, contact: str = "c-1", /, **properties: Any) -> Row:
    """One fact; `at` as 2026-05-01T10:00:00Z, minutes or a date alone will do. `named`, `workspace` and `arrives` as
    properties stand for the event's id, workspace and arrival."""
    found: Row = {"type": kind, "contact": contact, "at": _full(at)}
    for name, key in (("named", "id"), ("workspace", "workspace"), ("arrives", "arrives")):
        if name in properties:
            value = properties.pop(name)
            found[key] = _full(value) if key == "arrives" else value
    return {**found, "properties": properties} if properties else found


def _full(at: str) -> str:
    """`2026-05-01` and `2026-05-01T10:00Z` with all that RFC 3339 asks for."""
    if len(at) == len("2026-05-01"):
        return f"{at}T00:00:00Z"
    return f"{at[:-1]}:00Z" if len(at) == len("2026-05-01T10:00Z") else at


def line_of(found: Line) -> bytes:
    """A fact as it is written."""
    return found if isinstance(found, bytes) else json.dumps(found, ensure_ascii=False).encode()


def rows(transitions: Iterable[Transition]) -> list[Row]:
    """Transitions as the JSON on the wire."""
    return [json.loads(encode(each)) for each in transitions]


def told(transitions: Iterable[Row], contact: str | None = "c-1") -> list[str]:
    """`enter tea 2026-05-01T10:00:00.000Z event` of one contact (None: of all), in order."""
    return [
        f"{row['change']} {row['segment']} {row['at']} {row['cause']['kind']}"
        for row in transitions
        if contact in (None, row["contact"])
    ]


@dataclass(frozen=True)
class Seen:
    """What was published by the time the clock had come to T; `errors` is what the command said on standard error."""

    transitions: list[Row]
    errors: str = ""

    def members(self, segment: str, workspace: str = "default") -> set[str]:
        """Who is in, by the transitions alone, as a subscriber would know it."""
        inside: set[str] = set()
        for row in self.transitions:
            if (row["segment"], row["workspace"]) == (segment, workspace):
                (inside.add if row["change"] == "enter" else inside.remove)(row["contact"])
        return inside

    def told(self, contact: str | None = "c-1") -> list[str]:
        """Change, segment, instant and cause of each transition of one contact (None: of all), in order."""
        return told(self.transitions, contact)

    def of(self, segment: str, contact: str = "c-1") -> list[Row]:
        """The transitions of one contact in one segment."""
        return [row for row in self.transitions if (row["segment"], row["contact"]) == (segment, contact)]


@dataclass(frozen=True)
class Given:
    """Segments and facts, to be looked at."""

    segments: str
    facts: Sequence[Line]
    changes: Sequence[Row] = ()

    def replay(self) -> Replay:
        """The core with the segments in force and no fact taken."""
        return Replay(*definitions(self.segments))

    def at(self, instant: str | None = None) -> Seen:
        """Through the core in memory, the clock going to `instant` at the end (None: where the facts leave it)."""
        replay = self.replay()
        assert not self.changes, "changes of definitions are made by the command: use replayed()"
        found = [each for line in self.facts for each in replay.take(line_of(line))]
        found += [] if instant is None else replay.until(parse_instant(_full(instant)))
        seen = Seen(rows(found))
        for segment in documents(self.segments):
            key = (segment.segment, segment.workspace)
            assert replay.members(*key) == seen.members(*key), "the state and the transitions differ"
        return seen

    def replayed(self, instant: str | None = None) -> Seen:
        """Through the command `segment-engine replay`, on files; it must end with code 0."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            words = ["replay", *self.files(folder)]
            if self.changes:
                (folder / "changes.jsonl").write_bytes(b"".join(line_of(each) + b"\n" for each in self.changes))
                words += ["--definitions", str(folder / "changes.jsonl")]
            code, out, errors = command(words if instant is None else [*words, "--until", _full(instant)])
        assert code == 0, errors
        return Seen([json.loads(line) for line in out.splitlines()], errors)

    def files(self, folder: Path) -> list[str]:
        """Writes segments and facts into `folder`; the options that name them."""
        segments, events = folder / "segments.yaml", folder / "events.jsonl"
        segments.write_text(self.segments, encoding="utf-8")
        events.write_bytes(b"".join(line_of(each) + b"\n" for each in self.facts))
        return ["--segments", str(segments), "--events", str(events)]


def given(segments: str, facts: Iterable[Line], changes: Iterable[Row] = ()) -> Given:
    """Segments as YAML (`---` parts them), facts in arrival order, changes as lines of `--definitions`."""
    return Given(segments, list(facts), list(changes))


def documents(text: str) -> list[Segment]:
    """The checked segments of a YAML text."""
    return definitions(text).segments


def definitions(text: str) -> Documents:
    """The checked segments and models of a YAML text."""
    found = parse_definitions(text, "given")
    check(*found)
    return found


def command(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one `segment-engine` command line."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main.run(list(words))
    assert "Traceback" not in errors.getvalue()
    return code, out.getvalue(), errors.getvalue()
