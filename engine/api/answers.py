"""What every answer has in common: its form, its errors, and the parameters that several questions share.

Every error is JSON: `{"error": word, "detail": sentence}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.api.peers import Unanswered
from engine.conditions.instants import parse_instant

RETRY_SECONDS: Final = "2"
"""What a client is told to wait when partitions are moving."""


class Answer(Response):
    """JSON, in the form that the rest of the engine writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content) + b"\n"


class Refused(Exception):
    """A question that cannot be answered: status, one word for programs, one sentence for people."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail


def is_own(request: Request) -> bool:
    """Whether another worker asks, and only this worker's own partitions are meant."""
    return request.query_params.get("own") == "true"


def workspace_of(request: Request) -> str:
    """The workspace that is asked about."""
    return request.query_params.get("workspace", "default")


def instant_of(request: Request, name: str = "at") -> int | None:
    """A parameter that is an RFC 3339 instant, in milliseconds; None without it. Raises Refused."""
    text = request.query_params.get(name)
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        said = f"{name}: {error}. Write an RFC 3339 instant such as 2026-05-01T10:00:00Z."
        raise Refused(400, f"bad_{name}", said) from None


def whole_number_of(request: Request, name: str, least: int, most: int, default: int) -> int:
    """A parameter that is a whole number from `least` to `most`. Raises Refused."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not least <= int(text[:9]) <= most:
        said = f"{name} is a whole number from {least} to {most}, not {text[:40]!r}."
        raise Refused(400, f"bad_{name}", said)
    return int(text)


async def _refused(_: Request, error: Refused) -> Response:
    return Answer({"error": error.error, "detail": error.detail}, error.status)


async def _unanswered(_: Request, error: Unanswered) -> Response:
    body = {"error": "owner_unavailable", "detail": str(error), "partitions": error.numbers}
    return Answer(body, 503, headers={"retry-after": RETRY_SECONDS})


async def _http(request: Request, error: HTTPException) -> Response:
    word = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return Answer({"error": word, "detail": f"{request.method} {request.url.path}: {error.detail}."}, error.status_code)


async def _broken(_: Request, __: Exception) -> Response:
    return Answer({"error": "engine_error", "detail": "The worker failed to answer; its log says why."}, 500)


HANDLERS: Final[dict[Any, Callable[[Request, Any], Awaitable[Response]]]] = {
    Refused: _refused,
    Unanswered: _unanswered,
    HTTPException: _http,
    Exception: _broken,
}
"""How each error is answered."""
