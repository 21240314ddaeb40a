"""`tags`: the contact has any, all or none of these tags.

>>> Tags.model_validate({"tags": {"any": ["promo", "vip"]}}).describe()
'has any of the tags promo, vip'
>>> Tags.model_validate({"tags": {"all": "promo"}}).describe()
'has the tag promo'
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Texts, mistake
from engine.conditions.evidence import last_naming, listed
from engine.conditions.example import Example
from engine.conditions.fact import Fact
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class TagsOptions(Document):
    """One or several of the three; all that are written hold."""

    any_: Texts | None = Field(default=None, alias="any")
    """At least one of these."""
    all_: Texts | None = Field(default=None, alias="all")
    """All of these."""
    none_: Texts | None = Field(default=None, alias="none")
    """None of these."""

    @model_validator(mode="after")
    def _some(self) -> TagsOptions:
        if self.any_ is None and self.all_ is None and self.none_ is None:
            raise mistake("tags", "tags names no tag", "write tags: {any: [a, b]}, {all: [a, b]} or {none: [a]}")
        return self


class Tags(Document):
    """`tags: {any, all, none}`"""

    tags: TagsOptions

    def compile(self, scope: Scope) -> Evaluate:
        """The contact's tags against the three lists."""
        options = self.tags
        some, every, none = (tuple(sorted(set(texts or ()))) for texts in (options.any_, options.all_, options.none_))
        scope.tags.update(some, every, none)

        def evaluate(contact: Contact, t: int) -> Verdict:
            tags = contact.tags
            if tags is None:
                return not some and not every, NEVER

            def has(tag: str) -> bool:
                entry = tags.get(tag)
                return entry is not None and entry[1] == 1

            truth = (
                (not some or any(has(tag) for tag in some))
                and all(has(tag) for tag in every)
                and not any(has(tag) for tag in none)
            )
            return truth, NEVER

        return evaluate

    def evidence(self, scope: Scope, facts: Sequence[Fact], t: int) -> list[Fact]:
        """The last fact about each of the tags."""
        options = self.tags
        names = {name for texts in (options.any_, options.all_, options.none_) for name in texts or ()}
        return last_naming(facts, ("tags_added", "tags_removed"), names, listed("tags"))

    def describe(self) -> str:
        """Plain words."""
        options = self.tags
        parts = (("any", options.any_), ("all", options.all_), ("none", options.none_))
        return " and ".join(_words(word, texts) for word, texts in parts if texts)


def _words(word: str, texts: list[str]) -> str:
    if len(texts) == 1:
        return f"has {'not ' if word == 'none' else ''}the tag {texts[0]}"
    return f"has {word} of the tags {', '.join(texts)}"


EXAMPLES = (
    Example(
        "Any, all and none of some tags",
        """
        segment: partner-shops
        when: {tags: {any: [partner, wholesale], none: [blocked]}}
        ---
        segment: both
        when: {tags: {all: [partner, wholesale]}}
        """,
        """
        2026-05-01T10:00:00Z tags_added c-1 {"tags": ["partner"]}
        2026-05-02T10:00:00Z tags_added c-1 {"tags": ["wholesale"]}
        2026-05-03T10:00:00Z tags_removed c-1 {"tags": ["partner"]}
        2026-05-04T10:00:00Z tags_added c-1 {"tags": ["blocked"]}
        """,
        "2026-06-01T00:00:00Z",
        """
        2026-05-01T10:00:00.000Z enter partner-shops c-1 event
        2026-05-02T10:00:00.000Z enter both c-1 event
        2026-05-03T10:00:00.000Z exit both c-1 event
        2026-05-04T10:00:00.000Z exit partner-shops c-1 event
        """,
    ),
)
