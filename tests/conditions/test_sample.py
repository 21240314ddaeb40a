"""`sample`: a share that is the same everywhere and for ever, ranges that do not overlap, and shares that are true."""

from __future__ import annotations

import doctest

import pytest

from engine.conditions import sample as module
from engine.conditions.contact import Contact
from engine.conditions.instants import NEVER, parse_instant
from engine.conditions.sample import POINT_BITS, Point
from engine.definitions import DefinitionErrors, canonical, parse_segment
from engine.membership.plan import compile_plan
from tests.driver import documents, fact, given, line_of
from tests.membership.test_state_roundtrip import differs

HOLD_OUT = "segment: held-out\nwhen: {sample: {percent: 10, salt: hold-out}}"


def ids(count: int) -> list[str]:
    return [f"c-{number}" for number in range(count)]


def members(rule: str, contacts: list[str]) -> set[str]:
    return (
        given(f"segment: s\nwhen: {rule}", [fact("2026-01-01", "click", each) for each in contacts]).at().members("s")
    )


@pytest.mark.parametrize(
    ("salt", "workspace", "contact", "point"),
    [
        # Published: BLAKE2b of 8 bytes over salt, workspace and contact with zero bytes between, read big-endian.
        ("hold-out", "default", "c-1", 14282486689280534544),
        ("hold-out", "default", "c-2", 6323520337937534974),
        ("hold-out", "shop", "c-1", 4467530029038774495),
        ("другая соль", "default", "Анна", 17816607195392954398),
        ("a", "b", "c", 11532430043990989325),
    ],
)
def test_the_points_are_those_published(salt: str, workspace: str, contact: str, point: int) -> None:
    assert Point(salt).of_contact(workspace, contact) == point


def test_of_many_contacts_the_share_is_the_one_asked_for() -> None:
    # 100,000 ids: one standard deviation of 10 % is 95 contacts; four of them are 380.
    limit = (10 << POINT_BITS) // 100
    for salt in ("hold-out", "b", "2026-09"):
        point = Point(salt).of_contact
        found = sum(point("default", contact) < limit for contact in ids(100_000))
        assert abs(found - 10_000) < 380, salt


def test_two_salts_split_independently() -> None:
    half = 1 << (POINT_BITS - 1)
    one, other = Point("one").of_contact, Point("other").of_contact
    both = sum(one("default", each) < half and other("default", each) < half for each in ids(20_000))
    assert abs(both - 5_000) < 250


def test_ranges_of_one_salt_share_nobody_and_leave_nobody_out() -> None:
    contacts = ids(600)
    ranges = ["percent: 12.5", "from: 12.5, to: 40", "from: 40, to: 99.999", "from: 99.999, to: 100"]
    parts = [members(f"{{sample: {{{each}, salt: x}}}}", contacts) for each in ranges]
    assert sum(map(len, parts)) == 600
    assert set().union(*parts) == set(contacts)
    assert 40 < len(parts[0]) < 115
    assert members("{sample: {percent: 40, salt: x}}", contacts) == parts[0] | parts[1]


def test_nobody_and_everybody() -> None:
    assert members("{sample: {percent: 0, salt: x}}", ids(50)) == set()
    assert members("{sample: {percent: 100, salt: x}}", ids(50)) == set(ids(50))


@pytest.mark.parametrize(("past", "below", "above"), [(-1, True, False), (0, False, True)])
def test_a_range_holds_its_start_and_not_its_end(past: int, below: bool, above: bool) -> None:
    # 37.5 % is three eighths: the one point that lies on it, and the last one before.
    point = 3 * (1 << POINT_BITS) // 8 + past
    for options, inside in (("percent: 37.5", below), ("from: 37.5, to: 100", above), ("from: 0, to: 37.5", below)):
        [segment] = documents(f"segment: s\nwhen: {{sample: {{{options}, salt: x}}}}")
        plan = compile_plan([(segment, 1)]).workspace("default")
        assert plan.segments[0].rule(Contact(features={Point("x").key: point}), 0) == (inside, NEVER), options


def test_it_comes_with_the_first_fact_and_no_fact_changes_it() -> None:
    scene = given(
        f"{HOLD_OUT}\n---\nsegment: rest\nwhen: {{not: {{sample: {{percent: 10, salt: hold-out}}}}}}",
        [
            fact("2026-01-02", "purchase", "c-8", order_id="A", amount=5),
            fact("2026-01-03", "refund", "c-8", order_id="A"),
            fact("2026-01-01", "click", "c-8"),  # late
            fact("2026-01-04", "contact_updated", "c-8", city="Perm"),
            fact("2026-01-04", "click", "c-9"),
        ],
    )
    seen = scene.at("2027-01-01")
    assert Point("hold-out").of_contact("default", "c-8") < (10 << POINT_BITS) // 100
    assert seen.told("c-8") == ["enter held-out 2026-01-02T00:00:00.000Z event"]
    assert seen.of("held-out", "c-8")[0]["not_before"] is None
    assert seen.told("c-9") == ["enter rest 2026-01-04T00:00:00.000Z event"]


def test_a_written_state_a_refund_and_a_retraction_keep_it() -> None:
    facts = [
        fact("2026-01-01", "purchase", "c-8", named="buy", order_id="A", amount=5),
        fact("2026-01-02", "refund", "c-8", order_id="A"),
        fact("2026-01-03", "event_retracted", "c-8", id="buy"),
        fact("2026-01-04", "contact_updated", "c-8", timezone="Asia/Tokyo"),
    ]
    differs(documents(HOLD_OUT), [line_of(each) for each in facts], parse_instant("2026-03-01"))
    assert given(HOLD_OUT, facts).at("2026-03-01").told("c-8") == ["enter held-out 2026-01-01T00:00:00.000Z event"]


def test_with_another_condition_it_waits_for_that() -> None:
    segment = "segment: s\nwhen: {all: [{sample: {percent: 10, salt: hold-out}}, {did: {event: purchase}}]}"
    facts = [fact("2026-01-01", "click", who) for who in ("c-8", "c-9")]
    facts += [fact("2026-01-02", "purchase", who) for who in ("c-8", "c-9")]
    assert given(segment, facts).at().told(None) == ["enter s 2026-01-02T00:00:00.000Z event"]


def test_a_segment_that_is_added_later_splits_the_same() -> None:
    facts = [fact("2026-01-01", "click", each) for each in ids(60)]
    later = {"segment": "later", "when": {"sample": {"percent": 10, "salt": "hold-out"}}}
    seen = given(HOLD_OUT, facts, [{"at": "2026-01-02T00:00:00Z", "apply": later}]).replayed("2026-01-03")
    assert seen.members("later") == seen.members("held-out") != set()


def test_a_pinned_contact_without_facts_has_its_place_in_the_split() -> None:
    pinned = "segment: picked\ninclude: [c-8, c-9]\n---\n"
    seen = given(pinned + HOLD_OUT, [fact("2026-01-01", "click", "c-1")]).replayed("2026-01-02")
    assert seen.members("picked") == {"c-8", "c-9"}
    assert seen.members("held-out") == {"c-8"}


def test_the_same_person_in_two_workspaces_is_drawn_twice() -> None:
    segments = "\n---\n".join(
        f"segment: s\nworkspace: {name}\nwhen: {{sample: {{percent: 50, salt: x}}}}" for name in ("one", "two")
    )
    facts = [fact("2026-01-01", "click", who, workspace=name) for who in ids(40) for name in ("one", "two")]
    seen = given(segments, facts).at()
    assert seen.members("s", "one") != seen.members("s", "two")


def test_conditions_of_one_salt_share_one_feature() -> None:
    options = ("percent: 10, salt: x", "from: 10, to: 20, salt: x", "percent: 10, salt: y")
    segments = [f"segment: s{number}\nwhen: {{sample: {{{each}}}}}" for number, each in enumerate(options)]
    replay = given("\n---\n".join(segments), []).replay()
    assert len(replay.partition.plan.workspace("default").features) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("percent: 10", "'salt' is missing"),
        ("percent: 101, salt: x", "101 is not a share in percent"),
        ("percent: -1, salt: x", "-1 is not a share in percent"),
        ("percent: 0.0001, salt: x", "at most three decimals"),
        ("percent: true, salt: x", "True is not a share in percent"),
        ("percent: '10', salt: x", "'10' is not a share in percent"),
        ("percent: .nan, salt: x", "not a share in percent"),
        ("salt: x", "either percent, or from and to"),
        ("from: 10, salt: x", "either percent, or from and to"),
        ("to: 10, salt: x", "either percent, or from and to"),
        ("percent: 5, from: 10, to: 20, salt: x", "either percent, or from and to"),
        ("percent: 5, to: 20, salt: x", "either percent, or from and to"),
        ("from: 20, to: 20, salt: x", "no share lies from 20 to 20"),
        ("from: 30, to: 20, salt: x", "no share lies from 30 to 20"),
        ('percent: 5, salt: "a\\0b"', "holds what is no character"),
        ('percent: 5, salt: "\\ud800"', "holds what is no character"),
        ("percent: 5, salt: ''", "when.sample.salt"),
    ],
)
def test_mistakes_are_told(options: str, said: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        parse_segment(f"segment: s\nwhen: {{sample: {{{options}}}}}")
    assert said in str(caught.value)


def test_a_share_has_one_canonical_form() -> None:
    forms = [canonical(documents(f"segment: s\nwhen: {{sample: {{percent: {each}, salt: x}}}}")[0]) for each in
             ("10", "10.0", "1e1", "10.000")]  # fmt: skip
    assert {str(form["when"]) for form in forms} == {"{'sample': {'percent': 10, 'salt': 'x'}}"}


def test_the_docstring_says_what_is_true() -> None:
    assert doctest.testmod(module).failed == 0
