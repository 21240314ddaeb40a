"""`members`: whole or told to be cut, as csv and into a file; against a worker that is stood in for."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.cli import snapshot
from tests.driver import command

PARTITION = {"partition": 0, "as_of": "2026-05-01T10:00:00.000Z", "version": 3, "filling": False, "offsets": {}}
LATER = PARTITION | {"partition": 1, "as_of": "2026-05-01T10:00:00.750Z"}
HEADER = {"workspace": "default", "segment": "buyers", "name": "Buyers", "version": 3, "partitions": [PARTITION, LATER]}
NAMES = ["Anna", 'say "hi", twice', "two\nlines", "строка\u2028", "=SUM(A1)", None, -5, 0.5, True, ["a", "b"], {"a": 1}]
"""As attributes may be."""
SINCE = "2026-04-30T10:00:00.000Z"


def member(number: int, **attributes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"contact": f"+7-{number:03}", "since": SINCE, "sequence": 1}
    return row | ({"attributes": attributes} if attributes else {})


def answer(*rows: dict[str, Any], last: dict[str, Any] | None = None, header: dict[str, Any] = HEADER) -> bytes:
    last = {"complete": True, "members": len(rows)} if last is None else last
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in (header, *rows, last) if each)


class Answers(BaseHTTPRequestHandler):
    """One scripted answer after the other, the last for ever."""

    script: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Answers.asked.append(self.path)
        status, body = Answers.script[min(len(Answers.asked), len(Answers.script)) - 1]
        self.send_response(status)
        self.end_headers()  # without a length: its end is the connection's
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Answers.asked = []
    monkeypatch.setattr(snapshot, "AGAIN_SECONDS", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def members(url: str, *words: str, script: list[tuple[int, bytes]]) -> tuple[int, str, str]:
    Answers.script = script
    return command(["members", "buyers", "--url", url, *words])


def test_r19_a_csv_holds_what_the_json_holds(url: str) -> None:
    rows = [member(number, name=name, **{"address.city": "Тверь"}) for number, name in enumerate(NAMES)]
    asked = ["--columns", "name, address.city"]
    code, out, errors = members(url, *asked, "-o", "csv", script=[(200, answer(*rows))])
    assert code == 0
    assert out.startswith("contact,since,sequence,name,address.city\r\n")
    read = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [each["contact"] for each in read] == [each["contact"] for each in rows]
    told = [each["name"] for each in read]
    assert told[:6] == [*NAMES[:5], ""]
    assert [json.loads(each) for each in told[6:]] == NAMES[6:]
    assert {(each["since"], each["sequence"], each["address.city"]) for each in read} == {(SINCE, "1", "Тверь")}
    assert "11 members of buyers, version 3, as of 2026-05-01T10:00:00.000Z to 2026-05-01T10:00:00.750Z." in errors
    _, out, _ = members(url, *asked, "-o", "json", script=[(200, answer(*rows))])
    assert json.loads(out) == [{"workspace": "default", "segment": "buyers", **row} for row in rows]
    question = parse_qs(urlsplit(Answers.asked[0]).query)
    assert json.loads(question["columns"][0]) == ["name", "address.city"]


def test_text_that_looks_like_a_formula_is_quoted_where_it_is_asked_for(url: str) -> None:
    rows = [member(1, name="=1+1"), member(2, name=-5), member(3, name="x=1")]
    words = ["--columns", "name", "-o", "csv"]
    _, out, _ = members(url, *words, "--spreadsheet-safe", script=[(200, answer(*rows))])
    assert [line.split(",")[::3] for line in out.split("\r\n")[1:-1]] == [
        ["'+7-001", "'=1+1"], ["'+7-002", "-5"], ["'+7-003", "x=1"]
    ]  # fmt: skip
    assert members(url, "--spreadsheet-safe", script=[(200, answer())])[0] == 2


def test_a_column_is_told_from_what_every_member_has(url: str) -> None:
    _, out, _ = members(url, "--columns", "since", "-o", "csv", script=[(200, answer(member(1, since="always")))])
    assert out == f"contact,since,sequence,attribute since\r\n+7-001,{SINCE},1,always\r\n"


def test_nobody_is_an_empty_list(url: str) -> None:
    for form, text in (("csv", "contact,since,sequence\r\n"), ("json", "[]\n"), ("jsonl", "")):
        code, out, errors = members(url, "-o", form, script=[(200, answer())])
        assert (code, out) == (0, text)
        assert errors.startswith("0 members of buyers, version 3")
    _, _, errors = members(url, "-w", "shop", script=[(200, answer(header=HEADER | {"workspace": "shop"}))])
    assert errors.startswith("0 members of buyers in workspace shop, version 3")


CUT = {
    "no last line": answer(member(1), last={}),
    "in the middle of a line": answer(member(1))[:-9],
    "another number": answer(member(1), last={"complete": True, "members": 2}),
    "an error": answer(member(1), last={"error": "moved", "detail": "A partition left."}),
    "nothing": b"",
}


@pytest.mark.parametrize("cut", CUT)
def test_what_is_cut_is_read_again(url: str, cut: str, tmp_path: Path) -> None:
    file = tmp_path / "mailing.csv"
    script = [
        (200, CUT[cut]),
        (503, b'{"error":"owner_unavailable","detail":"partition 1 moves"}'),
        (200, answer(member(7))),
    ]
    code, out, _ = members(url, "-o", "csv", "--out", str(file), script=script)
    assert (code, out, len(Answers.asked)) == (0, "", 3)
    assert file.read_bytes() == f"contact,since,sequence\r\n+7-007,{SINCE},1\r\n".encode()
    assert [each.name for each in tmp_path.iterdir()] == ["mailing.csv"]


@pytest.mark.parametrize("cut", CUT)
def test_what_stays_cut_is_not_handed_on(url: str, cut: str, tmp_path: Path) -> None:
    file = tmp_path / "mailing.csv"
    file.write_text("yesterday's")
    code, out, errors = members(url, "-o", "csv", "--out", str(file), script=[(200, CUT[cut])])
    assert (code, out) == (1, "")
    assert len(Answers.asked) == snapshot.TRIES
    assert "did not come whole" in errors
    assert f"{file} is as it was." in errors
    assert (file.read_text(), len(list(tmp_path.iterdir()))) == ("yesterday's", 1)
    code, out, _ = members(url, script=[(200, CUT[cut])])
    assert (code, out) == (1, "")


def test_what_a_worker_refuses_is_told_once(url: str) -> None:
    refused = b'{"error":"unknown_segment","detail":"There is no segment \'buyers\' in workspace default."}'
    code, out, errors = members(url, "--agent", "agent-7", script=[(404, refused)])
    assert (code, out, len(Answers.asked)) == (2, "", 1)
    assert "There is no segment 'buyers'" in errors
    assert parse_qs(urlsplit(Answers.asked[0]).query)["agent"] == ["agent-7"]
    code, _, errors = members("http://127.0.0.1:9", script=[])
    assert (code, "No worker answers" in errors) == (2, True)
    code, _, errors = members("127.0.0.1:9", script=[])
    assert (code, "127.0.0.1:9 is no address of a worker: write it with http://" in errors) == (2, True)


def test_empty_lines_only_say_that_it_goes_on(url: str) -> None:
    whole = b"\n\n".join(answer(member(1), member(2)).split(b"\n"))
    code, out, _ = members(url, "-o", "jsonl", script=[(200, whole)])
    assert (code, len(out.splitlines()), len(Answers.asked)) == (0, 2, 1)


def test_a_file_that_cannot_be_written_and_a_device_are_refused(url: str, tmp_path: Path) -> None:
    for out in (tmp_path / "no" / "such.csv", tmp_path, Path("/dev/null")):
        code, _, errors = members(url, "--out", str(out), script=[(200, answer(member(1)))])
        assert code == 2, out
        assert str(out) in errors
    assert Path("/dev/null").is_char_device()


def test_a_segment_that_is_still_filled_is_said_to_be(url: str) -> None:
    filling = HEADER | {"partitions": [PARTITION, LATER | {"filling": True}]}
    _, _, errors = members(url, script=[(200, answer(member(1), header=filling))])
    assert "1 member of buyers" in errors
    assert "contacts of partitions 1 are still being brought up to changed definitions" in errors
