"""Walks one contact through its facts in the order they were taken, and through every instant between them (DESIGN 4).

`thorough` looks at every segment at every instant that lies any duration of any condition after any fact, at each
bound of each day that any condition asks the clock or the calendar for, and chooses the facts of every condition anew
with each fact. Without it only what provably can change is looked at: a leaf's verdict is a function of the facts it
chose, of how `t` stands to `leaf.instants` of each, and of `leaf.next_turn`; between those it stays. Tests hold the two
against each other.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from engine.recount.facts import ERASURE, Fact
from engine.recount.instants import BEGINNING, NEVER
from engine.recount.life import Change, InForce
from engine.recount.past import LIST_TYPES, Past, consent_of

CLOCK = "clock"
ANSWERS_KEPT = 64
"""Of one contact: a clock that comes and goes brings the same few again and again."""


class Walk:
    """One contact. `transitions` are dicts as `recount` gives them, in the order in which they happen."""

    def __init__(
        self, definitions: InForce, workspace: str, contact: str, transitions: list[dict[str, Any]], thorough: bool
    ) -> None:
        plan = definitions.plan(workspace)
        self._versions = definitions.versions
        self.late = False
        self.unsettled = False
        self.erased_at = BEGINNING
        self._taken_up = BEGINNING  # the instant as of which the definitions in force were taken up
        self.members: dict[str, int] = {}  # segment → sequence of its last transition; an odd one is an enter
        self._plan, self._workspace, self._contact = plan, workspace, contact
        self._transitions, self._thorough = transitions, thorough
        self._past = Past(workspace, contact)
        self._leaves = plan.leaves(None)
        self._as_of = BEGINNING
        self._looked = BEGINNING  # the last instant that was looked at
        self._verdicts = [False] * len(self._leaves)
        self._chosen: list[list[list[Fact]]] = []
        self._agenda: list[tuple[int, int]] = []  # heap of (instant after `_looked`, leaf)
        self._turns: dict[int, int] = {}  # leaf → its next turn, if that is on the agenda
        self._ids: dict[str, int | None] = {}
        # By all verdicts and the paused segments it is in, who is in: nothing else decides until a fact says something
        # of consent.
        self._answers: dict[tuple[tuple[bool, ...], frozenset[str]], dict[str, bool]] = {}

    def is_duplicate(self, fact: Fact, dedup: int) -> bool:
        """Whether a fact with this id was taken less than `dedup` ms of arrival before; remembers it if not. An erasure
        is one too where a later one was taken."""
        if fact.type == ERASURE and fact.at <= self.erased_at:
            return True
        if fact.id in self._ids:
            first = self._ids[fact.id]
            if first is None or fact.arrival is None or fact.arrival < first + dedup:
                return True
        self._ids[fact.id] = fact.arrival
        return False

    def pass_time(self, to: int) -> None:
        """Fires the deadlines strictly before `to` (ms), each at its own instant."""
        if not self._past.facts:
            return
        for t in self._every_instant(to) if self._thorough else self._agreed_instants(to):
            if self._look(t, self._due(t)) and self._judge(t, None):
                self._as_of = t

    def _every_instant(self, to: int) -> list[int]:
        return sorted(set().union(*(leaf.every_instant(self._past, self._looked, to) for leaf in self._leaves)))

    def _agreed_instants(self, to: int) -> Iterator[int]:
        while self._agenda and self._agenda[0][0] < to:
            yield self._agenda[0][0]

    def take(self, fact: Fact, clock: int) -> None:
        """Takes a fact when the partition clock stands at `clock` (ms)."""
        self.pass_time(clock)
        if fact.at >= self._as_of:
            self.pass_time(fact.at)
        self.late = self.late or fact.at < max(self._as_of, clock)
        self.unsettled = self.unsettled or fact.at < self._taken_up
        at = max(fact.at, self._as_of)
        first = not self._past.facts
        in_order = fact.at >= self._looked
        minding = self._plan.minding(fact.type)
        zone = self._past.zone
        anew = self._past.take(fact) or first or zone != self._past.zone or self._thorough
        if anew:
            self._leaves = self._plan.leaves(self._past.zone)
            self._chosen = [leaf.choose(self._past) for leaf in self._leaves]
        else:
            self._choose(fact, minding)
        if anew or not in_order:
            leaves: Iterable[int] = range(len(self._leaves))
            self._plan_anew(at)
        else:
            self._plan_ahead(fact, minding, at)
            leaves = {*minding, *self._due(at)}
        changed = self._look(at, leaves)
        if anew or consent_of(fact) is not None:
            self._answers = {}
            self._judge(at, fact)
        elif changed:
            self._judge(at, fact)
        self._as_of = at

    def erase(self, erasure: Fact, clock: int) -> None:
        """Takes an erasure: the contact leaves, and is new by the facts after it that were taken before it."""
        self.pass_time(clock)
        if erasure.at >= self._as_of:
            self.pass_time(erasure.at)
        self.late = self.late or erasure.at < max(self._as_of, clock)
        self.unsettled = self.unsettled or erasure.at < self._taken_up
        at = max(erasure.at, self._as_of)
        self._publish(at, erasure, [name for name in self._plan.order if self.members.get(name, 0) % 2])
        kept = self._past.since(erasure.at)
        self.erased_at, self.members = erasure.at, {}
        self._past, self._ids, self._answers = Past(self._workspace, self._contact), {}, {}
        self._leaves = self._plan.leaves(None)
        self._as_of = self._looked = BEGINNING
        self._verdicts, self._chosen = [False] * len(self._leaves), []
        self._agenda, self._turns = [], {}
        for fact in kept:
            self._past.take(fact)
            self._ids[fact.id] = fact.arrival
        if self._past.facts:
            self._leaves = self._plan.leaves(self._past.zone)
            self._chosen = [leaf.choose(self._past) for leaf in self._leaves]
            self._plan_anew(at)
            self._look(at, range(len(self._leaves)))
            self._judge(at, erasure)
        if kept:
            self._as_of = at

    def take_up(self, change: Change) -> None:
        """Goes on under other definitions: what fell due before them is published, then what they make differ."""
        self.pass_time(change.at)
        t = max(change.at, self._as_of)
        if self._past.facts and self._looked < t and self._look(t, self._due(t)):
            self.unsettled = True
        self._taken_up = t
        plan = change.definitions.plan(self._workspace)
        self._plan, self._versions, self._answers = plan, change.definitions.versions, {}
        gone = sorted(name for name, sequence in self.members.items() if sequence % 2 and name not in plan.segments)
        self._publish(t, None, gone, (), ())
        self._leaves = plan.leaves(self._past.zone)
        self._verdicts = [False] * len(self._leaves)
        if not self._past.facts:
            return
        self._chosen = [leaf.choose(self._past) for leaf in self._leaves]
        self._plan_anew(t)
        self._look(t, range(len(self._leaves)))
        new = {name for workspace, name in change.new if workspace == self._workspace}
        if self._judge(t, None, new) or gone:
            self._as_of = t

    def _due(self, t: int) -> Iterable[int]:
        if self._thorough:
            return range(len(self._leaves))
        leaves = set()
        while self._agenda and self._agenda[0][0] == t:
            leaves.add(heapq.heappop(self._agenda)[1])
        return leaves

    def _choose(self, fact: Fact, leaves: Iterable[int]) -> None:
        for leaf in leaves:
            for choice, facts in zip(self._leaves[leaf].choices, self._chosen[leaf], strict=True):
                if choice.takes(fact):
                    insort(facts, fact, key=Fact.place)

    def _plan_ahead(self, fact: Fact, leaves: Iterable[int], at: int) -> None:
        """Notes the instants after `at` at which this fact may change the verdict of these leaves."""
        for leaf in leaves:
            for t in self._leaves[leaf].instants(fact.at):
                if at < t < NEVER:
                    heapq.heappush(self._agenda, (t, leaf))

    def _plan_anew(self, at: int) -> None:
        self._agenda, self._turns = [], {}
        for fact in self._past.facts:
            self._plan_ahead(fact, self._plan.minding(fact.type), at)
        self._plan_ahead(self._past.facts[0], self._plan.minding_first_fact, at)

    def _plan_turn(self, leaf: int, t: int) -> None:
        turn = self._leaves[leaf].next_turn(self._past, t)
        if turn < NEVER and self._turns.get(leaf) != turn:
            self._turns[leaf] = turn
            heapq.heappush(self._agenda, (turn, leaf))

    def _look(self, t: int, leaves: Iterable[int]) -> bool:
        """Asks these leaves at `t`; whether any answers otherwise than before."""
        changed = False
        for leaf in leaves:
            verdict = self._leaves[leaf].verdict(self._past, self._chosen[leaf], t)
            changed = changed or verdict is not self._verdicts[leaf]
            self._verdicts[leaf] = verdict
            if not self._thorough:
                self._plan_turn(leaf, t)
        self._looked = t
        return changed

    def _judge(self, t: int, fact: Fact | None, new: Collection[str] | None = None) -> bool:
        """Publishes what differs from the answers at `t`: all exits, then all enters. Whether anything did. With `new`
        because definitions changed."""
        now_in = {name for name, sequence in self.members.items() if sequence % 2}
        verdicts, frozen = tuple(self._verdicts), self._plan.paused & now_in
        if (verdicts, frozen) not in self._answers:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers = {}
            self._answers[verdicts, frozen] = self._plan.answers(self._contact, self._past, verdicts, frozen)
        answers = self._answers[verdicts, frozen]
        exits = [name for name in self._plan.order if name in now_in and not answers[name]]
        enters = [name for name in self._plan.order if name not in now_in and answers[name]]
        self._publish(t, fact, exits, enters, new)
        return bool(exits or enters)

    def _publish(
        self,
        t: int,
        fact: Fact | None,
        exits: Sequence[str],
        enters: Sequence[str] = (),
        new: Collection[str] | None = None,
    ) -> None:
        for name in (*exits, *enters):
            self.members[name] = self.members.get(name, 0) + 1
            change = "enter" if self.members[name] % 2 else "exit"
            self._transitions.append(
                {
                    "workspace": self._workspace,
                    "segment": name,
                    "contact": self._contact,
                    "change": change,
                    "sequence": self.members[name],
                    "at": t,
                    "cause": _cause(change, fact) if new is None else "backfill" if name in new else "definition",
                    "version": self._versions.get((self._workspace, name)),
                }
            )


def _cause(change: str, fact: Fact | None) -> str:
    if fact is None:
        return CLOCK
    if fact.type == ERASURE:
        return "erase"
    if change == "exit" and consent_of(fact) is False:
        return "opt_out"
    return "list" if fact.type in LIST_TYPES else "event"
