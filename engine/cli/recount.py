"""`segment-engine recount`: the batch proof, on a file or on the topics of a running installation."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from engine.cli.errors import UserError
from engine.cli.options import brokers_option, group_option, settings_of
from engine.cli.output import Format, emit, output_option
from engine.cli.recount_definitions import InForce
from engine.cli.recount_topics import (
    DEFINITIONS,
    TRANSITIONS,
    Order,
    definitions_of,
    facts_of,
    read_topics,
    transitions_of,
)
from engine.recount import Result, Unsupported, compare, recount
from engine.recount.instants import instant, text_of
from engine.worker.settings import Settings

SETTLED_MS = 10_000
"""How far before now a recount of a running installation ends, so that what is under way does not count as missing."""

Facts = list[bytes | Mapping[str, Any]]


@click.command()
@click.option(
    "--segments", type=click.Path(path_type=Path), help="Folder of definitions; with --from-topics the applied ones."
)
@click.option("--events", metavar="FILE|-", help="Facts as JSON lines in arrival order, as for replay.")
@click.option("--from-topics", is_flag=True, help="Facts and transitions of a running installation.")
@click.option(
    "--order",
    type=click.Choice(["arrival", "at"]),
    default="arrival",
    show_default=True,
    help="How the engine took the topics: live, or loaded before it started.",
)
@click.option("--until", metavar="T", help="Where the clock goes at the end: an RFC 3339 instant.")
@click.option(
    "--transitions", type=click.Path(path_type=Path), help="The engine's transitions, JSON lines, to compare."
)
@click.option(
    "--members", type=click.Path(path_type=Path), help="The engine's members, JSON lines of segment and contact."
)
@click.option(
    "--show",
    type=click.Choice(["transitions", "members"]),
    default="transitions",
    show_default=True,
    help="What to list if nothing is compared.",
)
@brokers_option
@group_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    segments: Path | None,
    events: str | None,
    from_topics: bool,
    order: Order,
    until: str | None,
    transitions: Path | None,
    members: Path | None,
    show: str,
    output: Format,
    **flags: object,
) -> int:
    """Recount members and transitions from raw events, by a plain evaluator that shares no code with the engine.

    Without --transitions, --members or --from-topics the recount itself is listed. Otherwise the differences are, and
    the exit code is 0 if there are none, 1 if there are. Contacts with a fact that came late are compared by their
    members alone; so are, on running topics, segments whose definition was changed or came after the first fact, and of
    deleted ones there must be none; what is paused is left out. What is younger than ten seconds there, or not before
    --until, is left out too.
    """
    if from_topics == (events is not None):
        raise UserError("Give either --events FILE (or - for standard input) or --from-topics.")
    settings = settings_of(ctx, **flags)
    end = None if until is None else _instant(until)
    engine_transitions = None if transitions is None else _rows(transitions)
    if from_topics:
        facts, published, applied, end = asyncio.run(_installation(settings, order, end, segments is None))
        engine_transitions = published if engine_transitions is None else engine_transitions
    else:
        applied, facts = InForce(), [*_lines(events or "-")]
    result = _recount(
        applied.definitions if segments is None and from_topics else _definitions(segments),
        facts,
        until=end,
        grace=settings.grace,
        skew=settings.skew,
        dedup=settings.dedup,
        partitions=settings.partitions if from_topics else None,
        clock_follows_arrival=not from_topics,
        # The arrival written into a record adds to its length.
        max_bytes=settings.max_event_bytes + (64 if from_topics else 0),
    )
    _say(result)
    if engine_transitions is None and members is None:
        emit(_members(result) if show == "members" else _transitions(result), _COLUMNS[show], output)
        return 0
    differences = compare(
        result,
        _moving(engine_transitions, applied),
        _moving(None if members is None else _rows(members), applied),
        by_members=applied.changed,
    )
    _say_in_part(applied)
    if differences or output != "table":
        emit(({"difference": line} for line in differences), ("difference",), output)
    print(f"{len(differences)} differences" if differences else "the recount agrees", file=sys.stderr)
    return 1 if differences else 0


_COLUMNS = {
    "transitions": ("at", "workspace", "segment", "contact", "change", "sequence", "cause"),
    "members": ("workspace", "segment", "contact"),
}


async def _installation(
    settings: Settings, order: Order, end: int | None, definitions: bool
) -> tuple[Facts, list[dict[str, Any]], InForce, int | None]:
    """Facts, transitions, applied definitions, and where the clock ends, of the topics as they stand."""
    if end is None and settings.clock == "wall":
        end = time.time_ns() // 10**6 - settings.grace - SETTLED_MS
    known = await read_topics(settings.brokers, [DEFINITIONS]) if definitions else []
    records = await read_topics(settings.brokers, settings.input_topics)
    arrivals = (record.timestamp for record in records) if order == "arrival" else ()
    applied = definitions_of(known, min(arrivals, default=None))
    published = await read_topics(settings.brokers, [TRANSITIONS])
    return facts_of(records, order, end), transitions_of(published, end), applied, end


def _moving(rows: Iterable[Mapping[str, Any]] | None, applied: InForce) -> list[Mapping[str, Any]] | None:
    """Transitions or members without those of segments that stand still."""
    if rows is None:
        return None
    return [row for row in rows if (row.get("workspace", "default"), row["segment"]) not in applied.still]


def _say_in_part(applied: InForce) -> None:
    from engine.worker.definition_record import listed

    if applied.still:
        print(f"Not compared, as paused or resting on what is: {listed(applied.still)}", file=sys.stderr)
    if applied.changed:
        print(
            f"Compared by members alone, as changed, deleted or later than facts: {listed(applied.changed)}",
            file=sys.stderr,
        )


def _recount(definitions: list[dict[str, Any]], facts: Facts, **settings: Any) -> Result:
    from rich.console import Console
    from rich.progress import track

    segments = [each for each in definitions if "segment" in each]
    models = [each for each in definitions if "segment" not in each]
    read = track(facts, "recounting", console=Console(stderr=True), disable=not sys.stderr.isatty())
    try:
        return recount(segments, read, models, **settings)
    except Unsupported as error:
        raise UserError(f"{error}.") from None


def _definitions(folder: Path | None) -> list[dict[str, Any]]:
    from engine.definitions import DefinitionErrors, canonical_form, load_definitions

    if folder is None:
        raise UserError("Give the folder of definitions: --segments DIR.")
    try:
        found = load_definitions(folder)
        return [canonical_form(each) for kind in found for each in kind]
    except (DefinitionErrors, OSError) as error:
        raise UserError(str(error)) from None


def _lines(name: str) -> list[bytes]:
    if name == "-":
        return list(sys.stdin.buffer)
    try:
        with Path(name).open("rb") as file:
            return list(file)
    except OSError as error:
        raise UserError(f"{name} can't be read: {error.strerror}.") from None


def _rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_lines(str(file)), 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not {"segment", "contact"} <= row.keys():
            raise UserError(f"{file}, line {number}: not a JSON object with a segment and a contact.")
        rows.append(row)
    return rows


def _instant(text: str) -> int:
    try:
        return instant(text)
    except ValueError as error:
        raise UserError(f"--until: {error}.") from None


def _transitions(result: Result) -> Iterable[dict[str, object]]:
    return ({**row, "at": text_of(row["at"])} for row in result.transitions)


def _members(result: Result) -> Iterable[dict[str, object]]:
    for workspace, segment in sorted(result.members):
        for contact in sorted(result.members[workspace, segment]):
            yield {"workspace": workspace, "segment": segment, "contact": contact}


def _say(result: Result) -> None:
    for line, reason in result.rejected[:10]:
        print(f"record {line} is no fact: {reason}", file=sys.stderr)
    rejected = f"{len(result.rejected)} rejected, {result.duplicates} duplicates"
    if result.erased:
        rejected += f", {result.erased} of erased contacts ignored"
    members = sum(map(len, result.members.values()))
    print(
        f"{result.facts} facts ({rejected}), {len(result.transitions)} transitions, {members} members of "
        f"{len(result.members)} segments, {len(result.late_contacts)} contacts with late facts",
        file=sys.stderr,
    )
