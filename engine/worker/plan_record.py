"""The plan as a document: what is asked for, what it builds on, and what it would do; sealed, so that what is applied
is what was looked at."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import orjson

from engine.definitions import DefinitionErrors, canonical_form, read_definition
from engine.definitions.differences import differences
from engine.definitions.model import is_model
from engine.membership.dry_run import Outcome, Sampled, Tally
from engine.membership.planned import segment_key
from engine.worker.definition_changes import Applied, Change
from engine.worker.definition_record import Key, called
from engine.worker.dry_run import Reasons
from engine.worker.proposal import Proposal

FORMAT: Final = "segment-engine-plan/1"
OVERLAPS_MAX: Final = 20
"""Other segments that are told of with how many members they share, the largest shares first."""
PLAN_BYTES_MAX: Final = 64 << 20
"""Bytes of a plan in a file: ten thousand definitions of some kilobytes."""
_WORDS: Final = ("created", "changed", "paused", "resumed", "deleted", "unchanged")


class PlanUnusable(Exception):
    """What should be a plan is none that can be applied. The text is one paragraph."""


def plan_record(
    proposal: Proposal, outcome: Outcome, reasons: Reasons, partitions: Sequence[Mapping[str, Any]], made_at: str
) -> dict[str, Any]:
    """The sealed plan in plain JSON; `partitions` with the clock that each was looked at, `made_at` RFC 3339."""
    edited = [_edited(proposal, each, outcome, reasons) for each in proposal.applied if each.result != "unchanged"]
    rows = [*edited, *_following(proposal, outcome, reasons)]
    change = proposal.change
    counted = Counter(each.result for each in proposal.applied)
    return sealed(
        {
            "format": FORMAT,
            "engine": _engine(),
            "made_at": made_at,
            "apply": [canonical_form(each) for each in change.apply],
            "pause": _places(change.pause),
            "resume": _places(change.resume),
            "delete": _places(change.delete),
            "expected": [{**_place(key), "version": found} for key, found in proposal.expected.items()],
            "partitions": sorted(partitions, key=lambda each: int(each["partition"])),
            "contacts": outcome.contacts,
            "moving": outcome.moving,
            "lacking": outcome.lacking,
            "totals": {
                **{word: counted[word] for word in _WORDS},
                "follows": len(rows) - len(edited),
                "entering": sum(each["entering"] for each in rows),
                "leaving": sum(each["leaving"] for each in rows),
            },
            "segments": rows,
        }
    )


def _engine() -> str:
    try:
        return version("segment-engine")
    except PackageNotFoundError:
        return ""


def _place(key: Key) -> dict[str, str]:
    return {"workspace": key[0], "segment": key[1]}


def _places(keys: Iterable[Key]) -> list[dict[str, str]]:
    return [_place(key) for key in keys]


def _edited(proposal: Proposal, applied: Applied, outcome: Outcome, reasons: Reasons) -> dict[str, Any]:
    known, after = proposal.before.get(applied.key), proposal.after[applied.key]
    told: list[str] = []
    if applied.result == "changed" and known is not None and known.definition is not None and after.definition:
        told = differences(known.definition, after.definition)
    definition = after.definition or (known.definition if known is not None else None) or {}
    name = definition.get("name", "")
    before = known.version if known is not None and known.in_force else None
    tally = Tally() if is_model(applied.key) else outcome.of(*applied.key)
    about: dict[str, Any] = {
        **_place(applied.key),
        "name": name,
        "change": applied.result,
        "state": applied.state,
        "version_before": before,
        "version": applied.version,
        "differences": told,
    }
    return {**about, **_counted(proposal, applied.key, tally, reasons, deleted=applied.result == "deleted")}


def _following(proposal: Proposal, outcome: Outcome, reasons: Reasons) -> list[dict[str, Any]]:
    """Segments that nobody edits, and whose members change by what is edited."""
    edited = set(proposal.edited)
    found = []
    for name, space in sorted(proposal.candidate.workspaces.items()):
        for segment in space.segments:
            key, tally = (name, segment.id), outcome.of(name, segment.id)
            if key in edited or not tally.entering + tally.leaving:
                continue
            about: dict[str, Any] = {
                **_place(key),
                "name": segment.document.name,
                "change": "follows",
                "state": "paused" if segment.paused else "active",
                "version_before": segment.version,
                "version": segment.version,
                "differences": [],
            }
            found.append({**about, **_counted(proposal, key, tally, reasons)})
    return found


def _counted(proposal: Proposal, key: Key, tally: Tally, reasons: Reasons, deleted: bool = False) -> dict[str, Any]:
    why = reasons.get(segment_key(*key), {})

    def shown(sample: Sequence[Sampled]) -> list[dict[str, Any]]:
        return [
            {"contact": contact, "why": "the segment is deleted" if deleted else why.get(contact)}
            for _, contact in sample
        ]

    return {
        "size_before": tally.now,
        "size": tally.then,
        "entering": tally.entering,
        "leaving": tally.leaving,
        "causes": dict(sorted(tally.causes.items())),
        "lacking": tally.lacking,
        "enter_sample": shown(tally.enter_sample),
        "leave_sample": shown(tally.leave_sample),
        "overlap": _overlap(proposal, key[0], tally),
    }


def _overlap(proposal: Proposal, workspace: str, tally: Tally) -> list[dict[str, Any]]:
    ids = {
        each.key: each.id
        for plan in (proposal.present, proposal.candidate)
        for each in plan.workspace(workspace).segments
    }
    now, then = tally.together_now, tally.together_then
    shared = sorted(
        (key for key in now.keys() | then.keys() if key in ids),
        key=lambda key: (-then.get(key, 0), -now.get(key, 0), ids[key]),
    )
    return [{"segment": ids[key], "before": now.get(key, 0), "then": then.get(key, 0)} for key in shared[:OVERLAPS_MAX]]


# --- the seal


def _digest(record: Mapping[str, Any]) -> str:
    body = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the digest of all the rest of it."""
    return {**record, "digest": _digest(record)}


@dataclass(frozen=True, slots=True)
class SealedPlan:
    """A plan that may be applied: the change with the versions that it expects, and the record itself."""

    change: Change
    record: Mapping[str, Any]


def unsealed(text: bytes, source: str) -> SealedPlan:
    """The plan in a file's bytes, as it was made. Raises PlanUnusable, with what is the matter with `source`."""
    again = "Make a new one: segment-engine segments plan … --out FILE"
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise PlanUnusable(f"{source} is no plan: it is not JSON ({error}). {again}") from None
    if not isinstance(record, dict) or not str(record.get("format", "")).startswith("segment-engine-plan/"):
        raise PlanUnusable(f"{source} is no plan of segment-engine segments plan --out. {again}")
    if record["format"] != FORMAT:
        said = (
            f"{source} is a plan in the form {record['format']}; this version of the engine writes and reads {FORMAT}."
        )
        raise PlanUnusable(f"{said} {again}")
    if record.get("digest") != _digest(record):
        raise PlanUnusable(
            f"{source} was changed after it was made: what it would do is not what was looked at. Nothing was applied. "
            f"{again}"
        )
    try:
        change = Change(
            apply=[read_definition(each, f"{source}, apply {number}") for number, each in enumerate(record["apply"])],
            pause=_keys(record["pause"]),
            resume=_keys(record["resume"]),
            delete=_keys(record["delete"]),
            expected={(each["workspace"], each["segment"]): each["version"] for each in record["expected"]},
        )
    except DefinitionErrors as error:
        raise PlanUnusable(
            f"{source} holds a definition that this version of the engine does not understand: {error}. {again}"
        ) from None
    except (KeyError, TypeError) as error:
        raise PlanUnusable(f"{source} is not whole ({type(error).__name__}: {error}). {again}") from None
    return SealedPlan(change, record)


def _keys(places: Iterable[Mapping[str, str]]) -> list[Key]:
    return [(each["workspace"], each["segment"]) for each in places]


def refuse_newcomers(plan: SealedPlan, expected: Mapping[Key, int | None], source: str) -> None:
    """`expected` is what the plan's change builds on now: what was not there when it was made, as a new segment in a
    group, raises PlanUnusable."""
    new = [key for key in expected if key not in plan.change.expected]
    if new:
        named = ", ".join(called(key) for key in new[:OVERLAPS_MAX])
        raise PlanUnusable(
            f"Nothing was applied: the definitions in {source} build on {named} now, which they did not when the plan "
            "was made. Make a new one, and look at it: segment-engine segments plan … --out FILE"
        )
