"""One of everything that can look wrong is planted in a roster: each is found, counted, told with its place."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import clock
from gateway.quality import CHECKS
from tests.e2e.office import HELD, Office
from tests.e2e.processes import Home
from tests.serving import serve

Row = dict[str, str]
Found = dict[tuple[str, str], dict[str, Any]]


def on(days: int) -> str:
    """So many days from today."""
    return (clock.today() + timedelta(days=days)).isoformat()


BEGIN, END, TERM_END = on(-100), on(200), on(40)
ENDS_IN = END[:4]


@dataclass
class Roster:
    """The files of a package, by collection."""

    files: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, collection: str, key: str, **values: str) -> None:
        self.files.setdefault(collection, []).append({"sourcedId": key} | values)

    def person(self, key: str, role: str, **more: str) -> None:
        number = {"identifier": f"N-{key}", "grades": "09"} if role == "student" else {}
        self.add("users", key, enabledUser="true", givenName="Maud", familyName="Pettifer", role=role,
                 **{"orgSourcedIds": "s1"} | number | more)  # fmt: skip

    def role(self, person: str, role: str, kind: str, **more: str) -> None:
        key = f"{person}-{role}-{kind}-{len(self.files.get('roles', ()))}"
        self.add("roles", key, userSourcedId=person, roleType=kind, role=role, orgSourcedId="s1", **more)

    def session(self, key: str, begin: str, end: str, kind: str = "term", year: str = ENDS_IN, **more: str) -> None:
        self.add("academicSessions", key, title=key, type=kind, startDate=begin, endDate=end, schoolYear=year, **more)

    def class_(self, key: str, *enrolled: tuple[str, str], school: str = "s1", terms: str = "t1") -> None:
        self.add("classes", key, title=key, classType="scheduled", courseSourcedId="c1", schoolSourcedId=school,
                 termSourcedIds=terms)  # fmt: skip
        for person, role in enrolled:
            self.enroll(f"{key}/{person}", key, person, role, school)

    def enroll(self, key: str, class_: str, person: str, role: str, school: str = "s1", **more: str) -> None:
        self.add("enrollments", key, classSourcedId=class_, userSourcedId=person, role=role, schoolSourcedId=school,
                 **more)  # fmt: skip

    def write(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, rows in self.files.items():
            columns = dict.fromkeys(["sourcedId", "status", "dateLastModified", *(key for row in rows for key in row)])
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(columns), restval="")
                writer.writeheader()
                writer.writerows(rows)
        lines = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.2"]
        lines += [f"file.{name},bulk" for name in self.files]
        (folder / "manifest.csv").write_text("\n".join(lines), encoding="ascii")


STAFF = (("stu-1", "student"), ("tea-1", "teacher"))


def sound() -> Roster:
    made = Roster()
    made.add("orgs", "d1", name="Fennel County Schools", type="district")
    for school in ("s1", "s2"):
        made.add("orgs", school, name=school, type="school", parentSourcedId="d1")
    made.session("y1", BEGIN, END, "schoolYear")
    made.session("t1", BEGIN, TERM_END, parentSourcedId="y1")
    made.session("t0", on(-300), on(-200), year=on(-200)[:4])
    made.add("courses", "c1", title="Reading", orgSourcedId="d1", grades="09")
    made.person("stu-1", "student", agentSourcedIds="par-1")
    made.person("stu-2", "student", orgSourcedIds="s2")
    made.person("tea-1", "teacher")
    made.person("tea-2", "teacher")
    made.person("par-1", "parent", agentSourcedIds="stu-1")
    made.person("role-1", "")
    made.role("role-1", "teacher", "primary", beginDate=BEGIN, endDate=END)
    made.role("role-1", "aide", "secondary")
    made.add("demographics", "stu-1", birthDate=on(-14 * 365))
    made.class_("k1", *STAFF)
    made.files["enrollments"][-1]["primary"] = "true"
    made.class_("k2", ("stu-2", "student"), ("tea-2", "teacher"), school="s2")
    made.class_("over", terms="t0")
    # Who came back, who helps in class, who was here last year too, and a class whose time is over.
    made.person("back", "student")
    made.enroll("back-1", "k1", "back", "student", endDate=on(-50))
    made.enroll("back-2", "k1", "back", "student", beginDate=on(-50))
    made.enroll("helps", "k2", "stu-1", "aide", "s2")
    made.role("role-1", "teacher", "primary", beginDate=on(-400), endDate=on(-200))
    made.class_("was", terms="t0")
    made.enroll("was-1", "was", "tea-1", "teacher", endDate=on(-200))
    limits = {"resultValueMin": "0", "resultValueMax": "100"}
    made.add("lineItems", "li-1", title="Essay", classSourcedId="k1", assignDate=on(-9), dueDate=on(-2), **limits)
    made.add(
        "results", "r-1", lineItemSourcedId="li-1", studentSourcedId="stu-1", score="87.5", scoreStatus="submitted"
    )
    return made


def unsound() -> Roster:
    """The sound one, and one of each."""
    made = sound()
    made.add("orgs", "s-orphan", name="Orphan School", type="school")
    made.session("s-nodates", "", "")
    made.session("s-reversed", on(20), on(10))
    made.session("s-beyond", BEGIN, on(50), parentSourcedId="t1")
    made.session("s-year", BEGIN, END, year=str(int(ENDS_IN) + 5))
    made.class_("at-district", *STAFF, school="d1")
    made.class_("no-session", *STAFF, terms="")
    made.class_("all-year", *STAFF, terms="y1")
    made.class_("no-teacher", ("stu-1", "student"))
    made.class_("no-student", ("tea-1", "teacher"))
    made.class_("all-left")
    made.enroll("left-1", "all-left", "tea-1", "teacher", endDate=on(-9))
    made.enroll("left-2", "all-left", "stu-1", "student", endDate=on(-9))
    made.class_("no-lead", *STAFF, ("tea-2", "teacher"))
    made.person("no-class", "student")
    for key, more in (
        ("no-school", {"orgSourcedIds": ""}), ("district", {"orgSourcedIds": "d1"}),
        ("no-grade", {"grades": ""}), ("no-number", {"identifier": ""}),
        ("twin-a", {"identifier": "TWICE"}), ("twin-b", {"identifier": "TWICE"}), ("old", {}), ("unborn", {}),
    ):  # fmt: skip
        made.person(key, "student", **more)
        made.enroll(f"k1/{key}", "k1", key, "student")
    made.add("demographics", "old", birthDate=on(-30 * 365))
    made.add("demographics", "unborn", birthDate=on(30))
    for key, first, second in (("no-primary", "secondary", "secondary"), ("two-primary", "primary", "primary")):
        made.person(key, "")
        made.role(key, "teacher", first)
        made.role(key, "aide", second)
    made.person("elsewhere", "teacher", primaryOrgSourcedId="s2")
    made.person("reversed", "")
    made.role("reversed", "teacher", "primary", beginDate=END, endDate=BEGIN)
    made.person("lonely", "parent")
    made.enroll("e-reversed", "k2", "stu-1", "student", "s2", beginDate=on(20), endDate=on(10))
    made.enroll("e-outside", "k2", "no-grade", "student", "s2", beginDate=on(60), endDate=on(70))
    made.enroll("e-elsewhere", "k2", "old", "student", "s1")
    made.enroll("e-role", "k1", "tea-2", "student")
    made.enroll("e-again", "k1", "stu-1", "student")
    limits = {"resultValueMin": "0", "resultValueMax": "100"}
    made.add("lineItems", "li-late", title="Late", classSourcedId="k1", assignDate=on(5), dueDate=on(1), **limits)
    made.add("lineItems", "li-limits", title="Odd", classSourcedId="k1", resultValueMin="100", resultValueMax="9")
    for key, student, score in (("r-120", "stu-1", "120"), ("r-below", "stu-1", "-1"), ("r-other", "stu-2", "5")):
        made.add("results", key, lineItemSourcedId="li-1", studentSourcedId=student, score=score,
                 scoreStatus="submitted")  # fmt: skip
    made.enroll("dangling", "no-such-class", "stu-1", "student")
    made.add("demographics", "nobody", birthDate=on(-4000))
    made.person("roleless", "")
    made.add("users", "unreadable", enabledUser="perhaps", givenName="Maud", familyName="Pettifer", role="student")
    made.add("courses", "c-odd", title="Odd", grades="Quinto")
    made.add("courses", "c1", **{key: value for key, value in made.files["courses"][0].items() if key != "sourcedId"})
    return made


EXPECTED: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {
    ("set-aside", "users"): (1, ()),
    ("dangling-reference", "enrollment"): (1, ()),
    ("no-record-of-its-own", "person"): (1, ()),
    ("incomplete-record", "class"): (1, ()),
    ("person-without-role", "person"): (1, ()),
    ("duplicate-key", "courses"): (1, ()),
    ("unmapped-code", "courses"): (1, ()),
    ("school-without-parent", "organization"): (1, ("s-orphan",)),
    ("session-without-dates", "session"): (1, ("s-nodates",)),
    ("ends-before-it-begins", "session"): (1, ("s-reversed",)),
    ("session-outside-parent", "session"): (1, ("s-beyond",)),
    ("session-outside-school-year", "session"): (1, ("s-year",)),
    ("class-at-no-school", "class"): (1, ("at-district",)),
    ("class-without-session", "class"): (1, ("no-session",)),
    ("class-session-no-term", "class"): (1, ("all-year",)),
    ("class-without-teacher", "class"): (2, ("no-teacher", "all-left")),
    ("class-without-student", "class"): (2, ("no-student", "all-left")),
    ("class-without-lead", "class"): (1, ("no-lead",)),
    ("student-without-enrollment", "person"): (1, ("no-class",)),
    ("student-without-school", "person"): (2, ("no-school", "district")),
    ("student-without-grade", "person"): (1, ("no-grade",)),
    ("student-without-number", "person"): (1, ("no-number",)),
    ("number-twice", "person"): (2, ("twin-a", "twin-b")),
    ("birth-date-implausible", "person"): (2, ("old", "unborn")),
    ("no-primary-role", "person"): (1, ("no-primary",)),
    ("several-primary-roles", "person"): (1, ("two-primary",)),
    ("primary-organization-without-role", "person"): (1, ("elsewhere",)),
    ("ends-before-it-begins", "person"): (1, ("reversed",)),
    ("contact-without-student", "person"): (1, ("lonely",)),
    ("ends-before-it-begins", "enrollment"): (1, ("e-reversed",)),
    ("enrollment-outside-session", "enrollment"): (1, ("e-outside",)),
    ("enrollment-school-differs", "enrollment"): (1, ("e-elsewhere",)),
    ("enrollment-role-differs", "enrollment"): (1, ("e-role",)),
    ("enrolled-twice", "enrollment"): (1, ("e-again", "k1/stu-1")),
    ("ends-before-it-begins", "line_item"): (1, ("li-late",)),
    ("limits-reversed", "line_item"): (1, ("li-limits",)),
    ("score-out-of-range", "result"): (2, ("r-120", "r-below")),
    ("result-not-enrolled", "result"): (1, ("r-other",)),
}
"""(code, kind) -> how many, and which: of two enrollments in one class either may be the second."""


@dataclass(frozen=True)
class Told:
    """What the reports say after a sound roster, one with everything wrong, and the sound one again."""

    office: Office
    before: dict[str, Any]
    run: dict[str, Any]
    report: dict[str, Any]
    later: dict[str, Any]
    after: dict[str, Any]

    @property
    def found(self) -> Found:
        return by_check(self.report)


def by_check(report: dict[str, Any]) -> Found:
    return {(one["code"], one["kind"]): one for one in report["findings"]}


@pytest.fixture(scope="module")
def told(installation: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    office, folder = Office(installation, "where much looks wrong"), tmp_path_factory.mktemp("roster")
    sound().write(folder)
    office.connect_files(folder)
    assert office.ask("quality", "oneroster", code=2)["error"] == "quality-unknown"
    office.pull("oneroster")
    before = office.ask("quality", "oneroster")
    unsound().write(folder)
    held = office.pull("oneroster", code=HELD)  # because of the two students with one number
    run = office.ask("holds", "approve", str(held["id"]), "--because", "To see what is said of it.")
    with office.home.database() as c:  # no OneRoster record can be so: its mapping sets it aside before
        c.execute(
            b"INSERT INTO waiting SELECT district_id, connection_id, 'class', 'half', 'school', 'incomplete', '', '', "
            b"'', id FROM run WHERE id = %s",
            (run["id"],),
        )
    report = office.ask("quality", "oneroster", "--again")
    other = unsound()
    other.files["users"][0]["email"] = "maud@example.org"
    other.write(folder)
    office.pull("oneroster")
    later = office.ask("quality", "oneroster")
    yield Told(office, before, run, report, later, office.ask("quality", "oneroster", "--run", str(before["run"])))


def test_a_sound_roster_has_no_finding(told: Told) -> None:
    assert told.before["findings"] == []
    assert told.after == told.before, "the report of a run stays"


@pytest.mark.parametrize("code, kind", EXPECTED)
def test_what_looks_wrong_is_found_and_nothing_else(told: Told, code: str, kind: str) -> None:
    records, keys = EXPECTED[code, kind]
    found = told.found[code, kind]
    assert found["records"] == records
    ends = {f"...{key[-min(4, len(key) // 2) :]}" for key in keys}
    assert {example["key"] for example in found["examples"]} <= ends
    assert len(found["examples"]) == (records if keys else 0)
    assert found["says"] and found["look"]


def test_there_is_nothing_more(told: Told) -> None:
    assert set(told.found) - set(EXPECTED) == set()
    checked = {code for code, _ in EXPECTED}
    assert {check.code for check in CHECKS} == checked
    severities = [one["severity"] for one in told.report["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_a_finding_is_as_old_as_the_first_report_that_has_it(told: Told) -> None:
    later = by_check(told.later)
    assert told.later["run"] > told.report["run"]
    # What a statement of this test wrote into the database is gone with the next time that record is resolved, or not.
    assert {of: one["since"] for of, one in later.items()} == {of: one["since"] for of, one in told.found.items()}
    assert told.report["at"] < told.later["at"]


def test_people_are_told(told: Told) -> None:
    said = told.office.tell("quality", "oneroster")
    assert "error: 2 person: Students who share that number with another one." in said
    assert "  Look at: The two records: one child twice, or a number given twice." in said
    assert "Maud" not in said and "twin-a" not in said
    shown = told.office.tell("runs", str(told.run["id"]))
    assert "`planbridge quality oneroster` says what." in shown
    assert told.run["quality"].count("error") == 5


def test_a_score_beyond_its_assessment_is_found(office: Office) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "orgs": [{"sourcedId": "s1", "name": "Fennel School", "type": "school"}],
        "users": [
            {"sourcedId": "stu-1", "givenName": "Maud", "familyName": "Pettifer", "enabledUser": "true",
             "roles": [{"roleType": "primary", "role": "student", "org": {"sourcedId": "s1"}}]}
        ],
        "assessmentLineItems": [
            {"sourcedId": "a1", "title": "Screening", "resultValueMin": 100, "resultValueMax": 350}
        ],
        "assessmentResults": [
            {"sourcedId": f"r{score}", "assessmentLineItem": {"sourcedId": "a1"}, "student": {"sourcedId": "stu-1"},
             "score": score, "scoreStatus": "submitted", "scoreDate": "2026-10-01"}
            for score in (100, 350, 99.5, 351)
        ],
    }  # fmt: skip

    async def token(_: Request) -> Response:
        return JSONResponse({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})

    async def page(request: Request) -> Response:
        name = request.path_params["collection"]
        told = rows.get(name, [])[int(request.query_params.get("offset", 0)) :]
        return JSONResponse({name: told}, headers={"X-Total-Count": str(len(rows.get(name, [])))})

    routes = [Route("/token", token, methods=["POST"]), Route("/ims/oneroster/{service}/v1p2/{collection}", page)]
    with serve(Starlette(routes=routes)) as url:
        office.connect("oneroster", url)
        office.pull("oneroster")
    found = by_check(office.ask("quality", "oneroster"))["score-out-of-range", "assessment_result"]
    assert (found["records"], {one["key"] for one in found["examples"]}) == (2, {"...51", "....5"})
