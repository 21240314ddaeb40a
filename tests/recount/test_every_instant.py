"""The recount against itself: looking only where something can change must give what looking everywhere gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.recount import recount
from engine.recount.instants import instant, text_of
from tests.recount.given import segment

START = instant("2026-01-01T00:00:00Z")
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


did = st.builds(lambda e, w, t, s: {"did": _with(s, event=e, where=w, count=t)}, events, where, thresholds, window)
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
leaves = st.one_of(did, aggregate, quiet, known, streak, missed, st.just({"profile": {"v": {"gte": 2}}}))
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
facts = st.builds(
    lambda ms, kind, amount, key, order: {
        "type": kind,
        "contact": "c",
        "at": text_of(START + ms),
        "properties": {
            name: v for name, v in {"amount": amount, "v": amount, "k": key, "order_id": order}.items() if v is not None
        },
    },
    st.integers(0, 40),
    st.sampled_from(["a", "a", "b", "purchase", "purchase", "refund", "contact_updated", "opt_out", "opt_in"]),
    st.sampled_from([None, 0, 1, 2, "3", "x"]),
    st.sampled_from([None, "x", "y", 1, "1"]),
    st.sampled_from([None, "A", "B"]),
)


def _defined(chosen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    segments = [segment(f"s{number}", rule) for number, rule in enumerate(chosen)]
    segments.append(segment("nested", {"all": [{"in_segment": "s0"}, chosen[-1]]}, mailable=False))
    segments.append(segment("high", {"in_segment": "s0"}, group={"name": "g", "priority": 2}))
    segments.append(segment("low", chosen[-1], group={"name": "g", "priority": 1}))
    return segments


@settings(max_examples=300, deadline=None)
@given(st.lists(rules, min_size=1, max_size=3), st.lists(facts, max_size=10))
def test_only_where_something_can_change_is_as_good_as_everywhere(
    chosen: list[dict[str, Any]], history: list[dict[str, Any]]
) -> None:
    segments = _defined(chosen)
    for until in (None, START + END):
        quick = recount(segments, history, until=until, grace=3)
        thorough = recount(segments, history, until=until, grace=3, thorough=True)
        assert quick.transitions == thorough.transitions
        assert quick.members == thorough.members


@settings(max_examples=100, deadline=None)
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
    quick = recount(segments, in_order, until=START + END)
    everywhere = recount(segments, ticking, until=START + END, thorough=True)
    assert _without_cause(quick.transitions) == _without_cause(everywhere.transitions)


def _without_cause(transitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "cause"} for one in transitions]
