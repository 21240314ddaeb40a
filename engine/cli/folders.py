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


def definitions_in(folder: str, settings: Settings) -> Documents:
    """The definitions in a file, or in a folder's .yaml, .yml and .json files, checked together.

    Raises UserError with every mistake of every file.
    """
    return definitions_of([folder], settings, alone=True)


def definitions_of(folders: Sequence[str], settings: Settings, *, alone: bool) -> Documents:
    """Those of several files and folders, checked together; without `alone` they may name others in force elsewhere."""
    found = reading_of(*folders)
    if errors := found.checked(journal_retention=settings.journal_retention, alone=alone):
        raise mistakes(errors, named(folders), complete=found.complete)
    return found.documents


def reading_of(*folders: str) -> Reading:
    """What files or folders hold, sound or not. Raises UserError where one holds nothing or is not there."""
    from engine.definitions.reading import Reading, read_folder

    found = Reading()
    for folder in folders:
        try:
            read = read_folder(folder)
        except OSError as error:
            raise UserError(f"{folder} cannot be read: {error.strerror or 'it is not there'}.") from None
        if not read:
            raise UserError(f"{folder} holds no definition: its files must end with .yaml, .yml or .json.")
        found.join(read)
    return found


def named(folders: Sequence[str]) -> str:
    """Folders and files in words, the first few of many."""
    return ", ".join(folders[:3]) + (f" and {len(folders) - 3} more" if len(folders) > 3 else "")


def mistakes(errors: Sequence[DefinitionError], where: str, *, told: bool = False, complete: bool = True) -> UserError:
    """All mistakes, one a line, as what ends the command; their number alone where they are `told` already.

    Unless `complete`, some definition's id could not be read, and what others name was not looked for.
    """
    number = f"{len(errors)} {'mistake' if len(errors) == 1 else 'mistakes'} in {where}"
    lines = [f"{number}."] if told else [f"{number}:", *map(str, errors)]
    if not complete:
        lines.append("Names of other definitions were not looked for, as some id can't be read: mend that first.")
    return UserError("\n".join(lines))
