"""The HTTP interface over engines that are stood in for: answers, errors, and workers that ask each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from engine.api.app import create_app
from engine.api.peers import Peers
from engine.definitions import parse_segment
from engine.membership.explanation import Explanation
from engine.membership.replay import Replay
from engine.worker.engine import NotHere, SegmentEngine
from engine.worker.metrics import Metrics
from engine.worker.query import place
from tests.driver import fact, line_of

BUYERS = parse_segment("segment: buyers\nname: Buyers\nwhen: {did: {event: purchase, within: P30D}}")
DAILY = parse_segment("segment: buyers\nwhen: {local_time: {from: '09:00', to: '10:00'}}")
PARTITIONS = 4


class Stand:
    """What the HTTP interface asks of an engine, over plain sets of contacts."""

    def __init__(self, url: str, partitions: list[int]) -> None:
        self.settings = SimpleNamespace(partitions=PARTITIONS)
        self.metrics = Metrics()
        self.definitions = SimpleNamespace(segments=lambda: [(BUYERS, 3)], state=lambda *_: "active")
        self.segment = BUYERS
        self.partitions = partitions
        self.roster = SimpleNamespace(owner_of=lambda number: self.owners.get(number))
        self.owners: dict[int, str] = {}
        self.url = url
        self.contacts: dict[tuple[str, str], dict[str, Any]] = {}
        self.problems: list[str] = []

    def know(self, contact: str) -> None:
        if place("default", contact, PARTITIONS) in self.partitions:
            self.contacts["default", contact] = {"contact": contact}

    async def explanation(
        self, workspace: str, contact: str, segment: str, at: int | None = None, nested: int = 1
    ) -> Explanation:
        number = place(workspace, contact, PARTITIONS)
        if number not in self.partitions:
            raise NotHere(number, self.owners.get(number))
        replay = Replay([self.segment])
        for known in self.contacts:
            replay.take(line_of(fact("2026-01-01T10:00Z", "purchase", known[1], named="p-1")))
        return replay.explain(contact, segment, workspace, at, nested)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return not self.problems, {"problems": self.problems}

    async def contact(self, workspace: str, contact: str, facts: int = 10, why: bool = True) -> dict[str, Any] | None:
        number = place(workspace, contact, PARTITIONS)
        if number not in self.partitions:
            raise NotHere(number, self.owners.get(number))
        return self.contacts.get((workspace, contact))

    async def members(self, workspace: str, segment: str, after: str, limit: int) -> tuple[list[str], str | None]:
        ids = sorted((c for w, c in self.contacts if w == workspace and c.encode() > after.encode()), key=str.encode)
        return ids[:limit], ids[limit - 1] if len(ids) > limit else None


class Wires(httpx.AsyncBaseTransport):
    """Carries requests to the workers' applications by host; a host that is not there does not answer."""

    def __init__(self) -> None:
        self.apps: dict[str, httpx.ASGITransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host not in self.apps:
            raise httpx.ConnectTimeout("nobody there")
        return await self.apps[request.url.host].handle_async_request(request)


class Group:
    """Workers w0, w1 … of one group, each with the partitions it runs, reaching each other without a network."""

    def __init__(self, *owned: list[int]) -> None:
        self.wires = Wires()
        self.workers = [Stand(f"http://w{number}", partitions) for number, partitions in enumerate(owned)]
        owners = {number: each.url for each in self.workers for number in each.partitions}
        for name, worker in enumerate(self.workers):
            worker.owners = owners
            engine = cast(SegmentEngine, worker)
            app = create_app(engine, Peers(engine, self.wires))
            self.wires.apps[f"w{name}"] = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=self.wires)

    def know(self, *contacts: str) -> None:
        for worker in self.workers:
            for contact in contacts:
                worker.know(contact)

    async def get(self, path: str, worker: int = 0, **params: str | int) -> tuple[int, Any]:
        answer = await self._client.get(f"http://w{worker}{path}", params=params or None)
        return answer.status_code, answer.json()


async def test_health_and_metrics() -> None:
    group = Group([0, 1, 2, 3])
    assert await group.get("/live") == (200, {"live": True})
    assert await group.get("/ready") == (200, {"ready": True, "problems": []})
    group.workers[0].problems.append("restoring")
    assert await group.get("/ready") == (503, {"ready": False, "problems": ["restoring"]})
    answer = await httpx.AsyncClient(transport=group.wires).get("http://w0/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "segment_engine_facts_total" in answer.text


async def test_any_worker_answers_for_any_contact() -> None:
    group = Group([0, 2], [1, 3])
    contacts = [f"c-{number}" for number in range(20)] + ["a/b", "a//b/", "имя ?&#", "..", ".", "%2F", "+"]
    group.know(*contacts)
    for worker in (0, 1):
        for contact in contacts:
            assert await group.get("/contacts", worker, id=contact) == (200, {"contact": contact})
    for contact in ("c-7", "a/b"):
        assert await group.get(f"/contacts/{contact}") == (200, {"contact": contact})
    status, told = await group.get("/contacts/nobody")
    assert (status, told["error"]) == (404, "unknown_contact")
    assert (await group.get("/contacts/c-7", workspace="other"))[0] == 404


@pytest.mark.parametrize("owned", [[[0, 1, 2, 3]], [[0, 2], [1, 3]], [[0], [1], [2], [3]], [[], [0, 1, 2, 3]]])
@pytest.mark.parametrize("limit", [1, 7, 29, 30, 1000])
async def test_members_are_paged_stably_and_completely(owned: list[list[int]], limit: int) -> None:
    group = Group(*owned)
    contacts = sorted([f"c-{number}" for number in range(28)] + ["яблоко", "Z/z"], key=str.encode)
    group.know(*contacts)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        status, page = await group.get("/segments/buyers/members", limit=limit, after=after)
        assert status == 200
        assert len(page["members"]) <= limit
        found += page["members"]
        after = page["next"]
    assert found == contacts


async def test_any_worker_explains_any_contact_as_the_owner_does() -> None:
    group = Group([0, 2], [1, 3])
    contacts = [f"c-{number}" for number in range(8)] + ["a/b", "имя ?&#", "..", "%2F", "+"]
    group.know(*contacts)
    for contact in contacts:
        asked = {"contact": contact, "at": "2026-01-05T00:00:00Z"}
        answers = [await group.get("/segments/buyers/explanation", worker, **asked) for worker in (0, 1)]
        assert answers[0] == answers[1]
        status, told = answers[0]
        assert (status, told["contact"], told["member"], told["at"]) == (200, contact, True, "2026-01-05T00:00:00.000Z")
        assert (told["since"], told["cause"]["event_id"]) == ("2026-01-01T10:00:00.000Z", "p-1")
        assert told["next"] == {"at": "2026-01-31T10:00:00.000Z", "exact": True}
        assert told["rule"]["facts"] == [{"id": "p-1", "type": "purchase", "at": "2026-01-01T10:00:00.000Z"}]
    for path in ("/contacts/c-7/segments/buyers/explanation", "/contacts/a/b/segments/buyers/explanation"):
        for worker in (0, 1):
            status, told = await group.get(path, worker, at="2025-12-31T23:59:59.999Z")
            assert (status, told["member"], told["decided"]["by"]) == (200, False, "unknown")


async def test_an_explanation_is_text_for_who_asks_so() -> None:
    group = Group([0, 2], [1, 3])
    group.know("c-1", "c-2", "c-3")
    client = httpx.AsyncClient(transport=group.wires)
    path = "http://w0/contacts/{}/segments/buyers/explanation"
    for contact in ("c-1", "c-2", "c-3"):
        by_parameter = await client.get(path.format(contact), params={"format": "text"})
        by_header = await client.get(path.format(contact), headers={"accept": "text/plain"})
        assert by_parameter.text == by_header.text
        assert by_header.headers["content-type"].startswith("text/plain")
        assert by_header.text.startswith(f"{contact} is in buyers (Buyers) at 2026-01-01T10:00:00.000Z.\n")
        both = await client.get(path.format(contact), headers={"accept": "application/json, text/plain, */*"})
        assert both.json()["contact"] == contact


async def test_an_owner_that_does_not_explain_is_named() -> None:
    group = Group([0, 1], [2, 3])
    contact = next(c for c in map(str, range(99)) if place("default", c, PARTITIONS) == 3)
    group.workers[1].partitions = []  # it gave them up, and nobody knows yet
    status, told = await group.get("/segments/buyers/explanation", contact=contact)
    assert (status, told["partitions"]) == (503, [3])
    del group.wires.apps["w1"]
    status, told = await group.get("/segments/buyers/explanation", contact=contact)
    assert "http://w1 does not answer" in told["detail"]


async def test_what_cannot_be_explained_is_told_by_any_worker_with_what_is_like_it() -> None:
    group = Group([0, 2], [1, 3])
    group.know(*(f"c-{number}" for number in range(20)))
    for contact in ("c-999", "c-998", "c-997", "c-996"):
        status, told = await group.get("/segments/buyers/explanation", contact=contact)
        assert (status, told["error"]) == (404, "unknown_contact")
        assert f"No fact names the contact '{contact}'" in told["detail"]
        assert "Did you mean c-" in told["detail"]
    for contact in ("c-1", "c-2", "c-3", "c-4"):
        status, told = await group.get("/segments/byers/explanation", contact=contact)
        assert (status, told["error"]) == (404, "unknown_segment")
        assert "Did you mean buyers?" in told["detail"]


async def test_an_instant_too_far_ahead_is_refused_by_any_worker() -> None:
    group = Group([0, 2], [1, 3])
    for worker in group.workers:
        worker.segment = DAILY
    group.know("c-1", "c-2", "c-3")
    for contact in ("c-1", "c-2", "c-3"):
        status, told = await group.get("/segments/buyers/explanation", contact=contact, at="9000-01-01")
        assert (status, told["error"]) == (400, "too_far_ahead")


async def test_a_partition_without_an_owner_is_named() -> None:
    group = Group([0, 1], [3])
    status, told = await group.get("/segments/buyers/members")
    assert (status, told["error"], told["partitions"]) == (503, "owner_unavailable", [2])
    assert "partition 2: no worker is known to run it" in told["detail"]


async def test_an_owner_that_does_not_answer_is_named() -> None:
    group = Group([0, 1], [2, 3])
    contact = next(c for c in map(str, range(99)) if place("default", c, PARTITIONS) == 3)
    del group.wires.apps["w1"]
    for path in ("/segments/buyers/members", f"/contacts/{contact}"):
        status, told = await group.get(path)
        assert status == 503
        assert 3 in told["partitions"]
        assert "http://w1 does not answer" in told["detail"]


async def test_a_question_that_was_passed_on_goes_no_further() -> None:
    group = Group([0, 1], [2, 3])
    group.workers[1].partitions = []  # it gave them up, and nobody knows yet
    contact = next(c for c in map(str, range(99)) if place("default", c, PARTITIONS) == 3)
    status, told = await group.get(f"/contacts/{contact}")
    assert (status, told["partitions"]) == (503, [3])
    status, told = await group.get("/segments/buyers/members")
    assert (status, told["partitions"]) == (503, [2, 3])


async def test_segments_are_listed_and_shown_in_plain_words() -> None:
    group = Group([0, 1, 2, 3])
    _, listed = await group.get("/segments")
    row = listed["segments"][0]
    assert (row["segment"], row["name"], row["version"]) == ("buyers", "Buyers", 3)
    assert row["conditions"] == "bought something in the last 30 days"
    assert await group.get("/segments", workspace="other") == (200, {"segments": []})
    _, shown = await group.get("/segments/buyers")
    assert shown["definition"]["when"]["did"]["within"] == "P30D"


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/nowhere", 404, "unknown_path"),
        ("/segments/nobody", 404, "unknown_segment"),
        ("/segments/nobody/members", 404, "unknown_segment"),
        ("/segments/buyers/members?workspace=x", 404, "unknown_segment"),
        ("/segments/buyers/members?limit=0", 400, "bad_limit"),
        ("/segments/buyers/members?limit=10001", 400, "bad_limit"),
        ("/segments/buyers/members?limit=ten", 400, "bad_limit"),
        ("/contacts", 400, "no_contact"),
        ("/contacts/", 400, "no_contact"),
        ("/segments/buyers/explanation", 400, "no_contact"),
        ("/segments/buyers/explanation?contact=c&at=tomorrow", 400, "bad_at"),
        ("/segments/buyers/explanation?contact=c&nested=6", 400, "bad_nested"),
        ("/segments/buyers/explanation?contact=c&format=pdf", 400, "bad_format"),
        ("/segments/buyers/explanation?contact=c", 404, "unknown_contact"),
    ],
)
async def test_every_error_is_json(path: str, status: int, error: str) -> None:
    found, told = await Group([0, 1, 2, 3]).get(path)
    assert (found, told["error"]) == (status, error)
    assert told["detail"]


async def test_a_method_that_changes_is_refused_and_a_fault_is_not_shown() -> None:
    group = Group([0, 1, 2, 3])
    client = httpx.AsyncClient(transport=group.wires)
    answer = await client.post("http://w0/segments")
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")

    def broken() -> tuple[bool, dict[str, Any]]:
        raise ZeroDivisionError("secret")

    group.workers[0].ready = broken  # type: ignore[method-assign]
    answer = await client.get("http://w0/ready")
    assert (answer.status_code, answer.json()["error"]) == (500, "engine_error")
    assert "secret" not in answer.text
