"""Runs one command and sees to it that it does not outlive the program that wanted it.

`keeper.py LIFELINE SECONDS COMMAND…`: LIFELINE is the number of an inherited pipe whose other end only the wanting
program holds. When that end closes, however its holder ended (kill -9 too), the command gets SIGTERM, and after SECONDS
SIGKILL. Prints the command's process id on a line of its own and ends with the command. It runs as a file in an
isolated interpreter, so it imports nothing but the standard library.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal a process gets when its parent ends; for the case that the keeper itself is killed."""

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals to the keeper that end the command in order."""


def main(lifeline: int, patience_s: float, command: list[str]) -> int:
    """Runs `command` to its end or to that of `lifeline`'s holder; returns its exit code (128 + signal if killed)."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (*STOPS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # what came is read from the pipe
    libc = ctypes.CDLL(None, use_errno=True)
    keeper = os.getpid()

    def in_child() -> None:
        for number in (*STOPS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if sys.platform == "linux":
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:  # it ended between the fork and the prctl
                os._exit(1)

    child = subprocess.Popen(
        command,
        preexec_fn=in_child,  # noqa: PLW1509 - there is one thread only
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    os.write(1, b"%d\n" % child.pid)
    os.close(1)
    while child.poll() is None:
        ready, _, _ = select.select([lifeline, woken], [], [])
        signals = os.read(woken, 512) if woken in ready else b""
        if lifeline in ready or any(number in signals for number in STOPS):
            _end(child, patience_s)
    code = child.wait()
    return 128 - code if code < 0 else code


def _end(child: "subprocess.Popen[bytes]", patience_s: float) -> None:
    child.terminate()
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGCONT)  # a stopped process takes no SIGTERM
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
