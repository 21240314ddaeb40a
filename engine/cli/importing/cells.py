"""Cells to ids, names of tags, and JSON values; what a spreadsheet has damaged is refused, not guessed.

>>> contact_of(79991234567.0), contact_of(" 007 ")
('79991234567', '007')
>>> value_of("1 290,50", "number"), value_of("31.01.2026", "date"), value_of("да", "bool")
(b'1290.50', b'"2026-01-31"', b'true')
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final, Literal

import orjson

from engine.cli.importing.rows import Cell

ValueType = Literal["text", "number", "date", "bool"]
TYPES: Final[tuple[ValueType, ...]] = ("text", "number", "date", "bool")
CONTACT_BYTES_MAX: Final = 256
TAG_CHARACTERS_MAX: Final = 256
TEXT_CHARACTERS_MAX: Final = 32_767
"""Of an attribute: what a cell of a spreadsheet may hold."""
SPREADSHEET_DIGITS: Final = 15
"""Digits of a number that a spreadsheet keeps; it makes zeros of those behind."""
DIGITS_MAX: Final = 30
TRUE: Final = frozenset(("true", "yes", "y", "on", "1", "да", "истина"))
FALSE: Final = frozenset(("false", "no", "n", "off", "0", "нет", "ложь"))
ERRORS: Final = frozenset(("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#Н/Д", "#ССЫЛКА!"))
"""What a formula that failed leaves in its cell."""
_HALF: Final = re.compile("[\ud800-\udfff]")
_SHORTENED: Final = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_SPACES: Final = re.compile(r"[\s\u00a0\u202f']")
_DAY_FIRST: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ ,T]+(.+))?", re.ASCII)
_YEAR_FIRST: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T]+(.+))?", re.ASCII)
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)


class BadCell(ValueError):
    """A cell is not what its column is for. The text says why; `text` is the cell's own, shortened."""

    def __init__(self, why: str, cell: Cell) -> None:
        super().__init__(why)
        self.text = "" if cell is None else str(cell)[:80]


def text_of(cell: Cell) -> str:
    """The cell as text, without blanks around: whole numbers without `.0`, dates as in ISO 8601; "" for an empty one.

    Raises BadCell for a formula's error, and for a number that has lost digits.
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        text = cell.strip()
        if text in ERRORS:
            raise BadCell("the cell holds a formula's error", cell)
        if not text.isascii() and _HALF.search(text):
            raise BadCell("the cell holds half a character", ascii(cell))
        return text
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return _number_text(cell)
    if isinstance(cell, datetime):
        return _instant_text(cell)
    return str(cell) if isinstance(cell, timedelta) else cell.isoformat()


def contact_of(cell: Cell) -> str:
    """The contact id in a cell. Raises BadCell."""
    if isinstance(cell, bool | date | time | timedelta):
        raise BadCell("the contact's cell holds no text or number", cell)
    text = text_of(cell)
    if not text:
        raise BadCell("it names no contact", cell)
    if _SHORTENED.fullmatch(text):
        raise BadCell("a spreadsheet has shortened the contact's number: make the column text there", cell)
    if len(text.encode()) > CONTACT_BYTES_MAX:
        raise BadCell(f"the contact has more than {CONTACT_BYTES_MAX} bytes", cell)
    return text


def tags_of(cell: Cell) -> list[str]:
    """The tags in a cell, which commas or semicolons part. Raises BadCell."""
    tags = [each.strip() for each in text_of(cell).replace(";", ",").split(",")]
    for tag in tags:
        if len(tag) > TAG_CHARACTERS_MAX:
            raise BadCell(f"a tag has more than {TAG_CHARACTERS_MAX} characters", tag)
    return list(dict.fromkeys(filter(None, tags)))


def value_of(cell: Cell, kind: ValueType | None) -> bytes | None:
    """The JSON of an attribute's value, None for an empty cell.

    Without `kind` the cell's own type stands: text in CSV, and text, number, date or yes and no in XLSX. A number is
    written with all its digits. Raises BadCell.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if kind is None:
        if isinstance(cell, bool):
            return b"true" if cell else b"false"
        if isinstance(cell, int | float):
            return _number_text(cell).encode()
        kind = "text"
    text = text_of(cell)
    if kind == "number":
        return _number(text, cell)
    if kind == "date":
        return orjson.dumps(_date(text, cell))
    if kind == "bool":
        if text.casefold() in TRUE | FALSE:
            return b"true" if text.casefold() in TRUE else b"false"
        raise BadCell("it is neither yes nor no (true, false, yes, no, да, нет, 1, 0)", cell)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BadCell(f"it has more than {TEXT_CHARACTERS_MAX:,} characters", cell)
    return orjson.dumps(text)


def _number_text(number: float) -> str:
    if not isfinite(number):
        raise BadCell("the number is infinite", number)
    if not float(number).is_integer():
        return format(Decimal(repr(number)), "f")
    whole = str(int(number))
    if len(whole.lstrip("-")) > SPREADSHEET_DIGITS:
        raise BadCell(
            f"a number of more than {SPREADSHEET_DIGITS} digits, of which a spreadsheet keeps "
            f"{SPREADSHEET_DIGITS}: make the column text there",
            number,
        )
    return whole


def _number(text: str, cell: Cell) -> bytes:
    plain = _SPACES.sub("", text)
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    if not _NUMBER.fullmatch(plain) or len(plain) > DIGITS_MAX:
        raise BadCell(f"it is no number of at most {DIGITS_MAX} digits, such as 1290.50 or 1 290,50", cell)
    return format(Decimal(plain), "f").encode()


def _date(text: str, cell: Cell) -> str:
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = found[1], found[2], found[3]
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = found[1], found[2], found[3]
    else:
        raise BadCell("it is no date such as 2026-01-31, 31.01.2026 or 2026-01-31T10:00:00Z", cell)
    try:
        written = date(int(year), int(month), int(day)).isoformat()
        return f"{written}T{_clock(found[4].strip())}" if found[4] else written
    except ValueError:
        raise BadCell("there is no such day or hour", cell) from None


def _clock(text: str) -> str:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(text)
    zone = "" if found[4] in (None, "Z") else found[4]
    if zone and not (int(zone[1:3]) <= 14 and int(zone[4:]) < 60):
        raise ValueError(text)
    return time(int(found[1]), int(found[2]), int(found[3] or 0)).isoformat() + (found[4] or "")


def _instant_text(moment: datetime) -> str:
    if moment.time() == time():
        return moment.date().isoformat()
    return (moment + timedelta(microseconds=500)).replace(microsecond=0).isoformat()
