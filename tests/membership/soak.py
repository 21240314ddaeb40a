"""The long differential run: `python -m tests.membership.soak --examples 100000 [--seed S] [--processes 2]`.

Three kinds of example in turn: segments and facts in order, the same with late facts, one rule held at every instant
(see tests.membership.agreement). An example is its seed and number; one that fails is printed as the command that runs
it alone, with as few segments and facts as still fail. Leaves with 1 if any failed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from engine.conditions.instants import DAY
from tests.membership.agreement import CONTACT, documents, hold_rule, hold_transitions
from tests.membership.choices import Seeded, chance, one
from tests.membership.random_conditions import KINDS, ZONES, Json, rule, segments
from tests.membership.random_facts import START, lines, types_for

T = TypeVar("T")
SEED = "1"
SHOWN_MOST = 5
"""Failing examples that are shown; the rest are counted."""
FACTS_MOST = (10, 10, 20, 40)
CHUNK = 50
"""Examples that a process takes at a time."""


@dataclass(frozen=True)
class Example:
    """What one example holds against the recount. `zone` None: several segments; else one rule at every instant."""

    segments: tuple[Json, ...]
    lines: tuple[bytes, ...]
    days: int
    zone: str | None = None

    def hold(self) -> None:
        """Raises AssertionError, or what the core raises, if it does not."""
        if self.zone is None:
            hold_transitions(documents(self.segments), self.lines, START + self.days * DAY)
        else:
            hold_rule(self.segments[0]["when"], self.zone, self.lines, self.days)


def example(seed: str, number: int) -> Example:
    """The same example for the same seed and number."""
    choices = Seeded(f"{seed}/{number}")
    kinds = tuple(KINDS)
    if number % 3 < 2:
        found = segments(choices, 4, kinds)
        facts = lines(choices, number % 3 == 0, most=one(choices, FACTS_MOST), favoured=types_for(found), erasing=True)
        return Example(tuple(found), tuple(facts), choices.below(91))
    kind = one(choices, (None, *KINDS))
    when = rule(choices, [], kinds) if kind is None else {kind: KINDS[kind](choices)}
    zone = one(choices, ZONES)
    facts = lines(choices, chance(choices, 3), (CONTACT,), one(choices, FACTS_MOST), types_for([when, zone]))
    return Example(({"when": when},), tuple(facts), choices.below(60), zone)


def failure(case: Example) -> str | None:
    """How it fails: what the exception says, or None."""
    try:
        case.hold()
    except Exception as error:  # noqa: BLE001 - whatever the core raises is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {place.name}: {error}"
    return None


def smaller(case: Example) -> Example:
    """The example with as few facts, segments and days as still fail, leaving out one at a time."""
    again = True
    while again:
        again = False
        for less in _lesser(case):
            if failure(less) is not None:
                case, again = less, True
                break
    return case


def _lesser(case: Example) -> Iterator[Example]:
    for place in range(len(case.lines)) if len(case.lines) > 1 else ():
        yield replace(case, lines=_without(case.lines, place))
    for place in range(len(case.segments)) if len(case.segments) > 1 else ():
        yield replace(case, segments=_without(case.segments, place))
    for place, document in enumerate(case.segments):
        for condition in _parts(document["when"]):
            lesser = {**document, "when": condition}
            yield replace(case, segments=(*case.segments[:place], lesser, *case.segments[place + 1 :]))
    if case.days:
        yield replace(case, days=case.days // 2)


def _without(whole: tuple[T, ...], place: int) -> tuple[T, ...]:
    return whole[:place] + whole[place + 1 :]


def _parts(condition: Json) -> list[Json]:
    ((word, parts),) = condition.items()
    if word == "not":
        return [parts]
    if word not in ("all", "any", "none"):
        return []
    fewer = [{word: parts[:place] + parts[place + 1 :]} for place in range(len(parts))] if len(parts) > 1 else []
    return [*parts, *fewer]


def told(seed: str, number: int, case: Example) -> str:
    """A failing example in words, and the command that runs it again."""
    shown = [f"python -m tests.membership.soak --seed {seed} --only {number}", f"  {failure(case)}"]
    shown += [f"  segment: {document}" for document in case.segments]
    shown += [f"  fact: {line.decode()}" for line in case.lines]
    return "\n".join([*shown, f"  zone: {case.zone}, days: {case.days}"])


def _run(chunk: tuple[str, range]) -> list[int]:
    seed, numbers = chunk
    return [number for number in numbers if failure(example(seed, number)) is not None]


def run(seed: str, examples: int, processes: int, say: Callable[[str], None]) -> int:
    """So many examples; how many failed."""
    chunks = [(seed, range(first, min(first + CHUNK, examples))) for first in range(0, examples, CHUNK)]
    failed, done, began, spoke = 0, 0, time.monotonic(), time.monotonic()
    with multiprocessing.Pool(processes) as pool:
        for (_, numbers), failing in zip(chunks, pool.imap(_run, chunks), strict=True):
            done += len(numbers)
            for number in failing:
                failed += 1
                if failed <= SHOWN_MOST:
                    say(told(seed, number, smaller(example(seed, number))))
            now = time.monotonic()
            if now - spoke > 10 or done == examples:
                spoke = now
                say(f"{done} of {examples} examples, {failed} failed, {done / (now - began):.0f} a second")
    return failed


def main(words: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.membership.soak", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one example, as it was first and made smaller")
    given: Any = parser.parse_args(words)
    if given.only is not None:
        case = example(given.seed, given.only)
        if failure(case) is None:
            print("holds")
            return 0
        print(told(given.seed, given.only, smaller(case)))
        return 1
    return 1 if run(given.seed, given.examples, given.processes, lambda text: print(text, flush=True)) else 0


if __name__ == "__main__":
    sys.exit(main())
