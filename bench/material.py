"""What is pulled: invented districts of any size, written down once as the twins spell them, row by row."""

import csv
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.release import Release
from connectors.oneroster.twin_rows import Roster
from synthetic import District, build, moved, with_new_students, without_students

SEED = 2026
STUDENTS_PER_SCHOOL = 550

Row = dict[str, Any]


def kept(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, written by `write` unless an earlier benchmark has; a half-written one is written anew."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(folder)
    return folder


def district(students: int) -> District:
    """As many schools as such a district has; eight sections a student, about one and a half sittings."""
    return build(schools=max(3, students // STUDENTS_PER_SCHOOL), students=students, seed=SEED)


def crowded(district: District, enrollments: int) -> District:
    """The same people with that many enrollments in all: each class is given again under other codes.

    Secondary schools with quarters and advisory periods have 15 and more a student.
    """
    sections, found = list(district.sections), list(district.enrollments)
    copy = 1
    while len(found) < enrollments:
        copy += 1
        missing = enrollments - len(found)
        sections += [replace(one, code=f"{one.code}-{copy}") for one in district.sections]
        found += [replace(one, section=f"{one.section}-{copy}") for one in district.enrollments[:missing]]
    return replace(
        district,
        sections=tuple(sorted(sections, key=lambda one: (one.school, one.code))),
        enrollments=tuple(sorted(found[:enrollments], key=lambda one: one.key)),
    )


def readable_by_timeback(district: District) -> District:
    """The users whom timeback-oneroster's own types admit: it refuses the grade KG and most roles of staff.

    Only good for listing people: classes and sittings stay as they were.
    """
    return replace(
        district,
        students=tuple(one for one in district.students if one.grade != "KG"),
        staff=tuple(one for one in district.staff if one.role == "teacher"),
    )


def next_day(district: District, share: float) -> District:
    """The district a day later, in which about that share of all its records differs.

    Per changed student one class ends and another begins; one in forty of them leaves, as many come.
    """
    students = round(share * len(district.enrollments) / 2)
    few = students // 40
    left = without_students(district, few / len(district.students), SEED)
    return with_new_students(moved(left, students / len(left.students), SEED), few, SEED)


def write_edfi(folder: Path, district: District, only: Sequence[str] = (), *, after: District | None = None) -> None:
    """One file of JSON lines per Ed-Fi collection, in the order of the server's own numbers; beside it the change
    version of each row, and what was deleted where the server played another district before (`after`)."""
    nothing_planted = Planted()
    ods = Ods(
        after or district, Release("5.0"), namespace="uri://bench.example.org", planted=nothing_planted,
        programs=False,
    )  # fmt: skip
    if after:
        ods.play(district)
    for name in ods.operations:
        collection = ods.collection(name)
        if name in only or (not only and collection.entries() and not name.endswith("Descriptors")):
            _write_rows(folder / f"{name}.jsonl", (collection.row(one, dated=True) for one in collection.entries()))
            _write_rows(folder / f"{name}.deletes", collection.deleted(0, None))
            _write_rows(folder / f"{name}.keyChanges", collection.renamed(0, None))
            versions = array("q", (one.version for one in collection.entries()))
            (folder / f"{name}.versions").write_bytes(versions.tobytes())
    (folder / "newest").write_text(str(ods.changes.newest), encoding="ascii")


def write_oneroster(folder: Path, district: District, only: Sequence[str] = ()) -> None:
    """One file of JSON lines per OneRoster collection, sorted by sourcedId."""
    for name, rows in _oneroster(district):
        if name in only or not only:
            _write_rows(folder / f"{name}.jsonl", rows)


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")


def _oneroster(district: District) -> Iterator[tuple[str, Iterator[Row]]]:
    roster = Roster(district)

    def rows(name: str) -> Iterator[Row]:
        for sourced_id, fact in sorted(roster.facts[name].items()):
            state = {"status": "active", "dateLastModified": "2026-07-01T00:00:00.000Z"}
            yield {"sourcedId": sourced_id, **state, **roster.row(name, fact, "https://sis.example.org")}

    for name in roster.facts:
        yield name, rows(name)


_IN_PACKAGE = {
    "orgs": "name type identifier parent",
    "academicSessions": "title type startDate endDate parent schoolYear",
    "courses": "schoolYear title courseCode grades org subjects",
    "classes": "title grades course classCode classType school terms subjects periods",
    "users": "enabledUser username userIds givenName familyName middleName identifier email grades preferredFirstName"
    " primaryOrg",
    "roles": "user roleType role beginDate org",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican"
    " nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces hispanicOrLatinoEthnicity",
    "enrollments": "class school user role primary beginDate endDate",
}
_COLUMNS = {"preferredFirstName": "preferredGivenName", "terms": "termSourcedIds"}
_REFERENCES = {"parent", "schoolYear", "org", "course", "school", "primaryOrg", "user", "class"}


def write_package(folder: Path, district: District) -> None:
    """The folder as a OneRoster 1.2 CSV package, every file bulk."""
    rows = dict(_oneroster(district))
    users = list(rows["users"])
    rows["users"], rows["roles"] = iter(users), _roles(users)
    for name, fields in _IN_PACKAGE.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["sourcedId", "status", "dateLastModified", *(_column(name, one) for one in fields.split())]
            )
            writer.writerows([row["sourcedId"], "", "", *(_cell(row.get(one)) for one in fields.split())]
                             for row in rows[name])  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        stated = [("manifest.version", "1.0"), ("oneroster.version", "1.2"), ("source.systemName", "Planbridge bench")]
        writer = csv.writer(file)
        writer.writerows([("propertyName", "value"), *stated, *((f"file.{name}", "bulk") for name in _IN_PACKAGE)])


def _roles(users: Iterable[Row]) -> Iterator[Row]:
    for user in users:
        for role in user["roles"]:
            yield {"sourcedId": f"{user['sourcedId']}-role", "user": {"sourcedId": user["sourcedId"]}, **role}


def _column(name: str, field: str) -> str:
    if field in _REFERENCES and (name, field) != ("academicSessions", "schoolYear"):
        return f"{field}SourcedId"
    return _COLUMNS.get(field, field)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case {"sourcedId": sourced_id}:
            return str(sourced_id)
        case [{"type": _, "identifier": _}, *_]:
            return ",".join(f"{{{one['type']}:{one['identifier']}}}" for one in value)
        case list():
            return ",".join(map(_cell, value))
    return str(value)
