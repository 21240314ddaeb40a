"""Starts, watches and ends the programs that integration tests and benchmarks run: one class for a subprocess, one
for a worker.

Every process is ended by its own pid, also when a test fails. Nothing here sleeps: waiting is polling of a condition
with a deadline, and the pause between two looks ends early when the watched process dies.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PULSE = 0.05  # seconds between two looks at a condition
READY_WITHIN = 90.0  # seconds: a worker's start, join and restore on two shared cores
STOP_WITHIN = 30.0  # seconds after SIGTERM before a process is killed


class TimedOut(AssertionError):
    """A condition did not come true before its deadline."""


def wait_until(check: Callable[[], bool], within: float, what: str, *, alive: Program | None = None) -> float:
    """Polls `check` until it is true and returns the seconds it took.

    Raises TimedOut after `within` seconds, and at once when `alive` is a program that has ended.
    """
    start, pause = time.monotonic(), threading.Event()
    while not check():
        spent = time.monotonic() - start
        if spent > within:
            raise TimedOut(f"not within {within:.0f} s: {what}{_tail(alive)}")
        if alive is not None and not alive.running():
            raise TimedOut(f"the process ended with code {alive.returncode()} while waiting for: {what}{_tail(alive)}")
        if alive is None:
            pause.wait(PULSE)
        else:
            alive.ended_within(PULSE)
    return time.monotonic() - start


def _tail(program: Program | None) -> str:
    return "" if program is None else f"\n--- end of {program.log} ---\n{program.last_lines()}"


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports of 127.0.0.1 that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def engine_command() -> list[str]:
    """The words that start `segment-engine`: $SEGMENT_ENGINE_COMMAND, the command beside this Python, or its module."""
    named = os.environ.get("SEGMENT_ENGINE_COMMAND")
    if named:
        return [named]
    beside = Path(sys.executable).parent / "segment-engine"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "engine.cli.main"]


class Program:
    """A subprocess in a session of its own, with its output in a file; leaving the `with` block ends it."""

    def __init__(self, words: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._handle = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def running(self) -> bool:
        return self._process.poll() is None

    def returncode(self) -> int | None:
        return self._process.poll()

    def ended_within(self, seconds: float) -> bool:
        """Waits at most `seconds` for the end of the process; True if it has ended."""
        if not self.running():
            return True
        select.select([self._handle], [], [], seconds)
        return not self.running()

    def send(self, signal_number: int) -> None:
        if self.running():
            self._process.send_signal(signal_number)

    def kill(self) -> None:
        """kill -9, and waits for the end."""
        if self.running():
            self._process.kill()
        self._process.wait()
        self._close()

    def stop(self, within: float = STOP_WITHIN) -> int:
        """SIGTERM, then kill -9 after `within` seconds; returns the exit code (-9 if it had to be killed)."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not self.ended_within(within):
            self._process.kill()
        code = self._process.wait()
        self._close()
        return code

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def last_lines(self, count: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Worker(Program):
    """`segment-engine worker` with settings from the environment; `env` holds the SEGMENT_ENGINE_* variables."""

    def __init__(self, env: Mapping[str, str], *, log: Path) -> None:
        self.port = int(env["SEGMENT_ENGINE_HTTP_PORT"])
        super().__init__([*engine_command(), "worker"], log=log, env=env)

    def ready(self) -> bool:
        """Whether GET /ready answers 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, within: float = READY_WITHIN) -> float:
        """Seconds until /ready; raises TimedOut, with the end of the log, when it does not come."""
        return wait_until(self.ready, within, f"the worker on port {self.port} to be ready", alive=self)

    def pause(self) -> None:
        """SIGSTOP: the process stands still, its sockets stay open."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)


def run_engine(words: Sequence[str], env: Mapping[str, str], *, within: float = 120.0) -> bytes:
    """Runs `segment-engine WORDS` to its end and returns its standard output; AssertionError with its errors if it
    fails.
    """
    done = subprocess.run(
        [*engine_command(), *words], env={**os.environ, **env}, capture_output=True, timeout=within, check=False
    )
    assert done.returncode == 0, (
        f"segment-engine {' '.join(words)} ended with {done.returncode}:\n{done.stderr.decode()}"
    )
    return done.stdout
