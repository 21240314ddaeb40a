"""`segment-engine segments`: definitions checked, put in force, listed and shown."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from engine.cli.errors import UserError
from engine.cli.folders import definitions_in, mistakes, reading_of
from engine.cli.options import brokers_option, settings_of, workspace_option
from engine.cli.output import Format, emit, output_option

if TYPE_CHECKING:
    from engine.definitions import Definition, Documents
    from engine.worker.definition_log import Record

T = TypeVar("T")
LISTED: Final = ("workspace", "segment", "name", "version", "author", "at", "conditions")


@click.group()
def command() -> None:
    """Check, apply, list and show definitions."""


@command.command()
@click.argument("folder", metavar="DIR")
@output_option
@click.pass_context
def check(ctx: click.Context, folder: str, output: Format) -> None:
    """Say what is wrong with the definitions in a folder or file; nothing is sent anywhere.

    All mistakes of all files are told at once, each with file, line, column, what is allowed there and the nearest
    right spelling; with -o json or jsonl as data. The exit code is then 2.
    """
    from engine.definitions.advice import advice

    settings = settings_of(ctx)
    found = reading_of(folder)
    if errors := found.checked(journal_retention=settings.journal_retention):
        if output != "table":
            emit(map(asdict, errors), (), output)
        raise mistakes(errors, folder, told=output != "table", complete=found.complete)
    definitions = _all(found.documents)
    emit((_row(each) for each in definitions), ("workspace", "segment", "name", "conditions"), output)
    for each in definitions:
        for sentence in advice(each):
            print(f"Advice for {each.key[1]}: {sentence}", file=sys.stderr)
    print(f"{_count(len(definitions))} sound", file=sys.stderr)


@command.command()
@click.argument("folder", metavar="DIR|FILE")
@click.option("--author", help="Who makes the change; default: the name of this user.")
@click.option("--note", default="", help="Why, for the history.")
@brokers_option
@output_option
@click.pass_context
def apply(ctx: click.Context, folder: str, author: str | None, note: str, brokers: str | None, output: Format) -> None:
    """Put definitions in force, as one change.

    What has the same meaning as before is left as it is. What is in force and not in the folder stays. Models stand in
    the folder beside the segments that score by them.
    """
    from engine.definitions import DefinitionErrors
    from engine.worker import definition_log

    settings = settings_of(ctx, brokers=brokers)
    definitions = _all(definitions_in(folder, settings, alone=False))
    try:
        found = _ask(definition_log.apply(settings, definitions, author=author or _user(), note=note))
    except DefinitionErrors as error:
        raise mistakes(error.errors, f"{folder}, together with what is in force; nothing was changed") from None
    columns = ("workspace", "segment", "result", "version")
    emit(({name: getattr(each, name) for name in columns} for each in found), columns, output)
    changed = sum(each.result != "unchanged" for each in found)
    if not changed:
        print("Nothing changed: all of them mean what is in force already", file=sys.stderr)


@command.command("list")
@click.option("--dir", "folder", metavar="DIR", help="Definitions of a folder instead of those in force.")
@brokers_option
@output_option
@click.pass_context
def list_(ctx: click.Context, folder: str | None, brokers: str | None, output: Format) -> None:
    """The definitions in force: id, name, version, and the conditions in plain words."""
    settings = settings_of(ctx, brokers=brokers)
    if folder is not None:
        emit((_row(each) for each in _all(definitions_in(folder, settings))), LISTED, output)
        return
    from engine.worker import definition_log

    records = _ask(definition_log.read_records(settings))
    emit((_recorded(records[key]) for key in sorted(records) if records[key].active), LISTED, output)


@command.command()
@click.argument("segment", metavar="ID")
@workspace_option
@click.option("--dir", "folder", metavar="DIR", help="Of a folder instead of those in force.")
@brokers_option
@click.option("-o", "--output", type=click.Choice(("yaml", "json")), default="yaml", show_default=True)
@click.pass_context
def show(
    ctx: click.Context, segment: str, workspace: str, folder: str | None, brokers: str | None, output: str
) -> None:
    """One definition: its text, its conditions in plain words, version, author and time.

    ID is a segment's, or a model's with model: before it.
    """
    from engine.definitions import Model
    from engine.definitions.describing import describe_lines
    from engine.definitions.model import describe_model

    settings = settings_of(ctx, brokers=brokers)
    if folder is not None:
        of_folder = {each.key: each for each in _all(definitions_in(folder, settings))}
        if (workspace, segment) not in of_folder:
            raise _unknown(workspace, segment, of_folder)
        row, document = _row(of_folder[workspace, segment]), of_folder[workspace, segment]
    else:
        from engine.worker import definition_log

        records = {key: each for key, each in _ask(definition_log.read_records(settings)).items() if each.active}
        if (workspace, segment) not in records:
            raise _unknown(workspace, segment, records)
        row, document = _recorded(records[workspace, segment]), _document(records[workspace, segment])
    if output == "json":
        emit([{**row, "definition": _canonical(document)}], (), "jsonl")
        return
    for name in ("version", "author", "at", "note"):
        if row.get(name):
            print(f"# {name}: {row[name]}")
    if isinstance(document, Model):
        print("# What it scores:", *(f"#   - {part}" for part in describe_model(document).split("; ")), sep="\n")
    else:
        print("# Who is in:", *(f"#   {line}" for line in describe_lines(document)), sep="\n")
    print(as_yaml(document), end="")


def as_yaml(definition: Definition) -> str:
    """The definition as its author would write it, without what is the default anyway."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.allow_unicode = True
    out = StringIO()
    yaml.dump(definition.model_dump(mode="json", by_alias=True, exclude_defaults=True), out)
    return out.getvalue()


def _all(found: Documents) -> list[Definition]:
    return [*found.models, *found.segments]


def _row(definition: Definition) -> dict[str, object]:
    from engine.definitions import Model
    from engine.definitions.describing import describe
    from engine.definitions.model import describe_model

    workspace, name = definition.key
    return {
        "workspace": workspace,
        "segment": name,
        "name": definition.name,
        "description": definition.description,
        "conditions": describe_model(definition) if isinstance(definition, Model) else describe(definition),
    }


def _recorded(record: Record) -> dict[str, object]:
    about = {"version": record.version, "author": record.author, "at": record.at, "note": record.note}
    return _row(_document(record)) | about


def _document(record: Record) -> Definition:
    from engine.definitions import DefinitionErrors

    try:
        return record.document()
    except DefinitionErrors as error:
        raise UserError(f"A definition in force is not one that this version understands:\n{error}") from None


def _canonical(definition: Definition) -> dict[str, Any]:
    from engine.definitions import canonical_form

    return canonical_form(definition)


def _unknown(workspace: str, segment: str, known: Mapping[tuple[str, str], object]) -> UserError:
    from engine.definitions.near import near_segment

    hint = near_segment(workspace, segment, known)
    return UserError(f"There is no segment {segment!r} in workspace {workspace}. {hint}")


def _count(number: int) -> str:
    return f"{number} definition is" if number == 1 else f"{number} definitions are"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _ask(question: Coroutine[Any, Any, T]) -> T:
    from engine.worker.definition_log import DefinitionLogError

    try:
        return asyncio.run(question)
    except DefinitionLogError as error:
        raise UserError(str(error)) from None
