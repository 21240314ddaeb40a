"""The contract of the HTTP interface's answer to how a segment grew; `engine.cli.contracts` publishes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.definitions.document import SegmentId, Workspace

Kind = Literal["event", "clock", "definition", "backfill", "list", "opt_out", "merge", "erase"]
"""The causes of `engine.state.counts.KINDS`."""


class CountRecord(BaseModel):
    """One period, or of a split one cause or source in it."""

    model_config = ConfigDict(extra="forbid", title="Count")

    period: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:00\.000Z|[+-][0-9]{2}:[0-9]{2}))?$",
            description="A day as a date; an hour by its beginning, in UTC or with the offset of the time zone.",
        ),
    ]
    cause: Kind | None = Field(default=None, description="With split=cause; null where nothing happened.")
    source: str | None = Field(
        default=None, description="With split=source: the contacts' first touch; null where none is known."
    )
    entered: int = Field(ge=0)
    left: int = Field(ge=0)
    members: int = Field(ge=0, description="The segment's size at the end of the period; of the newest one, now.")


class CountsRecord(BaseModel):
    """How a segment grew, oldest period first."""

    model_config = ConfigDict(extra="forbid", title="Counts")

    workspace: Workspace
    segment: SegmentId
    by: Literal["hour", "day"]
    timezone: str = Field(description="Whose days and hours.")
    kept_from: str = Field(description="The first instant whose hour is kept; sizes know what was before.")
    rows: list[CountRecord]
