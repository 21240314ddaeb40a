"""The life of fifty definitions on a real Kafka, with two workers, traffic all the while, and kill -9 in fills.

What is published is held against a recount that goes through the same life: see `life`. The size here fits into CI;
`pytest -m soak` plays it for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.definitions import canonical_form, read_definition
from engine.worker import definition_log
from engine.worker.definition_changes import Change
from engine.worker.definition_record import Key, Record, called
from engine.worker.settings import Settings
from tests.generate.contacts import TOPICS, Story
from tests.generate.facts import instant
from tests.integration.faults import checker, life
from tests.integration.faults.live import in_order
from tests.integration.faults.marketer import LONGEST_S, Marketer
from tests.integration.faults.scene import GRACE_S, GROUP, INPUT_TOPICS, PARTITIONS, SESSION_S, Scene
from tests.integration.harness import Worker, run_engine, wait_until
from tests.integration.harness_kafka import read_topic, read_topics, send_all, wait_consumed

pytestmark = pytest.mark.kafka

SEED = int(os.environ.get("SEED", "5051"))
CROWD_PINNED = 60
"""Of those who are known from the beginning, those who may be pinned, and whose transitions are compared one by one."""
NAMES = ("w1", "w2")
FILL_WITHIN = 2.0  # seconds until a fill is seen after a change
PULSE = 0.005  # seconds between two looks at a fill: it does not take long
CHANGES_FOR_A_KILL = 5
"""At most: some of them need no fill, and some fills are over before they are seen."""
SETTLED_WITHIN = 60.0  # seconds
RECOUNTED_WITHIN = 1_800.0  # seconds, of the long run
LEFT_PAUSED = 3


def crowd(number: int) -> str:
    """Somebody who is known before the first change and sends nothing afterwards."""
    return f"b-{number}"


def follows(who: tuple[str, str]) -> bool:
    """Whether this contact sends in order, and its transitions are compared one by one."""
    return in_order(who) or (who[1].startswith("b-") and int(who[1][2:]) < CROWD_PINNED)


def asked(who: tuple[str, str]) -> bool:
    """Whether this contact's memberships at the end are recounted: of the crowd one in four."""
    return not who[1].startswith("b-") or int(who[1][2:]) % 4 == 0 or follows(who)


class Stage(Scene):
    """A scene with somebody who changes its definitions, and a crowd for fills to take some time."""

    def __init__(self, folder: Path, *, seed: int, rate: float, crowd_size: int) -> None:
        pinned = [crowd(number) for number in range(CROWD_PINNED)]
        excluded = [*pinned, *(f"o-{epoch}-{number}" for epoch in (1, 2) for number in range(20))]
        self.marketer = Marketer(seed, Settings(), pinned, excluded)
        self._crowd = crowd_size
        segments = folder / "first"
        segments.mkdir()
        for document in self.marketer.first():
            name = document.get("segment") or document["model"]
            (segments / f"{name}.json").write_bytes(orjson.dumps(document))
        super().__init__(
            folder, seed=seed, rate=rate, segments=segments, more={"SEGMENT_TOPICS": "off", "FILL_SHARE": "4"}
        )
        self.kills: list[int] = []
        """When a worker was killed, ms."""

    @property
    def settings(self) -> Settings:
        """Those by which definitions are read and changed."""
        return Settings(brokers=self.broker.brokers, group=GROUP, partitions=PARTITIONS, segment_topics=False)

    def fill_the_hall(self) -> None:
        """The crowd sends some facts each, each contact through one topic."""
        rng, names, lines = random.Random(1), list(TOPICS), []
        for number in range(self._crowd):
            story = Story(rng, crowd(number))
            topic = names[number % len(names)]
            for turn in range(3 if number < CROWD_PINNED else 1):
                kind, properties = story.next()
                fact = {"id": f"{crowd(number)}-{turn}", "type": kind, "contact": crowd(number)}
                lines.append((turn, topic, number, {**fact, "properties": properties}))

        def stamped() -> Iterator[tuple[str, bytes, bytes]]:
            last = dict[int, int]()
            for _, topic, number, fact in sorted(lines, key=lambda line: line[0]):
                last[number] = max(int(time.time() * 1000), last.get(number, 0) + 1)
                yield topic, crowd(number).encode(), orjson.dumps({**fact, "at": instant(last[number])})

        send_all(self.broker.brokers, stamped())

    def known(self) -> dict[Key, Record]:
        """All definitions as they are now."""
        return asyncio.run(definition_log.read_records(self.settings))

    def change(self) -> None:
        """The next change: sometimes by the command, where it is of one kind."""
        asked = self.marketer.next(self.known())
        words = {"pause": asked.pause, "resume": asked.resume, "delete": asked.delete}
        said = [(word, keys) for word, keys in words.items() if keys]
        if not asked.apply and len(said) == 1 and self.rng.random() < 0.5:
            (word, keys) = said[0]
            run_engine(["segments", word, *map(called, keys)], self.env("setup", self.broker.brokers))
        else:
            asyncio.run(definition_log.change(self.settings, asked, make_topics=False))

    def kill_in_a_fill(self) -> None:
        """Kills a worker with -9 when it has filled a partition in part, after a change that there is something to fill
        for; it is started again at once, or when the other has taken over."""
        name, other = self.rng.sample(NAMES, 2)
        victim = self.revive(name)
        victim.wait_ready()
        for _ in range(CHANGES_FOR_A_KILL):
            self.change()
            if self._fills(victim):
                break
        self.kills.append(int(time.time() * 1000))
        victim.kill()
        if self.rng.random() < 0.5:
            self.goes_on(self.revive(other), SESSION_S, SESSION_S + 1)
        self.start(name)

    def _fills(self, worker: Worker) -> bool:
        """Waits a moment for one of the worker's partitions to be filled in part; whether that was seen."""
        until = time.monotonic() + FILL_WITHIN
        while time.monotonic() < until:
            rows = ask(worker, "/fill", own=True).get("partitions", [])
            if any(row.get("rate") is not None and 0 < row["filled"] < row["contacts"] for row in rows):
                return True
            assert not worker.ended_within(PULSE), worker.last_lines()
        return False

    def close(self) -> int:
        """Everything is resumed but a few on which nothing rests; the stream ends and time goes on until nothing falls
        due any more; then what was published is judged. Until when (ms) it was."""
        resumed, left = self.marketer.to_resume(self.known(), LEFT_PAUSED)
        if resumed:
            asked = Change(resume=resumed)
            asyncio.run(definition_log.change(self.settings, asked, make_topics=False))
        until = self.live.stop() + (2 * LONGEST_S + 2) * 1000
        workers = [self.revive(name) for name in NAMES]
        for worker in workers:
            worker.wait_ready()
        wait_consumed(self.broker.brokers, GROUP, INPUT_TOPICS, SETTLED_WITHIN, workers[0])
        end = asyncio.run(definition_log.read_to(self.settings))
        wait_until(lambda: self._filled(workers[0], end), SETTLED_WITHIN, "the last fill", alive=workers[0])
        records = {key: each for key, each in self.known().items() if each.in_force}
        found = [canonical_form(read_definition(each.definition, each.segment)) for each in records.values()]
        segments = [each for each in found if "segment" in each]
        models = [each for each in found if "segment" not in each]
        truth = checker.Truth(segments, until=until, grace=GRACE_S * 1000, partitions=PARTITIONS, models=models)
        assert {key for key, each in records.items() if each.state == "paused"} == set(left)
        self._judge(workers, truth, left)
        return until

    def _filled(self, worker: Worker, end: int) -> bool:
        rows = ask(worker, "/fill").get("partitions", [])
        return bool(rows) and all(row["running"] and not row["filling"] and row["read_to"] >= end for row in rows)

    def recount(self, until: int) -> None:
        """The command that users have for it finds no difference either."""
        words = ["recount", "--from-topics", "--until", instant(until), "-o", "jsonl"]
        found = run_engine(words, self.env("setup", self.broker.brokers), within=RECOUNTED_WITHIN)
        assert found == b""

    def _judge(self, workers: list[Worker], truth: checker.Truth, left: list[Key]) -> None:
        found = read_topics(self.broker.brokers, INPUT_TOPICS)
        sent = (record for records in found.values() for record in records)
        facts = [fact for fact in checker.in_arrival_order(sent) if asked(checker.who(orjson.loads(fact.value or b"")))]
        final = checker.recounted(facts, truth)  # while the last windows of seconds end
        left_s = truth.until / 1000 + GRACE_S + 1 - time.time()
        assert not workers[0].ended_within(max(0.0, left_s)), workers[0].last_lines()
        names = [each["segment"] for each in truth.segments]
        by_http = {("default", name): members(workers[0], name) for name in names}
        codes = [worker.stop() for worker in workers]
        seen = checker.read_all(self.broker.brokers, GROUP, INPUT_TOPICS)
        lived = life.life_of(seen, read_topic(self.broker.brokers, "segments.definitions"))
        followed = life.in_time(seen, truth.grace, follows)
        through = life.lived(lived, followed, until=truth.until, grace=truth.grace, partitions=truth.partitions)
        compared = followed - through.unsettled - through.late_contacts
        published = checker.members_of(seen.members)

        def known(given: Mapping[Key, set[str]]) -> dict[Key, set[str]]:
            return {key: {who for who in found if asked((key[0], who))} for key, found in given.items()}

        kinds = {
            **checker.of_topics(seen),
            "fills": life.wholly_filled(lived),
            "versions": life.versions_that_were(lived),
            "paused": life.paused_stood_still(lived),
            "causes": life.rightly_caused(lived),
            "life": life.like_lived(lived, through, compared),
            "members published": life.members_in_force(lived, final, through, compared, known(published)),
            "members over HTTP": life.members_in_force(lived, final, through, compared, known(by_http)),
        }
        lines = checker.spelled_out(kinds)
        cut = life.fills_cut(seen, self.kills)
        causes = Counter(each["cause"]["kind"] for each in lived.documents)
        epochs = [len(each) for each in lived.epochs.values()]
        summary = (
            f"{len(seen.facts)} facts, {len(lived.documents)} transitions {dict(causes)}; {len(compared)} contacts "
            f"compared one by one of {len(followed)} ({len(through.unsettled)} unsettled); "
            f"definitions taken up per partition {epochs}, {len(self.kills)} kills, {cut} fills cut off by them; left "
            f"paused {[name for _, name in left]}; changes {dict(self.marketer.done)}"
        )
        print(summary)
        assert not lines, summary + "\n" + "\n".join(lines)
        assert codes == [0, 0], "a worker did not stop cleanly on SIGTERM"
        assert cut, summary
        assert len(compared) >= CROWD_PINNED // 2, summary
        assert min(causes[kind] for kind in ("event", "clock", "definition", "backfill", "opt_out")) > 0, summary


def ask(worker: Worker, path: str, *, own: bool = False) -> dict[str, Any]:
    """What a worker answers; nothing while it does not. `own`: it is not to ask the others."""
    url = f"http://127.0.0.1:{worker.port}{path}{'?own=true' if own else ''}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
            return found
    except OSError:
        return {}


def members(worker: Worker, segment: str) -> set[str]:
    """Who is in a segment, over HTTP."""
    found, after = set[str](), ""
    while True:
        page = ask(worker, f"/segments/{segment}/members?limit=10000&after={after}")
        found |= set(page["members"])
        if page["next"] is None:
            return found
        after = page["next"]


@pytest.mark.parametrize(
    ("changes", "kills", "crowd_size"), [(18, 3, 4_000), pytest.param(400, 30, 10_000, marks=pytest.mark.soak)]
)
def test_fifty_definitions_live_while_workers_die(tmp_path: Path, changes: int, kills: int, crowd_size: int) -> None:
    """Three times or more a worker dies while contacts are being brought up to a change."""
    print(f"seed {SEED}")
    with Stage(tmp_path, seed=SEED, rate=100.0, crowd_size=crowd_size) as stage:
        stage.fill_the_hall()
        for name in NAMES:
            stage.start(name)
        for name in NAMES:
            stage.revive(name).wait_ready()
        fatal = {(number + 1) * changes // (kills + 1) for number in range(kills)}
        for number in range(changes):
            if number in fatal:
                stage.kill_in_a_fill()
            else:
                stage.change()
                stage.goes_on(stage.revive(stage.rng.choice(NAMES)), 0.0, 0.8)
        until = stage.close()
        if changes > 100:
            stage.recount(until)
