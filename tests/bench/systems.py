"""The systems that run job J10: how each is built and started, and its transitions as comparable rows.

Kafka Streams is built by mvn from `tests/bench/kstreams` and needs a JDK 17 or later; the engine is the installed
`segment-engine`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import orjson

from tests.bench.j10_oracle import Row, instant
from tests.integration.harness import Program, engine_command, free_ports, run_engine
from tests.integration.harness_kafka import create_topics, records

HERE = Path(__file__).parent
INPUT, PARTITIONS = "bench.events", 4
PEER_OUTPUT = "bench.transitions"
ENGINE_OUTPUT = "segments.transitions"
JVM = ("-Xms1g", "-Xmx1g", "-XX:+UseSerialGC")  # the heap of the tuned peer: more does not make it faster


class Unavailable(Exception):
    """A system cannot run here; the text says what is missing."""


def build_peer(home: Path) -> Path:
    """Builds the Kafka Streams program (a no-op when its sources have not changed) and returns the folder with its
    jar and `lib`.

    Raises Unavailable without java, mvn, or a way to fetch the dependencies.
    """
    missing = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"Kafka Streams needs a JDK 17 or later and Maven; not found: {', '.join(missing)}")
    target = home / "kstreams"
    jar = target / "j10-1.jar"
    sources = [
        path
        for path in (HERE / "kstreams").rglob("*")
        if path.suffix in (".java", ".xml") and "target" not in path.parts
    ]
    if jar.exists() and all(path.stat().st_mtime <= jar.stat().st_mtime for path in sources):
        return target
    words = ["mvn", "-q", "-B", "-f", str(HERE / "kstreams" / "pom.xml"), f"-Dbuild.dir={target}", "package"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Unavailable(f"Kafka Streams could not be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return target


def start_peer(home: Path, brokers: str, run: str, state: Path) -> Program:
    """Starts the Kafka Streams program as consumer group `run`; makes its output topic."""
    target = build_peer(home)
    create_topics(brokers, [PEER_OUTPUT], PARTITIONS)
    words = [
        "java",
        *JVM,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{target / 'j10-1.jar'}:{target / 'lib'}/*",
        "bench.App",
        f"--app-id={run}",
        f"--state-dir={state}",
        f"--bootstrap={brokers}",
        f"--in={INPUT}",
        f"--out={PEER_OUTPUT}",
    ]
    return Program(words, log=home / "logs" / f"{run}.log")


def engine_env(brokers: str, group: str, state: Path) -> dict[str, str]:
    """The engine as the job asks: journal on, per-segment and members topics off (the peer has none), the clock from
    events alone.
    """
    prefix = "SEGMENT_ENGINE_"
    return {
        f"{prefix}BROKERS": brokers,
        f"{prefix}GROUP": group,
        f"{prefix}DATA_DIR": str(state),
        f"{prefix}INPUT_TOPICS": INPUT,
        f"{prefix}PARTITIONS": str(PARTITIONS),
        f"{prefix}HTTP_PORT": str(free_ports(1)[0]),
        f"{prefix}CLOCK": "events",
        f"{prefix}GRACE": "PT0S",
        f"{prefix}SEGMENT_TOPICS": "off",
        f"{prefix}MEMBERS_TOPIC": "off",
    }


def prepare_engine(env: dict[str, str]) -> None:
    """Makes the engine's topics and applies the job's ten segments."""
    run_engine(["topics", "create"], env)
    run_engine(["segments", "apply", str(HERE / "segments")], env)


def start_engine(env: dict[str, str], log: Path, wrapper: tuple[str, ...] = ()) -> Program:
    """Starts the worker; `wrapper` are words for Python in front of it (a profiler)."""
    command = [sys.executable, *wrapper, "-m", "engine.cli.main"] if wrapper else engine_command()
    return Program([*command, "worker"], log=log, env={**env, "PYTHONUNBUFFERED": "1"})


def peer_rows(brokers: str) -> list[Row]:
    """The peer's committed transitions, sorted."""
    found = (orjson.loads(record.value or b"") for record in records(brokers, [PEER_OUTPUT]))
    return sorted((each["segment"], each["contact"], each["change"], each["at"]) for each in found)


def engine_rows(brokers: str) -> list[Row]:
    """The engine's committed transitions as the job counts them, sorted.

    Left out: clock transitions at or after the last event of their partition (the job stops there, the engine need
    not), and pairs of an enter and an exit at one instant, which the engine publishes and the job does not count.
    """
    last = [0] * PARTITIONS
    for record in records(brokers, [INPUT]):
        last[record.partition] = max(last[record.partition], instant(orjson.loads(record.value or b"")["at"]))
    found: dict[tuple[str, str, int], list[str]] = {}
    for record in records(brokers, [ENGINE_OUTPUT]):
        each = orjson.loads(record.value or b"")
        at = instant(each["at"])
        if each["cause"]["kind"] != "clock" or at < last[record.partition]:
            found.setdefault((each["segment"], each["contact"], at), []).append(each["change"])
    return sorted((s, c, changes[-1], at) for (s, c, at), changes in found.items() if len(changes) % 2)


def differences(want: Iterable[Row], got: Iterable[Row], shown: int = 3) -> tuple[int, int, list[str]]:
    """How many rows are missing and extra, with the first of each as text."""
    wanted, had = set(want), set(got)
    missing, extra = sorted(wanted - had), sorted(had - wanted)
    return (
        len(missing),
        len(extra),
        [f"missing {row}" for row in missing[:shown]] + [f"extra {row}" for row in extra[:shown]],
    )


def home() -> Path:
    """Where inputs, builds and logs of the benchmark live: $BENCH_HOME or the user's cache."""
    folder = Path(os.environ.get("BENCH_HOME", Path.home() / ".cache" / "segment-engine" / "bench"))
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    return folder
