"""`segment-engine segments counts`: how a segment grew, over all workers."""

from __future__ import annotations

import sys
from urllib.parse import quote

import click

from engine.cli.asking import agent_option, ask, url_option
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
    members of now. Of a deleted segment the counts stay until COUNTS_RETENTION has passed.
    """
    said = {"from": from_, "to": to, "split": split, "cause": cause, "source": source, "agent": agent}
    params = {name: value for name, value in said.items() if value is not None}
    path = f"/segments/{quote(segment, safe='')}/counts"
    answer = ask(url or settings_of(ctx).url, path, workspace=workspace, by=by, timezone=timezone, **params)
    columns = ("period", *((split,) if split else ()), "entered", "left", "members")
    emit(answer["rows"], columns, output)
    if not answer["rows"]:
        print(f"No row: counts are kept from {answer['kept_from']} on.", file=sys.stderr)
