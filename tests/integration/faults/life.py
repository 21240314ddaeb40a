"""What a partition went through while definitions changed, read from the topics alone, and whether all that was
published follows from it.

A partition's changelog tells, commit by commit, how far the definitions' topic was read for what it is under, at which
clock it was taken up, how far its fill has come, and which facts were taken by then. With that the recount goes through
the same life: every transition of a contact whose facts came in order must then be as it says, to the version.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from engine.conditions.instants import parse_instant
from engine.membership.placement import split_key
from engine.recount import Change, InForce, Result, recount
from engine.recount.instants import text_of
from engine.state.changelog import POSITION, STATE
from engine.state.codec import Position, decode_header, decode_position
from tests.integration.faults.checker import Seen, Who, ids_of, who, with_arrival
from tests.integration.harness_kafka import Record

Key = tuple[str, str]  # workspace, segment
Json = dict[str, Any]
SILENT_MS = 700
"""No partition that is alive is silent for so long while facts come: a started worker needs longer to go on."""
_LEFT_OUT = frozenset(("definition", "opt_out", "erase"))
"""Why somebody leaves a paused segment that is in no group."""
_OF_A_FACT = frozenset(("event", "list", "opt_out", "erase"))


class History:
    """The records of `segments.definitions` in the order of their offsets, and what was in force behind each."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._offsets = [record.offset for record in records]
        self.values: list[Json] = [orjson.loads(record.value or b"null") for record in records]
        self._made: dict[int, Definitions] = {}
        self.versions = {(each["workspace"], each["segment"], each["version"]): each for each in self.values}

    def behind(self, read_to: int) -> Definitions:
        """What was in force for who had read up to the offset `read_to`, which is not read."""
        count = bisect_right(self._offsets, read_to - 1)
        if count not in self._made:
            self._made[count] = Definitions({(e["workspace"], e["segment"]): e for e in self.values[:count]})
        return self._made[count]


@dataclass(slots=True)
class Definitions:
    """The latest record of each definition at one time."""

    records: dict[Key, Json]
    recounted: InForce = field(init=False)

    def __post_init__(self) -> None:
        there = {key: each for key, each in self.records.items() if each["state"] != "deleted"}
        self.recounted = InForce(
            [each["definition"] for (_, name), each in there.items() if not name.startswith("model:")],
            [each["definition"] for (_, name), each in there.items() if name.startswith("model:")],
            [key for key, each in there.items() if each["state"] == "paused"],
            {key: each["version"] for key, each in self.records.items()},
        )

    @property
    def segments(self) -> set[Key]:
        """The keys of those in force."""
        return {(space, name) for space, plan in self.recounted.plans.items() for name in plan.segments}

    @property
    def paused(self) -> set[Key]:
        """The keys of those whose rule stands still."""
        return {key for key, each in self.records.items() if each["state"] == "paused"}


@dataclass(slots=True)
class Epoch:
    """A time of one partition under one state of the definitions.

    at: the clock (ms) at which they were taken up; offsets: the facts taken before, by topic
    new: segments that had never been wholly filled there
    passed_over: contacts who were still under other definitions when the next epoch began, as neither its fill nor a
        fact nor a deadline had reached them
    ended: whether its fill had ended by then
    renamed: contacts for whom nothing but names and versions differed from the epoch before; for them it began at the
        clock `since` (ms), before which no deadline was left
    """

    at: int
    definitions: Definitions
    offsets: Mapping[str, int]
    new: set[Key]
    plan: int
    passed_over: set[Who] = field(default_factory=set)
    ended: bool = False
    renamed: set[Who] = field(default_factory=set)
    since: int = 0


@dataclass
class Life:
    """Everything that was read of a run with changing definitions: the epochs of each partition."""

    seen: Seen
    history: History
    epochs: dict[int, list[Epoch]]

    @cached_property
    def documents(self) -> list[Json]:
        """All transitions, in the order of their partitions."""
        return [orjson.loads(record.value) for record in self.seen.transitions if record.value is not None]


def life_of(seen: Seen, definitions: Sequence[Record]) -> Life:
    """Puts what was read together."""
    history = History(definitions)
    logs: dict[int, list[Record]] = defaultdict(list)
    for record in seen.changelog:
        logs[record.partition].append(record)
    return Life(seen, history, {part: _epochs(log, history) for part, log in logs.items()})


def _epochs(log: Iterable[Record], history: History) -> list[Epoch]:
    """One for each state of the definitions under which something was committed; of each commit the position comes
    last, after the states that it changed."""
    epochs: list[Epoch] = []
    under: dict[bytes, int] = {}  # store key → fingerprint of the plan that its state is of
    changed: dict[bytes, bytes | None] = {}
    before = Position()
    filled: set[Key] = set()
    for record in log:
        assert record.key is not None
        if record.key[:1] == STATE:
            changed[record.key[1:]] = record.value
        if record.key != POSITION or record.value is None:
            continue
        position = decode_position(record.value)
        found = history.behind(position.read_to)
        if not epochs or found is not epochs[-1].definitions:
            _pass_over(epochs, under)
            same = bool(epochs) and position.plan == epochs[-1].plan  # a name, or a model that nobody scores by
            new = epochs[-1].new if same else found.segments - filled
            epochs.append(Epoch(position.changed_at, found, before.offsets, new, position.plan))
            if same:
                epochs[-1].renamed = {split_key(key) for key, plan in under.items() if plan == position.plan}
                epochs[-1].since = before.clock
        for key, state in changed.items():
            if state is None:
                under.pop(key, None)
            else:
                under[key] = decode_header(state).plan
        changed = {}
        epochs[-1].ended = position.filled is None
        if position.filled is None:
            filled = found.segments
        before = position
    _pass_over(epochs, under)
    return epochs


def _pass_over(epochs: Sequence[Epoch], under: Mapping[bytes, int]) -> None:
    """An epoch has ended."""
    if epochs:
        epochs[-1].passed_over = {split_key(key) for key, plan in under.items() if plan != epochs[-1].plan}


def stream_of(life: Life, contacts: set[Who]) -> list[bytes | Change]:
    """The facts of these contacts as each partition took them, with its changes among them."""
    stream: list[bytes | Change] = []
    by_partition: dict[int, list[tuple[int, Record]]] = defaultdict(list)
    for record in life.seen.facts:
        if who(orjson.loads(record.value or b"{}")) in contacts:
            number = _epoch_of(life.epochs.get(record.partition, []), record)
            by_partition[record.partition].append((number, record))
    for partition, epochs in life.epochs.items():
        facts = sorted(by_partition[partition], key=lambda each: each[0])  # stable: by arrival within an epoch
        place = 0
        for number, epoch in enumerate(epochs):
            definitions = epoch.definitions.recounted
            others = epoch.passed_over | epoch.renamed
            stream.append(Change(epoch.at, definitions, partition, epoch.new, others))
            if epoch.renamed:
                others = epoch.passed_over | contacts - epoch.renamed
                stream.append(Change(epoch.since, definitions, partition, epoch.new, others))
            while place < len(facts) and facts[place][0] <= number:
                stream.append(with_arrival(facts[place][1]))
                place += 1
    return stream


def _epoch_of(epochs: Sequence[Epoch], record: Record) -> int:
    """The number of the epoch in which a fact was taken."""
    return max((n for n, each in enumerate(epochs) if record.offset >= each.offsets.get(record.topic, 0)), default=0)


def lived(life: Life, contacts: set[Who], *, until: int, grace: int, partitions: int) -> Result:
    """The recount of these contacts through the life, until the clock `until` (ms)."""
    stream = stream_of(life, contacts)
    return recount([], stream, until=until, grace=grace, partitions=partitions, clock_follows_arrival=False)


def like_lived(life: Life, result: Result, contacts: set[Who]) -> list[str]:
    """Every transition of these contacts is as the recount found it going through the same life, with its cause and its
    version, in the same order but for those of one instant at which definitions were taken up."""
    ours, theirs = _rows(result.transitions), _rows(life.documents)
    changed = {epoch.at for epochs in life.epochs.values() for epoch in epochs}
    faults = []
    for contact in sorted(contacts):
        mine, given = ours.get(contact, []), theirs.get(contact, [])
        faults += [f"{contact}: only the recount has {_told(row)}" for row in mine if row not in given]
        faults += [f"{contact}: only the engine has {_told(row)}" for row in given if row not in mine]
        if sorted(mine) == sorted(given):
            faults += [
                f"{contact}: {_told(left)} where the recount has {_told(right)}"
                for left, right in zip(given, mine, strict=True)
                if left != right and left[0] not in changed
            ]
    return faults


Row = tuple[int, str, int, str, int | None]


def _rows(transitions: Iterable[Mapping[str, Any]]) -> dict[Who, list[Row]]:
    found: dict[Who, list[Row]] = defaultdict(list)
    for each in transitions:
        at, cause = each["at"], each["cause"]
        if not isinstance(at, int):
            at, cause = parse_instant(at), cause["kind"]
        found[who(each)].append((at, each["segment"], each["sequence"], cause, each["version"]))
    return found


def _told(row: Row) -> str:
    at, segment, sequence, cause, version = row
    return f"{'enter' if sequence % 2 else 'exit'} {segment} ({sequence}, {cause}, version {version}) at {text_of(at)}"


def wholly_filled(life: Life) -> list[str]:
    """Where a fill has ended, every contact of the partition is under the definitions that it was for; the last ones
    have all ended."""
    faults = []
    for partition, epochs in life.epochs.items():
        if not epochs[-1].ended:
            faults.append(f"partition {partition}: the last fill has not ended")
        for number, epoch in enumerate(epochs):
            if epoch.ended and epoch.passed_over:
                some = sorted(epoch.passed_over)[:3]
                faults.append(f"partition {partition}: fill {number} ended without {len(epoch.passed_over)}: {some} …")
    return faults


def versions_that_were(life: Life) -> list[str]:
    """No transition carries a version that never was, of a segment that was gone nothing but the exits; and versions
    never go back within a partition."""
    faults, last = [], defaultdict[tuple[int, Key], int](int)
    for transition, each in zip(life.seen.transitions, life.documents, strict=True):
        name = f"{each['segment']} {who(each)} {each['sequence']}"
        version = life.history.versions.get((each["workspace"], each["segment"], each["version"]))
        if version is None:
            faults.append(f"{name}: there never was a version {each['version']}")
            continue
        place = transition.partition, (each["workspace"], each["segment"])
        if each["version"] < last[place]:
            faults.append(f"{name}: version {each['version']} after {last[place]}")
        last[place] = max(last[place], each["version"])
        if version["state"] == "deleted" and (each["change"], each["cause"]["kind"]) != ("exit", "definition"):
            faults.append(f"{name}: {each['change']} by {each['cause']['kind']} of what is deleted")
    return faults


def paused_stood_still(life: Life) -> list[str]:
    """Into a paused segment nobody enters, and nobody leaves but by an exclusion, the gate, an erasure or the group."""
    faults = []
    for each in life.documents:
        version = life.history.versions.get((each["workspace"], each["segment"], each["version"]))
        if version is None or version["state"] != "paused":
            continue
        grouped = version["definition"].get("group") is not None
        if each["change"] == "enter":
            faults.append(f"{each['segment']}: {who(each)} entered at version {each['version']}, which is paused")
        elif not grouped and each["cause"]["kind"] not in _LEFT_OUT:
            faults.append(f"{each['segment']}: {who(each)} left by {each['cause']['kind']} what is paused")
    return faults


def rightly_caused(life: Life) -> list[str]:
    """`backfill` only where a segment was being filled for the first time, `definition` only where it was not, and both
    as of the clock at which a change was taken up, or of a later fact of the contact; `event` and its like only by a
    fact that there is, as of it unless it came late; `clock` by none."""
    taken_up: dict[tuple[int, Key, int], list[Epoch]] = defaultdict(list)
    for partition, epochs in life.epochs.items():
        for epoch in epochs:
            for key, record in epoch.definitions.records.items():
                taken_up[partition, key, record["version"]].append(epoch)
    facts = _instants_of(life.seen.facts)
    known = {(who(fact), fact["id"]) for record in life.seen.facts if (fact := orjson.loads(record.value or b"{}"))}
    faults = []
    for transition, each in zip(life.seen.transitions, life.documents, strict=True):
        key, owner, at = (each["workspace"], each["segment"]), who(each), parse_instant(each["at"])
        cause, name = each["cause"], f"{each['segment']} {who(each)} {each['sequence']}"
        epochs = taken_up[transition.partition, key, each["version"]]
        if cause["kind"] in ("backfill", "definition"):
            first = cause["kind"] == "backfill"
            fitting = [epoch for epoch in epochs if (key in epoch.new) is first]
            if not fitting:
                faults.append(f"{name}: {cause['kind']} at version {each['version']}, which is of another cause")
            elif not any(at == epoch.at or (at > epoch.at and at in facts[owner]) for epoch in fitting):
                faults.append(f"{name}: {cause['kind']} as of {each['at']}, where nothing was taken up")
        elif not epochs:
            faults.append(f"{name}: version {each['version']} was not in force in its partition")
        elif cause["kind"] in _OF_A_FACT:
            said = None if cause["event_at"] is None else parse_instant(cause["event_at"])
            if (owner, cause["event_id"]) not in known or said not in facts[owner]:
                faults.append(f"{name}: by {cause['event_id']}, which is no fact of the contact")
            elif at < said or (at > said and not each["late"]):
                faults.append(f"{name}: as of {each['at']}, by a fact of {cause['event_at']}")
        elif cause["kind"] != "clock" or cause["event_id"] is not None:
            faults.append(f"{name}: {cause}")
    return faults


def _instants_of(facts: Sequence[Record]) -> dict[Who, set[int]]:
    """When the facts of each contact were true: those ahead of their time as of arrival."""
    found: dict[Who, set[int]] = defaultdict(set)
    for record in facts:
        fact = orjson.loads(record.value or b"{}")
        found[who(fact)].add(min(parse_instant(fact["at"]), record.timestamp))
    return found


def members_in_force(
    life: Life, final: Result, through: Result, compared: set[Who], given: Mapping[Key, set[str]]
) -> list[str]:
    """Who is in each segment in force: of active ones as the recount `final` under the definitions of the end finds; of
    paused ones, and only of the contacts in `compared`, as the recount `through` the life does. `given`: the engine's.
    """
    faults = []
    last = life.history.behind(1 << 62)
    for key in sorted({*last.segments, *given}):
        mine, theirs = final.members.get(key, set()), given.get(key, set())
        if key in last.paused:
            mine = {contact for contact in through.members.get(key, ()) if (key[0], contact) in compared}
            theirs = {contact for contact in theirs if (key[0], contact) in compared}
        name = "/".join(key)
        faults += [f"{name}: {contact} is a member in the recount, not by the engine" for contact in mine - theirs]
        faults += [f"{name}: {contact} is a member by the engine, not in the recount" for contact in theirs - mine]
    return faults


def fills_cut(seen: Seen, kills: Iterable[int]) -> int:
    """How often a partition's fill had been committed in part when a worker was killed at one of these instants (ms),
    and nothing more came of the partition for `SILENT_MS`: it was this worker's, and the fill was taken up again.
    """
    committed: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for record in seen.changelog:
        if record.key == POSITION and record.value is not None:
            committed[record.partition].append((record.timestamp, decode_position(record.value).filled is not None))
    cut = 0
    for kill in kills:
        for found in committed.values():
            before = [each for each in found if each[0] <= kill]
            after = next((at for at, _ in found if at > kill), None)
            cut += bool(before) and before[-1][1] and after is not None and after - kill > SILENT_MS
    return cut


def in_time(seen: Seen, grace: int, in_order: Callable[[Who], bool]) -> set[Who]:
    """The contacts who send in order, and each of whose facts arrived within `grace` (ms) of its instant."""
    slow = {
        who(fact)
        for record in seen.facts
        if record.timestamp - parse_instant((fact := orjson.loads(record.value or b"{}"))["at"]) >= grace
    }
    return {contact for contact in ids_of(seen.facts) if in_order(contact) and contact not in slow}
