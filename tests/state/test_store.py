"""The local store and the encodings: what is written is read, what is damaged or foreign is never guessed at."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import msgspec
import pytest

from engine.conditions.contact import Contact
from engine.conditions.fact import Fact
from engine.state.changelog import Log, journal_key, why_wipe
from engine.state.codec import (
    TYPES,
    Position,
    UnknownVersion,
    decode_chunk,
    decode_contact,
    decode_header,
    decode_position,
    encode_chunk,
    encode_contact,
    encode_position,
    newest_of_chunk,
    span_of_chunk,
)
from engine.state.contacts import Memory, StoredContacts
from engine.state.store import Meta, Store, StoreError, StoreLocked, open_store

ANNA, ANN, BORIS = b"\x07defaultc-10", b"\x07defaultc-1", b"\x04shopb"


def fact(key: bytes, id_: str, at: int) -> Fact:
    return Fact(
        contact=key[key[0] + 1 :].decode(),
        type="click",
        at_text="",
        id=id_,
        workspace=key[1 : key[0] + 1].decode(),
        raw=msgspec.Raw(b'{"button":"Women"}'),
        at=at,
        arrival=at + 5,
        key=key,
    )


def test_a_contact_survives_its_encoding() -> None:
    contact = Contact(
        plan=1 << 62, as_of=5, known_at=3, deadline=9, members={7: [1, 2, 3]}, attributes={"name": [4, "Анна"]}
    )
    assert decode_contact(encode_contact(contact)) == contact
    header = decode_header(encode_contact(contact))
    assert (header.plan, header.as_of, header.known_at, header.deadline) == (1 << 62, 5, 3, 9)


def test_a_state_from_before_a_field_was_there_opens() -> None:
    contact = Contact(as_of=5, facts=2, refunds=[["A-1", 4]], size=9, grown=8)
    fields = msgspec.msgpack.decode(encode_contact(contact)[1:])
    assert len(fields) == len(Contact.__struct_fields__)
    first_of = Contact.__struct_fields__.index("retractions")  # the first that was added
    assert decode_contact(encode_contact(contact)[:1] + msgspec.msgpack.encode(fields[:first_of])) == contact


def test_a_position_survives_its_encoding() -> None:
    position = Position({"events.clicks": 17, "a": 0}, 1_000, 1 << 61, b"\x07defaultx")
    assert decode_position(encode_position(position)) == position


def test_a_journal_chunk_gives_back_its_facts() -> None:
    facts = [fact(BORIS, "1", 10), fact(BORIS, "2", 20)]
    read = decode_chunk(encode_chunk(facts), BORIS)
    assert [(f.id, f.type, f.at, f.arrival, f.key, f.properties) for f in read] == [
        ("1", "click", 10, 15, BORIS, {"button": "Women"}),
        ("2", "click", 20, 25, BORIS, {"button": "Women"}),
    ]


def test_a_fact_that_was_dead_on_arrival_is_journaled_as_such() -> None:
    facts = [fact(BORIS, "1", 10), fact(BORIS, "2", 20)]
    facts[1].dead = True
    read = decode_chunk(encode_chunk(facts), BORIS)
    assert [(f.type, f.dead) for f in read] == [("click", False), ("click", True)]


@pytest.mark.parametrize("read", [decode_contact, decode_header, decode_position, lambda b: decode_chunk(b, ANNA)])
def test_an_unknown_format_is_an_error_that_says_what_to_do(read: object) -> None:
    with pytest.raises(UnknownVersion, match=r"format 99.*run the version that wrote it"):
        read(bytes([99]) + b"\x90")  # type: ignore[operator]


def test_one_write_is_read_back_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    contact = encode_contact(Contact(as_of=1))
    store.write(
        {ANNA: contact, BORIS: contact}, [(journal_key(ANNA, 0), encode_chunk([fact(ANNA, "1", 1)]))], Meta(5, 6)
    )
    store.close()
    again = Store(tmp_path / "0")
    assert again.get_many([ANNA, ANN, BORIS]) == [contact, None, contact]
    assert [f.id for f in again.history(ANNA)] == ["1"]
    assert again.read_meta() == Meta(5, 6)
    again.close()


def test_a_journal_is_not_mixed_with_that_of_a_contact_whose_id_begins_alike(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    chunks = [(journal_key(k, n), encode_chunk([fact(k, f"{k!r}{n}", n)])) for k in (ANN, ANNA) for n in (0, 1, 256)]
    store.write({}, chunks, Meta())
    assert [f.at for f in store.history(ANN)] == [0, 1, 256]
    assert all(f.key == ANN for f in store.history(ANN))
    store.close()


def test_chunks_past_the_retention_are_swept_a_slice_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    chunks = [
        (journal_key(k, n), encode_chunk([fact(k, "x", 0), fact(k, "y", n)])) for k in (ANN, BORIS) for n in range(5)
    ]
    store.write({}, chunks, Meta())
    place, removed, turns = b"", 0, 0
    while turns == 0 or place:
        place, gone = store.sweep(place, 3, 3)
        removed, turns = removed + gone, turns + 1
    assert removed == 6
    assert [f.at for f in store.history(ANN)] == [0, 3, 0, 4]
    assert [f.at for f in store.history(BORIS)] == [0, 3, 0, 4]
    store.close()


def test_a_scan_goes_on_after_a_key_and_sees_one_moment(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    encoded = encode_contact(Contact())
    store.write({bytes([1, n]): encoded for n in range(5)}, [], Meta())
    scan = store.headers(bytes([1, 1]))
    first = next(scan)[0]
    store.write({bytes([1, 9]): encoded}, [], Meta(), gone=[bytes([1, 4])])
    assert [first, *(key for key, _ in scan)] == [bytes([1, 2]), bytes([1, 3]), bytes([1, 4])]
    del scan
    store.close()


def _hold(path: str, ready: object, done: object) -> None:
    store = Store(Path(path))
    ready.set()  # type: ignore[attr-defined]
    done.wait(30)  # type: ignore[attr-defined]
    store.close()


def test_a_second_process_is_told_who_has_the_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path / "0"), ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(StoreLocked, match=r"open in another process.*DATA_DIR of its own"):
            open_store(tmp_path / "0")
    finally:
        done.set()
        other.join(30)


def test_a_damaged_store_is_wiped(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    store.write({ANNA: encode_contact(Contact())}, [], Meta(3))
    store.close()
    (tmp_path / "0" / "CURRENT").write_text("rubbish")
    store, why = open_store(tmp_path / "0")
    assert why is not None
    assert store.read_meta() is None
    store.close()


def test_a_store_of_an_unknown_format_is_wiped(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    store.write({ANNA: b"\xff123"}, [], Meta(3))
    store.close()
    store, why = open_store(tmp_path / "0")
    assert why is not None
    assert "format 255" in why
    store.close()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="needs a place where nothing can be made")
def test_a_disk_that_refuses_is_an_error_not_a_wipe(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        open_store(tmp_path / "file" / "0")


SAME = Meta(changelog=10, journal=20, identity=b"x", written_at=1_000)


@pytest.mark.parametrize(
    ("meta", "identity", "changelog", "journal", "now", "why"),
    [
        (SAME, b"x", Log(0, 10), Log(0, 20), 1_500, None),
        (SAME, b"x", Log(0, 500), Log(0, 900), 1_500, None),
        (SAME, b"x", Log(0, 10), Log(25, 30), 1_500, None),
        (SAME, b"y", Log(0, 10), Log(0, 20), 1_500, "another topic"),
        (SAME, b"", Log(0, 10), Log(0, 20), 1_500, "another topic"),
        (SAME, b"x", Log(0, 9), Log(0, 20), 1_500, "ends at 9"),
        (SAME, b"x", Log(11, 12), Log(0, 20), 1_500, "begins at 11"),
        (SAME, b"x", Log(0, 10), Log(0, 19), 1_500, "journal ends at 19"),
        (SAME, b"x", Log(0, 10), Log(0, 20), 2_001, "older than"),
    ],
)
def test_when_a_store_is_wiped(
    meta: Meta, identity: bytes, changelog: Log, journal: Log, now: int, why: str | None
) -> None:
    found = why_wipe(meta, identity=identity, changelog=changelog, journal=journal, now=now, delete_retention=1_000)
    assert (found is None) == (why is None)
    assert why is None or (found is not None and why in found)


def test_contacts_used_lately_stay_and_the_others_leave(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    keys = [b"\x01w%05d" % n for n in range(5_000)]
    store.write({key: encode_contact(Contact(facts=n)) for n, key in enumerate(keys)}, [], Meta())
    contacts = StoredContacts(store, Memory(bytes_max=1_000_000))
    hot = keys[0]
    for at in range(0, 5_000, 500):
        contacts.prefetch([hot, *keys[at : at + 500]])
        found = contacts.get(hot)
        assert found is not None
        found.journal_next += 1
        contacts.settle()
    assert contacts.bytes_used < 3_000_000
    kept = contacts.get(hot)
    assert kept is not None
    assert kept.journal_next == 10  # the very object: it was never read again from the store
    contacts.close()
    store.close()


def test_an_unknown_contact_is_none_until_it_is_put(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    contacts = StoredContacts(store, Memory(1 << 20))
    contacts.prefetch([ANNA])
    assert contacts.get(ANNA) is None
    contacts.put(ANNA, Contact(as_of=3))
    assert contacts.get(ANNA) == Contact(as_of=3)
    contacts.close()
    store.close()


def test_rows_of_other_kinds_are_kept_found_and_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "0")
    store.write({}, [], Meta(changelog=3), more={b"va": b"1", b"vb": b"2", b"h1": b"3"})
    assert list(store.more_items(b"v")) == [(b"va", b"1"), (b"vb", b"2")]
    assert list(store.more_items(b"v", after=b"va")) == [(b"vb", b"2")]
    store.write({}, [], Meta(changelog=4), more={b"va": None})
    store.close()
    again, wiped = open_store(tmp_path / "0")
    assert (wiped, again.more(b"va"), again.more(b"h1")) == (None, None, b"3")
    again.close()


def test_a_chunk_of_format_1_is_still_read() -> None:
    encoded = (Path(__file__).parent / "chunk_version_1.bin").read_bytes()
    first, second, third = decode_chunk(encoded, ANNA)
    assert (first.id, first.type, first.at, first.arrival) == ("e-1", "purchase", 1_777_629_600_000, 1_777_630_000_000)
    assert first.properties == {"amount": 12.5, "city": "Москва"}
    assert (second.id, second.type, second.arrival) == ("7f9c24e5-2f1d-4d9e-9b0a-3c1d5e6f7a8b", "click", None)
    assert (second.dead, first.dead, second.key) == (True, False, ANNA)
    assert (third.id, third.type, third.at) == ("events.clicks/3/17", "my own type", 1_777_716_000_123)
    assert newest_of_chunk(encoded) == 1_777_716_000_123
    assert span_of_chunk(encoded) == (None, 3)


def test_a_chunk_gives_back_ids_types_and_instants_of_every_kind() -> None:
    ids = [
        "7f9c24e5-2f1d-4d9e-9b0a-3c1d5e6f7a8b",
        "7F9C24E5-2F1D-4D9E-9B0A-3C1D5E6F7A8B",
        "7f9c24e5-2f1d-4d9e-9b0a-3c1d5e6f7a8x",
        "7f9c24e52f1d-4d9e-9b0a-3c1d-5e6f7a8b",
        "01J9ZZ3Y6N8Q4T5V6W7X8Y9Z0A",
        "events.clicks/3/17",
        "я" * 36,
        "-" * 36,
    ]
    facts = [fact(ANNA, each, 1_777_000_000_000 - 7 * number) for number, each in enumerate(ids)]
    for number, each in enumerate(facts):
        each.type = ("purchase", "my own type", "click")[number % 3]
        each.arrival = None if number == 2 else each.at + number
        each.dead = number == 4
    read = decode_chunk(encode_chunk(facts, 70_000), ANNA)
    assert [(f.id, f.type, f.at, f.arrival, f.dead, bytes(f.raw)) for f in read] == [
        (f.id, f.type, f.at, f.arrival, f.dead, bytes(f.raw)) for f in facts
    ]
    assert newest_of_chunk(encode_chunk(facts)) == 1_777_000_000_000
    assert span_of_chunk(encode_chunk(facts, 70_000)) == (70_000, 8)


def test_the_types_that_a_chunk_knows_by_their_place_never_move() -> None:
    assert TYPES[:3] == ("click", "product_view", "cart_add")
    assert TYPES[8] == "purchase"
    assert TYPES[27] == "event_retracted"


def test_chunks_whose_facts_were_all_let_go_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    old = (Path(__file__).parent / "chunk_version_1.bin").read_bytes()  # three facts, and does not say where
    chunks = [(journal_key(ANNA, 0), old), (journal_key(ANNA, 1), encode_chunk([fact(ANNA, "d", 1)] * 2, 3))]
    chunks += [(journal_key(ANNA, 300), encode_chunk([fact(ANNA, "f", 2)], 5))]
    store.write({}, [*chunks, (journal_key(ANN, 0), old)], Meta())
    assert [(number, each.id) for number, each in store.numbered(ANNA)][2:] == [
        (2, "events.clicks/3/17"),
        (3, "d"),
        (4, "d"),
        (5, "f"),
    ]
    assert store.chunks_before(ANNA, 2) == []
    assert store.chunks_before(ANNA, 4) == [journal_key(ANNA, 0)]
    assert store.chunks_before(ANNA, 5) == [journal_key(ANNA, 0), journal_key(ANNA, 1)]
    store.close()


def test_the_journal_lies_packed_on_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    facts = [fact(ANNA, f"e-{number}", number * 60_000) for number in range(20_000)]
    chunks = [(journal_key(ANNA, n), encode_chunk(facts[n : n + 1], n)) for n in range(20_000)]
    store.write({}, chunks, Meta())
    written = sum(len(key) + len(chunk) for key, chunk in chunks)
    assert [each.id for each in store.history(ANNA)] == [each.id for each in facts]
    store.close()
    assert sum(each.stat().st_size for each in (tmp_path / "s").glob("*.sst")) < written / 2
