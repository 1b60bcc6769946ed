"""A server with nothing but students and results beside a student information system: by which number each is known."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from synthetic.model import Student
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(schools=1, students=30)
CHILDREN = sorted(DISTRICT.students, key=lambda child: child.number)
STATE = {child.number: f"70{n:04}" for n, child in enumerate(CHILDREN)}
"""By which number the server of results keys its students; the student information system does not know it."""
ASSESSMENT = {"assessmentIdentifier": "SPRING", "namespace": "uri://vendor.example.org"}
CORE, METHOD = "uri://ed-fi.org", "AssessmentReportingMethodDescriptor"
Row = dict[str, Any]
Numbers = dict[str, dict[str, str]]
"""Identification system (`@` and who assigns it) -> a child's number in the roster -> the number."""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serve(oneroster_twin(DISTRICT)) as url:
        yield url


@pytest.fixture
def rosters(served: str) -> str:
    """The student information system with every child."""
    steer(served, "POST", "change", {"reset": True})
    return served


@pytest.fixture
def sis(office: Office, rosters: str) -> str:
    """The same, pulled."""
    office.connect("oneroster", rosters)
    assert office.pull("oneroster")["state"] == "published"
    return rosters


def true_numbers() -> dict[str, str]:
    return {child.number: child.number for child in CHILDREN}


def made_up(prefix: str) -> dict[str, str]:
    """Numbers that nobody else knows."""
    return {child.number: f"{prefix}{n}" for n, child in enumerate(CHILDREN)}


def holding(numbers: Numbers, children: Sequence[Student] = CHILDREN) -> dict[str, list[Row]]:
    """The rows of such a server: each child once, with these numbers and one result."""
    return {
        "students": [
            {
                "studentUniqueId": STATE[child.number],
                "firstName": child.given,
                "lastSurname": child.family,
                "birthDate": child.birth.isoformat(),
            }
            for child in children
        ],
        "studentEducationOrganizationAssociations": [
            {
                "educationOrganizationReference": {"educationOrganizationId": 48},
                "studentReference": {"studentUniqueId": STATE[child.number]},
                "studentIdentificationCodes": [
                    code(system, held[child.number]) for system, held in numbers.items() if child.number in held
                ],
            }
            for child in children
        ],
        "assessments": [{**ASSESSMENT, "assessmentTitle": "Spring reading"}],
        "studentAssessments": [
            {
                "studentAssessmentIdentifier": f"sat-{n}",
                "assessmentReference": ASSESSMENT,
                "studentReference": {"studentUniqueId": STATE[child.number]},
                "administrationDate": "2026-10-01",
                "scoreResults": [
                    {
                        "assessmentReportingMethodDescriptor": f"{CORE}/{METHOD}#Scale score",
                        "resultDatatypeTypeDescriptor": f"{CORE}/ResultDatatypeTypeDescriptor#Integer",
                        "result": str(200 + n),
                    }
                ],
            }
            for n, child in enumerate(children)
        ],
    }


def code(system: str, number: str) -> Row:
    name, _, by = system.partition("@")
    assigned = {"assigningOrganizationIdentificationCode": by} if by else {}
    return {"studentIdentificationSystemDescriptor": name, "identificationCode": number} | assigned


def results(office: Office) -> dict[str, str]:
    """The number in the roster of each child who has a published result -> the score."""
    entities = office.entities()
    numbers = {
        one.id: next(i["value"] for i in one.doc["identifiers"] if i["system"] == "identifier")
        for one in entities
        if one.kind == "person" and one.doc.get("population") == "student"
    }
    return {
        numbers[one.doc["student"]]: one.doc["scores"][0]["value"]
        for one in entities
        if one.kind == "assessment_result" and "edfi" in one.keys
    }


EVERYBODY = {child.number: str(200 + n) for n, child in enumerate(CHILDREN)}


def rates(by: Row) -> dict[str, int]:
    return {rate["system"]: rate["matched"] for rate in by["student"]["rates"]}


def test_under_the_wrong_number_a_run_waits_and_says_which_would_do(office: Office, sis: str) -> None:
    held = {
        "uri://state.example.org/StudentIdentificationSystemDescriptor#District": true_numbers(),
        "Local": made_up("L"),
    }
    with serve(edfi_twin(DISTRICT, given=holding(held))) as ods:
        office.connect("edfi", ods)
        run = office.pull("edfi", code=HELD)
        [hold] = run["holds"]
        assert (hold["code"], hold["affected"], hold["known"]) == ("match-rate-low", 30, 30)
        assert "30 by District, 0 by " in hold["reason"]
        assert results(office) == {}

        office.ask("connections", "change", "edfi", "--set", "student_identifier=auto", "--yes")
        run = office.pull("edfi")
        assert run["state"] == "published", run
        assert run["counts"]["people"] == {"named": 30, "recognised": 30}
        assert run["counts"]["identifiers"]["student"]["system"] == "District"
        assert rates(run["counts"]["identifiers"]) == {"District": 30, "Local": 0, "studentUniqueId": 0}
        assert results(office) == EVERYBODY
        said = [finding["text"] for finding in office.ask("check", "edfi")]
        assert any("Only results are read" in text and "sections" in text for text in said), said
        assert any("recognised by District" in text and "District: 30 of 30" in text for text in said), said
        assert office.ask("unmatched", "edfi")["students"] == []

        written = office.written()
        assert office.pull("edfi")["publication"] is None
        assert office.written() == written


def test_another_number_is_used_only_when_it_is_clearly_better_and_the_run_says_so(office: Office, sis: str) -> None:
    local, district = true_numbers(), made_up("D")
    rows = holding({"Local": local, "District": district})
    with serve(edfi_twin(DISTRICT, given=rows)) as ods:
        office.connect("edfi", ods, student_identifier="District; Local")
        by = office.pull("edfi")["counts"]["identifiers"]["student"]
        assert (by["system"], "was" in by) == ("Local", False)

        def told(**numbers: dict[str, str]) -> Row:
            rows.update(holding(numbers))
            steer(ods, "POST", "change", {"reset": True})
            held = office.pull("edfi", code=HELD)
            assert [hold["code"] for hold in held["holds"]] == ["many-changed"]
            office.ask("holds", "approve", str(held["id"]), "--because", "the vendor told us")
            assert results(office) == EVERYBODY
            found: Row = last(office)["counts"]["identifiers"]["student"]
            return found

        # As good as the one in use, though named first.
        by = told(Local=local, District=local)
        assert (by["system"], "was" in by) == ("Local", False)
        # Nobody's number any more: each student stays who they were.
        by = told(Local=district, District=local)
        assert (by["system"], by["was"]) == ("District", "Local")
        assert "no longer by Local" in office.tell("runs", str(last(office)["id"]))


def last(office: Office) -> Row:
    newest: Row = office.ask("runs")[0]
    return newest


def test_of_two_organizations_that_assign_such_numbers_one_is_chosen(office: Office, sis: str) -> None:
    rows = holding({"District@255901": true_numbers(), "District@777": made_up("9")})
    with serve(edfi_twin(DISTRICT, given=rows)) as ods:
        office.connect("edfi", ods, student_identifier="auto")
        by = office.pull("edfi")["counts"]["identifiers"]
        assert by["student"]["system"] == "District @ 255901"
        assert rates(by) == {"District @ 255901": 30, "District @ 777": 0, "studentUniqueId": 0}
        assert results(office) == EVERYBODY


def test_every_number_of_who_is_not_recognised_is_exported(office: Office, sis: str) -> None:
    wicked = {child.number: f"{sign}{n}+1" for n, (child, sign) in enumerate(zip(CHILDREN, "=+-@" * 8, strict=False))}
    rows = holding({"District@255901": made_up("D"), "District@777": made_up("9"), "Local": wicked})
    with serve(edfi_twin(DISTRICT, given=rows)) as ods:
        office.connect("edfi", ods, student_identifier="auto")
        office.pull("edfi", code=HELD)
        run = last(office)
        office.ask("holds", "approve", str(run["id"]), "--because", "to see who they are")
        exported = office.tell("unmatched", "edfi", "--csv", "--because", "asked by the registrar")
        first, *others = csv.DictReader(io.StringIO(exported))
        assert {"District @ 255901", "District @ 777", "Local", "studentUniqueId"} < set(first)
        assert (first["District @ 255901"][0], first["District @ 777"][0]) == ("D", "9")
        local = {row["Local"] for row in (first, *others)}
        assert local == {f"'{number}" for number in wicked.values()}, "no spreadsheet reads one as a formula"


def test_numbers_that_are_other_childrens_count_for_nothing(office: Office, sis: str) -> None:
    numbers = list(true_numbers())
    shifted = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    few = dict.fromkeys(numbers[:25])
    rows = holding({"Local": shifted, "State": {number: number for number in few}})
    with serve(edfi_twin(DISTRICT, given=rows)) as ods:
        office.connect("edfi", ods, student_identifier="auto")
        run = office.pull("edfi")
        assert run["counts"]["identifiers"]["student"]["system"] == "State"
        assert results(office) == {number: EVERYBODY[number] for number in few}


def test_numbers_that_lost_their_zeros_are_counted_and_nobody_is_linked_by_them(office: Office, sis: str) -> None:
    # Half of them have lost theirs, the other half has one too many.
    bare = {number: f"0{number}" if n % 2 else number.lstrip("0") for n, number in enumerate(true_numbers())}
    lost = sum(number != bare[number] for number in bare)
    assert lost == 30
    with serve(edfi_twin(DISTRICT, given=holding({"District": bare}))) as ods:
        office.connect("edfi", ods, student_identifier="District")
        run = office.pull("edfi", code=HELD)
        assert f"{lost} more would be, if leading zeros did not count" in run["holds"][0]["reason"]
        assert results(office) == {}


def test_two_students_with_one_number_wait_for_a_person(office: Office, sis: str) -> None:
    numbers = true_numbers()
    one, other, *rest = numbers
    with serve(edfi_twin(DISTRICT, given=holding({"District": numbers | {other: one}}))) as ods:
        office.connect("edfi", ods, student_identifier="auto")
        run = office.pull("edfi")
        assert run["state"] == "published"
        assert rates(run["counts"]["identifiers"])["District"] == len(rest)
        assert results(office) == {number: EVERYBODY[number] for number in rest}
        listed = office.ask("unmatched", "edfi")["students"]
        assert [(row["code"], row["results"]) for row in listed] == [("ambiguous", 1), ("ambiguous", 1)]

        written = office.written()
        again = office.pull("edfi")
        assert (again["state"], again["publication"], office.written()) == ("published", None, written)
        whole = office.ask("pull", "edfi", "--whole")
        assert (whole["state"], office.written()) == ("published", written), "nor does the first of them win later"
        assert office.ask("unmatched", "edfi")["students"] == listed


def test_who_is_missing_is_listed_exported_and_comes_with_the_corrected_roster(office: Office, rosters: str) -> None:
    steer(rosters, "POST", "change", {"without_students": 0.15})
    office.connect("oneroster", rosters)
    assert office.pull("oneroster")["state"] == "published"
    with serve(edfi_twin(DISTRICT, given=holding({"District": true_numbers()}))) as ods:
        office.connect("edfi", ods, student_identifier="auto")
        run = office.pull("edfi")
        missing = run["counts"]["people"]["named"] - run["counts"]["people"]["recognised"]
        assert (missing > 0, len(results(office))) == (True, 30 - missing)
        exported = office.tell("unmatched", "edfi", "--csv", "--because", "asked by the registrar")
        rows = list(csv.DictReader(io.StringIO(exported)))
        assert {row["District"] for row in rows} == set(EVERYBODY) - set(results(office))
        assert {row["results"] for row in rows} == {"1"}

        steer(rosters, "POST", "change", {"reset": True})
        assert office.pull("oneroster")["state"] == "published"
        assert results(office) == EVERYBODY
        assert office.ask("unmatched", "edfi")["students"] == []


def test_a_roster_that_comes_last_decides_by_which_number_results_are_read(office: Office, rosters: str) -> None:
    office.connect("oneroster", rosters)
    with serve(edfi_twin(DISTRICT, given=holding({"Local": made_up("L"), "District": true_numbers()}))) as ods:
        office.connect("edfi", ods, student_identifier="Local; District")
        run = office.pull("edfi")
        assert run["state"] == "published", run
        assert run["counts"]["identifiers"]["student"]["system"] == "Local"
        assert results(office) == {}

        assert office.pull("oneroster")["state"] == "published"
        assert results(office) == EVERYBODY
        assert office.ask("unmatched", "edfi")["identifiers"]["student"]["system"] == "District"


def test_another_number_of_the_roster_has_everybody_recognised_anew(office: Office, sis: str) -> None:
    rows = holding({"District": true_numbers()})
    with serve(edfi_twin(DISTRICT, given=rows)) as ods:
        office.connect("edfi", ods, student_identifier="District")
        assert office.pull("edfi")["state"] == "published"
        assert results(office) == EVERYBODY
        office.ask("connections", "change", "oneroster", "--set", "student_identifier=nothing-of-the-sort")
        held = office.pull("oneroster", code=HELD)
        assert [hold["code"] for hold in held["holds"]] == ["many-unpublished"]
        assert results(office) == EVERYBODY
        office.ask("holds", "approve", str(held["id"]), "--because", "to see what becomes of it")
        assert results(office) == {}
        assert len(office.ask("unmatched", "edfi")["students"]) == 30

        office.ask("connections", "change", "oneroster", "--set", "student_identifier=identifier")
        assert office.pull("oneroster")["state"] == "published"
        assert results(office) == EVERYBODY
