"""What one definition alone can't tell: unknown segments and models, cycles, groups, windows beyond the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from engine.conditions.instants import DAY, Duration
from engine.conditions.known import Known
from engine.conditions.profile import Profile
from engine.conditions.regularly import RegularlyOptions
from engine.conditions.scoring import Cuts
from engine.conditions.spelling import near_name
from engine.definitions.document import Segment
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.graph import Cycle, named_models, needed, ordered
from engine.definitions.model import PREFIX, Definition, Model
from engine.definitions.source import Place, parts

JOURNAL_RETENTION = 400 * DAY
"""The default of the setting with this name, in milliseconds."""
SEGMENTS_MAX = 100_000
"""Segments of one installation."""
NAMED_MAX = 20
"""Ids that a hint names."""

Key = tuple[str, str]


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
    errors = together(segments, models, journal_retention=journal_retention, complete=complete)
    if errors:
        raise DefinitionErrors(errors)


def together(
    segments: Sequence[Segment],
    models: Sequence[Model] = (),
    *,
    journal_retention: int = JOURNAL_RETENTION,
    complete: bool = True,
    besides: Collection[Key] = (),
) -> list[DefinitionError]:
    """All that keeps the segments from running together, with these models; each mistake with its exact place.

    `besides` holds keys of definitions that are there too, but can't be looked at: they have mistakes of their own.
    """
    errors: list[DefinitionError] = []
    if len(segments) > SEGMENTS_MAX:
        errors.append(DefinitionError("", "", f"{len(segments)} segments; at most {SEGMENTS_MAX} are allowed"))
    definitions: list[Definition] = [*segments, *models]
    errors += _used_twice(definitions)
    for definition in definitions:
        errors += _too_long(definition, journal_retention)
    known = _by_workspace(definitions, besides) if complete else None
    by_key = {segment.key: segment for segment in reversed(segments)}  # of several with one id the first
    for segment in segments:
        errors += _pinned_both_ways(segment)
        if known is not None:
            errors += _unknown(segment, known[segment.workspace])
    for workspace in sorted({segment.workspace for segment in segments}):
        inside = [segment for segment in by_key.values() if segment.workspace == workspace]
        errors += _equal_priorities(inside)
        errors += [_cycle(by_key, workspace, cycle) for cycle in ordered(inside)[1]]
    return errors


def _error(definition: Definition, place: Place, problem: str, hint: str, *, key: bool = False) -> DefinitionError:
    """The mistake; where nobody knows what the definition was written in, its id leads to it."""
    told = definition.source.error(place, problem, hint, key=key)
    if told.file:
        return told
    return DefinitionError(f"{definition.key[1]}: {told.path}", told.text, problem, hint)


def _place(definition: Definition, place: Place) -> str:
    """Where another definition has what this one clashes with."""
    where = definition.source.where(place)
    return f" ({where})" if where else ""


class _Known:
    """The ids of one workspace, of segments or of models."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = set(ids)
        self._hints: dict[str, str] = {}

    def hint(self, name: str, but: str = "") -> str:
        """What may be meant by an id that is not among them; looked for once, as many may name what is missing. An id
        that means `but`, who asks, is not explained by it."""
        if name not in self._hints:
            near = near_name(name, self.ids)
            near = near_name(name, self.ids - {but}) if near == but else near
            known = ", ".join(sorted(self.ids)[:NAMED_MAX])
            rest = f" and {len(self.ids) - NAMED_MAX} more" if len(self.ids) > NAMED_MAX else ""
            self._hints[name] = (f"Did you mean {near!r}? " if near else "") + f"Known here: {known}{rest}"
        return self._hints[name]


def _by_workspace(definitions: Sequence[Definition], besides: Collection[Key]) -> dict[str, tuple[_Known, _Known]]:
    """The segments and models of each workspace."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for workspace, name in (*(each.key for each in definitions), *besides):
        segments, models = found.setdefault(workspace, (set(), set()))
        (models if name.startswith(PREFIX) else segments).add(name.removeprefix(PREFIX))
    return {workspace: (_Known(segments), _Known(models)) for workspace, (segments, models) in found.items()}


def _used_twice(definitions: Sequence[Definition]) -> Iterator[DefinitionError]:
    seen: dict[Key, Definition] = {}
    for each in definitions:
        first = seen.setdefault(each.key, each)
        if first is not each:
            kind, name = ("segment", each.segment) if isinstance(each, Segment) else ("model", each.model)
            problem = f"the id {name!r} is used twice in workspace {each.workspace}"
            yield _error(each, (kind,), problem, f"rename one; the other stands first{_place(first, (kind,))}")


def _too_long(definition: Definition, retention: int) -> Iterator[DefinitionError]:
    hint = f"the journal keeps {Duration(0, retention)}; shorten the window or raise JOURNAL_RETENTION"
    # Known looks at no fact but the first, a profile at attributes, and cut points at the last fact, however old it is.
    for place, part in parts(definition, (), skip=(Known, Profile, Cuts)):
        if isinstance(part, Duration) and part.longest() > retention:
            yield _error(definition, place, f"the window {part} is longer than the journal keeps facts", hint)
        elif isinstance(part, RegularlyOptions) and part.period.longest() <= retention < part.span.longest():
            problem = f"{part.periods} periods of {part.period} are longer than the journal keeps facts"
            yield _error(definition, (*place, "periods"), problem, hint)


def _pinned_both_ways(segment: Segment) -> Iterator[DefinitionError]:
    included = set(segment.include)
    for index, contact in enumerate(segment.exclude):
        if contact in included:
            problem = f"contact {contact!r} is both included and excluded"
            yield _error(segment, ("exclude", index), problem, "take it out of one of them")


def _unknown(segment: Segment, known: tuple[_Known, _Known]) -> Iterator[DefinitionError]:
    """What a segment names and nobody knows in its workspace."""
    segments, models = known
    for _, place, other in needed(segment):
        if other not in segments.ids:
            hint = segments.hint(other, but=segment.segment)
            yield _error(segment, place, f"in_segment names the unknown segment {other!r}", hint)
    for place, model in named_models(segment):
        if model not in models.ids:
            hint = models.hint(model) if models.ids else "There is none; write it as a document with model: some-id"
            yield _error(segment, place, f"rfm names the unknown model {model!r}", hint)


def _equal_priorities(segments: Sequence[Segment]) -> Iterator[DefinitionError]:
    taken: dict[tuple[str, int], Segment] = {}
    place = ("group", "priority")
    for segment in sorted(segments, key=lambda each: each.segment):
        if segment.group is None:
            continue
        first = taken.setdefault((segment.group.name, segment.group.priority), segment)
        if first is not segment:
            has = f"group {segment.group.name!r} already has a segment of priority {segment.group.priority}"
            problem = f"{has}: {first.segment}{_place(first, place)}"
            yield _error(segment, place, problem, "give each segment of a group a priority of its own")


def _cycle(segments: dict[Key, Segment], workspace: str, cycle: Cycle) -> DefinitionError:
    first = cycle.needs[0]
    hint = "break it: a segment can't need its own answer, nor that of another in its group"
    for need in cycle.needs[1:]:
        hint += f"; {need.segment} asks for {need.other}{_place(segments[workspace, need.segment], need.place)}"
    return _error(segments[workspace, first.segment], first.place, f"the segments form a cycle: {cycle}", hint)
