"""Asking a worker over HTTP; what it refuses becomes a user's error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from engine.cli.errors import UserError

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


def ask(url: str, path: str, **params: str | int) -> dict[str, Any]:
    """The JSON that a worker answers with. Raises UserError with what it says of itself, or of not answering."""
    import httpx

    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        answer = httpx.get(url.rstrip("/") + path, params=params, timeout=timeout, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"No worker answers at {url} ({type(error).__name__}). Start one with segment-engine worker, or name "
            "another's address with --url."
        ) from None
    try:
        found = answer.json()
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        raise UserError(str(found["detail"]))
    except (ValueError, KeyError, TypeError):
        said = f"What answers at {url} is no worker of this version: status {answer.status_code} for {path}."
        raise UserError(said) from None


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
