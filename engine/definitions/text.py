"""From a text to plain documents: YAML 1.2, which JSON is a part of, with the place of everything in it.

YAML is read without its surprises: `no` is a text, dates are texts, aliases and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from engine.definitions.errors import DefinitionError
from engine.definitions.source import Mark, Place, Source, path_text, shown

DEFINITION_BYTES_MAX = 262_144
"""A definition's text: 256 KiB."""
DEPTH_MAX = 64
"""How deep a definition may nest."""
NOTHING = "the value is missing"
NOTHING_HINT = "write one, or take the key out (exists: false asks for what is not there)"
NO_CHARACTER = "the text holds what is no character"
NO_CHARACTER_HINT = "write whole characters"
_CORE = "tag:yaml.org,2002:"
_BRACKET = re.compile(r"[\[\]{}]")
_NO_CHARACTER = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no YAML text may hold: control characters and lone surrogates."""
_LONE = re.compile("[\ud800-\udfff]")
"""Half of a pair of UTF-16: an escape of JSON can write it alone, UTF-8 and the state cannot."""
_NEXT_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)


@dataclass(slots=True)
class Read:
    """One document of a text: what is written there, where, and the mistakes of its form."""

    source: Source
    errors: list[DefinitionError]


@dataclass(slots=True)
class Texts:
    """All that one text holds: its documents, and what is wrong where it is no YAML."""

    documents: list[Read]
    errors: list[DefinitionError]


def read_text(text: bytes | str, file: str) -> Texts:
    """The documents of a text (YAML's `---` parts them); of a text that is no YAML, those that are sound alone."""
    if len(text) > DEFINITION_BYTES_MAX:
        problem = f"the definition has {len(text)} bytes; at most {DEFINITION_BYTES_MAX} are allowed"
        return _refused(file, (1, 1), "", problem, "put long lists of contacts on a list")
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(errors="replace")
        offending = error.object[error.start : error.end].hex()
        return _refused(file, _mark(before), offending, f"the text is not UTF-8 ({error.reason})", "save it as UTF-8")
    if found := _NO_CHARACTER.search(decoded):
        problem = f"not YAML or JSON: the character U+{ord(found[0]):04X} is not allowed"
        return _refused(file, _mark(decoded[: found.start()]), repr(found[0]), problem, "take it out")
    if (deep := _too_deep(decoded)) is not None:
        problem, hint = f"nested more than {DEPTH_MAX} deep", "split it into several segments"
        return _refused(file, _mark(decoded[:deep]), decoded[deep], problem, hint)
    whole = _compose(decoded, file)
    if not whole.errors:
        return whole
    # `---` at the head of a line begins a document wherever it stands, so the others can be read without the bad one.
    starts = [0, *(found.start() for found in _NEXT_DOCUMENT.finditer(decoded) if found.start()), len(decoded)]
    apart = Texts([], [])
    for start, end in pairwise(starts):
        each = _compose("\n" * decoded.count("\n", 0, start) + decoded[start:end], file)
        apart.documents += each.documents
        apart.errors += each.errors
    return apart if apart.errors else whole


def _refused(file: str, mark: Mark, text: str, problem: str, hint: str) -> Texts:
    return Texts([], [DefinitionError("", shown(text), problem, hint, file, *mark)])


def _mark(before: str) -> Mark:
    """The place after so much text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _too_deep(text: str) -> int | None:
    """Where brackets nest too deep, those in texts included: reading them takes time as the square of their depth."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        if depth > 2 * DEPTH_MAX:
            return match.start()
    return None


class _Alias(Exception):
    """A name that stands for another value: with a few of them a short text becomes endless."""

    def __init__(self, event: AliasEvent) -> None:
        self.name = f"*{event.anchor}"
        self.mark: Mark = event.start_mark.line + 1, event.start_mark.column + 1


class _Composer(Composer):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            raise _Alias(self.parser.peek_event())
        return super().compose_node(parent, index)


def _compose(text: str, file: str) -> Texts:
    found: list[Read] = []
    lines = text.splitlines()
    try:
        yaml = YAML(typ="rt", pure=True)
        yaml.Composer = _Composer
        # One by one, so that those before a mistake are kept; an empty one, as after a last ---, is none.
        nodes = yaml.compose_all(StringIO(text))
        found.extend(_Reading(file).read(node) for node in nodes if node is not None and node.value != "")
    except _Alias as alias:
        problem, hint = "aliases (*name) are not allowed", "write the value out"
        return Texts(found, [DefinitionError("", shown(alias.name), problem, hint, file, *alias.mark)])
    except MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        line, column = (at.line, at.column) if at is not None else (0, 0)
        if line >= len(lines):  # at the end of the text
            line, column = max(len(lines) - 1, 0), len(lines[-1]) if lines else 0
        offending = lines[line].strip() if lines else ""
        problem = f"not YAML or JSON: {error.problem or error.context}"
        hint = _hint(lines[line] if lines else "", str(error.problem), str(error.context))
        return Texts(found, [DefinitionError("", shown(offending), problem, hint, file, line + 1, column + 1)])
    except (YAMLError, RecursionError) as error:
        return Texts(found, [DefinitionError("", "", f"not YAML or JSON: {error}", "", file, 1, 1)])
    return Texts(found, [])


def _hint(line: str, problem: str, context: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not with tabs"
    if "flow" in context or "flow" in problem:
        return "close what was opened with { or [, and part entries with commas"
    if "scalar" in context:
        return "close the text with the quote that it begins with"
    if "mapping values are not allowed" in problem:
        return 'write "key: value" in a line of its own, and texts with a colon in quotes'
    return "indent all keys of one object alike, each as key: value"


class _Reading:
    """From the nodes of one document to plain values."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._keys: dict[Place, Mark] = {}
        self._values: dict[Place, Mark] = {}
        self._errors: list[DefinitionError] = []

    def read(self, node: Node) -> Read:
        document = self._plain(node, ())
        return Read(Source(self._file, document, self._keys, self._values), self._errors)

    def _wrong(self, place: Place, text: Any, problem: str, hint: str, mark: Mark) -> None:
        path = path_text(place if len(place) <= DEPTH_MAX else place[:8]) + ("…" if len(place) > DEPTH_MAX else "")
        self._errors.append(DefinitionError(path, shown(text), problem, hint, self._file, *mark))

    def _plain(self, node: Node, place: Place) -> Any:
        mark = node.start_mark.line + 1, node.start_mark.column + 1
        self._values[place] = mark
        if len(place) > DEPTH_MAX:
            self._wrong(place, "", f"nested more than {DEPTH_MAX} deep", "split it into several segments", mark)
            return None
        if not str(node.tag).startswith(_CORE):
            self._wrong(place, node.tag, f"the tag {node.tag} is not allowed", "write a plain value", mark)
        if isinstance(node, MappingNode):
            return self._object(node, place)
        if isinstance(node, SequenceNode):
            return [self._plain(child, (*place, index)) for index, child in enumerate(node.value)]
        value = _scalar(node)
        if value is None:
            if not node.value:  # nothing is where the next token stands: the key is what can be pointed at
                mark = self._keys.get(place) or self._values[place[:-1]]
            self._wrong(place, node.value, NOTHING, NOTHING_HINT, mark)
        if isinstance(value, str) and not _whole(value):
            self._wrong(place, repr(value), NO_CHARACTER, NO_CHARACTER_HINT, mark)
            return _LONE.sub("\ufffd", value)  # what looks for other mistakes may need to encode it
        return value

    def _object(self, node: MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            key = _joined(str(key_node.value)) if isinstance(key_node, ScalarNode) else ""
            if not isinstance(key_node, ScalarNode):
                self._wrong(place, repr(key), "a key must be a text", "write key: value", mark)
                continue
            if not _whole(key):
                self._wrong(place, repr(key), NO_CHARACTER, NO_CHARACTER_HINT, mark)
                continue
            if key in found:
                self._wrong((*place, key), key, f"the key {key!r} stands here twice", "take one of them out", mark)
                continue
            self._keys[(*place, key)] = mark
            found[key] = self._plain(value_node, (*place, key))
        return found


def _scalar(node: Node) -> Any:
    text, kind = str(node.value), str(node.tag).rpartition(":")[2]
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0) if text[:2].lower() in ("0x", "0o") else int(text.replace("_", ""))
        if kind == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else _joined(text)


def _joined(text: str) -> str:
    r"""A text whose characters beyond U+FFFF JSON wrote as two escapes each, such as \ud83d\ude00."""
    if _whole(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _whole(text: str) -> bool:
    return _LONE.search(text) is None


class Flaw(NamedTuple):
    """What no definition may hold, in a document that is plain already."""

    place: Place
    text: str
    problem: str
    hint: str


def flaws(value: Any, place: Place = ()) -> Iterator[Flaw]:
    r"""The nulls of a plain document, and its texts and keys with what is no character, such as \ud800 alone."""
    if value is None:
        yield Flaw(place, "null", NOTHING, NOTHING_HINT)
    elif isinstance(value, str) and not _whole(value):
        yield Flaw(place, repr(value), NO_CHARACTER, NO_CHARACTER_HINT)
    elif len(place) > DEPTH_MAX:
        return
    elif isinstance(value, dict):
        for key, child in value.items():
            if _whole(str(key)):
                yield from flaws(child, (*place, str(key)))
            else:
                yield Flaw(place, repr(key), NO_CHARACTER, NO_CHARACTER_HINT)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from flaws(child, (*place, index))
