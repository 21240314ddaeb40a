"""CSV in whatever encoding and with whatever delimiter it came, line by line; a broken line costs itself alone.

A quote that is left open would swallow the lines behind it: the first of them is then a bad row, and the others are
read anew.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.cli.errors import UserError
from engine.cli.importing.rows import Bad, Cell, Row

DELIMITERS: Final = ",;\t|"
NAMED: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
SAMPLE_CHARACTERS: Final = 65_536
"""What the delimiter is found in."""
SAMPLE_BYTES: Final = 65_536
"""Of lines that are no UTF-8: what the code page is found in."""
LINE_CHARACTERS_MAX: Final = 1 << 20
RECORD_LINES_MAX: Final = 100
"""Lines of one row: a cell may hold line breaks, but one of a hundred lines is a quote left open."""
PAGES: Final = ["cp1251", "cp866", "koi8_r", "cp1252", "cp1253", "cp1255", "cp1256"]
"""Code pages that are told apart by their alphabets; those of one alphabet with another page here must be named."""
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BROKEN: Final = re.compile("[\udc80-\udcff\ufffd]")
"""What bytes become that are no characters of the encoding."""


class CsvFile:
    """The rows of a CSV file; see engine.cli.importing.rows.PeopleFile.

    `delimiter` is one character or a name of NAMED, `encoding` any that Python knows; None finds them. Raises
    UserError.
    """

    def __init__(self, path: Path, delimiter: str | None = None, encoding: str | None = None) -> None:
        self.width = 0
        self._path = path
        self._size = max(1, path.stat().st_size)
        self.encoding, how = (_known(encoding), "given") if encoding else _encoding_of(path)
        self.delimiter = _delimiter(delimiter) if delimiter else self._sniffed()
        shown = next((name for name, each in NAMED.items() if each == self.delimiter), self.delimiter)
        self.told = f"CSV in {self._named} ({how}), delimiter {shown} ({'given' if delimiter else 'found'})"
        self._file: io.BufferedReader | None = None

    def rows(self) -> Iterator[Row | Bad]:
        """All rows, blank lines left out."""
        with self._path.open("rb") as self._file:
            lines = _Lines(self._text(self._file))
            reader = csv.reader(lines, delimiter=self.delimiter)
            while True:
                lines.begin()
                bad = None
                cells: list[str] = []
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    bad = f"a value has more than {csv.field_size_limit():,} characters" if "limit" in str(error) else (
                        f"it is no CSV: {error}"
                    )  # fmt: skip
                except _TooLong as error:
                    bad = str(error)
                if bad is None:
                    bad = self._misread(lines, cells)
                if bad is None:
                    if cells:
                        found: list[Cell] = [*cells]
                        yield Row(lines.first, found)
                    continue
                yield Bad(lines.first, bad, _shown(lines.raw[0] if lines.raw else ""))
                lines.again()
                reader = csv.reader(lines, delimiter=self.delimiter)

    def done(self) -> float:
        """The share of bytes that was read."""
        return 0.0 if self._file is None or self._file.closed else min(1.0, self._file.tell() / self._size)

    def close(self) -> None:
        """The file is open only while its rows are read."""

    def _misread(self, lines: _Lines, cells: list[str]) -> str | None:
        """Why the lines just read are no row; None if they are one."""
        if lines.ended and lines.raw:
            return "a quote is opened and never closed"
        if 0 < self.width < len(cells) and len(lines.raw) > 1:
            return "a quote is opened and closed on another line, which gives more columns than the header has"
        if any(not line.isascii() and _BROKEN.search(line) for line in lines.raw):
            return f"it has bytes that are no {self._named} text"
        return None

    @property
    def _named(self) -> str:
        """The encoding as people call it."""
        return "utf-8" if self.encoding == "utf-8-sig" else self.encoding

    def _text(self, file: io.BufferedReader) -> io.TextIOWrapper:
        errors = "replace" if "16" in self.encoding or "32" in self.encoding else "surrogateescape"
        return io.TextIOWrapper(file, encoding=self.encoding, errors=errors, newline="")

    def _sniffed(self) -> str:
        with self._path.open("rb") as file:
            sample = self._text(file).read(SAMPLE_CHARACTERS)
        if len(sample) == SAMPLE_CHARACTERS:
            sample = sample[: sample.rfind("\n") + 1] or sample
        if not any(each in sample for each in DELIMITERS):
            return ","
        try:
            return csv.Sniffer().sniff(sample, DELIMITERS).delimiter
        except csv.Error:
            first = sample.split("\n", 1)[0]
            return max(DELIMITERS, key=first.count)


class _TooLong(Exception):
    """Lines that are no row of a file of people."""


class _Lines:
    """A text's lines for csv.reader, with their numbers and those of the row in hand, which can be read again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._number = 0
        self.raw: list[str] = []
        self.first = 1
        self.ended = False

    def begin(self) -> None:
        """A new row begins."""
        self.raw = []
        self.first = self._number + 1

    def again(self) -> None:
        """All lines of the row but the first are read anew, as rows of their own."""
        self._again.extendleft(reversed(self.raw[1:]))
        self._number = self.first
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.raw) >= RECORD_LINES_MAX:
            raise _TooLong(f"a quote is opened and not closed within {RECORD_LINES_MAX} lines")
        line = self._again.popleft() if self._again else self._text.readline(LINE_CHARACTERS_MAX)
        if not line:
            self.ended = True
            raise StopIteration
        self._number += 1
        self.raw.append(line)
        if len(line) >= LINE_CHARACTERS_MAX and not line.endswith(("\n", "\r")):
            while (rest := self._text.readline(LINE_CHARACTERS_MAX)) and not rest.endswith(("\n", "\r")):
                pass
            raise _TooLong(f"the line has more than {LINE_CHARACTERS_MAX:,} characters")
        return line


def _known(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        raise UserError(
            f"There is no encoding {encoding!r}. Common ones: utf-8, utf-16, cp1251 (Windows Cyrillic), cp1252 "
            "(Windows Western), cp1250 (Windows Central European), koi8-r, cp866."
        ) from None
    if not getattr(found, "_is_text_encoding", True):
        raise UserError(f"{encoding!r} is no encoding of text.")
    return "utf-8-sig" if found.name == "utf-8" else found.name  # with or without a byte order mark


def _encoding_of(path: Path) -> tuple[str, str]:
    """The encoding and how it was found: by its mark; as UTF-8 if most lines beyond ASCII are; by its alphabet."""
    good = broken = zeros = 0
    sample = bytearray()
    with path.open("rb") as file:
        head = file.read(4)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return name, "by its mark"
        file.seek(0)
        while line := file.readline(LINE_CHARACTERS_MAX):
            if line.isascii():
                zeros += line.count(0)
                continue
            try:
                line.decode()
                good += 1
            except UnicodeDecodeError:
                broken += 1
                if len(sample) < SAMPLE_BYTES:
                    sample += line
    if zeros:
        raise UserError(
            f"{path} is no text file that tells its encoding: it has zero bytes. Name it: --encoding utf-16-le."
        )
    if good >= broken:
        return "utf-8-sig", "found"
    from charset_normalizer import from_bytes

    best = from_bytes(bytes(sample[:SAMPLE_BYTES]), cp_isolation=PAGES).best()
    if best is None:
        raise UserError(
            f"{path} is not UTF-8, and which encoding it is cannot be told from its text. Name it, for example "
            "--encoding cp1251, or save the file as CSV in UTF-8."
        )
    text = next(word for word in str(best).replace(";", " ").replace(",", " ").split() if not word.isascii())
    return best.encoding, f"found; it reads {text[:40]!r}, else name another with --encoding"


def _delimiter(given: str) -> str:
    found = NAMED.get(given.lower(), given)
    if len(found) != 1 or found in '"\r\n':
        raise UserError(f"--delimiter is one character, or one of {', '.join(NAMED)}, not {given!r}.")
    return found


def _shown(line: str) -> str:
    return line.strip().encode(errors="replace").decode()[:80]
