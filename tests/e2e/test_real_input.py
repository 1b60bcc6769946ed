"""Real OneRoster packages, pulled by command: what is published is what a reader of thirty lines makes of the files."""

import csv
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
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
        "gradingPeriodSourcedId grading_period; academicSessionSourcedId session; resultValueMin minimum;"
        "resultValueMax maximum; schoolSourcedId school",
    ),
    "results": (
        "result",
        "lineItemSourcedId line_item; studentSourcedId student; scoreStatus status word; score; scoreDate on; comment;"
        "textScore text_score; classSourcedId class; inProgress in_progress flag; incomplete flag; late flag;"
        "missing flag",
    ),
}
READ: dict[str, Callable[[str], Any]] = {
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
    for row in records(package, "users"):
        for agent in filter(None, READ["list"](row["agentSourcedIds"])) if row.get("role") == "student" else ():
            tie = {"student": row["sourcedId"], "contact": agent}
            found.setdefault("relationship", {})[f"{row['sourcedId']}|{agent}"] = tie
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
    package = lines(contracts / FOLDER / name)
    office.connect_files(contracts / FOLDER / name)
    run = office.pull("oneroster")
    said = office.ask("rejects", "--rows")

    expected = read(package)
    enrollments = expected["enrollment"]
    orphans = [key for key, one in enrollments.items() if one["person"] not in expected["person"]]
    expected["enrollment"] = {key: one for key, one in enrollments.items() if key not in orphans}
    assert fingerprints(office.published("oneroster"), expected) == fingerprints(expected, expected)
    assert [(each["collection"], each["position"], each["code"]) for each in said["set_aside"]] == [
        (collection, f"row {number}", "csv-wrong-field-count")
        for collection in COLUMNS
        for number, header, cells in package.get(collection, ())
        if len(cells) != len(header)
    ]
    assert all(each["reason"] for each in said["set_aside"])
    assert said["differences"] == []
    assert [(w["kind"], w["code"], w["field"], w["records"]) for w in said["waiting"]] == (
        [("enrollment", "unresolved-reference", "person", len(orphans))] if orphans else []
    )
    assert_every_row_is_counted(office, run, package, waiting={"enrollments": len(orphans)})


def test_the_broken_rows_of_the_toolkit_are_those_of_its_teachers(office: Office, contracts: Path) -> None:
    """What the test above makes of that folder, in figures: its last two users have a comma too many."""
    package = lines(contracts / FOLDER / "edfi-lms-toolkit-v1p1")
    broken = [number for number, header, cells in package["users"] if len(cells) != len(header)]
    assert (broken, len(read(package)["person"]), len(package["enrollments"])) == ([10, 11], 8, 24)


def test_what_cannot_be_used_is_set_aside_by_file_row_and_field(
    office: Office, contracts: Path, tmp_path: Path
) -> None:
    path = contracts / FOLDER / "synthetic-district/maple_v1p2_bulk.zip"
    with zipfile.ZipFile(path) as files:
        files.extractall(tmp_path)
    expected, before = read(lines(path)), {name: len(rows) for name, rows in lines(path).items()}
    for name, rows in WORN.items():
        with (tmp_path / f"{name}.csv").open("ab") as file:
            file.writelines(row + b"\r\n" for row, *_ in rows)
    expected["person"]["adm-9001"]["given_name"] = "Zora"

    office.connect_files(tmp_path)
    run = office.pull("oneroster")
    assert fingerprints(office.published("oneroster"), expected) == fingerprints(expected, expected)
    said = office.ask("rejects", "--rows")
    set_aside = [(r["collection"], r["position"], r["field"], r["code"]) for r in said["set_aside"]]
    assert sorted(set_aside) == sorted(
        (name, f"row {before[name] + 2 + place}", field, code)
        for name, rows in WORN.items()
        for place, (_, field, code) in enumerate(rows)
        if code not in ("inactive", "duplicate", "waiting")
    )
    counts = {count["collection"]: count for count in run["counts"]["collections"]}
    for name, rows in WORN.items():
        codes = [code for _, _, code in rows]
        assert counts[name]["inactive"] == codes.count("inactive")
        assert counts[name]["duplicates"] == codes.count("duplicate")
        assert counts[name]["rejected"] == len([each for each in set_aside if each[0] == name])
    assert {(w["kind"], w["code"], w["field"]): w["records"] for w in said["waiting"]} == {
        ("enrollment", "unresolved-reference", "person"): 1,
        ("result", "unresolved-reference", "line_item"): 1,
        ("person", "no-anchor", ""): 1,
    }
    waiting = {name: sum(code == "waiting" for *_, code in rows) for name, rows in WORN.items()}
    assert_every_row_is_counted(office, run, lines(path), waiting=waiting, more=WORN)


# Rows put behind those of the 1.2 package: the line, the field that is wrong, what becomes of it.
WORN = {
    "users": [
        (b"adm-9001,,,true,adm-9001@maple.example.org,{sis:9001},Zora,O'Brien,,9001,adm-9001@maple.example.org,,,,,,,,,,"
         b"maple-district,", "", "duplicate"),
        (b"x-1,tobedeleted,2026-09-01T00:00:00Z,true,x-1,,Noor,Lind,,,,,,,,,,,,,,", "", "inactive"),
        (b"x-2,,,maybe,x-2,,Noor,Lind,,,,,,,,,,,,,,", "enabledUser", "bad-boolean"),
        (b"x-3,,,true,x-3,,Noor,,,,,,,,,,,,,,,", "familyName", "missing-field"),
        (b"x-4,,,true,x-4,sis:4,Noor,Lind,,,,,,,,,,,,,,", "userIds", "bad-user-ids"),
        (b",,,true,x-5,,Noor,Lind,,,,,,,,,,,,,,", "", "unreadable-record"),
        (b"x-6,,,true,x-6", "", "csv-wrong-field-count"),
        (b"x-7,,,true,x-7,,Bj\xf6rn,Lind,,,,,,,,,,,,,,", "", "csv-not-utf-8"),
        (b'x-8,,,true,x-8,,"Noor,Lind,,,,,,,,,,,,,,', "", "csv-broken-quote"),
    ],
    "demographics": [
        (b"x-9,,,2015-02-29,,,,,,,,,,,,", "birthDate", "bad-date"),
        (b"x-10,,,,male,,,,,,,,,,,", "", "waiting"),
    ],
    "enrollments": [
        (b"y-1,,,cls-maple-hs-ELA-1,maple-hs,nobody,student,,,", "", "waiting"),
        (b"y-2,,,cls-maple-hs-ELA-1,maple-hs,adm-9001,wizard,,,", "role", "unmapped-code"),
        (b"y-3,,,cls-maple-hs-ELA-1,maple-hs,adm-9001,teacher,,08/07/2026,", "beginDate", "bad-date"),
        (b"y-4,,,,maple-hs,adm-9001,teacher,,,", "class", "missing-field"),
    ],
    "results": [
        (b"z-1,,,li-nowhere,stu-100007,submitted,1,2026-09-28,,,,,,,", "", "waiting"),
        (b"z-2,tobedeleted,2026-09-01T00:00:00Z,li-nowhere,stu-100007,submitted,1,2026-09-28,,,,,,,", "", "inactive"),
    ],
}  # fmt: skip


def test_agents_are_family_in_a_1_2_package_too(office: Office, contracts: Path) -> None:
    path = contracts / FOLDER / "synthetic-district/maple_v1p2_bulk.zip"
    office.connect_files(path)
    office.pull("oneroster")
    package = lines(path)
    students = {user for user, role in roles(package) if role["role"] == "student"}
    expected = {
        f"{row['sourcedId']}|{agent}"
        for row in records(package, "users")
        for agent in filter(None, READ["list"](row["agentSourcedIds"]))
        if row["sourcedId"] in students
    }
    assert len(expected) > 100
    assert office.published("oneroster").get("relationship", {}).keys() == expected


def fingerprints(found: dict[str, dict[str, Any]], of: dict[str, Any]) -> dict[str, dict[str, str]]:
    """sha256 per key, of the kinds that `of` names. Roles are a set: their order says nothing."""
    return {kind: {key: fingerprint(sorted_roles(doc)) for key, doc in found.get(kind, {}).items()} for kind in of}


def sorted_roles(doc: dict[str, Any]) -> dict[str, Any]:
    return doc | {"roles": sorted(doc["roles"], key=str)} if "roles" in doc else doc


def assert_every_row_is_counted(
    office: Office,
    run: Any,
    package: Package,
    *,
    waiting: dict[str, int],
    more: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> None:
    """Of every collection: what was received is what is published, inactive, double, set aside or waiting."""
    published = office.published("oneroster")
    for count in run["counts"]["collections"]:
        name = count["collection"]
        rows = list(records(package, name))
        assert count["received"] == len(package.get(name, ())) + len(more.get(name, ())), name
        if name == "roles":
            there = sum(row["userSourcedId"] in published["person"] for row in rows)
        else:
            there = sum(row["sourcedId"] in published[COLUMNS[name][0]] for row in rows)
        assert count["received"] == (
            there + count["inactive"] + count["duplicates"] + count["rejected"] + waiting.get(name, 0)
        ), name
