"""`segment-engine explain`: of a file of facts, and of whatever worker answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.conditions.instants import parse_instant
from engine.membership.explanation import as_json
from tests.driver import command, fact, given

TEA = """
segment: tea-again
name: Tea, three months on
when:
  all:
    - did: {event: purchase, where: {items.category: tea}}
    - not: {did: {event: purchase, where: {items.category: tea}, within: P3M}}
"""
BOUGHT = given(TEA, [fact("2026-01-31T12:00Z", "purchase", "anna", named="p-1", items=[{"category": "tea"}])])
TOLD = """\
anna is out of tea-again (Tea, three months on) at 2026-03-01T00:00:00.000Z.
It has never been in.
Because the rule does not hold.
If nothing happens, this changes at 2026-04-30T12:00:00.000Z.

no   all of these:
    yes  bought tea at least once
           purchase p-1 of 2026-01-31T12:00:00.000Z
    no   not this:
        yes* bought tea in the last 3 months
               if nothing happens, this changes at 2026-04-30T12:00:00.000Z
               purchase p-1 of 2026-01-31T12:00:00.000Z

For another answer the one marked * would have to change.
By the present definition, version 1, from 1 journaled fact.
"""


def test_a_file_of_facts_is_explained_as_text(tmp_path: Path) -> None:
    words = ["explain", "anna", "tea-again", *BOUGHT.files(tmp_path)]
    assert command([*words, "--at", "2026-03-01T00:00:00Z"]) == (0, TOLD, "")
    assert command([*words, "--until", "2026-03-01T00:00:00Z"]) == (0, TOLD, "")
    code, out, _ = command([*words, "--until", "2026-05-01T00:00:00Z"])
    assert (code, out.splitlines()[1]) == (0, "In since 2026-04-30T12:00:00.000Z, by the clock.")


def test_the_json_is_that_of_the_library(tmp_path: Path) -> None:
    words = ["explain", "anna", "tea-again", *BOUGHT.files(tmp_path), "-o", "json"]
    code, out, errors = command([*words, "--at", "2026-05-02T00:00:00Z", "--nested", "0"])
    replay = BOUGHT.replay()
    for each in BOUGHT.facts:
        replay.take(json.dumps(each).encode())
    wanted = replay.explain("anna", "tea-again", at=parse_instant("2026-05-02T00:00:00Z"), nested=0)
    assert (code, json.loads(out), errors) == (0, as_json(wanted), "")


def test_refused_facts_are_told_and_the_rest_is_explained(tmp_path: Path) -> None:
    scene = given(TEA, [b"{", *BOUGHT.facts])
    code, out, errors = command(["explain", "anna", "tea-again", *scene.files(tmp_path)])
    assert (code, out.splitlines()[0][:25]) == (0, "anna is out of tea-again ")
    assert "events.jsonl:1: bad_json" in errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ann", "tea-again"], "No fact names the contact 'ann' in workspace default. Did you mean anna?"),
        (["anna", "tea-agian"], "There is no segment 'tea-agian' in workspace default. Did you mean tea-again?"),
        (["anna", "tea-again", "-w", "spot"], "There is no segment 'tea-again' in workspace spot. There is one in"),
        (["anna", "tea-again", "--at", "then"], "--at: 'then' is not an RFC 3339 instant"),
        (["anna", "tea-again", "--until", "then"], "--until: 'then' is not an RFC 3339 instant"),
        (["anna", "tea-again", "--url", "http://x"], "Give one or the other"),
        (["anna", "tea-again", "--nested", "6"], "0<=x<=5"),
    ],
)
def test_a_mistake_is_told_in_one_paragraph(words: list[str], told: str, tmp_path: Path) -> None:
    code, out, errors = command(["explain", *words, *BOUGHT.files(tmp_path)])
    assert (code, out, len(errors.splitlines())) == (2, "", 1)
    assert told in errors


@pytest.mark.parametrize("alone", [["--segments", "s"], ["--events", "e"], ["--until", "2026-01-01"]])
def test_options_that_belong_together(alone: list[str]) -> None:
    code, _, errors = command(["explain", "anna", "tea-again", *alone])
    assert (code, "belong together" in errors) == (2, True)


class Worker(BaseHTTPRequestHandler):
    """Answers with what the test put into `answer`, and remembers what was asked."""

    answer: tuple[int, Any] = (200, {})
    asked: str = ""

    def do_GET(self) -> None:
        Worker.asked = self.path
        status, body = Worker.answer
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is said."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_worker_is_asked_and_its_answer_shown(url: str) -> None:
    replay = BOUGHT.replay()
    for each in BOUGHT.facts:
        replay.take(json.dumps(each).encode())
    document = as_json(replay.explain("anna", "tea-again", at=parse_instant("2026-03-01T00:00:00Z")))
    Worker.answer = 200, document
    words = ["explain", "anna", "tea-again", "--url", url, "--at", "2026-03-01T00:00:00Z", "-w", "spot"]
    assert command(words) == (0, TOLD, "")
    asked = urlsplit(Worker.asked)
    assert asked.path == "/segments/tea-again/explanation"
    assert parse_qs(asked.query) == {
        "contact": ["anna"], "workspace": ["spot"], "nested": ["1"], "at": ["2026-03-01T00:00:00Z"],
    }  # fmt: skip
    code, out, _ = command([*words, "-o", "json"])
    assert (code, json.loads(out)) == (0, document)


def test_what_a_worker_refuses_is_told(url: str) -> None:
    Worker.answer = 404, {"error": "unknown_contact", "detail": "No fact names the contact 'x' in workspace default."}
    code, out, errors = command(["explain", "x", "tea-again", "--url", url])
    assert (code, out) == (2, "")
    assert errors == "segment-engine: No fact names the contact 'x' in workspace default.\n"
    Worker.answer = 200, {"hello": "world"}
    code, _, errors = command(["explain", "x", "tea-again", "--url", url])
    assert (code, "is no worker of this version" in errors) == (2, True)
