"""What is wrong with a definition, so that its author can mend it: where, what, and what is allowed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DefinitionError:
    """One mistake. `path` is such as `when.all[1].did.within`, `text` what was written there; `line` and `column` count
    from 1, None where there is no text."""

    path: str
    text: str
    problem: str
    hint: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def where(self) -> str:
        """`file:line:column`, as far as it is known."""
        return self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.where, self.path, self.problem) if part)
        if not self.hint:
            return said
        return f"{said}. {self.hint}" if self.hint[0].isupper() else f"{said}; {self.hint}"


class DefinitionErrors(ValueError):
    """All mistakes found in a set of definitions, in `errors`."""

    def __init__(self, errors: Sequence[DefinitionError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(map(str, self.errors)))
