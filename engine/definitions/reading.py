"""Reading definitions: YAML 1.2 or JSON text, or plain JSON → checked documents, with the place of every mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from engine.definitions.check import JOURNAL_RETENTION, together
from engine.definitions.document import Segment
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.mistakes import mistakes
from engine.definitions.model import PREFIX, Definition, Model
from engine.definitions.source import Source, path_text, shown
from engine.definitions.text import Read, flaws, read_text

SUFFIXES = (".yaml", ".yml", ".json")
_IDS = re.compile(r"""^\s*\{?\s*["']?(segment|model)["']?\s*:\s*["']?([a-z0-9-]+)""", re.MULTILINE)
"""The ids in a text that is no YAML."""


class Documents(NamedTuple):
    """The definitions that a text, or a folder, holds."""

    segments: list[Segment]
    models: list[Model]


@dataclass(slots=True)
class Reading:
    """What was read: the sound definitions, and what is wrong with the others."""

    documents: Documents = field(default_factory=lambda: Documents([], []))
    errors: list[DefinitionError] = field(default_factory=list)
    unsound: set[tuple[str, str]] = field(default_factory=set)
    """Keys of those that have mistakes, so that what names them is no mistake too."""
    complete: bool = True
    """Whether the keys of all that have mistakes are known."""

    def __bool__(self) -> bool:
        return any(self.documents) or bool(self.errors)

    def take(self, definition: Definition) -> None:
        """Add a sound definition."""
        if isinstance(definition, Segment):
            self.documents.segments.append(definition)
        else:
            self.documents.models.append(definition)

    def join(self, other: Reading) -> None:
        """Add what was read elsewhere."""
        self.documents.segments.extend(other.documents.segments)
        self.documents.models.extend(other.documents.models)
        self.errors += other.errors
        self.unsound |= other.unsound
        self.complete = self.complete and other.complete

    def checked(self, *, journal_retention: int = JOURNAL_RETENTION, alone: bool = True) -> list[DefinitionError]:
        """The mistakes of all, and of the sound ones together, by file and line; with `alone` they name no others."""
        clashes = together(
            *self.documents,
            journal_retention=journal_retention,
            complete=alone and self.complete,
            besides=self.unsound,
        )
        return in_order([*self.errors, *clashes])


def in_order(errors: Sequence[DefinitionError]) -> list[DefinitionError]:
    """Mistakes by file, line and column."""
    return sorted(errors, key=lambda each: (each.file, each.line or 0, each.column or 0))


def read_folder(folder: Path | str) -> Reading:
    """What stands in a file, or in a folder's .yaml, .yml and .json files, in order of file name.

    A file that can't be read is a mistake like others. Raises FileNotFoundError for a folder that is not there.
    """
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    found = Reading()
    for file in files:
        try:
            text = file.read_bytes()
        except OSError as error:
            problem = f"the file cannot be read: {error.strerror or error}"
            found.errors.append(DefinitionError("", "", problem, "", str(file)))
            found.complete = False
        else:
            _read_into(found, text, str(file))
    return found


def _read_into(found: Reading, text: bytes | str, file: str) -> None:
    """Adds what one text holds."""
    texts = read_text(text, file)
    found.errors += texts.errors
    if not texts.documents and not texts.errors:
        hint = "start with segment: some-id"
        found.errors.append(DefinitionError("", "", "the text holds no definition", hint, file, 1, 1))
    if texts.errors:
        named = _IDS.findall(text if isinstance(text, str) else text.decode(errors="replace"))
        found.unsound.update(("default", name if kind == "segment" else f"{PREFIX}{name}") for kind, name in named)
        found.complete = found.complete and bool(named)
    for read in texts.documents:
        definition, errors = _definition(read)
        if definition is not None:
            found.take(definition)
            continue
        found.errors += errors
        key = _key(read.source.document)
        if key is not None:
            found.unsound.add(key)
        else:
            found.complete = False


def _key(document: Any) -> tuple[str, str] | None:
    """The key that a document with mistakes would have."""
    if not isinstance(document, dict):
        return None
    workspace, name = document.get("workspace", "default"), document.get("segment", document.get("model"))
    if not isinstance(workspace, str) or not isinstance(name, str):
        return None
    return workspace, f"{PREFIX}{name}" if _is_model(document) else name


def load_folder(folder: Path | str) -> list[Segment]:
    """The segments of `load_definitions`."""
    return load_definitions(folder).segments


def load_definitions(folder: Path | str) -> Documents:
    """The definitions of a file or a folder (`read_folder`), checked together.

    Raises DefinitionErrors with all mistakes of all files, FileNotFoundError for a folder that is not there.
    """
    found = read_folder(folder)
    if errors := found.checked():
        raise DefinitionErrors(errors)
    return found.documents


def parse_definitions(text: bytes | str, name: str) -> Documents:
    """All documents of one text (YAML's `---` parts them). Raises DefinitionErrors."""
    found = Reading()
    _read_into(found, text, name)
    if found.errors:
        raise DefinitionErrors(in_order(found.errors))
    return found.documents


def parse_segments(text: bytes | str, name: str) -> list[Segment]:
    """All documents of one text that holds segments alone. Raises DefinitionErrors."""
    segments, models = parse_definitions(text, name)
    if models:
        problem = f"the model {models[0].model} where only segments are asked for"
        raise DefinitionErrors([models[0].source.error(("model",), problem, key=True)])
    return segments


def parse_segment(text: bytes | str, name: str = "definition") -> Segment:
    """The one document of a text, checked on its own. Raises DefinitionErrors."""
    segments = parse_segments(text, name)
    if len(segments) != 1:
        problem = f"{len(segments)} definitions where one is asked for"
        raise DefinitionErrors([segments[1].source.error(("segment",), problem, key=True)])
    return segments[0]


def read_segment(document: Any, name: str = "definition") -> Segment:
    """A segment that is already plain JSON. Raises DefinitionErrors."""
    found = _read_plain(Segment, document, name)
    assert isinstance(found, Segment)
    return found


def read_definition(document: Any, name: str = "definition") -> Definition:
    """A segment or a model that is already plain JSON. Raises DefinitionErrors."""
    return _read_plain(Model if _is_model(document) else Segment, document, name)


def _is_model(document: Any) -> bool:
    """Whether it is meant for a model: cut points tell, where the key with the id is mistyped."""
    return isinstance(document, dict) and "segment" not in document and ("model" in document or "cuts" in document)


def _read_plain(kind: type[Definition], document: Any, name: str) -> Definition:
    source = Source(name, document)
    if found := list(flaws(document)):
        raise DefinitionErrors(
            [DefinitionError(path_text(at), shown(text), problem, hint, name) for at, text, problem, hint in found]
        )
    definition, errors = _validated(kind, source)
    if definition is None:
        raise DefinitionErrors(errors)
    definition.written_at(Source(name))  # a worker keeps thousands: no document beside the definition
    return definition


def _definition(read: Read) -> tuple[Definition | None, list[DefinitionError]]:
    """The definition, or all that is wrong with it."""
    definition, errors = _validated(Model if _is_model(read.source.document) else Segment, read.source)
    if definition is not None and not read.errors:
        definition.written_at(read.source)
        return definition, []
    # What is wrong in form already may be wrong in kind too: it is told once.
    told = [each for each in errors if not _told(each, read)]
    return None, [*read.errors, *told]


def _told(error: DefinitionError, read: Read) -> bool:
    return any(
        error.path.startswith(path) or path.startswith(error.path) for path in (each.path for each in read.errors)
    )


def _validated(kind: type[Definition], source: Source) -> tuple[Definition | None, list[DefinitionError]]:
    try:
        return kind.model_validate(source.document, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, mistakes(error, source, kind)
