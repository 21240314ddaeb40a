"""`segment-engine lists`: people from a file onto a list, and who is on it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from engine.cli.asking import on_list, url_option
from engine.cli.errors import UserError
from engine.cli.importing.columns import Mapping, read_mapping
from engine.cli.importing.progress import Progress
from engine.cli.importing.reading import BadRows, Read, errors_file, stage
from engine.cli.importing.rows import open_people
from engine.cli.importing.staging import Staging
from engine.cli.lines import reader_may_leave
from engine.cli.options import brokers_option, group_option, settings_of, workspace_of
from engine.cli.output import Format, emit, output_option
from engine.conditions.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from engine.definitions import Segment
    from engine.worker.definition_log import Record
    from engine.worker.list_import import ListImport
    from engine.worker.publishing import Publisher
    from engine.worker.settings import Settings

T = TypeVar("T")
LIST_CHARACTERS_MAX: Final = 256
COLUMNS: Final = ("list", "rows", "contacts", "duplicates", "bad", "removed", "segment", "result", "at")
LOOK_CONTACTS: Final = 5_000
FIELD_BYTES: Final = 4_096
"""Left of MAX_EVENT_BYTES for what an event has beside its properties."""


@click.group()
def command() -> None:
    """Lists of people: filled from CSV and XLSX, and read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one import was asked to do."""

    file: Path
    list: str
    workspace: str
    mapping: Mapping
    at: int
    segment: Segment | None
    replace: bool
    strict: bool
    dry_run: bool
    wait: bool
    header: bool
    timeout: float
    url: str


@command.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--list", "name", metavar="ID", required=True, help="The list; it is made by the first who is on it.")
@click.option("-w", "--workspace", default="default", show_default=True, help="Workspace of the list.")
@click.option("--contact", metavar="COLUMN", help="Default: contact, contact_id, id, phone or email, the first there.")
@click.option(
    "--attribute",
    "attributes",
    metavar="NAME=COLUMN[:TYPE]",
    multiple=True,
    help="TYPE: number, date, bool or text; default: text in CSV, the cell's own in XLSX. May repeat.",
)
@click.option("--tags", metavar="COLUMN", help="A column of tags, several in a cell with , or ; between.")
@click.option("--tag", metavar="TAG", multiple=True, help="A tag for all. May repeat.")
@click.option(
    "--mapping",
    "mapping_file",
    metavar="FILE.yaml",
    type=click.Path(path_type=Path),
    help="contact, attributes, tags and tag as a file; options win over it.",
)
@click.option("--replace", is_flag=True, help="Who is on the list and not in the file is taken off it.")
@click.option("--segment", metavar="ID", help="The segment of who is on the list; default: the list's id.")
@click.option("--no-segment", is_flag=True, help="Make no segment.")
@click.option("--sheet", metavar="NAME", help="Of an XLSX file; default: the first.")
@click.option("--delimiter", help="Of CSV: a character, comma, semicolon, tab or pipe; default: found.")
@click.option("--encoding", help="Of CSV, such as utf-8 or cp1251; default: found.")
@click.option("--no-header", is_flag=True, help="The first row is a contact already; columns are named 1, 2, 3 …")
@click.option("--strict", is_flag=True, help="Publish nothing if any row is bad.")
@click.option("--errors", metavar="FILE", type=click.Path(path_type=Path), help="Write all bad rows there, as CSV.")
@click.option(
    "--at",
    "at_text",
    metavar="INSTANT",
    help="As of when the people are on the list; default: now. The one of an import that broke off goes on with it.",
)
@click.option("--dry-run", is_flag=True, help="Read, check and count; publish nothing.")
@click.option("--wait", is_flag=True, help="Wait until the workers have taken everything.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait, and --replace before it, wait for the workers.",
)
@brokers_option
@group_option
@url_option
@output_option
@click.pass_context
def import_(
    ctx: click.Context, /, file: Path, name: str, workspace: str, contact: str | None, attributes: tuple[str, ...],
    tags: str | None, tag: tuple[str, ...], mapping_file: Path | None, replace: bool, segment: str | None,
    no_segment: bool, sheet: str | None, delimiter: str | None, encoding: str | None, no_header: bool, strict: bool,
    errors: Path | None, at_text: str | None, dry_run: bool, wait: bool, timeout: float, brokers: str | None,
    group: str | None, url: str | None, output: Format,
) -> int:  # fmt: skip
    """Put the people of a CSV or XLSX file on a list, with attributes and tags.

    The header is the first row, of the first twenty, that names the columns asked for. A contact that the engine does
    not know yet is created. Ids are taken as they are written, without blanks around: +7 999 and 7999 are two contacts.
    Several rows of one contact count once: of each attribute the later row's value stands, tags are joined. An empty
    cell changes nothing. Attributes and tags of those who are known are added to what they have; of each attribute the
    value with the latest instant stands, and an import's instant is when it began (--at).

    A bad row (no contact, one of more than 256 bytes, a value that is not of its column's type, too many columns,
    broken text, a number that a spreadsheet shortened) is told with its line, and the others are loaded; the exit code
    stays 0. With no good row, or with --strict and a bad one, nothing is published and it is 2.

    The list gets a segment of its own, with cause list, unless one of that id is in force: that is left as it is.

    --replace first waits until the workers have taken what is in the inputs, so that an import just before counts, and
    then asks them who is on the list. Whoever has a bad row in the file is in the file. Without it nobody is taken off.

    An import that breaks off is run again with the --at that it told: what was published does not count twice.
    """
    settings = settings_of(ctx, brokers=brokers, group=group)
    mapping = read_mapping(mapping_file, contact, attributes, tags, tag)
    if segment is not None and no_segment:
        raise UserError("--segment and --no-segment exclude each other.")
    asked = Asked(
        file=file, list=_list_id(name), workspace=workspace, mapping=mapping, at=_instant(at_text, settings),
        segment=None if no_segment else _segment(segment, name, workspace, file), replace=replace, strict=strict,
        dry_run=dry_run, wait=wait, header=not no_header, timeout=timeout, url=url or settings.url,
    )  # fmt: skip
    people = open_people(file, sheet=sheet, delimiter=delimiter, encoding=encoding)
    with ExitStack() as stack:
        stack.callback(people.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segment-engine-import-"))
        bad = BadRows(stack.enter_context(errors_file(errors)) if errors is not None else None)
        staging = stack.enter_context(Staging(Path(folder) / "people", settings.max_event_bytes - FIELD_BYTES))
        progress = stack.enter_context(Progress())
        progress.say(f"{file}: {people.told}")
        read = stage(
            people, mapping, staging, bad, header=asked.header,
            told=lambda share, rows: progress.show(f"Reading, {rows:,} rows", share),
        )  # fmt: skip
        progress.say(f"{file}: {read.columns.told}")
        _judge(asked, read, bad, staging, progress)
        row = _load(asked, settings, staging, progress)
        row |= {"rows": read.rows, "duplicates": staging.folded, "bad": bad.count}
    emit([row], COLUMNS, output)
    return 0


@command.command()
@click.argument("name", metavar="ID")
@workspace_of("list")
@url_option
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, workspace: str, url: str | None, output: Format) -> None:
    """Who is on a list, over all workers, in the order of their ids.

    As the workers have committed it: an import with --wait is in it; without, when they have taken it.
    """
    ids = on_list(url or settings_of(ctx).url, workspace, _list_id(name))
    first = list(islice(ids, 1))
    rows = ({"workspace": workspace, "list": name, "contact": contact} for contact in chain(first, ids))
    with reader_may_leave():
        emit(rows, ("contact",), output)
        if not first:
            print(f"Nobody is on the list {name} in workspace {workspace}", file=sys.stderr)


def _judge(asked: Asked, read: Read, bad: BadRows, staging: Staging, progress: Progress) -> None:
    """Tells of bad rows, and refuses what must not be loaded."""
    for line in bad.lines(str(asked.file)):
        progress.say(line)
    if not len(staging):
        what = f"none of its {read.rows:,} rows can be loaded" if read.rows else "there is no row below the header"
        raise UserError(f"Nothing was published: {what} ({asked.file}).")
    if asked.strict and bad.count:
        raise UserError(f"Nothing was published: {bad.count:,} of {read.rows:,} rows are bad, and --strict was given.")
    if asked.replace and read.nameless:
        progress.say(
            f"{read.nameless:,} bad rows name no contact that can be read: whom they mean may be taken off the list"
        )


def _load(asked: Asked, settings: Settings, staging: Staging, progress: Progress) -> dict[str, object]:
    """Publishes what is staged; the summary."""
    from engine.worker.list_import import ListImport

    removed = _missing(asked, settings, staging, progress) if asked.replace else 0
    done = ListImport(asked.workspace, asked.list, asked.at, _digest(asked))
    result = "none" if asked.segment is None else "not made"
    facts = 0
    if not asked.dry_run:
        if asked.segment is not None:
            result = _segment_made(settings, asked.segment, asked.list, progress)
        progress.say(
            f"{done.id}: as of {format_instant(asked.at)}; should it break off, run it again with "
            f"--at {format_instant(asked.at)}"
        )
        facts = _run(_publish(asked, settings, staging, done, removed, progress))
    else:
        progress.say("Nothing was published (--dry-run)")
    return {
        "list": asked.list,
        "workspace": asked.workspace,
        "import": done.id,
        "at": format_instant(asked.at),
        "contacts": len(staging),
        "removed": removed,
        "facts": facts,
        "segment": None if asked.segment is None else asked.segment.segment,
        "result": result,
        "dry_run": asked.dry_run,
    }


def _missing(asked: Asked, settings: Settings, staging: Staging, progress: Progress) -> int:
    from engine.worker.taken import input_ends, wait_taken

    async def caught_up() -> None:
        await wait_taken(settings, await input_ends(settings), asked.timeout, _showing(progress, "Workers catching up"))

    _run(caught_up())
    progress.show("Asking who is on the list", 0.0)
    return staging.miss(on_list(asked.url, asked.workspace, asked.list))


async def _publish(
    asked: Asked, settings: Settings, staging: Staging, done: ListImport, removed: int, progress: Progress
) -> int:
    """Number of facts published."""
    import orjson

    from engine.worker.list_import import publish
    from engine.worker.publishing import Publisher
    from engine.worker.taken import wait_taken

    total, for_all = len(staging) + removed, asked.mapping.tag
    publisher: Publisher
    async with Publisher(settings) as publisher:
        for number, (contact, attributes, tags) in enumerate(staging.people()):
            if for_all:
                own = orjson.loads(tags) if tags is not None else []
                tags = orjson.dumps(list(dict.fromkeys((*own, *for_all))))
            await publish(publisher, asked.workspace, contact, [*done.added(contact, attributes, tags)])
            if number % LOOK_CONTACTS == 0:
                progress.show("Publishing", number / total)
        for contact in staging.gone():
            await publish(publisher, asked.workspace, contact, [*done.removed(contact)])
        await publisher.flush()
    if asked.wait:
        await wait_taken(settings, publisher.ends, asked.timeout, _showing(progress, "Workers taking them"))
    return sum(publisher.published.values())


def _showing(progress: Progress, doing: str) -> Any:
    return lambda done, total: progress.show(doing, done / total if total else 1.0)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from engine.worker.publishing import PublishError
    from engine.worker.taken import NotTaken

    try:
        return asyncio.run(work)
    except (PublishError, NotTaken) as error:
        raise UserError(str(error)) from None


def _segment_made(settings: Settings, segment: Segment, name: str, progress: Progress) -> str:
    """Puts the list's segment in force unless there is one of its id; `created` or `there already`."""
    from engine.cli.segments_change import user
    from engine.cli.segments_shown import ask
    from engine.definitions import DefinitionErrors
    from engine.worker import definition_log

    records = ask(definition_log.read_records(settings))
    known = records.get(segment.key)
    if known is None or not known.in_force:
        try:
            note = f"made with the list {segment.name}"
            (made,) = ask(
                definition_log.apply(settings, [segment], author=user(), note=note, expected={segment.key: None})
            )
        except DefinitionErrors as error:
            raise UserError(
                f"The segment {segment.segment} cannot be made, and nothing was published: {error}"
            ) from None
        progress.say(f"Segment {segment.segment} is made, version {made.version}: who is on the list")
        return "created"
    progress.say(left_as_it_is(known, name))
    return "there already"


def left_as_it_is(known: Record, name: str) -> str:
    """What is said of the segment in force that has the id of the one for the list `name`: also where nobody enters it
    for being on the list."""
    from engine.worker.definition_log import called

    said = f"Segment {known.segment} is there already ({known.told()}) and is left as it is"
    if not _asks_for((known.definition or {}).get("when"), name):
        said += (
            f". Its rule does not ask for the list {name}: whoever wants a segment of who is on the list names another "
            "with --segment ID"
        )
    if known.state == "paused":
        said += f". It is paused: nobody enters until segment-engine segments resume {called(known.key)}"
    return said


def _asks_for(rule: Any, name: str) -> bool:
    """Whether a rule in canonical form has a condition in_list of this list."""
    if isinstance(rule, dict):
        return rule.get("in_list") == name or any(_asks_for(each, name) for each in rule.values())
    return isinstance(rule, list) and any(_asks_for(each, name) for each in rule)


def _segment(segment: str | None, name: str, workspace: str, file: Path) -> Segment:
    from engine.definitions import DefinitionErrors, read_segment

    try:
        found = read_segment(
            {
                "segment": name if segment is None else segment,
                "name": file.stem[:200],
                "workspace": workspace,
                "when": {"in_list": name},
            }
        )
    except DefinitionErrors as error:
        more = "" if segment is not None else (
            " The list's id is to be that of its segment too: name another with --segment ID, or make none with "
            "--no-segment."
        )  # fmt: skip
        raise UserError(f"{'; '.join(map(str, error.errors))}.{more}") from None
    return found


def _list_id(name: str) -> str:
    if not name.strip() or len(name) > LIST_CHARACTERS_MAX:
        raise UserError(f"A list's id has 1 to {LIST_CHARACTERS_MAX} characters.")
    return name


def _instant(text: str | None, settings: Settings) -> int:
    from engine.worker.clock import wall

    now = wall()
    if text is None:
        return now
    try:
        at = parse_instant(text)
    except ValueError as error:
        raise UserError(f"--at: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z.") from None
    if at > now + settings.skew:
        raise UserError(f"--at {text} has not come yet: facts ahead of their time are refused.")
    return at


def _digest(asked: Asked) -> str:
    """Of the file's bytes and of how they are read."""
    digest = blake2b(repr((asked.mapping, asked.header)).encode(), digest_size=16)
    with asked.file.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
