"""One Kafka broker as a child of this process: format, start, wait until it answers, stop, start again.

It promises that nothing is left running: a keeper (`keeper.py`) ends the broker when this process ends in any way, and
the kernel ends it when the keeper is killed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local_broker.kafka import MEMORY, BrokerError, Memory, class_path, java, properties

__all__ = ["BrokerError", "LocalBroker", "Memory", "free_port"]

START_S: Final = 60.0
"""Longest wait for the first answer: 3.5 s on an idle machine, many times that on a loaded one."""
STOP_S: Final = 10.0
"""How long SIGTERM may take (0.4 s when idle) before SIGKILL."""
ATTEMPTS: Final = 3
"""Starts with other ports, when a port that was free has been taken in between."""
LOG_LINES: Final = 12
"""Last lines of the broker's log that an error shows."""


class LocalBroker:
    """A real Kafka on 127.0.0.1.

    `folder` keeps its data, log and configuration; without one it is a temporary folder, removed by `close`. `port` 0
    takes a free one, kept over `stop` and `start`. `more` adds or overrides broker properties. `say` is told of a
    first download (default: a line on standard error). As a context manager it starts on entry and closes on exit.
    Methods raise BrokerError; they block, and belong in a thread of an async program.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int = 0,
        memory: Memory = "small",
        more: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="segment-engine-kafka-")) if folder is None else folder.absolute()
        self.port = port
        self._controller_port = 0
        self._chosen = port != 0
        self._memory: Memory = memory
        self._more = dict(more or {})
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self.pid = 0
        """Process id of the Java process; 0 before the first start."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def brokers(self) -> str:
        """Bootstrap servers, for the setting BROKERS."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker wrote, over all its starts."""
        return self.folder / "broker.log"

    @property
    def running(self) -> bool:
        """Whether the process is there, answering or not."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self, timeout_s: float = START_S) -> None:
        """Starts, and returns when the broker answers; on the folder and port of before, if it has run already.

        Raises BrokerError if the port is taken, Java or Kafka are not to be had, or it does not answer in `timeout_s`.
        """
        if self.running:
            return
        deadline = time.monotonic() + timeout_s
        for attempt in range(1, ATTEMPTS + 1):
            self._choose_ports()
            try:
                self._launch()
                self._await_answer(deadline)
                return
            except BaseException as error:
                self.stop()
                taken = isinstance(error, BrokerError) and "Address already in use" in str(error)
                if self._chosen or not taken or attempt == ATTEMPTS:
                    raise
                self.port = self._controller_port = 0

    def stop(self) -> None:
        """SIGTERM, SIGKILL 10 s later; returns when it is gone. The data stays; nothing happens if it does not run."""
        keeper = self._keeper
        if keeper is None:
            return
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        try:
            keeper.wait(STOP_S * 2)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        self._keeper = None

    def restart(self, timeout_s: float = START_S) -> None:
        """Stops and starts on the same folder and port."""
        self.stop()
        self.start(timeout_s)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends the Java process a signal; returns at once, but after SIGKILL when it is gone."""
        if not self.running:
            return
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self.stop()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits until the broker ends by itself; its exit code, or None if it still runs after `timeout_s`."""
        if self._keeper is None:
            return 0
        try:
            return self._keeper.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Stops, and removes a temporary folder."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _choose_ports(self) -> None:
        if not self.port:
            self.port = free_port()
        elif not _is_free(self.port):
            raise BrokerError(f"Port {self.port} on 127.0.0.1 is taken by another program; choose another with --port.")
        if not self._controller_port or not _is_free(self._controller_port):
            self._controller_port = free_port()

    def _launch(self) -> None:
        run, jars = str(java()), class_path(self._say)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            configuration = self.folder / "server.properties"
            configuration.write_text(
                properties(self.folder, self.port, self._controller_port, self._more), encoding="utf-8"
            )
            log = self.log.open("ab")
        except OSError as error:
            raise BrokerError(f"The folder {self.folder} cannot hold a broker: {error.strerror}.") from error
        with log:
            command = [run, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars]
            if not (self.folder / "logs" / "meta.properties").exists():
                self._format([*command, "kafka.tools.StorageTool"], configuration, log.fileno())
            self._keep([run, *MEMORY[self._memory], *command[1:], "kafka.Kafka", str(configuration)], log.fileno())

    def _format(self, command: Sequence[str], configuration: Path, log: int) -> None:
        words = [*command, "format", "-t", cluster_id(uuid.uuid4()), "-c", str(configuration)]
        if subprocess.run(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False).returncode:
            raise BrokerError(f"Kafka could not format {self.folder}:\n{self.tail()}")

    def _keep(self, command: Sequence[str], log: int) -> None:
        held, self._lifeline = os.pipe()
        keeper = Path(__file__).with_name("keeper.py")
        try:
            self._keeper = subprocess.Popen(
                # Isolated and without site: a small interpreter that starts in 20 ms and imports nothing of ours.
                [sys.executable, "-I", "-S", str(keeper), str(held), str(STOP_S), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(held,),
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in the terminal is for us alone; we end the broker in order
            )
        finally:
            os.close(held)
        out = self._keeper.stdout
        assert out is not None
        with out:
            self.pid = int(out.readline() or 0)

    def _await_answer(self, deadline: float) -> None:
        """Asks from a thread with an event loop of its own, so that an async caller's loop is not in the way."""
        failed: list[BrokerError] = []

        def ask() -> None:
            try:
                asyncio.run(self._answer(deadline))
            except BrokerError as error:
                failed.append(error)

        thread = threading.Thread(target=ask, name="local-broker-start", daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    async def _answer(self, deadline: float) -> None:
        while True:
            if not self.running:
                raise BrokerError(f"Kafka ended while starting in {self.folder}:\n{self.tail()}")
            if not _is_free(self.port) and await _knows_itself(self.brokers):
                return
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka on {self.brokers} does not answer. The end of its log:\n{self.tail()}")
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        """The last lines of the log, without Java's stack frames."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        said = [line[:300] for line in lines if not line.startswith("\tat ")]
        return "\n".join(said[-LOG_LINES:])


def cluster_id(number: uuid.UUID) -> str:
    """The 22 characters by which Kafka names a cluster; never a leading hyphen, which its tools take for an option."""
    text = base64.urlsafe_b64encode(number.bytes).decode().rstrip("=")
    return f"A{text[1:]}" if text.startswith("-") else text


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def _knows_itself(brokers: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=5_000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
