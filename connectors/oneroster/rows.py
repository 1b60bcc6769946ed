"""How a CSV file becomes records: signs, lines, quotes, and rows in the shape of the REST model."""

import codecs
import csv
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, cast

import msgspec

from connectors.oneroster.columns import COLUMNS, Header, as_json, header, parted_otherwise
from connectors.oneroster.students import Students
from gateway.connector import Notice, Page, Unreadable
from gateway.errors import ConfigError

PAGE_ROWS = 2000
LONGEST_LINE = 1024**2  # bytes
LONGEST_RECORD = 20  # lines; the standard forbids line breaks in a field, Excel writes them into comments
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

Place = Path | zipfile.Path


class Table:
    """One file, read from its beginning. `line` is the number of the line that the next record begins with.

    `delta`: its rows are changes, which must say what they are. `students` knows who is one, where users do not say.
    """

    def __init__(self, file: Place, name: str, *, delta: bool = False, students: Students | None = None) -> None:
        self.name = name
        self._file = f"{name}.csv"
        self._delta = delta
        self._students = students
        self._stream = BufferedReader(cast(RawIOBase, file.open("rb")), 2**16)
        self._given_back: deque[bytes] = deque()
        self._ahead: tuple[int, msgspec.Raw | Unreadable] | None = None
        self._read = 0
        self._separator = ","
        self._told: dict[tuple[str, str], tuple[Notice, int]] = {}
        try:
            self._header = self._understand()
            self._fields = self._header.fields
            self._signs_of_nothing = f'{self._separator}" \t\r\n'.encode()
            self._drop_blank_columns()
        except BaseException:
            self.close()
            raise
        self.notices: Sequence[Notice] = (*self._flushed(), *self._header.notices)
        """What of the file as a whole was read leniently."""

    @property
    def line(self) -> int:
        return self._ahead[0] if self._ahead else self._read + 1

    @property
    def extra(self) -> list[str]:
        """Columns that OneRoster does not know."""
        return self._header.extra

    def close(self) -> None:
        self._stream.close()

    def skip_to(self, line: int) -> None:
        while self._read + 1 < line and self._take():
            pass

    def page(self) -> Page:
        rows: list[msgspec.Raw] = []
        unreadable: list[Unreadable] = []
        first: int | None = None
        after: tuple[str, ...] = ()
        while len(rows) + len(unreadable) < PAGE_ROWS:
            record, self._ahead = self._ahead or self._record(), None
            if record is None:
                break
            line, row = record
            if isinstance(row, Unreadable):
                unreadable.append(row)
                continue
            if first is not None and line != first + len(rows):
                self._ahead = record
                after = (str(self.line),)
                break
            first = line if first is None else first
            rows.append(row)
        else:
            after = (str(self.line),)
        return Page(
            rows, next=after, first_row=first, unreadable=unreadable, notices=self._flushed(), partial=self._delta
        )

    def rows(self) -> Iterator[msgspec.Raw]:
        """Every record that can be read, from here to the end."""
        while record := self._record():
            if not isinstance(record[1], Unreadable):
                yield record[1]

    def _understand(self) -> Header:
        """The header, whatever stands before it and whatever separates its columns."""
        start = self._stream.peek(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start[:4]:
            raise self._no_header("is written in UTF-16")
        if b"\n" not in start and b"\r" in start:
            self._tell(Notice("csv-line-ends", self._file, "row 1"))
            self._stream = BufferedReader(cast(RawIOBase, _OldMac(self._stream)), 2**16)
        line = self._take()
        if line.startswith(codecs.BOM_UTF8):
            self._tell(Notice("csv-byte-order-mark", self._file, "row 1"))
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip().lower().startswith(b"sep=") or line.strip(b'" \r\n').lower().startswith(b"sep="):
            self._tell(Notice("csv-separator-line", self._file, "row 1"))
            line = self._take()
        self._separator, titles = self._separated(line)
        if self._separator != ",":
            self._tell(Notice("csv-separator", f"{self._file}: {_SEPARATORS[self._separator]}", "row 1"))
        return header(self.name, titles)

    def _separated(self, line: bytes) -> tuple[str, list[str]]:
        """The sign that parts a header into the most columns that are known, and these; the comma of equals."""
        known = {column.rstrip("*").casefold() for column in f"sourcedId status {COLUMNS[self.name]}".split()}
        parted: list[tuple[int, str, list[str]]] = []
        for sign in _SEPARATORS:
            try:
                titles = next(csv.reader([line.decode()], delimiter=sign, strict=True), [])
            except UnicodeDecodeError:
                break
            except csv.Error:
                continue
            parted.append((len(known & {title.strip().casefold() for title in titles}), sign, titles))
        if not parted:
            raise self._no_header("is not a line of column names in UTF-8")
        _, sign, titles = max(parted, key=lambda each: each[0])
        return sign, titles

    def _no_header(self, what: str) -> ConfigError:
        return ConfigError(
            "csv-header",
            f"The first line of {self._file} {what}.",
            "Export it again as CSV in UTF-8 (in Excel: CSV UTF-8, comma delimited).",
        )

    def _drop_blank_columns(self) -> None:
        """A header may end with separators that its rows do not have; which of both it is, the first row tells."""
        if not self._header.blank:
            return
        line = self._take()
        if not line:
            return
        try:
            cells = len(self._split(line))
        except (UnicodeDecodeError, csv.Error):
            cells = 0
        self._give_back([line])
        if cells == len(self._fields) - self._header.blank:
            self._fields = self._fields[: -self._header.blank]

    def _record(self) -> tuple[int, msgspec.Raw | Unreadable] | None:
        """The next record that is not blank, with the number of its line; None at the end."""
        while line := self._take():
            # A quotation mark alone opens a value that goes on in the next line.
            if line.strip(self._signs_of_nothing) or line.count(b'"') % 2:
                return self._read, self._row(line)
            if line.strip():
                self._tell(Notice("csv-empty-row", self._file, f"row {self._read}"))
        return None

    def _row(self, line: bytes) -> msgspec.Raw | Unreadable:
        """The record that begins with `line`. If it cannot be read, only this line is spent on it."""
        number = self._read
        lines = [line]
        while True:
            try:
                cells = self._split(line if len(lines) == 1 else b"".join(lines))
            except UnicodeDecodeError:
                problem = (
                    "csv-not-utf-8",
                    "The row has bytes that are not UTF-8 (Windows-1252, perhaps): export the file in UTF-8.",
                )
            except csv.Error as error:
                if "unexpected end of data" in str(error) and len(lines) < LONGEST_RECORD and (more := self._take()):
                    lines.append(more)
                    continue
                problem = "csv-broken-quote", "A quotation mark in the row is not closed, or stands inside a value."
            else:
                if len(cells) != len(self._fields):
                    counts = f"The row has {len(cells)} fields where the header has {len(self._fields)}."
                    problem = "csv-wrong-field-count", counts
                elif self._is_shifted(cells):
                    reason = "The row has a value in a column without a name: perhaps an unquoted comma moved it there."
                    problem = "csv-value-without-column", reason
                elif self._contradicts_itself(cells):
                    problem = "csv-columns-differ", "Two columns of one name have different values in the row."
                else:
                    if len(lines) > 1:
                        self._tell(Notice("csv-line-break", self._file, f"row {number}"))
                    return msgspec.Raw(msgspec.json.encode(self._record_of(cells, number)))
            self._give_back(lines[1:])
            # Without its bytes: what must not be kept cannot be taken out of a row whose fields are unknown.
            return Unreadable(f"row {number}", *problem)

    def _is_shifted(self, cells: list[str]) -> bool:
        return self._header.blank > 0 and any(
            cell.strip() for (key, _, _), cell in zip(self._fields, cells, strict=True) if not key
        )

    def _contradicts_itself(self, cells: list[str]) -> bool:
        if not self._header.twice:
            return False
        stated: dict[tuple[str, bool], str] = {}
        return any(
            cell.strip() and stated.setdefault((key, known), cell.strip()) != cell.strip()
            for (key, _, known), cell in zip(self._fields, cells, strict=True)
        )

    def _record_of(self, cells: list[str], number: int) -> dict[str, Any]:
        record = as_json(self._fields, cells)
        if self._delta:
            if "status" not in record:
                self._tell(Notice("csv-delta-without-status", self._file, f"row {number}"))
        elif "status" in record:
            self._tell(Notice("csv-bulk-with-status", self._file, f"row {number}"))
        for key in parted_otherwise(self._fields, cells):
            self._tell(Notice("csv-list-separator", f"{self._file}: {key}", f"row {number}"))
        if self._students is not None and (told := self._students.complete(record, f"row {number}")):
            self._tell(told)
        return record

    def _tell(self, notice: Notice) -> None:
        first, count = self._told.get((notice.code, notice.field), (notice, 0))
        self._told[notice.code, notice.field] = first, count + 1

    def _flushed(self) -> tuple[Notice, ...]:
        """What was read leniently since this was asked last, each with the place where it was first."""
        told, self._told = self._told, {}
        return tuple(replace(first, count=count) for first, count in told.values())

    def _take(self) -> bytes:
        """The next line, empty at the end."""
        line = self._given_back.popleft() if self._given_back else self._stream.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise ConfigError(
                "csv-line-too-long",
                f"Line {self._read + 1} of {self._file} is longer than {LONGEST_LINE} bytes.",
                "Check that it is a CSV file with one row per line.",
            )
        self._read += bool(line)
        return line

    def _give_back(self, lines: list[bytes]) -> None:
        self._given_back.extendleft(reversed(lines))
        self._read -= len(lines)

    def _split(self, line: bytes) -> list[str]:
        return next(csv.reader([line.decode()], delimiter=self._separator, strict=True), [])


class _OldMac(RawIOBase):
    """A file whose lines end with a carriage return alone, with line feeds in its place."""

    def __init__(self, stream: "BufferedReader[RawIOBase]") -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()
