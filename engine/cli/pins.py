"""`segment-engine segments pin|unpin`: contacts put into a segment, or kept out of it, by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from engine.cli.errors import UserError
from engine.cli.lines import open_lines
from engine.cli.options import brokers_option, settings_of, workspace_option
from engine.cli.output import Format, emit, output_option

if TYPE_CHECKING:
    from engine.definitions import Segment
    from engine.worker.definition_log import Applied, Key, Record
    from engine.worker.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS: Final = ("workspace", "segment", "result", "version", "state", "include", "exclude")
CONTACT_BYTES_MAX: Final = 256
WORKBOOK: Final = b"PK\x03\x04"
"""How an .xlsx file begins."""
SHOWN_MAX: Final = 10
"""Contacts that a sentence names."""
TRIES: Final = 3
"""Changes made anew when somebody else changed the definition between reading it and changing it."""


@dataclass(slots=True)
class Pins:
    """`include` and `exclude` of a segment while they are changed, and what became of each contact."""

    include: set[str]
    exclude: set[str]
    moved: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    changed: int = 0

    def pin(self, contacts: Iterable[str], *, exclude: bool) -> None:
        """Each is in the one of the two then, and not in the other."""
        into, out_of = (self.exclude, self.include) if exclude else (self.include, self.exclude)
        for contact in contacts:
            self.changed += contact not in into
            if contact in out_of:
                out_of.remove(contact)
                self.moved.append(contact)
            elif contact in into:
                self.already.append(contact)
            into.add(contact)

    def unpin(self, contacts: Iterable[str]) -> None:
        """Each is in neither then."""
        for contact in contacts:
            if contact not in self.include and contact not in self.exclude:
                self.already.append(contact)
            else:
                self.changed += 1
            self.include.discard(contact)
            self.exclude.discard(contact)


def _options(command: F) -> F:
    source = click.option("--from", "source", metavar="FILE|-", help="More contacts: text, one a line.")
    author = click.option("--author", help="Who makes the change; default: the name of this user.")
    note = click.option("--note", default="", help="Why, for the history; default: how many contacts.")
    return source(workspace_option(author(note(brokers_option(output_option(command))))))


@click.command()
@click.argument("segment", metavar="SEGMENT")
@click.argument("contacts", metavar="[CONTACT]…", nargs=-1)
@click.option("--exclude", is_flag=True, help="Keep them out instead: never members.")
@click.option("--create", is_flag=True, help="Make the segment, without a rule, if there is none of this id.")
@click.option("--name", default="", help="Its name if it is made.")
@_options
@click.pass_context
def pin(
    ctx: click.Context, segment: str, contacts: tuple[str, ...], exclude: bool, create: bool, name: str,
    source: str | None, workspace: str, author: str | None, note: str, brokers: str | None, output: Format,
) -> None:  # fmt: skip
    """Put contacts into a segment by hand, whatever its rule says of them.

    They stay in while they are pinned; only exclude, erasure and the consent gate (mailable) are stronger. A contact
    that was excluded and is pinned is moved, and the other way round, and that is told. A segment without a rule has
    exactly the contacts pinned to it: --create makes one. The change is a new version of the definition, like an edit
    of its file: who applies an older file afterwards undoes it.
    """
    if create and exclude:
        raise UserError("--create makes one of pinned members; --exclude keeps contacts out of one that there is.")
    chosen = _contacts(contacts, source)
    new = (name,) if create else None
    _change(
        ctx, segment, workspace, lambda pins: pins.pin(chosen, exclude=exclude), new,
        author=author, note=note, brokers=brokers, output=output,
        done="excluded by hand" if exclude else "pinned by hand",
        already="excluded already" if exclude else "pinned already",
        moved="moved from include to exclude" if exclude else "moved from exclude to include",
    )  # fmt: skip


@click.command()
@click.argument("segment", metavar="SEGMENT")
@click.argument("contacts", metavar="[CONTACT]…", nargs=-1)
@_options
@click.pass_context
def unpin(
    ctx: click.Context, segment: str, contacts: tuple[str, ...], source: str | None, workspace: str,
    author: str | None, note: str, brokers: str | None, output: Format,
) -> None:  # fmt: skip
    """Leave contacts to the segment's rule again: they are neither included nor excluded by hand.

    Who is in by a pin alone leaves, and who was kept out enters if the rule says so, with cause definition.
    """
    chosen = _contacts(contacts, source)
    _change(
        ctx, segment, workspace, lambda pins: pins.unpin(chosen), None, author=author,
        note=note, brokers=brokers, output=output, done="no longer pinned", already="not pinned", moved="",
    )  # fmt: skip


def _change(
    ctx: click.Context, segment: str, workspace: str, edit: Callable[[Pins], None], new: tuple[str] | None, *,
    author: str | None, note: str, brokers: str | None, output: Format, done: str, already: str, moved: str,
) -> None:  # fmt: skip
    """Without a note the history tells of how many contacts `done` is said, never whom: it is kept for good, and names
    of people in it would outlast their erasure."""
    from engine.cli.segments_change import user
    from engine.cli.segments_shown import ask, key_of
    from engine.definitions import DefinitionErrors
    from engine.worker import definition_log

    settings = settings_of(ctx, brokers=brokers)
    key = key_of(segment, workspace)
    for left in reversed(range(TRIES)):
        records = ask(definition_log.read_records(settings))
        known = _in_force(records.get(key))
        pins = Pins(set(known.include), set(known.exclude)) if known is not None else Pins(set(), set())
        edit(pins)
        changed = _segment(key, known, pins, new, records)
        expected = {key: None if known is None else records[key].version}
        try:
            why = note or f"{pins.changed:,} {'contact' if pins.changed == 1 else 'contacts'} {done}"
            applied = _applied(settings, changed, expected, author or user(), why, again=left > 0)
        except DefinitionErrors as error:
            raise UserError(f"Nothing was changed: {'; '.join(map(str, error.errors))}") from None
        if applied is not None:
            _tell(applied, pins, already, moved, output)
            return


def _applied(
    settings: Settings, segment: Segment, expected: dict[Key, int | None], author: str, note: str, *, again: bool
) -> Applied | None:
    """What was done; None where the definition has moved and it is to be tried again."""
    import asyncio

    from engine.worker import definition_log

    asked = definition_log.apply(settings, [segment], author=author, note=note, expected=expected)
    try:
        (applied,) = asyncio.run(asked)
    except definition_log.DefinitionsMoved as error:
        if again:
            return None
        raise UserError(str(error)) from None
    except definition_log.DefinitionLogError as error:
        raise UserError(str(error)) from None
    return applied


def _in_force(record: Record | None) -> Segment | None:
    from engine.cli.segments_shown import document_of
    from engine.definitions import Segment

    if record is None or not record.in_force:
        return None
    found = document_of(record)
    if not isinstance(found, Segment):
        raise UserError(f"{record.segment} is a model: contacts are pinned to segments.")
    return found


def _segment(
    key: Key, known: Segment | None, pins: Pins, new: tuple[str] | None, records: dict[Key, Record]
) -> Segment:
    """The definition with these pins. Raises UserError where there can be none."""
    from engine.cli.segments_shown import unknown
    from engine.definitions import DefinitionErrors, canonical, read_segment
    from engine.definitions.document import PINS_MAX
    from engine.definitions.text import DEFINITION_BYTES_MAX

    if known is None:
        if new is None:
            there = {place: each for place, each in records.items() if each.in_force}
            raise UserError(f"{unknown(*key, there)} To make one of pinned contacts alone: --create")
        document: dict[str, Any] = {"segment": key[1], "workspace": key[0], "name": new[0]}
    else:
        document = canonical(known)
    for name, each in (("include", pins.include), ("exclude", pins.exclude)):
        size = sum(len(contact.encode()) + 4 for contact in each)
        if len(each) > PINS_MAX or size > DEFINITION_BYTES_MAX:
            raise UserError(
                f"{key[1]} would have {len(each):,} contacts in {name}, {size:,} bytes; at most {PINS_MAX:,} and "
                f"{DEFINITION_BYTES_MAX:,} bytes are pinned. Put them on a list (segment-engine lists import) and say "
                f"in_list in the rule. Nothing was changed."
            )
        document[name] = sorted(each)
    if not pins.include and document.get("when") is None:
        raise UserError(
            f"Nobody could be in {key[1]} then: it has no rule. Delete it with segment-engine segments delete, or give "
            "it a rule. Nothing was changed."
        )
    try:
        return read_segment(document)
    except DefinitionErrors as error:
        raise UserError(f"Nothing was changed: {'; '.join(map(str, error.errors))}") from None


def _tell(applied: Applied, pins: Pins, already: str, moved: str, output: Format) -> None:
    row = {name: getattr(applied, name) for name in ("workspace", "segment", "result", "version", "state")}
    emit([{**row, "include": len(pins.include), "exclude": len(pins.exclude)}], COLUMNS, output)
    for contacts, what in ((pins.moved, moved), (pins.already, already)):
        if contacts:
            print(f"{_named(contacts)}: {what}", file=sys.stderr)
    if applied.result == "unchanged":
        print("Nothing changed", file=sys.stderr)
    elif applied.state == "paused":
        print("It is paused: exclude counts now, include from segments resume", file=sys.stderr)


def _contacts(given: Sequence[str], source: str | None) -> list[str]:
    """The contacts named, each once. Raises UserError."""
    found = dict.fromkeys(given)
    if source is not None:
        with open_lines(source, "Reading") as lines:
            for number, line in lines:
                if number == 1 and line.startswith(WORKBOOK):
                    raise UserError(
                        f"{source} is a workbook: --from takes text, one contact a line. Save the column of contacts "
                        "as text, or put them on a list: segment-engine lists import"
                    )
                try:
                    found[line.decode("utf-8-sig").strip()] = None
                except UnicodeDecodeError:
                    raise UserError(
                        f"{source}:{number}: the line is not UTF-8: --from takes text, one contact a line."
                    ) from None
    for contact in found:
        size = len(contact.encode(errors="replace"))
        if not 1 <= size <= CONTACT_BYTES_MAX or any("\ud800" <= letter <= "\udfff" for letter in contact):
            raise UserError(f"A contact has 1 to {CONTACT_BYTES_MAX} bytes of text; {contact[:40]!r} has {size}.")
    if not found:
        raise UserError("Name the contacts: CONTACT…, or --from FILE with one a line.")
    return list(found)


def _named(contacts: Sequence[str]) -> str:
    more = f" and {len(contacts) - SHOWN_MAX:,} more" if len(contacts) > SHOWN_MAX else ""
    return ", ".join(contacts[:SHOWN_MAX]) + more
