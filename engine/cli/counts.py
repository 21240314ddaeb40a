"""`segment-engine segments counts`: how a segment grew, over all workers."""

from __future__ import annotations

import sys
from itertools import dropwhile
from typing import Any
from urllib.parse import quote

import click

from engine.cli.asking import agent_option, ask, url_option
from engine.cli.errors import UserError
from engine.cli.options import settings_of, workspace_option
from engine.cli.output import Format, emit, output_option


@click.command()
@click.argument("segment", metavar="ID")
@workspace_option
@url_option
@agent_option
@click.option(
    "--from", "from_", metavar="TIME", help="A date or an instant; default: 48 hours, or 31 days, before --to."
)
@click.option("--to", metavar="TIME", help="A date or an instant, which does not belong to it; default: now.")
@click.option("--by", type=click.Choice(("hour", "day")), default="hour", show_default=True, help="Length of a period.")
@click.option("--split", type=click.Choice(("cause", "source")), help="A row for each cause, or first-touch source.")
@click.option("--cause", metavar="KIND", help="Count only transitions of this cause, such as event or clock.")
@click.option("--source", metavar="NAME", help="Count only contacts whose first touch was there; '' for none known.")
@click.option("--timezone", metavar="ZONE", default="UTC", show_default=True, help="Whose days, such as Europe/Moscow.")
@output_option
@click.pass_context
def command(
    ctx: click.Context, segment: str, workspace: str, url: str | None, agent: str | None, from_: str | None,
    to: str | None, by: str, split: str | None, cause: str | None, source: str | None, timezone: str, output: Format,
) -> None:  # fmt: skip
    """How many entered and left a segment in each hour or day, and its members at the end of it.

    A transition counts at its own instant, also where it was found out later. Without --to the last row tells the
    members of now. The table leaves out the first periods, in which nothing had happened and nobody was in, unless
    --from is given; the other forms have them all. Of a deleted segment the counts stay until COUNTS_RETENTION has
    passed.
    """
    _refuse_backwards(from_, to, timezone)
    said = {"from": from_, "to": to, "split": split, "cause": cause, "source": source, "agent": agent}
    params = {name: value for name, value in said.items() if value is not None}
    path = f"/segments/{quote(segment, safe='')}/counts"
    answer = ask(url or settings_of(ctx).url, path, workspace=workspace, by=by, timezone=timezone, **params)
    columns = ("period", *((split,) if split else ()), "entered", "left", "members")
    emit(_begun(answer["rows"]) if output == "table" and from_ is None else answer["rows"], columns, output)
    if not answer["rows"]:
        print(f"No row: counts are kept from {answer['kept_from']} on.", file=sys.stderr)


def _begun(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows from the first on in which something happened or somebody was in; the last where there is none."""
    return [*dropwhile(lambda row: not (row["entered"] or row["left"] or row["members"]), rows)] or rows[-1:]


def _refuse_backwards(begin: str | None, end: str | None, zone: str) -> None:
    """What the worker would refuse in the words of its own interface; what is no instant is for the worker to tell."""
    from engine.conditions.instants import parse_instant
    from engine.conditions.zones import zone_of

    try:
        backwards = begin and end and parse_instant(begin, zone_of(zone)) >= parse_instant(end, zone_of(zone))
    except ValueError:
        return
    if backwards:
        raise UserError(f"--to {end} is not after --from {begin}: write a later one, or leave one of them out.")
