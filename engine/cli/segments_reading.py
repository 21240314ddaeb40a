"""`segment-engine segments list|show|history`: what is in force, and what was."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from engine.cli.asking import agent_option
from engine.cli.errors import UserError
from engine.cli.folders import definitions_in
from engine.cli.options import brokers_option, settings_of, workspace_option
from engine.cli.output import Format, emit, output_option
from engine.cli.segments_shown import (
    LISTED,
    all_of,
    as_yaml,
    ask,
    comment,
    document_of,
    key_of,
    recorded,
    row_of,
    seen,
    unknown,
)

if TYPE_CHECKING:
    from engine.definitions import Definition
    from engine.worker.definition_log import Key, Record
    from engine.worker.settings import Settings


@click.command()
@click.option("--all", "everything", is_flag=True, help="What was deleted too.")
@click.option("-w", "--workspace", metavar="NAME", help="Of one workspace; default: of all.")
@click.option("--dir", "folder", metavar="DIR", help="Definitions of a folder instead of those in force.")
@agent_option
@brokers_option
@output_option
@click.pass_context
def list_(
    ctx: click.Context, everything: bool, workspace: str | None, folder: str | None, agent: str | None,
    brokers: str | None, output: Format,
) -> None:  # fmt: skip
    """The definitions in force, active and paused: id, name, state, version, and the conditions in plain words."""
    settings = settings_of(ctx, brokers=brokers)
    if folder is not None:
        there = all_of(definitions_in(folder, settings))
        rows = [row for row in seen(map(row_of, there), there, agent) if workspace in (None, row["workspace"])]
        emit(rows, [each for each in LISTED if any(each in row for row in rows)], output)
        return
    from engine.worker import definition_log

    records = ask(definition_log.read_records(settings))
    wanted = [
        records[key] for key in sorted(records) if workspace in (None, key[0]) and (everything or records[key].in_force)
    ]
    emit(seen(map(recorded, wanted), (document_of(each) for each in wanted if each.in_force), agent), LISTED, output)


@click.command()
@click.argument("segment", metavar="ID")
@workspace_option
@click.option("--version", type=click.IntRange(1), help="An older version; default: the one in force.")
@click.option("--dir", "folder", metavar="DIR", help="Of a folder instead of those in force.")
@brokers_option
@click.option("-o", "--output", type=click.Choice(("yaml", "json")), default="yaml", show_default=True)
@click.pass_context
def show(
    ctx: click.Context, segment: str, workspace: str, version: int | None, folder: str | None, brokers: str | None,
    output: str,
) -> None:  # fmt: skip
    """One definition: its text, its conditions in plain words, state, version, author, who uses it and what it uses.

    ID is a segment's, or a model's with model: before it. The text can be applied as it is.
    """
    from engine.definitions import canonical_form
    from engine.definitions.uses import uses
    from engine.worker.definition_record import called

    settings = settings_of(ctx, brokers=brokers)
    key = key_of(segment, workspace)
    if folder is not None:
        if version is not None:
            raise UserError("--version is of what was in force; a folder has one text of each. Leave one of them out.")
        row, document = _of_folder(settings, folder, key)
    elif version is not None:
        row, document = _of_history(settings, key, version)
    else:
        row, document = _in_force(settings, key)
    row["uses"] = [called(each) for each in uses(document)]
    if output == "json":
        emit([{**row, "definition": canonical_form(document)}], (), "jsonl")
        return
    for name in ("version", "state", "author", "at", "note"):
        if row.get(name):
            print(comment(f"{name}: {row[name]}"))
    for name, by in (("used in", row.get("used_in")), ("uses", row["uses"])):
        if isinstance(by, list) and by:
            print(comment(f"{name}: {', '.join(by)}"))
    _in_words(document)
    print(as_yaml(document), end="")


def _of_folder(settings: Settings, folder: str, key: Key) -> tuple[dict[str, object], Definition]:
    from engine.definitions.uses import users
    from engine.worker.definition_record import called

    found = {each.key: each for each in all_of(definitions_in(folder, settings))}
    if key not in found:
        raise unknown(*key, found)
    by = users(found.values()).get(key, [])
    return {**row_of(found[key]), "used_in": [called(each) for each in by]}, found[key]


def _in_force(settings: Settings, key: Key) -> tuple[dict[str, object], Definition]:
    from engine.definitions.uses import users
    from engine.worker import definition_log

    known = ask(definition_log.read_records(settings))
    there = {each: record for each, record in known.items() if record.in_force}
    if key not in there:
        raise UserError(definition_log.missing_text(key, known))
    # Only what is in the same workspace can use it; what is no sound definition there is told.
    by = users(document_of(record) for each, record in there.items() if each[0] == key[0]).get(key, [])
    return {**recorded(there[key]), "used_in": [definition_log.called(each) for each in by]}, document_of(there[key])


def _of_history(settings: Settings, key: Key, version: int) -> tuple[dict[str, object], Definition]:
    from engine.worker import definition_log

    record = ask(definition_log.read_version(settings, key, version))
    return recorded(record), document_of(record)


def _in_words(document: Definition) -> None:
    from engine.definitions import Model
    from engine.definitions.describing import describe_lines
    from engine.definitions.model import describe_model

    if isinstance(document, Model):
        print("# What it scores:", *(comment(f"  - {part}") for part in describe_model(document).split("; ")), sep="\n")
    else:
        print("# Who is in:", *(comment(f"  {line}") for line in describe_lines(document)), sep="\n")


@click.command()
@click.argument("segment", metavar="ID")
@workspace_option
@brokers_option
@output_option
@click.pass_context
def history(ctx: click.Context, segment: str, workspace: str, brokers: str | None, output: Format) -> None:
    """All versions of one definition, oldest first: state, instant, author, note, and what changed in short.

    With -o json or jsonl each with its text. What was deleted has a history too.
    """
    from engine.worker import definition_log

    settings = settings_of(ctx, brokers=brokers)
    key = key_of(segment, workspace)
    found = ask(definition_log.read_history(settings, key))
    if not found.records:
        raise UserError(definition_log.missing_text(key, ask(definition_log.read_records(settings))))
    rows = []
    before: Record | None = None
    for record in found.records:
        told = _changed(before, record) if before is not None or record.version == 1 else []
        rows.append(
            {
                "version": record.version,
                "state": record.state,
                "at": record.at,
                "author": record.author,
                "note": record.note,
                "changed": told,
                "definition": record.definition,
            }
        )
        before = record
    emit(rows, ("version", "state", "at", "author", "note", "changed"), output)
    if found.older:
        print(f"{found.older:,} older versions are in the topic and were left out", file=sys.stderr)


def _changed(before: Record | None, record: Record) -> list[str]:
    """What a version did: its state in a word, and where its text differs from the one before."""
    from engine.definitions.differences import differences

    if record.definition is None:
        return ["deleted"]
    if before is None:
        return ["created"]
    if before.definition is None:
        return ["created anew"]
    switched = {"paused": "paused", "active": "resumed"}.get(record.state, "") if record.state != before.state else ""
    told = differences(before.definition, record.definition)
    return [switched, *told] if switched else told
