"""What the contacts of a partition were wholly brought up to: from it follows what a changed plan must judge again.

A segment's `judged` digest is of everything that its answer and its payload rest on, beside what it nests: the
definition without its name, its description, whom it is hidden from and its topic; whether it is paused; the models it
scores by; who else is in its group; which of the segments it nests are not there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from engine.conditions.feature import digest
from engine.conditions.scoring import Scoring
from engine.definitions.document import Segment, canonical
from engine.definitions.graph import named_models, needed

if TYPE_CHECKING:
    from engine.membership.plan import Plan

_ASIDE = ("name", "description", "hidden_from", "topic", "members_topic")
"""Fields that nobody's membership or payload rests on."""
_SCORING = set(Scoring.model_fields)


class Filled(msgspec.Struct, array_like=True, frozen=True):
    """The plan that every contact of a partition was last brought up to: its fingerprint, the judged digest of each
    segment by the segment's key, the keys of its features by workspace, and the keys of the segments whose members are
    not in `segments.members`. Bounded by the number of definitions."""

    fingerprint: int = 0
    segments: dict[int, int] = {}
    features: dict[str, frozenset[int]] = {}
    unkept: frozenset[int] = frozenset()

    @classmethod
    def of(cls, plan: Plan) -> Filled:
        """What holds once every contact is brought up to `plan`."""
        spaces = plan.workspaces
        segments = {segment.key: segment.judged for space in spaces.values() for segment in space.segments}
        features = {name: frozenset(space.features) for name, space in spaces.items()}
        return cls(plan.fingerprint, segments, features, plan.unkept)


def judged_digest(
    document: Segment, paused: bool, models: Mapping[str, Scoring], ids: Collection[str],
    groups: Mapping[str, list[tuple[int, str]]],
) -> int:  # fmt: skip
    """The digest of one definition; `models`, `ids` of segments, and `groups` with the priority and id of each in them,
    are those of its workspace."""
    found = {name: value for name, value in canonical(document).items() if name not in _ASIDE}
    more = [
        paused,
        [
            [name, models[name].model_dump(mode="json", by_alias=True, include=_SCORING) if name in models else None]
            for name in sorted({name for _, name in named_models(document)})
        ],
        sorted({need.other for need in needed(document) if need.other not in ids}),
        [] if document.group is None else sorted(groups[document.group.name]),
    ]
    return digest(json.dumps([found, more], sort_keys=True, separators=(",", ":")))
