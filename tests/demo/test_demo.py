"""`segment-engine demo`: the recount agrees, its commands work, and no signal at any moment leaves anything behind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from engine.cli.demo_view import View
from engine.definitions import parse_segment
from tests.integration.harness import Program, engine_command, wait_until

WITHIN = 120.0  # seconds for any one step of the demo on two shared cores


class Demo(Program):
    """The command with a folder for temporary files of its own, so that what it leaves is seen."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        env = {"TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1", "SEGMENT_ENGINE_BROKERS": "127.0.0.1:1"}
        super().__init__([*engine_command(), "demo", *words], log=folder / "demo.log", env=env)

    def says(self, word: str) -> Callable[[], bool]:
        return lambda: word in self.log.read_text(errors="replace")

    def leave(self, number: int) -> int | None:
        """Sends the signal to the demo's own process, as `kill` does; its exit code."""
        self.send(number)
        assert self.ended_within(60), "it did not end"
        return self.returncode()

    def leftovers(self) -> list[str]:
        """Processes that were started below its folder, and folders there."""
        running = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if str(self.temporary).encode() in told:
                running.append(f"process {process.name}: {told[:200]!r}")
        return running + [str(each) for each in self.temporary.iterdir() if each.is_dir()]


@pytest.mark.kafka
def test_the_recount_agrees_and_what_it_invites_to_works(tmp_path: Path) -> None:
    with Demo(tmp_path, "--stay") as demo:
        wait_until(demo.says("/metrics"), WITHIN, "the invitation", alive=demo)
        told = demo.log.read_text()
        assert "the recount agrees" in told
        assert "17,429 facts and 5 duplicates" in told
        invitation = told[told.index("export ") :].splitlines()
        script = [f'segment-engine() {{ {" ".join(engine_command())} "$@"; }}', "set -euo pipefail", invitation[0]]
        answers = {line: _answer([*script, line]) for line in invitation[1:] if line}
        assert len(answers) == 7
        assert any("product_view" in answer or "1 events published" in answer for answer in answers.values())
        assert len(answers["segment-engine watch --from start --count 5"].splitlines()) == 5
        assert demo.leave(signal.SIGINT) == 0
        assert demo.leftovers() == []


def _answer(script: list[str]) -> str:
    done = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{script[-1]}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("Starting Kafka", signal.SIGINT),
        ("Kafka answers", signal.SIGTERM),
        ("events published", signal.SIGINT),
        ("Starting a worker", signal.SIGTERM),
        ("The worker starts", signal.SIGHUP),
        ("Caught up", signal.SIGINT),
    ],
)
def test_a_signal_at_any_moment_leaves_nothing(tmp_path: Path, word: str, number: int) -> None:
    with Demo(tmp_path) as demo:
        wait_until(demo.says(word), WITHIN, word, alive=demo)
        assert demo.leave(number) == 130
        assert "Traceback" not in demo.log.read_text()
        assert demo.leftovers() == []


def test_the_view_counts_members_and_keeps_the_newest() -> None:
    view = View([parse_segment("segment: hot\nname: Hot\nwhen: {did: {event: click}}")], 100)
    for number in range(30):
        change = "enter" if number % 3 else "exit"
        view.see(
            {
                "segment": "hot",
                "workspace": "default",
                "contact": f"c-{number}",
                "change": change,
                "at": "2026-05-01T10:00:00.000Z",
                "late": False,
                "cause": {"kind": "clock", "event_type": None},
            }
        )
    assert view.rows() == [("hot", "Hot", 10, 20, 10)]
    assert view.transitions == 30
    from rich.console import Console

    console = Console(width=120, record=True, file=StringIO())
    console.print(view.table())
    text = console.export_text()
    assert "c-29" in text
    assert "c-19" not in text
    assert view.status() == ": 0 of 100 facts, 30 transitions"
