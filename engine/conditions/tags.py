"""`tags`: the contact has any, all or none of these tags.

>>> Tags.model_validate({"tags": {"any": ["promo", "vip"]}}).describe()
'has any of the tags promo, vip'
"""

from __future__ import annotations

from pydantic import Field, model_validator

from engine.conditions.contact import Contact
from engine.conditions.document import Document, Texts, mistake
from engine.conditions.instants import NEVER
from engine.conditions.scope import Evaluate, Scope, Verdict


class TagsOptions(Document):
    """One or several of the three; all that are written hold."""

    any_: Texts | None = Field(default=None, alias="any")
    all_: Texts | None = Field(default=None, alias="all")
    none_: Texts | None = Field(default=None, alias="none")

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

    def describe(self) -> str:
        """Plain words."""
        options = self.tags
        parts = (("any", options.any_), ("all", options.all_), ("none", options.none_))
        return " and ".join(f"has {word} of the tags {', '.join(texts)}" for word, texts in parts if texts)
