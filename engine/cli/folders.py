"""Definitions from a folder or a file, their mistakes told as a user's error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.cli.errors import UserError

if TYPE_CHECKING:
    from engine.definitions import Documents
    from engine.definitions.errors import DefinitionError
    from engine.definitions.reading import Reading
    from engine.worker.settings import Settings


def definitions_in(folder: str, settings: Settings, *, alone: bool = True) -> Documents:
    """The definitions in a file, or in a folder's .yaml, .yml and .json files, checked together.

    Without `alone` they may name others that are in force elsewhere. Raises UserError with every mistake of every file.
    """
    found = reading_of(folder)
    if errors := found.checked(journal_retention=settings.journal_retention, alone=alone):
        raise mistakes(errors, folder, complete=found.complete)
    return found.documents


def reading_of(folder: str) -> Reading:
    """What a file or folder holds, sound or not. Raises UserError where it holds nothing or is not there."""
    from engine.definitions.reading import read_folder

    try:
        found = read_folder(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or 'it is not there'}.") from None
    if not found:
        raise UserError(f"{folder} holds no definition: its files must end with .yaml, .yml or .json.")
    return found


def mistakes(errors: Sequence[DefinitionError], where: str, *, told: bool = False, complete: bool = True) -> UserError:
    """All mistakes, one a line, as what ends the command; their number alone where they are `told` already.

    Unless `complete`, some definition's id could not be read, and what others name was not looked for.
    """
    number = f"{len(errors)} {'mistake' if len(errors) == 1 else 'mistakes'} in {where}"
    lines = [f"{number}."] if told else [f"{number}:", *map(str, errors)]
    if not complete:
        lines.append("Names of other definitions were not looked for, as some id can't be read: mend that first.")
    return UserError("\n".join(lines))
