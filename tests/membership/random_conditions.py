"""Random conditions of every kind, small and crowded on purpose: few types, few values, windows whose edges meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.membership.choices import Choices, between, chance, one, some

Json = dict[str, Any]
Kind = Callable[[Choices], Json]

WINDOWS = ("PT1H", "PT3H", "P1D", "P2D", "P7D", "P1M", "P1M1D", "PT0.001S")
SPANS = (("PT0S", "PT1H"), ("PT1H", "PT3H"), ("P1D", "P7D"), ("PT3H", "P1M"), ("P1M", "P2M"))
TYPES = ("purchase", "click", "view", "sent", "read")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "contact", "Australia/Lord_Howe", "Africa/Cairo")
BOUNDS = ("2026-01-29", "2026-01-30T00:00:00Z", "2026-02-01T00:00:00+01:00")
NUMBERS = (2, 0, 1, 2.5, 10, "2", "10", "1e1")
TEXTS = ("tea", "mug", "Tea", "2", "2026-01-29", "2026-01-29T00:00:00Z", "")
SCALARS = (*TEXTS, *NUMBERS, True, False)
COMMON = ("tea", "tea", "mug", 2)
"""Values that are so common, in tests and in facts, that many tests are met."""
EQUALITIES = ("eq", "ne", "gt", "gte", "lt", "lte")
TEXT_TESTS = ("contains", "icontains", "starts_with", "ends_with", "matches")
PATHS = ("kind", "amount", "items.kind", "items.price", "id", "labels", '["a.b"]["c.d"]')
ATTRIBUTES = ("city", "score", "deep.x", '["a.b"]')
DATES = ("born", "visit")
CHANNELS = ("email", "sms", "push")
MATCHES = (None, "id", "kind", "items.kind")
MODELS: tuple[Json, ...] = (
    {
        "model": "short",
        "event": "purchase",
        "amount": "amount",
        "within": "P7D",
        "cuts": {"recency": ["PT1H", "PT3H", "P1D", "P2D"], "frequency": [2, 3, 4, 5], "monetary": [1, 2, 2.5, 10]},
    },
    {
        "model": "long",
        "event": ["purchase", "click"],
        "where": {"kind": {"ne": "mug"}},
        "amount": "amount",
        "monetary": "total",
        "cuts": {"recency": ["P1D", "P7D", "P1M", "P2M"], "frequency": [1, 2, 3, 4], "monetary": [0.1, 0.3, 5, 12.5]},
    },
)


def without_none(document: Json) -> Json:
    """The document without its absent keys."""
    return {key: value for key, value in document.items() if value is not None}


def maybe(choices: Choices, make: Callable[[Choices], Any], in_all: int = 2) -> Any:
    """What `make` makes, or None, which is the simpler."""
    return make(choices) if choices.below(in_all) else None


def window(choices: Choices) -> str:
    """A window."""
    return one(choices, (*WINDOWS, "P1D", "P2D", "P7D"))


def value(choices: Choices, options: Sequence[Any]) -> Any:
    """One of the common values, or of the options."""
    return one(choices, COMMON) if choices.below(2) else one(choices, options)


def test_of_value(choices: Choices) -> Any:
    """What stands to the right of a path."""
    form = choices.below(9)
    if form == 0:
        return value(choices, SCALARS)
    if form == 1:
        return {one(choices, ("in", "not_in")): [value(choices, TEXTS), one(choices, NUMBERS)]}
    if form == 2:
        return {"between": [one(choices, (0, 1, 2)), one(choices, (2, 10, "10"))]}
    if form == 3:
        return {"exists": bool(choices.below(2))}
    if form == 4:
        return {one(choices, TEXT_TESTS): one(choices, ("t", "T", "ea", "2"))}
    if form == 5:
        return {
            one(choices, ("gt", "gte")): one(choices, (0, 1, "a")),
            one(choices, ("lt", "ne")): one(choices, SCALARS),
        }
    return {one(choices, EQUALITIES): value(choices, SCALARS)}


def where(choices: Choices) -> Json:
    """Tests on one or two properties, sometimes asked of one item."""
    if chance(choices, 2):
        return {"kind": one(choices, ("tea", {"ne": "mug"}, {"in": ["tea", "mug"]}))}
    found: Json = {one(choices, PATHS): test_of_value(choices) for _ in range(1 + chance(choices, 4))}
    if chance(choices, 5):
        tests = {path: test_of_value(choices) for path in some(choices, ("kind", "price"), 1, 2)}
        found["items"] = {"any_item": tests, **({"exists": True} if chance(choices, 4) else {})}
    return found


def maybe_where(choices: Choices) -> Any:
    """Tests of an event, mostly none."""
    return where(choices) if chance(choices, 3) else None


def events(choices: Choices) -> Any:
    """A type, a prefix, or several types."""
    if chance(choices, 3):
        return some(choices, TYPES, 1, 3)
    return one(choices, (*TYPES, *TYPES, "refund", "opt_out", "contact_updated", "re*", "event_retracted"))


def count(choices: Choices) -> Json:
    """A test of a number of events."""
    form = choices.below(4)
    if form == 2:
        low = choices.below(3)
        return {"between": [low, low + choices.below(3)]}
    if form == 3:
        return {"in": some(choices, range(5), 1, 2)}
    return {one(choices, EQUALITIES): choices.below(5)}


def bound(choices: Choices) -> Any:
    """An end of the bounds, or None."""
    return one(choices, BOUNDS) if chance(choices, 6) else None


def plain_events(choices: Choices) -> Any:
    """Events as `streak`, `missed` and the steps of a `sequence` name them."""
    return without_none({"event": one(choices, TYPES), "where": maybe_where(choices)})


def did(choices: Choices) -> Json:
    """The number of events."""
    picking = choices.below(6)
    within: Any = maybe(choices, window)
    if within is not None and chance(choices, 3):
        within = list(one(choices, SPANS))
    return without_none(
        {
            "event": events(choices),
            "where": maybe_where(choices),
            "within": within,
            "since": bound(choices),
            "until": bound(choices),
            "count": maybe(choices, count),
            "first": True if picking == 4 else None,
            "of_last": between(choices, 1, 4) if picking == 5 else None,
        }
    )


def aggregate(choices: Choices) -> Json:
    """A figure of a property."""
    if chance(choices, 4):
        bought = {"fn": "sum", "of": "amount", "event": "purchase"}
        return {**bought, "within": window(choices), "is": {"gte": one(choices, (1, 3, 10, 20))}}
    fn = one(choices, ("sum", "avg", "min", "max", "count", "distinct", "first", "last"))
    if fn in ("count", "distinct"):
        test: Any = count(choices)
    elif fn in ("first", "last") or chance(choices, 4):
        test = test_of_value(choices)
    else:
        test = {one(choices, ("gt", "gte", "lt", "lte")): one(choices, (1, 2, 3, 5, 10))}
    return without_none(
        {
            "fn": fn,
            "of": one(choices, PATHS) if chance(choices, 4) else "amount",
            "event": events(choices) if chance(choices, 2) else one(choices, TYPES),
            "where": maybe_where(choices),
            "within": maybe(choices, window),
            "since": bound(choices),
            "is": test,
        }
    )


def date_test(choices: Choices) -> Json:
    """One or two tests on a date."""
    found: Json = {}
    for name in some(choices, ("within", "ago", "calendar", "anniversary"), 1, 1 + chance(choices, 4)):
        if name == "calendar":
            units = ("day", "week", "month", "quarter", "year")
            found[name] = {"unit": one(choices, units), "offset": between(choices, -1, 1)}
        elif name == "anniversary":
            found[name] = {one(choices, ("within", "before")): window(choices)}
        else:
            found[name] = window(choices)
    if "within" in found and chance(choices, 3):
        found["within"] = list(one(choices, SPANS))
    return {**found, **({"gte": "2026-01-29"} if chance(choices, 6) else {})}


def profile(choices: Choices) -> Json:
    """Attributes, dates among them."""
    found: Json = {}
    for _ in range(1 + chance(choices, 4)):
        if chance(choices, 2):
            found[one(choices, DATES)] = date_test(choices)
        else:
            found[one(choices, ATTRIBUTES)] = test_of_value(choices)
    return found


def held(choices: Choices) -> Json:
    """An attribute for so long."""
    length = choices.below(3)
    held_for: Any = window(choices)
    return {
        "path": one(choices, ATTRIBUTES),
        "is": test_of_value(choices),
        "for": {"lt": held_for} if length == 1 else {"gte": held_for} if length == 2 else held_for,
    }


def tags(choices: Choices) -> Json:
    """Tags of the contact."""
    return {word: some(choices, ("x", "y"), 1, 2) for word in some(choices, ("any", "all", "none"), 1, 2)}


def in_list(choices: Choices) -> str:
    """A list."""
    return one(choices, ("l1", "l2"))


def known(choices: Choices) -> Json:
    """How long the contact is known."""
    return {one(choices, ("within", "for")): window(choices)}


def quiet(choices: Choices) -> Json:
    """Nothing for so long."""
    return without_none({"event": events(choices), "where": maybe_where(choices), "for": window(choices)})


def sequence(choices: Choices) -> Json:
    """Events in order."""
    steps = [plain_events(choices) for _ in range(between(choices, 1, 3))]
    for step in steps[1:]:
        if chance(choices, 2):
            step["within"] = window(choices)
    match: Any = one(choices, (*MATCHES, ["id", "kind"]))
    return without_none({"steps": steps, "match": match, "within": maybe(choices, window)})


def missed(choices: Choices) -> Json:
    """What did not follow."""
    return without_none(
        {
            "after": plain_events(choices),
            "expect": plain_events(choices),
            "within": window(choices),
            "match": one(choices, MATCHES),
            "for": maybe(choices, window),
        }
    )


def streak(choices: Choices) -> Json:
    """What went unanswered in a row."""
    return without_none(
        {
            "of": plain_events(choices),
            "without": plain_events(choices),
            "match": one(choices, MATCHES),
            "at_least": between(choices, 1, 3),
            "grace": maybe(choices, window),
        }
    )


def regularly(choices: Choices) -> Json:
    """A count in so many periods."""
    periods = between(choices, 1, 4)
    return without_none(
        {
            "event": events(choices),
            "where": maybe_where(choices),
            "count": maybe(choices, count),
            "period": window(choices),
            "periods": periods,
            "at_least": between(choices, 1, periods),
        }
    )


def score(choices: Choices) -> Any:
    """A test of a score."""
    form = choices.below(5)
    if form == 0:
        return between(choices, 1, 5)
    if form == 1:
        return {"exists": bool(choices.below(2))}
    return {one(choices, EQUALITIES): between(choices, 1, 5)}


def rfm(choices: Choices) -> Json:
    """Scores of a model."""
    scores = some(choices, ("recency", "frequency", "monetary"), 1, 2)
    return {"model": one(choices, MODELS)["model"], **{name: score(choices) for name in scores}}


def sample(choices: Choices) -> Json:
    """A share of the contacts."""
    salt = one(choices, ("x", "y"))
    if chance(choices, 2):
        return {"from": one(choices, (0, 12.5, 33.333)), "to": one(choices, (50, 66.667, 100)), "salt": salt}
    return {"percent": one(choices, (50, 12.345, 90)), "salt": salt}


def local_time(choices: Choices) -> Json:
    """The clock of the contact."""
    first, last = some(choices, ("00:00", "02:30", "01:00", "09:00", "18:45", "23:00", "23:59"), 2, 2)
    days = some(choices, ("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1, 6) if chance(choices, 2) else None
    return without_none({"from": first, "to": "24:00" if last == "00:00" else last, "days": days})


def consent(choices: Choices) -> Json:
    """What was said of a channel."""
    return {"channel": one(choices, CHANNELS), "is": one(choices, ("granted", "revoked", "unknown"))}


KINDS: dict[str, Callable[[Choices], Any]] = {
    "did": did,
    "aggregate": aggregate,
    "profile": profile,
    "held": held,
    "tags": tags,
    "in_list": in_list,
    "known": known,
    "quiet": quiet,
    "sequence": sequence,
    "missed": missed,
    "streak": streak,
    "regularly": regularly,
    "rfm": rfm,
    "sample": sample,
    "local_time": local_time,
    "consent": consent,
}
"""Every kind of leaf but `in_segment`, which needs a segment."""
USUAL = tuple(name for name in KINDS if name != "rfm")
"""Those that need no model."""


def leaf(choices: Choices, kinds: tuple[str, ...] = USUAL) -> Json:
    """One condition without parts."""
    kind = one(choices, kinds)
    return {kind: KINDS[kind](choices)}


def rule(choices: Choices, nested: list[str], kinds: tuple[str, ...] = USUAL, depth: int = 2) -> Json:
    """A random tree, at most two levels of all, any, none, not; `nested` are segments that in_segment may name."""
    form = choices.below(8) if depth else 0
    if form < 4:
        return {"in_segment": one(choices, nested)} if nested and chance(choices, 5) else leaf(choices, kinds)
    if form == 7:
        return {"not": rule(choices, nested, kinds, depth - 1)}
    word = ("all", "any", "none")[form - 4]
    return {word: [rule(choices, nested, kinds, depth - 1) for _ in range(between(choices, 1, 3))]}


def segments(choices: Choices, most: int = 4, kinds: tuple[str, ...] = USUAL) -> list[Json]:
    """One to `most` segments of a workspace, some nested, grouped, pinned, gated."""
    grouped = bool(choices.below(2))
    found: list[Json] = []
    for index in range(between(choices, 1, most)):
        alone = not grouped or index >= 2
        document: Json = {
            "segment": f"s{index}",
            "timezone": one(choices, ZONES),
            "mailable": one(choices, MAILABLES),
            "when": rule(choices, [each["segment"] for each in found] if alone else [], kinds),
        }
        if not alone:
            document["group"] = {"name": "g", "priority": index}
        pins = one(choices, (None, None, None, "include", "exclude"))
        if pins is not None:
            document[pins] = ["a"]
        found.append(document)
    return found


MAILABLES: tuple[Any, ...] = (
    False,
    False,
    True,
    True,
    {"channel": "email"},
    {"channel": "sms", "consent": "required"},
)
