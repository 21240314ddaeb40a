"""Random segments and facts, small and crowded on purpose: few types, few values, instants on window edges and just
beside."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from engine.conditions.instants import DAY, HOUR, format_instant, parse_instant

START = parse_instant("2026-01-28T22:00:00Z")
WINDOWS = ("PT1H", "PT3H", "P1D", "P2D", "P7D", "P1M", "P1M1D", "PT0.001S")
TYPES = ("purchase", "click", "view", "sent", "read")
CONTACTS = ("a", "b", "c")
ZONES = ("UTC", "Europe/Berlin", "America/New_York")

windows = st.sampled_from(WINDOWS)
maybe_window = st.none() | windows
numbers = st.sampled_from([0, 1, 2, 2.5, 10, "2", "10", "1e1"])
texts = st.sampled_from(["tea", "mug", "Tea", "2", "2026-01-29", "2026-01-29T00:00:00Z", ""])
scalars = numbers | texts | st.booleans()


def without_none(document: dict[str, Any]) -> dict[str, Any]:
    """The document without its absent keys."""
    return {key: value for key, value in document.items() if value is not None}


orders = st.sampled_from(["gt", "gte", "lt", "lte"])
tests_of_value = st.one_of(
    scalars,
    st.builds(lambda op, value: {op: value}, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), scalars),
    st.builds(
        lambda op, values: {op: values}, st.sampled_from(["in", "not_in"]), st.lists(scalars, min_size=1, max_size=3)
    ),
    st.builds(lambda low, high: {"between": [low, high]}, numbers, numbers),
    st.builds(lambda value: {"exists": value}, st.booleans()),
    st.builds(
        lambda op, value: {op: value},
        st.sampled_from(["contains", "icontains", "starts_with", "ends_with", "matches"]),
        st.sampled_from(["t", "T", "ea", "2"]),
    ),
)
paths = st.sampled_from(["kind", "amount", "items.kind", "items.price", "id"])
wheres = st.none() | st.dictionaries(paths, tests_of_value, min_size=1, max_size=2)
events = st.one_of(
    st.sampled_from([*TYPES, "refund", "opt_out", "contact_updated", "re*"]),
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
)
counts = st.one_of(
    st.builds(lambda op, n: {op: n}, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), st.integers(0, 4)),
    st.builds(lambda low, high: {"between": [low, low + high]}, st.integers(0, 2), st.integers(0, 2)),
    st.builds(lambda ns: {"in": ns}, st.lists(st.integers(0, 4), min_size=1, max_size=2)),
)
bounds = st.none() | st.sampled_from(["2026-01-29", "2026-01-30T00:00:00Z", "2026-02-01T00:00:00+01:00"])
plain_events = st.one_of(
    st.sampled_from(TYPES),
    st.builds(lambda event, where: without_none({"event": event, "where": where}), st.sampled_from(TYPES), wheres),
)

did = st.builds(
    lambda event, where, within, since, until, count: {
        "did": without_none({"event": event, "where": where, "within": within, "since": since, "until": until,
        "count": count})
    },
    events, wheres, maybe_window, bounds, bounds, st.none() | counts,
)  # fmt: skip
aggregate = st.builds(
    lambda fn, of, event, where, within, since, test: {
        "aggregate": without_none({"fn": fn, "of": of, "event": event, "where": where, "within": within, "since":
        since, "is": test})
    },
    st.sampled_from(["sum", "avg", "min", "max", "count", "distinct", "first", "last"]),
    paths, events, wheres, maybe_window, bounds,
    st.one_of(tests_of_value, st.builds(lambda op, n: {op: n}, orders, st.sampled_from([1, 2, 5, 10, 20]))),
)  # fmt: skip
spent = st.builds(
    lambda within, enough: {"aggregate": {"fn": "sum", "of": "amount", "event": "purchase", "within": within, "is":
    {"gte": enough}}},
    windows, st.sampled_from([1, 3, 10, 20]),
)  # fmt: skip
profile = st.builds(
    lambda where: {"profile": where},
    st.dictionaries(st.sampled_from(["city", "score", "deep.x"]), tests_of_value, min_size=1, max_size=2),
)
names = st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2)
tags = st.builds(lambda word, found: {"tags": {word: found}}, st.sampled_from(["any", "all", "none"]), names)
in_list = st.builds(lambda name: {"in_list": name}, st.sampled_from(["l1", "l2"]))
known = st.builds(lambda word, window: {"known": {word: window}}, st.sampled_from(["within", "for"]), windows)
quiet = st.builds(
    lambda event, where, window: {"quiet": without_none({"event": event, "where": where, "for": window})},
    events,
    wheres,
    windows,
)
streak = st.builds(
    lambda of, without, match, at_least, grace: {
        "streak": without_none({"of": of, "without": without, "match": match, "at_least": at_least, "grace": grace})
    },
    plain_events, plain_events, st.sampled_from([None, "id", "kind"]), st.integers(1, 3), st.none() | windows,
)  # fmt: skip
missed = st.builds(
    lambda after, expect, within, match, for_: {
        "missed": without_none({"after": after, "expect": expect, "within": within, "match": match, "for": for_})
    },
    plain_events, plain_events, windows, st.sampled_from([None, "id", "kind"]), maybe_window,
)  # fmt: skip
leaves = st.one_of(did, did, aggregate, spent, profile, tags, in_list, known, quiet, streak, missed)


def rules(nested: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Random trees, at most two levels of all, any, none, not; `nested` are segments that in_segment may name."""
    leaf = (
        leaves
        if not nested
        else st.one_of(leaves, st.builds(lambda name: {"in_segment": name}, st.sampled_from(nested)))
    )
    return st.recursive(
        leaf,
        lambda child: st.one_of(
            st.builds(
                lambda word, children: {word: children},
                st.sampled_from(["all", "any", "none"]),
                st.lists(child, min_size=1, max_size=3),
            ),
            st.builds(lambda part: {"not": part}, child),
        ),
        max_leaves=4,
    )


mailables = st.sampled_from([True, True, False, False, {"channel": "email"}, {"channel": "sms", "consent": "required"}])


@st.composite
def segment_sets(draw: st.DrawFn, most: int = 4) -> list[dict[str, Any]]:
    """One to `most` segments of a workspace, some nested, grouped, pinned, gated."""
    count = draw(st.integers(1, most))
    grouped = draw(st.booleans())
    found: list[dict[str, Any]] = []
    for index in range(count):
        alone = not grouped or index >= 2
        document: dict[str, Any] = {
            "segment": f"s{index}",
            "timezone": draw(st.sampled_from(ZONES)),
            "mailable": draw(mailables),
            "when": draw(rules([each["segment"] for each in found] if alone else [])),
        }
        if not alone:
            document["group"] = {"name": "g", "priority": index}
        pins = draw(st.sampled_from([None, None, None, "include", "exclude"]))
        if pins is not None:
            document[pins] = ["a"]
        found.append(document)
    return found


properties = st.fixed_dictionaries(
    {},
    optional={
        "kind": texts | st.just(None),
        "amount": st.sampled_from([0, 1, 2, 2.5, 10, "3", 0.1, 0.2, "tea"]),
        "id": st.sampled_from(["m1", "m2", 3]),
        "order_id": st.sampled_from(["o1", "o2"]),
        "items": st.lists(
            st.fixed_dictionaries({}, optional={"kind": texts, "price": numbers}), max_size=2
        ),
    },
)  # fmt: skip
offsets = st.one_of(
    st.builds(lambda hours, ms: hours * HOUR + ms, st.integers(0, 60), st.sampled_from([0, 0, 0, 1, -1])),
    st.builds(lambda days, ms: days * DAY + ms, st.integers(0, 70), st.sampled_from([0, 1, -1])),
)  # fmt: skip


@st.composite
def events_of(draw: st.DrawFn) -> dict[str, Any]:
    """One event, `at` in milliseconds after START under "offset"."""
    kind = draw(
        st.sampled_from(
            [
                *TYPES,
                *TYPES,
                "refund",
                "contact_updated",
                "tags_added",
                "tags_removed",
                "list_added",
                "list_removed",
                "opt_out",
                "opt_in",
                "consent",
            ]
        )
    )
    if kind == "contact_updated":
        found: dict[str, Any] = draw(
            st.fixed_dictionaries({}, optional={"city": texts | st.none(), "score": numbers, "deep": st.just({"x": 2})})
        )
    elif kind in ("tags_added", "tags_removed"):
        found = {"tags": draw(names)}
    elif kind in ("list_added", "list_removed"):
        found = {"list": draw(st.sampled_from(["l1", "l2"]))}
    elif kind in ("opt_out", "opt_in", "consent"):
        found = without_none(
            {
                "channel": draw(st.sampled_from([None, "all", "email", "sms"])),
                "status": draw(st.sampled_from(["granted", "revoked"])),
            }
        )
    elif kind == "refund":
        found = without_none(
            {
                "order_id": draw(st.sampled_from(["o1", "o2"])),
                "amount": draw(st.sampled_from([None, 1, 2.5, 10, -1, "x"])),
            }
        )
    else:
        found = draw(properties)
    return {
        "type": kind,
        "contact": draw(st.sampled_from(CONTACTS)),
        "offset": draw(offsets),
        "id": draw(st.integers(0, 40)),
        "properties": found,
    }


@st.composite
def fact_lines(draw: st.DrawFn, in_order: bool) -> list[bytes]:
    """Facts as JSON lines in arrival order: by `at`, or in any order."""
    found = draw(st.lists(events_of(), min_size=1, max_size=14))
    if in_order:
        found.sort(key=lambda event: event["offset"])
    lines = []
    for number, event in enumerate(found):
        at = format_instant(START + event.pop("offset"))
        lines.append(orjson.dumps({**event, "id": f"e{event['id']}" if event["id"] < 12 else f"n{number}", "at": at}))
    return lines
