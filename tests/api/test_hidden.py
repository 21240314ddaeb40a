"""Segments hidden from an agent (R50): it meets them nowhere, and cannot tell them from those that never were."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from engine.definitions.reading import parse_definitions
from engine.membership.explanation import Explanation
from engine.membership.replay import Replay
from tests.api.test_app import Group
from tests.driver import fact, line_of

SEGMENTS = """
segment: buyers
when: {did: {event: purchase}}
---
segment: secret-vip
hidden_from: [agent-7, агент]
group: {name: ladder, priority: 2}
when: {did: {event: purchase}}
---
segment: common
group: {name: ladder, priority: 1}
when: {did: {event: purchase}}
---
segment: letter
when: {all: [{in_segment: secret-vip}, {not: {in_segment: secret-vip-2}}, {in_segment: buyers}]}
---
segment: secret-vip-2
hidden_from: [agent-8]
when: {did: {event: never}}
"""
FOUND = parse_definitions(SEGMENTS, "given").segments
NESTS = "is in the segment"
MEMBERSHIP = {"name": "", "version": 1, "since": "2026-01-01T10:00:00.000Z", "sequence": 1}


class Hiding(Group):
    """A group with hidden segments, where c-1 bought something."""

    def __init__(self) -> None:
        super().__init__([0, 2], [1, 3])
        for worker in self.workers:
            worker.definitions = SimpleNamespace(
                segments=lambda: [(each, 1) for each in FOUND], state=lambda *_: "active"
            )
            worker.explanation = self._explain  # type: ignore[method-assign]
        self.know("c-1")
        for worker in self.workers:
            for known in worker.contacts.values():
                known |= {
                    "workspace": "default",
                    "segments": [
                        {
                            **MEMBERSHIP,
                            "segment": "letter",
                            "why": "is in the segment secret-vip; is in the segment buyers",
                        },
                        {**MEMBERSHIP, "segment": "secret-vip", "why": None},
                    ],
                    "changes": [{"segment": "secret-vip", "change": "exit"}, {"segment": "buyers", "change": "exit"}],
                }

    async def _explain(
        self, workspace: str, contact: str, segment: str, at: int | None = None, nested: int = 1
    ) -> Explanation:
        replay = Replay(FOUND)
        replay.take(line_of(fact("2026-01-01T10:00Z", "purchase", "c-1", named="p-1")))
        return replay.explain(contact, segment, workspace, at, nested)


async def test_r50_a_hidden_agents_list_omits_it() -> None:
    group = Hiding()
    for agent, hidden in (("agent-7", {"secret-vip"}), ("agent-8", {"secret-vip-2"}), ("agent-9", set[str]())):
        _, listed = await group.get("/segments", agent=agent)
        assert {each["segment"] for each in listed["segments"]} == {each.segment for each in FOUND} - hidden
    client = httpx.AsyncClient(transport=group.wires)
    for asked in ({"params": {"agent": "агент"}}, {"headers": {"X-Segment-Agent": "агент".encode()}}):
        text = (await client.get("http://w0/segments", **asked)).text
        assert '"buyers"' in text
        assert '"secret-vip"' not in text


async def test_a_segment_that_nests_a_hidden_one_does_not_name_it() -> None:
    group = Hiding()
    _, letter = await group.get("/segments/letter", agent="agent-7")
    assert (
        letter["conditions"]
        == ("all of: is in a hidden segment; not (is in the segment secret-vip-2); is in the segment buyers")
        or "is in a hidden segment" in letter["conditions"]
    )
    assert '"secret-vip"' not in str(letter).replace("'", '"')
    assert letter["definition"]["when"]["all"][0] == {"in_segment": "(hidden)"}
    assert letter["definition"]["when"]["all"][2] == {"in_segment": "buyers"}
    _, letter = await group.get("/segments/letter")
    assert letter["definition"]["when"]["all"][0] == {"in_segment": "secret-vip"}


PATHS = (
    "/segments/{}",
    "/segments/{}/members",
    "/segments/{}/members/snapshot",
    "/segments/{}/explanation?contact=c-1",
    "/contacts/c-1/segments/{}/explanation",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("own", ["", "true"])
async def test_a_hidden_segment_answers_as_one_that_never_was(path: str, own: str) -> None:
    group = Hiding()
    for worker in (0, 1):
        sep = "&" if "?" in path else "?"
        asked = [path.format(name) + f"{sep}agent=agent-7&own={own}" for name in ("secret-vip", "secret-vix")]
        hidden, never = [await group.get(each, worker) for each in asked]
        assert hidden[0] == never[0] == 404
        assert hidden[1] | {"detail": ""} == never[1] | {"detail": ""}
        assert hidden[1]["detail"].replace("secret-vip'", "secret-vix'") == never[1]["detail"]
        # Nor does a hint for something like it give it away.
        assert "secret-vip?" not in never[1]["detail"]
        assert "secret-vip," not in never[1]["detail"]


async def test_an_explanation_leaves_out_what_is_hidden() -> None:
    group = Hiding()
    _, seen = await group.get("/segments/letter/explanation", contact="c-1")
    assert seen["rule"]["children"][0]["nested"]["segment"] == "secret-vip"
    _, told = await group.get("/segments/letter/explanation", contact="c-1", agent="agent-7")
    first, _, third = told["rule"]["children"]
    assert (first["words"], first["nested"]) == ("is in a hidden segment", None)
    assert third["nested"]["segment"] == "buyers"
    assert {key: told[key] for key in ("member", "since", "next")} == {
        key: seen[key] for key in ("member", "since", "next")
    }
    client = httpx.AsyncClient(transport=group.wires)
    for segment in ("letter", "common"):
        for form in ("text", "json"):
            path = f"http://w0/segments/{segment}/explanation"
            answer = await client.get(path, params={"contact": "c-1", "agent": "agent-7", "format": form})
            assert answer.status_code == 200
            assert "secret-vip" not in answer.text.replace("secret-vip-2", "")
    _, told = await group.get("/segments/common/explanation", contact="c-1", agent="agent-7")
    assert told["decided"]["words"] == "a hidden segment, of higher priority in group ladder, is in"
    assert "the contact would have to leave a hidden segment" in told["needed"]
    _, told = await group.get("/segments/common/explanation", contact="c-1", agent="agent-8")
    assert told["decided"]["segment"] == "secret-vip"


async def test_a_contact_is_shown_without_its_hidden_segments() -> None:
    group = Hiding()
    for worker in (0, 1):
        _, found = await group.get("/contacts/c-1", worker, agent="agent-7")
        assert [each["segment"] for each in found["segments"]] == ["letter"]
        assert found["segments"][0]["why"] == "is in a hidden segment; is in the segment buyers"
        assert [each["segment"] for each in found["changes"]] == ["buyers"]
        _, found = await group.get("/contacts/c-1", worker)
        assert [each["segment"] for each in found["segments"]] == ["letter", "secret-vip"]


async def test_the_gateways_header_wins_over_the_parameter() -> None:
    group = Hiding()
    client = httpx.AsyncClient(transport=group.wires, headers={"X-Segment-Agent": "agent-7"})
    for path in ("/segments/secret-vip?agent=agent-9", "/segments/secret-vip/members?own=true"):
        assert (await client.get(f"http://w0{path}")).status_code == 404
    status, told = await group.get("/segments", agent="a" * 257)
    assert (status, told["error"]) == (400, "bad_agent")
