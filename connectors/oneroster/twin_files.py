"""What an export of the invented district as a OneRoster 1.2 CSV package looks like, and how an export goes wrong."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from connectors.oneroster.twin_rows import Roster, Row
from synthetic import District

# OneRoster 1.2 CSV, as far as the invented district has something to say; a reference is named as in the JSON
_COLUMNS = {
    "orgs": "name type identifier parentSourcedId",
    "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
    "courses": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
    "classes": "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds subjects"
    " subjectCodes periods",
    "users": "enabledUser username userIds givenName familyName middleName identifier email sms phone agentSourcedIds"
    " grades password userMasterIdentifier preferredGivenName primaryOrgSourcedId",
    "roles": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity",
    "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
}
_MANIFEST = {"manifest.version": "1.0", "oneroster.version": "1.2", "source.systemName": "Larkspur SIS"}


def export(district: District, folder: Path, *, mark: str = "", respelt: Mapping[str, str] | None = None) -> None:
    """Write the package into a folder, over what is there.

    `mark` stands before the first column name of every file, as a byte order mark does. `respelt` are names of
    columns that this export spells otherwise.
    """
    roster = Roster(district)
    folder.mkdir(exist_ok=True)
    _write(folder, "manifest", ["propertyName", "value"], _manifest().items())
    for name, columns in _COLUMNS.items():
        header = ["sourcedId", "status", "dateLastModified", *columns.split()]
        rows = ([_cell(row, column) for column in header] for row in _rows(roster, name))
        spelt = [(respelt or {}).get(column, column) for column in header]
        _write(folder, name, [mark + spelt[0], *spelt[1:]], rows)


def _manifest() -> Mapping[str, str]:
    return _MANIFEST | {f"file.{name}": "bulk" for name in _COLUMNS}


def _rows(roster: Roster, name: str) -> Iterator[Row]:
    for sourced_id, fact in roster.facts.get(name, {}).items():
        yield {"sourcedId": sourced_id, **roster.row(name, fact, "")}
    if name == "roles":
        for sourced_id, fact in roster.facts["users"].items():
            for place, role in enumerate(roster.row("users", fact, "")["roles"]):
                yield {"sourcedId": f"{sourced_id}-{place}", "user": {"sourcedId": sourced_id}, **role}


def _cell(row: Row, column: str) -> str:
    if column == "userIds":
        return ",".join(f"{{{one['type']}:{one['identifier']}}}" for one in row["userIds"])
    if column == "preferredGivenName":  # OneRoster 1.2: the JSON calls it otherwise
        return str(row.get("preferredFirstName", ""))
    if column.endswith("SourcedIds"):
        return ",".join(one["sourcedId"] for one in row.get(f"{column.removesuffix('SourcedIds')}s", ()))
    if column.endswith("SourcedId"):
        return str(row.get(column.removesuffix("SourcedId"), {}).get("sourcedId", ""))
    value = row.get(column, "")
    return ",".join(value) if isinstance(value, list) else str(value)


def _write(folder: Path, name: str, header: list[str], rows: Iterable[Iterable[str]]) -> None:
    made = io.StringIO()
    csv.writer(made).writerows([header, *rows])
    (folder / f"{name}.csv").write_text(made.getvalue(), encoding="utf-8", newline="")
