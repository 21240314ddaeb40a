"""Facts in a wrong partition are told apart once a contact, and keep their origin."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from engine.conditions.fact import Fact
from engine.membership.placement import partition_of, store_key, wire_key
from engine.worker.placement import origin, origin_of, split_misplaced

PARTITIONS = 4


@dataclass
class Record:
    topic: str
    partition: int
    offset: int
    timestamp: int = 77
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=list)


def facts(*contacts: str, topic: str = "events.clicks") -> tuple[list[Fact], list[Record]]:
    read = [Fact(contact=c, type="click", at_text="", key=store_key("default", c)) for c in contacts]
    return read, [Record(topic, 0, n) for n in range(len(contacts))]


def home(contact: str) -> int:
    return partition_of(wire_key("default", contact), PARTITIONS)


HERE = next(f"c{n}" for n in range(99) if home(f"c{n}") == 0)
THERE = next(f"c{n}" for n in range(99) if home(f"c{n}") == 3)


def split(
    read: list[Fact], records: list[Record], unknown: Set[str] = frozenset({HERE, THERE})
) -> tuple[list[str], list[tuple[int, int]]]:
    kept, _, misplaced = split_misplaced(
        read,
        records,
        number=0,
        partitions=PARTITIONS,
        unknown={store_key("default", c) for c in unknown},
        forwarding="events.forwarded",
    )
    return [f.contact for f in kept], [(right, record.offset) for right, record in misplaced]


def test_a_misplaced_fact_goes_to_its_right_partition() -> None:
    assert split(*facts(HERE, THERE, HERE, THERE)) == ([HERE, HERE], [(3, 1), (3, 3)])


def test_a_known_contact_is_not_judged_again() -> None:
    assert split(*facts(THERE), unknown={HERE}) == ([THERE], [])


def test_a_forwarded_fact_is_not_sent_on_again() -> None:
    assert split(*facts(THERE, topic="events.forwarded")) == ([THERE], [])


def test_nothing_misplaced_gives_back_the_same_lists() -> None:
    read, records = facts(HERE)
    kept, same, misplaced = split_misplaced(
        read, records, number=0, partitions=PARTITIONS, unknown={store_key("default", HERE)}, forwarding="f"
    )
    assert kept is read
    assert same is records
    assert misplaced == []


def test_a_forwarded_record_keeps_the_place_and_instant_of_its_first_arrival() -> None:
    first = Record("events.clicks", 2, 41, timestamp=1_234)
    assert origin_of(Record("events.forwarded", 0, 7, 9_999, origin(first))) == ("events.clicks/2/41", 1_234)


def test_a_record_without_origin_is_taken_for_what_it_is() -> None:
    assert origin_of(Record("events.forwarded", 0, 7, 9_999)) == ("events.forwarded/0/7", 9_999)
    assert origin_of(Record("events.forwarded", 0, 7, 9_999, [("origin-topic", b"\xff")])) == (
        "events.forwarded/0/7",
        9_999,
    )


def test_where_a_record_was_first_read_counts_before_what_its_sender_wrote() -> None:
    first = Record("events.clicks", 2, 41, timestamp=1_234)
    own = [("origin-topic", b"forged"), ("origin-offset", b"1"), ("origin-timestamp", None)]
    assert origin_of(Record("events.forwarded", 0, 7, 9_999, [*origin(first), *own])) == ("events.clicks/2/41", 1_234)


def test_a_header_without_value_is_not_an_origin() -> None:
    headers = [(name, None) for name in ("origin-topic", "origin-partition", "origin-offset", "origin-timestamp")]
    assert origin_of(Record("events.forwarded", 0, 7, 9_999, headers)) == ("events.forwarded/0/7", 9_999)
