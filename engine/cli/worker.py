"""`worker`: runs the engine until a signal."""

from __future__ import annotations

import asyncio
import logging

import click

from engine.cli.errors import UserError
from engine.cli.options import brokers_option, group_option, settings_of
from engine.worker.preflight import NotPrepared, look


@click.command()
@brokers_option
@group_option
@click.option("--http-port", type=int, metavar="PORT", help="Port of the HTTP interface (HTTP_PORT).")
@click.option("--data-dir", metavar="DIR", help="Folder of the local stores (DATA_DIR).")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged, to standard error.",
)
@click.pass_context
def command(
    ctx: click.Context,
    brokers: str | None,
    group: str | None,
    http_port: int | None,
    data_dir: str | None,
    log_level: str,
) -> None:
    """Run the engine: read facts, keep segments, publish transitions.

    Several workers of one group share the partitions. SIGTERM ends it after the commits in hand.
    """
    from engine.api.service import CannotListen, listen, serve
    from engine.worker.app import run_worker

    settings = settings_of(ctx, brokers=brokers, group=group, http_port=http_port, data_dir=data_dir)
    logging.getLogger("aiokafka").propagate = True
    try:
        listening = listen(settings)
        cluster = asyncio.run(look(settings))
    except (CannotListen, NotPrepared) as error:
        raise UserError(str(error)) from None
    run_worker(settings, cluster, [lambda engine: serve(engine, listening)], loglevel=log_level.upper())
