"""`segment-engine demo`: a real shop's log through a local Kafka and a worker, live, and a recount at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli.errors import UserError
from engine.cli.leaving import Leaving

if TYPE_CHECKING:
    from engine.cli.demo_stage import Stage
    from engine.cli.demo_view import View
    from engine.definitions import Segment

WORKER_SECONDS: Final = 60.0
"""Longest wait for the worker's start, and for its last fact: some seconds on an idle machine."""
LOOK_SECONDS: Final = 0.1
SETTLE_MS: Final = 1_000
"""How far after the last fact was taken the comparison is made: some deadlines fall due in between."""
READ_AGAIN: Final = 3
"""A commit that is under way when the topic is read is seen in the next reading."""
DIFFERENCES_SHOWN: Final = 20


@dataclass(slots=True)
class Played:
    """What happened, for the summary; spans in seconds, `at` in ms."""

    events: int = 0
    publishing: float = 0.0
    facts: int = 0
    duplicates: int = 0
    taking: float = 0.0
    at: int = 0
    compared: int = 0
    contacts: int = 0
    recounting: float = 0.0


@click.command()
@click.option("--stay", is_flag=True, help="Stay alive afterwards, and say what can be tried.")
def command(stay: bool) -> int:
    """A shop's log played through a local Kafka, live, with a recount at the end.

    Starts a Kafka of its own, makes the topics, applies ten segments, publishes three real hours of a shop's log with
    its instants moved so that they end now, starts a worker, and shows members and transitions. Then a plain recount
    of the same facts is held against what was published: the exit code is 0 only if they agree. Nothing is left
    running, and nothing on disk but Kafka's jars in the cache of the first run.
    """
    from engine.cli.demo_stage import Stage

    began = time.monotonic()
    with Leaving() as leaving, Stage(leaving, say) as stage:
        say("Starting Kafka …")
        stage.start()
        try:
            return asyncio.run(_play(stage, leaving, stay, began))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def say(told: str) -> None:
    """One line for the user, at once."""
    print(told, flush=True)


async def _play(stage: Stage, leaving: Leaving, stay: bool, began: float) -> int:
    with leaving.cancels():
        played = Played()
        segments = await _prepare(stage)
        await _publish(stage, played)
        say("Starting a worker …")
        stage.start_worker()
        from engine.cli.demo_view import View

        view = View(segments, played.events)
        async with _shown(stage, view):
            await _taken(stage, view, played)
            await _settled(stage, view, played)
        differences = await _compared(stage, segments, played)
        _summary(view, played, differences, time.monotonic() - began)
        if stay:
            _invite(stage)
            with suppress(asyncio.CancelledError):
                while True:
                    stage.check_worker()
                    await asyncio.sleep(1.0)
        return 1 if differences else 0


async def _prepare(stage: Stage) -> list[Segment]:
    """Topics and definitions."""
    from importlib.resources import as_file, files

    import topics
    from engine.definitions import load_folder
    from engine.worker.definition_log import DefinitionLogError, apply

    settings = stage.settings
    try:
        declared = topics.declared(settings.group, settings.input_topics, journal_retention=settings.journal_retention)
        await topics.create(settings.brokers, declared, partitions=settings.partitions)
        with as_file(files("engine.demo") / "segments") as folder:
            segments = load_folder(folder)
        await apply(settings, segments, author="demo", note="the segments of the demo")
    except (topics.TopicsError, DefinitionLogError) as error:
        raise UserError(str(error)) from None
    say(f"Kafka answers on {settings.brokers}; {len(declared)} topics, {len(segments)} segments in force.")
    return segments


async def _publish(stage: Stage, played: Played) -> None:
    """The log, before the worker starts: so that it finds three hours behind it, as after a stop."""
    from engine.demo.shop_log import shop_log_lines
    from engine.membership.facts import Rejected, read_fact
    from engine.worker.publishing import Publisher, PublishError

    settings = stage.settings
    lines = shop_log_lines(ends_at=time.time_ns() // 1_000_000)
    began = time.monotonic()
    try:
        async with Publisher(settings) as publisher:
            for line in lines:
                fact = read_fact(line, arrival=None, fallback_id="line", skew=0, max_bytes=settings.max_event_bytes)
                assert not isinstance(fact, Rejected)
                await publisher.publish(fact, line)
            await publisher.flush()
    except PublishError as error:
        raise UserError(str(error)) from None
    played.events, played.publishing = len(lines), time.monotonic() - began
    say(f"{played.events:,} real events published in {played.publishing:.1f} s.")


@asynccontextmanager
async def _shown(stage: Stage, view: View) -> AsyncIterator[None]:
    """While inside, transitions are followed and shown."""
    from engine.cli.watch import follow

    async def see() -> None:
        async for transition in follow(stage.settings, from_start=True, to_end=False):
            view.see(transition)

    tasks = [asyncio.create_task(see()), asyncio.create_task(_draw(view))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _draw(view: View) -> None:
    if not sys.stdout.isatty():
        told = ""
        while True:
            if view.status() != told:
                say(told := view.status())
            await asyncio.sleep(2.0)
    from rich.live import Live

    with Live(view.table(), auto_refresh=False) as live:
        try:
            while True:
                await asyncio.sleep(0.25)
                live.update(view.table(), refresh=True)
        finally:
            live.update(view.table(), refresh=True)


async def _taken(stage: Stage, view: View, played: Played) -> None:
    """Waits until the worker has committed every event."""
    view.phase = "The worker starts"
    last_without = time.monotonic()
    give_up_at = last_without + WORKER_SECONDS
    while True:
        figures = await _figures(stage)
        now = time.monotonic()
        played.facts = int(figures.get("segment_engine_facts_total", 0))
        played.duplicates = int(figures.get("segment_engine_duplicates_total", 0))
        taken = played.facts + played.duplicates
        if taken != view.taken:
            view.taken, view.phase, give_up_at = taken, "Playing", now + WORKER_SECONDS
        if not taken:
            last_without = now
        if taken >= played.events:
            played.taking = now - last_without
            return
        stage.check_worker()
        if now > give_up_at:
            raise UserError(f"The worker took {taken:,} of {played.events:,} events and then nothing for a minute.")
        await asyncio.sleep(LOOK_SECONDS)


async def _settled(stage: Stage, view: View, played: Played) -> None:
    """Chooses the instant of the comparison, and waits until every partition's clock has passed it and moved again."""
    view.phase = "Caught up: time alone moves contacts now"
    played.at = time.time_ns() // 1_000_000 + SETTLE_MS
    passed: dict[str, float] = {}
    moved: set[str] = set()
    give_up_at = time.monotonic() + WORKER_SECONDS
    while len(moved) < stage.settings.partitions:
        figures = await _figures(stage)
        for name, clock in figures.items():
            beyond = name.startswith("segment_engine_clock_timestamp_seconds") and clock * 1000 > played.at
            if beyond and passed.setdefault(name, clock) != clock:
                moved.add(name)
        stage.check_worker()
        if time.monotonic() > give_up_at:
            raise UserError("The clocks of the worker's partitions stand still.")
        await asyncio.sleep(LOOK_SECONDS)


async def _figures(stage: Stage) -> dict[str, float]:
    """The worker's metrics, by name with labels; nothing while it does not answer."""
    import httpx

    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
        try:
            text = (await client.get(f"{stage.settings.url}/metrics")).text
        except httpx.HTTPError:
            return {}
    rows = (row.rpartition(" ") for row in text.splitlines() if row and not row.startswith("#"))
    return {name: float(value) for name, _, value in rows}


async def _compared(stage: Stage, segments: Sequence[Segment], played: Played) -> list[str]:
    """What the recount of the same facts says against the transitions and members before the chosen instant."""
    from engine.cli.recount_topics import facts_of, read_topics, transitions_of
    from engine.definitions import canonical
    from engine.recount import compare, recount
    from topics import TRANSITIONS

    settings = stage.settings
    facts = facts_of(await read_topics(settings.brokers, settings.input_topics), "at", played.at)
    began = time.monotonic()
    result = recount(
        [canonical(segment) for segment in segments], facts, until=played.at, grace=settings.grace, skew=settings.skew,
        dedup=settings.dedup, partitions=settings.partitions, clock_follows_arrival=False,
    )  # fmt: skip
    played.recounting = time.monotonic() - began
    differences: list[str] = []
    for _ in range(READ_AGAIN):
        before = transitions_of(await read_topics(settings.brokers, [TRANSITIONS.name]), None)
        shown = await asyncio.to_thread(_shown_members, settings.url, segments)
        after = transitions_of(await read_topics(settings.brokers, [TRANSITIONS.name]), None)
        chosen = transitions_of(await read_topics(settings.brokers, [TRANSITIONS.name]), played.at)
        differences = compare(result, chosen) + _http_differences(before, shown, after)
        played.compared, played.contacts = len(chosen), len({t["contact"] for t in chosen})
        if not differences:
            break
        await asyncio.sleep(1.0)
    return differences


def _shown_members(url: str, segments: Sequence[Segment]) -> dict[tuple[str, str], set[str]]:
    from engine.cli.asking import members_of

    return {each.key: set(members_of(url, *each.key)) for each in segments}


def _http_differences(
    before: list[dict[str, Any]], shown: dict[tuple[str, str], set[str]], after: list[dict[str, Any]]
) -> list[str]:
    """Members over HTTP lie between those of two readings of the topic: between them time may have moved some."""
    from engine.recount.compare import members_after

    first, last = members_after(before), members_after(after)
    found = []
    for key, members in shown.items():
        one, other = first.get(key, set()), last.get(key, set())
        wrong = sorted(((one & other) - members) | (members - (one | other)))
        found += [f"{'/'.join(key)}: {contact} is shown otherwise over HTTP" for contact in wrong]
    return found


def _summary(view: View, played: Played, differences: Sequence[str], seconds: float) -> None:
    from engine.cli.output import emit
    from engine.conditions.instants import format_instant

    names = ("segment", "name", "members", "entered", "left")
    if not sys.stdout.isatty():
        emit((dict(zip(names, row, strict=True)) for row in view.rows()), names, "table")
    say("")
    rate = played.events / max(played.publishing, 1e-3)
    say(f"Published   {played.events:,} events in {played.publishing:.1f} s, {rate:,.0f} a second")
    rate = played.events / max(played.taking, 1e-3)
    say(
        f"Taken       {played.facts:,} facts and {played.duplicates:,} duplicates in {played.taking:.1f} s, "
        f"{rate:,.0f} a second, each committed with its state and transitions"
    )
    before = format_instant(played.at)
    say(f"Compared    {played.compared:,} transitions of {played.contacts:,} contacts, before {before}")
    say(f"Recount     {played.recounting:.1f} s over the same facts, by another evaluator")
    for difference in differences[:DIFFERENCES_SHOWN]:
        say(f"  {difference}")
    verdict = f"{len(differences):,} differences" if differences else "the recount agrees: transitions and members"
    say(f"Verdict     {verdict}")
    say(f"            {seconds:.0f} s in all")


def _invite(stage: Stage) -> None:
    """Commands to copy."""
    url, brokers = stage.settings.url, stage.settings.brokers
    event = '{"type":"product_view","contact":"me","at":"\'$(date -u +%FT%TZ)\'","properties":{"sku":"T-1"}}'
    say(
        f"""
Kafka is on {brokers}, the worker on {url}. Ctrl-C ends both. In another terminal:

export SEGMENT_ENGINE_BROKERS={brokers} SEGMENT_ENGINE_HTTP_PORT={stage.settings.http_port}
segment-engine members hot
segment-engine contact 541312140
echo '{event}' | segment-engine events send -
segment-engine watch --from start --count 5
segment-engine contact me
curl -s {url}/segments
curl -s {url}/metrics"""
    )
