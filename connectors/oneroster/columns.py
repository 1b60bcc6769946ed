"""Which columns each CSV file has, what a header means that spells them otherwise, and how their cells are read."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from gateway.connector import Notice
from gateway.errors import ConfigError

# Columns of 1.1 and 1.2 together, after sourcedId, status and dateLastModified. With a star: no row can do without.
COLUMNS = {
    "orgs": "name* type identifier parentSourcedId",
    "academicSessions": "title* type startDate endDate parentSourcedId schoolYear",
    "resources": "vendorResourceId* title roles importance vendorId applicationId",
    "courses": "schoolYearSourcedId title* courseCode grades orgSourcedId subjects subjectCodes",
    "courseResources": "title courseSourcedId* resourceSourcedId*",
    "classes": "title* grades courseSourcedId* classCode classType location schoolSourcedId* termSourcedIds"
    " subjects subjectCodes periods",
    "classResources": "title classSourcedId* resourceSourcedId*",
    "users": "enabledUser orgSourcedIds role username userIds givenName* familyName* middleName identifier email sms"
    " phone agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName"
    " preferredFamilyName primaryOrgSourcedId pronouns resourceSourcedIds",
    "roles": "userSourcedId* roleType role* beginDate endDate orgSourcedId* userProfileSourcedId",
    "userResources": "userSourcedId* orgSourcedId classSourcedId resourceSourcedId*",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity"
    " countryOfBirthCode stateOfBirthAbbreviation cityOfBirth publicSchoolResidenceStatus",
    "enrollments": "classSourcedId* schoolSourcedId userSourcedId* role* primary beginDate endDate",
    "categories": "title* weight",
    "scoreScales": "title* type orgSourcedId courseSourcedId classSourcedId scoreScaleValue*",
    "lineItems": "title* description assignDate dueDate classSourcedId* categorySourcedId gradingPeriodSourcedId"
    " academicSessionSourcedId resultValueMin resultValueMax schoolSourcedId",
    "lineItemScoreScales": "title lineItemSourcedId* scoreScaleSourcedId*",
    "lineItemLearningObjectiveIds": "lineItemSourcedId* source learningObjectiveId*",
    "results": "lineItemSourcedId* studentSourcedId* scoreStatus score scoreDate comment textScore classSourcedId"
    " inProgress incomplete late missing",
    "resultScoreScales": "title resultSourcedId* scoreScaleSourcedId*",
    "resultLearningObjectiveIds": "resultSourcedId* source learningObjectiveId* score textScore",
}
"""Every file that is read, parents before children. # OneRoster CSV 1.1, 1.2 (binding 1.2.1)"""

NEVER_READ = ("userProfiles",)
"""Files of the standard that hold what is never kept: credentials."""

# What 1.0 called a column, and what is misspelt so often that it is known.
_OLDER = {
    "agents": "agentSourcedIds",
    "agentsourceids": "agentSourcedIds",
    "grade": "grades",
    "termsourcedid": "termSourcedIds",
    "schoolyearid": "schoolYearSourcedId",
}
_OLDER_KEY = {"demographics": "usersourcedid"}
# Where CSV and JSON have different names for one thing.
_JSON_NAMES = {"preferredGivenName": "preferredFirstName", "preferredFamilyName": "preferredLastName"}
_LISTS = ("subjects", "subjectCodes", "periods")

_ALIKE = 0.9  # two names of 12 letters that differ in one
_SUGGESTED = 0.7

Field = tuple[str, Callable[[str], Any], bool]
"""Name in the JSON object, how its cell is read, whether OneRoster knows it (otherwise it goes into metadata)."""


@dataclass(frozen=True)
class Header:
    """What each column of a file is. `blank` counts the columns at the end that have no name."""

    fields: Sequence[Field]
    blank: int
    twice: bool
    notices: Sequence[Notice]

    @property
    def extra(self) -> list[str]:
        """Columns that OneRoster does not know."""
        return [key for key, _, known in self.fields if key and not known]


def header(name: str, titles: Sequence[str]) -> Header:
    """What the first line of a file says. ConfigError where a column is missing that no row can do without."""
    reading = _Reading(name, titles)
    found = [reading.column(title) for title in titles]
    _check_missing(name, found, reading.required)
    fields = [
        _field(name, column) if column in reading.known.values() else _unknown_field(column, title)
        for column, title in zip(found, titles, strict=True)
    ]
    blank = len(found) - len("".join((column and "x") or " " for column in found).rstrip())
    repeated = [column for column, n in Counter(column for column in found if column).items() if n > 1]
    notices = [*reading.notices, *_order(name, found, reading.known), *_oddities(name, found, repeated, titles)]
    return Header(fields, blank, bool(repeated), notices)


class _Reading:
    """How the titles of one header are understood, and what of it was lenient."""

    def __init__(self, name: str, titles: Sequence[str]) -> None:
        columns = ["sourcedId*", "status", "dateLastModified", *COLUMNS[name].split()]
        self.known = {column.rstrip("*").casefold(): column.rstrip("*") for column in columns}
        self.required = [column[:-1] for column in columns if column.endswith("*")]
        self.notices: list[Notice] = []
        self._name = name
        self._older = {old: new for old, new in _OLDER.items() if new.casefold() in self.known}
        if name in _OLDER_KEY:
            self._older[_OLDER_KEY[name]] = "sourcedId"
        self._there = {title.strip().casefold() for title in titles}
        meant = {title: self._misspelt(title) for title in self._there - self.known.keys() - self._older.keys()}
        once = [column for column, n in Counter(meant.values()).items() if n == 1 and column]
        self._misspelt_titles = {title: column for title, column in meant.items() if column in once}

    def column(self, title: str) -> str:
        """The column that a title stands for: one of the standard, or the title itself."""
        stated = title.strip()
        small = stated.casefold()
        if column := self.known.get(small):
            if title != column:
                self.notices.append(Notice("csv-header-spelling", f"{self._name}.csv: {column}", "row 1"))
            return column
        column = self._older.get(small, "")
        if column and column.casefold() not in self._there:
            self.notices.append(Notice("csv-older-column", f"{self._name}.csv: {stated} read as {column}", "row 1"))
            return column
        if column := self._misspelt_titles.get(small, ""):
            self.notices.append(Notice("csv-header-typo", f"{self._name}.csv: {stated} read as {column}", "row 1"))
            return column
        return stated

    def _misspelt(self, small: str) -> str:
        """The one column that a title can only be meant for: nearly its letters, and not there otherwise."""
        if len(small) < 5 or small.startswith("metadata.") or not small.isascii():
            return ""
        near = [
            (SequenceMatcher(None, small, column).ratio(), column)
            for column in self.known
            if column not in self._there and abs(len(column) - len(small)) <= 2 and column != "userids"
        ]
        alike = sorted(column for ratio, column in near if ratio >= _ALIKE)
        digits = re.findall("[0-9]", small)
        return self.known[alike[0]] if len(alike) == 1 and not digits else ""


def _order(name: str, found: Sequence[str], known: dict[str, str]) -> Iterator[Notice]:
    """Columns of one's own are to stand behind those of the standard."""
    standard = [n for n, column in enumerate(found) if column in known.values()]
    between = [column for n, column in enumerate(found) if column and column not in known.values() and n < standard[-1]]
    if between:
        yield Notice("csv-column-order", f"{name}.csv: {', '.join(between)}", "row 1", len(between))


def _oddities(name: str, found: Sequence[str], repeated: Sequence[str], titles: Sequence[str]) -> Iterator[Notice]:
    if blank := sum(not column for column in found):
        yield Notice("csv-blank-column", f"{name}.csv", "row 1", blank)
    for column in repeated:
        yield Notice("csv-duplicate-column", f"{name}.csv: {column}", "row 1", found.count(column))
    columns = {column.rstrip("*").casefold() for column in f"sourcedId status dateLastModified {COLUMNS[name]}".split()}
    strange = [
        column
        for column, title in zip(found, titles, strict=True)
        if column and column.casefold() not in columns and not title.strip().casefold().startswith("metadata.")
    ]
    if strange:
        yield Notice("csv-unknown-column", f"{name}.csv: {', '.join(strange)}", "row 1", len(strange))


def _check_missing(name: str, found: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in found]
    if not missing:
        return
    if any(_visible(column) in missing for column in found):
        hint = ", only one that looks like it: there is an invisible sign in the name"
    elif alike := [title for title in found if any(_likeness(title, column) >= _SUGGESTED for column in missing)]:
        hint = f"; did the sender mean that by {', '.join(alike)}?"
    else:
        hint = "."
    raise ConfigError(
        "csv-missing-column",
        f"{name}.csv has no column {', '.join(missing)}{hint if hint[-1] in '.?' else f'{hint}.'}",
        "The first line must hold the column names, separated by commas.",
    )


def _likeness(title: str, column: str) -> float:
    return SequenceMatcher(None, title.casefold(), column.casefold()).ratio()


def _visible(column: str) -> str:
    """Without what nobody sees: format characters such as a zero-width space, control characters."""
    return "".join(sign for sign in column if unicodedata.category(sign) not in ("Cf", "Cc")).strip()


def _unknown_field(column: str, title: str) -> Field:
    return re.sub(r"(?i)^metadata\.", "", column), str, False


def _field(name: str, column: str) -> Field:
    if column == "sourcedId":
        return column, str.strip, True  # blanks around it: else it would not be what others refer to
    if column == "userIds":
        return column, _user_ids, True
    if column == "scoreScaleValue":
        return column, _scale_values, True
    if column == "grades":
        return column, _codes, True
    if column in _LISTS or (name == "resources" and column == "roles"):
        return column, _items, True
    if column.endswith("SourcedIds"):
        return f"{column.removesuffix('SourcedIds')}s", _links, True
    if column.endswith("SourcedId"):
        return column.removesuffix("SourcedId"), _link, True
    return _JSON_NAMES.get(column, column), str, True


def as_json(fields: Sequence[Field], cells: Sequence[str]) -> dict[str, Any]:
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


def parted_otherwise(fields: Sequence[Field], cells: Sequence[str]) -> Iterator[str]:
    """The lists of a row that have another sign than a comma between their items."""
    for (key, read, known), cell in zip(fields, cells, strict=True):
        if known and read in (_links, _codes) and _OTHERWISE.search(cell):
            yield key


# Neither a key nor a grade has one of them in it. # OneRoster CSV: sourcedId
_OTHERWISE = re.compile(r"[;|]")


def _codes(cell: str) -> list[str]:
    return _items(_OTHERWISE.sub(",", cell))


def _items(cell: str) -> list[str]:
    return [item.strip() for item in cell.split(",") if item.strip()]


def _link(cell: str) -> dict[str, str]:
    return {"sourcedId": cell.strip()}


def _links(cell: str) -> list[dict[str, str]]:
    return [_link(item) for item in _codes(cell)]


_PAIR = re.compile(r"\{([^{}:]*):([^{}]*)\}")


def _user_ids(cell: str) -> list[dict[str, str]] | str:
    return _pairs(cell, "type", "identifier")


def _scale_values(cell: str) -> list[dict[str, str]] | str:
    return _pairs(cell, "itemValueLHS", "itemValueRHS")


def _pairs(cell: str, left: str, right: str) -> list[dict[str, str]] | str:
    """`{left:right},{left:right}`; anything else stays as it is, for the mapping to refuse."""
    if _PAIR.sub("", cell).strip(" ,"):
        return cell
    return [{left: one.strip(), right: other.strip()} for one, other in _PAIR.findall(cell)]
