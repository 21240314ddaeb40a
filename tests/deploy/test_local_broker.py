"""The local broker: it answers, keeps what it has over a restart, and never outlives its program."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import topics
from deploy.local_broker import BrokerError, LocalBroker
from deploy.local_broker.broker import cluster_id
from deploy.local_broker.kafka import properties

HOLDER = """
import sys, threading
from deploy.local_broker import LocalBroker
with LocalBroker(say=lambda line: None) as broker:
    print(broker.pid, broker._keeper.pid, broker.folder, flush=True)
    threading.Event().wait()
"""


def gone(pid: int, within_s: float = 20) -> bool:
    """Whether the process ends in time; True at once if there is none."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)


def test_the_configuration_is_one_node_on_the_loopback(tmp_path: Path) -> None:
    lines = properties(
        tmp_path, 9092, 9093, {"log.retention.ms": "5", "auto.create.topics.enable": "true"}
    ).splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert settings["transaction.state.log.min.isr"] == "1"
    assert settings["log.retention.ms"] == "5"
    assert settings["auto.create.topics.enable"] == "true"


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    first = uuid.UUID(bytes=b"\xfb" + bytes(15))  # a leading hyphen in base64, as one in 64 has
    assert cluster_id(first) == "A" + "w" + "A" * 20
    assert len(cluster_id(uuid.UUID(int=0))) == 22


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BrokerError, match=r"pip install 'segment-engine\[local\]'"):
        LocalBroker(tmp_path).start()


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"Port {port} on 127.0.0.1 is taken"):
            LocalBroker(tmp_path, port=port).start()


@pytest.mark.kafka
async def test_it_keeps_what_it_was_given_over_a_restart_on_the_same_port(tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "kafka") as broker:
        where = broker.brokers
        await topics.create(where, [topics.TRANSITIONS], partitions=1)
        async with AIOKafkaProducer(bootstrap_servers=where) as producer:
            await producer.send_and_wait("segments.transitions", b"kept")
        broker.restart()
        assert broker.brokers == where
        async with AIOKafkaConsumer(
            "segments.transitions", bootstrap_servers=where, auto_offset_reset="earliest"
        ) as consumer:
            assert (await consumer.getone()).value == b"kept"
        pid = broker.pid
    assert not broker.running
    assert gone(pid, 0)
    assert (tmp_path / "kafka" / "logs").is_dir()


@pytest.mark.kafka
def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"could not format [^$]*log\.segment\.bytes"):
        LocalBroker(tmp_path / "new", more={"log.segment.bytes": "-5"}).start()
    broker = LocalBroker(tmp_path / "used")
    broker.start()
    broker.stop()
    spoilt = LocalBroker(tmp_path / "used", more={"node.id": "2"})
    with pytest.raises(BrokerError, match="ended while starting"):
        spoilt.start()
    assert not spoilt.running


@pytest.mark.kafka
@pytest.mark.parametrize("victim", ["holder", "keeper"])
def test_nothing_is_left_running_after_a_kill(victim: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        java, keeper, folder = holder.stdout.readline().split()
        os.kill(holder.pid if victim == "holder" else int(keeper), signal.SIGKILL)
        assert gone(int(java))
        assert gone(int(keeper))
        holder.kill()
    for file in sorted(Path(folder).rglob("*"), reverse=True):  # a killed holder cannot clear its folder
        file.rmdir() if file.is_dir() else file.unlink()
    Path(folder).rmdir()
