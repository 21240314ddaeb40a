"""`segment-engine replay`: facts from a file through the very core that the worker runs, without a broker."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
import orjson

from engine.cli.errors import UserError
from engine.cli.lines import open_lines, reader_may_leave
from engine.cli.options import settings_of
from engine.cli.replay_changes import Change, read_changes

if TYPE_CHECKING:
    from engine.definitions import Documents
    from engine.membership.replay import Replay
    from engine.membership.transitions import Transition
    from engine.worker.settings import Settings


@click.command()
@click.option("--segments", "folder", required=True, metavar="DIR", help="Definitions: a folder, or one file.")
@click.option(
    "--events", required=True, metavar="FILE", help="Facts as JSON lines, in arrival order; - is standard input."
)
@click.option(
    "--definitions",
    metavar="FILE",
    help='Changes as JSON lines: {"at": …, "apply": {…}}, {"at": …, "delete": "id"}, and so pause and resume.',
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
        journal_facts=settings.journal_facts, journal_bytes=settings.journal_bytes,
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
        change = changes.pop(0)
        yield replay.until(change.at)
        paused, resumed = ([key for key, still in change.pause.items() if still is wanted] for wanted in (True, False))
        yield replay.change(list(change.apply.values()), sorted(change.delete), paused, resumed)


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
    if replay.erased:
        told += f", {replay.erased:,} of erased contacts ignored"
    if replay.late:
        told += f", {replay.late:,} late facts"
    if replay.unplaced:
        told += f", {replay.unplaced:,} of them from before what the journal holds"
    if replay.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(replay.rejected).most_common())
        told += f"; {sum(replay.rejected.values()):,} lines refused: {reasons}"
    print(told, file=sys.stderr)
    if left:
        lines = sum(each.lines for each in left)
        print(f"{lines} changes of definitions lie after the clock's end and were not made", file=sys.stderr)


def instant_of(text: object, where: str) -> int:
    """Milliseconds of an RFC 3339 text. Raises UserError with `where` it stands."""
    from engine.conditions.instants import parse_instant

    try:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a text")
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z.") from None
