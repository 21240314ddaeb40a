"""Why, asked of a worker on a real Kafka, over HTTP and by the command line: the same as of a file of its facts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.api.service import listen, serve
from engine.conditions.instants import DAY, HOUR, format_instant
from engine.definitions import canonical, read_segment
from tests.conftest import Kafka
from tests.driver import command
from tests.worker.scene import Json, Scene, until_async

pytestmark = pytest.mark.kafka

NOON = 1_780_000_000_000
SEGMENTS: dict[str, Json] = {
    "cold": {"when": {"known": {"for": "PT1H"}}, "group": {"name": "maturity", "priority": 1}},
    "warm": {"when": {"did": {"event": "quiz_completed", "within": "P2D"}},
             "group": {"name": "maturity", "priority": 2}},
    "again": {"when": {"all": [{"did": {"event": "purchase"}}, {"quiet": {"event": "purchase", "for": "P1D"}}]}},
    "mail": {"when": {"all": [{"in_segment": "again"}, {"any": [{"in_segment": "warm"}, {"tags": {"any": "vip"}}]}]},
             "mailable": {"channel": "email"}, "exclude": ["nobody"]},
}  # fmt: skip
INSTANTS = (-1, 0, HOUR, DAY + HOUR - 1, DAY + HOUR, 2 * DAY, 3 * DAY, 30 * DAY)
"""After NOON: before the first fact, at it, on the edges of windows, and long after the last."""


@pytest.fixture
async def scene(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(kafka, tmp_path / "data", http_port=0)
    await made.prepare()
    yield made
    await made.stop()


def facts(scene: Scene, contact: str) -> list[tuple[bytes, bytes]]:
    told: list[tuple[str, int, Json]] = [
        ("contact_updated", 0, {"name": "Anna"}),
        ("quiz_completed", HOUR // 2, {}),
        ("purchase", HOUR, {"order_id": "A-1", "amount": 10}),
        ("tags_added", 2 * HOUR, {"tags": ["vip"]}),
        ("refund", 3 * HOUR, {"order_id": "A-1", "amount": 4}),
        ("opt_out", 2 * DAY + HOUR, {"channel": "email"}),
    ]
    return [scene.event(contact, kind, NOON + after, properties=more) for kind, after, more in told]


async def test_a_worker_explains_as_its_facts_do(scene: Scene, tmp_path: Path) -> None:
    for name, more in SEGMENTS.items():
        await scene.define(name, **more)
    engine = await scene.start()
    contacts = [scene.contact_in(number) for number in (0, 1)]
    # In order of their instants, as they happen: what comes late is judged late, here and there at other instants.
    taken = [each for both in zip(*(facts(scene, contact) for contact in contacts), strict=True) for each in both]
    await scene.send(*taken)
    await scene.taken(len(taken))
    (tmp_path / "events.jsonl").write_bytes(b"".join(value + b"\n" for _, value in taken))
    documents = [
        canonical(read_segment({"segment": name, "name": name, "description": name, "workspace": scene.workspace, **m}))
        for name, m in SEGMENTS.items()
    ]
    (tmp_path / "segments.yaml").write_text("\n---\n".join(map(json.dumps, documents)), encoding="utf-8")
    files = ["--segments", str(tmp_path / "segments.yaml"), "--events", str(tmp_path / "events.jsonl")]
    http = serve(engine, listen(engine.settings))
    url = engine.roster.url
    await http.start()
    try:
        decided = set()
        async with httpx.AsyncClient(trust_env=False) as client:

            async def answers() -> bool:
                return (await client.get(f"{url}/live")).status_code == 200

            await until_async(answers, "the HTTP interface answers", engine)
            for contact in contacts:
                for segment in SEGMENTS:
                    for after in INSTANTS:
                        at = format_instant(NOON + after)
                        words = ["explain", contact, segment, "-w", scene.workspace, "--at", at]
                        of_file = await run(*words, *files, "-o", "json")
                        path = f"{url}/contacts/{contact}/segments/{segment}/explanation"
                        asked = await client.get(path, params={"workspace": scene.workspace, "at": at})
                        assert asked.json() == json.loads(of_file), (segment, after)
                        decided.add((asked.json()["decided"]["by"], asked.json()["basis"]["of"]))
            words = ["explain", contacts[0], "mail", "-w", scene.workspace, "--at", format_instant(NOON + 2 * DAY)]
            assert await run(*words, "--url", url) == await run(*words, *files)
            assert await run(*words, "--url", url, "-o", "json") == await run(*words, *files, "-o", "json")
            now = (await client.get(f"{url}/segments/mail/explanation",
                                    params={"workspace": scene.workspace, "contact": contacts[0]})).json()  # fmt: skip
            assert (now["at"], now["member"]) == (format_instant(NOON + 2 * DAY + HOUR), False)
            assert now["cause"]["kind"] == "opt_out"
            near = await client.get(f"{url}/segments/mail/explanation",
                                    params={"workspace": scene.workspace, "contact": contacts[0] + "x"})  # fmt: skip
            assert (near.status_code, "Did you mean" in near.json()["detail"]) == (404, True)
        assert {("group", "journal"), ("gate", "state"), ("rule", "journal"), ("unknown", "journal")} <= decided
    finally:
        await http.stop()


async def run(*words: Any) -> str:
    """What the command says; it must end with code 0."""
    code, out, errors = await asyncio.to_thread(command, words)
    assert code == 0, errors
    return out
