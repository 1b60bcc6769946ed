"""What goes beyond roster and results is asked for only while a person wants it, and little of it is kept."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.edfi import CONNECTOR
from connectors.edfi.twin import twin
from synthetic import build
from synthetic.needs import needs_of
from tests.e2e.office import HELD, Office, QuickHome
from tests.e2e.processes import Home, steer
from tests.e2e.year import on
from tests.serving import serve

DISTRICT = build(schools=3, students=60, seed=41)
NEEDS = needs_of(DISTRICT)
PLANTED = "Quillwort-7Q"
BASIS = "The state's meal agreement of 2026, paragraph 4"
BEYOND = {resource.name: resource.group for resource in CONNECTOR.resources if resource.group}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with QuickHome.made(laid=True) as made:
        made.run("runs")
        made.start("worker")
        yield made


class Heard:
    """The twin, and what it was asked for."""

    def __init__(self, standard: str = "5.0") -> None:
        self.app: ASGIApp = twin(DISTRICT, standard=standard, needs=True, planted=PLANTED)
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "/data/" in scope["path"]:
            self.asked.append(scope["path"].partition("/ed-fi/")[2].partition("/")[0])
        await self.app(scope, receive, send)

    def beyond(self) -> set[str]:
        """The groups that were asked for since the last look."""
        asked, self.asked = self.asked, []
        return {BEYOND[name] for name in asked if name in BEYOND}


@contextmanager
def connected(home: Home, district: str, standard: str = "5.0") -> Iterator[tuple[Office, Heard, str]]:
    heard = Heard(standard)
    with serve(heard) as url:
        office = Office(home, district)
        office.connect("edfi", url)
        yield office, heard, url


@pytest.fixture(scope="module")
def system(home: Home) -> Iterator[tuple[Office, Heard, str]]:
    with connected(home, "needs") as made:
        yield made


def kinds(office: Office) -> Counter[str]:
    return Counter(entity.kind for entity in office.entities())


def collections(run: Any) -> dict[str, Any]:
    return {count["collection"]: count for count in run["counts"]["collections"]}


def test_nothing_beyond_roster_is_asked_for_until_somebody_says_what_for(system: tuple[Office, Heard, str]) -> None:
    office, heard, _ = system
    run = office.pull("edfi")
    assert run["state"] == "published"
    said = [finding["text"] for finding in office.ask("check", "edfi")]
    assert "Not collected, and not asked for: programs, attendance, discipline, grades, meals." in said
    assert heard.beyond() == set()
    assert not {"attendance_event", "discipline_incident", "course_grade", "meal_eligibility"} & set(kinds(office))
    listed = office.ask("connections", "collect", "edfi")
    assert [(one["group"], one["collected"]) for one in listed] == [
        (group, False) for group in ("programs", "attendance", "discipline", "grades", "meals")
    ]


def test_a_group_needs_a_purpose_and_meals_a_basis_too(system: tuple[Office, Heard, str]) -> None:
    office, heard, _ = system

    def refused(why: str, *words: str, code: int = 6) -> None:
        done = office.home.run("connections", "collect", "edfi", *words, "--json", district=office.district)
        assert done.returncode == code, done.stdout + done.stderr
        assert f'"{why}"' in done.stdout + done.stderr, done.stderr

    refused("purpose-missing", "programs")
    refused("purpose-missing", "programs", "--purpose", "  ")
    refused("basis-missing", "meals", "--purpose", "See who needs support")
    refused("group-unknown", "health", "--purpose", "Curiosity", code=2)
    office.pull("edfi")
    assert heard.beyond() == set()


def test_what_is_switched_on_is_read_and_the_purpose_is_kept_with_the_person(
    system: tuple[Office, Heard, str],
) -> None:
    office, heard, _ = system
    before = kinds(office)["program_status"]
    for group in ("programs", "attendance", "discipline", "grades"):
        office.ask("connections", "collect", "edfi", group, "--purpose", f"Plans look at {group}", "--as", "Ada Ito")
    run = office.pull("edfi")
    assert run["state"] == "published", run["holds"]
    assert heard.beyond() == {"programs", "attendance", "discipline", "grades"}
    assert collections(run)["studentSection504ProgramAssociations"]["absent"] == "not offered by this server"
    found = kinds(office)
    assert found["attendance_event"] == len(NEEDS.absences)
    assert found["discipline_incident"] == len(NEEDS.incidents)
    assert found["course_grade"] == len(NEEDS.grades)
    assert found["program_status"] - before == sum(
        {"section_504": 0, "meals": 0, "language": 2, "title_i": 2}.get(one.program, 1) for one in NEEDS.participations
    )
    assert "meal_eligibility" not in found
    [programs] = [one for one in office.ask("connections", "collect", "edfi") if one["group"] == "programs"]
    assert (programs["purpose"], programs["actor"]["name"]) == ("Plans look at programs", "Ada Ito")
    assert "programs is collected: Plans look at programs" in [
        finding["text"] for finding in office.ask("check", "edfi")
    ]


def test_little_of_it_is_kept(system: tuple[Office, Heard, str]) -> None:
    office, _, _ = system
    published = office.published("edfi")
    assert set().union(*published["discipline_incident"].values()) == {"student", "on", "school"}
    statuses = {doc["status"] for doc in published["program_status"].values()}
    assert {"disability", "homeless", "migrant", "english_learner", "title_i", "career_technical"} <= statuses
    [grade, *_] = published["course_grade"].values()
    assert (grade["type"], grade["period"], grade["letter"] in "ABCD") == ("grading_period", "First Nine Weeks", True)
    said = json.dumps(published) + str(office._rows("SELECT key, body FROM record WHERE district_id = "))
    assert PLANTED not in said
    assert "School Violation" not in said and "isabilities" not in said and "ehavior" not in said
    assert PLANTED.encode() not in office.home.dump()


def test_the_next_pull_asks_for_what_changed_only(system: tuple[Office, Heard, str]) -> None:
    office, _, _ = system
    run = office.pull("edfi")
    assert run["state"] == "published"
    assert all(count["partial"] or count["absent"] for count in run["counts"]["collections"])


def test_meals_stand_apart_and_leave_only_by_name(system: tuple[Office, Heard, str], tmp_path: Path) -> None:
    office, heard, _ = system
    before = kinds(office)["program_status"]
    office.ask("connections", "collect", "edfi", "meals", "--purpose", "Fee waivers", "--basis", BASIS)
    office.pull("edfi")
    assert "meals" in heard.beyond()
    meals = office.published("edfi")["meal_eligibility"]
    assert len(meals) == sum(one.program == "meals" for one in NEEDS.participations) > 0
    assert {doc["eligibility"] for doc in meals.values()} == {"free", "reduced"}
    assert kinds(office)["program_status"] == before

    def held(file: Path) -> str:
        with zipfile.ZipFile(file) as package:
            return "".join(package.read(name).decode() for name in package.namelist() if "entities" in name)

    made = office.home.json("district", "export", office.district, str(tmp_path / "usual.zip"))
    assert made["withheld"] == ["meal_eligibility"]
    assert "entities/meal_eligibility.jsonl" not in made["files"] and "eligibility" not in held(tmp_path / "usual.zip")
    asked = office.home.json(
        "district", "export", office.district, str(tmp_path / "all.zip"), "--also", "meal_eligibility"
    )
    assert asked["files"]["entities/meal_eligibility.jsonl"]["rows"] == len(meals)
    office.ask("export", "oneroster-csv", str(tmp_path / "roster"))
    roster = "".join(path.read_text() for path in (tmp_path / "roster").iterdir())
    assert "free" not in roster.lower() and "reduced" not in roster and "disability" not in roster


def test_what_is_collected_and_why_is_part_of_the_configuration(
    system: tuple[Office, Heard, str], tmp_path: Path
) -> None:
    office, _, _ = system
    file = tmp_path / "planbridge.yaml"
    file.write_text(office.tell("export-config"))
    assert f"basis: {BASIS}" in file.read_text()
    assert office.ask("apply", str(file), "--preview")["changes"] == []
    file.write_text(file.read_text().replace(f"        basis: {BASIS}\n", ""))
    refused = office.home.run("apply", str(file), district=office.district)
    assert refused.returncode == 6 and "basis" in refused.stderr
    cut = file.read_text().replace("      meals:\n        purpose: Fee waivers\n", "")
    file.write_text(cut.replace("purpose: Plans look at grades", "purpose: Plans look at courses"))
    changed = {one["place"] for one in office.ask("apply", str(file))["changes"]}
    assert changed == {"connections.edfi.collect.meals", "connections.edfi.collect.grades.purpose"}
    listed = {one["group"]: one["purpose"] for one in office.ask("connections", "collect", "edfi")}
    assert (listed["meals"], listed["grades"]) == (None, "Plans look at courses")


def test_switched_off_it_is_removed_by_the_next_run_and_no_guard_is_alarmed(
    system: tuple[Office, Heard, str],
) -> None:
    office, heard, _ = system
    office.ask("connections", "collect", "edfi", "attendance", "--off")
    heard.beyond()
    before = kinds(office)
    run = office.pull("edfi")
    assert run["state"] == "published", run["holds"]
    assert "attendance" not in heard.beyond()
    removed = collections(run)["studentSchoolAttendanceEvents"]
    assert (removed["absent"], removed["gone"] > 0, removed["received"]) == ("switched off", True, 0)
    assert "studentSchoolAttendanceEvents is switched off" in office.tell("runs", str(run["id"]))
    after = kinds(office)
    assert not {"attendance_event", "meal_eligibility"} & set(after)
    assert {kind: n for kind, n in before.items() if kind not in ("attendance_event", "meal_eligibility")} == after
    assert office._rows("SELECT 1 FROM record WHERE collection LIKE '%%Attendance%%' AND district_id = ") == []


def test_switched_on_again_all_of_it_is_read_and_not_only_what_changed(system: tuple[Office, Heard, str]) -> None:
    office, _, _ = system
    office.ask("connections", "collect", "edfi", "attendance", "--purpose", "Who is often away")
    run = office.pull("edfi")
    assert run["state"] == "published", run["holds"]
    assert kinds(office)["attendance_event"] == len(NEEDS.absences)
    acts = office._rows("SELECT act, detail FROM act WHERE act LIKE 'collect%%' AND district_id = ")
    assert ("collect-off", {"group": "attendance"}) in acts
    assert ("collect-on", {"group": "attendance", "purpose": "Who is often away", "basis": ""}) in acts


def test_nothing_brings_back_what_was_switched_off(system: tuple[Office, Heard, str]) -> None:
    office, _, _ = system
    office.ask("connections", "collect", "edfi", "attendance", "--off")
    run = office.pull("edfi")
    office.ask("undo", str(run["id"]), "--because", "A test")
    assert not {"attendance_event", "meal_eligibility"} & set(kinds(office))
    office.tell("connections", "resume", "edfi")


def test_the_connection_of_a_new_year_collects_the_same_for_the_same_purpose(
    system: tuple[Office, Heard, str],
) -> None:
    office, _, _ = system
    office.home.json(
        *("connections", "new-year", "edfi", "next", "--on", "2027-07-01", "--set", "secret=env:SECRET", "--yes"),
        district=office.district,
        SECRET="demo-secret",
    )
    same = [
        {(one["group"], one["purpose"], one["at"]) for one in office.ask("connections", "collect", name)}
        for name in ("edfi", "next")
    ]
    assert same[0] == same[1]


def test_a_program_that_says_too_much_of_a_child_is_not_kept(home: Home) -> None:
    """A participation that its host wrote without a record of its own may be in any program."""
    with connected(home, "any", "4.0") as (office, _, url):
        office.ask("connections", "collect", "edfi", "programs", "--purpose", "Who gets which support")
        student, day = DISTRICT.students[0].number, DISTRICT.year_begin.isoformat()
        urls = httpx.get(url).json()["urls"]
        signed = httpx.post(
            urls["oauth"], data={"grant_type": "client_credentials"}, auth=("demo-key", "demo-secret")
        ).json()
        place = {"educationOrganizationId": DISTRICT.number}
        with httpx.Client(headers={"Authorization": f"Bearer {signed['access_token']}"}) as client:
            for kind in ("Gifted and Talented", "Student School Food Service", "Other"):
                program = {
                    "programName": kind,
                    "programTypeDescriptor": f"uri://ed-fi.org/ProgramTypeDescriptor#{kind}",
                }
                for resource, body in (
                    ("programs", {**program, "educationOrganizationReference": place}),
                    (
                        "studentProgramAssociations",
                        {
                            "beginDate": day,
                            "educationOrganizationReference": place,
                            "programReference": place | program,
                            "studentReference": {"studentUniqueId": student},
                        },
                    ),
                ):
                    answer = client.post(f"{urls['dataManagementApi'].rstrip('/')}/ed-fi/{resource}", json=body)
                    assert answer.status_code == 201, answer.text
        run = office.pull("edfi")
        assert run["state"] == "published", run["holds"]
        assert collections(run)["studentProgramAssociations"]["inactive"] == 1
        kept = office._rows("SELECT key FROM record WHERE collection = 'studentProgramAssociations' AND district_id = ")
        assert sorted(key.rpartition("#")[2].split("|")[0] for (key,) in kept) == ["Gifted and Talented", "Other"]
        [gifted] = [
            doc
            for doc in office.published("edfi")["program_status"].values()
            if doc.get("program") == "Gifted and Talented"
        ]
        assert (gifted["status"], gifted["begin_on"]) == ("gifted", day)


# --- a new school year

YEARS = {2027: ("2026-08-17", "2027-06-11"), 2028: ("2027-08-16", "2028-06-09")}
Rows = dict[str, list[dict[str, Any]]]


def year(number: int, absences: int = 0) -> Rows:
    """What a server of one school year has: as many absences and discipline actions of one day."""
    begin, end = YEARS[number]
    school, session = {"schoolId": 7}, {"schoolId": 7, "schoolYear": number, "sessionName": "Year"}
    pupils = [{"studentUniqueId": str(n)} for n in range(1, 16)]
    category = "uri://ed-fi.org/AttendanceEventCategoryDescriptor#Tardy"
    return {
        "schools": [{**school, "nameOfInstitution": "Hill", "gradeLevels": [], "educationOrganizationCategories": []}],
        "students": [
            {**pupil, "firstName": "A", "lastSurname": f"P{n}", "birthDate": "2015-01-02"}
            for n, pupil in enumerate(pupils)
        ],
        "studentSchoolAssociations": [
            {
                "schoolReference": school,
                "studentReference": pupil,
                "entryDate": "2025-08-18",
                "entryGradeLevelDescriptor": "uri://ed-fi.org/GradeLevelDescriptor#Fifth grade",
            }
            for pupil in pupils
        ],
        "sessions": [
            {
                **session,
                "schoolReference": school,
                "schoolYearTypeReference": {"schoolYear": number},
                "beginDate": begin,
                "endDate": end,
                "termDescriptor": "uri://ed-fi.org/TermDescriptor#Year Round",
                "totalInstructionalDays": 180,
            }
        ],
        "studentSchoolAttendanceEvents": [
            {
                "attendanceEventCategoryDescriptor": category,
                "eventDate": "2026-10-01",
                "schoolReference": school,
                "sessionReference": session,
                "studentReference": pupil,
            }
            for pupil in pupils[:absences]
        ],
        "disciplineActions": [
            {
                "disciplineActionIdentifier": f"D{n}",
                "disciplineDate": "2026-10-01",
                "disciplines": [],
                "responsibilitySchoolReference": school,
                "studentReference": pupil,
            }
            for n, pupil in enumerate(pupils[:absences])
        ],
    }


def test_the_attendance_of_a_year_that_is_over_goes_without_an_alarm_and_that_of_this_year_does_not(
    office: Office,
) -> None:
    rows = year(2027, absences=15)
    both = {"studentSchoolAttendanceEvents", "disciplineActions"}
    with serve(twin(DISTRICT, given=rows)) as url:
        office.connect("edfi", url)
        for group in ("attendance", "discipline"):
            office.ask("connections", "collect", "edfi", group, "--purpose", "Who is often away")

        def pulled(day: date, code: int = 0) -> Any:
            steer(url, "POST", "change", {"reset": True})
            with on(day):
                return office.ask("pull", "edfi", "--whole", code=code)

        assert pulled(date(2026, 11, 27))["state"] == "published"
        assert (kinds(office)["attendance_event"], kinds(office)["discipline_incident"]) == (15, 15)
        for left, code in ((1, "many-removed"), (0, "empty-collection")):
            rows.update(year(2027, absences=left))
            held = pulled(date(2027, 3, 1), code=HELD)
            assert {(hold["code"], hold["collection"]) for hold in held["holds"]} >= {(code, name) for name in both}
            assert kinds(office)["attendance_event"] == 15

        rows.update(year(2028))
        run = pulled(date(2027, 8, 20))
        assert run["state"] == "published", run["holds"]
        assert {name: collections(run)[name]["gone"] for name in both} == dict.fromkeys(both, 15)
        assert not {"attendance_event", "discipline_incident"} & set(kinds(office))
