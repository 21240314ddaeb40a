"""Reading a record: bad input, each with its reason, and what is taken all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conditions.fact import Fact
from engine.conditions.instants import format_instant, parse_instant
from engine.membership.facts import Rejected, journaled_fact, journaled_type, read_fact
from engine.recount.facts import Refused
from engine.recount.facts import read_fact as recount_fact
from tests import driver

GOOD = {"type": "click", "contact": "c-1", "at": "2026-01-01T00:00:00Z"}
ARRIVAL = parse_instant("2026-01-01T00:00:00Z")
SKEW = 300_000


def read(value: bytes, arrival: int | None = None, max_bytes: int = 262_144) -> Fact | Rejected:
    return read_fact(value, arrival=arrival, fallback_id="t/0/7", skew=SKEW, max_bytes=max_bytes)


def good(**more: Any) -> bytes:
    return json.dumps({**GOOD, **more}).encode()


def raw(properties: bytes) -> bytes:
    return b'{"type":"click","contact":"c-1","at":"2026-01-01T00:00:00Z","properties":' + properties + b"}"


BAD = [
    (b"", "bad_json"),
    (b"{", "bad_json"),
    (b'{"type": "click", "contact": "c-1", "at": "2026-01', "bad_json"),
    (good()[:-1], "bad_json"),
    (good() + b"x", "bad_json"),
    (b"[1, 2]", "not_an_object"),
    (b"null", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"5", "not_an_object"),
    (b'{"type": "\xff\xfe", "contact": "c-1", "at": "2026-01-01T00:00:00Z"}', "bad_utf8"),
    (raw(b'{"x": "\xc3("}'), "bad_utf8"),
    (good().decode().encode("utf-16"), "bad_utf8"),
    (json.dumps({"type": "click", "at": GOOD["at"]}).encode(), "no_contact"),
    (good(contact=""), "bad_contact"),
    (good(contact="x" * 257), "bad_contact"),
    (good(contact="я" * 129), "bad_contact"),
    (good(contact=5), "bad_contact"),
    (good(contact=None), "bad_contact"),
    (good(contact=["c-1"]), "bad_contact"),
    (json.dumps({"contact": "c", "at": GOOD["at"]}).encode(), "no_type"),
    (good(type=""), "bad_type"),
    (good(type="x" * 129), "bad_type"),
    (good(type="message_*"), "bad_type"),
    (good(type=7), "bad_type"),
    (json.dumps({"type": "click", "contact": "c"}).encode(), "no_time"),
    (good(at=""), "bad_time"),
    (good(at="yesterday"), "bad_time"),
    (good(at="2026-02-30T00:00:00Z"), "bad_time"),
    (good(at="1969-12-31T23:59:59.999Z"), "bad_time"),
    (good(at="99999-01-01T00:00:00Z"), "bad_time"),
    (good(at="9999-12-31T23:59:59-01:00"), "bad_time"),
    (good(at=1_767_225_600_000), "bad_time"),
    (good(id=5), "bad_id"),
    (good(id="x" * 513), "bad_id"),
    (good(id=""), "bad_id"),
    (good(at="2026-01-01"), "bad_time"),
    (good(at="2026-01-01T00:00:00"), "bad_time"),
    (good(workspace="a/b"), "bad_workspace"),
    (good(workspace=""), "bad_workspace"),
    (good(workspace="x" * 65), "bad_workspace"),
    (good(workspace=1), "bad_workspace"),
    (good(properties=[]), "bad_properties"),
    (good(properties="x"), "bad_properties"),
    (raw(b'{"amount": NaN}'), "bad_json"),
    (raw(b'{"amount": Infinity}'), "bad_json"),
    (raw(b'{"amount": 01}'), "bad_json"),
    (raw(b'{"a": "\\ud800"}'), "bad_json"),  # half of a pair of surrogates
    (raw(b'{"\\udfff": 1}'), "bad_json"),
    (raw(b'{"a": "\x01"}'), "bad_json"),
    (raw(b'{"a": ' + b"[" * 201 + b"]" * 201 + b"}"), "bad_properties"),
    (raw(b'{"a": ' + b'{"a":' * 201 + b"1" + b"}" * 201 + b"}"), "bad_properties"),
    (raw(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "bad_json"),
    (b'{"contact": "\\ud800", "type": "click", "at": "2026-01-01T00:00:00Z"}', "bad_json"),
    (good(properties={"x": "y" * 262_144}), "oversize"),
    (b"[" * 262_145, "oversize"),
    (good(type="contact_merged"), "unsupported"),
    (good(type="contact_erased", properties={"attribute": "city"}), "bad_properties"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), BAD, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(BAD)])
def test_what_is_no_fact_has_its_reason(value: bytes, reason: str) -> None:
    found = read(value)
    assert isinstance(found, Rejected), found
    assert found.reason == reason
    assert found.detail


def test_the_stream_goes_on_and_the_command_tells_every_bad_line() -> None:
    lines = [value for value, _ in BAD if value.strip() and b"\n" not in value and b"\0" not in value]
    seen = driver.given("segment: s\nwhen: {did: {event: click}}", [*lines, good()]).replayed()
    assert seen.told() == ["enter s 2026-01-01T00:00:00.000Z event"]
    assert f"{len(lines)} lines refused: " in seen.errors
    assert len(seen.errors.splitlines()) == len(lines) + 1


@pytest.mark.parametrize(
    "value",
    [
        good(contact="x" * 256),
        good(contact="я" * 128),
        good(contact="😀" * 64),
        good(type="x" * 128),
        good(id="x" * 512),
        good(workspace="x" * 64),
        good(properties=None),
        good(extra={"a": 1}, ARRIVES="x"),
        raw(b'{"a": ' + b"[" * 198 + b"]" * 198 + b"}"),
        raw(b'{"a": 1e999, "b": -1e999, "c": 123456789012345678901234567890}'),
        raw(b'{"a": "\\ud83d\\ude00", "b": "\\u0000"}'),
        raw(b'{"a": 1, "a": 2}'),
        b' \t{"at":"2026-01-01T00:00:00Z" , "contact":"c-1","type":"click"}\n',
    ],
)
def test_what_is_a_fact(value: bytes) -> None:
    found = read(value)
    assert isinstance(found, Fact), found
    assert isinstance(found.properties, dict)
    assert found.at == ARRIVAL


def test_bounds_of_bytes_are_exact() -> None:
    value = good()
    assert isinstance(read(value, max_bytes=len(value)), Fact)
    assert isinstance(read(value, max_bytes=len(value) - 1), Rejected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("~at", 5), ("~arrival", 9), ("~key", "eA=="), ("~left", 7), ("~decoded", {"x": 1}), ("~id", "x")],
)
def test_the_internal_fields_are_not_for_records(name: str, value: Any) -> None:
    found, plain = read(good(**{name: value})), read(good())
    assert isinstance(found, Fact)
    assert isinstance(plain, Fact)
    assert (found.at, found.arrival, found.left, found.id) == (ARRIVAL, None, None, "t/0/7")
    assert (found.key, found.properties) == (plain.key, {})


@pytest.mark.parametrize(
    ("ahead", "at"),
    [(-86_400_000, -86_400_000), (-1, -1), (0, 0), (1, 0), (SKEW, 0), (SKEW + 1, None)],
)
def test_ahead_of_its_time_is_as_of_arrival_up_to_the_skew(ahead: int, at: int | None) -> None:
    found = read(good(at=format_instant(ARRIVAL + ahead)), arrival=ARRIVAL)
    if at is None:
        assert isinstance(found, Rejected)
        assert found.reason == "too_far_ahead"
    else:
        assert isinstance(found, Fact)
        assert (found.at, found.arrival) == (ARRIVAL + at, ARRIVAL)


def test_year_9999_is_too_far_ahead_once_the_arrival_is_known() -> None:
    found = read(good(at="9999-12-31T23:59:59.999Z"), arrival=ARRIVAL)
    assert isinstance(found, Rejected)
    assert found.reason == "too_far_ahead"


def test_year_9999_without_arrival_does_not_stop_a_replay() -> None:
    segment = "segment: s\nwhen: {did: {event: click, within: P30D}}"
    driver.given(segment, [driver.fact("9999-12-31T23:00:00Z", "click"), good()]).replayed()


def test_a_number_of_5000_digits_does_not_stop_a_replay() -> None:
    segment = "segment: s\nwhen: {did: {event: click, where: {x: {gte: 5}}}}"
    lines = [raw(b'{"x": 1' + b"0" * 5_000 + b"}"), good(contact="c-2", properties={"x": 6})]
    assert "c-2" in driver.given(segment, lines).at().members("s")


def test_a_truncated_line_with_an_arrival_is_bad_json() -> None:
    replay = driver.given("segment: s\ninclude: [x]", []).replay()
    replay.take(b'{"type":"click","arrives":"2026-01-01T00:00:00Z","contact":"c-1","at":"2026')
    assert replay.rejected == {"bad_json": 1}


def test_without_id_the_place_is_the_id() -> None:
    for value in (good(), good(id=None)):
        found = read(value)
        assert isinstance(found, Fact)
        assert found.id == "t/0/7"


def test_a_fact_survives_the_journal() -> None:
    found = read(good(id="e", properties={"a": [1, {"b": "я"}]}), arrival=ARRIVAL + 5)
    assert isinstance(found, Fact)
    again = journaled_fact(found.key, found.id, journaled_type(found), found.at, found.arrival, bytes(found.raw))
    assert (again.id, again.type, again.at, again.arrival, again.key) == ("e", "click", ARRIVAL, ARRIVAL + 5, found.key)
    assert again.properties == found.properties
    assert again.raw == found.raw  # bytes both: what looks into a fact's text looks into a journaled one's too


@given(
    st.binary(max_size=60) | st.builds(lambda cut: good(id="x", properties={"a": [1, "б"]})[:cut], st.integers(0, 120))
)
def test_no_bytes_at_all_are_an_error(value: bytes) -> None:
    assert isinstance(read(value, arrival=ARRIVAL), (Fact, Rejected))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["type", "contact", "at", "id", "workspace", "properties"]), json_values))
def test_no_json_at_all_is_an_error(changes: dict[str, Any]) -> None:
    found = read(json.dumps({**GOOD, **changes}).encode("utf-8", "surrogatepass"))
    assert isinstance(found, (Fact, Rejected))
    if isinstance(found, Fact):
        assert isinstance(found.properties, dict)


def reasons(value: bytes) -> tuple[str, str]:
    """What the engine and the recount say of a record: `fact`, or the reason why it is none."""
    found = read(value)
    try:
        recount_fact(value, 1, SKEW)
        other = "fact"
    except Refused as refused:
        other = refused.reason
    return (found.reason if isinstance(found, Rejected) else "fact"), other


TIMES = [
    "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00.123456789Z", "2026-01-01T03:00:00+03:00", "2026-01-01T00:00:00-00:00", "2026-01-01T24:00:00Z",
    "9999-12-31T23:59:59.999Z", "2026-01-01T00:00:00+23:59",
]  # fmt: skip


@pytest.mark.parametrize("at", TIMES)
def test_engine_and_recount_take_the_same_instants(at: str) -> None:
    assert len(set(reasons(good(at=at)))) == 1


@pytest.mark.parametrize(
    "value",
    [
        good(at="2026-01-01T00:00:00"), good(at="2026-01-01"), good(at="2026-01-01T10:00Z"),
        good(at="2026-01-01T10:00:00+0300"), good(at="2026-12-31T23:59:60Z"), good(at="2026-01-01T10:00:00,5Z"),
        good(at="2026-01-01T10:00:00 Z"), good(at="2026-01-01T10:00+03:00"),
        good(at="1969-12-31T23:59:59Z"), good(at="2026-01-01T00:00:00.0000000001Z"),
        good(id=""), good(id=None), good(id="x" * 513), good(workspace=None), good(workspace="x" * 65),
    ],
)  # fmt: skip
def test_engine_and_recount_agree_on_odd_records(value: bytes) -> None:
    found, other = reasons(value)
    assert (found == "fact") is (other == "fact")
