"""`segment-engine events`: JSON lines, validated, to the right topics, keys and partitions."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from engine.cli.errors import UserError
from engine.cli.lines import open_lines
from engine.cli.options import brokers_option, settings_of

if TYPE_CHECKING:
    from engine.worker.settings import Settings


@dataclass(slots=True)
class Sent:
    """What became of the lines: events published by topic, lines refused by reason, seconds spent."""

    published: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@click.group()
def command() -> None:
    """Publish events."""


@command.command()
@click.argument("file", metavar="FILE|-")
@brokers_option
@click.pass_context
def send(ctx: click.Context, file: str, brokers: str | None) -> int:
    """Publish the events of a file of JSON lines; - is standard input.

    Each line is checked as the worker will check it. A bad one is told with its number and reason, and the others are
    sent; exit code 1 says that there were bad ones. Lines go out byte for byte, in their order.
    """
    from engine.worker.publishing import PublishError

    settings = settings_of(ctx, brokers=brokers)
    try:
        sent = asyncio.run(_send(file, settings))
    except PublishError as error:
        raise UserError(str(error)) from None
    print(told(sent), file=sys.stderr)
    return 1 if sent.refused else 0


def told(sent: Sent) -> str:
    """One line: how many events where, how fast, how many lines refused."""
    count = sum(sent.published.values())
    where = ", ".join(f"{topic} {number:,}" for topic, number in sorted(sent.published.items()))
    said = f"{count:,} events published in {sent.seconds:.1f} s ({count / max(sent.seconds, 1e-3):,.0f} a second)"
    if where:
        said += f": {where}"
    if sent.refused:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in sent.refused.most_common())
        said += f"; {sent.refused.total():,} lines refused: {reasons}"
    return said


async def _send(file: str, settings: Settings) -> Sent:
    from engine.membership.facts import Rejected, read_fact
    from engine.worker.publishing import Publisher

    sent = Sent()
    with open_lines(file, "Publishing") as lines:
        async with Publisher(settings) as publisher:
            began = time.monotonic()
            for number, line in lines:
                fact = read_fact(
                    line,
                    arrival=time.time_ns() // 1_000_000,
                    fallback_id=f"line/{number}",
                    skew=settings.skew,
                    max_bytes=settings.max_event_bytes,
                )
                if isinstance(fact, Rejected):
                    sent.refused[fact.reason] += 1
                    print(f"{file}:{number}: {fact.reason}: {fact.detail}", file=sys.stderr)
                else:
                    await publisher.publish(fact, line)
            await publisher.flush()
            sent.published, sent.seconds = publisher.published, time.monotonic() - began
    return sent
