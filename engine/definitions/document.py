"""The segment document (DESIGN.md 5) and its canonical form."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from engine.conditions.document import Document, Path, mistake
from engine.conditions.instants import parse_instant
from engine.conditions.paths import parse_path
from engine.conditions.registry import Condition
from engine.conditions.spelling import did_you_mean, near_zone
from engine.conditions.zones import OWN, Calendar, zone_names, zone_of
from engine.definitions.source import Written, parts

SEGMENT_ID_MAX = 64
PINS_MAX = 10_000
"""Contacts in `include` or `exclude`: more belong on a list."""
PAYLOAD_MAX = 50
"""Fields that a transition carries."""
CONTACT_BYTES_MAX = 256
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_OUTERMOST = ZoneInfo("Etc/GMT-14"), ZoneInfo("Etc/GMT+12")
"""No clock in use since 1970 is further from UTC."""
_WORKSPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def checked_id(value: Any, kind: str) -> str:
    """The id of a segment or a model, `kind`. Raises a mistake."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or len(value) > SEGMENT_ID_MAX:
        near = re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")[:SEGMENT_ID_MAX]
        raise mistake(
            f"{kind}_id",
            f"{value!r} is not a {kind} id",
            f"use lower-case letters, digits and single hyphens, at most {SEGMENT_ID_MAX}"
            + (f", such as {near if isinstance(value, str) else repr(near)}" if near else ""),
        )
    return value


def _segment_id(value: Any) -> str:
    return checked_id(value, "segment")


def _workspace(value: Any) -> str:
    if not isinstance(value, str) or not _WORKSPACE.fullmatch(value):
        raise mistake(
            "workspace", f"{value!r} is not a workspace", "use 1 to 64 letters, digits, hyphens and underscores"
        )
    if value == "definitions":
        raise mistake("workspace", "the workspace name 'definitions' is taken by a topic of ours", "choose another")
    return value


def _timezone(value: Any) -> str:
    if value == OWN:
        return OWN
    if not isinstance(value, str) or value not in zone_names():
        hint = "name one of the IANA database, such as Europe/Moscow, or UTC; or contact, for each contact's own"
        near = OWN if isinstance(value, str) and value.strip().casefold() == OWN else near_zone(str(value))
        raise mistake("timezone", f"{value!r} is not a time zone", hint + did_you_mean(near))
    return value


def _contact(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= CONTACT_BYTES_MAX:
        raise mistake(
            "contact",
            f"{value!r} is not a contact id",
            f"write a text of 1 to {CONTACT_BYTES_MAX} bytes, in quotes if it is a number",
        )
    return value


def _mailable(value: Any) -> Any:
    if isinstance(value, (bool, dict, Mailable)):
        return value
    hint = "write true, false or {channel: email, consent: required}"
    near = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower())
    raise mistake("mailable", f"{value!r} does not say who may be mailed", hint + did_you_mean(near))


def _carried(path: str) -> str:
    names = parse_path(path)
    if names[0] == "last" and len(names) < 3:
        hint = "write last.<event type>.<property>, as in last.purchase.order_id"
        raise mistake("payload", f"{path!r} names no property", hint)
    return path


Carried = Annotated[Path, AfterValidator(_carried)]
Contacts = Annotated[list[Annotated[str, BeforeValidator(_contact)]], Field(max_length=PINS_MAX)]
SegmentId = Annotated[str, BeforeValidator(_segment_id)]
Workspace = Annotated[str, BeforeValidator(_workspace)]


class Mailable(Document):
    """The consent gate of one channel; `consent: required` asks that it was granted."""

    channel: Annotated[str, Field(min_length=1, max_length=64)]
    consent: Literal["required"] | None = None


class Group(Document):
    """A contact is in at most one segment of a group: the one of the highest priority."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class Segment(Written):
    """One segment: who is in (`when`, pins, gate, group) and what its transitions carry."""

    segment: SegmentId
    name: Annotated[str, Field(max_length=200)] = ""
    description: Annotated[str, Field(max_length=2_000)] = ""
    workspace: Workspace = "default"
    timezone: Annotated[str, BeforeValidator(_timezone)] = "UTC"
    mailable: Annotated[StrictBool | Mailable, BeforeValidator(_mailable)] = True
    group: Group | None = None
    hidden_from: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=1_000)] = Field(
        default_factory=list
    )
    payload: Annotated[list[Carried], Field(max_length=PAYLOAD_MAX)] = Field(default_factory=list)
    include: Contacts = Field(default_factory=list)
    exclude: Contacts = Field(default_factory=list)
    topic: StrictBool = True
    """Whether the segment has a topic of its own, segments.<workspace>.<id>, beside segments.transitions."""
    members_topic: StrictBool = True
    """Whether segments.members holds the segment's present members."""
    when: Condition | None = None

    @model_validator(mode="after")
    def _has_members(self) -> Segment:
        if self.when is None and not self.include:
            raise mistake(
                "when",
                "the segment has neither a rule nor pinned members",
                "add when: with a condition, or include: [contact, …]",
            )
        return self

    @model_validator(mode="after")
    def _bounds_in_zone(self) -> Segment:
        zones = _OUTERMOST if self.timezone == OWN else (self.zone,)
        for place, bound in parts(self.when, ("when",)):
            if place[-1] not in ("since", "until") or not isinstance(bound, str):
                continue
            try:
                for zone in zones:
                    parse_instant(bound, zone)
            except ValueError as error:
                where = "some zone of a contact" if self.timezone == OWN else self.timezone
                raise mistake("instant", str(error), f"in {where} it is out of bounds", at=place) from None
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone whose calendar the segment's months follow; None is UTC, and each contact's own."""
        return zone_of(self.timezone)

    @property
    def calendar(self) -> Calendar:
        """Whose months and days the segment's rule follows."""
        return Calendar(self.zone, own=self.timezone == OWN)

    @property
    def key(self) -> tuple[str, str]:
        """Workspace and id."""
        return self.workspace, self.segment


def canonical(segment: Segment) -> dict[str, Any]:
    """The segment as plain JSON, defaults filled and lists of contacts sorted: equal for definitions that mean the
    same."""
    found: dict[str, Any] = segment.model_dump(mode="json", by_alias=True, exclude_none=True)
    for pins in ("include", "exclude", "hidden_from"):
        found[pins] = sorted(set(found[pins]))
    if segment.members_topic:  # written only where it is switched off: older versions know nothing of it
        del found["members_topic"]
    return found
