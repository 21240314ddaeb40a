"""`segment-engine segments apply|pause|resume|delete|restore`: changes of what is in force, whole or not at all."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from engine.cli.asking import url_option
from engine.cli.errors import UserError
from engine.cli.folders import definitions_of, mistakes, named
from engine.cli.options import brokers_option, settings_of, workspace_option
from engine.cli.output import Format, emit, output_option
from engine.cli.progress import WAIT, wait_until_filled
from engine.cli.segments_shown import all_of, ask, key_of

if TYPE_CHECKING:
    from engine.worker.definition_log import Applied, Change, Key
    from engine.worker.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
NAMED_MAX: Final = 10
"""Ids that an advised command names."""
VERSION_DIGITS_MAX: Final = 18
COLUMNS: Final = ("workspace", "segment", "result", "version", "state")


def change_options(command: F) -> F:
    """`--author`, `--note`, `--expect`, `--brokers` and `-o`, passed as `author: str | None`, `note: str`,
    `expect: tuple[str, ...]`, `brokers: str | None` and `output: Format`."""
    author = click.option("--author", help="Who makes the change; default: the name of this user.")
    note = click.option("--note", default="", help="Why, for the history.")
    expect = click.option(
        "--expect",
        metavar="ID=VERSION",
        multiple=True,
        help="Refuse unless ID is in force at this version, or with ID=none is not there. May repeat.",
    )
    return author(note(expect(brokers_option(output_option(command)))))


@click.command()
@click.argument("folders", metavar="[DIR|FILE…]", nargs=-1)
@click.option(
    "--plan", metavar="FILE", type=click.Path(path_type=Path), help="What segments plan --out has kept, exactly that."
)
@change_options
@click.option("--wait", is_flag=True, help="Come back when the workers have filled every contact; asks one at --url.")
@url_option
@click.pass_context
def apply(
    ctx: click.Context, folders: tuple[str, ...], author: str | None, note: str, expect: tuple[str, ...],
    brokers: str | None, output: Format, wait: bool, url: str | None, plan: Path | None,
) -> None:  # fmt: skip
    """Put definitions in force, as one change.

    What has the same meaning as before is left as it is; what is paused stays paused. What is in force and not in the
    files stays. Models stand beside the segments that score by them. A plan is refused when any definition that it
    names or builds on has changed since it was made; facts may have gone on.
    """
    from engine.definitions.advice import reaching_back
    from engine.worker.definition_log import Change, DefinitionsMoved

    settings = settings_of(ctx, brokers=brokers)
    if (plan is None) is not bool(folders):
        raise UserError("Name files or folders with definitions, or a plan with --plan FILE; one of the two.")
    if plan is not None:
        from engine.cli.plan import planned

        if expect:
            raise UserError("A plan says itself which versions it expects: leave --expect out.")
        asked = planned(plan, settings, author or user(), note)
    else:
        definitions = all_of(definitions_of(folders, settings, alone=False))
        expected = expectations(expect, [each.key for each in definitions])
        asked = Change(apply=definitions, expected=expected, author=author or user(), note=note)
    try:
        applied = made(settings, asked, output, str(plan) if plan is not None else named(folders))
    except UserError as error:
        if plan is None or not isinstance(error.__cause__, DefinitionsMoved):
            raise
        raise UserError(
            f"{error.__cause__.moved} and make a new plan: segment-engine segments plan … --out FILE"
        ) from None
    new = {each.key for each in applied if each.result != "unchanged"}
    said = reaching_back((each for each in asked.apply if each.key in new), settings.journal_retention)
    if said is not None:
        print(f"Advice: {said}", file=sys.stderr)
    if wait:
        read_to = max((each.offset + 1 for each in applied if each.offset is not None), default=0)
        wait_until_filled(url or settings.url, read_to, WAIT)


@click.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@workspace_option
@change_options
@click.pass_context
def pause(ctx: click.Context, /, ids: tuple[str, ...], workspace: str, output: Format, **said: Any) -> None:
    """Freeze segments, as one change: nobody enters.

    Who is in stays until exclude, erasure, the consent gate or a higher segment of the group takes them out, and is
    seen there by in_segment. New versions may be applied meanwhile; their rule counts from resume.
    """
    _switch(ctx, "pause", ids, workspace, output, **said)


@click.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@workspace_option
@change_options
@click.pass_context
def resume(ctx: click.Context, /, ids: tuple[str, ...], workspace: str, output: Format, **said: Any) -> None:
    """Let paused segments go on, as one change: the difference is published, with cause definition."""
    _switch(ctx, "resume", ids, workspace, output, **said)


@click.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@workspace_option
@change_options
@click.pass_context
def delete(ctx: click.Context, /, ids: tuple[str, ...], workspace: str, output: Format, **said: Any) -> None:
    """Take definitions out of force, as one change: all members leave, with cause definition.

    What others use is refused unless they go too. The history stays, and so does the counter of versions.
    """
    _switch(ctx, "delete", ids, workspace, output, **said)


@click.command()
@click.argument("segment", metavar="ID")
@click.argument("version", metavar="VERSION")
@workspace_option
@change_options
@click.pass_context
def restore(
    ctx: click.Context, segment: str, version: str, workspace: str, author: str | None, note: str,
    expect: tuple[str, ...], brokers: str | None, output: Format,
) -> None:  # fmt: skip
    """Put the text of an older version in force again, as a new version.

    What is paused stays paused; what was deleted is created anew.
    """
    from engine.worker import definition_log

    settings = settings_of(ctx, brokers=brokers)
    key = key_of(segment, workspace)
    if not (version.isascii() and version.isdecimal() and len(version) <= VERSION_DIGITS_MAX and int(version) > 0):
        raise UserError(
            f"{version[:40]!r} is no version: write its number, from 1 on, as segment-engine segments history "
            f"{definition_log.called(key)} tells it."
        )
    asked = definition_log.restore(
        settings, key, int(version), author=author or user(), note=note, expected=expectations(expect, [key])
    )
    tell([_asked(asked, f"version {version} of {definition_log.called(key)}")], output)


def _switch(
    ctx: click.Context, what: str, ids: tuple[str, ...], workspace: str, output: Format, *,
    author: str | None, note: str, expect: tuple[str, ...], brokers: str | None,
) -> None:  # fmt: skip
    from engine.worker.definition_log import Change

    settings = settings_of(ctx, brokers=brokers)
    keys = [key_of(each, workspace) for each in ids]
    asked: dict[str, Any] = {what: keys, "expected": expectations(expect, keys)}
    made(settings, Change(author=author or user(), note=note, **asked), output, "the change")


def made(settings: Settings, change: Change, output: Format, where: str) -> list[Applied]:
    """Makes a change and tells what became of each definition; `where` they come from. Raises UserError."""
    from engine.worker import definition_log

    found = _asked(definition_log.change(settings, change), where)
    tell(found, output)
    return found


def tell(found: Sequence[Applied], output: Format) -> None:
    """What a change did, and what its author may not expect of it."""
    from engine.worker.definition_log import called, listed

    emit(({name: getattr(each, name) for name in COLUMNS} for each in found), COLUMNS, output)
    if all(each.result == "unchanged" for each in found):
        print("Nothing changed: all of them mean what is in force already", file=sys.stderr)
    still = [each.key for each in found if each.result == "changed" and each.state == "paused"]
    if still:
        print(
            f"Still paused: {listed(still)}. Gate, exclude and payload of the new version count now, its rule after: "
            f"segment-engine segments resume {' '.join(map(called, still)) if len(still) <= NAMED_MAX else 'ID…'}",
            file=sys.stderr,
        )


T = TypeVar("T")


def _asked(question: Coroutine[Any, Any, T], where: str) -> T:
    from engine.definitions import DefinitionErrors

    try:
        return ask(question)
    except DefinitionErrors as error:
        raise mistakes(error.errors, f"{where}, together with what is in force; nothing was changed") from None


def expectations(texts: Sequence[str], keys: Sequence[Key]) -> Mapping[Key, int | None]:
    """The versions of `--expect ID=VERSION`; an id alone is one of `keys`, or of the workspace default."""
    found: dict[Key, int | None] = {}
    for text in texts:
        name, equals, version = text.rpartition("=")
        places = {workspace for workspace, each in keys if each == name} or {"default"}
        if not equals or not (version == "none" or (version.isdecimal() and int(version) > 0)):
            raise UserError(f"--expect {text}: write ID=VERSION with a version from 1, or ID=none for one not there.")
        if len(places) > 1 and "/" not in name:
            raise UserError(f"--expect {text}: {name} is changed in several workspaces; write workspace/{name}=….")
        key, number = key_of(name, next(iter(places))), None if version == "none" else int(version)
        if found.setdefault(key, number) != number:
            raise UserError(f"--expect names {name} twice, with different versions. Leave one of them out.")
    return found


def user() -> str:
    """Who makes a change unless told; nothing where the system knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
