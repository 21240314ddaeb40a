"""Writes the published contracts in `schemas/` from the models: `python -m engine.cli.contracts`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from engine.cli.counts_contract import CountsRecord
from engine.conditions import document as parts
from engine.conditions import held, matching, values
from engine.definitions import Model, Segment
from engine.definitions import document as segments
from engine.definitions import model as models
from engine.membership.facts import CONTACT_BYTES_MAX, ERASURE, ID_BYTES_MAX, TYPE_BYTES_MAX, WORKSPACE_BYTES_MAX

WIDTH: Final = 240
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
INSTANT: Final = r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$"
WIRE_INSTANT: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
DURATION: Final = r"^P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,3})?S)?)?$"

Instant = Annotated[str, Field(pattern=INSTANT, examples=["2026-05-01T10:00:00.000Z", "2026-05-01T13:00:00+03:00"])]
WireInstant = Annotated[str, Field(pattern=WIRE_INSTANT, examples=["2026-05-01T10:00:00.000Z"])]
WorkspaceName = Annotated[str, Field(pattern="^[^/]+$", max_length=WORKSPACE_BYTES_MAX)]
ContactId = Annotated[str, Field(min_length=1, max_length=CONTACT_BYTES_MAX, description="At most 256 bytes of UTF-8.")]


class Event(BaseModel):
    """One thing that is true of one contact at one instant: a value of an input topic. Other keys are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": ERASURE}}},
            "then": {"properties": {"properties": {"maxProperties": 0}}},
        }
    )

    id: Annotated[str, Field(min_length=1, max_length=ID_BYTES_MAX)] | None = Field(
        None,
        description="The same id again within DEDUP is ignored; without one, topic, partition and offset are the id.",
    )
    type: Annotated[str, Field(pattern="^[^*]+$", max_length=TYPE_BYTES_MAX)] = Field(
        description="What happened; an unknown type is ordinary behaviour.", examples=["purchase", "product_view"]
    )
    contact: ContactId
    at: Instant = Field(description="When it happened, with a zone.")
    workspace: WorkspaceName | None = Field(None, description="Null or missing: `default`.")
    properties: dict[str, Any] | None = Field(
        None, description="What conditions may look at, nested as you like; `contact_erased` has none."
    )
    arrives: Instant | None = Field(None, description="Only read by `replay`: when the event reached the engine.")


class Cause(BaseModel):
    """Why a membership changed; the event's fields are null where no event did it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["event", "clock", "definition", "backfill", "list", "opt_out", "merge", "erase"]
    event_id: str | None
    event_type: str | None
    event_at: WireInstant | None


class TransitionRecord(BaseModel):
    """One enter or exit of one contact in one segment. Drop one whose `id` was seen: the id is a pure function."""

    model_config = ConfigDict(extra="forbid", title="Transition")

    id: str = Field(pattern="^[0-9a-f]{32}$")
    workspace: WorkspaceName
    segment: str
    version: int = Field(ge=1, description="Of the definition.")
    contact: ContactId
    change: Literal["enter", "exit"]
    sequence: int = Field(
        ge=1,
        description="1, 2, 3 … for one contact and segment: odd enters, even exits; anew for an erased one.",
    )
    at: WireInstant = Field(description="When the membership changed.")
    detected_at: WireInstant = Field(description="When the engine committed it.")
    late: bool = Field(description="Its event came after the contact's or the partition's clock had passed it.")
    not_before: WireInstant | None = Field(
        description="Without a new event the membership does not change before; null: never."
    )
    cause: Cause
    payload: dict[str, Any] | None = Field(
        description="The fields that the segment's `payload` names; null in exits of an erased contact."
    )


class DefinitionRecord(BaseModel):
    """One version of one definition: a value of segments.definitions and segments.definitions.history."""

    model_config = ConfigDict(extra="forbid", title="Definition")

    workspace: str
    segment: str = Field(
        description="The second part of the key: a segment's id, or a model's with `model:` before it."
    )
    version: int = Field(ge=1)
    state: Literal["active", "paused", "deleted"]
    author: str
    at: WireInstant
    note: str
    definition: Segment | Model | None = Field(description="In canonical form; null once deleted.")


class FactRecord(BaseModel):
    """A fact that something rests on."""

    model_config = ConfigDict(extra="forbid", title="Fact")

    id: str
    type: str
    at: WireInstant


class NextRecord(BaseModel):
    """When something changes if nothing happens."""

    model_config = ConfigDict(extra="forbid", title="Next")

    at: WireInstant | None = Field(description="Null: never.")
    exact: bool = Field(description="False: not before `at`, and nobody looked further.")


class DecisionRecord(BaseModel):
    """What decided that the contact is in or out."""

    model_config = ConfigDict(extra="forbid", title="Decision")

    by: Literal["exclude", "gate", "paused", "include", "rule", "group", "unknown"]
    words: str
    segment: str | None = Field(description="The one of the group that is in instead.")
    facts: list[FactRecord] = Field(description="What was said of consent last, where the gate is closed.")


class BasisRecord(BaseModel):
    """What the answer is made from."""

    model_config = ConfigDict(extra="forbid", title="Basis")

    of: Literal["state", "journal"] = Field(description="The state as time passes on, or the journal taken anew.")
    facts: int = Field(ge=0, description="Journaled facts at or before the instant.")
    older: int = Field(ge=0, description="Facts that were taken and are no longer in the journal.")
    since: WireInstant | None = Field(description="Facts up to here may be missing from it; null: none is.")


class ConditionRecord(BaseModel):
    """A condition of the rule: a leaf, or `all`, `any`, `none`, `not` with `children`."""

    model_config = ConfigDict(extra="forbid", title="Condition")

    condition: str
    path: str = Field(examples=["when.all[1].not"])
    words: str
    truth: bool
    until: WireInstant | None = Field(description="Its truth holds until then without a new fact; null: for ever.")
    next: NextRecord | None = Field(description="Of leaves: when its truth changes.")
    facts: list[FactRecord] = Field(description="The newest that it rests on.")
    facts_all: int = Field(ge=0, description="How many it rests on.")
    would_change: bool = Field(description="One of the leaves that would have to change for another answer.")
    children: list[ConditionRecord]
    nested: ExplanationRecord | None = Field(description="Of `in_segment`: of the other segment.")
    unheld: bool = Field(description="Facts that are no longer in the journal might have a say in this leaf.")


class ExplanationRecord(BaseModel):
    """Why a contact is in a segment or is not at an instant, by the present definition."""

    model_config = ConfigDict(extra="forbid", title="Explanation")

    workspace: WorkspaceName
    segment: str
    name: str
    version: int = Field(ge=1, description="Of the definition.")
    contact: ContactId
    at: WireInstant
    member: bool
    since: WireInstant | None = Field(description="Of the transition that it came by; null: there was none.")
    cause: Cause | None = Field(description="Of that transition; null: nobody remembers.")
    decided: DecisionRecord
    rule: ConditionRecord | None
    smallest: list[list[str]] = Field(description="Smallest sets of leaves, by path, that would change the answer.")
    needed: list[str] = Field(description="What else would have to change, in words.")
    next: NextRecord = Field(description="When the answer changes if nothing happens.")
    basis: BasisRecord


class MembershipRecord(BaseModel):
    """One segment that the contact is in."""

    model_config = ConfigDict(extra="forbid", title="Membership")

    segment: str
    name: str
    version: int = Field(ge=1, description="Of the definition in force.")
    since: WireInstant = Field(description="Of the enter.")
    sequence: int = Field(ge=1, description="Of the enter.")
    why: str | None = Field(description="In plain words; null: not looked at, as in a contact that is being filled.")
    cause: Cause | None = Field(description="Of the enter; null: nobody remembers.")
    not_before: WireInstant | None = Field(description="Without a new fact it does not change before; null: never.")
    next: NextRecord | None = Field(description="When it changes if nothing happens; null: not looked at.")


class ChangeRecord(BaseModel):
    """What happens to a membership if nothing else does."""

    model_config = ConfigDict(extra="forbid", title="Change")

    segment: str
    name: str
    change: Literal["enter", "exit"]
    at: WireInstant


class ShownFactRecord(BaseModel):
    """One of the last facts."""

    model_config = ConfigDict(extra="forbid", title="ShownFact")

    id: str
    type: str
    at: WireInstant
    properties: dict[str, Any] = Field(description="Long texts and lists are cut: … stands for what was left out.")


class ContactRecord(BaseModel):
    """One contact as a whole: who it is, in which segments and why, what changes next, what it did last."""

    model_config = ConfigDict(extra="forbid", title="Contact")

    workspace: WorkspaceName
    contact: ContactId
    known_at: WireInstant | None = Field(description="Of its earliest fact: when it was first seen.")
    as_of: WireInstant | None = Field(description="Up to where its facts and transitions have come.")
    deadline: WireInstant | None = Field(description="When one of its segments is looked at next without a new fact.")
    facts: int = Field(ge=0, description="Taken in all.")
    facts_journaled: int = Field(ge=0, description="Of them, those that the journal keeps.")
    at: WireInstant = Field(description="The instant that the answer is of.")
    filling: bool = Field(description="Not judged by the definitions in force yet: the segments last published.")
    segments: list[MembershipRecord] = Field(description="By id.")
    changes: list[ChangeRecord] = Field(description="Of each segment the first to come, in order, at most 20.")
    changes_until: WireInstant | None = Field(description="There may be others behind it; null: there are none.")
    attributes: dict[str, Any]
    tags: list[str]
    lists: list[str]
    consent: dict[str, Literal["granted", "revoked"]] = Field(description="By channel; `all` speaks for each.")
    last_facts: list[ShownFactRecord] = Field(description="Newest first, as far as the journal keeps them.")


class PlaceRecord(BaseModel):
    """A definition by its key."""

    model_config = ConfigDict(extra="forbid", title="Place")

    workspace: str
    segment: str = Field(description="A segment's id, or a model's with `model:` before it.")


class ExpectedRecord(PlaceRecord):
    """A definition that a plan names or builds on."""

    model_config = ConfigDict(extra="forbid", title="Expected")

    version: int | None = Field(description="In force when the plan was made; null: none was.")


class LookedRecord(BaseModel):
    """A partition that was looked at."""

    model_config = ConfigDict(extra="forbid", title="Looked")

    partition: int = Field(ge=0)
    as_of: WireInstant | None = Field(description="Its clock; null before its first fact.")


class SampledRecord(BaseModel):
    """A contact that would enter or leave."""

    model_config = ConfigDict(extra="forbid", title="Sampled")

    contact: ContactId
    why: str | None = Field(description="In one line; null where there was no time to find it out.")


class SharedRecord(BaseModel):
    """Another segment, and how many members it has in common with the planned one."""

    model_config = ConfigDict(extra="forbid", title="Shared")

    segment: str
    before: int = Field(ge=0)
    then: int = Field(ge=0)


class PlannedRecord(PlaceRecord):
    """What would become of one definition and its members. `follows`: nobody edits it, and its members change."""

    model_config = ConfigDict(extra="forbid", title="Planned")

    name: str
    change: Literal["created", "changed", "paused", "resumed", "deleted", "follows"]
    state: Literal["active", "paused", "deleted"]
    version_before: int | None
    version: int = Field(ge=1)
    differences: list[str]
    size_before: int = Field(ge=0)
    size: int = Field(ge=0)
    entering: int = Field(ge=0)
    leaving: int = Field(ge=0)
    causes: dict[str, int] = Field(description="Transitions by the kind of their cause.")
    lacking: int = Field(
        ge=0, description="Contacts for whom the journal no longer holds all facts that new conditions ask for."
    )
    enter_sample: list[SampledRecord]
    leave_sample: list[SampledRecord]
    overlap: list[SharedRecord] = Field(description="The largest shares first.")


class PlanTotals(BaseModel):
    """How many definitions would be what, and how many transitions would be published."""

    model_config = ConfigDict(extra="forbid", title="Totals")

    created: int
    changed: int
    paused: int
    resumed: int
    deleted: int
    unchanged: int
    follows: int
    entering: int
    leaving: int


class PlanRecord(BaseModel):
    """What a change of definitions would do: `segments plan -o json`, the file of `--out`, and `POST /plan`."""

    model_config = ConfigDict(extra="forbid", title="Plan")

    format: Literal["segment-engine-plan/1"]
    engine: str = Field(description="The version that made it.")
    made_at: WireInstant
    apply: list[Segment | Model] = Field(description="In canonical form.")
    pause: list[PlaceRecord]
    resume: list[PlaceRecord]
    delete: list[PlaceRecord]
    expected: list[ExpectedRecord] = Field(description="Apply is refused where one of these is at another version.")
    partitions: list[LookedRecord]
    contacts: int = Field(ge=0, description="That were looked at, in the workspaces of what is edited.")
    moving: int = Field(ge=0, description="Contacts for whom something would be published.")
    lacking: int = Field(ge=0)
    totals: PlanTotals
    segments: list[PlannedRecord]
    digest: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of all the rest, as JSON with sorted keys and no white space."
    )


MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "event": Event,
    "segment": Segment,
    "model": Model,
    "transition": TransitionRecord,
    "definition": DefinitionRecord,
    "explanation": ExplanationRecord,
    "contact": ContactRecord,
    "plan": PlanRecord,
    "counts": CountsRecord,
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one of MODELS, as it is published."""
    found = MODELS[name].model_json_schema(schema_generator=_Published)
    return {"$schema": DRAFT, "$id": f"urn:segment-engine:{name}:1", **found}


def text(name: str) -> str:
    """The file in `schemas/` of one of MODELS."""
    return _laid_out(schema(name), 0) + "\n"


def _laid_out(value: Any, depth: int) -> str:
    """JSON with one line for whatever fits into one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) + 2 * depth <= WIDTH:
        return flat
    inside, outside = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {_laid_out(each, depth + 1)}" for key, each in value.items()]
        return f"{{{inside}{f',{inside}'.join(rows)}{outside}}}"
    return f"[{inside}{f',{inside}'.join(_laid_out(each, depth + 1) for each in value)}{outside}]"


class _Published(GenerateJsonSchema):
    """Says what the models' own validators allow and pydantic cannot see: short forms, names, durations."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        rewrite = _REWRITES.get(schema["function"]["function"])
        return inner if rewrite is None else rewrite(inner)

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_none=True)
        return super().encode_default(dft)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]  # nothing to fill in
        return found

    def get_title_from_name(self, name: str) -> str:
        return name

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: Any, mode: Any = "validation") -> JsonSchemaValue:
        found = super().generate(schema, mode)
        _spell_durations(found)
        return found


def _one_or_list(inner: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [inner["items"], inner]}


def _value_or_test(inner: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [{"type": ["boolean", "number"]}, {"type": "string", "maxLength": values.TEXT_MAX}, inner]}


def _named_events(inner: JsonSchemaValue) -> JsonSchemaValue:
    name = {"type": "string", "minLength": 1, "maxLength": TYPE_BYTES_MAX}
    return {"anyOf": [name, {"type": "array", "items": name, "minItems": 1, "maxItems": parts.EVENTS_MAX}, inner]}


def _pattern(pattern: str, **more: Any) -> Callable[[JsonSchemaValue], JsonSchemaValue]:
    return lambda inner: {**inner, "pattern": pattern, **more}


_REWRITES: Final[Mapping[Any, Callable[[JsonSchemaValue], JsonSchemaValue]]] = {
    parts._as_list: _one_or_list,
    values.short_form: _value_or_test,
    matching._short_form: _named_events,
    held._short_form: lambda inner: {"anyOf": [{"type": "string", "format": "duration", "examples": ["P7D"]}, inner]},
    segments._segment_id: _pattern(f"^{segments._ID.pattern}$", maxLength=segments.SEGMENT_ID_MAX),
    models._model_id: _pattern(f"^{segments._ID.pattern}$", maxLength=segments.SEGMENT_ID_MAX),
    segments._workspace: _pattern(f"^{segments._WORKSPACE.pattern}$"),
    segments._timezone: lambda inner: {**inner, "examples": ["UTC", "Europe/Moscow", "contact"]},
    segments._contact: lambda inner: {**inner, "minLength": 1, "maxLength": segments.CONTACT_BYTES_MAX},
}


def _spell_durations(part: Any) -> None:
    """Formats are only advice to a validator; a pattern is checked."""
    if isinstance(part, dict):
        if part.get("format") == "duration":
            part["pattern"] = DURATION
        for child in part.values():
            _spell_durations(child)
    elif isinstance(part, list):
        for child in part:
            _spell_durations(child)


def main() -> None:
    """Writes every schema beside the package `schemas`, and says which ones changed."""
    import schemas

    folder = Path(schemas.__file__).parent
    for name in schemas.NAMES:
        path, wanted = folder / f"{name}.schema.json", text(name)
        changed = not path.exists() or path.read_text(encoding="utf-8") != wanted
        path.write_text(wanted, encoding="utf-8")
        print(f"{path.name} {'written' if changed else 'is up to date'}", file=sys.stderr)


if __name__ == "__main__":
    main()
