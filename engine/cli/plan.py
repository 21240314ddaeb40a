"""`segment-engine segments plan`: what a change of definitions would do, before it is made; and plans kept in files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from engine.cli.asking import ANSWER_SECONDS, CONNECT_SECONDS, no_worker, refusal, url_option
from engine.cli.errors import UserError
from engine.cli.folders import definitions_of
from engine.cli.importing.progress import Progress
from engine.cli.lines import reader_may_leave
from engine.cli.options import settings_of, workspace_option
from engine.cli.segments_shown import all_of, ask, key_of

if TYPE_CHECKING:
    from engine.worker.definition_log import Change
    from engine.worker.settings import Settings

NOTHING, FAILED, CHANGES = 0, 1, 2
"""Exit codes, as those of `terraform plan -detailed-exitcode`."""
SAMPLE: Final = 3
SAMPLE_MAX: Final = 100
SIGNS: Final = {"created": "+", "deleted": "-", "follows": ">"}
"""Before a segment; `~` before what changes otherwise."""
OVERLAPS_SHOWN: Final = 5


class Planning(click.Command):
    """A command whose errors, of the user too, end with FAILED: its exit code 2 says that there are changes."""

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*words, **more)
        except click.UsageError as error:
            _fail(f"{error.format_message().rstrip('.')}. See 'segment-engine segments plan --help'.")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            _fail(str(error))
        except click.ClickException as error:
            _fail(error.format_message())


def _fail(paragraph: str) -> NoReturn:
    print(f"segment-engine: {paragraph}", file=sys.stderr)
    raise click.exceptions.Exit(FAILED)


@click.command(cls=Planning)
@click.argument("folders", metavar="[DIR|FILE…]", nargs=-1)
@click.option("--delete", metavar="ID", multiple=True, help="What deleting it would do. May repeat.")
@click.option("--pause", metavar="ID", multiple=True, help="What pausing it would do. May repeat.")
@click.option("--resume", metavar="ID", multiple=True, help="What letting it go on would do. May repeat.")
@click.option(
    "--prune", is_flag=True,
    help="Delete with it whatever else is in force in the workspaces of these definitions.",
)  # fmt: skip
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Keep the plan for apply --plan.")
@click.option(
    "--sample", type=click.IntRange(0, SAMPLE_MAX), default=SAMPLE, show_default=True,
    help="Name so many of those who would enter each segment, and of those who would leave it.",
)  # fmt: skip
@workspace_option
@url_option
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_context
def command(
    ctx: click.Context, folders: tuple[str, ...], delete: tuple[str, ...], pause: tuple[str, ...],
    resume: tuple[str, ...], prune: bool, out: Path | None, sample: int, workspace: str, url: str | None, output: str,
) -> int:  # fmt: skip
    """What putting definitions in force would do, before it is done.

    For each segment that changes, and each that follows because it nests one or shares a group: how many and which
    contacts would enter and leave and why, its size now and then, and how many members it shares with others. The
    workers work it out over all contacts, by the code that does it; nothing is published. With --out the plan goes into
    a file, and apply --plan does exactly that, unless what it builds on has changed. The file names contacts.

    Exit codes, also of errors of yours: 0 nothing would change, 1 error, 2 there are changes.
    """
    settings = settings_of(ctx)
    if not (folders or delete or pause or resume):
        raise UserError("There is nothing to plan: name files or folders, or --delete, --pause or --resume an ID.")
    keys = {
        word: [dict(zip(("workspace", "segment"), key_of(each, workspace), strict=True)) for each in ids]
        for word, ids in (("delete", delete), ("pause", pause), ("resume", resume))
    }
    documents = _canonical(folders, settings) if folders else []
    plan = _ask(url or settings.url, {"apply": documents, **keys, "prune": prune, "sample": sample})
    if out is not None:
        _keep(out, plan)
    with reader_may_leave():
        if output == "json":
            print(_json(plan))
        else:
            print("\n".join(told(plan)))
    if out is not None:
        print(f"Kept in {out}; put it in force: segment-engine segments apply --plan {out}", file=sys.stderr)
    return CHANGES if plan["segments"] else NOTHING


def _canonical(folders: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    from engine.definitions import canonical_form

    return [canonical_form(each) for each in all_of(definitions_of(folders, settings, alone=False))]


def _ask(url: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, from any worker. Raises UserError with what it says of itself, or of not answering."""
    import httpx
    import orjson

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    path = f"{url.rstrip('/')}/plan"
    try:
        with (
            httpx.stream("POST", path, content=orjson.dumps(question), timeout=timeout, trust_env=False) as answer,
            Progress() as progress,
        ):
            if answer.status_code != 200:
                answer.read()
                raise refusal(url, "/plan", answer)
            for text in answer.iter_lines():
                line = orjson.loads(text)
                if "plan" in line:
                    found: dict[str, Any] = line["plan"]
                    return found
                if "error" in line:
                    raise UserError(str(line["detail"]))
                looked, contacts = line["looked"], line["contacts"]
                doing = f"Looked at {looked:,} of {max(looked, contacts):,} contacts"
                progress.show(doing, looked / max(looked, contacts, 1))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise no_worker(url, error) from None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    raise UserError(f"What answers at {url} is no worker of this version: it gives no plan.")


def _json(plan: Mapping[str, Any]) -> str:
    import orjson

    return orjson.dumps(plan, option=orjson.OPT_INDENT_2).decode()


def _keep(out: Path, plan: Mapping[str, Any]) -> None:
    try:
        out.write_text(_json(plan) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"The plan cannot be written to {out}: {error.strerror}.") from None


# --- for people


def told(plan: Mapping[str, Any]) -> Iterator[str]:
    """The plan in lines: a paragraph a segment, the totals at the end."""
    totals, rows = plan["totals"], plan["segments"]
    for row in rows:
        yield from _paragraph(row)
        yield ""
    if not rows:
        same = _counted(totals["unchanged"], "definition means", "definitions mean")
        yield f"Nothing would change: {same} what is in force already."
        return
    parts = [
        f"{totals[word]} {word}" for word in ("created", "changed", "paused", "resumed", "deleted") if totals[word]
    ]
    if totals["unchanged"]:
        parts.append(f"{totals['unchanged']} unchanged")
    if totals["follows"]:
        parts.append(f"{_counted(totals['follows'], 'segment follows', 'segments follow')}")
    yield f"Plan: {', '.join(parts)}."
    enters, exits = _counted(totals["entering"], "enter", "enters"), _counted(totals["leaving"], "exit", "exits")
    contacts = _counted(plan["contacts"], "contact", "contacts")
    yield f"{enters} and {exits} would be published, for {plan['moving']:,} of {contacts}."
    if plan["lacking"]:
        yield (
            f"For {_counted(plan['lacking'], 'contact', 'contacts')} the journal no longer holds all facts that new "
            "conditions ask for; nobody can know whether there were any."
        )


def _paragraph(row: Mapping[str, Any]) -> Iterator[str]:
    key = row["segment"] if row["workspace"] == "default" else f"{row['workspace']}/{row['segment']}"
    named = f" ({row['name']})" if row["name"] else ""
    before, after = row["version_before"], row["version"]
    version = f"version {after}" if before in (None, after) else f"version {before} → {after}"
    still = ", still paused" if row["state"] == "paused" and row["change"] in ("changed", "follows") else ""
    yield f"{SIGNS.get(row['change'], '~')} {key}{named}: {row['change']}, {version}{still}"
    for difference in row["differences"]:
        yield f"    {difference}"
    if row["segment"].startswith("model:"):
        return
    yield (
        f"    {row['size_before']:,} → {_counted(row['size'], 'member', 'members')}: "
        f"{row['entering']:,} enter, {row['leaving']:,} leave"
    )
    for word, sample, total in (
        ("enters", row["enter_sample"], row["entering"]),
        ("leaves", row["leave_sample"], row["leaving"]),
    ):
        for each in sample:
            why = f", as {each['why']}" if each["why"] else ""
            yield f"    {each['contact']} {word}{why}"
        if sample and total > len(sample):
            yield f"    and {total - len(sample):,} more"
    if row["overlap"]:
        shared = [f"{each['segment']} {each['then']:,} (now {each['before']:,})" for each in row["overlap"]]
        more = f" and {len(shared) - OVERLAPS_SHOWN} more" if len(shared) > OVERLAPS_SHOWN else ""
        yield f"    members shared with {', '.join(shared[:OVERLAPS_SHOWN])}{more}"
    if row["lacking"]:
        yield f"    for {_counted(row['lacking'], 'contact', 'contacts')} facts may be missing from the journal"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


# --- kept plans


def planned(path: Path, settings: Settings, author: str, note: str) -> Change:
    """The change of a plan that was kept in a file, with the versions that it expects.

    Raises UserError for what is no plan, was changed since, or builds on what was not there when it was made.
    """
    from engine.definitions import DefinitionErrors
    from engine.worker import definition_log
    from engine.worker.plan_record import PLAN_BYTES_MAX, PlanUnusable, refuse_newcomers, unsealed
    from engine.worker.proposal import expected_of

    try:
        with path.open("rb") as file:
            text = file.read(PLAN_BYTES_MAX + 1)
        if len(text) > PLAN_BYTES_MAX:
            raise UserError(f"{path} is no plan: it has more than {PLAN_BYTES_MAX >> 20} MiB.")
        plan = unsealed(text, str(path))
        refuse_newcomers(plan, expected_of(ask(definition_log.read_records(settings)), plan.change), str(path))
    except OSError as error:
        raise UserError(f"The plan {path} cannot be read: {error.strerror}.") from None
    except PlanUnusable as error:
        raise UserError(str(error)) from None
    except DefinitionErrors as error:
        raise UserError(f"What is in force is not what this version of the engine understands: {error}") from None
    return replace(plan.change, author=author, note=note)
