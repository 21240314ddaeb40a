"""`segment-engine segments check`: what is wrong with definitions in files."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from engine.cli.folders import mistakes, named, reading_of
from engine.cli.options import settings_of
from engine.cli.output import Format, emit, output_option
from engine.cli.segments_shown import all_of, row_of


@click.command()
@click.argument("folders", metavar="DIR|FILE…", nargs=-1, required=True)
@output_option
@click.pass_context
def check(ctx: click.Context, folders: tuple[str, ...], output: Format) -> None:
    """Say what is wrong with the definitions in folders or files; nothing is sent anywhere.

    All mistakes of all files are told at once, each with file, line, column, what is allowed there and the nearest
    right spelling; with -o json or jsonl as data. The exit code is then 2.
    """
    from engine.definitions.advice import advice, reaching_back

    settings = settings_of(ctx)
    found = reading_of(*folders)
    if errors := found.checked(journal_retention=settings.journal_retention):
        if output != "table":
            emit(map(asdict, errors), (), output)
        raise mistakes(errors, named(folders), told=output != "table", complete=found.complete)
    definitions = all_of(found.documents)
    emit((row_of(each) for each in definitions), ("workspace", "segment", "name", "conditions"), output)
    for each in definitions:
        for sentence in advice(each):
            print(f"Advice for {each.key[1]}: {sentence}", file=sys.stderr)
    if (said := reaching_back(definitions, settings.journal_retention)) is not None:
        print(f"Advice: {said}", file=sys.stderr)
    print(f"{_count(len(definitions))} sound", file=sys.stderr)


def _count(number: int) -> str:
    return f"{number} definition is" if number == 1 else f"{number} definitions are"
