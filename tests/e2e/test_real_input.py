"""Real OneRoster packages, pulled by command: what is published is what a reader of thirty lines makes of the files."""

import csv
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.office import Office, fingerprint

FOLDER = Path("oneroster", "csv")
PACKAGES = [
    "synthetic-district/maple_v1p1_bulk.zip",
    "synthetic-district/maple_v1p1_bulk_with_bom.zip",
    "synthetic-district/maple_v1p2_bulk.zip",
    "edfi-lms-toolkit-v1p1",
]

# --- the separate reader: what a column is called in the common schema, and how its cells read

COLUMNS = {
    "orgs": ("organization", "name; type word; identifier; parentSourcedId parent"),
    "academicSessions": (
        "session",
        "title; type word; startDate begin_on; endDate end_on; parentSourcedId parent; schoolYear school_year int",
    ),
    "courses": (
        "course",
        "schoolYearSourcedId session; title; courseCode code; grades list; orgSourcedId organization; subjects list;"
        "subjectCodes subject_codes list",
    ),
    "classes": (
        "class",
        "title; grades list; courseSourcedId course; classCode code; classType type word; location;"
        "schoolSourcedId school; termSourcedIds sessions list; subjects list; subjectCodes subject_codes list;"
        "periods list",
    ),
    "users": (
        "person",
        "enabledUser active flag; username; givenName given_name; familyName family_name; middleName middle_name;"
        "email; sms; phone; grades list; preferredGivenName preferred_given_name; pronouns;"
        "preferredMiddleName preferred_middle_name; preferredFamilyName preferred_family_name;"
        "primaryOrgSourcedId primary_organization",
    ),
    "demographics": ("person", "birthDate birth_date; sex; hispanicOrLatinoEthnicity hispanic flag"),
    "enrollments": (
        "enrollment",
        "classSourcedId class; schoolSourcedId school; userSourcedId person; role; primary flag; beginDate begin_on;"
        "endDate end_on",
    ),
    "categories": ("category", "title; weight float"),
    "lineItems": (
        "line_item",
        "title; description; assignDate assign_on; dueDate due_on; classSourcedId class; categorySourcedId category;"
        "gradingPeriodSourcedId session; academicSessionSourcedId session; resultValueMin minimum;"
        "resultValueMax maximum; schoolSourcedId school",
    ),
    "results": (
        "result",
        "lineItemSourcedId line_item; studentSourcedId student; scoreStatus status word; score; scoreDate on; comment;"
        "textScore text_score; classSourcedId class; inProgress in_progress flag; incomplete flag; late flag;"
        "missing flag",
    ),
}
READ = {
    "word": lambda cell: re.sub("(?<!^)([A-Z])", r"_\1", cell).lower().replace(" ", "_"),
    "list": lambda cell: [item.strip() for item in cell.split(",")],
    "flag": {"true": True, "false": False}.__getitem__,
    "int": int,
    "float": float,
}
POPULATIONS = {"student": "student", "guardian": "contact", "parent": "contact"}
RACES = {
    "americanIndianOrAlaskaNative": "american_indian_or_alaska_native",
    "asian": "asian",
    "blackOrAfricanAmerican": "black_or_african_american",
    "nativeHawaiianOrOtherPacificIslander": "native_hawaiian_or_other_pacific_islander",
    "white": "white",
    "demographicRaceTwoOrMoreRaces": "two_or_more_races",
}

Package = dict[str, list[tuple[int, list[str], list[str]]]]
"""Collection -> (line number, header, cells) of every row."""


def lines(package: Path) -> Package:
    files = zipfile.Path(package) if package.suffix == ".zip" else package
    found: Package = {}
    for file in files.iterdir():
        rows = csv.reader(file.read_text(encoding="utf-8-sig").splitlines())
        header = next(rows)
        found[file.name.removesuffix(".csv")] = [(number, header, cells) for number, cells in enumerate(rows, 2)]
    return found


def read(package: Package) -> dict[str, dict[str, Any]]:
    """Kind -> key -> values."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind, _ in COLUMNS.values()}
    for collection, (kind, columns) in COLUMNS.items():
        for row in records(package, collection):
            values = found[kind].setdefault(row["sourcedId"], {})
            for column, *rest in (each.split() for each in columns.split(";")):
                how = rest.pop() if rest and rest[-1] in READ else None
                if cell := row.get(column, "").strip():
                    values[rest[0] if rest else column] = READ[how](cell) if how else cell
            if collection == "users":
                numbers = [("identifier", row["identifier"]), *re.findall("{(.*?):(.*?)}", row["userIds"])]
                if stated := [{"system": system, "value": value} for system, value in numbers if value]:
                    values["identifiers"] = stated
            if races := [race for column, race in RACES.items() if row.get(column) == "true"]:
                values["races"] = races
    for user, role in roles(package):
        values = found["person"][user]
        values["population"] = POPULATIONS.get(role["role"], "staff")
        values.setdefault("roles", []).append(role)
    return found


def roles(package: Package) -> Iterator[tuple[str, dict[str, Any]]]:
    """1.1 says them of the user, 1.2 in a file of their own."""
    for row in records(package, "users"):
        for org in READ["list"](row["orgSourcedIds"]) if "role" in row else ():
            yield row["sourcedId"], {"role": row["role"], "organization": org}
    for row in records(package, "roles"):
        stated = {"role": READ["word"](row["role"]), "organization": row["orgSourcedId"]}
        stated |= {"primary": row["roleType"] == "primary", "begin_on": row["beginDate"], "end_on": row["endDate"]}
        yield row["userSourcedId"], {name: value for name, value in stated.items() if value != ""}


def records(package: Package, collection: str) -> Iterator[dict[str, str]]:
    for _, header, cells in package.get(collection, ()):
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))


# --- the tests


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_published_as_it_is_written(office: Office, contracts: Path, name: str) -> None:
    path = contracts / FOLDER / name
    package = lines(path)
    office.connect_files(path)
    run = office.pull("oneroster")

    said = office.ask("rejects", "--rows")
    assert [(r["collection"], r["position"], r["code"]) for r in said["set_aside"]] == [
        (collection, f"row {number}", "csv-wrong-field-count")
        for collection, rows in package.items()
        for number, header, cells in rows
        if collection != "manifest" and len(cells) != len(header)
    ]
    expected = read(package)
    orphans = [key for key, one in expected["enrollment"].items() if one["person"] not in expected["person"]]
    assert_published(office, expected | {"enrollment": without(expected["enrollment"], orphans)})
    assert said["differences"] == []
    assert [(w["kind"], w["code"], w["field"], w["records"]) for w in said["waiting"]] == (
        [("enrollment", "unresolved-reference", "person", len(orphans))] if orphans else []
    )
    assert_every_row_is_counted(office, run, package, waiting={"enrollments": len(orphans)})
