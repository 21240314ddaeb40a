"""A line is told once in a while, with the number of those like it that were left out."""

from __future__ import annotations

import logging

import pytest

from engine.worker import logs


def line(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "", 0, text, args, None)


def test_lines_that_differ_in_figures_only_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("engine.worker.logs.time.monotonic", lambda: now[0])
    repeated = logs.Repeated(seconds=10)
    assert repeated.filter(line("node %d is away", 1))
    assert repeated.filter(line("something else"))
    assert not any(repeated.filter(line("node %d is away", n)) for n in range(5))
    now[0] += 10
    again = line("node %d is away", 7)
    assert repeated.filter(again)
    assert again.getMessage() == "node 7 is away (5 more like this)"


def test_questions_between_workers_are_not_logged_as_they_name_contacts(capsys: pytest.CaptureFixture[str]) -> None:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    names = ("", "faust", "mode", "aiokafka", "aiokafka.producer.sender", "httpx", "httpcore")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        logs.set_up("INFO")
        logging.getLogger("httpx").info("HTTP Request: GET http://x/contacts?id=79001")
        logging.getLogger("engine.worker").info("ours")
        said = capsys.readouterr().err
    finally:
        root.handlers[:] = before
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert ("ours" in said, "79001" in said) == (True, False)
