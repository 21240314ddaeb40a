"""Which column is what: the contact, attributes, tags; and the row of the file that names the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_high
from typing import Any, Final

from engine.cli.errors import UserError
from engine.cli.importing.cells import TYPES, BadCell, ValueType, contact_of, tags_of, text_of, value_of
from engine.cli.importing.rows import Cell, Row
from engine.conditions.spelling import near_name

CONTACT_COLUMNS: Final = ("contact", "contact_id", "id", "phone", "email")
"""Where the contact is unless said otherwise: the first of these that the file has."""
HEADER_ROWS: Final = 20
"""Rows in which the names of columns are looked for: titles and empty lines may stand above."""
ATTRIBUTES_MAX: Final = 1_000
ATTRIBUTE_CHARACTERS_MAX: Final = 256
MAPPING_BYTES_MAX: Final = 1 << 20
LISTED_MAX: Final = 30
"""Columns that an error names."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, the column that it comes from, and the type that its cells are read as; None: their own."""

    name: str
    column: str
    kind: ValueType | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """What is asked of a file: the contact's column (None: one of CONTACT_COLUMNS), attributes, the column of tags, and
    tags for all."""

    contact: str | None = None
    attributes: tuple[Attribute, ...] = ()
    tags: str | None = None
    tag: tuple[str, ...] = ()


@dataclass(slots=True)
class Person:
    """What one row says of one contact: attributes as JSON, by name, and tags."""

    contact: str
    attributes: dict[str, bytes] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


class BadRow(ValueError):
    """A row that is not loaded: why, the text at fault, and the contact if that could be read."""

    def __init__(self, why: str, text: str, contact: str | None) -> None:
        super().__init__(why)
        self.text, self.contact = text, contact


def read_mapping(
    file: Path | None, contact: str | None, attributes: Sequence[str], tags: str | None, tag: Sequence[str]
) -> Mapping:
    """The mapping of a file, overruled by the options: `attributes` as NAME=COLUMN[:TYPE], all tags as they are.

    Raises UserError.
    """
    base = Mapping() if file is None else _from_file(file)
    by_name = {each.name: each for each in base.attributes}
    for text in attributes:
        each = _attribute(text)
        by_name[each.name] = each
    if len(by_name) > ATTRIBUTES_MAX:
        raise UserError(f"{len(by_name)} attributes; at most {ATTRIBUTES_MAX} are taken from a file.")
    if any(not each.strip(" ,;") for each in tag):
        raise UserError("--tag is given without a tag: write one, or leave it out.")
    try:
        for_all = tuple(dict.fromkeys(each for text in (*base.tag, *tag) for each in tags_of(text)))
    except BadCell as error:
        raise UserError(f"--tag {error.text!r}: {error}.") from None
    return Mapping(contact or base.contact, tuple(by_name.values()), tags or base.tags, for_all)


class Columns:
    """The columns of one file: where the contact, the attributes and the tags are. `line` is the header's, 0 without.

    `told` says for people which column is the contact. Raises UserError if a column is not there.
    """

    def __init__(self, names: Sequence[str], mapping: Mapping, line: int) -> None:
        self.line = line
        self.width = len(names)
        self._names = [each.casefold() for each in names]
        self._mapping = mapping
        wanted = mapping.contact or next((each for each in CONTACT_COLUMNS if each in self._names), None)
        if wanted is None:
            raise UserError(
                f"No column is named {', '.join(CONTACT_COLUMNS[:-1])} or {CONTACT_COLUMNS[-1]}. Say which one holds "
                f"the contact's id: --contact COLUMN. {_listed(names, line)}"
            )
        self.contact = self._place(wanted, names)
        self.attributes = [(self._place(each.column, names), each) for each in mapping.attributes]
        self.tags = None if mapping.tags is None else self._place(mapping.tags, names)
        self.told = f"the contact is in column {names[self.contact]!r}" + (f", named in line {line}" if line else "")

    def person(self, cells: Sequence[Cell]) -> Person:
        """What a row says. Raises BadRow."""
        contact: str | None = None
        column = self.contact
        try:
            contact = contact_of(cells[column] if column < len(cells) else None)
            if len(cells) > self.width and any(each not in (None, "") for each in cells[self.width :]):
                raise BadRow(f"it has {len(cells)} columns, the header {self.width}", contact[:80], contact)
            found = Person(contact)
            for column, each in self.attributes:
                if column < len(cells) and (value := value_of(cells[column], each.kind)) is not None:
                    found.attributes[each.name] = value
            if self.tags is not None and self.tags < len(cells):
                column = self.tags
                found.tags = tags_of(cells[column])
        except BadCell as error:
            raise BadRow(f"column {self._shown(column)}: {error}", error.text, contact) from None
        return found

    def _shown(self, column: int) -> str:
        return repr(self._names[column])

    def _place(self, wanted: str, names: Sequence[str]) -> int:
        places = [place for place, name in enumerate(self._names) if name == wanted.strip().casefold()]
        if len(places) == 1:
            return places[0]
        if places:
            raise UserError(f"{len(places)} columns are named {wanted!r}: rename one. {_listed(names, self.line)}")
        near = near_name(wanted, filter(None, names))
        hint = f"Did you mean {near!r}? " if near else ""
        raise UserError(f"There is no column {wanted!r}. {hint}{_listed(names, self.line)}")


def find_columns(rows: Sequence[Row], mapping: Mapping, *, header: bool = True) -> Columns:
    """The columns by the first row that names all that are wanted; without `header` they are named 1, 2, 3 ….

    `rows` are the first ones of the file, at most HEADER_ROWS. Raises UserError with the columns of the likeliest row.
    """
    if not header:
        names = [str(number) for number in range(1, max(len(each.cells) for each in rows) + 1)]
        return Columns(names, mapping if mapping.contact else Mapping("1", mapping.attributes, mapping.tags), 0)
    wanted = [each.column for each in mapping.attributes]
    wanted += [each for each in (mapping.contact, mapping.tags) if each is not None]
    known = {each.strip().casefold() for each in wanted} | (set() if mapping.contact else set(CONTACT_COLUMNS))
    likeliest, most = rows[0], -1
    for row in rows:
        names = _names_in(row)
        if (alike := len(known.intersection(each.casefold() for each in names))) > most:
            likeliest, most = row, alike
        try:
            return Columns(names, mapping, row.line)
        except UserError:
            continue
    if most == 0:  # titles stand alone in their lines: the first row as wide as most names the columns
        usual = median_high(_filled(row) for row in rows)  # not the widest, which may be a bad row
        likeliest = next(row for row in rows if _filled(row) >= usual)
    return Columns(_names_in(likeliest), mapping, likeliest.line)


def _filled(row: Row) -> int:
    return sum(each not in (None, "") for each in row.cells)


def _names_in(row: Row) -> list[str]:
    names: list[str] = []
    for cell in row.cells:
        try:
            names.append(" ".join(text_of(cell).split()))
        except BadCell:
            names.append("")
    while names and not names[-1]:
        names.pop()
    return names


def _listed(names: Sequence[str], line: int) -> str:
    shown = [each for each in names if each]
    more = f" and {len(shown) - LISTED_MAX} more" if len(shown) > LISTED_MAX else ""
    where = f"The columns in line {line}" if line else "The columns, without header,"
    return f"{where} are: {', '.join(shown[:LISTED_MAX])}{more}." if shown else f"{where} have no names."


def _attribute(text: str) -> Attribute:
    name, equals, column = text.partition("=")
    if not equals:
        column, _, name = text, "", text.rpartition(":")[0] if text.rpartition(":")[2] in TYPES else text
    before, _, last = column.rpartition(":")
    kind = next((each for each in TYPES if before and each == last), None)
    return _sound(name.strip(), (before if kind else column).strip(), kind, f"--attribute {text}")


def _sound(name: str, column: str, kind: ValueType | None, where: str) -> Attribute:
    if not name or not column:
        raise UserError(f"{where}: write NAME=COLUMN, or NAME=COLUMN:TYPE with one of {', '.join(TYPES)}.")
    if len(name) > ATTRIBUTE_CHARACTERS_MAX:
        raise UserError(f"{where[:80]}: an attribute's name has at most {ATTRIBUTE_CHARACTERS_MAX} characters.")
    return Attribute(name, column, kind)


def _from_file(path: Path) -> Mapping:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw = path.read_bytes()
        if len(raw) > MAPPING_BYTES_MAX:
            raise UserError(f"The mapping {path} is longer than {MAPPING_BYTES_MAX} bytes.")
        found = YAML(typ="safe", pure=True).load(raw.decode())
    except OSError as error:
        raise UserError(f"The mapping {path} cannot be read: {error.strerror}.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The mapping {path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UserError(f"The mapping {path} has no keys: write contact: COLUMN, attributes: {{name: COLUMN}} ….")
    keys = ("contact", "attributes", "tags", "tag")
    for key in found:
        if key not in keys:
            near = near_name(str(key), keys)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f"{path}: {key!r} is no key of a mapping, which has {', '.join(keys)}.{hint}")
    attributes = found.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise UserError(f"{path}: attributes are written as name: COLUMN, or name: {{column: COLUMN, type: date}}.")
    tag = found.get("tag") or []
    return Mapping(
        _column(path, "contact", found.get("contact")),
        tuple(_mapped(path, str(name), each) for name, each in attributes.items()),
        _column(path, "tags", found.get("tags")),
        tuple(str(each) for each in (tag if isinstance(tag, list) else [tag])),
    )


def _column(path: Path, key: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise UserError(f"{path}: {key} is the name of a column, not {value!r}.")


def _mapped(path: Path, name: str, value: Any) -> Attribute:
    where = f"{path}: attributes.{name}"
    if isinstance(value, dict):
        kind = value.get("type")
        if not set(value) <= {"column", "type"} or (kind is not None and kind not in TYPES):
            raise UserError(f"{where}: write {{column: COLUMN, type: TYPE}} with one of {', '.join(TYPES)}.")
        return _sound(name, _column(path, f"attributes.{name}.column", value.get("column")) or name, kind, where)
    return _sound(name, _column(path, f"attributes.{name}", value) or name, None, where)
