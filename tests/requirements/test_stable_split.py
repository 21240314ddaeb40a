"""R60: a split for an experiment that is the same after a restart and on another machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from engine.conditions.instants import parse_instant
from engine.membership.replay import Replay
from tests.driver import documents, fact, given, line_of, rows
from tests.membership.test_state_roundtrip import Restarted

SPLIT = """
segment: held-out
when: {sample: {percent: 10, salt: autumn-2026}}
---
segment: variant-a
when: {sample: {from: 10, to: 55, salt: autumn-2026}}
---
segment: variant-b
when: {sample: {from: 55, to: 100, salt: autumn-2026}}
"""
CONTACTS = [f"c-{number}" for number in range(2_000)]
FACTS = [fact("2026-01-01", "click", who) for who in CONTACTS]


def test_r60_a_tenth_is_held_out_and_every_contact_has_one_place() -> None:
    seen = given(SPLIT, FACTS).replayed()
    parts = [seen.members(name) for name in ("held-out", "variant-a", "variant-b")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(CONTACTS)
    # One standard deviation of a tenth of 2,000 is 13 contacts.
    assert abs(len(parts[0]) - 200) < 54
    assert abs(len(parts[1]) - 900) < 90


def test_r60_the_same_contacts_in_another_process(tmp_path: Path) -> None:
    scene = given(SPLIT, FACTS[:300])
    command = [sys.executable, "-m", "engine.cli.main", "replay", *scene.files(tmp_path)]
    here = scene.replayed()
    for seed in ("1", "2"):  # what Python's own hashes are drawn from
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        assert [json.loads(line) for line in done.stdout.splitlines()] == here.transitions
    first = here.members("held-out") & set(CONTACTS[:60])
    assert first == {"c-5", "c-11", "c-12", "c-22", "c-55"}  # on every machine there will ever be


def test_r60_a_restart_moves_nobody() -> None:
    segments = documents(SPLIT)
    through, restarted = Replay(segments), Restarted(segments)
    later = [fact("2026-02-01", "purchase", who, order_id=who) for who in CONTACTS[:60]]
    for each in FACTS[:60] + later:
        assert rows(through.take(line_of(each))) == rows(restarted.take(line_of(each)))
    assert rows(restarted.until(parse_instant("2027-01-01"))) == []
    for name in ("held-out", "variant-a", "variant-b"):
        assert through.members(name) == restarted.members(name) != set()


def test_r60_whoever_comes_later_and_a_segment_that_comes_later_fit_in() -> None:
    everyone = given(SPLIT, FACTS[:200]).replayed()
    twin = {"segment": "twin", "when": {"sample": {"percent": 10, "salt": "autumn-2026"}}}
    late = given(SPLIT, FACTS[199::-1], [{"at": "2026-03-01T00:00:00Z", "apply": twin}]).replayed("2026-03-02")
    assert late.members("held-out") == late.members("twin") == everyone.members("held-out") != set()
