"""Coverage, load and equity at the command line, over a small district that was really pulled."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from connectors.oneroster.twin_files import export
from gateway.coverage import LACKS, STATES
from synthetic import build
from tests.e2e.conftest import NUMBERS
from tests.e2e.office import Office
from tests.e2e.processes import Home

DISTRICT = build(schools=2, students=30, seed=24)
RULE, CHANGE = 6, 2
AS = ("--as", "Ottoline Farrow")


@dataclass
class Place:
    """The district, and a plan of one student that a teacher owns and coordinates."""

    office: Office
    plan: str
    student: str
    teacher: str
    school: str


@pytest.fixture(scope="module")
def place(installation: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    office = Office(installation, f"coverage-{next(NUMBERS)}")
    folder = tmp_path_factory.mktemp("package")
    export(DISTRICT, folder)
    office.connect_files(folder)
    office.pull("oneroster")
    people = [one for one in office.entities() if one.kind == "person"]
    students = sorted(one.id for one in people if one.doc["population"] == "student")
    made = office.ask("plan", "new", "--student", students[0], *AS)
    content = json.loads(office.tell("plan", "show", made["id"]))
    school = content["school"]
    teacher = next(
        one.id
        for one in people
        if one.doc["population"] == "staff" and school in {role["organization"] for role in one.doc["roles"]}
    )
    content |= {
        "coordinator": teacher,
        "supports": [{"name": "Reading hour", "kind": "tutoring", "owner": teacher}],
        "team": [{"who": teacher, "role": "trusted_adult"}],
    }
    edited = folder.parent / "plan.json"
    edited.write_text(json.dumps(content))
    office.ask("plan", "edit", made["id"], "--file", str(edited), *AS)
    yield Place(office, made["id"], students[0], teacher, school)


def one(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    [found] = [row for row in rows if wanted.items() <= row.items()]
    return found


def test_every_enrolled_student_is_counted_in_one_state(place: Place) -> None:
    rows = place.office.ask("coverage")
    together = one(rows, school="all")
    assert together["students"] == len(place.office.ask("students")) == sum(together[state] for state in STATES)
    assert together["no_plan"] == together["students"] - 1
    schools = [row for row in rows if row["school"] != "all"]
    assert len(schools) == 2
    assert {name: sum(row[name] for row in schools) for name in STATES} == {name: together[name] for name in STATES}
    [here] = place.office.ask("coverage", "--school", place.school)
    assert here["no_plan"] == here["students"] - 1
    grades = [place.office.ask("coverage", "--grade", grade) for grade in ("01", "05", "99")]
    assert all(sum(row[state] for state in STATES) == row["students"] for rows in grades for row in rows)
    assert grades[2] == []


def test_the_students_of_a_state_and_those_without_an_adult_are_listed(place: Place) -> None:
    [state] = {row["state"] for row in place.office.ask("coverage", "--school", place.school, "--state", "no_plan")}
    assert state == "no_plan"
    found = [row for state in STATES[:7] for row in place.office.ask("coverage", "--state", state)]
    assert [(row["student"], row["plan"]) for row in found] == [(place.student, place.plan)]
    assert place.office.ask("coverage", "--no-adult") == []
    assert place.office.ask("coverage", "--state", "nowhere", code=CHANGE)["error"] == "state-unknown"
    assert place.office.ask("coverage", "--school", "nowhere", code=CHANGE)["error"] == "school-unknown"


def test_the_load_says_who_answers_for_how_much(place: Place) -> None:
    [row] = place.office.ask("load")
    assert row["name"] and row["here"] and row["person"] == place.teacher
    assert (row["open_supports"], row["students"], row["plans_coordinated"]) == (1, 1, 1)
    assert place.office.ask("load", "--school", place.school) == [row]


def test_equity_is_told_by_group_to_those_who_administer_and_is_on_record(place: Place) -> None:
    asked = ("equity", "--as", "Ottoline Farrow", "--role")
    assert place.office.ask(*asked, "educator", code=RULE)["error"] == "equity-role"
    assert place.office.ask(*asked, "principal", "--by", "teacher", code=CHANGE)["error"] == "equity-dimension"
    found = place.office.ask(*asked, "principal")
    students = len(place.office.ask("students"))
    assert found["all"] == {"group": "all", "students": students} | {f"without_{what}": students for what in LACKS}
    assert set(found["by"]) == {"school", "language", "program"}
    numbers = [row[name] for rows in found["by"].values() for row in rows for name in row if name != "group"]
    assert all(number is None or number >= 10 for number in numbers) and None in numbers
    assert "not told" in place.office.tell(*asked, "principal", "--by", "school")
    with place.office.home.database() as c:
        acts = c.execute("SELECT actor->>'role' FROM act WHERE act = 'equity-view'").fetchall()
    assert acts == [("principal",), ("principal",)]


def test_nothing_waits_and_attention_says_so(place: Place) -> None:
    assert place.office.ask("attention") == place.office.ask("attention", "--for", place.teacher) == []
    assert "Nothing of any plan waits" in place.office.tell("attention", "--school", place.school)
