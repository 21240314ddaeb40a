"""`segment-engine replay`: facts from a file through the very core that the worker runs, without a broker."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from engine.cli.errors import UserError
from engine.cli.lines import open_lines, reader_may_leave
from engine.cli.options import settings_of

if TYPE_CHECKING:
    from engine.definitions import Definition, Documents
    from engine.membership.replay import Replay
    from engine.membership.transitions import Transition
    from engine.worker.settings import Settings

LATER: Final = ("pause", "resume")
"""Changes of definitions that the design knows and this version does not."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of `--definitions`: at `at` (ms) a definition comes into force, or the one with the key `delete` leaves.

    A key is the workspace and a segment's id, or a model's with `model:` before it.
    """

    line: int
    at: int
    apply: Definition | None
    delete: tuple[str, str] | None


@click.command()
@click.option("--segments", "folder", required=True, metavar="DIR", help="Definitions: a folder, or one file.")
@click.option(
    "--events", required=True, metavar="FILE", help="Facts as JSON lines, in arrival order; - is standard input."
)
@click.option(
    "--definitions", metavar="FILE", help='Changes as JSON lines: {"at": …, "apply": {…}}, {"at": …, "delete": "id"}.'
)
@click.option("--until", metavar="T", help="Where the clock goes at the end: an RFC 3339 instant.")
@click.pass_context
def command(ctx: click.Context, folder: str, events: str, definitions: str | None, until: str | None) -> None:
    """Facts from a file to transitions, without a broker.

    Transitions come as JSON lines on standard output; what was refused, and a summary, on standard error. A fact may
    carry `arrives`: the clock goes there before it is taken. The settings GRACE, DEDUP, SKEW, JOURNAL_RETENTION and
    MAX_EVENT_BYTES count here too.
    """
    from engine.cli.folders import definitions_in

    settings = settings_of(ctx)
    end = None if until is None else instant_of(until, "--until")
    found = definitions_in(folder, settings)
    changes = [] if definitions is None else read_changes(definitions, found, settings)
    replay = replay_of(found, settings)
    published = 0
    with reader_may_leave():
        for transitions in play(replay, events, changes, end, settings):
            published += len(transitions)
            _write(transitions)
    _tell(replay, published, changes)


def replay_of(found: Documents, settings: Settings) -> Replay:
    """The core with these definitions in force and no fact taken."""
    from engine.membership.replay import Replay

    return Replay(
        *found, grace=settings.grace, dedup=settings.dedup, skew=settings.skew,
        journal_retention=settings.journal_retention, max_event_bytes=settings.max_event_bytes,
    )  # fmt: skip


def play(
    replay: Replay, events: str, changes: list[Change], end: int | None, settings: Settings
) -> Iterator[list[Transition]]:
    """What follows from each line, in order. Changes are taken off the front of `changes` when their instant comes."""
    with open_lines(events, "Replaying") as lines:
        for number, line in lines:
            if changes:
                yield from _change(replay, changes, _clock_after(line, settings))
            yield replay.take(line)
            if replay.refusal is not None:
                print(f"{events}:{number}: {replay.refusal.reason}: {replay.refusal.detail}", file=sys.stderr)
    if end is not None:
        yield from _change(replay, changes, end)
        yield replay.until(end)
    else:
        yield replay.finish()


def _change(replay: Replay, changes: list[Change], clock: int | None) -> Iterator[list[Transition]]:
    """Makes the changes that are due when the clock goes to `clock`: each at its own instant, before what moves it."""
    while changes and clock is not None and changes[0].at <= clock:
        at = changes[0].at
        together = [each for each in changes if each.at == at]  # the lines of one instant are one change
        del changes[: len(together)]
        yield replay.until(at)
        applied = {each.apply.key: each.apply for each in together if each.apply is not None}
        deleted = [each.delete for each in together if each.delete is not None]
        yield replay.change(list(applied.values()), deleted)


def _clock_after(line: bytes, settings: Settings) -> int | None:
    """Where a fact's line takes the clock at least; None for a line that is no fact."""
    from engine.conditions.instants import parse_instant
    from engine.membership.facts import Rejected, read_fact

    try:
        arrives = orjson.loads(line).get("arrives") if b'"arrives"' in line else None
        arrival = None if arrives is None else parse_instant(arrives)
    except (ValueError, TypeError, AttributeError):
        return None
    fact = read_fact(line, arrival=arrival, fallback_id="line", skew=settings.skew, max_bytes=settings.max_event_bytes)
    if isinstance(fact, Rejected):
        return None
    return max(fact.at - settings.grace, -1 if arrival is None else arrival)


def _write(transitions: Sequence[Transition]) -> None:
    from engine.membership.transitions import encode

    if transitions:
        sys.stdout.write("".join(encode(each).decode() + "\n" for each in transitions))


def _tell(replay: Replay, published: int, left: Sequence[Change]) -> None:
    told = f"{replay.facts:,} facts, {published:,} transitions"
    if replay.duplicates:
        told += f", {replay.duplicates:,} duplicates ignored"
    if replay.late:
        told += f", {replay.late:,} late facts"
    if replay.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(replay.rejected).most_common())
        told += f"; {sum(replay.rejected.values()):,} lines refused: {reasons}"
    print(told, file=sys.stderr)
    if left:
        print(f"{len(left)} changes of definitions lie after the clock's end and were not made", file=sys.stderr)


def instant_of(text: object, where: str) -> int:
    """Milliseconds of an RFC 3339 text. Raises UserError with `where` it stands."""
    from engine.conditions.instants import parse_instant

    try:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a text")
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z.") from None


def read_changes(source: str, definitions: Documents, settings: Settings) -> list[Change]:
    """The lines of `--definitions` by instant, checked with what is in force at each. Raises UserError."""
    found: list[Change] = []
    with open_lines(source, "Reading definitions") as lines:
        for number, line in lines:
            found.append(_read_change(line, f"{source}:{number}", number))
    found.sort(key=lambda change: change.at)
    _check_changes(found, definitions, source, settings)
    return found


def _read_change(line: bytes, where: str, number: int) -> Change:
    from engine.definitions import DefinitionErrors, read_definition

    try:
        entry: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise UserError(f'{where}: not an object such as {{"at": "2026-05-01T10:00:00Z", "delete": "tea"}}.')
    for name in LATER:
        if name in entry:
            raise UserError(f"{where}: {name} is not supported by this version; apply and delete are.")
    if set(entry) not in ({"at", "apply"}, {"at", "delete"}):
        raise UserError(
            f"{where}: a line has at, and one of apply and delete; this one has {', '.join(entry) or 'nothing'}."
        )
    at = instant_of(entry["at"], f"{where}: at")
    if "delete" in entry:
        named = entry["delete"]
        if not isinstance(named, str) or not named:
            raise UserError(f"{where}: delete names a segment: id, or workspace/id; or a model: model:id.")
        workspace, _, name = named.rpartition("/")
        return Change(number, at, None, (workspace or "default", name))
    try:
        return Change(number, at, read_definition(entry["apply"], where), None)
    except DefinitionErrors as error:
        raise UserError(str(error)) from None


def _check_changes(changes: Sequence[Change], definitions: Documents, source: str, settings: Settings) -> None:
    """What is in force after all changes of one instant must be able to run together."""
    from engine.definitions import DefinitionErrors, Model, Segment, check

    active: dict[tuple[str, str], Definition] = {each.key: each for each in definitions.segments}
    active |= {each.key: each for each in definitions.models}
    for place, change in enumerate(changes):
        if change.apply is not None:
            active[change.apply.key] = change.apply
        elif change.delete is not None and active.pop(change.delete, None) is None:
            raise UserError(f"{source}:{change.line}: there is no segment {'/'.join(change.delete)} to delete.")
        if place + 1 < len(changes) and changes[place + 1].at == change.at:
            continue
        try:
            segments = [each for each in active.values() if isinstance(each, Segment)]
            models = [each for each in active.values() if isinstance(each, Model)]
            check(segments, models, journal_retention=settings.journal_retention)
        except DefinitionErrors as error:
            raise UserError(
                f"{source}:{change.line}: after this change the segments cannot run together:\n{error}"
            ) from None
