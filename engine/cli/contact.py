"""`segment-engine contact`: what is known of one contact, its segments and why, what changes next, what it did last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import click
import orjson

from engine.cli.asking import agent_option, ask, url_option
from engine.cli.errors import UserError
from engine.cli.options import settings_of, workspace_of
from engine.cli.output import cell, emit

ABOUT: Final = {
    "known_at": "first seen",
    "as_of": "as of",
    "tags": "tags",
    "lists": "lists",
    "consent": "consent",
    "facts": "facts",
}
FACTS_SHOWN, FACTS_MAX = 10, 1_000
"""As engine.worker.portrait has them, whose import `--help` does without."""


@click.command()
@click.argument("contact", metavar="ID")
@workspace_of("contact")
@url_option
@agent_option
@click.option(
    "--facts", type=click.IntRange(0, FACTS_MAX), default=FACTS_SHOWN, show_default=True, help="Last facts to show."
)
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def command(
    ctx: click.Context, contact: str, workspace: str, url: str | None, agent: str | None, facts: int, output: str
) -> None:
    """One contact: attributes, tags, lists, consent, and since when it is known; the segments it is in, since when and
    why; which memberships change next if nothing happens; and its last facts as far as the journal keeps them.

    Of facts, long texts and lists are cut: … stands for what was left out.
    """
    if not contact:
        raise UserError("Name the contact: its id is not empty.")
    asked: dict[str, str | int] = {"id": contact, "workspace": workspace, "facts": facts}
    if agent is not None:
        asked["agent"] = agent
    found = ask(url or settings_of(ctx).url, "/contacts", **asked)
    if output == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    emit(_about(found), ("contact", found["contact"]), "table")
    if found["filling"]:
        click.echo("\nIt is still being brought up to changed definitions: its segments are those last published.")
    _listed("Segments", map(_segment, found["segments"]), ("segment", "since", "until", "why"))
    if not found["filling"]:
        _listed("Next changes, if nothing happens", found["changes"], ("at", "change", "segment", "name"))
        if found["changes_until"] is not None:
            click.echo(f"Looked at until {found['changes_until']}: there may be more behind it.")
    if facts:
        _listed("Last facts", found["last_facts"], ("at", "type", "id", "properties"))


def _listed(title: str, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    rows = list(rows)
    click.echo(f"\n{title}{':' if rows else ': none.'}")
    if rows:
        emit(rows, columns, "table")


def _segment(row: Mapping[str, Any]) -> dict[str, Any]:
    """A membership as the table shows it."""
    following = row["next"]
    until = None
    if following is not None and following["at"] is not None:
        until = following["at"] if following["exact"] else f"not before {following['at']}"
    named = f"{row['segment']} ({row['name']})" if row["name"] else row["segment"]
    return {"segment": named, "since": row["since"], "until": until, "why": row["why"]}


def _about(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of two columns: a word, and what is known under it."""
    for name, word in ABOUT.items():
        value = found.get(name)
        if value not in (None, [], {}):
            if isinstance(value, dict):
                value = ", ".join(f"{each}: {cell(one)}" for each, one in value.items())
            yield {"contact": word, found["contact"]: value}
    if found["facts_journaled"] < found["facts"]:
        yield {"contact": "in the journal", found["contact"]: f"the last {found['facts_journaled']} of them"}
    for name, value in found.get("attributes", {}).items():
        yield {"contact": f"attribute {name}", found["contact"]: value}
