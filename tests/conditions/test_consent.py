"""`consent`: the last word on a channel by `at`, ties closed, one for all channels speaks for each; and the gate by the
same facts."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from engine.conditions import consent as module
from engine.conditions.instants import parse_instant
from engine.definitions import DefinitionErrors, parse_segment
from engine.membership.replay import Replay
from tests.conditions.evidence import evidence
from tests.driver import Row, documents, fact, given, line_of
from tests.membership.test_state_roundtrip import differs

IS = ("granted", "revoked", "unknown")


def by_status(channel: str, mailable: str = "false") -> str:
    return "\n---\n".join(
        f"segment: {each}\nmailable: {mailable}\nwhen: {{consent: {{channel: {channel}, is: {each}}}}}" for each in IS
    )


def said(kind: str, day: int = 2, channel: Any = None, **more: Any) -> Row:
    return fact(f"2026-01-{day:02d}", kind, **({} if channel is None else {"channel": channel}), **more)


def last_word(facts: list[Row], channel: str = "email") -> str:
    """Of those who clicked before they said anything, so that all comes from re-judging."""
    seen = given(by_status(channel), [fact("2026-01-01", "click"), *facts]).at("2027-01-01")
    [found] = [each for each in IS if seen.members(each)]
    return found


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ([], "unknown"),
        ([said("opt_in", channel="email")], "granted"),
        ([said("consent", channel="email", status="granted")], "granted"),
        ([said("opt_out", channel="email")], "revoked"),
        ([said("block", channel="email")], "revoked"),
        ([said("complaint", channel="email")], "revoked"),
        ([said("consent", channel="email", status="revoked")], "revoked"),
        ([said("consent", channel="email", status="perhaps")], "unknown"),
        ([said("consent", channel="email")], "unknown"),
        # Of another channel nothing follows; all, and nothing at all, speak for this one too.
        ([said("opt_in", channel="sms"), said("opt_out", channel="push")], "unknown"),
        ([said("opt_in", channel="all")], "granted"),
        ([said("opt_in")], "granted"),
        ([said("block")], "revoked"),
        ([said("opt_out", channel=["sms", "email"])], "revoked"),
        ([said("opt_in", channel=["sms", "all"])], "granted"),
        # What names no channel that can be read closes all and opens none.
        ([said("opt_in", channel=7)], "unknown"),
        ([said("opt_out", channel=7)], "revoked"),
        ([said("opt_in", channel="")], "unknown"),
        ([said("opt_out", channel="")], "revoked"),
        ([said("opt_in", channel=[])], "unknown"),
        ([said("opt_out", channel=[])], "revoked"),
        # The latest by `at`, whatever came last.
        ([said("opt_in", 2, "email"), said("opt_out", 3, "email")], "revoked"),
        ([said("opt_out", 3, "email"), said("opt_in", 2, "email")], "revoked"),
        ([said("opt_out", 2, "email"), said("opt_in", 3, "email")], "granted"),
        ([said("opt_in", 3, "email"), said("opt_out", 2, "email")], "granted"),
        ([said("opt_out", 2), said("opt_in", 3, "email")], "granted"),
        ([said("opt_in", 2, "email"), said("opt_out", 3)], "revoked"),
        ([said("opt_out", 2, "email"), said("opt_in", 3)], "granted"),
        ([said("opt_in", 3), said("opt_out", 2, "email")], "granted"),
        # Of one instant the closing one, in whatever order, of the channel or of all.
        ([said("opt_in", channel="email"), said("opt_out", channel="email")], "revoked"),
        ([said("opt_out", channel="email"), said("opt_in", channel="email")], "revoked"),
        ([said("opt_in", channel="email"), said("complaint")], "revoked"),
        ([said("complaint"), said("opt_in", channel="email")], "revoked"),
        ([said("opt_out", channel="email"), said("opt_in")], "revoked"),
        ([said("opt_out", 2, "email"), said("opt_in", 2, "email"), said("opt_in", 3, "email")], "granted"),
    ],
)
def test_the_last_word(facts: list[Row], word: str) -> None:
    assert last_word(facts) == word


def test_all_asks_for_what_was_said_for_all_at_once() -> None:
    assert last_word([said("opt_in", channel="email")], "all") == "unknown"
    assert last_word([said("opt_in"), said("opt_out", 3, "email")], "all") == "granted"


def test_a_channel_has_a_name_of_its_own() -> None:
    long = "x" * 64
    assert last_word([said("opt_in", channel=long)], long) == "granted"
    assert last_word([said("opt_in", channel="Email")], "email") == "unknown"
    assert last_word([said("opt_out", channel=long + "y")], long) == "revoked"  # what is longer is cut


def test_each_fact_is_judged_at_its_instant_with_its_cause() -> None:
    facts = [
        fact("2026-01-01T10:00Z", "click"),
        said("opt_in", 2, "email"),
        said("opt_in", 3, "sms"),
        said("opt_out", 4, "sms"),
        said("opt_out", 5),
    ]
    assert given(by_status("email"), facts).at("2027-01-01").told() == [
        "enter unknown 2026-01-01T10:00:00.000Z event",
        "exit unknown 2026-01-02T00:00:00.000Z event",
        "enter granted 2026-01-02T00:00:00.000Z event",
        "exit granted 2026-01-05T00:00:00.000Z opt_out",
        "enter revoked 2026-01-05T00:00:00.000Z event",
    ]


def test_the_rule_is_judged_anew_where_no_gate_opens_or_closes() -> None:
    # To mailable: true some other channel is as good: opting in or out of sms leaves its gate as it is.
    facts = [fact("2026-01-01", "click"), said("opt_in", 2, "sms"), said("opt_out", 3, "sms"), said("opt_in", 4, "sms")]
    assert given(by_status("sms", "true"), facts).at().told()[1:] == [
        "exit unknown 2026-01-02T00:00:00.000Z event",
        "enter granted 2026-01-02T00:00:00.000Z event",
        "exit granted 2026-01-03T00:00:00.000Z opt_out",
        "enter revoked 2026-01-03T00:00:00.000Z event",
        "exit revoked 2026-01-04T00:00:00.000Z event",
        "enter granted 2026-01-04T00:00:00.000Z event",
    ]


def test_a_late_word_that_changes_the_last_one_is_published_as_of_now() -> None:
    facts = [fact("2026-01-05", "click"), said("opt_out", 2, "email"), said("opt_in", 1, "email")]
    found = given(by_status("email"), facts).at().of("revoked")
    assert [(row["change"], row["at"], row["late"]) for row in found] == [("enter", "2026-01-05T00:00:00.000Z", True)]


def test_a_word_taken_back_was_not_said() -> None:
    facts = [said("opt_in", 2, "email"), said("opt_out", 3, named="no"), fact("2026-01-05", "event_retracted", id="no")]
    assert given(by_status("email"), facts).at().told()[-2:] == [
        "exit revoked 2026-01-05T00:00:00.000Z event",
        "enter granted 2026-01-05T00:00:00.000Z event",
    ]
    differs(documents(by_status("email")), [line_of(each) for each in facts], parse_instant("2026-03-01"))


def test_what_nests_it_follows_in_the_same_step() -> None:
    segments = "segment: a-quiet\nmailable: false\nwhen: {not: {in_segment: reachable}}\n---\n"
    segments += "segment: reachable\nwhen: {any: [{consent: {channel: email, is: granted}}, "
    segments += "{consent: {channel: sms, is: granted}}]}"
    facts = [fact("2026-01-01", "click"), said("opt_in", 2, "sms"), said("opt_out", 3)]
    assert given(segments, facts).at().told() == [
        "enter a-quiet 2026-01-01T00:00:00.000Z event",
        "exit a-quiet 2026-01-02T00:00:00.000Z event",
        "enter reachable 2026-01-02T00:00:00.000Z event",
        "exit reachable 2026-01-03T00:00:00.000Z opt_out",
        "enter a-quiet 2026-01-03T00:00:00.000Z event",
    ]


def test_a_segment_that_is_added_later_knows_what_was_said() -> None:
    facts = [said("opt_in", 1, "email"), fact("2026-01-02", "click", "c-2")]
    later = {"segment": "later", "when": {"consent": {"channel": "email", "is": "granted"}}}
    seen = given(by_status("sms"), facts, [{"at": "2026-02-01T00:00:00Z", "apply": later}]).replayed("2026-02-02")
    assert seen.members("later") == {"c-1"}


GATES = (
    "segment: some\nwhen: {known: {for: PT0.001S}}\n---\n"
    "segment: email\nmailable: {channel: email}\nwhen: {known: {for: PT0.001S}}\n---\n"
    "segment: asked\nmailable: {channel: email, consent: required}\nwhen: {known: {for: PT0.001S}}\n---\n"
)
CHANNELS = ("email", "sms", "all")
EVERY = documents(
    GATES
    + "\n---\n".join(
        f"segment: {channel}-{each}\nmailable: false\nwhen: {{consent: {{channel: {channel}, is: {each}}}}}"
        for channel in CHANNELS
        for each in IS
    )
)
NAMES = [segment.segment for segment in EVERY]
words = st.tuples(
    st.sampled_from(["opt_in", "opt_out", "block", "granted", "revoked", "said nothing"]),
    st.sampled_from([*CHANNELS, None, ["email", "sms"], 7, ""]),
    st.integers(2, 5),
)


def row_of(word: tuple[str, Any, int]) -> Row:
    kind, channel, day = word
    if kind in ("granted", "revoked", "said nothing"):
        return said("consent", day, channel, status=kind)
    return said(kind, day, channel)


def expected(found: list[tuple[str, Any, int]]) -> dict[str, str]:
    """The last words, worked out plainly: for each channel all that speaks for it, and the latest of that."""
    spoken: list[tuple[str, int, bool]] = []
    for kind, channel, day in found:
        opens = kind in ("opt_in", "granted")
        if kind == "said nothing":
            continue
        if channel in (7, ""):
            names = [] if opens else ["all"]
        else:
            names = channel if isinstance(channel, list) else [channel or "all"]
        spoken += [(name, day, opens) for name in names]
    last: dict[str, str] = {}
    for channel in CHANNELS:
        heard = [(day, opens) for name, day, opens in spoken if name in (channel, "all")]
        newest = max((day for day, _ in heard), default=0)
        open_now = all(opens for day, opens in heard if day == newest)
        last[channel] = "unknown" if not heard else "granted" if open_now else "revoked"
    return last


@settings(max_examples=150)
@drawn(st.lists(words, max_size=7))
def test_condition_and_gate_say_what_the_facts_say_in_any_order(found: list[tuple[str, Any, int]]) -> None:
    replay = Replay(EVERY)
    replay.take(line_of(fact("2026-01-01", "click")))
    for count, word in enumerate(found, 1):
        replay.take(line_of(row_of(word)))
        last = expected(found[:count])
        inside = {f"{channel}-{each}" for channel, each in last.items()}
        inside |= {"email"} if last["email"] != "revoked" else set()
        inside |= {"asked"} if last["email"] == "granted" else set()
        if last["all"] != "revoked" or "granted" in (last["email"], last["sms"]):
            inside.add("some")
        now = {name for name in NAMES if replay.members(name)}
        # A gate that opens lets in what is known for a millisecond.
        assert now == inside, found[:count]


@pytest.mark.parametrize(
    ("facts", "ids"),
    [
        ([], []),
        ([said("opt_in", 2, "sms", named="a")], []),
        ([said("opt_in", 2, "email", named="a"), said("opt_out", 3, "email", named="b")], ["b"]),
        ([said("opt_in", 2, "email", named="a"), said("opt_out", 2, named="b"), said("opt_in", 2, named="c")], ["b"]),
        ([said("opt_out", 2, "email", named="a"), said("opt_in", 3, named="b")], ["b"]),
        ([said("opt_in", 2, "email", named="a"), said("opt_in", 2, named="b")], ["a", "b"]),
        ([said("opt_in", 2, named="a"), said("consent", 3, "email", named="b", status="x")], ["a"]),
        ([said("opt_in", 2, "email", named="a"), said("opt_out", 9, "email", named="later")], ["a"]),
    ],
)
def test_it_rests_on_the_last_word(facts: list[Row], ids: list[str]) -> None:
    assert evidence("{consent: {channel: email, is: granted}}", facts, "2026-01-05T00:00:00Z") == ids


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("is: granted", "'channel' is missing"),
        ("channel: email", "'is' is missing"),
        ("channel: email, is: open", "Allowed here: granted, revoked, unknown"),
        ("channel: '', is: granted", "when.consent.channel"),
        (f"channel: {'x' * 65}, is: granted", "when.consent.channel"),
        ("chanel: email, is: granted", "Did you mean 'channel'"),
    ],
)
def test_mistakes_are_told(options: str, told: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{consent: {{{options}}}}}")
    assert told in str(caught.value)


def test_the_docstring_says_what_is_true() -> None:
    assert doctest.testmod(module).failed == 0
