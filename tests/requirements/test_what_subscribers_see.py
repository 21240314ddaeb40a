"""Rows of REQUIREMENTS on what is published: once each, with its cause and variables, never past the gate, provable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.driver import command, fact, given

BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}"


def test_r14_the_same_purchase_twice_is_one_enter() -> None:
    bought = fact("2026-01-01", "purchase", named="p-1", order_id="A-7")
    seen = given(BUYERS, [bought, bought]).replayed()
    assert seen.told() == ["enter buyers 2026-01-01T00:00:00.000Z event"]
    assert "1 duplicates ignored" in seen.errors


def test_r17_a_transition_sent_again_has_the_id_by_which_consumers_drop_it() -> None:
    """What a worker publishes to several consumers is tested on a real Kafka in tests/integration."""
    facts = [fact("2026-01-01", "purchase", who, named=f"p-{who}") for who in ("A", "B")]
    first, again = (given(BUYERS, facts).replayed("2026-03-01") for _ in range(2))
    assert first.transitions == again.transitions
    assert len({row["id"] for row in first.transitions}) == 4


def test_r18_a_segment_guards_another_in_the_same_step() -> None:
    # By id the guarded one comes first; it is judged, and told, after the one that it asks for.
    guarded = "segment: a-thanks\nwhen: {in_segment: z-buyers}\n---\nsegment: z-buyers\nwhen: {did: {event: purchase}}"
    assert given(guarded, [fact("2026-01-01", "purchase")]).replayed().told() == [
        "enter z-buyers 2026-01-01T00:00:00.000Z event",
        "enter a-thanks 2026-01-01T00:00:00.000Z event",
    ]


def test_r18_the_guard_falls_by_the_clock_with_what_it_guards() -> None:
    guarded = f"segment: a-thanks\nwhen: {{in_segment: buyers}}\n---\n{BUYERS}"
    found = given(guarded, [fact("2026-01-01", "purchase")]).replayed("2026-02-01")
    assert found.told()[2:] == [
        "exit buyers 2026-01-31T00:00:00.000Z clock",
        "exit a-thanks 2026-01-31T00:00:00.000Z clock",
    ]
    assert {row["not_before"] for row in found.transitions[:2]} == {"2026-01-31T00:00:00.000Z"}


def test_r36_the_enter_carries_the_variables_of_the_message() -> None:
    segment = "segment: buyers\npayload: [name, address.city, last.purchase.order_id, unknown]\n"
    segment += "when: {did: {event: purchase}}"
    facts = [
        fact("2026-01-01", "contact_updated", name="Anna", address={"city": "Petersburg"}),
        fact("2026-01-02", "purchase", order_id="A-7"),
    ]
    assert given(segment, facts).replayed().transitions[0]["payload"] == {
        "name": "Anna",
        "address.city": "Petersburg",
        "last.purchase.order_id": "A-7",
        "unknown": None,
    }


@pytest.mark.parametrize("closing", ["opt_out", "block", "complaint"])
def test_r42_out_of_every_mailable_segment_and_no_enter_later(closing: str) -> None:
    segments = f"{BUYERS}\n---\nsegment: clickers\nwhen: {{did: {{event: click}}}}\n---\n"
    segments += "segment: report\nmailable: false\nwhen: {did: {event: purchase}}"
    facts = [
        fact("2026-01-01", "purchase"),
        fact("2026-01-02", closing, named="no-more"),
        fact("2026-01-03", "purchase"),
        fact("2026-01-03", "click"),
    ]
    found = given(segments, facts).replayed("2026-02-01")
    assert found.told() == [
        "enter buyers 2026-01-01T00:00:00.000Z event",
        "enter report 2026-01-01T00:00:00.000Z event",
        "exit buyers 2026-01-02T00:00:00.000Z opt_out",
    ]
    assert found.transitions[-1]["cause"] == {
        "kind": "opt_out",
        "event_id": "no-more",
        "event_type": closing,
        "event_at": "2026-01-02T00:00:00.000Z",
    }


def test_r43_without_consent_never_mailable() -> None:
    segment = "segment: news\nmailable: {channel: whatsapp, consent: required}\nwhen: {did: {event: click}}"
    facts = [
        fact("2026-01-01", "click"),
        fact("2026-01-02", "consent", channel="email", status="granted"),
        fact("2026-01-03", "consent", channel="whatsapp", status="granted"),
        fact("2026-01-04", "consent", channel="whatsapp", status="revoked"),
        fact("2026-01-05", "click"),
    ]
    assert given(segment, facts).replayed().told() == [
        "enter news 2026-01-03T00:00:00.000Z event",
        "exit news 2026-01-04T00:00:00.000Z opt_out",
    ]


def test_r44_an_edit_publishes_only_the_difference() -> None:
    longer = {"segment": "buyers", "when": {"did": {"event": "purchase", "within": "P60D"}}}
    facts = [fact("2026-01-10", "purchase", "left"), fact("2026-02-20", "purchase", "stays")]
    found = given(BUYERS, facts, [{"at": "2026-03-01T00:00:00Z", "apply": longer}]).replayed("2026-03-02")
    assert found.told("stays") == ["enter buyers 2026-02-20T00:00:00.000Z event"]
    assert found.told("left") == [
        "enter buyers 2026-01-10T00:00:00.000Z event",
        "exit buyers 2026-02-09T00:00:00.000Z clock",
        "enter buyers 2026-03-01T00:00:00.000Z definition",
    ]
    last = found.transitions[-1]
    # The 11th of March is the sixtieth day after the 10th of January.
    assert (last["version"], last["sequence"], last["not_before"]) == (2, 3, "2026-03-11T00:00:00.000Z")


def test_r51_a_segment_nests_in_a_rule() -> None:
    segments = f"{BUYERS}\n---\nsegment: vip\nwhen: {{tags: {{any: vip}}}}\n---\nsegment: woo\n"
    segments += "when: {any: [{all: [{in_segment: buyers}, {not: {in_segment: vip}}]}, {profile: {woo: true}}]}"
    facts = [
        fact("2026-01-01", "purchase", "A"),
        fact("2026-01-01", "purchase", "B"),
        fact("2026-01-02", "tags_added", "B", tags="vip"),
        fact("2026-01-02", "contact_updated", "C", woo=True),
    ]
    seen = given(segments, facts).replayed("2026-01-03")
    assert seen.members("woo") == {"A", "C"}
    assert seen.told("B")[2:] == [
        "exit woo 2026-01-02T00:00:00.000Z event",
        "enter vip 2026-01-02T00:00:00.000Z event",
    ]


def test_r58_a_plain_recount_finds_no_difference_and_a_forged_one(tmp_path: Path) -> None:
    facts = [fact("2026-01-01", "purchase", who, amount=5) for who in ("A", "B")]
    facts += [fact("2026-01-20", "purchase", "A", amount=7), fact("2026-01-21", "opt_out", "B")]
    scene = given(BUYERS, facts)
    words = [*scene.files(tmp_path), "--until", "2026-03-01T00:00:00Z"]
    published = scene.replayed("2026-03-01").transitions
    file = tmp_path / "transitions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in published), encoding="utf-8")
    code, out, errors = command(["recount", *words, "--transitions", str(file)])
    assert (code, out) == (0, "")
    assert "the recount agrees" in errors

    published[-1]["at"] = "2026-02-19T00:00:00.001Z"
    file.write_text("".join(json.dumps(row) + "\n" for row in published), encoding="utf-8")
    code, out, _ = command(["recount", *words, "--transitions", str(file)])
    assert code == 1
    assert "2026-02-19" in out
