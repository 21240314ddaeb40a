"""`segment-engine contact`: what the engine knows of one contact, and the segments it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from engine.cli.asking import ask, url_option
from engine.cli.options import settings_of, workspace_option
from engine.cli.output import Format, emit, output_option

ABOUT: Final = {
    "known_at": "known since",
    "as_of": "as of",
    "deadline": "next check",
    "facts": "facts",
    "tags": "tags",
    "lists": "lists",
    "consent": "consent",
}


@click.command()
@click.argument("contact", metavar="ID")
@workspace_option
@url_option
@output_option
@click.pass_context
def command(ctx: click.Context, contact: str, workspace: str, url: str | None, output: Format) -> None:
    """One contact: attributes, tags, lists, consent, the segments it is in and since when, the next check."""
    found = ask(url or settings_of(ctx).url, "/contacts", id=contact, workspace=workspace)
    if output != "table":
        emit([found], (), "jsonl")
        return
    emit(_about(found), ("contact", found["contact"]), "table")
    print()
    emit(found["segments"], ("segment", "since", "sequence"), "table")


def _about(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of two columns: a word, and what is known under it."""
    for name, word in ABOUT.items():
        if found.get(name) not in (None, [], {}):
            yield {"contact": word, found["contact"]: found[name]}
    for name, value in found.get("attributes", {}).items():
        yield {"contact": f"attribute {name}", found["contact"]: value}
