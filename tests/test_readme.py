"""The README: its commands run, its outputs come, its tables name everything there is."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local_broker import free_port
from engine.cli.main import COMMANDS
from engine.conditions.registry import NAMES
from engine.conditions.values import OPERATORS
from engine.definitions import parse_segment
from engine.membership.facts import UNSUPPORTED
from engine.worker.metrics import Metrics
from engine.worker.settings import PREFIX, describe
from tests.integration.harness import Program, engine_command, wait_until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
"""Commands run in other folders, also where the package is not installed."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def script(*parts: str) -> list[str]:
    """A shell that runs the parts with this tree's own command, without the activation of an environment."""
    command = f'segment-engine() {{ {" ".join(engine_command())} "$@"; }}'
    return ["bash", "-euo", "pipefail", "-c", "\n".join([command, *parts]).replace(". .venv/bin/activate\n", "")]


def test_the_first_two_blocks_are_the_set_up_commands_of_one_line_each() -> None:
    demo, tests = blocks("sh")[:2]
    assert demo == ("python3 -m venv .venv && .venv/bin/pip install -q '.[local]' && .venv/bin/segment-engine demo\n")
    assert tests.strip() in Path(".ci/run").read_text()


def test_the_first_segment_replays_as_it_says(tmp_path: Path) -> None:
    done = subprocess.run(
        script(blocks("sh")[2]), cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert told == [json.loads(line) for line in blocks("json")[0].splitlines()]
    assert [(t["contact"], t["change"], t["at"][11:19]) for t in told] == [
        ("anna", "enter", "10:00:10"),
        ("anna", "exit", "10:01:10"),
    ]
    why = subprocess.run(
        script(blocks("bash")[0]), cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False, timeout=60
    )
    assert why.returncode == 0, why.stderr
    assert why.stdout == blocks("text")[0]


def test_the_settings_are_all_there() -> None:
    rows = [
        f"| `{name.removeprefix(PREFIX)}` | {'`' + default.replace(',', ', ') + '`' if default else ''} | {meaning} |"
        for name, default, _, meaning in describe()
    ]
    assert [line for line in section("Settings").splitlines() if line.startswith("| `")] == rows


def test_the_metrics_are_all_there() -> None:
    suffixes = {"counter": "_total", "info": "_info"}
    rows = [
        f"| `{each.name}{suffixes.get(each.type, '')}` | {each.type} | {each.documentation} |"
        for each in Metrics().registry.collect()
    ]
    assert [line for line in section("Metrics").splitlines() if line.startswith("| `")] == rows


def test_every_command_condition_and_operator_is_named() -> None:
    commands, conditions = section("Commands"), section("Conditions")
    assert all(re.search(rf"`{name}[ `]", commands) for name in COMMANDS)
    assert all(f"`{name}: " in conditions for name in NAMES)
    assert set(OPERATORS) <= set(re.findall(r"\w+", conditions))
    assert all(f"`{name}`" in section("Not there yet") for name in UNSUPPORTED)


def test_the_example_definition_and_the_links_are_good() -> None:
    assert parse_segment(blocks("yaml")[0]).segment == "tea-again"
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    titles = {
        re.sub(r"[^\w -]", "", t).strip().lower().replace(" ", "-") for t in re.findall(r"^#+ (.*)$", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= titles


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], ExitStack]]:
    with ExitStack() as stack:
        env = {
            "SEGMENT_ENGINE_BROKERS": f"127.0.0.1:{free_port()}",
            "SEGMENT_ENGINE_HTTP_PORT": str(free_port()),
            "SEGMENT_ENGINE_DATA_DIR": str(tmp_path / "data"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        yield tmp_path, env, stack


@pytest.mark.kafka
def test_the_three_terminals(desk: tuple[Path, dict[str, str], ExitStack]) -> None:
    folder, env, stack = desk
    port = env["SEGMENT_ENGINE_BROKERS"].rpartition(":")[2]
    first, broker, worker, third = blocks("sh")[2:6]
    subprocess.run(script(first), cwd=folder, env=ENV | env, capture_output=True, check=True, timeout=60)

    assert broker == "segment-engine broker\n"
    started = stack.enter_context(
        Program([*engine_command(), "broker", "--port", port], log=folder / "broker.log", env=env)
    )
    wait_until(lambda: "Kafka answers" in started.last_lines(), 60, "Kafka", alive=started)

    create, run = worker.strip().split(" && ")
    subprocess.run(script(create), env=ENV | env, capture_output=True, check=True, timeout=60)
    running = stack.enter_context(Program([*engine_command(), *run.split()[1:]], log=folder / "worker.log", env=env))

    done = subprocess.run(
        script(third), cwd=folder, env=ENV | env, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, f"{done.stderr}\n{running.last_lines()}"
    (entered,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert (entered["contact"], entered["change"], entered["cause"]["kind"]) == ("anna", "enter", "clock")
    assert done.stdout.splitlines()[-1].startswith("anna ")  # the only member

    program = folder / "mailer.py"
    program.write_text(blocks("python")[0].replace("127.0.0.1:9092", env["SEGMENT_ENGINE_BROKERS"]), encoding="utf-8")
    mailer = stack.enter_context(Program([sys.executable, str(program)], log=folder / "mailer.log", env=env))
    wait_until(lambda: "anna enter looked-not-carted" in mailer.last_lines(), 60, "the mailer", alive=mailer)

    _, changes, people = blocks("bash")
    done = subprocess.run(
        script(changes), cwd=folder, env=ENV | env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "five minutes to think" in done.stdout  # the history
    done = subprocess.run(
        script(people), cwd=folder, env=ENV | env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    members = list(csv.DictReader(done.stdout.splitlines()[-3:]))
    assert [(each["contact"], each["name"]) for each in members] == [("79001", "Anna"), ("79002", "Boris")]
