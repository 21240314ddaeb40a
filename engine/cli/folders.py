"""Definitions from a folder or a file, their mistakes told as a user's error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.errors import UserError

if TYPE_CHECKING:
    from engine.definitions import Documents
    from engine.definitions.errors import DefinitionError
    from engine.worker.settings import Settings


def definitions_in(folder: str, settings: Settings, *, alone: bool = True) -> Documents:
    """The definitions in a file, or in a folder's .yaml, .yml and .json files; with `alone` checked together.

    Without it they may name others that are in force elsewhere. Raises UserError with every mistake of every file.
    """
    from engine.definitions import DefinitionErrors, check

    found, errors = _read(folder)
    if not any(found) and not errors:
        raise UserError(f"{folder} holds no definition: its files must end with .yaml, .yml or .json.")
    if alone or errors:
        try:
            # Where a file could not be read, a segment that others nest may only seem to be missing.
            check(*found, journal_retention=settings.journal_retention, complete=alone and not errors)
        except DefinitionErrors as error:
            errors += error.errors
    if errors:
        raise mistakes(errors, folder)
    return found


def mistakes(errors: Sequence[DefinitionError], where: str) -> UserError:
    """All mistakes, one a line, as what ends the command."""
    told = "\n".join(map(str, errors))
    return UserError(f"{len(errors)} {'mistake' if len(errors) == 1 else 'mistakes'} in {where}:\n{told}")


def _read(folder: str) -> tuple[Documents, list[DefinitionError]]:
    from engine.definitions import DefinitionErrors, Documents, parse_definitions
    from engine.definitions.reading import SUFFIXES

    found = Documents([], [])
    errors: list[DefinitionError] = []
    try:
        path = Path(folder)
        files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
        for file in files:
            try:
                segments, models = parse_definitions(file.read_bytes(), str(file))
            except DefinitionErrors as error:
                errors += error.errors
            else:
                found.segments.extend(segments)
                found.models.extend(models)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror or error}.") from None
    return found, errors
