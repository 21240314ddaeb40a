"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from engine.cli.errors import UserError
from engine.worker.settings import Settings, SettingsError

F = TypeVar("F", bound=Callable[..., Any])


def settings_of(ctx: click.Context, **flags: object) -> Settings:
    """The settings of this command line: `flags` (None: not given), environment, `--config`, defaults.

    Raises UserError with the settings' own paragraph.
    """
    try:
        return Settings.load(ctx.find_root().obj, flags)
    except SettingsError as error:
        raise UserError(str(error)) from None


def brokers_option(command: F) -> F:
    """`--brokers`, passed as `brokers: str | None`."""
    return click.option("--brokers", metavar="HOST:PORT,…", help="Kafka bootstrap servers (BROKERS).")(command)


def group_option(command: F) -> F:
    """`--group`, passed as `group: str | None`."""
    return click.option("--group", metavar="NAME", help="Consumer group of the engine (GROUP).")(command)


def workspace_option(command: F) -> F:
    """`-w/--workspace` of a segment, passed as `workspace: str`."""
    return workspace_of("segment")(command)


def workspace_of(what: str) -> Callable[[F], F]:
    """`-w/--workspace` of what is named, passed as `workspace: str`."""
    return click.option("-w", "--workspace", default="default", show_default=True, help=f"Workspace of the {what}.")
