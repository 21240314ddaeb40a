"""What one definition alone can't tell: unknown segments and models, cycles, groups, windows beyond the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from engine.conditions.instants import DAY, Duration
from engine.conditions.known import Known
from engine.conditions.profile import Profile
from engine.definitions.document import Segment
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.graph import Cycle, judging_order, named_models, nested
from engine.definitions.model import Model

JOURNAL_RETENTION = 400 * DAY
"""The default of the setting with this name, in milliseconds."""
SEGMENTS_MAX = 100_000
"""Segments of one installation."""


def check(
    segments: Sequence[Segment],
    models: Sequence[Model] = (),
    *,
    journal_retention: int = JOURNAL_RETENTION,
    complete: bool = True,
) -> None:
    """Raise DefinitionErrors unless the segments can run together, with these models.

    `journal_retention` is in milliseconds; without `complete` a nested segment or a model may be one that is not among
    them.
    """
    errors: list[DefinitionError] = [*_models(models, journal_retention)]
    if complete:
        errors += [error for segment in segments for error in _unknown_models(segment, models)]
    if len(segments) > SEGMENTS_MAX:
        errors.append(DefinitionError("", "", f"{len(segments)} segments; at most {SEGMENTS_MAX} are allowed"))
    seen: dict[tuple[str, str], Segment] = {}
    for segment in segments:
        if segment.key in seen:
            errors.append(
                _error(
                    segment,
                    "segment",
                    f"the id {segment.segment!r} is used twice in workspace {segment.workspace}",
                    "rename one",
                )
            )
        seen[segment.key] = segment
    for segment in seen.values():
        errors += _alone(segment, journal_retention)
        for name in sorted(nested(segment)) if complete else ():
            if (segment.workspace, name) not in seen:
                known = sorted(each for workspace, each in seen if workspace == segment.workspace)
                errors.append(
                    _error(
                        segment,
                        "when",
                        f"in_segment names the unknown segment {name!r}",
                        f"Known here: {', '.join(known[:20])}",
                    )
                )
    for workspace in sorted({segment.workspace for segment in seen.values()}):
        inside = [segment for segment in seen.values() if segment.workspace == workspace]
        errors += _groups(inside)
        try:
            judging_order(inside)
        except RecursionError:
            hint = "let segments nest others less deep"
            errors.append(_error(inside[0], "when", "in_segment nests too deep", hint))
        except Cycle as cycle:
            first = seen[workspace, cycle.path[0]]
            hint = "break it: a segment can't need its own answer, nor that of another in its group"
            errors.append(_error(first, "when", f"the segments form a cycle: {cycle}", hint))
    if errors:
        raise DefinitionErrors(errors)


def _models(models: Sequence[Model], retention: int) -> Iterator[DefinitionError]:
    seen: set[tuple[str, str]] = set()
    for model in models:
        if model.key in seen:
            problem = f"the id {model.model!r} is used twice for models of workspace {model.workspace}"
            yield DefinitionError(f"{model.key[1]}: model", "", problem, "rename one")
        seen.add(model.key)
        if model.within is not None and model.within.longest() > retention:
            problem = f"the window {model.within} is longer than the journal keeps facts"
            hint = f"the journal keeps {Duration(0, retention)}; shorten the window or raise JOURNAL_RETENTION"
            yield DefinitionError(f"{model.key[1]}: within", "", problem, hint)


def _unknown_models(segment: Segment, models: Sequence[Model]) -> Iterator[DefinitionError]:
    known = sorted({model.model for model in models if model.workspace == segment.workspace})
    for path, name in named_models(segment.when, "when"):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            hint += f"Known here: {', '.join(known[:20])}" if known else "There is none; write it as model: some-id"
            yield _error(segment, path, f"rfm names the unknown model {name!r}", hint)


def _error(segment: Segment, path: str, problem: str, hint: str = "") -> DefinitionError:
    return DefinitionError(f"{segment.segment}: {path}", "", problem, hint)


def _alone(segment: Segment, retention: int) -> Iterator[DefinitionError]:
    for path, window in windows(segment.when, "when"):
        if window.longest() > retention:
            hint = f"the journal keeps {Duration(0, retention)}; shorten the window or raise JOURNAL_RETENTION"
            yield _error(segment, path, f"the window {window} is longer than the journal keeps facts", hint)
    for contact in sorted(set(segment.include) & set(segment.exclude)):
        yield _error(
            segment, "include", f"contact {contact!r} is both included and excluded", "take it out of one of them"
        )


def windows(part: Any, path: str) -> Iterator[tuple[str, Duration]]:
    """Every duration in a rule, with its path."""
    if isinstance(part, Duration):
        yield path, part
    elif isinstance(part, Known | Profile):  # look at no fact but the first, and at attributes
        return
    elif isinstance(part, BaseModel):
        for name, field in type(part).model_fields.items():
            yield from windows(getattr(part, name), f"{path}.{field.alias or name}")
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield from windows(child, f"{path}[{index}]")


def _groups(segments: Sequence[Segment]) -> Iterator[DefinitionError]:
    taken: dict[tuple[str, int], str] = {}
    for segment in sorted(segments, key=lambda each: each.segment):
        if segment.group is not None:
            place = (segment.group.name, segment.group.priority)
            if place in taken:
                problem = f"group {place[0]!r} already has a segment of priority {place[1]}: {taken[place]}"
                yield _error(segment, "group.priority", problem, "give each segment of a group a priority of its own")
            taken[place] = segment.segment
