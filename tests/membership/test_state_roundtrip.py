"""A contact that was encoded and decoded between any two facts behaves as one that stayed in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conditions.fact import Fact
from engine.conditions.instants import DAY
from engine.definitions import check, read_segment
from engine.membership.batch import Batch
from engine.membership.memory import MemoryContacts
from engine.membership.partition import Partition
from engine.membership.replay import DEDUP, GRACE, JOURNAL_RETENTION, Replay
from engine.state.codec import decode_chunk, decode_contact, encode_chunk, encode_contact
from tests.driver import documents, fact, line_of, rows
from tests.membership.strategies import START, fact_lines, segment_sets


class Stored(MemoryContacts):
    """Contacts and journal that lie encoded between two batches, as in a store."""

    def commit(self, batch: Batch) -> None:
        journal: dict[bytes, list[Fact]] = {}
        for key, facts in batch.journal.items():
            journal[key] = decode_chunk(encode_chunk(facts), key)
        batch.journal = journal
        for key, chunks in batch.kept.items():
            batch.kept[key] = [decode_chunk(encode_chunk(facts), key) for facts in chunks]
        super().commit(batch)
        self.contacts = {key: decode_contact(encode_contact(contact)) for key, contact in self.contacts.items()}


class Restarted(Replay):
    """A replay over stored contacts; after every batch nothing else is left, as after a crash."""

    def __init__(self, segments: list[Any]) -> None:
        super().__init__(segments)
        self.contacts = Stored()
        self._rebuild(self.partition.clock)

    def take(self, line: bytes) -> Any:
        found = super().take(line)
        self._rebuild(self.partition.clock)
        return found

    def _rebuild(self, clock: int) -> None:
        self.partition = Partition(
            self.partition.plan,
            self.contacts,
            clock=clock,
            grace=GRACE,
            dedup=DEDUP,
            journal_retention=JOURNAL_RETENTION,
        )
        for key, contact in self.contacts.contacts.items():
            self.partition.arm(key, contact.deadline)


def differs(segments: list[Any], lines: list[bytes], end: int) -> None:
    ours, theirs = Replay(segments), Restarted(segments)
    for line in lines:
        assert rows(ours.take(line)) == rows(theirs.take(line))
    assert rows(ours.until(end)) == rows(theirs.until(end))
    assert (ours.duplicates, ours.facts, ours.late) == (theirs.duplicates, theirs.facts, theirs.late)
    assert ours.erased == theirs.erased
    for key, contact in ours.contacts.contacts.items():
        assert theirs.contacts.contacts[key] == contact


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(segment_sets(), fact_lines(in_order=False, erasing=True), st.integers(0, 90))
def test_a_state_that_was_written_and_read_behaves_the_same(
    found: list[dict[str, Any]], lines: list[bytes], days: int
) -> None:
    segments = [read_segment(document) for document in found]
    check(segments)
    differs(segments, lines, START + days * DAY)


EVERY_FIGURE = "\n---\n".join(
    f"segment: {fn}-{number}\npayload: [a, last.purchase.x]\n"
    f"when: {{aggregate: {{fn: {fn}, of: x, event: purchase, is: {{exists: true}}{window}}}}}"
    for fn in ("sum", "avg", "min", "max", "count", "distinct", "first", "last")
    for number, window in enumerate(("", ", within: P2D"))
)


def test_values_of_every_kind_survive() -> None:
    values = [
        1,
        -1,
        0.1,
        1e300,
        2**62,
        2**63,
        2**64,
        -(2**70),
        "1e400",
        "tea",
        "",
        "я\0😀",
        True,
        None,
        [],
        [1, "2"],
        {"a": [1]},
    ]
    lines = []
    for number, value in enumerate(values):
        at = f"2026-01-01T00:{number:02d}Z"
        lines.append(line_of(fact(at, "purchase", x=value, order_id=value, amount=value)))
        lines.append(line_of(fact(at, "contact_updated", a=value, b={"c": value})))
    lines.append(b'{"type":"purchase","contact":"c-1","at":"2026-01-01T01:00:00Z","properties":{"x":1e999}}')
    lines.append(b'{"type":"contact_updated","contact":"c-1","at":"2026-01-01T01:00:00Z","properties":{"a":-1e999}}')
    lines += [
        line_of(fact("2026-01-02T00:00Z", "refund", order_id="A-1", amount=2)),
        line_of(fact("2026-01-02T00:01Z", "tags_added", tags=["x"])),
        line_of(fact("2026-01-02T00:02Z", "list_added", list="x")),
        line_of(fact("2026-01-02T00:03Z", "purchase", order_id="A-1", amount=3, x=3)),
        line_of(fact("2026-01-02T00:04Z", "opt_out", channel="email")),
        line_of(fact("2026-01-02T00:05Z", "opt_in")),
    ]
    differs(documents(EVERY_FIGURE), lines, START + 9 * DAY)
