"""`segment-engine rfm`: models of recency, frequency and money from facts."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from engine.cli.errors import UserError
from engine.cli.lines import open_lines
from engine.cli.options import settings_of, workspace_option

if TYPE_CHECKING:
    from engine.definitions import Model
    from engine.membership.quintiles import Population
    from engine.worker.settings import Settings

NO_CUTS: Final = {"recency": ["P1D"] * 4, "frequency": [10_000] * 4, "monetary": [0] * 4}
"""Stands where cut points are still to be computed; in a window no more purchases than these are counted."""


@click.group()
def command() -> None:
    """Make models that the condition rfm scores by."""


@command.command()
@click.option("--events", required=True, metavar="FILE|-", help="Facts as JSON lines; - is standard input.")
@click.option("--at", "instant", required=True, metavar="T", help="The instant of the snapshot, RFC 3339.")
@click.option("--model-id", metavar="ID", help="The model's id; default: rfm- and the day of T.")
@workspace_option
@click.option("--event", "types", multiple=True, metavar="TYPE", help="What counts; default: purchase. May repeat.")
@click.option("--where", metavar="JSON", help='Tests of what counts, as in a model: {"currency": "EUR"}.')
@click.option("--amount", default="amount", show_default=True, metavar="PATH", help="Where the money stands.")
@click.option(
    "--monetary", type=click.Choice(("average", "total")), default="average", show_default=True, help="Of the amounts."
)
@click.option("--within", metavar="DURATION", help="The window that counts, such as P365D; default: all time.")
@click.option(
    "--units",
    type=click.Choice(("exact", "whole")),
    default="exact",
    show_default=True,
    help="Where a fifth ends: right above the quintile, or a whole day, purchase or unit of money above it.",
)
@click.option("-o", "--output", type=click.Choice(("yaml", "json")), default="yaml", show_default=True)
@click.pass_context
def quintiles(
    ctx: click.Context,
    /,
    events: str,
    instant: str,
    model_id: str | None,
    types: tuple[str, ...],
    where: str | None,
    units: Any,
    output: str,
    **said: Any,
) -> None:
    """A model whose cut points are the quintiles of the contacts in a file of facts, as a definition to apply.

    Facts count by their own instants, up to T, in any order; what has arrived since is included. The cut points are
    fixed: a later snapshot is a new version of the model. `--units whole` is the method of the R package rfm.
    """
    from engine.conditions.instants import format_instant, parse_instant
    from engine.definitions import canonical_form
    from engine.membership.quintiles import Population, cut_points

    settings = settings_of(ctx)
    try:
        at = parse_instant(instant)
    except (ValueError, OverflowError) as error:
        raise UserError(f"--at: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z.") from None
    found = {name: value for name, value in said.items() if value is not None}
    found |= {"model": model_id or f"rfm-{format_instant(at)[:10]}", "event": list(types) or ["purchase"]}
    document = {**found, "where": {} if where is None else _json(where)}
    scoring = _model({**document, "cuts": NO_CUTS})
    population = Population(scoring, scoring.workspace, at, dedup=settings.dedup)
    _take(population, events, settings)
    figures = population.figures()
    print(f"{population.facts:,} facts, {len(figures):,} contacts with scores", file=sys.stderr)
    try:
        cuts = cut_points(figures, units)
    except ValueError as error:
        raise UserError(f"There are no quintiles: {error} by {format_instant(at)} in {events}.") from None
    computed = {"at": format_instant(at), "contacts": len(figures), "units": units}
    model = _model({**document, "cuts": cuts, "computed": computed})
    if output == "json":
        print(orjson.dumps(canonical_form(model)).decode())
        return
    from engine.cli.segments_shown import as_yaml

    print(as_yaml(model), end="")


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f'--where: not JSON: {error}. Write tests such as {{"currency": "EUR"}}.') from None


def _model(document: dict[str, Any]) -> Model:
    from engine.definitions import DefinitionErrors, Model, read_definition

    try:
        model = read_definition(document, "model")
    except DefinitionErrors as error:
        raise UserError(f"This makes no model:\n{error}") from None
    assert isinstance(model, Model)
    return model


def _take(population: Population, events: str, settings: Settings) -> None:
    from engine.membership.facts import Rejected
    from engine.membership.replay import read_line

    refused: Counter[str] = Counter()
    with open_lines(events, "Reading") as lines:
        for number, line in lines:
            fact = read_line(line, number, skew=settings.skew, max_event_bytes=settings.max_event_bytes)
            why = fact if isinstance(fact, Rejected) else population.take(fact)
            if why is not None:
                refused[why.reason] += 1
                print(f"{events}:{number}: {why.reason}: {why.detail}", file=sys.stderr)
    if refused:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in refused.most_common())
        print(f"{refused.total():,} lines refused: {reasons}", file=sys.stderr)
