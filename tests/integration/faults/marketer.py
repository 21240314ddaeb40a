"""Somebody who changes definitions all day: made, edited, paused, resumed, deleted and made anew, in random order.

The windows are of seconds, so that time alone moves people while the test runs. What a change may not do is found out
beforehand by the very rules that the command goes by, so every change that is handed out is made.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from engine.definitions import Definition, DefinitionErrors, read_definition
from engine.worker.definition_changes import Change, make
from engine.worker.definition_record import DefinitionLogError, Key, Record
from engine.worker.settings import Settings
from tests.generate.contacts import CATEGORIES, CHANNELS, CITIES, LISTS, STAGES, TAGS

Json = dict[str, Any]

WORKSPACE = "default"
MODEL: Json = {
    "model": "shop",
    "event": "purchase",
    "amount": "amount",
    "within": "PT9S",
    "cuts": {
        "recency": ["PT1S", "PT2S", "PT4S", "PT6S"],
        "frequency": [2, 3, 4, 5],
        "monetary": [10, 50, 100, 200],
    },
}
GROUPS = ("warmth", "maturity")
KINDS = (
    "did", "count", "where", "quiet", "missed", "streak", "sequence", "sum", "held", "known", "tags", "list", "profile",
    "regularly", "consent", "sample", "of_last", "last", "first", "rfm",
)  # fmt: skip
LONGEST_S = 5
"""Seconds: no window and no wait is longer, but those of `MODEL`, and of `regularly` and `missed` with `for`: 8."""


class Marketer:
    """Definitions `s-00` to `s-49`, of which the first thirty stand alone or in a group and the others may nest them.

    `pinned` are contacts that may be included by name: they must be known by then. `excluded` may be left out.
    """

    def __init__(self, seed: int, settings: Settings, pinned: list[str], excluded: list[str], count: int = 50) -> None:
        self._rng = random.Random(seed)
        self._settings = settings
        self._pinned, self._excluded = pinned, excluded
        self._names = [f"s-{number:02d}" for number in range(count)]
        self._alone = self._names[: count * 3 // 5]
        self.documents: dict[Key, Json] = {}
        self.done: Counter[str] = Counter()
        """What was asked for, by kind."""
        self._priority = 10

    def first(self) -> list[Json]:
        """Definitions to begin with: the model, and most of the segments."""
        made = [deepcopy(MODEL)]
        for name in self._names[: len(self._names) * 7 // 10]:
            made.append(self._made(name, [each["segment"] for each in made if "segment" in each]))
        self.documents = {(WORKSPACE, each.get("segment") or f"model:{each['model']}"): each for each in made}
        self.done["create"] += len(made)
        return made

    def next(self, known: Mapping[Key, Record]) -> Change:
        """A change of one to four definitions that may be made over what there is."""
        while True:
            documents, done = deepcopy(self.documents), Counter[str]()
            parts: dict[str, list[Any]] = {"apply": [], "pause": [], "resume": [], "delete": []}
            named: set[Key] = set()
            for _ in range(self._rng.choice((1, 1, 1, 2, 4))):
                self._one(known, documents, parts, named, done)
            asked = Change(parts["apply"], parts["pause"], parts["resume"], parts["delete"], author="marketer")
            if not named:
                continue
            try:
                made = make(known, asked, "2026-01-01T00:00:00.000Z", self._settings)
            except (DefinitionErrors, DefinitionLogError):
                continue  # it would clash, or delete what is used
            if made.records:
                self.documents = documents
                self.done += done
                return asked

    def to_resume(self, known: Mapping[Key, Record], keep: int) -> tuple[list[Key], list[Key]]:
        """What is to be resumed at the end, and at most `keep` paused segments to be left: that nobody rests on."""
        paused = sorted(key for key, record in known.items() if record.state == "paused")
        used = {name for document in self.documents.values() for name in _nested(document.get("when"))}
        left = [key for key in paused if key[1] not in used and "group" not in self.documents[key]][:keep]
        return [key for key in paused if key not in left], left

    def _one(
        self,
        known: Mapping[Key, Record],
        documents: dict[Key, Json],
        parts: dict[str, list[Any]],
        named: set[Key],
        done: Counter[str],
    ) -> None:
        name = self._rng.choice(self._names)
        key = (WORKSPACE, name)
        if key in named:
            return
        named.add(key)
        record = known.get(key)
        if record is None or not record.in_force:
            documents[key] = self._made(name, self._nestable(name, documents))
            parts["apply"].append(_read(documents[key]))
            done["create" if record is None else "create anew"] += 1
            return
        what = self._rng.choices(
            ("delete", "pause", "edit", "model"), (2, 2, 6, 0.3) if record.state == "active" else (1, 4, 2, 0)
        )[0]
        if what == "delete":
            del documents[key]
            parts["delete"].append(key)
            done["delete"] += 1
        elif what == "pause":
            turn = "pause" if record.state == "active" else "resume"
            parts[turn].append(key)
            done[turn] += 1
        elif what == "model":
            named.add((WORKSPACE, "model:shop"))
            model = documents[WORKSPACE, "model:shop"]
            model["cuts"]["frequency"] = sorted(self._rng.sample(range(1, 9), 4))
            parts["apply"].append(_read(model))
            done["model"] += 1
        else:
            kind = self._edit(documents[key], self._nestable(name, documents))
            parts["apply"].append(_read(documents[key]))
            done[f"edit of {kind}{' while paused' if record.state == 'paused' else ''}"] += 1

    def _nestable(self, name: str, documents: Mapping[Key, Json]) -> list[str]:
        """Only what comes before by name: so there is no circle. Groups are among those that nest nothing."""
        return [other for _, other in documents if other < name and not other.startswith("model:")]

    def _edit(self, document: Json, nestable: list[str]) -> str:
        kind = self._rng.choice(("window", "rule", "part", "pins", "gate", "group", "payload", "name"))
        if kind == "window":
            document["when"] = self._other_windows(document["when"])
        elif kind == "rule":
            document["when"] = self._rule(document["segment"], nestable)
        elif kind == "part":
            word = self._rng.choice(("all", "any"))
            document["when"] = {word: [document["when"], self._leaf()]}
            if len(str(document["when"])) > 600:
                document["when"] = self._rule(document["segment"], nestable)
        elif kind == "pins":
            self._pin(document)
        elif kind == "gate":
            document["mailable"] = self._gate()
        elif kind == "group":
            if document.pop("group", None) is None and document["segment"] in self._alone:
                self._join(document)
        elif kind == "payload":
            document["payload"] = self._rng.sample(["name", "city", "last.purchase.order_id", "stage"], 2)
        else:
            document["name"] = f"Name {self._rng.randrange(10**6)}"
        return kind

    def _made(self, name: str, nestable: list[str]) -> Json:
        document: Json = {
            "segment": name,
            "name": f"Segment {name}",
            "timezone": self._rng.choice(("UTC", "contact", "Europe/Moscow")),
            "mailable": self._gate(),
            "when": self._rule(name, nestable),
        }
        if name in self._alone and self._rng.random() < 0.25:
            self._join(document)
        if self._rng.random() < 0.3:
            self._pin(document)
        return document

    def _join(self, document: Json) -> None:
        self._priority += 1
        document["group"] = {"name": self._rng.choice(GROUPS), "priority": self._priority}

    def _pin(self, document: Json) -> None:
        document["include"] = self._rng.sample(self._pinned, self._rng.randrange(4))
        document["exclude"] = self._rng.sample(self._excluded, self._rng.randrange(4))
        document["exclude"] = [each for each in document["exclude"] if each not in document["include"]]

    def _gate(self) -> Any:
        return self._rng.choice((False, False, True, {"channel": "email"}, {"channel": "sms", "consent": "required"}))

    def _rule(self, name: str, nestable: list[str]) -> Json:
        if name not in self._alone and nestable and self._rng.random() < 0.7:
            nested = {"in_segment": self._rng.choice(nestable)}
            form = self._rng.randrange(3)
            return ({"all": [nested, self._leaf()]}, {"any": [nested, self._leaf()]}, {"none": [nested]})[form]
        form = self._rng.randrange(5)
        if form == 0:
            return {"all": [self._leaf(), {"not": self._leaf()}]}
        return {"any": [self._leaf(), self._leaf()]} if form == 1 else self._leaf()

    def _seconds(self, least: int = 2) -> str:
        return f"PT{self._rng.randrange(least, LONGEST_S + 1)}S"

    def _leaf(self) -> Json:
        rng = self._rng
        kind = rng.choice(KINDS)
        views = {"event": rng.choice(("product_view", "click", "cart_add"))}
        made: dict[str, Json] = {
            "did": {"did": {**views, "within": self._seconds()}},
            "count": {"did": {"event": "click", "count": {"gte": rng.randrange(2, 9)}}},
            "where": {"did": {**views, "where": {"category": rng.choice(CATEGORIES)}, "within": self._seconds()}},
            "quiet": {"quiet": {"event": ["click", "product_view", "message_*"], "for": self._seconds()}},
            "missed": {
                "missed": {
                    "after": {"event": "product_view"},
                    "expect": {"event": "cart_add"},
                    "within": self._seconds(),
                    "match": "sku",
                    "for": "PT4S",
                }
            },
            "streak": {
                "streak": {
                    "of": {"event": "message_sent"},
                    "without": {"event": "message_read"},
                    "match": "message_id",
                    "at_least": rng.randrange(1, 4),
                    "grace": "PT1S",
                }
            },
            "sequence": {
                "sequence": {
                    "steps": [{"event": "product_view"}, {"event": "cart_add", "within": self._seconds()}],
                    "within": f"PT{LONGEST_S}S",
                }
            },
            "sum": {
                "aggregate": {
                    "fn": rng.choice(("sum", "max", "avg")),
                    "of": "amount",
                    "event": "purchase",
                    "within": self._seconds(),
                    "is": {"gte": rng.choice((20, 60, 150))},
                }
            },
            "held": {"held": {"path": "stage", "is": rng.choice(STAGES), "for": self._seconds()}},
            "known": {"known": {rng.choice(("within", "for")): self._seconds()}},
            "tags": {"tags": {rng.choice(("any", "none")): rng.sample(TAGS, 2)}},
            "list": {"in_list": rng.choice(LISTS)},
            "profile": {"profile": {"city": {"in": rng.sample(CITIES, 2)}}},
            "regularly": {
                "regularly": {**views, "period": "PT2S", "periods": 4, "at_least": rng.randrange(1, 5)},
            },
            "consent": {"consent": {"channel": rng.choice(CHANNELS), "is": rng.choice(("granted", "unknown"))}},
            "sample": {"sample": {"percent": rng.choice((20, 50, 80)), "salt": rng.choice("xy")}},
            "of_last": {"did": {"event": "click", "of_last": rng.randrange(2, 9), "where": {"button": "buy-now"}}},
            "last": {
                "aggregate": {"fn": "last", "of": "category", "event": "product_view", "is": rng.choice(CATEGORIES)}
            },
            "first": {"did": {"event": "purchase", "first": True, "within": self._seconds()}},
            "rfm": {"rfm": {"model": "shop", rng.choice(("recency", "frequency")): {"gte": rng.randrange(2, 6)}}},
        }
        return made[kind]

    def _other_windows(self, part: Any, key: str = "") -> Any:
        if isinstance(part, dict):
            return {name: self._other_windows(each, name) for name, each in part.items()}
        if isinstance(part, list):
            return [self._other_windows(each) for each in part]
        if key in ("within", "for") and isinstance(part, str):
            return self._seconds()
        return self._rng.randrange(1, 9) if key == "gte" and isinstance(part, int) and part < 9 else part


def _nested(part: Any) -> list[str]:
    if isinstance(part, dict):
        mine = [part["in_segment"]] if "in_segment" in part else []
        return mine + [name for each in part.values() for name in _nested(each)]
    return [name for each in part for name in _nested(each)] if isinstance(part, list) else []


def _read(document: Json) -> Definition:
    return read_definition(deepcopy(document), document.get("segment") or document["model"])
