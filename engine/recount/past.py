"""What one contact's taken facts say of it: what refunds left of purchases, attributes, tags, lists, consent."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from engine.recount.facts import Fact
from engine.recount.instants import BEGINNING, DAY_MS
from engine.recount.values import number
from engine.recount.wall import zone_named

REFUND_WAITS_MS = 30 * DAY_MS
RETRACTION_WAITS_MS = 30 * DAY_MS
CLOSING = ("opt_out", "block", "complaint")
CONSENT_TYPES = (*CLOSING, "opt_in", "consent")
LIST_TYPES = ("list_added", "list_removed")
RETRACTION = "event_retracted"
_EVERY_CHANNEL = "all"

Latest = dict[str, tuple[int, Any]]  # name → (at of the fact that decided, what it decided)


class Past:
    """All facts of one contact that count, `facts` in (at, taken) order, and what stands at the end of them."""

    def __init__(self, workspace: str = "default", contact: str = "c-1") -> None:
        self.workspace, self.contact = workspace, contact
        self._taken: list[Fact] = []  # retracted ones too, in the order in which they came
        self._lines_of: dict[str, list[int]] = {}  # id → the facts with it
        self._gone: set[int] = set()  # lines of the retracted facts
        self._awaited: dict[str, int] = {}  # id → the last instant at which a fact with it is dead on arrival
        self._forget()

    def _forget(self) -> None:
        self.facts: list[Fact] = []
        self.left: dict[int, Fraction | None] = {}  # by line, refunded purchases only; None: nothing is left
        self._attributes: Latest = {}
        self._tags: Latest = {}
        self._lists: Latest = {}
        self.consent: list[tuple[int, str, bool]] = []  # (at, channel, opens)

    def take(self, fact: Fact) -> bool:
        """Takes the next fact; true if that changed more than one more fact that counts: a refund, a retraction."""
        self._taken.append(fact)
        awaited = self._awaited.pop(fact.id, BEGINNING)
        if fact.type == RETRACTION:
            anew = self._retract(fact)
        elif fact.at <= awaited:
            self._gone.add(fact.line)
            anew = True
        else:
            anew = self._count(fact)
        self._lines_of.setdefault(fact.id, []).append(fact.line)
        return anew

    def since(self, at: int) -> list[Fact]:
        """What was taken with an instant after `at` (ms), retracted or not, in the order in which it came."""
        return [fact for fact in self._taken if fact.at > at]

    def _retract(self, retraction: Fact) -> bool:
        """Facts taken before are gone, whatever their `at`; retractions themselves stay."""
        named = retraction.properties.get("id")
        found = self._lines_of.get(named, []) if isinstance(named, str) else []
        if isinstance(named, str) and not found:
            self._awaited[named] = max(self._awaited.get(named, BEGINNING), retraction.at + RETRACTION_WAITS_MS)
        if not found:
            return self._count(retraction)
        self._gone.update(found)
        self._forget()
        for fact in self._taken:
            if fact.line not in self._gone or fact.type == RETRACTION:
                self._count(fact)
        return True

    def _count(self, fact: Fact) -> bool:
        insort(self.facts, fact, key=Fact.place)
        if fact.type == "contact_updated":
            _decide(self._attributes, fact, fact.properties.items())
        elif fact.type in ("tags_added", "tags_removed"):
            _decide(self._tags, fact, ((tag, fact.type == "tags_added") for tag in _texts(fact.properties.get("tags"))))
        elif fact.type in LIST_TYPES:
            _decide(
                self._lists, fact, ((one, fact.type == "list_added") for one in _texts(fact.properties.get("list")))
            )
        opens = consent_of(fact)
        if opens is not None:
            channel = fact.properties.get("channel")
            named = [one for one in _texts(channel) if one]
            if not named and (channel is None or not opens):  # what names no channel closes all, but opens none
                named = [_EVERY_CHANNEL]
            self.consent += [(fact.at, one, opens) for one in named]
        return fact.type in ("purchase", "refund") and self._settle(fact.properties.get("order_id"))

    @property
    def known_at(self) -> int:
        """The contact's earliest fact (ms)."""
        return self.facts[0].at

    @property
    def zone(self) -> str | None:
        """The contact's own time zone, None if no attribute names one."""
        return zone_named(self._attributes.get("timezone", (0, None))[1])

    def attributes(self) -> dict[str, Any]:
        """The merged attributes; removed ones are absent."""
        return {name: value for name, (_, value) in self._attributes.items() if value is not None}

    def tags(self) -> set[str]:
        """The tags that the contact has."""
        return {tag for tag, (_, has) in self._tags.items() if has}

    def lists(self) -> set[str]:
        """The lists that the contact is on."""
        return {one for one, (_, on) in self._lists.items() if on}

    def open_by_consent(self, mailable: Any) -> bool:
        """Whether the consent gate lets the contact through; `mailable` as in the definition (absent: True)."""
        if mailable is False:
            return True
        if mailable is True or mailable is None:
            channels = {channel for _, channel, _ in self.consent} - {_EVERY_CHANNEL}
            return self.granted(_EVERY_CHANNEL) is not False or any(self.granted(channel) for channel in channels)
        state = self.granted(mailable["channel"])
        return state is True if mailable.get("consent") == "required" else state is not False

    def granted(self, channel: str) -> bool | None:
        """Whether the latest that was said of a channel, or of every channel, opens it; None if nothing was said."""
        said = [(at, opens) for at, spoken, opens in self.consent if spoken in (channel, _EVERY_CHANNEL)]
        last = max((at for at, _ in said), default=BEGINNING)
        return all(opens for at, opens in said if at == last) if said else None

    def _settle(self, order: Any) -> bool:
        """Lets the refunds of one order, in their order, take from its purchases, in theirs."""
        if order_key(order) is None:
            return False
        of_order = [fact for fact in self.facts if order_key(fact.properties.get("order_id")) == order_key(order)]
        purchases = [fact for fact in of_order if fact.type == "purchase"]
        before = {fact.line: self.left.pop(fact.line) for fact in purchases if fact.line in self.left}
        for refund in of_order:
            if refund.type == "refund":
                self._refund(refund, [buy for buy in purchases if buy.at <= refund.at + REFUND_WAITS_MS])
        return before != {fact.line: self.left[fact.line] for fact in purchases if fact.line in self.left}

    def _refund(self, refund: Fact, purchases: Sequence[Fact]) -> None:
        asked = refund.properties.get("amount")
        if asked is None:
            bought = [buy for buy in purchases if buy.at <= refund.at]
            self.left.update({buy.line: None for buy in bought or purchases[:1]})
            return
        to_take = number(asked)
        for buy in purchases:
            had = self.left.get(buy.line, number(buy.properties.get("amount")))
            if to_take is None or to_take <= 0:
                return
            if had is not None and had > 0:
                taken = min(had, to_take)
                to_take -= taken
                self.left[buy.line] = had - taken if had > taken else None


def consent_of(fact: Fact) -> bool | None:
    """True for a fact that opens a channel, False for one that closes it, None for any other."""
    if fact.type in CLOSING:
        return False
    if fact.type == "opt_in":
        return True
    status = fact.properties.get("status") if fact.type == "consent" else None
    return {"granted": True, "revoked": False}.get(status) if isinstance(status, str) else None


def order_key(order: Any) -> Any:
    """What makes two `order_id`s the same: the same text, or the same number; None if it is neither."""
    return order if isinstance(order, str) else number(order)


def _decide(latest: Latest, fact: Fact, said: Any) -> None:
    for name, value in said:
        if name not in latest or latest[name][0] <= fact.at:
            latest[name] = (fact.at, value)


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
