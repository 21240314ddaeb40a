"""The root of the command line: global options, commands loaded when called, and how a command may end.

Exit codes: 0 done; 1 done with a negative answer or a broken engine; 2 a user's error, told in one paragraph;
130 Ctrl-C, told by nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.commands import Commands, Place
from engine.cli.errors import UserError

USER_ERROR: Final = 2
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells count."""

COMMANDS: Final = {
    "demo": "A shop's log played through a local Kafka, live, with a recount at the end.",
    "broker": "A local Kafka in the foreground.",
    "topics": "Make the topics, or say how the existing ones differ.",
    "worker": "Run the engine.",
    "segments": "Definitions: checked, put in force, paused, deleted, listed, brought back.",
    "rfm": "Make models that the condition rfm scores by.",
    "events": "Publish events.",
    "lists": "Lists of people: from CSV and XLSX, and who is on them.",
    "members": "The members of a segment.",
    "contact": "One contact's state and segments.",
    "explain": "Why a contact is in a segment or not.",
    "watch": "Transitions as they happen.",
    "replay": "Facts from a file to transitions, without a broker.",
    "recount": "The batch proof: raw events to members and transitions, compared.",
}
"""Command and module `engine.cli.<name>`, each with a click command named `command`."""


PLACES: Final = {name: Place(f"engine.cli.{name}", "command", told) for name, told in COMMANDS.items()}


@click.group(
    cls=Commands, places=PLACES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file, TOML or YAML: the names of the variables SEGMENT_ENGINE_… without the prefix.",
)
@click.version_option(package_name="segment-engine", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context, config: Path | None) -> None:
    """Segments of contacts, exact in time, exactly once, on Apache Kafka.

    Settings come from flags, from SEGMENT_ENGINE_… variables, from the file given by --config, in this order.
    """
    ctx.obj = config


def run(words: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's own) and returns its exit code; never raises for a user's error."""
    try:
        code: Any = root.main(words, prog_name="segment-engine", standalone_mode=False)
    except UserError as error:
        return _told(str(error))
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.UsageError as error:
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx is not None else ""
        return _told(f"{error.format_message().rstrip('.')}.{hint}")
    except click.ClickException as error:
        return _told(error.format_message())
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _told(paragraph: str) -> int:
    print(f"segment-engine: {paragraph}", file=sys.stderr)
    return USER_ERROR


def main() -> None:
    """The entry point `segment-engine`."""
    # The Kafka client logs what the commands already say in their own words; the worker sets up its own logging.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    sys.exit(run())


if __name__ == "__main__":
    main()
