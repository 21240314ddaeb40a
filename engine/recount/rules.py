"""Every kind of condition that the recount knows, and how one leaf of a definition is taken apart (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.recount import counting, order, person
from engine.recount.dates import DATE_TESTS
from engine.recount.instants import Duration, duration
from engine.recount.leaf import Kind, Leaf, Unsupported, choice_of
from engine.recount.past import CONSENT_TYPES, LIST_TYPES
from engine.recount.values import known_test, path_of

_OF_ATTRIBUTES = ("contact_updated",)
_PLAIN_CHOICE = ("event", "where", "since", "until")


def _missed_changes(leaf: Leaf) -> Iterable[tuple[Duration, ...]]:
    within = leaf.lengths["within"]
    return ((within,), (within, leaf.lengths["for"])) if "for" in leaf.lengths else ((within,),)


KINDS: dict[str, Kind] = {
    "did": Kind((*_PLAIN_CHOICE, "within", "count", "first", "of_last"), counting.did, counting.did_choices),
    "aggregate": Kind((*_PLAIN_CHOICE, "fn", "of", "within", "is"), counting.aggregate, counting.aggregate_choices),
    "regularly": Kind(
        ("event", "where", "count", "period", "periods", "at_least"),
        counting.regularly,
        lambda options, zone: (choice_of(options, zone),),
        counting.regularly_changes,
    ),
    "rfm": Kind(
        ("model", "recency", "frequency", "monetary"), counting.rfm, counting.rfm_choices, counting.rfm_changes
    ),
    "sequence": Kind(("steps", "match", "within"), order.sequence, order.sequence_choices),
    "streak": Kind(("of", "without", "match", "at_least", "grace"), order.streak, order.pair_choices("of", "without")),
    "missed": Kind(
        ("after", "expect", "within", "match", "for"),
        order.missed,
        order.pair_choices("after", "expect"),
        _missed_changes,
    ),
    "profile": Kind(
        None,
        person.profile,
        of_contact=_OF_ATTRIBUTES,
        turns=person.profile_turns,
        every_turn=person.every_profile_turn,
    ),
    "held": Kind(("path", "is", "for"), person.held, person.held_choices, first_fact=True),
    "tags": Kind(("any", "all", "none"), person.tags, of_contact=("tags_added", "tags_removed")),
    "in_list": Kind(None, person.in_list, of_contact=LIST_TYPES),
    "known": Kind(("within", "for"), person.known, first_fact=True),
    "quiet": Kind(
        ("event", "where", "for"), person.quiet, lambda options, zone: (choice_of(options, zone),), first_fact=True
    ),
    "consent": Kind(("channel", "is"), person.consent, of_contact=CONSENT_TYPES),
    "sample": Kind(("percent", "from", "to", "salt"), person.sample),
    "local_time": Kind(
        ("from", "to", "days"),
        person.local_time,
        of_contact=_OF_ATTRIBUTES,
        turns=person.local_time_turns,
        every_turn=person.every_local_time_turn,
    ),
}


def make_leaf(name: str, spec: Any, zone: str) -> Leaf:
    """Takes one leaf of a definition apart; raises Unsupported. `zone` is a name of the IANA database."""
    if name not in KINDS:
        raise Unsupported(f"the recount does not know the condition {name!r}")
    kind = KINDS[name]
    if kind.options is None:
        options = {"list": spec} if name == "in_list" else dict(spec)
        if name == "profile":
            _check_tests({path: _without_dates(test) for path, test in spec.items()})
        return Leaf(kind, options, zone)
    options = {word: value for word, value in spec.items() if value is not None and (word, value) != ("first", False)}
    for word in options:
        if word not in kind.options:
            raise Unsupported(f"the recount does not know {word!r} of {name!r}")
    _check_tests({word: options[word] for word in _NUMBERS if word in options})
    leaf = Leaf(kind, options, zone, kind.choices(options, zone), _lengths(options))
    for choice in leaf.choices:
        _check_tests(choice.where)
    if name == "aggregate":
        _check_tests(options.get("where") or {})
    leaf.changes = tuple(kind.changes(leaf))
    return leaf


_NUMBERS = ("count", "is", "recency", "frequency", "monetary")


def _lengths(options: Mapping[str, Any]) -> dict[str, Duration]:
    lengths = {name: duration(options[name]) for name in ("grace", "period") if name in options}
    held_for = options.get("for")
    if isinstance(held_for, Mapping):
        for word, text in held_for.items():
            lengths["lt" if word == "lt" else "for"] = duration(text)
    elif held_for is not None:
        lengths["for"] = duration(held_for)
    if isinstance(options.get("within"), list):
        lengths["from"], lengths["within"] = (duration(text) for text in options["within"])
    elif "within" in options:
        lengths["within"] = duration(options["within"])
    return lengths


def _without_dates(test: Any) -> Any:
    return (
        {name: value for name, value in test.items() if name not in DATE_TESTS} if isinstance(test, Mapping) else test
    )


def _check_tests(tests: Mapping[str, Any]) -> None:
    for path, test in tests.items():
        path_of(path)
        if not known_test(test):
            raise Unsupported(f"the recount does not know the test {test!r} of {path!r}")
