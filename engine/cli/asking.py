"""Asking a worker over HTTP; what it refuses becomes a user's error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from engine.cli.errors import UserError

if TYPE_CHECKING:
    import httpx

F = TypeVar("F", bound=Callable[..., Any])
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 90.0
"""Longer than a worker waits for the others: its own error names the partition that does not answer."""
PAGE: Final = 5_000
"""Members of one page: some hundred kilobytes."""


def url_option(command: F) -> F:
    """`--url`, passed as `url: str | None`."""
    return click.option("--url", metavar="URL", help="Any worker's HTTP interface; default: where HTTP_PORT says.")(
        command
    )


def agent_option(command: F) -> F:
    """`--agent`, passed as `agent: str | None`."""
    said = "As this agent may see it: without the segments whose hidden_from names it."
    return click.option("--agent", metavar="AGENT", help=said)(command)


def ask(url: str, path: str, **params: str | int) -> dict[str, Any]:
    """The JSON that a worker answers with. Raises UserError with what it says of itself, or of not answering."""
    import httpx

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        answer = httpx.get(url.rstrip("/") + path, params=params, timeout=timeout, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise no_worker(url, error) from None
    try:
        found = answer.json()
        if answer.status_code == 200 and isinstance(found, dict):
            return found
    except ValueError:
        pass
    raise refusal(url, path, answer)


def no_worker(url: str, error: Exception) -> UserError:
    """What to say where nobody answers."""
    if not url.startswith(("http://", "https://")):
        return UserError(
            f"{url} is no address of a worker: write it with http:// before it, as in http://127.0.0.1:6066"
        )
    return UserError(
        f"No worker answers at {url} ({type(error).__name__}). Start one with segment-engine worker, or name "
        "another's address with --url."
    )


def refusal(url: str, path: str, answer: httpx.Response) -> UserError:
    """What a worker says of itself in an answer that is none."""
    try:
        return UserError(str(answer.json()["detail"]))
    except (ValueError, KeyError, TypeError):
        return UserError(f"What answers at {url} is no worker of this version: status {answer.status_code} for {path}.")


def members_of(url: str, workspace: str, segment: str) -> Iterator[str]:
    """Ids of all members of a segment over all workers, page by page, in the order of their bytes. Raises UserError."""
    from urllib.parse import quote

    yield from _pages(url, f"/segments/{quote(segment, safe='')}/members", workspace, "members")


def on_list(url: str, workspace: str, name: str) -> Iterator[str]:
    """Ids of all contacts on a list of people; as `members_of`."""
    from urllib.parse import quote

    yield from _pages(url, f"/lists/{quote(name, safe='')}/contacts", workspace, "contacts")


def _pages(url: str, path: str, workspace: str, what: str) -> Iterator[str]:
    after: str | None = ""
    while after is not None:
        page = ask(url, path, workspace=workspace, limit=PAGE, after=after)
        yield from page[what]
        after = page["next"]
