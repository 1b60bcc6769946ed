"""An invented district as a OneRoster 1.2 package, random in what such a package can say, and what becomes of it."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Sheets = dict[str, dict[str, dict[str, str]]]
"""File -> id -> cells by column."""

AWKWARD = ("Ana", "O'Brien", 'Lee, "Kit"', "Núñez", " Åse ", "=1+1", "two\nlines", "tab\there", "née; x", "{a:b}", "李")


def build(rng: random.Random, students: int = 12) -> Sheets:
    """Two schools, their people, classes, enrollments and gradebook; what may be left out is sometimes left out."""
    made: Sheets = {}

    def add(file: str, id: str, **cells: str | None) -> str:
        made.setdefault(file, {})[id] = {name: cell for name, cell in cells.items() if cell}
        return id

    def maybe(*values: str) -> str | None:
        return rng.choice((None, *values))

    def some(ids: list[str], most: int = 3) -> list[str]:
        return rng.sample(ids, rng.randint(0, min(most, len(ids))))

    office = add("orgs", "office", name="Wren County", type="district", identifier="37")
    schools = [
        add("orgs", f"school-{n}", name=f"Wren {n}", type="school", identifier=maybe(f"00{n}"), parentSourcedId=office)
        for n in (1, 2)
    ]
    add("orgs", "club", name="No type at all")
    year = add("academicSessions", "year", title="2026-27", type="schoolYear", startDate="2026-08-17",
               endDate="2027-06-12", schoolYear="2027")  # fmt: skip
    terms = [
        add("academicSessions", f"term-{n}", title=f"Term {n}", type=rng.choice(["term", "semester", "gradingPeriod"]),
            startDate="2026-08-17", endDate="2027-06-12", schoolYear="2027", parentSourcedId=year)
        for n in (1, 2)
    ]  # fmt: skip
    resources = [
        add("resources", f"book-{n}", vendorResourceId=f"v{n}", title=maybe("Algebra", "Atlas, small"),
            importance=maybe("primary", "secondary"), vendorId=maybe("v.example"), roles=maybe("student,teacher"))
        for n in range(3)
    ]  # fmt: skip
    courses = [
        add("courses", f"course-{n}", title=f"Course {n}", courseCode=maybe(f"C{n}"), schoolYearSourcedId=maybe(year),
            orgSourcedId=rng.choice([office, schools[0], None]) if n else office, grades=maybe("09,10"),
            subjects=maybe("Science", "Science,Art"), subjectCodes=maybe("03001"))
        for n in range(4)
    ]  # fmt: skip
    classes = [
        add("classes", f"class-{n}", title=rng.choice(["Biology", "Art; ceramics"]),
            courseSourcedId=rng.choice(courses), classType=maybe("scheduled", "homeroom"), classCode=f"S{n}",
            location=maybe("Room 3"),
            schoolSourcedId=rng.choice(schools), termSourcedIds=maybe(*terms, ",".join(terms)) if n else terms[0],
            periods=maybe("1", "1,2"), grades=maybe("09"))
        for n in range(6)
    ]  # fmt: skip
    people: dict[str, str] = {}
    for n in range(students + 6):
        role = (
            "student" if n < students else rng.choice(["teacher", "principal", "aide", "ext:coach-none", "counselor"])
        )
        role = "teacher" if role == "ext:coach-none" else role
        id = add("users", f"user-{n}", enabledUser=maybe("true", "false"), username=maybe(f"name{n}"),
                 givenName=rng.choice(AWKWARD), familyName=rng.choice(AWKWARD), identifier=maybe(f"00{n}"),
                 middleName=maybe(*AWKWARD), email=maybe(f"u{n}@wren.example"), phone=maybe("555 01"),
                 userIds=maybe(f"{{State:0{n}}}", f"{{State:0{n}}},{{Card:a:b{n}}}"), pronouns=maybe("they"),
                 preferredGivenName=maybe("Kit"), primaryOrgSourcedId=maybe(*schools),
                 grades=maybe("09", "KG") if role == "student" else None,
                 userMasterIdentifier=maybe(f"m{n}"))  # fmt: skip
        people[id] = role
        for place, school in enumerate(rng.sample(schools, rng.randint(1, 2))):
            add("roles", f"role-{n}-{place}", userSourcedId=id, roleType=maybe("primary", "secondary"), role=role,
                orgSourcedId=school, beginDate=maybe("2026-08-17"), endDate=maybe("2027-06-12"))  # fmt: skip
        if role == "student" and rng.random() < 0.8:
            add("demographics", id, birthDate=maybe("2011-02-03"), sex=maybe("male", "other"), asian=maybe("true"),
                white=maybe("true", "false"), hispanicOrLatinoEthnicity=maybe("true", "false"))  # fmt: skip
    parents = []
    for n in range(4):
        parents.append(add("users", f"parent-{n}", enabledUser="true", givenName="Pat", familyName=rng.choice(AWKWARD)))
        add("roles", f"role-p{n}", userSourcedId=parents[-1], roleType="primary", 
            role=rng.choice(["parent", "guardian"]), orgSourcedId=schools[0])  # fmt: skip
    for id, role in people.items():
        if role == "student":
            made["users"][id]["agentSourcedIds"] = ",".join(some(parents))
        for n, class_ in enumerate(some(classes)):
            add("enrollments", f"{id}-{n}", classSourcedId=class_, userSourcedId=id,
                schoolSourcedId=maybe(made["classes"][class_]["schoolSourcedId"]),
                role=role if role in ("student", "teacher", "aide") else "administrator",
                primary=maybe("true", "false") if role == "teacher" else None,
                beginDate=maybe("2026-08-17"))  # fmt: skip
    for kind, owners in (("course", courses), ("class", classes), ("user", sorted(people))):
        for owner in owners:
            for book in some(resources, 2):
                add(f"{kind}Resources", f"{owner}-{book}", **{f"{kind}SourcedId": owner}, resourceSourcedId=book)
    graded(rng, made, add, maybe, some, [id for id, role in people.items() if role == "student"], classes, terms)
    return made


def graded(
    rng: random.Random, made: Sheets, add: Any, maybe: Any, some: Any, students: list[str], classes: Any, terms: Any
) -> None:
    """The gradebook of a district."""
    categories = [add("categories", f"cat-{n}", title=f"Sort {n}", weight=maybe("30", "0.5")) for n in range(2)]
    scales = [
        add("scoreScales", f"scale-{n}", title="Letters", type="letter", classSourcedId=rng.choice(classes),
            courseSourcedId=maybe("course-1"), orgSourcedId=maybe("office"), scoreScaleValue="{A:90},{B:80}")
        for n in range(2)
    ]  # fmt: skip
    for n in range(8):
        item = add("lineItems", f"item-{n}", title=rng.choice(AWKWARD).strip(), classSourcedId=rng.choice(classes),
                   description=maybe(*AWKWARD), categorySourcedId=maybe(*categories), assignDate=maybe("2026-09-01"),
                   dueDate=maybe("2026-09-09"), academicSessionSourcedId=maybe(*terms),
                   schoolSourcedId=maybe("school-1"), gradingPeriodSourcedId=maybe(*terms), resultValueMin=maybe("0"),
                   resultValueMax=rng.choice(["10", "99.5"]))  # fmt: skip
        if rng.random() < 0.3:
            add("lineItemScoreScales", f"{item}-s", lineItemSourcedId=item, scoreScaleSourcedId=rng.choice(scales))
        for goal in some(["a/1", "b 2", "c:3"]):
            add("lineItemLearningObjectiveIds", f"{item}-{goal[0]}", lineItemSourcedId=item, source="case",
                learningObjectiveId=goal)  # fmt: skip
        for student in some(students):
            result = add("results", f"{item}-{student}", lineItemSourcedId=item, studentSourcedId=student,
                         scoreStatus=maybe("exempt", "fully graded", "not submitted"),
                         score=maybe("9", "7.25", "-1", "B+"),
                         scoreDate=maybe("2026-09-10"), comment=maybe(*AWKWARD), textScore=maybe("fair"),
                         classSourcedId=maybe(made["lineItems"][item]["classSourcedId"]), late=maybe("true", "false"),
                         missing=maybe("true"))  # fmt: skip
            for goal in some(["a/1", "c:3"]):
                add("resultLearningObjectiveIds", f"{result}-{goal[0]}", resultSourcedId=result, source="case",
                    learningObjectiveId=goal, score=maybe("1"), textScore=maybe("ok"))  # fmt: skip


def change(rng: random.Random, sheets: Sheets) -> None:
    """Some lines go, with whatever refers to them; some cells become another; some become empty."""
    for file in ("enrollments", "results", "lineItems", "users", "classes", "resources", "roles", "categories"):
        for id in rng.sample(sorted(sheets.get(file, {})), min(1, len(sheets.get(file, {})))):
            remove(sheets, id)
    later = build(random.Random(rng.random()))
    for file in sheets:
        common = sorted(sheets[file].keys() & later.get(file, {}).keys())
        for id in rng.sample(common, len(common) // 4):
            own = {name: cell for name, cell in sheets[file][id].items() if "Sourced" in name}
            sheets[file][id] = {k: v for k, v in later[file][id].items() if "Sourced" not in k} | own
    for id in [id for id, user in sheets["users"].items() if "user-" in id][:3]:
        sheets["users"][id].pop("agentSourcedIds", None)


def remove(sheets: Sheets, id: str) -> None:
    for file in list(sheets):
        for other, cells in list(sheets[file].items()):
            named = {part for name, cell in cells.items() if "Sourced" in name for part in cell.split(",")}
            if other == id:
                sheets[file].pop(other, None)
            elif id in named:
                kept = {name: ",".join(p for p in cell.split(",") if p != id) if "Sourced" in name else cell
                        for name, cell in cells.items()}  # fmt: skip
                needed = {"classSourcedId", "userSourcedId", "lineItemSourcedId", "studentSourcedId", "resultSourcedId",
                          "resourceSourcedId", "courseSourcedId"}  # fmt: skip
                if any(not kept[name] for name in kept if name in needed):
                    remove(sheets, other)
                    sheets[file].pop(other, None)
                else:
                    sheets[file][other] = {name: cell for name, cell in kept.items() if cell}


def write(sheets: Sheets, folder: Path) -> None:
    """As a package, over what is there."""
    folder.mkdir(exist_ok=True)
    properties = {"manifest.version": "1.0", "oneroster.version": "1.2", "source.systemName": "Made at random"}
    for file, rows in sheets.items():
        properties[f"file.{file}"] = "bulk"
        columns = sorted({name for cells in rows.values() for name in cells} | _had(folder / f"{file}.csv"))
        _write(folder / f"{file}.csv", ["sourcedId", "status", "dateLastModified", *columns], (
            [id, "", "", *(cells.get(name, "") for name in columns)] for id, cells in rows.items()
        ))  # fmt: skip
    _write(folder / "manifest.csv", ["propertyName", "value"], iter(properties.items()))


def _had(path: Path) -> set[str]:
    """A column stays in a file also when no line fills it any more."""
    header = path.read_text().split("\n")[0].strip().split(",")[3:] if path.exists() else []
    return set(header)


def _write(path: Path, header: list[str], rows: Iterator[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
