"""`segments plan` for people, and what it says where it cannot; on real workers: tests/integration/test_plan.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli import main, plan
from engine.cli.plan import told
from engine.definitions import parse_segment
from engine.membership.replay import Replay
from engine.worker import definition_log
from engine.worker.definition_record import DefinitionsMoved, Record
from tests.api.planning import Desks, place
from tests.driver import documents, fact, line_of

SHOP = """
segment: buyers
name: Buyers
when: {did: {event: purchase, within: P30D}}
---
segment: thanks
when: {in_segment: buyers}
---
segment: resting
when: {did: {event: click}}
"""
STRICTER = parse_segment("segment: buyers\nname: Buyers\nwhen: {did: {event: purchase, within: P10D}}")


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    replay = Replay(documents(SHOP))
    for who, day in (("anna", "01"), ("boris", "02"), ("clara", "20")):
        replay.take(line_of(fact(f"2026-01-{day}", "purchase", who, named=f"p-{who}")))
    replay.take(line_of(fact("2026-01-21", "click", "clara", named="k-1")))
    replay.pause("default", "resting")
    made = Desks(replay, tmp_path, [0, 1, 2, 3])
    yield made
    made.close()


async def test_what_changes_what_follows_and_the_totals(desks: Desks) -> None:
    new = parse_segment("segment: fresh\nwhen: {did: {event: click, within: P7D}}")
    plan = await desks.plan(STRICTER, new, sample=1)
    assert "\n".join(told(plan)) == (
        "~ buyers (Buyers): changed, version 1 → 2\n"
        "    when.did.within: P30D → P10D\n"
        "    3 → 1 member: 0 enter, 2 leave\n"
        "    boris leaves, as the rule does not hold: not: bought something in the last 10 days\n"
        "    and 1 more\n"
        "    members shared with thanks 1 (now 3), resting 1 (now 1), fresh 1 (now 0)\n"
        "\n"
        "+ fresh: created, version 1\n"
        "    0 → 1 member: 1 enter, 0 leave\n"
        "    clara enters, as the rule holds: clicked in the last 7 days (click k-1 of 2026-01-21T00:00:00.000Z)\n"
        "    members shared with buyers 1 (now 0), resting 1 (now 0), thanks 1 (now 0)\n"
        "\n"
        "> thanks: follows, version 1\n"
        "    3 → 1 member: 0 enter, 2 leave\n"
        "    boris leaves, as the rule does not hold: not: is in the segment buyers\n"
        "    and 1 more\n"
        "\n"
        "Plan: 1 created, 1 changed, 1 segment follows.\n"
        "1 enter and 4 exits would be published, for 3 of 3 contacts."
    )


async def test_what_is_deleted_resumed_and_changed_while_paused(desks: Desks) -> None:
    lines = list(told(await desks.plan(delete=[place("thanks")], resume=[place("resting")])))
    assert "- thanks: deleted, version 1 → 2" in lines
    assert "    anna leaves, as the segment is deleted" in lines
    assert "~ resting: resumed, version 2 → 3" in lines
    stricter = parse_segment("segment: resting\nwhen: {did: {event: click}}\nexclude: [clara]")
    lines = list(told(await desks.plan(stricter)))
    assert "~ resting: changed, version 2 → 3, still paused" in lines
    assert "    clara leaves, as the segment excludes the contact by name" in lines


async def test_nothing_would_change(desks: Desks) -> None:
    plan = await desks.plan(*documents(SHOP))
    assert list(told(plan)) == ["Nothing would change: 3 definitions mean what is in force already."]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["plan"], 1, "nothing to plan"),
        (["plan", "--sample", "101"], 1, "101"),
        (["plan", "--nonsense"], 1, "--nonsense"),
        (["plan", "--delete", "a/b/c"], 1, "is no id"),
        (["plan", "--delete", "x", "--url", "http://127.0.0.1:9"], 1, "No worker answers"),
        (["plan", "nowhere"], 1, "cannot be read"),
        (["apply"], 2, "one of the two"),
        (["apply", "folder", "--plan", "plan.json"], 2, "one of the two"),
        (["apply", "--plan", "nowhere.json"], 2, "cannot be read"),
        (["apply", "--plan", "nowhere.json", "--expect", "a=1"], 2, "leave --expect out"),
    ],
)
def test_errors_of_plan_end_with_one_and_those_of_apply_with_two(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main.run(["segments", *words]) == code
    out = capsys.readouterr()
    assert out.out == ""
    assert said in out.err
    assert out.err.startswith("segment-engine: ")


def test_an_overtaken_plan_is_to_be_made_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Record("default", "buyers", 3, author="boris")

    async def change(*_: object) -> list[definition_log.Applied]:
        raise DefinitionsMoved({now.key: 2}, {now.key: now})

    monkeypatch.setattr(plan, "planned", lambda *_: definition_log.Change())
    monkeypatch.setattr(definition_log, "change", change)
    assert main.run(["segments", "apply", "--plan", "plan.json"]) == 2
    err = capsys.readouterr().err
    assert "buyers was expected at version 2 and is active at version 3 by boris" in err
    assert "segment-engine segments plan … --out FILE" in err
    assert "on top of it" not in err
    assert main.run(["segments", "pause", "buyers"]) == 2
    assert "make the change again on top of it" in capsys.readouterr().err


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["segments", "plan", "--help"]) == 0
    assert "0 nothing would change, 1 error, 2 there are changes" in " ".join(capsys.readouterr().out.split())
