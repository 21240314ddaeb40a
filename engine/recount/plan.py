"""All segments of one workspace, taken apart: their leaves, their order, and who is in once the leaves have spoken."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine.recount.leaf import Leaf, Unsupported
from engine.recount.past import Past
from engine.recount.rules import make_leaf

Rule = tuple[str, Any]  # ("leaf", index) · ("in_segment", id) · ("all" | "any" | "none", list of rules) · ("not", rule)


_OWN_ZONE = "contact"


class Plan:
    """`order`: the ids, each after those that it names. A leaf that several segments have is there once."""

    def __init__(
        self,
        segments: Sequence[Mapping[str, Any]],
        models: Sequence[Mapping[str, Any]] = (),
        paused: Collection[str] = (),
    ) -> None:
        self._asked: list[tuple[str, Any, str]] = []  # kind, what is said under it, zone: of each distinct leaf
        self._leaves: dict[str, list[Leaf]] = {}
        self._places: dict[str, int] = {}
        self._models = {model["model"]: model for model in models}
        self.segments = {segment["segment"]: segment for segment in segments}
        self.paused = frozenset(paused)
        if len(self.segments) != len(segments):
            raise Unsupported("two segments of one workspace have the same id")
        self._rules = {name: self._rule_of(segment) for name, segment in self.segments.items()}
        self._above = {name: self._higher_in_group(segment) for name, segment in self.segments.items()}
        self.order = self._in_order()
        self.minding_first_fact = [i for i, leaf in enumerate(self.leaves("UTC")) if leaf.kind.first_fact]
        self._minding: dict[str, list[int]] = {}

    def leaves(self, own_zone: str | None) -> list[Leaf]:
        """Every distinct leaf, for a contact of this zone; those of one calendar are the same for all contacts."""
        own = own_zone or "UTC"
        if own not in self._leaves:
            shared = next(iter(self._leaves.values()), None)
            self._leaves[own] = [
                make_leaf(kind, spec, own if zone == _OWN_ZONE else zone)
                if shared is None or zone == _OWN_ZONE
                else shared[place]
                for place, (kind, spec, zone) in enumerate(self._asked)
            ]
        return self._leaves[own]

    def minding(self, kind: str) -> list[int]:
        """The leaves whose verdict a fact of this type may change."""
        if kind not in self._minding:
            self._minding[kind] = [i for i, leaf in enumerate(self.leaves("UTC")) if leaf.minds(kind)]
        return self._minding[kind]

    def answers(
        self, contact: str, past: Past, verdicts: Sequence[bool], frozen: Collection[str] = ()
    ) -> dict[str, bool]:
        """Final membership in every segment, given the verdict of every leaf at the same instant; `frozen` are the
        paused segments that the contact is in."""
        own: dict[str, bool] = {}

        def is_in(name: str) -> bool:
            return own_answer(name) and not any(own_answer(above) for above in self._above[name])

        def own_answer(name: str) -> bool:
            if name not in own:
                pinned = name not in self.paused  # nobody enters a paused segment, not even by name
                rule = (lambda: meets(self._rules[name])) if pinned else (lambda: name in frozen)
                own[name] = self._own(self.segments[name], contact, past, pinned, rule)
            return own[name]

        def meets(rule: Rule) -> bool:
            kind, parts = rule
            if kind == "leaf":
                return verdicts[parts]
            if kind == "in_segment":
                return is_in(parts)
            if kind == "not":
                return not meets(parts)
            if kind == "all":
                return all(meets(part) for part in parts)
            return any(meets(part) for part in parts) is (kind == "any")

        return {name: is_in(name) for name in self.order}

    @staticmethod
    def _own(segment: Mapping[str, Any], contact: str, past: Past, pinned: bool, rule: Any) -> bool:
        if contact in (segment.get("exclude") or ()) or not past.open_by_consent(segment.get("mailable")):
            return False
        return (pinned and contact in (segment.get("include") or ())) or bool(rule())

    def _rule_of(self, segment: Mapping[str, Any]) -> Rule:
        zone = segment.get("timezone") or "UTC"
        mailable = segment.get("mailable")
        if isinstance(mailable, Mapping) and "channel" not in mailable:
            raise Unsupported(f"{segment['segment']}: `mailable` without a channel")
        condition = segment.get("when")
        return ("any", []) if condition is None else self._rule(condition, zone)

    def _rule(self, condition: Mapping[str, Any], zone: str) -> Rule:
        if len(condition) != 1:
            raise Unsupported(f"a condition has one key, not {sorted(condition)}")
        ((kind, spec),) = condition.items()
        if kind in ("all", "any", "none"):
            return kind, [self._rule(part, zone) for part in spec]
        if kind == "not":
            return kind, self._rule(spec, zone)
        if kind == "in_segment":
            if spec not in self.segments:
                raise Unsupported(f"`in_segment: {spec}` names no segment")
            return kind, spec
        if kind == "rfm":  # the leaf is given the model itself, where its author wrote the name
            if spec["model"] not in self._models:
                raise Unsupported(f"`rfm` names no model: {spec['model']}")
            spec = {**spec, "model": self._models[spec["model"]]}
        same = json.dumps([kind, spec, zone], sort_keys=True, default=str)
        if same not in self._places:
            self._places[same] = len(self._asked)
            self._asked.append((kind, spec, zone))
        return "leaf", self._places[same]

    def _mates(self, segment: Mapping[str, Any]) -> list[str]:
        group = segment.get("group")
        if not group:
            return []
        return sorted(name for name, s in self.segments.items() if (s.get("group") or {}).get("name") == group["name"])

    def _higher_in_group(self, segment: Mapping[str, Any]) -> list[str]:
        mates = self._mates(segment)
        return [m for m in mates if self.segments[m]["group"]["priority"] > segment["group"]["priority"]]

    def _in_order(self) -> list[str]:
        """By id, but what a rule names before it, and a group as one; raises Unsupported if there is no such order."""
        order: list[str] = []
        waiting: set[str] = set()

        def visit(name: str) -> None:
            if name in order:
                return
            if name in waiting:
                raise Unsupported(f"{name} needs its own answer, through in_segment and groups")
            together = self._mates(self.segments[name]) or [name]
            waiting.update(together)
            for mate in together:
                for other in sorted(_named(self._rules[mate])):
                    visit(other)
            order.extend(together)

        for name in sorted(self.segments):
            visit(name)
        return order


def _named(rule: Rule) -> Iterator[str]:
    kind, parts = rule
    if kind == "in_segment":
        yield parts
    elif kind == "not":
        yield from _named(parts)
    elif kind != "leaf":
        for part in parts:
            yield from _named(part)
