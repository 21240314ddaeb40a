"""The recount against itself: looking only where something can change must give what looking everywhere gives."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.recount import recount
from engine.recount.instants import instant, text_of
from tests.recount.given import segment

START = instant("2025-12-31T23:59:59.980Z")  # the year, and every full hour of the zones, begins 20 ms later
END = 80  # ms after the start within which everything happens

lengths = st.integers(1, 25).map(lambda ms: f"PT0.{ms:03d}S")
events = st.sampled_from(["a", "b", "purchase", ["a", "purchase"], "p*"])
where = st.sampled_from([{}, {"v": {"gte": 2}}, {"k": "x"}, {"k": {"ne": "x"}}])
thresholds = st.one_of(
    st.tuples(st.sampled_from(["gte", "lte", "eq", "ne"]), st.integers(0, 4)).map(lambda pair: {pair[0]: pair[1]}),
    st.just({"exists": False}),
)
window: st.SearchStrategy[dict[str, Any]] = st.one_of(st.just({}), lengths.map(lambda length: {"within": length}))


def _with(window: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {**rest, **window}


def span(pair: tuple[int, int]) -> list[str]:
    """From the shorter to the longer of two lengths."""
    return [f"PT0.{min(pair):03d}S", f"PT0.{max(pair):03d}S"]


spans = st.lists(st.integers(0, 25), min_size=2, max_size=2, unique=True).map(lambda pair: span((pair[0], pair[1])))
did_window = st.one_of(window, spans.map(lambda both: {"within": both}))
picking = st.sampled_from([{}, {}, {"first": True}, {"of_last": 2}])
bounds = st.sampled_from([{}, {"since": text_of(START + 10)}, {"until": text_of(START + 15)}])
did = st.builds(
    lambda e, w, t, s, p, b: {"did": {"event": e, "where": w, "count": t, **s, **p, **b}},
    events,
    where,
    thresholds,
    did_window,
    picking,
    bounds,
)
aggregate = st.builds(
    lambda fn, e, w, t, s: {"aggregate": _with(s, fn=fn, of="amount", event=e, where=w, **{"is": t})},
    st.sampled_from(["sum", "avg", "min", "max", "count", "distinct", "first", "last"]),
    events,
    where,
    thresholds,
    window,
)
quiet = st.builds(lambda e, length: {"quiet": {"event": e, "for": length}}, events, lengths)
known = st.builds(lambda name, length: {"known": {name: length}}, st.sampled_from(["within", "for"]), lengths)
match = st.sampled_from([{}, {"match": "k"}])
streak = st.builds(
    lambda n, m, g: {"streak": {"of": "a", "without": "b", "at_least": n, **m, **g}},
    st.integers(1, 3),
    match,
    st.one_of(st.just({}), lengths.map(lambda length: {"grace": length})),
)
missed = st.builds(
    lambda w, m, f: {"missed": {"after": "a", "expect": "b", "within": w, **m, **f}},
    lengths,
    match,
    st.one_of(st.just({}), lengths.map(lambda length: {"for": length})),
)
sequence = st.builds(
    lambda first, rest, m, w: {"sequence": {"steps": [first, *rest], **m, **w}},
    st.builds(lambda e, w: {"event": e, "where": w}, events, where),
    st.lists(st.builds(lambda e, w: {"event": e, **w}, events, window), max_size=2),
    match,
    window,
)
regularly = st.builds(
    lambda e, t, p, n: {"regularly": {"event": e, "count": t, "period": p, "periods": n[1], "at_least": n[0]}},
    events,
    thresholds,
    lengths,
    st.lists(st.integers(1, 3), min_size=2, max_size=2).map(sorted),
)
held = st.builds(
    lambda test, word, length: {"held": {"path": "v", "is": test, "for": {word: length} if word else length}},
    st.sampled_from([{"gte": 2}, {"ne": 1}, {"exists": False}]),
    st.sampled_from(["", "lt", "gte"]),
    lengths,
)
rfm = st.builds(
    lambda name, test: {"rfm": {"model": "m", name: test}},
    st.sampled_from(["recency", "frequency", "monetary"]),
    st.sampled_from([{"gte": 3}, {"lte": 2}, 4, {"ne": 1}, {"exists": False}]),
)
dates = st.one_of(
    st.builds(lambda length: {"within": length}, lengths),
    spans.map(lambda both: {"within": both}),
    st.builds(lambda length: {"ago": length}, lengths),
    st.builds(lambda word, length: {"anniversary": {word: length}}, st.sampled_from(["within", "before"]), lengths),
    st.builds(lambda unit: {"calendar": {"unit": unit, "offset": -1}}, st.sampled_from(["day", "year"])),
).map(lambda test: {"profile": {"when": test}})
others = st.sampled_from(
    [
        {"profile": {"v": {"gte": 2}}},
        {"consent": {"channel": "sms", "is": "granted"}},
        {"consent": {"channel": "sms", "is": "unknown"}},
        {"local_time": {"from": "00:00", "to": "03:00", "days": ["thu"]}},
        {"local_time": {"from": "22:00", "to": "01:00", "days": ["wed"]}},
        {"local_time": {"from": "13:00", "to": "14:00"}},
        {"sample": {"percent": 50, "salt": "x"}},
    ]
)
leaves = st.one_of(
    did, aggregate, quiet, known, streak, missed, sequence, regularly, held, rfm, dates, others
)  # fmt: skip
MODEL = {
    "model": "m",
    "workspace": "default",
    "event": ["purchase"],
    "where": {},
    "amount": "amount",
    "monetary": "average",
    "within": "PT0.021S",
    "cuts": {
        "recency": ["PT0.003S", "PT0.005S", "PT0.009S", "PT0.015S"],
        "frequency": [2, 3, 4, 5],
        "monetary": [1, 2, 3, 4],
    },
}
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda name, parts: {name: parts}, st.sampled_from(["all", "any", "none"]), st.lists(inner, max_size=3)
        ),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=4,
)
# The next day begins for some of them while everything happens.
zones = st.sampled_from([None, None, "Europe/Berlin", "Pacific/Kiritimati", "America/New_York", "nowhere"])
facts = st.builds(
    lambda ms, kind, amount, key, order, when, zone, named: {
        "type": kind,
        "contact": "c",
        "at": text_of(START + ms),
        "id": f"e{ms}",
        "properties": {
            name: v
            for name, v in {
                "amount": amount, "v": amount, "k": key, "order_id": order, "when": when, "timezone": zone,
                "id": f"e{named}", "channel": key,
            }.items()
            if v is not None
        },
    },
    st.integers(0, 40),
    st.sampled_from(
        ["a", "b", "purchase", "purchase", "refund", *["contact_updated"] * 2, "opt_out", "opt_in", "event_retracted"]
    ),
    st.sampled_from([None, 0, 1, 2, "3", "x"]),
    st.sampled_from([None, "x", "y", 1, "1", "sms"]),
    st.sampled_from([None, "A", "B"]),
    st.one_of(
        st.none(),
        st.integers(-20, 40).map(lambda ms: text_of(START + ms)),
        st.sampled_from(["2025-12-31", "2026-01-01", "2024-01-01", "2020-01-01T00:00:00.020"]),
    ),
    zones,
    st.integers(0, 40),
)  # fmt: skip


def _defined(chosen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    segments = [
        segment(f"s{number}", rule, timezone=("UTC", "contact", "Europe/Berlin")[number])
        for number, rule in enumerate(chosen)
    ]
    segments.append(segment("nested", {"all": [{"in_segment": "s0"}, chosen[-1]]}, mailable=False))
    segments.append(segment("high", {"in_segment": "s0"}, group={"name": "g", "priority": 2}))
    segments.append(segment("low", chosen[-1], group={"name": "g", "priority": 1}))
    return segments


@settings(max_examples=int(os.environ.get("EXAMPLES", "300")), deadline=None)
@given(st.lists(rules, min_size=1, max_size=3), st.lists(facts, max_size=10))
def test_only_where_something_can_change_is_as_good_as_everywhere(
    chosen: list[dict[str, Any]], history: list[dict[str, Any]]
) -> None:
    segments = _defined(chosen)
    for until in (None, START + END):
        quick = recount(segments, history, [MODEL], until=until, grace=3)
        thorough = recount(segments, history, [MODEL], until=until, grace=3, thorough=True)
        assert quick.transitions == thorough.transitions
        assert quick.members == thorough.members


@settings(max_examples=int(os.environ.get("EXAMPLES", "100")), deadline=None)
@given(st.lists(rules, min_size=1, max_size=2), st.lists(facts, min_size=1, max_size=8))
def test_no_instant_is_overlooked(chosen: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    """An event that nobody asks for, at every millisecond, has everything looked at then; nothing more comes out."""
    segments = _defined(chosen)
    in_order = sorted(history, key=lambda one: one["at"])
    first = instant(in_order[0]["at"])
    ticks = [
        {"type": "tick", "contact": "c", "at": text_of(at), "properties": {}} for at in range(first + 1, START + END)
    ]
    ticking = sorted([*in_order, *ticks], key=lambda one: one["at"])
    quick = recount(segments, in_order, [MODEL], until=START + END)
    everywhere = recount(segments, ticking, [MODEL], until=START + END, thorough=True)
    assert _without_cause(quick.transitions) == _without_cause(everywhere.transitions)


def _without_cause(transitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "cause"} for one in transitions]
