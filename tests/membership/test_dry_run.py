"""`segments plan` in the core: what it counts is what the change then publishes, to the last contact."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from engine.conditions.instants import DAY, parse_instant
from engine.definitions import check, parse_definitions, parse_segment, read_segment
from engine.membership.dry_run import DryRun, Outcome, Tally
from engine.membership.moment import copied
from engine.membership.plan import compile_plan
from engine.membership.planned import segment_key
from engine.membership.replay import DEDUP, JOURNAL_RETENTION, Replay
from tests.driver import definitions, documents, fact, line_of
from tests.membership import random_conditions, random_edits, random_facts
from tests.membership.choices import Seeded, between, one

EDITS = 200
EDITS_OF_SCENE = 5
EVERYBODY = 100
CONTACTS = tuple("abcdefghijklmnop")
BUYERS = "segment: buyers\nwhen: {did: {event: purchase, within: P30D}}"
THANKS = "segment: thanks\nwhen: {in_segment: buyers}"
CLICKERS = "segment: clickers\nwhen: {did: {event: click}}"


def frozen(replay: Replay) -> bytes:
    """All that a replay knows of its contacts, as bytes."""
    contacts = replay.contacts.contacts
    return msgspec.msgpack.encode([(key, contacts[key]) for key in sorted(contacts)])


def members(replay: Replay, names: set[str]) -> dict[str, set[str]]:
    return {name: replay.members(name) for name in names}


def seen(tally: Tally) -> tuple[set[str], set[str]]:
    """Who would enter and who would leave, where the sample holds all of them."""
    assert (len(tally.enter_sample), len(tally.leave_sample)) == (tally.entering, tally.leaving)
    return {contact for _, contact in tally.enter_sample}, {contact for _, contact in tally.leave_sample}


def test_what_is_planned_is_what_is_applied_for_random_edits(capsys: pytest.CaptureFixture[str]) -> None:
    kinds: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    published: Counter[str] = Counter()
    moved = followed = 0
    for number in range(EDITS):
        if number % EDITS_OF_SCENE == 0:
            choices = Seeded(f"dry run {number}")
            there = {each["segment"]: each for each in random_conditions.segments(choices)}
            segments = [read_segment(document) for document in there.values()]
            check(segments)
            replay = Replay(segments, journal_retention=one(choices, (JOURNAL_RETENTION, 20 * DAY)))
            paused: set[str] = set()
        for line in random_facts.lines(choices, False, CONTACTS, 80):
            replay.take(line)
        if number % 2:
            replay.until(replay.partition.clock + between(choices, 0, 20) * DAY // 4)
        names = {*there}
        edit = random_edits.edit(choices, there, paused, number)
        names |= {*there}
        before, state = members(replay, names), frozen(replay)
        asked = edit.applied, edit.deleted, edit.paused, edit.resumed
        outcome = replay.dry_run(*asked, sample=EVERYBODY)
        assert frozen(replay) == state, "a dry run changes nothing"
        transitions = replay.change(*asked)
        after = members(replay, names)
        for name in names:
            tally = outcome.of("default", name)
            of_it = [each for each in transitions if each.segment == name]
            enters = {each.contact for each in of_it if each.change == "enter"}
            exits = {each.contact for each in of_it if each.change == "exit"}
            assert seen(tally) == (enters, exits) == (after[name] - before[name], before[name] - after[name]), edit
            assert (tally.now, tally.then) == (len(before[name]), len(after[name])), edit
            assert tally.causes == Counter(each.cause_kind for each in of_it), edit
            predicted += Counter(enter=tally.entering, exit=tally.leaving)
            if ("default", name) in edit.keys:
                for held, counted in ((before, tally.together_now), (after, tally.together_then)):
                    shared = {segment_key("default", each): len(held[each] & held[name]) for each in names - {name}}
                    assert counted == {key: count for key, count in shared.items() if count}, edit
        assert outcome.moving == len({each.contact for each in transitions})
        published += Counter(each.change for each in transitions)
        moved += bool(transitions)
        kinds += Counter(apply=len(edit.applied), delete=len(edit.deleted))
        kinds += Counter(pause=len(edit.paused), resume=len(edit.resumed))
        followed += sum(
            1 for name in names if outcome.of("default", name).causes and ("default", name) not in edit.keys
        )
    with capsys.disabled():
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(f"\n{EDITS} edits ({parts}), {moved} of them moved somebody, {followed} segments only followed:", end=" ")
        print(f"predicted {predicted['enter']} enters and {predicted['exit']} exits,", end=" ")
        print(f"published {published['enter']} and {published['exit']}")
    assert predicted == published
    assert min(published["enter"], published["exit"]) > EDITS // 2
    assert min(*kinds.values(), followed) >= 5


def of_two(*segments: str) -> Replay:
    """`early` bought on the first of January and clicked, `late` bought on the twentieth; it is the 25th."""
    replay = Replay(documents("\n---\n".join(segments)))
    for line in (
        fact("2026-01-01", "purchase", "early"),
        fact("2026-01-02", "click", "early"),
        fact("2026-01-20", "purchase", "late"),
    ):
        replay.take(line_of(line))
    replay.until(parse_instant("2026-01-25"))
    return replay


def counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.now, tally.entering, tally.leaving, tally.then


def test_r55_a_plan_tells_size_who_enters_and_overlap_before_anything_is_published() -> None:
    replay = of_two(CLICKERS, THANKS.replace("buyers", "clickers"))
    outcome = replay.dry_run([parse_segment(BUYERS)])
    tally = outcome.of("default", "buyers")
    assert counts(tally) == (0, 2, 0, 2)
    assert seen(tally) == ({"early", "late"}, set())
    assert tally.causes == {"backfill": 2}
    assert tally.together_then == {segment_key("default", "clickers"): 1, segment_key("default", "thanks"): 1}
    assert tally.together_now == {}
    assert counts(outcome.of("default", "clickers")) == (1, 0, 0, 1)
    assert (outcome.contacts, outcome.moving) == (2, 2)
    assert replay.members("buyers") == set()


def test_r44_an_edit_would_publish_only_the_difference() -> None:
    replay = of_two(BUYERS, THANKS)
    outcome = replay.dry_run([parse_segment(BUYERS.replace("P30D", "P10D"))])
    for name in ("buyers", "thanks"):  # the second follows
        assert counts(outcome.of("default", name)) == (2, 0, 1, 1)
        assert seen(outcome.of("default", name)) == (set(), {"early"})
        assert outcome.of("default", name).causes == {"definition": 1}


def test_who_scores_by_a_model_follows_it() -> None:
    cuts = "cuts: {recency: [P30D, P60D, P90D, P180D], frequency: [2, 3, 5, 8], monetary: [50, 100, 200, 500]}"
    shop = f"model: shop\nevent: purchase\namount: amount\n{cuts}"
    text = f"{shop}\n---\nsegment: best\nwhen: {{rfm: {{model: shop, frequency: {{gte: 2}}}}}}"
    replay = Replay(*definitions(text))
    for who, bought in (("twice", 2), ("thrice", 3)):
        for day in range(1, bought + 1):
            replay.take(line_of(fact(f"2026-01-0{day}", "purchase", who)))
    [stricter] = parse_definitions(shop.replace("[2, 3", "[3, 4"), "model").models
    outcome = replay.dry_run([stricter])
    assert seen(outcome.of("default", "best")) == (set(), {"twice"})
    assert [each.contact for each in replay.apply(stricter)] == ["twice"]


def test_a_sample_is_bounded_and_the_same_in_every_run() -> None:
    replay = Replay([])
    for number in range(50):
        replay.take(line_of(fact("2026-01-01", "purchase", f"c-{number}")))
    whole = replay.dry_run([parse_segment(BUYERS)], sample=EVERYBODY).of("default", "buyers")
    some = replay.dry_run([parse_segment(BUYERS)], sample=7).of("default", "buyers")
    assert some.entering == whole.entering == 50
    assert some.enter_sample == whole.enter_sample[:7]
    assert replay.dry_run([parse_segment(BUYERS)], sample=0).of("default", "buyers").enter_sample == []


def test_outcomes_of_parts_add_up_to_that_of_the_whole() -> None:
    trials = []
    for parts in (("abcdef",), ("ace", "bdf")):
        total = Outcome()
        for part in parts:
            replay = Replay(documents(CLICKERS))
            for who in part:
                for kind in ("purchase", "click")[: 1 + (who > "c")]:
                    replay.take(line_of(fact("2026-01-01", kind, who)))
            total.add(replay.dry_run([parse_segment(BUYERS)], sample=4), 4)
        trials.append(total)
    assert trials[0] == trials[1]
    assert counts(trials[0].of("default", "buyers")) == (0, 6, 0, 6)


def test_a_contact_that_the_fill_has_not_reached_is_brought_up_in_the_copy() -> None:
    replay = of_two(BUYERS)
    replay.change([], paused=[("default", "buyers")])  # somebody's change, wholly filled
    replay.change([], resumed=[("default", "buyers")])
    partition = replay.partition
    clickers = parse_segment(CLICKERS)
    partition.change_plan(compile_plan([(parse_segment(BUYERS), 3), (clickers, 1)]))
    stricter = parse_segment(BUYERS.replace("P30D", "P10D"))
    candidate = compile_plan([(stricter, 4), (clickers, 1)])
    trial = DryRun(
        partition.plan, candidate, [stricter.key], replay.contacts, clock=partition.clock, dedup=DEDUP,
        journal_retention=JOURNAL_RETENTION, filled=partition.filled, changed_at=partition.changed_at,
    )  # fmt: skip
    for key, contact in replay.contacts.contacts.items():
        trial.look(key, copied(contact))
    # `early` enters clickers by the fill that is under way, not by this change.
    assert counts(trial.outcome.of("default", "clickers")) == (1, 0, 0, 1)
    assert counts(trial.outcome.of("default", "buyers")) == (2, 0, 1, 1)


def test_what_is_due_has_happened_before_the_change() -> None:
    replay = of_two(BUYERS)
    clock = parse_instant("2026-02-10")  # `early` is due to leave, and its turn has not come
    plan = replay.partition.plan
    candidate = compile_plan([(parse_segment(BUYERS + "\nexclude: [early, late]"), 2)])
    trial = DryRun(
        plan, candidate, [("default", "buyers")], replay.contacts, clock=clock, dedup=DEDUP,
        journal_retention=JOURNAL_RETENTION,
    )  # fmt: skip
    for key, contact in replay.contacts.contacts.items():
        trial.look(key, copied(contact))
    assert counts(trial.outcome.of("default", "buyers")) == (1, 0, 1, 0)


def test_for_whom_the_journal_no_longer_holds_facts_is_counted() -> None:
    replay = Replay(documents(CLICKERS), journal_retention=30 * DAY)
    replay.take(line_of(fact("2026-01-01", "purchase", "old")))
    replay.take(line_of(fact("2026-03-01", "click", "old")))
    replay.take(line_of(fact("2026-03-01", "click", "new")))
    asked = [parse_segment("segment: ever\nwhen: {did: {event: purchase}}")]
    outcome = replay.dry_run(asked)
    assert (outcome.lacking, outcome.of("default", "ever").lacking) == (1, 1)
    assert replay.dry_run([parse_segment(CLICKERS + "\nexclude: [new]")]).lacking == 0


def test_what_cannot_be_done_is_refused_as_the_change_is() -> None:
    replay = of_two(BUYERS)
    state = frozen(replay)
    with pytest.raises(KeyError):
        replay.dry_run([], [("default", "nobody")])
    with pytest.raises(KeyError):
        replay.dry_run([parse_segment(CLICKERS)], paused=[("default", "nobody")])
    assert frozen(replay) == state
    assert replay.change([], [("default", "buyers")])
