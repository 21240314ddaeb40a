"""The long run itself: the same example for the same number, and a failing one told small enough to read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.membership import soak


def test_an_example_is_its_seed_and_number() -> None:
    assert soak.example("s", 7) == soak.example("s", 7) != soak.example("s", 8)
    assert soak.main(["--seed", "s", "--only", "7"]) == 0


def test_a_failing_example_is_told_with_its_command_and_as_little_as_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse_purchases(*held: Any) -> None:
        assert not any(b'"purchase"' in line for line in held[1]), "no purchases today"

    monkeypatch.setattr(soak, "hold_transitions", refuse_purchases)
    number = next(n for n in range(0, 300, 3) if soak.failure(soak.example("s", n)) is not None)
    assert soak.main(["--seed", "s", "--only", str(number)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"python -m tests.membership.soak --seed s --only {number}\n")
    assert "no purchases today" in said
    assert said.count("fact: ") == said.count("segment: ") == 1
