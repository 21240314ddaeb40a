"""`segment-engine members`: all members of a segment, whichever workers have them."""

from __future__ import annotations

import click

from engine.cli.asking import members_of, url_option
from engine.cli.lines import reader_may_leave
from engine.cli.options import settings_of, workspace_option
from engine.cli.output import Format, emit, output_option


@click.command()
@click.argument("segment", metavar="ID")
@workspace_option
@url_option
@output_option
@click.pass_context
def command(ctx: click.Context, segment: str, workspace: str, url: str | None, output: Format) -> None:
    """The members of a segment, over all workers, in the order of their ids."""
    ids = members_of(url or settings_of(ctx).url, workspace, segment)
    with reader_may_leave():
        emit(({"workspace": workspace, "segment": segment, "contact": each} for each in ids), ("contact",), output)
