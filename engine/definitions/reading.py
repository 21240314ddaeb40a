"""Reading definitions: YAML 1.2 or JSON text → checked documents, with the place of every mistake.

YAML is read without its surprises: `no` is a text, dates are texts, aliases and tags are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from engine.conditions.registry import NAMES, TAG
from engine.conditions.values import OPERATORS
from engine.definitions.check import check
from engine.definitions.document import Segment
from engine.definitions.errors import DefinitionError, DefinitionErrors
from engine.definitions.model import Definition, Model

DEFINITION_BYTES_MAX = 262_144
"""A definition's text: 256 KiB."""
DEPTH_MAX = 64
"""How deep a definition may nest."""
_NOTHING = "the value is missing"
_NOTHING_HINT = "write one, or take the key out (exists: false asks for what is not there)"
_SCALAR_ERRORS = ("bool_type", "int_type", "float_type", "string_type", "finite_number", "string_too_long")
_CORE = "tag:yaml.org,2002:"
SUFFIXES = (".yaml", ".yml", ".json")

_BRACKET = re.compile(r"[\[\]{}]")

Place = tuple[str | int, ...]
Places = dict[Place, tuple[int, int]]


D = TypeVar("D", Segment, Model)


class Documents(NamedTuple):
    """The definitions that a text, or a folder, holds."""

    segments: list[Segment]
    models: list[Model]


def load_folder(folder: Path | str) -> list[Segment]:
    """The segments of `load_definitions`."""
    return load_definitions(folder).segments


def load_definitions(folder: Path | str) -> Documents:
    """Every definition in a file or a folder's .yaml, .yml and .json files, checked together, in order of file name.

    Raises DefinitionErrors with all mistakes of all files, FileNotFoundError for a folder that is not there.
    """
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    found = Documents([], [])
    errors: list[DefinitionError] = []
    for file in files:
        try:
            segments, models = parse_definitions(file.read_bytes(), str(file))
        except DefinitionErrors as error:
            errors += error.errors
        else:
            found.segments.extend(segments)
            found.models.extend(models)
    if not errors:
        check(*found)
        return found
    try:
        check(*found, complete=False)
    except DefinitionErrors as error:
        errors += error.errors
    raise DefinitionErrors(errors)


def parse_definitions(text: bytes | str, name: str) -> Documents:
    """All documents of one text (YAML's `---` parts them). Raises DefinitionErrors."""
    found: list[Definition] = []
    errors: list[DefinitionError] = []
    for node in _documents(text, name):
        try:
            found.append(_definition(node, name))
        except DefinitionErrors as error:
            errors += error.errors
    if not found and not errors:
        errors.append(DefinitionError("", "", "the text holds no definition", "start with segment: some-id", file=name))
    if errors:
        raise DefinitionErrors(errors)
    segments = [each for each in found if isinstance(each, Segment)]
    return Documents(segments, [each for each in found if isinstance(each, Model)])


def parse_segments(text: bytes | str, name: str) -> list[Segment]:
    """All documents of one text that holds segments alone. Raises DefinitionErrors."""
    segments, models = parse_definitions(text, name)
    if models:
        problem = f"the model {models[0].model} where only segments are asked for"
        raise DefinitionErrors([DefinitionError("", "", problem, file=name)])
    return segments


def parse_segment(text: bytes | str, name: str = "definition") -> Segment:
    """The one document of a text, checked on its own. Raises DefinitionErrors."""
    segments = parse_segments(text, name)
    if len(segments) != 1:
        raise DefinitionErrors(
            [DefinitionError("", "", f"{len(segments)} definitions where one is asked for", file=name)]
        )
    return segments[0]


def read_segment(document: Any, name: str = "definition") -> Segment:
    """A segment that is already plain JSON. Raises DefinitionErrors."""
    return _read(Segment, document, name)


def read_definition(document: Any, name: str = "definition") -> Definition:
    """A segment or a model that is already plain JSON. Raises DefinitionErrors."""
    return _read(Model, document, name) if _is_model(document) else _read(Segment, document, name)


def _is_model(document: Any) -> bool:
    return isinstance(document, dict) and "model" in document and "segment" not in document


def _read(kind: type[D], document: Any, name: str) -> D:
    missing = [DefinitionError(path_text(place), "", _NOTHING, _NOTHING_HINT, name) for place in _nulls(document, ())]
    if missing:
        raise DefinitionErrors(missing)
    return _validate(kind, document, {}, name)


def _nulls(value: Any, place: Place) -> Iterator[Place]:
    if value is None:
        yield place
    elif len(place) > DEPTH_MAX:
        return
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _nulls(child, (*place, str(key)))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _nulls(child, (*place, index))


def _documents(text: bytes | str, name: str) -> Iterator[Node]:
    if len(text) > DEFINITION_BYTES_MAX:
        problem = f"the definition has {len(text)} bytes; at most {DEFINITION_BYTES_MAX} are allowed"
        raise DefinitionErrors([DefinitionError("", "", problem, "put long lists of contacts on a list", file=name)])
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        if _brackets(decoded) > 2 * DEPTH_MAX:
            problem = f"nested more than {DEPTH_MAX} deep"
            raise DefinitionErrors([DefinitionError("", "", problem, "split it into several segments", file=name)])
        yaml = YAML(typ="rt", pure=True)
        if any(isinstance(event, AliasEvent) for event in yaml.parse(StringIO(decoded))):
            raise DefinitionErrors(
                [DefinitionError("", "", "aliases (*name) are not allowed", "write the value out", file=name)]
            )
        yield from [node for node in YAML(typ="rt", pure=True).compose_all(StringIO(decoded)) if node is not None]
    except UnicodeDecodeError as error:
        raise DefinitionErrors(
            [DefinitionError("", "", f"the text is not UTF-8 ({error.reason})", file=name)]
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = f"not YAML or JSON: {error.problem or error.context}"
        raise DefinitionErrors([DefinitionError("", "", problem, file=name, line=line, column=column)]) from None
    except (YAMLError, RecursionError) as error:
        raise DefinitionErrors([DefinitionError("", "", f"not YAML or JSON: {error}", file=name)]) from None


def _brackets(text: str) -> int:
    """How deep brackets nest, those in texts included: reading them takes time as their square."""
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _definition(node: Node, name: str) -> Definition:
    places: Places = {}
    errors: list[DefinitionError] = []
    document = _plain(node, (), places, errors, name)
    if errors:
        raise DefinitionErrors(errors)
    if _is_model(document):
        return _validate(Model, document, places, name)
    return _validate(Segment, document, places, name)


def _plain(node: Node, place: Place, places: Places, errors: list[DefinitionError], name: str) -> Any:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    places[place] = (line, column)
    if len(place) > DEPTH_MAX:
        errors.append(
            DefinitionError(
                path_text(place[:8]) + "…",
                "",
                f"nested more than {DEPTH_MAX} deep",
                file=name,
                line=line,
                column=column,
            )
        )
        return None
    if not str(node.tag).startswith(_CORE):
        problem = f"the tag {node.tag} is not allowed"
        errors.append(
            DefinitionError(path_text(place), str(node.tag), problem, "write a plain value", name, line, column)
        )
    if isinstance(node, MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else str(key_node.value)
            if key in found:
                mark = key_node.start_mark
                problem = f"the key {key!r} stands here twice"
                errors.append(
                    DefinitionError(
                        path_text((*place, key)), key, problem, file=name, line=mark.line + 1, column=mark.column + 1
                    )
                )
            found[key] = _plain(value_node, (*place, key), places, errors, name)
            places[(*place, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return found
    if isinstance(node, SequenceNode):
        return [_plain(child, (*place, index), places, errors, name) for index, child in enumerate(node.value)]
    value = _scalar(node)
    if value is None:
        errors.append(DefinitionError(path_text(place), "", _NOTHING, _NOTHING_HINT, name, line, column))
    return value


def _scalar(node: Node) -> Any:
    text, kind = str(node.value), str(node.tag).rpartition(":")[2]
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0) if text[:2].lower() in ("0x", "0o") else int(text.replace("_", ""))
        if kind == "float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def path_text(place: Place) -> str:
    """`when.all[1].did.within`"""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text and not part.startswith("[") else part
    return text


def _validate(kind: type[D], document: Any, places: Places, name: str) -> D:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise DefinitionErrors(_mistakes(error, document, places, name)) from None


def _mistakes(error: ValidationError, document: Any, places: Places, name: str) -> list[DefinitionError]:
    """One mistake for each place: a value that may be one of several kinds fails as each of them."""
    found: dict[str, list[tuple[str, DefinitionError]]] = {}
    for each in error.errors(include_url=False):
        told = _mistake(each, document, places, name)
        found.setdefault(told.path, []).append((each["type"], told))
    mistakes = []
    for at_one_place in found.values():
        kinds = [kind for kind, _ in at_one_place]
        told = at_one_place[0][1]
        if len(kinds) > 1 and all(kind in _SCALAR_ERRORS for kind in kinds):
            mistakes.append(replace(told, problem=f"{told.text} is not a text, a number, true or false", hint=""))
        else:
            mistakes += [each for _, each in at_one_place]
    return mistakes


def _mistake(error: Any, document: Any, places: Places, name: str) -> DefinitionError:
    place = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith(TAG)))
    place = _existing(place, document) if error["type"] != "missing" else place
    place += (error.get("ctx") or {}).get("at", ())
    near = next((places[place[:end]] for end in range(len(place), -1, -1) if place[:end] in places), (None, None))
    value = _at(document, place)
    problem, hint = _words(error, place, value, Model if _is_model(document) else Segment)
    return DefinitionError(path_text(place), _short(value), problem, hint, name, *near)


def _existing(place: Place, document: Any) -> Place:
    """The part of a place that is in the document: pydantic also names the kinds it tried."""
    found: list[str | int] = []
    for part in place:
        if isinstance(document, dict) and part in document:
            document = document[str(part)]
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            continue
        found.append(part)
    return tuple(found)


def _at(document: Any, place: Place) -> Any:
    for part in place:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _words(error: Any, place: Place, value: Any, kind: type[Definition]) -> tuple[str, str]:
    context = error.get("ctx") or {}
    if "problem" in context:
        return str(context["problem"]), str(context["hint"])
    told = error["type"]
    if told == "extra_forbidden":
        key = str(place[-1])
        allowed = _allowed(place, kind)
        close = get_close_matches(key, allowed, 1, 0.6)
        return f"unknown key {key!r}", (
            f"Did you mean {close[0]!r}? " if close else ""
        ) + f"Allowed here: {', '.join(allowed)}"
    if told in ("union_tag_not_found", "union_tag_invalid"):
        keys = list(value) if isinstance(value, dict) else []
        close = [match for key in keys for match in get_close_matches(str(key), NAMES, 1, 0.6)]
        problem = (
            f"a condition has one key, not {len(keys)}" if len(keys) > 1 else f"{_short(value)} is not a condition"
        )
        return problem, (
            f"Did you mean {close[0]!r}? " if close and len(keys) == 1 else ""
        ) + f"A condition is one of: {', '.join(NAMES)}"
    if told == "missing":
        return f"{place[-1]!r} is missing", "add it"
    return f"{_short(value)}: {error['msg'][0].lower()}{error['msg'][1:]}", ""


def _allowed(place: Place, kind: type[Definition]) -> list[str]:
    """The keys allowed where the last part of `place` stands."""
    from engine.definitions.keys import keys_at

    return keys_at(place[:-1], kind) or list(OPERATORS)
