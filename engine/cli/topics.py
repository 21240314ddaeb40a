"""`segment-engine topics`: make the declared topics, or say how the existing ones differ."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

import click

import topics
from engine.cli.errors import UserError
from engine.cli.options import brokers_option, group_option, settings_of
from engine.cli.output import Format, emit, output_option
from engine.worker.settings import Settings

T = TypeVar("T")


@click.group()
def command() -> None:
    """Make the topics, or say how the existing ones differ."""


@command.command()
@brokers_option
@group_option
@click.option("--partitions", type=int, help="Partitions of the inputs and of what is kept by contact (PARTITIONS).")
@click.option("--replication", type=int, help="Copies of each topic; default: three, or as many as there are brokers.")
@output_option
@click.pass_context
def create(ctx: click.Context, /, output: Format, **flags: object) -> None:
    """Make what is missing, also of segments in force; what exists is left as it is."""
    settings = settings_of(ctx, **flags)
    outcomes = _ask(_create(settings))
    emit((asdict(outcome) for outcome in outcomes), ("topic", "result", "partitions"), output)


@command.command()
@brokers_option
@group_option
@click.option("--partitions", type=int, help="Partitions of the inputs and of what is kept by contact (PARTITIONS).")
@click.option("--replication", type=int, help="Copies of each topic; default: three, or as many as there are brokers.")
@output_option
@click.pass_context
def verify(ctx: click.Context, /, output: Format, **flags: object) -> int:
    """Say how the topics differ from their declaration, also those of segments in force; exit code 1 if any does."""
    settings = settings_of(ctx, **flags)
    declared = [*_declared(settings), *_ask(_of_segments(settings))]
    differences = _ask(
        topics.verify(
            settings.brokers,
            declared,
            partitions=settings.partitions,
            replication=settings.replication or None,
            timeout_ms=settings.request_timeout,
        )
    )
    if differences or output != "table":
        emit((asdict(one) for one in differences), ("topic", "setting", "declared", "found"), output)
    if output == "table":
        differing = len({one.topic for one in differences})
        said = (
            f"{differing} of {len(declared)} topics differ" if differing else f"{len(declared)} topics are as declared"
        )
        print(said, file=sys.stderr)
    return 1 if differences else 0


async def _create(settings: Settings) -> list[topics.Outcome]:
    async def make(declared: list[topics.Topic]) -> list[topics.Outcome]:
        return await topics.create(
            settings.brokers,
            declared,
            partitions=settings.partitions,
            replication=settings.replication or None,
            timeout_ms=settings.request_timeout,
        )

    # Those of segments last: which there are stands in one of the others.
    made = await make(_declared(settings))
    return made + await make(await _of_segments(settings))


async def _of_segments(settings: Settings) -> list[topics.Topic]:
    """The topics of the segments in force."""
    from engine.worker.definition_log import DefinitionLogError, read_records

    there = await topics.names(settings.brokers, timeout_ms=settings.request_timeout)
    if not settings.segment_topics or topics.DEFINITIONS.name not in there:
        return []
    try:
        found = (await read_records(settings)).values()
    except DefinitionLogError as error:
        raise UserError(str(error)) from None
    keys = [each.key for each in found if each.has_topic]
    return [topics.segment_topic(*key, partitions=settings.segment_topic_partitions) for key in sorted(keys)]


def _declared(settings: Settings) -> list[topics.Topic]:
    try:
        return topics.declared(settings.group, settings.input_topics, journal_retention=settings.journal_retention)
    except ValueError as error:
        raise UserError(f"{error}.") from None


def _ask(question: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(question)
    except topics.TopicsError as error:
        raise UserError(str(error)) from None
