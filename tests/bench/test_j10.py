"""What the benchmark itself must get right: the same input every time, and an oracle that a few lines by hand
confirm.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.definitions.reading import load_folder
from tests.bench.j10_events import DAY, MIX, Input, lines
from tests.bench.j10_oracle import HOUR, SEGMENTS, Row, instant, transitions
from tests.bench.profile import Function, shares, step_of
from tests.bench.systems import HERE, differences
from tests.placement import murmur2, partition_of

START = "2026-05-01T00:00:00.000Z"


def test_the_input_is_the_same_every_time() -> None:
    job = Input(events=2_000, contacts=200)
    first, second = "".join(lines(job)), "".join(lines(job))
    assert first == second
    assert first != "".join(lines(Input(events=2_000, contacts=200, seed=8)))
    kinds = {json.loads(line)["type"] for line in first.splitlines()}
    assert kinds == set(MIX)
    instants = [instant(json.loads(line)["at"]) for line in first.splitlines()]
    assert instants == sorted(instants)


def test_records_have_the_stated_size() -> None:
    sizes = [len(line) for line in lines(Input(events=5_000, contacts=500))]
    assert 150 < min(sizes) <= max(sizes) < 400
    assert 180 < sum(sizes) / len(sizes) < 260


def test_the_segments_of_the_engine_are_those_of_the_oracle() -> None:
    assert {segment.segment for segment in load_folder(Path(HERE) / "segments")} == set(SEGMENTS)


@pytest.mark.parametrize(("key", "hashed"), [(b"21", -973932308), (b"foobar", -790332482), (b"", 275646681)])
def test_murmur2_is_that_of_the_java_client(key: bytes, hashed: int) -> None:
    """The vectors of Kafka's own UtilsTest."""
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert 0 <= partition_of(key, 4) < 4


def _event(kind: str, at: int, contact: str = "c-1", **properties: object) -> bytes:
    text = f"2026-05-{1 + at // DAY:02d}T{at % DAY // HOUR:02d}:00:00.000Z"
    return json.dumps(
        {"id": f"{kind}-{at}", "type": kind, "contact": contact, "at": text, "properties": properties}
    ).encode()


def _rows(events: list[bytes]) -> list[Row]:
    start = instant(START)
    return [(segment, contact, change, at - start) for segment, contact, change, at in transitions(events, 1)]


def test_the_oracle_by_hand() -> None:
    events = [
        _event("product_view", 0),
        _event("purchase", HOUR, amount=600.0, items=[{"category": "tea"}]),
        _event("cart_add", 3 * HOUR, contact="c-2"),
        _event("opt_out", 4 * HOUR),
        _event("opt_in", 5 * HOUR),
    ]
    assert _rows(events) == sorted(
        [
            ("looker-2h", "c-1", "enter", 0),
            ("looker-2h", "c-1", "exit", 2 * HOUR),  # by the clock: e + W, on the millisecond
            ("bought-30d", "c-1", "enter", HOUR),
            ("big-90d", "c-1", "enter", HOUR),
            ("bought-30d", "c-1", "exit", 4 * HOUR),  # opted out
            ("big-90d", "c-1", "exit", 4 * HOUR),
            ("bought-30d", "c-1", "enter", 5 * HOUR),
            ("big-90d", "c-1", "enter", 5 * HOUR),
        ]
    )


def test_a_deadline_at_the_last_event_of_the_partition_does_not_fire() -> None:
    events = [_event("product_view", 0), _event("click", 2 * HOUR, contact="c-2", button="x")]
    assert _rows(events) == [("looker-2h", "c-1", "enter", 0)]


def test_differences_are_counted_and_shown() -> None:
    rows: list[Row] = [("a", "c-1", "enter", 1), ("a", "c-1", "exit", 2)]
    assert differences(rows, rows) == (0, 0, [])
    missing, extra, shown = differences(rows, [*rows[:1], ("a", "c-2", "enter", 1)])
    assert (missing, extra) == (1, 1)
    assert shown == ["missing ('a', 'c-1', 'exit', 2)", "extra ('a', 'c-2', 'enter', 1)"]


def test_time_is_put_down_to_the_step_that_spends_it() -> None:
    python = ("engine/membership/facts.py", 40, "read_fact")
    in_c = ("~", 0, "<method 'decode' of 'msgspec.json.Decoder' objects>")
    found = shares({python: (1, 1, 2.0, 3.0, {}), in_c: (1, 1, 1.0, 1.0, {python: (1, 1, 1.0, 1.0)})})
    assert dict(found) == {"decode": 3.0}
    assert step_of(Function("somewhere/else.py", 1, "f")) == "other"
