"""Reading a record: an event of DESIGN.md 3, or the reason why it is none.

What is accepted here can be judged without error: the text is UTF-8 and JSON throughout, the instant is usable, ids
and types are
within their bounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from engine.conditions.fact import Fact, decode_properties
from engine.conditions.instants import parse_instant
from engine.membership.placement import store_key

CONTACT_BYTES_MAX = 256
TYPE_BYTES_MAX = 128
ID_BYTES_MAX = 512
WORKSPACE_BYTES_MAX = 64
DEPTH_MAX = 200
"""How deep properties may nest: what reads them recurses."""
UNSUPPORTED = frozenset(("contact_merged",))
"""Types whose meaning this version can't keep: refused instead of half done."""
ERASURE = "contact_erased"
"""Names nothing but the contact: whoever would erase a part, or for a time, must not erase all."""
FACT_BYTES = 64
"""What a journaled fact takes beside its properties, about."""
DEAD = "*"
"""In front of the type, which has none itself: the journaled fact was retracted before it came."""

_STRICT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""What `at` must look like; texts in conditions may say less."""
_FIELDS = {"contact": "contact", "type": "type", "at": "time", "id": "id", "workspace": "workspace"}


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a record is no fact: `reason` for counting (one of a fixed few), `detail` for people."""

    reason: str
    detail: str


_decode = msgspec.json.Decoder(Fact).decode


def read_fact(value: bytes, *, arrival: int | None, fallback_id: str, skew: int, max_bytes: int) -> Fact | Rejected:
    """The fact in a record's value.

    `arrival` is in milliseconds (None: unknown), `fallback_id` its id where it names none, `skew` how many
    milliseconds `at` may
    be after `arrival`.
    """
    if len(value) > max_bytes:
        return Rejected("oversize", f"the record has {len(value)} bytes; at most {max_bytes} are allowed")
    try:
        str(value, "utf-8")
        fact = _decode(value)
    except UnicodeDecodeError as error:
        return Rejected("bad_utf8", f"byte {error.start} is not UTF-8: {error.reason}")
    except (msgspec.DecodeError, RecursionError) as error:
        return _undecodable(error)
    contact, event_type = fact.contact, fact.type
    if not contact or _longer(contact, CONTACT_BYTES_MAX):
        problem = f"contact has {len(contact.encode())} bytes; 1 to {CONTACT_BYTES_MAX} are allowed"
        return Rejected("bad_contact", problem)
    if not event_type or "*" in event_type or _longer(event_type, TYPE_BYTES_MAX):
        allowed = f"a text of 1 to {TYPE_BYTES_MAX} bytes without *"
        return Rejected("bad_type", f"type {event_type[:80]!r} is not {allowed}")
    if event_type in UNSUPPORTED:
        return Rejected("unsupported", f"events of type {event_type} are not supported by this version")
    text = fact.at_text
    try:
        at = parse_instant(text)
        if (len(text) != 24 or text[19] != "." or text[23] != "Z") and not _STRICT.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not an RFC 3339 date-time with an offset")
    except ValueError as error:
        return Rejected("bad_time", f"at: {error}")
    if arrival is not None and at > arrival:
        if at > arrival + skew:
            return Rejected(
                "too_far_ahead", f"at is {at - arrival} ms after the record's arrival; {skew} ms are allowed"
            )
        at = arrival
    event_id = fallback_id if fact.id_text is None else fact.id_text
    if (not event_id and fact.id_text is not None) or _longer(event_id, ID_BYTES_MAX):
        return Rejected("bad_id", f"id has {len(event_id.encode())} bytes; 1 to {ID_BYTES_MAX} are allowed")
    workspace = "default" if fact.workspace_text is None else fact.workspace_text
    if workspace != "default" and (not workspace or "/" in workspace or _longer(workspace, WORKSPACE_BYTES_MAX)):
        allowed = f"a text of 1 to {WORKSPACE_BYTES_MAX} bytes without /"
        return Rejected("bad_workspace", f"workspace {workspace[:80]!r} is not {allowed}")
    raw = bytes(fact.raw)
    if raw[:1] != b"{":
        if raw != b"null":
            return Rejected("bad_properties", "properties is not an object")
        raw = b"{}"
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and _too_deep(raw):
        return Rejected("bad_properties", f"properties nest more than {DEPTH_MAX} deep")
    if event_type == ERASURE and decode_properties(raw):
        return Rejected("bad_properties", f"{ERASURE} erases the whole contact: it has no properties")
    fact.raw = raw  # type: ignore[assignment]  # bytes of its own: the record's are let go, and searching them is quick
    fact.id = event_id
    fact.workspace = workspace
    fact.size = len(raw)
    fact.at = at
    fact.arrival = arrival
    fact.key = store_key(workspace, contact)
    fact.left = None
    fact.dead = False
    fact.decoded = None
    return fact


def _longer(text: str, limit: int) -> bool:
    """Whether a text has more bytes than `limit`; one character has at most four."""
    return len(text) * 4 > limit and len(text.encode()) > limit


def _undecodable(error: Exception) -> Rejected:
    text = str(error)
    if isinstance(error, RecursionError):
        return Rejected("bad_json", "the record nests too deep")
    if not isinstance(error, msgspec.ValidationError):
        return Rejected("bad_json", text)
    if "missing required field" in text:
        name = text.split("`")[1]
        return Rejected(f"no_{_FIELDS.get(name, name)}", f"{name} is missing")
    _, _, place = text.partition("$.")
    name = place.rstrip("`").split(".")[0]
    if not name:
        return Rejected("not_an_object", f"the record is not a JSON object: {text}")
    return Rejected(f"bad_{_FIELDS[name]}" if name in _FIELDS else "bad_json", text)


def _too_deep(raw: bytes) -> bool:
    stack: list[tuple[object, int]] = [(decode_properties(raw), 1)]
    while stack:
        value, depth = stack.pop()
        if depth > DEPTH_MAX:
            return True
        if isinstance(value, dict):
            stack += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            stack += [(each, depth + 1) for each in value]
    return False


def journaled_fact(key: bytes, fact_id: str, event_type: str, at: int, arrival: int | None, raw: bytes) -> Fact:
    """A fact as the journal keeps it, its type as `journaled_type` has it; contact and workspace are in the key."""
    dead = event_type.startswith(DEAD)
    fact = Fact(contact="", type=event_type[len(DEAD) :] if dead else event_type, at_text="")
    fact.raw = raw  # type: ignore[assignment]  # bytes, as those of a fact just read: both are searched
    fact.id, fact.at, fact.arrival, fact.key, fact.dead = fact_id, at, arrival, key, dead
    return fact


def journaled_type(fact: Fact) -> str:
    """The fact's type as it stands in the journal."""
    return DEAD + fact.type if fact.dead else fact.type
