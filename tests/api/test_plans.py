"""`POST /plan` over workers with real stores: whoever is asked counts all contacts as the core does, beside everything
else, and says when it cannot."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import orjson
import pytest
import uvicorn
from jsonschema import Draft202012Validator

import schemas
from engine.api import plans
from engine.api.app import create_app
from engine.api.peers import Peers
from engine.conditions.instants import parse_instant
from engine.definitions import canonical, parse_segment
from engine.membership.dry_run import Outcome
from engine.membership.replay import Replay
from engine.state.codec import Position
from engine.worker import dry_run
from engine.worker.engine import SegmentEngine
from engine.worker.plan_record import PlanUnusable, refuse_newcomers, unsealed
from engine.worker.proposal import Asked, propose
from tests.api.planning import Desks, keep, number_of, place, segments_of, turns, until
from tests.driver import documents, fact, line_of

BUYERS = "segment: buyers\nname: Buyers\nwhen: {did: {event: purchase, within: P30D}}"
THANKS = "segment: thanks\nwhen: {in_segment: buyers}"
CLICKERS = "segment: clickers\nwhen: {did: {event: click}}"
STRICTER = parse_segment(BUYERS.replace("P30D", "P10D"))
PEOPLE = 120
OWNED = [[[0, 1, 2, 3]], [[0, 2], [1, 3]], [[0], [1], [2], [3]], [[], [0, 1, 2, 3]]]


def people() -> Replay:
    """Every second one bought, a third of these lately; every fifth one clicked."""
    replay = Replay(documents(f"{BUYERS}\n---\n{THANKS}\n---\n{CLICKERS}"))
    for number in range(PEOPLE):
        who = f"c-{number}"
        replay.take(line_of(fact("2026-01-01", "view", who)))
        if number % 5 == 0:
            replay.take(line_of(fact("2026-01-01", "click", who)))
        if number % 2 == 0:
            replay.take(line_of(fact("2026-01-22" if number % 3 == 0 else "2026-01-02", "purchase", who)))
    replay.until(parse_instant("2026-01-25"))
    return replay


@pytest.fixture
def desks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desks]:
    made = Desks(people(), tmp_path, *getattr(request, "param", [[0, 2], [1, 3]]))
    yield made
    made.close()


def counted(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return row["size_before"], row["entering"], row["leaving"], row["size"]


@pytest.mark.parametrize("desks", OWNED, indirect=True)
async def test_any_worker_tells_what_the_core_would_publish(desks: Desks) -> None:
    expected = desks.replay.dry_run([STRICTER], sample=5)
    for worker in range(len(desks.workers)):
        plan = await desks.plan(STRICTER, worker=worker, sample=5)
        rows = segments_of(plan)
        assert list(rows) == ["buyers", "thanks"]
        for name, row in rows.items():
            tally = expected.of("default", name)
            assert counted(row) == (tally.now, tally.entering, tally.leaving, tally.then) == (60, 0, 40, 20)
            assert [each["contact"] for each in row["leave_sample"]] == [contact for _, contact in tally.leave_sample]
            assert row["causes"] == {"definition": 40}
        assert (plan["contacts"], plan["moving"]) == (PEOPLE, 40)
        assert [each["partition"] for each in plan["partitions"]] == [0, 1, 2, 3]
        assert {each["as_of"] for each in plan["partitions"]} == {"2026-01-25T00:00:00.000Z"}
    assert all(len(store._readings) == 0 for store in desks.stores)


async def test_r55_size_sample_with_reasons_and_overlap(desks: Desks) -> None:
    plan = await desks.plan(parse_segment("segment: both\nwhen: {all: [{did: {event: click}}, {in_segment: buyers}]}"))
    (row,) = plan["segments"]
    assert (row["change"], row["version_before"], row["version"]) == ("created", None, 1)
    assert counted(row) == (0, 12, 0, 12)
    assert row["causes"] == {"backfill": 12}
    assert [(each["segment"], each["before"], each["then"]) for each in row["overlap"]] == [
        ("buyers", 0, 12), ("clickers", 0, 12), ("thanks", 0, 12)
    ]  # fmt: skip
    assert len(row["enter_sample"]) == 10
    for each in row["enter_sample"]:
        assert int(each["contact"][2:]) % 10 == 0
        assert each["why"].startswith("the rule holds: clicked at least once (click "), each["why"]
        assert each["why"].endswith("; is in the segment buyers")


async def test_what_is_planned_meets_its_contract(desks: Desks) -> None:
    contract = Draft202012Validator(schemas.load("plan"))
    contract.validate(await desks.plan(STRICTER, delete=[place("clickers")]))
    contract.validate(
        await desks.plan(parse_segment("segment: new\nwhen: {known: {for: P1D}}"), pause=[place("buyers")])
    )
    contract.validate(await desks.plan(parse_segment(BUYERS)))


async def test_r44_an_edit_tells_what_differs_and_why_people_leave(desks: Desks) -> None:
    rows = segments_of(await desks.plan(STRICTER))
    assert rows["buyers"]["differences"] == ["when.did.within: P30D → P10D"]
    assert (rows["buyers"]["change"], rows["buyers"]["version_before"], rows["buyers"]["version"]) == ("changed", 1, 2)
    assert rows["thanks"]["change"] == "follows"
    why = rows["buyers"]["leave_sample"][0]["why"]
    assert why.startswith("the rule does not hold: not: "), why
    assert "the last 10 days" in why


@pytest.mark.parametrize(
    ("question", "change", "counts"),
    [
        ({"delete": [place("thanks")]}, {"thanks": "deleted"}, (60, 0, 60, 0)),
        ({"pause": [place("buyers")]}, {"buyers": "paused"}, (60, 0, 0, 60)),
        ({"apply": [canonical(parse_segment(BUYERS))]}, {}, None),
    ],
)
async def test_deleting_pausing_and_what_is_the_same(
    desks: Desks, question: dict[str, Any], change: dict[str, str], counts: tuple[int, int, int, int] | None
) -> None:
    _, lines = await desks.ask(question)
    rows = segments_of(lines[-1]["plan"])
    assert {name: row["change"] for name, row in rows.items()} == change
    for row in rows.values():
        assert counted(row) == counts
    if "deleted" in change.values():
        assert {each["why"] for each in rows["thanks"]["leave_sample"]} == {"the segment is deleted"}
    assert lines[-1]["plan"]["totals"]["unchanged"] == (0 if change else 1)


async def test_pruning_deletes_what_is_in_force_beside_the_folder(desks: Desks) -> None:
    plan = await desks.plan(parse_segment(BUYERS), prune=True)
    assert {name: row["change"] for name, row in segments_of(plan).items()} == {
        "clickers": "deleted", "thanks": "deleted"
    }  # fmt: skip
    assert plan["delete"] == [place("clickers"), place("thanks")]
    status, (told,) = await desks.ask({"prune": True, "delete": [place("thanks")]})
    assert (status, told["error"]) == (400, "refused")


async def test_whom_only_a_pin_would_make_known_is_counted_and_told(desks: Desks) -> None:
    plan = await desks.plan(parse_segment(f"{CLICKERS}\ninclude: [new-one, c-1]"))
    row = segments_of(plan)["clickers"]
    assert counted(row) == (24, 2, 0, 26)
    assert {each["contact"]: each["why"] for each in row["enter_sample"]} == {
        "new-one": "a segment that includes it by name makes it known",
        "c-1": "the segment includes the contact by name",
    }
    assert desks.stores[0].get(b"\x07defaultnew-one") is None


async def test_facts_that_come_meanwhile_are_no_part_of_it(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "SLICE_SECONDS", 0.0)
    asked = parse_segment("segment: new\nwhen: {did: {event: purchase}}")
    proposal = propose(desks.workers[0].known(), desks.replay.partition.plan, Asked([asked]),
                             desks.workers[0].settings)  # fmt: skip
    walk = desks.workers[0].dry_walk(proposal, 0)
    expected = Outcome()
    for number in desks.workers[0].partitions:
        for key in desks.replay.contacts.contacts:
            expected.contacts += number_of(key) == number
    for number in range(PEOPLE):
        desks.replay.take(line_of(fact("2026-01-25", "purchase", f"c-{number}", named=f"later-{number}")))
    for number in desks.workers[0].partitions:
        keys = [key for key in desks.replay.contacts.contacts if number_of(key) == number]
        keep(desks.stores[number], desks.replay, keys, Position({}, desks.replay.partition.clock))
    ticks = [0]
    ticking = asyncio.create_task(turns(ticks))
    outcome = await walk.run()
    ticking.cancel()
    walk.end()
    assert outcome.contacts == expected.contacts
    assert 0 < outcome.of("default", "new").then < outcome.contacts  # those who had bought before
    assert ticks[0] >= outcome.contacts  # others had their turn after every contact


@pytest.mark.parametrize(
    ("question", "status", "error", "said"),
    [
        (b"tea", 400, "bad_question", "no question for a plan"),
        ({"aply": []}, 400, "bad_question", "aply"),
        ({"sample": 101}, 400, "bad_sample", "0 to 100"),
        ({"delete": [place("buyers")]}, 400, "refused", "used by thanks"),
        ({"delete": [place("byers")]}, 400, "refused", "buyers"),
        ({"apply": [{"segment": "x", "when": {"did": {"evnt": "a"}}}]}, 400, "bad_definitions", "event"),
        ({"apply": [{"segment": "x", "when": {"in_segment": "nobody"}}]}, 400, "bad_definitions", "nobody"),
    ],
)
async def test_what_apply_would_refuse_is_refused(
    desks: Desks, question: Any, status: int, error: str, said: str
) -> None:
    found, (told,) = await desks.ask(question)
    assert (found, told["error"]) == (status, error)
    assert said in told["detail"]
    assert (await desks.ask({}))[0] == 200  # and the next one is answered


async def test_a_question_that_is_too_large_is_refused(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "BODY_BYTES_MAX", 100)
    status, (told,) = await desks.ask({"apply": [canonical(STRICTER)]})
    assert (status, told["error"]) == (413, "too_large")


async def test_one_dry_run_at_a_time(desks: Desks) -> None:
    question = {"apply": [canonical(STRICTER)]}
    answers = await asyncio.gather(*(desks.ask(question) for _ in range(3)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [200, 429, 429]
    busy = next(lines for status, lines in answers if status == 429)
    assert busy[0]["error"] == "busy"
    assert (await desks.ask(question))[0] == 200


async def test_workers_with_different_definitions_make_no_plan(desks: Desks) -> None:
    other = desks.workers[1]
    other.definitions.plan = people_with(CLICKERS).partition.plan
    status, (told,) = await desks.ask({"apply": [canonical(STRICTER)]})
    assert (status, told["error"]) == (409, "definitions_moved")
    assert "http://w1" in told["detail"]


def people_with(*segments: str) -> Replay:
    return Replay(documents("\n---\n".join(segments)))


async def test_definitions_that_are_not_in_force_are_told(desks: Desks) -> None:
    desks.workers[0].definitions.problem = "the newest definitions are not in force: x"
    status, (told,) = await desks.ask({})
    assert (status, told["error"]) == (503, "definitions_unusable")


async def test_a_partition_that_leaves_meanwhile_ends_it_with_an_error(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "SLICE_SECONDS", 0.0)

    async def leave() -> None:
        await until(lambda: any(walk.looked > 5 for walk in desks.workers[1].walks))
        desks.stores[1].close()

    leaving = asyncio.create_task(leave())
    _, lines = await desks.ask({"apply": [canonical(STRICTER)]})
    await leaving
    assert lines[-1]["error"] == "moved"
    assert "leaving this worker" in lines[-1]["detail"]


async def test_an_owner_that_is_not_there_is_named(desks: Desks) -> None:
    del desks.wires.apps["w1"]
    status, (told,) = await desks.ask({"apply": [canonical(STRICTER)]})
    assert (status, told["error"], told["partitions"]) == (503, "owner_unavailable", [1, 3])


async def test_who_leaves_ends_the_work(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    desks_all = desks.workers[0]
    desks_all.partitions = [0, 1, 2, 3]
    monkeypatch.setattr(dry_run, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(plans, "PROGRESS_SECONDS", 0.01)
    monkeypatch.setattr(desks_all.turns, "wait", lambda: 0.05)  # six seconds for all
    engine = cast(SegmentEngine, desks_all)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(engine, Peers(engine)), log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/plan"
    question = orjson.dumps({"apply": [canonical(STRICTER)]})
    async with httpx.AsyncClient(trust_env=False) as client:
        async with client.stream("POST", url, content=question) as answer:
            assert answer.status_code == 200
            first = await anext(answer.aiter_lines())
            assert orjson.loads(first).keys() == {"looked", "contacts"}
        await until(lambda: len(desks.stores[0]._readings) == 0)
        assert desks_all.walks[0].looked < PEOPLE
        assert (await client.post(url, content=b"{}")).status_code == 200  # nothing is under way any more
    server.should_exit = True
    await serving


async def test_a_kept_plan_holds_what_was_looked_at_and_nothing_else(desks: Desks) -> None:
    grouped = parse_segment(f"{CLICKERS}\ngroup: {{name: g, priority: 1}}")
    plan = await desks.plan(parse_segment(THANKS + "\nexclude: [c-0]"), grouped)
    kept = unsealed(orjson.dumps(plan), "plan.json")
    assert [each.key[1] for each in kept.change.apply] == ["thanks", "clickers"]
    assert kept.change.expected == {("default", name): 1 for name in ("buyers", "clickers", "thanks")}
    refuse_newcomers(kept, kept.change.expected, "plan.json")
    with pytest.raises(PlanUnusable, match="build on rival now"):
        refuse_newcomers(kept, {**kept.change.expected, ("default", "rival"): 1}, "plan.json")
    for name, value in (("apply", []), ("expected", []), ("segments", []), ("made_at", "")):
        with pytest.raises(PlanUnusable, match="changed after it was made"):
            unsealed(orjson.dumps({**plan, name: value}), "plan.json")
    for text, said in (
        (b"tea", "not JSON"),
        (b"[]", "no plan"),
        (orjson.dumps({**plan, "format": "segment-engine-plan/9"}), "segment-engine-plan/9"),
    ):
        with pytest.raises(PlanUnusable, match=said):
            unsealed(text, "plan.json")


async def test_a_member_of_the_group_that_is_changed_is_what_a_plan_builds_on(desks: Desks) -> None:
    replay = people_with(f"{CLICKERS}\ngroup: {{name: g, priority: 1}}", f"{BUYERS}\ngroup: {{name: g, priority: 2}}")
    known = desks.workers[0].known
    desks.workers[0].replay = replay
    asked = Asked([parse_segment(f"{CLICKERS}\ngroup: {{name: g, priority: 3}}")])
    proposal = propose(known(), replay.partition.plan, asked, desks.workers[0].settings)
    assert dict(proposal.expected) == {("default", "buyers"): 1, ("default", "clickers"): 1}
    assert msgspec.to_builtins(Outcome()) == {"contacts": 0, "moving": 0, "lacking": 0, "segments": {}}
