"""Faults on a real Kafka under a live, disorderly stream: nothing that a consumer can see changes but a pause.

The sizes here fit into CI; `pytest -m soak tests/integration/faults` runs each of them for many minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.faults.scene import SESSION_S, Scene
from tests.integration.harness import wait_until
from tests.integration.harness_proxy import END_TXN, TXN_OFFSET_COMMIT, KafkaProxy, Loss

pytestmark = pytest.mark.kafka
HAPPENS_WITHIN = 60.0  # seconds until a fault that was prepared has come to pass


def sizes(ci: int, soak: int) -> list[object]:
    """The number of faults: of every run, and of the long one."""
    return [ci, pytest.param(soak, marks=pytest.mark.soak)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path, seed=20_261) as made:
        yield made


def test_undisturbed(scene: Scene) -> None:
    """The stage itself: without a fault all checks hold, so what the others find is the faults' doing."""
    scene.start().wait_ready()
    scene.goes_on(scene.revive(), 8, 8)
    scene.finish()


@pytest.mark.parametrize("kills", sizes(20, 200))
def test_kill_9(scene: Scene, kills: int) -> None:
    """At random moments: at work, at a commit, while joining, while restoring."""
    worker = scene.start()
    for _ in range(kills):
        if scene.rng.random() < 0.7:
            worker.wait_ready()
        scene.goes_on(worker, 0.05, 2.0)
        worker.kill()
        worker = scene.start()
    scene.finish()


@pytest.mark.parametrize("kills", sizes(20, 200))
def test_two_workers_take_over_from_each_other(scene: Scene, kills: int) -> None:
    """Half of the time the other takes over everything before the killed one is back, else the killed one is back at
    once.
    """
    names = ("w1", "w2")
    for name in names:
        scene.start(name).wait_ready()
    for _ in range(kills):
        name, other = scene.rng.sample(names, 2)
        victim = scene.revive(name)
        if scene.rng.random() < 0.5:
            victim.wait_ready()
        scene.goes_on(victim, 0.05, 1.5)
        victim.kill()
        if scene.rng.random() < 0.5:
            scene.all_taken()
            assert scene.revive(other).running()
        scene.start(name)
    scene.finish()


@pytest.mark.parametrize("rounds", sizes(3, 30))
def test_stopped_past_its_session_and_let_go(scene: Scene, rounds: int) -> None:
    """A worker that stands still is replaced; when it moves again it must not commit what is no longer its own."""
    for name in ("w1", "w2"):
        scene.start(name).wait_ready()
    for number in range(rounds):
        name, other = ("w1", "w2") if number % 2 else ("w2", "w1")
        frozen = scene.revive(name)
        frozen.wait_ready()
        scene.goes_on(frozen, 0.0, 0.5)
        frozen.pause()
        scene.goes_on(scene.revive(other), SESSION_S + 1, SESSION_S + 2)
        scene.all_taken()
        frozen.resume()
        frozen.ended_within(scene.rng.uniform(1, 3))  # whether it joins again or ends loudly is its own affair
        scene.revive(name)
    scene.finish()


@pytest.mark.parametrize("rounds", sizes(3, 20))
def test_broker_restarted(scene: Scene, rounds: int) -> None:
    """In turn: stopped and started, killed and started.

    What was sent while the broker was away comes late, so between two faults new contacts have some seconds to
    themselves.
    """
    worker = scene.start()
    worker.wait_ready()
    for number in range(rounds):
        scene.live.renew()
        scene.goes_on(worker, 3.0, 5.0)
        scene.live.renew()
        scene.goes_on(worker, 0.5, 1.5)
        if number % 2:
            scene.broker.kill()
            scene.broker.stop()
            scene.broker.start()
        else:
            scene.broker.restart()
        worker.ended_within(scene.rng.uniform(0.5, 3))
        worker = scene.revive()
        worker.wait_ready()
        scene.all_taken()
    scene.finish()


@pytest.mark.parametrize("rounds", sizes(4, 40))
def test_local_disk_wiped(scene: Scene, rounds: int) -> None:
    """Local disk is a cache: lost with the process, or between a clean stop and the next start."""
    worker = scene.start()
    for number in range(rounds):
        worker.wait_ready()
        scene.goes_on(worker, 0.5, 3.0)
        if number % 2:
            assert worker.stop() == 0, worker.last_lines()
        else:
            worker.kill()
        scene.wipe()
        worker = scene.start()
    scene.finish()


@pytest.mark.parametrize("rounds", sizes(9, 90))
def test_a_commit_whose_answer_is_lost(scene: Scene, rounds: int) -> None:
    """The broker may have committed or not, and the worker cannot know; sometimes it dies in that very moment."""
    fates = [(END_TXN, Loss.ANSWER), (END_TXN, Loss.REQUEST), (TXN_OFFSET_COMMIT, Loss.ANSWER), (END_TXN, Loss.SILENCE)]
    with KafkaProxy(scene.broker.port) as proxy:
        worker = scene.start(brokers=proxy.address)
        for number in range(rounds):
            worker.wait_ready()
            scene.goes_on(worker, 0.2, 1.0)
            proxy.lose(*fates[number % len(fates)])
            wait_until(lambda: proxy.pending() == 0, HAPPENS_WITHIN, "the answer to be lost", alive=worker)
            if number % 3 == 2:
                worker.kill()
            else:
                worker.ended_within(scene.rng.uniform(0.5, 2))
            worker = scene.revive(brokers=proxy.address)
        assert len(proxy.lost) == rounds
        worker.wait_ready()
        scene.finish()


@pytest.mark.parametrize("rounds", sizes(5, 50))
def test_sigterm_under_load(scene: Scene, rounds: int) -> None:
    """A stop at any moment is clean: exit code 0, and nothing left open that the next one must wait for."""
    worker = scene.start()
    for _ in range(rounds):
        worker.wait_ready()
        scene.goes_on(worker, 0.05, 2.0)
        assert worker.stop() == 0, worker.last_lines()
        worker = scene.start()
    scene.finish()
