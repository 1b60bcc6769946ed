"""How a CSV file becomes records: lines, quotes, columns, and rows in the shape of the REST model."""

import csv
import re
import unicodedata
import zipfile
from collections import deque
from collections.abc import Callable
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, cast

import msgspec

from gateway.connector import Page, Unreadable
from gateway.errors import ConfigError

PAGE_ROWS = 2000
LONGEST_LINE = 1024**2  # bytes
LONGEST_RECORD = 20  # lines; the standard forbids line breaks in a field, Excel writes them into comments

# Columns of 1.1 and 1.2 together, after sourcedId, status and dateLastModified. With a star: no row can do without.
COLUMNS = {
    "orgs": "name* type identifier parentSourcedId",
    "academicSessions": "title* type startDate endDate parentSourcedId schoolYear",
    "courses": "schoolYearSourcedId title* courseCode grades orgSourcedId subjects subjectCodes",
    "classes": "title* grades courseSourcedId* classCode classType location schoolSourcedId* termSourcedIds"
    " subjects subjectCodes periods",
    "users": "enabledUser orgSourcedIds role username userIds givenName* familyName* middleName identifier email sms"
    " phone agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName"
    " preferredFamilyName primaryOrgSourcedId pronouns",
    "roles": "userSourcedId* roleType role* beginDate endDate orgSourcedId* userProfileSourcedId",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity"
    " countryOfBirthCode stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus",
    "enrollments": "classSourcedId* schoolSourcedId userSourcedId* role* primary beginDate endDate",
    "categories": "title* weight",
    "lineItems": "title* description assignDate dueDate classSourcedId* categorySourcedId gradingPeriodSourcedId"
    " academicSessionSourcedId resultValueMin resultValueMax schoolSourcedId",
    "results": "lineItemSourcedId* studentSourcedId* scoreStatus score scoreDate comment textScore classSourcedId"
    " inProgress incomplete late missing",
}
_MISSPELT = {"agentsourceids": "agentSourcedIds", "grade": "grades", "termsourcedid": "termSourcedIds"}
# Where CSV and JSON have different names for one thing.
_JSON_NAMES = {"preferredGivenName": "preferredFirstName", "preferredFamilyName": "preferredLastName"}
_LISTS = ("grades", "subjects", "subjectCodes", "periods")

Place = Path | zipfile.Path


class Table:
    """One file, read from its beginning. `line` is the number of the line that the next record begins with."""

    def __init__(self, file: Place, name: str) -> None:
        self._name = f"{name}.csv"
        self._stream = BufferedReader(cast(RawIOBase, file.open("rb")), 2**16)
        self._given_back: deque[bytes] = deque()
        self._ahead: tuple[int, msgspec.Raw | Unreadable] | None = None
        self._read = 0
        try:
            self._fields = _fields(name, self._header())
        except ConfigError:
            self.close()
            raise

    @property
    def line(self) -> int:
        return self._ahead[0] if self._ahead else self._read + 1

    @property
    def extra(self) -> list[str]:
        """Columns that OneRoster does not know."""
        return [key for key, _, known in self._fields if not known]

    def close(self) -> None:
        self._stream.close()

    def skip_to(self, line: int) -> None:
        while self._read + 1 < line and self._take():
            pass

    def page(self) -> Page:
        rows: list[msgspec.Raw] = []
        unreadable: list[Unreadable] = []
        first: int | None = None
        while len(rows) + len(unreadable) < PAGE_ROWS:
            record, self._ahead = self._ahead or self._record(), None
            if record is None:
                return Page(rows, first_row=first, unreadable=unreadable)
            line, row = record
            if isinstance(row, Unreadable):
                unreadable.append(row)
                continue
            if first is not None and line != first + len(rows):
                self._ahead = record
                break
            first = line if first is None else first
            rows.append(row)
        return Page(rows, next=(str(self.line),), first_row=first, unreadable=unreadable)

    def _header(self) -> list[str]:
        try:
            return _split(self._take().removeprefix(b"\xef\xbb\xbf"))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(
                "csv-header",
                f"The first line of {self._name} is not a line of column names in UTF-8.",
                "Export it again as CSV in UTF-8.",
            ) from error

    def _record(self) -> tuple[int, msgspec.Raw | Unreadable] | None:
        """The next record that is not blank, with the number of its line; None at the end."""
        while line := self._take():
            if line.strip():
                return self._read, self._row(line)
        return None

    def _row(self, line: bytes) -> msgspec.Raw | Unreadable:
        """The record that begins with `line`. If it cannot be read, only this line is spent on it."""
        number = self._read
        lines = [line]
        while True:
            try:
                cells = _split(b"".join(lines))
            except UnicodeDecodeError:
                problem = "csv-not-utf-8", "The row has bytes that are not UTF-8."
            except csv.Error as error:
                if "unexpected end of data" in str(error) and len(lines) < LONGEST_RECORD and (more := self._take()):
                    lines.append(more)
                    continue
                problem = "csv-broken-quote", "A quotation mark in the row is not closed, or stands inside a value."
            else:
                if len(cells) == len(self._fields):
                    return msgspec.Raw(msgspec.json.encode(_as_json(self._fields, cells)))
                counts = f"The row has {len(cells)} fields where the header has {len(self._fields)}."
                problem = "csv-wrong-field-count", counts
            self._give_back(lines[1:])
            # Without its bytes: what must not be kept cannot be taken out of a row whose fields are unknown.
            return Unreadable(f"row {number}", *problem)

    def _take(self) -> bytes:
        """The next line, empty at the end."""
        line = self._given_back.popleft() if self._given_back else self._stream.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise ConfigError(
                "csv-line-too-long",
                f"Line {self._read + 1} of {self._name} is longer than {LONGEST_LINE} bytes.",
                "Check that it is a CSV file with one row per line.",
            )
        self._read += bool(line)
        return line

    def _give_back(self, lines: list[bytes]) -> None:
        self._given_back.extendleft(reversed(lines))
        self._read -= len(lines)


def _split(line: bytes) -> list[str]:
    return next(csv.reader([line.decode()], strict=True), [])


Field = tuple[str, Callable[[str], Any], bool]
"""Name in the JSON object, how its cell is read, whether OneRoster knows it (otherwise it goes into metadata)."""


def _fields(name: str, header: list[str]) -> list[Field]:
    """What each column of a file is. Case and blanks in the header do not matter. # OneRoster CSV 1.1, 1.2"""
    columns = ["sourcedId*", "status", "dateLastModified", *COLUMNS[name].split()]
    known = {column.rstrip("*").casefold(): column.rstrip("*") for column in columns}
    known |= {wrong: right for wrong, right in _MISSPELT.items() if right.casefold() in known}
    found = [known.get(title.strip().casefold(), title.strip()) for title in header]
    _check_header(name, found, required=[column[:-1] for column in columns if column.endswith("*")])
    return [
        _field(column) if column in known.values() else (re.sub(r"(?i)^metadata\.", "", column), str, False)
        for column in found
    ]


def _check_header(name: str, found: list[str], required: list[str]) -> None:
    if missing := [column for column in required if column not in found]:
        hidden = any(_visible(column) in missing for column in found)
        raise ConfigError(
            "csv-missing-column",
            f"{name}.csv has no column {', '.join(missing)}"
            f"{', only one that looks like it: there is an invisible sign in the name' if hidden else ''}.",
            "The first line must hold the column names, separated by commas.",
        )
    if twice := sorted({column for column in found if column and found.count(column) > 1}):
        raise ConfigError(
            "csv-duplicate-column",
            f"{name}.csv has more than one column {', '.join(twice)}.",
            "Each column may be there once.",
        )


def _visible(column: str) -> str:
    """Without what nobody sees: format characters such as a zero-width space, control characters."""
    return "".join(sign for sign in column if unicodedata.category(sign) not in ("Cf", "Cc")).strip()


def _field(column: str) -> Field:
    if column == "userIds":
        return column, _user_ids, True
    if column in _LISTS:
        return column, _items, True
    if column.endswith("SourcedIds"):
        return f"{column.removesuffix('SourcedIds')}s", _links, True
    if column.endswith("SourcedId"):
        return column.removesuffix("SourcedId"), _link, True
    return _JSON_NAMES.get(column, column), str, True


def _as_json(fields: list[Field], cells: list[str]) -> dict[str, Any]:
    """The REST model's object of a row; an empty cell is left out."""
    record: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for (key, read, known), cell in zip(fields, cells, strict=True):
        if not cell or cell.isspace():
            continue
        if known:
            record[key] = read(cell)
        else:
            metadata[key] = cell
    if metadata:
        record["metadata"] = metadata
    return record


def _items(cell: str) -> list[str]:
    return [item.strip() for item in cell.split(",") if item.strip()]


def _link(cell: str) -> dict[str, str]:
    return {"sourcedId": cell}


def _links(cell: str) -> list[dict[str, str]]:
    return [_link(item) for item in _items(cell)]


_USER_ID = re.compile(r"\{([^{}:]*):([^{}]*)\}")


def _user_ids(cell: str) -> list[dict[str, str]] | str:
    """`{type:id},{type:id}`; anything else stays as it is, for the mapping to refuse."""
    if _USER_ID.sub("", cell).strip(" ,"):
        return cell
    return [{"type": type.strip(), "identifier": id.strip()} for type, id in _USER_ID.findall(cell)]
