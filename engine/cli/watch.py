"""`segment-engine watch`: transitions as they happen, committed ones only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import orjson

from engine.cli.errors import UserError
from engine.cli.lines import reader_may_leave
from engine.cli.options import brokers_option, settings_of
from engine.cli.output import emit

if TYPE_CHECKING:
    from engine.worker.settings import Settings

POLL_MS: Final = 200
WIDTHS: Final = (24, 5, 24, 24)

Output = Literal["table", "json", "jsonl"]


@click.command()
@click.argument("segment", required=False, metavar="[SEGMENT]")
@click.option(
    "-w", "--workspace", help="Only of this workspace; default: of all, and `default` where a segment is named."
)
@click.option("--from", "start", type=click.Choice(("start", "now")), default="now", show_default=True)
@click.option("--to-end", is_flag=True, help="Stop at what is the end when the command starts.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many transitions.")
@brokers_option
@click.option(
    "-o", "--output", type=click.Choice(("table", "json", "jsonl")),
    help="Form of the list; default: table on a terminal, jsonl elsewhere. json comes at the end, as one array.",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    segment: str | None,
    workspace: str | None,
    start: str,
    to_end: bool,
    count: int | None,
    brokers: str | None,
    output: Output | None,
) -> None:
    """Follow the transitions, of one segment or of all, until Ctrl-C.

    They are read from segments.transitions, read_committed: each once, in order for each contact.
    """
    settings = settings_of(ctx, brokers=brokers)
    if segment is not None and workspace is None:
        workspace = "default"
    form = output or ("table" if sys.stdout.isatty() else "jsonl")
    with reader_may_leave():
        asyncio.run(_watch(settings, (workspace, segment), start == "start", to_end, count, form))


async def _watch(
    settings: Settings,
    wanted: tuple[str | None, str | None],
    from_start: bool,
    to_end: bool,
    count: int | None,
    form: Output,
) -> None:
    kept: list[dict[str, Any]] = []
    seen = 0
    async with aclosing(follow(settings, from_start=from_start, to_end=to_end)) as transitions:
        async for transition in transitions:
            if wanted[0] not in (None, transition["workspace"]) or wanted[1] not in (None, transition["segment"]):
                continue
            seen += 1
            if form == "json":
                kept.append(transition)
            elif form == "jsonl":
                emit([transition], (), "jsonl")
            else:
                print(line(transition), flush=True)
            if seen == count:
                break
    if form == "json":
        emit(kept, (), "json")


def line(transition: dict[str, Any]) -> str:
    """One transition for people, in columns."""
    cause = transition["cause"]
    where = transition["segment"]
    if transition["workspace"] != "default":
        where = f"{transition['workspace']}/{where}"
    words = (transition["at"], transition["change"], where, transition["contact"])
    columns = "  ".join(word.ljust(width) for word, width in zip(words, WIDTHS, strict=True))
    return f"{columns}  {cause['event_type'] or cause['kind']}{'  late' if transition['late'] else ''}"


async def follow(settings: Settings, *, from_start: bool, to_end: bool) -> AsyncGenerator[dict[str, Any], None]:
    """Transitions from the beginning or from now on, for ever or to the present end. Raises UserError."""
    from aiokafka import TopicPartition
    from aiokafka.errors import KafkaError

    from engine.worker.clients import close_quietly, partition_counts, reader
    from topics import TRANSITIONS

    topic = TRANSITIONS.name
    consumer = reader(settings, "watch")
    try:
        found = await partition_counts(settings, [topic])
        if topic not in found:
            raise UserError(f"The topic {topic} is not on {settings.brokers}. Make it: segment-engine topics create")
        await consumer.start()
        parts = [TopicPartition(topic, number) for number in range(found[topic])]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        for part in parts:
            if from_start:
                await consumer.seek_to_beginning(part)
            else:
                consumer.seek(part, ends[part])
        while not to_end or any([await consumer.position(part) < ends[part] for part in parts]):
            for part, records in (await consumer.getmany(*parts, timeout_ms=POLL_MS)).items():
                for record in records:
                    if to_end and record.offset >= ends[part]:
                        break
                    yield orjson.loads(record.value)
    except (KafkaError, OSError) as error:
        why = f" ({type(error).__name__}{f': {error}' if str(error) else ''})"
        raise UserError(
            f"Kafka at {settings.brokers} does not answer as it should{why}. Check the setting BROKERS and that the "
            "brokers run; for a local one: segment-engine broker"
        ) from None
    finally:
        await close_quietly(consumer)
