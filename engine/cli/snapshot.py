"""A segment's members as one snapshot, read from a worker: whole, or told to be cut.

The lines go to a file first, so that what is handed on is whole, and so that a partition that moves meanwhile only
makes the reading begin again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from engine.cli.asking import ANSWER_SECONDS, CONNECT_SECONDS, no_worker, refusal
from engine.cli.errors import UserError

if TYPE_CHECKING:
    import httpx

TRIES: Final = 5
AGAIN_SECONDS: Final = 2.0
"""Before another try: as long as workers say that partitions take to move."""
MEMORY_BYTES: Final = 16 << 20
"""Of the members in memory; what is more waits in a temporary file."""


MEMBER: Final = b'{"contact":'
"""How the line of a member begins."""


class Cut(Exception):
    """Not all members came. The text says why."""


@dataclass(slots=True)
class Roll:
    """The header as the worker gives it, and the lines of the members, whole."""

    header: dict[str, Any]
    lines: IO[bytes]
    members: int = 0
    columns: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The members in the order of their ids."""
        self.lines.seek(0)
        for line in self.lines:
            yield orjson.loads(line)

    def told(self) -> str:
        """One line: how many of what, as of when, and what is not sure about it."""
        clocks = sorted(each["as_of"] for each in self.header["partitions"] if each["as_of"] is not None)
        count = "1 member" if self.members == 1 else f"{self.members:,} members"
        workspace = self.header["workspace"]
        where = "" if workspace == "default" else f" in workspace {workspace}"
        said = f"{count} of {self.header['segment']}{where}, version {self.header['version']}"
        if clocks:
            said += f", as of {clocks[0]}" + (f" to {clocks[-1]}" if clocks[-1] != clocks[0] else "")
        if filling := [str(each["partition"]) for each in self.header["partitions"] if each["filling"]]:
            said += (
                f"; contacts of partitions {', '.join(filling)} are still being brought up to changed definitions: ask "
                "again when segment-engine segments progress says that it is done"
            )
        return said + "."


def read_roll(url: str, workspace: str, segment: str, columns: list[str], agent: str | None) -> Roll:
    """All members of a segment at one instant of each partition, with these attributes; tried anew a few times where a
    partition moves. Raises Cut when it never came to the end, UserError with what the worker refuses."""
    why = ""
    for turn in range(TRIES):
        if turn:
            threading.Event().wait(AGAIN_SECONDS)
        try:
            return _read(url, workspace, segment, columns, agent)
        except Cut as error:
            why = str(error)
    raise Cut(f"{why.rstrip('.')}. It was tried {TRIES} times.")


def _read(url: str, workspace: str, segment: str, columns: list[str], agent: str | None) -> Roll:
    from urllib.parse import quote

    import httpx

    params = {"workspace": workspace, **({"columns": orjson.dumps(columns).decode()} if columns else {})}
    if agent is not None:
        params["agent"] = agent
    path = f"/segments/{quote(segment, safe='')}/members/snapshot"
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        with httpx.stream("GET", url.rstrip("/") + path, params=params, timeout=timeout, trust_env=False) as answer:
            if answer.status_code != 200:
                answer.read()
                if answer.status_code == 503:
                    raise Cut(str(refusal(url, path, answer)))
                raise refusal(url, path, answer)
            return _whole(answer, columns)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise no_worker(url, error) from None
    except httpx.HTTPError as error:
        raise Cut(f"The worker at {url} broke off ({type(error).__name__}).") from None


def _whole(answer: httpx.Response, columns: list[str]) -> Roll:
    """The roll, when the last line says that it is whole. Raises Cut, UserError."""
    with ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(max_size=MEMORY_BYTES))
        header: dict[str, Any] | None = None
        rest, members = b"", 0
        for chunk in answer.iter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):  # an empty line only says that it goes on
                if header is None:
                    header = _header(line)
                elif line.startswith(MEMBER):
                    members += 1
                    file.write(line + b"\n")
                else:
                    last = _read_line(line)
                    if last.get("complete") is not True or last.get("members") != members:
                        raise Cut(str(last.get("detail", "The worker's last line does not fit what came before.")))
                    opened.pop_all()  # the roll has it now
                    return Roll(header, file, members, columns)
    raise Cut("The worker broke off before the end.")


def _read_line(line: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {}


def _header(line: bytes) -> dict[str, Any]:
    found = _read_line(line)
    if not {"segment", "version", "partitions"} <= found.keys():
        raise UserError("What answers there is no worker of this version.")
    return found
