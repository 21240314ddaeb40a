"""The consent gate: per channel the latest by `at` decides, ties are closed, one for all channels speaks for each."""

from __future__ import annotations

from typing import Any

import pytest

from engine.conditions.contact import Contact
from engine.membership.consents import CHANNELS_MAX, record_consent
from tests.driver import Row, documents, fact, given

RULE = "when: {did: {event: click}}"
ANY = f"segment: anywhere\n{RULE}"
EMAIL = f"segment: by-email\nmailable: {{channel: email}}\n{RULE}"
GRANTED = f"segment: granted\nmailable: {{channel: email, consent: required}}\n{RULE}"
REPORT = f"segment: report\nmailable: false\n{RULE}"
ALL_FOUR = "\n---\n".join((ANY, EMAIL, GRANTED, REPORT))


def said(kind: str, channel: str | None = None, day: int = 2, **more: Any) -> Row:
    return fact(f"2026-01-{day:02d}", kind, **({} if channel is None else {"channel": channel}), **more)


def consent(status: Any, channel: str | None = None, day: int = 2) -> Row:
    return said("consent", channel, day, status=status)


def who_is_in(*facts: Row, first: bool = True) -> set[str]:
    """The segments that a contact is in who clicked before (or after) all that was said."""
    click = fact("2026-01-01", "click") if first else fact("2026-01-30", "click")
    seen = given(ALL_FOUR, [click, *facts] if first else [*facts, click]).at()
    return {segment.segment for segment in documents(ALL_FOUR) if seen.members(segment.segment)}


OPEN, SHUT = {"anywhere", "by-email", "report"}, {"report"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("facts", "segments"),
    [
        ([], OPEN),
        ([said("opt_out")], SHUT),
        ([said("opt_out", "all")], SHUT),
        ([said("block")], SHUT),
        ([said("complaint")], SHUT),
        ([consent("revoked")], SHUT),
        ([said("opt_out", "email")], {"anywhere", "report"}),  # some other channel may still be open
        ([said("opt_out", "sms")], OPEN),
        ([said("opt_in", "email")], OPEN | {"granted"}),
        ([said("opt_in")], OPEN | {"granted"}),
        ([consent("granted", "email")], OPEN | {"granted"}),
        ([consent("granted", "all")], OPEN | {"granted"}),
        ([consent("granted", "sms")], OPEN),
        ([consent("maybe"), consent(None), consent(True), consent(["revoked"])], OPEN),
        # The latest decides.
        ([said("opt_out", day=2), said("opt_in", day=3)], OPEN | {"granted"}),
        ([said("opt_in", day=2), said("opt_out", day=3)], SHUT),
        ([said("opt_in", "email", 2), said("opt_out", None, 3)], SHUT),
        ([said("opt_out", None, 2), said("opt_in", "email", 3)], OPEN | {"granted"}),
        ([said("opt_out", None, 2), said("opt_in", "sms", 3)], {"anywhere", "report"}),
        ([said("opt_out", "email", 2), said("opt_in", None, 3)], OPEN | {"granted"}),
        ([said("opt_out", None, 2), said("opt_in", "sms", 3), said("complaint", "sms", 4)], SHUT),
        # By `at`, not by arrival.
        ([said("opt_out", day=3), said("opt_in", day=2)], SHUT),
        ([said("opt_in", day=3), said("opt_out", day=2)], OPEN | {"granted"}),
        # A tie is closed, whichever came first, of one channel or of all.
        ([said("opt_in"), said("opt_out")], SHUT),
        ([said("opt_out"), said("opt_in")], SHUT),
        ([said("opt_out"), said("opt_in", "email")], SHUT),
        ([said("opt_in"), said("opt_out", "email")], {"anywhere", "report"}),
    ],
)  # fmt: skip
def test_what_was_said_decides(facts: list[Row], segments: set[str], first: bool) -> None:
    assert who_is_in(*facts, first=first) == segments


def test_all_exits_come_at_once_with_the_opt_out_as_their_cause() -> None:
    segments = f"{ANY}\n---\nsegment: z-nested\nmailable: false\nwhen: {{in_segment: anywhere}}\n---\n{EMAIL}"
    found = given(segments, [fact("2026-01-01", "click"), said("opt_out", named="no")]).at().transitions
    assert [(row["change"], row["segment"], row["cause"]["kind"]) for row in found[3:]] == [
        ("exit", "anywhere", "opt_out"),
        ("exit", "by-email", "opt_out"),
        ("exit", "z-nested", "opt_out"),
    ]
    assert {(row["cause"]["event_id"], row["at"]) for row in found[3:]} == {("no", "2026-01-02T00:00:00.000Z")}


def test_an_opt_in_opens_it_again_where_the_rule_still_holds() -> None:
    facts = [fact("2026-01-01", "click"), said("opt_out", day=2), fact("2026-01-03", "click"), said("opt_in", day=4)]
    assert given(ANY, facts).at().told() == [
        "enter anywhere 2026-01-01T00:00:00.000Z event",
        "exit anywhere 2026-01-02T00:00:00.000Z opt_out",
        "enter anywhere 2026-01-04T00:00:00.000Z event",
    ]


def test_behind_the_gate_time_publishes_nothing() -> None:
    segment = "segment: s\nwhen: {quiet: {event: click, for: P10D}}"
    facts = [fact("2026-01-01", "click"), said("opt_out", day=2), said("opt_in", day=20)]
    assert given(segment, facts).at("2026-02-01").told() == ["enter s 2026-01-20T00:00:00.000Z event"]
    assert given(segment, facts[:2]).at("2026-02-01").told() == []


def test_an_opt_out_may_be_the_rule_itself() -> None:
    segment = "segment: left-us\nmailable: false\nwhen: {did: {event: [opt_out, complaint]}}"
    assert given(segment, [said("complaint")]).at().told() == ["enter left-us 2026-01-02T00:00:00.000Z event"]


def test_a_late_opt_out_that_a_later_opt_in_overrules_changes_nothing() -> None:
    facts = [fact("2026-01-01", "click"), said("opt_in", day=5), said("opt_out", day=3)]
    assert given(ANY, facts).at().told() == ["enter anywhere 2026-01-01T00:00:00.000Z event"]


def test_pinned_members_do_not_pass_the_gate() -> None:
    segment = "segment: picked\ninclude: [c-1]"
    facts = [fact("2026-01-01", "click"), said("block"), said("opt_in", day=3)]
    assert given(segment, facts).at().told() == [
        "enter picked 2026-01-01T00:00:00.000Z event",
        "exit picked 2026-01-02T00:00:00.000Z opt_out",
        "enter picked 2026-01-03T00:00:00.000Z event",
    ]


def test_a_closing_without_a_readable_channel_closes_all() -> None:
    assert who_is_in(fact("2026-01-02", "opt_out", channel=None)) == SHUT
    assert who_is_in(fact("2026-01-02", "opt_out", channel=7)) == SHUT


def test_consent_keeps_a_bounded_number_of_channels_and_forgets_no_closing() -> None:
    contact = Contact()
    for number in range(CHANNELS_MAX + 10):
        record_consent(contact, f"ch-{number}", number, 1)
    assert contact.consent is not None
    assert len(contact.consent) == CHANNELS_MAX
    record_consent(contact, "email", 5_000, 0)
    record_consent(contact, "", 5_000, 0)
    assert len(contact.consent) == CHANNELS_MAX + 1
    assert contact.consent["email"] == contact.consent[""] == [5_000, 0]
    assert "ch-0" not in contact.consent


@pytest.mark.parametrize("channel", [None, "email"])
def test_an_opt_out_is_never_forgotten(channel: str | None) -> None:
    opened = [said("opt_in", f"ch-{number}") for number in range(64)]
    assert "by-email" not in who_is_in(*opened, said("opt_out", channel, 3))


# Of a channel that asks for consent -----------------------------------------------------------------------------------


def granted(*facts: Row) -> list[str]:
    """What is published of one who clicked, in the segment that asks for granted e-mail."""
    return given(GRANTED, [fact("2026-01-01", "click"), *facts]).at("2027-01-01").told()


def moves(*days: int) -> list[str]:
    """Enter, exit, enter … on these days of January, by what was said."""
    changes = [("enter", "event"), ("exit", "opt_out")]
    return [f"{changes[n % 2][0]} granted 2026-01-{day:02d}T00:00:00.000Z {changes[n % 2][1]}" for n, day in
            enumerate(days)]  # fmt: skip


@pytest.mark.parametrize("opening", [consent("granted", "email", 3), said("opt_in", "email", 3), said("opt_in", day=3),
                                     consent("granted", "all", 3)])  # fmt: skip
@pytest.mark.parametrize("closing", [consent("revoked", "email", 5), said("opt_out", "email", 5), said("block", day=5),
                                     said("complaint", "all", 5)])  # fmt: skip
def test_every_grant_opens_and_every_closing_closes(opening: Row, closing: Row) -> None:
    assert granted(opening) == moves(3)
    assert granted(opening, closing) == moves(3, 5)
    assert granted(opening, closing, consent("granted", "email", 7)) == moves(3, 5, 7)


def test_what_is_said_of_other_channels_moves_nobody() -> None:
    others = [consent("granted", "sms", 2), said("opt_out", "sms", 4), said("block", "push", 5)]
    assert granted(*others) == []
    assert granted(consent("granted", "email", 3), *others) == moves(3)


def test_granted_and_revoked_at_one_instant_is_revoked_in_whatever_order() -> None:
    assert granted(consent("revoked", "email", 3), consent("granted", "email", 3)) == []
    # In this order the grant was true until the next fact of that instant came.
    assert granted(consent("granted", "email", 3), consent("revoked", "email", 3)) == moves(3, 3)
    assert granted(consent("revoked", None, 3), consent("granted", "email", 3)) == []
    assert granted(consent("revoked", "email", 3), consent("granted", None, 3), consent("granted", "sms", 4)) == []


def test_late_words_count_by_their_own_instant() -> None:
    # Later than all that was said: it decides, as of the contact's as-of.
    late_grant = given(GRANTED, [fact("2026-01-01", "click"), said("opt_out", "email", 3), fact("2026-01-09", "click"),
                                 consent("granted", "email", 5)]).at("2027-01-01").of("granted")  # fmt: skip
    assert [(row["change"], row["at"], row["late"]) for row in late_grant] == [
        ("enter", "2026-01-09T00:00:00.000Z", True)
    ]
    late_closing = given(GRANTED, [fact("2026-01-01", "click"), said("opt_in", "email", 3), fact("2026-01-09", "click"),
                                   said("block", None, 5)]).at("2027-01-01").of("granted")  # fmt: skip
    assert [(row["change"], row["at"], row["late"], row["cause"]["kind"]) for row in late_closing[1:]] == [
        ("exit", "2026-01-09T00:00:00.000Z", True, "opt_out")
    ]
    # Older than the last word: it changes nothing, and is remembered for nothing.
    assert granted(said("opt_out", "email", 5), said("opt_in", "email", 3)) == []
    assert granted(said("opt_in", "email", 5), said("opt_out", None, 3)) == moves(5)
    assert granted(said("opt_in", "email", 5), said("opt_out", None, 3), said("opt_out", "sms", 6)) == moves(5)


def test_after_an_opt_out_no_fact_of_that_instant_enters() -> None:
    click = fact("2026-01-02", "click")
    assert given(ANY, [said("opt_out"), click]).at().told() == []
    assert given(ANY, [click, said("opt_out")]).at().told() == [
        "enter anywhere 2026-01-02T00:00:00.000Z event",
        "exit anywhere 2026-01-02T00:00:00.000Z opt_out",
    ]


def test_nobody_who_comes_back_is_in_by_what_ended_meanwhile() -> None:
    segment = "segment: s\nmailable: {channel: email}\nwhen: {did: {event: click, within: P5D}}"
    facts = [fact("2026-01-01", "click"), said("opt_out", "email", 2), said("opt_in", "email", 9)]
    assert given(segment, facts).at("2026-02-01").told() == [
        "enter s 2026-01-01T00:00:00.000Z event",
        "exit s 2026-01-02T00:00:00.000Z opt_out",
    ]
    back = [*facts[:2], said("opt_in", "email", 4)]
    assert given(segment, back).at("2026-02-01").told()[2:] == [
        "enter s 2026-01-04T00:00:00.000Z event",
        "exit s 2026-01-06T00:00:00.000Z clock",
    ]


def test_a_retracted_word_was_never_said() -> None:
    grant, closing = consent("granted", "email", 3), said("opt_out", None, 5)
    grant["id"], closing["id"] = "grant", "closing"
    back = fact("2026-01-07", "event_retracted", id="closing")
    assert granted(grant, closing, back) == moves(3, 5, 7)
    assert granted(grant, closing, fact("2026-01-07", "event_retracted", id="grant")) == moves(3, 5)
    gone = given(GRANTED, [fact("2026-01-01", "click"), grant, fact("2026-01-04", "event_retracted", id="grant")]).at()
    assert [row["change"] for row in gone.of("granted")] == ["enter", "exit"]


def test_the_gate_lies_before_pins_and_groups() -> None:
    segments = (
        "segment: first\nmailable: {channel: email, consent: required}\ngroup: {name: g, priority: 2}\n"
        "include: [c-1]\n---\nsegment: second\nmailable: false\ngroup: {name: g, priority: 1}\n" + RULE
    )
    facts = [fact("2026-01-01", "click"), consent("granted", "email", 3), said("complaint", "email", 5)]
    assert given(segments, facts).at().told() == [
        "enter second 2026-01-01T00:00:00.000Z event",
        "exit second 2026-01-03T00:00:00.000Z event",
        "enter first 2026-01-03T00:00:00.000Z event",
        "exit first 2026-01-05T00:00:00.000Z opt_out",
        "enter second 2026-01-05T00:00:00.000Z event",
    ]
