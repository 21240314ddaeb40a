"""`segment-engine explain`: why a contact is in a segment or is not, and when that will change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson

from engine.cli.asking import agent_option, ask, url_option
from engine.cli.errors import UserError
from engine.cli.options import settings_of, workspace_option

if TYPE_CHECKING:
    from engine.membership.explanation import Explanation
    from engine.worker.settings import Settings

NESTED_MAX = 5
"""As engine.membership.explain has it, whose import `--help` does without."""


@click.command()
@click.argument("contact", metavar="CONTACT")
@click.argument("segment", metavar="SEGMENT")
@click.option("--at", metavar="T", help="At this RFC 3339 instant, past or future; default: now, of --events its end.")
@click.option(
    "--nested", type=click.IntRange(0, NESTED_MAX), default=1, show_default=True,
    help="How deep the rules of the segments in in_segment are explained too.",
)  # fmt: skip
@workspace_option
@url_option
@agent_option
@click.option("--segments", "folder", metavar="DIR", help="With --events: definitions of a folder, without a worker.")
@click.option("--events", metavar="FILE", help="With --segments: facts as JSON lines, as replay takes them.")
@click.option("--until", metavar="T", help="With --events: where the clock goes at the end.")
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.pass_context
def command(
    ctx: click.Context, contact: str, segment: str, at: str | None, nested: int, workspace: str, url: str | None,
    agent: str | None, folder: str | None, events: str | None, until: str | None, output: str,
) -> None:  # fmt: skip
    """Why CONTACT is in SEGMENT or is not.

    In or out, since when and by what, the rule leaf by leaf with the facts that it rests on, what would have to change,
    and when the answer will change next if nothing happens. Asked of any worker; or, with --segments and --events, of a
    file of facts. A past answer is by the present definitions and from this contact's facts alone, as far as the
    journal keeps them: what was published after a late fact may bear a later instant than the one told here.
    """
    from engine.cli.replay import instant_of

    settings = settings_of(ctx)
    instant = None if at is None else instant_of(at, "--at")
    if (folder is None) != (events is None) or (until is not None and events is None):
        raise UserError("--segments and --events belong together, and --until to them. Without them a worker is asked.")
    if folder is not None and events is not None:
        if url is not None or agent is not None:
            said = "--url and --agent are for asking a worker; --segments and --events do without one."
            raise UserError(f"{said} Give one or the other.")
        end = None if until is None else instant_of(until, "--until")
        found = _of_input(settings, folder, events, end, (contact, segment, workspace, instant, nested))
    else:
        found = _of_worker(url or settings.url, contact, segment, workspace, at, nested, agent)
    _show(found, output)


def _of_worker(
    url: str, contact: str, segment: str, workspace: str, at: str | None, nested: int, agent: str | None
) -> Explanation:
    from urllib.parse import quote

    import msgspec

    from engine.membership.explanation import from_json

    asked: dict[str, str | int] = {"contact": contact, "workspace": workspace, "nested": nested}
    if at is not None:
        asked["at"] = at
    if agent is not None:
        asked["agent"] = agent
    found = ask(url, f"/segments/{quote(segment, safe='')}/explanation", **asked)
    try:
        return from_json(found)
    except msgspec.ValidationError:
        raise UserError(f"What answers at {url} is no worker of this version.") from None


def _of_input(
    settings: Settings, folder: str, events: str, end: int | None, asked: tuple[str, str, str, int | None, int]
) -> Explanation:
    from engine.cli.folders import definitions_in
    from engine.cli.replay import play, replay_of
    from engine.membership.explanation import Unknown

    replay = replay_of(definitions_in(folder, settings), settings)
    for _ in play(replay, events, [], end, settings):
        pass
    try:
        return replay.explain(*asked)
    except Unknown as error:
        raise UserError(str(error)) from None


def _show(found: Explanation, output: str) -> None:
    from engine.membership.explanation import as_json
    from engine.membership.telling import tell

    if output == "json":
        click.echo(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(tell(found))
