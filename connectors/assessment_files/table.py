"""How a delivered CSV file becomes cells: encodings, separators, quotes, and rows that cannot be read."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import cast
from zipfile import Path as ZipPath

from gateway.connector import Unreadable
from gateway.errors import ConfigError

LONGEST_LINE = 1024**2  # bytes
LONGEST_RECORD = 20  # lines; a comment may have line breaks, a quote that is never closed must not eat the file

Place = Path | ZipPath


@dataclass(frozen=True)
class Line:
    """One record: the number of its first line in the file, and its cells or why there are none. `foreign`: it is
    not UTF-8, and was read as Windows writes it."""

    number: int
    cells: list[str] | Unreadable
    foreign: bool = False


class Table:
    """One file, read from its beginning; only one record is held at a time. `line` is where the next one begins."""

    def __init__(self, file: Place, name: str) -> None:
        self.name = name
        self._stream = BufferedReader(cast(RawIOBase, file.open("rb")), 2**16)
        self._given_back: list[bytes] = []
        self._read = 0
        try:
            self.header = self._header()
        except ConfigError:
            self.close()
            raise

    @property
    def line(self) -> int:
        return self._read + 1

    def close(self) -> None:
        self._stream.close()

    def skip_to(self, line: int) -> None:
        while self.line < line and self._take():
            pass

    def records(self) -> Iterator[Line]:
        """Every further record that is not blank."""
        while line := self._take():
            if line.strip(b"\r\n\t ,;"):
                yield self._record(line)

    def _header(self) -> list[str]:
        line = self._take().removeprefix(b"\xef\xbb\xbf")
        try:
            text = line.decode()
            self._separator = max(",;\t", key=text.count)
            return [title.strip() for title in self._split(text)]
        except (UnicodeDecodeError, csv.Error) as error:
            # A file without a header begins with a student: what stands there is not repeated.
            raise ConfigError(
                "csv-header",
                f"The first line of {self.name} is not a line of column names in UTF-8.",
                "Export it again as CSV in UTF-8.",
            ) from error

    def _record(self, line: bytes) -> Line:
        number, lines = self._read, [line]
        while True:
            text, foreign = _decoded(b"".join(lines))
            try:
                cells = self._split(text)
            except csv.Error as error:
                if "unexpected end of data" in str(error) and len(lines) < LONGEST_RECORD and (more := self._take()):
                    lines.append(more)
                    continue
                problem = "csv-broken-quote", "A quotation mark in the row is not closed, or stands inside a value."
            else:
                if len(cells) == len(self.header):
                    return Line(number, cells, foreign)
                counts = f"The row has {len(cells)} fields where the header has {len(self.header)}."
                problem = "csv-wrong-field-count", counts
            self._given_back = lines[1:] + self._given_back
            self._read -= len(lines) - 1
            return Line(number, Unreadable(f"{self.name} row {number}", *problem))

    def _split(self, text: str) -> list[str]:
        return next(csv.reader([text], strict=True, delimiter=self._separator), [])

    def _take(self) -> bytes:
        """The next line, empty at the end."""
        line = self._given_back.pop(0) if self._given_back else self._stream.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise ConfigError(
                "csv-line-too-long",
                f"Line {self._read + 1} of {self.name} is longer than {LONGEST_LINE} bytes.",
                "Check that it is a CSV file with one row per line.",
            )
        self._read += bool(line)
        return line


def _decoded(line: bytes) -> tuple[str, bool]:
    """The line as text, and whether it was not UTF-8. What is kept of a row is ids and scores, which both write alike;
    without this one José would cost his own result."""
    try:
        return line.decode(), False
    except UnicodeDecodeError:
        return line.decode("latin-1"), True
