"""The root of the command line: how commands are found, and how they may end."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from engine.cli import main
from engine.cli.errors import UserError


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | int | None]:
    """What the command `topics` does instead: raises or returns the only element."""
    outcome: list[BaseException | int | None] = [None]

    @click.command()
    def command() -> int | None:
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    monkeypatch.setattr("engine.cli.topics.command", command)
    return outcome


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (None, 0, ""),
        (1, 1, ""),
        (UserError("The moon is missing. Wait for the night."), 2, "The moon is missing. Wait for the night.\n"),
        (click.UsageError("No such thing"), 2, "No such thing."),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_command_may_end(
    answer: list[BaseException | int | None],
    outcome: BaseException | int | None,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer[0] = outcome
    assert main.run(["topics"]) == code
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert error.strip().count("\n") == 0


def test_an_engines_own_fault_is_not_hidden(answer: list[BaseException | int | None]) -> None:
    answer[0] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main.run(["topics"])


@pytest.mark.parametrize("words", [["nope"], ["topics", "--nope"], ["topics", "verify", "-o", "xml"]])
def test_a_wrong_word_is_a_users_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 2
    assert capsys.readouterr().err.startswith("segment-engine: ")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_a_module_and_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    assert f"segment-engine {name}" in capsys.readouterr().out


def test_help_loads_no_command_and_no_library_of_theirs() -> None:
    script = (
        "import sys; from engine.cli.main import run; run(['--help']); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'pydantic', 'aiokafka', 'faust', 'rich', 'topics'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in main.COMMANDS)
