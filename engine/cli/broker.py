"""`segment-engine broker`: a local Kafka in the foreground, gone when this command is."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from engine.cli.errors import UserError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9092, show_default=True, help="0 takes a free one.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of its data, kept for the next start; default: a temporary one, removed at the end.",
)
@click.option(
    "--memory", type=click.Choice(["small", "load"]), default="small", show_default=True, help="Heap: 256 or 768 MiB."
)
def command(port: int, folder: Path | None, memory: str) -> None:
    """A local Kafka in the foreground, on 127.0.0.1, until Ctrl-C."""
    from deploy.local_broker import BrokerError, LocalBroker

    signal.signal(signal.SIGTERM, _leave)
    try:
        with LocalBroker(folder, port=port, memory="load" if memory == "load" else "small") as broker:
            print(f"Kafka answers on {broker.brokers}; its data is in {broker.folder}. Ctrl-C stops it.", flush=True)
            code = broker.wait()
            if code:
                print(f"Kafka ended by itself with code {code}:\n{broker.tail()}", file=sys.stderr)
                sys.exit(1)
    except BrokerError as error:
        raise UserError(str(error)) from None


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)
