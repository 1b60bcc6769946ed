"""The Ed-Fi twin lets a key do what its claim set, its namespace and its relationships to people allow, and a client
write into the SIS's own records."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from connectors.edfi.twin import twin
from synthetic import build
from tests.serving import serve
from tests.twins.edfi import Client

DISTRICT = build(schools=1, students=6)
SCHOOL = {"schoolId": DISTRICT.schools[0].number}
GRADE = "uri://ed-fi.org/GradeLevelDescriptor#Ninth grade"
PLAN = {"educationPlanDescriptor": "uri://ed-fi.org/EducationPlanDescriptor#Student Success Plan"}
NEW = {"studentUniqueId": "N-1", "firstName": "Ada", "lastSurname": "Quist", "birthDate": "2010-01-13"}
ENROLMENT = {
    "entryDate": "2026-08-24",
    "schoolReference": SCHOOL,
    "studentReference": {"studentUniqueId": "N-1"},
    "entryGradeLevelDescriptor": GRADE,
}
RELEASES = [("3.3", "5.4"), ("4.0", "6.2"), ("5.0", "7.3"), ("6.0", "8.0")]


@pytest.fixture(params=RELEASES, ids="-".join)
def sis(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A fresh twin whose key may write whatever can be written."""
    standard, version = request.param
    with serve(twin(DISTRICT, standard=standard, version=version, claims="sis")) as url, Client(url) as client:
        yield client


def assert_denied(answer: httpx.Response, association: str = "") -> None:
    said = answer.json()
    assert answer.status_code == 403, said
    if "type" in said and association:
        assert said["type"] == "urn:ed-fi:api:security:authorization"
        assert said["detail"].endswith(f"'{association}' item.")


# Relationships


def test_a_new_student_is_created_and_then_out_of_reach_until_there_is_an_enrolment(sis: Client) -> None:
    created = sis.post("students", json=NEW)
    place = created.headers["Location"]
    assert (created.status_code, created.content) == (201, b"")
    for answer in (sis.get(place), sis.put(place, json=NEW), sis.post("students", json=NEW), sis.delete(place)):
        assert_denied(answer, "StudentSchoolAssociation")
    assert len(sis.all("students")) == 6
    plan = {
        "beginDate": "2026-10-01",
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programReference": {
            "educationOrganizationId": DISTRICT.number,
            "programName": "Plan",
            "programTypeDescriptor": "uri://ed-fi.org/ProgramTypeDescriptor#Other",
        },
        "studentReference": {"studentUniqueId": "N-1"},
    }
    own = plan["educationOrganizationReference"], plan["programReference"]
    program = {**own[1], "educationOrganizationReference": own[0]}
    del program["educationOrganizationId"]
    assert sis.post("programs", json=program).status_code == 201
    assert_denied(sis.post("studentProgramAssociations", json=plan), "StudentSchoolAssociation")

    enrolled = sis.post("studentSchoolAssociations", json=ENROLMENT)
    assert enrolled.status_code == 201
    assert sis.get(place).json()["firstName"] == "Ada"
    assert sis.post("studentProgramAssociations", json=plan).status_code == 201
    assert sis.post("students", json=NEW | {"middleName": "B."}).status_code == 200
    assert len(sis.all("students")) == 7

    # Ed-Fi: whoever deletes in the order of dependencies strands the student.
    assert sis.delete(enrolled.headers["Location"]).status_code == 204
    assert_denied(sis.get(place), "StudentSchoolAssociation")


def test_what_was_created_stays_when_the_district_changes(sis: Client) -> None:
    sis.post("students", json=NEW)
    sis.post("studentSchoolAssociations", json=ENROLMENT)
    sis.change(without_students=0.34)
    left = {row["studentUniqueId"] for row in sis.all("students")}
    assert "N-1" in left and len(left) == 5
    assert [row["keyValues"]["studentUniqueId"] for row in sis.window("students/deletes")].count("N-1") == 0


def test_an_organization_that_is_not_the_keys_own_is_out_of_reach(sis: Client) -> None:
    sis.post("students", json=NEW)
    answer = sis.post("studentSchoolAssociations", json=ENROLMENT | {"schoolReference": {"schoolId": 1}})
    assert answer.status_code == 403
    # Ed-Fi: an unknown student is a missing reference here, not a missing relationship.
    stranger = sis.post("studentSchoolAssociations", json=ENROLMENT | {"studentReference": {"studentUniqueId": "X"}})
    assert stranger.status_code == (409 if "type" in stranger.json() else 400)


# Claim sets


def test_a_reader_writes_nothing() -> None:
    with serve(twin(DISTRICT, claims="reader")) as url, Client(url) as client:
        assert len(client.all("students")) == 6
        for resource in ("programs", "studentSchoolAssociations", "diagnosisDescriptors"):
            assert_denied(client.post(resource, json={}))
        token = client.headers["Authorization"].removeprefix("Bearer ")
        told = client.post(f"{url}/oauth/token_info", data={"token": token}).json()
        assert told["claim_set"] == {"name": "Roster Reader"}
        assert {tuple(one["operations"]) for one in told["resources"]} == {("Read", "ReadChanges")}


def test_a_claim_set_opens_and_closes_single_resources() -> None:
    granted = {"sections": (), "interventions": ("Create", "Read"), "programs": ("Update", "Read")}
    with serve(twin(DISTRICT, granted=granted)) as url, Client(url) as client:
        closed = client.get("sections")
        assert_denied(closed)
        assert "actions/Read'" in closed.json()["errors"][0]
        assert client.get("sections/deletes").status_code == 403
        token = client.headers["Authorization"].removeprefix("Bearer ")
        told = client.post(f"{url}/oauth/token_info", data={"token": token}).json()["resources"]
        assert "/ed-fi/sections" not in {one["resource"] for one in told}
        body = {
            "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
            "interventionIdentificationCode": "A",
            "beginDate": "2026-10-01",
            "deliveryMethodDescriptor": "uri://ed-fi.org/DeliveryMethodDescriptor#Individual",
            "interventionClassDescriptor": "uri://ed-fi.org/InterventionClassDescriptor#Other",
        }
        made = client.post("interventions", json=body)
        assert made.status_code == 201
        again = client.post("interventions", json=body)
        assert_denied(again)
        assert "actions/Update'" in again.json()["errors"][0]
        assert_denied(client.put(made.headers["Location"], json=body))
        assert_denied(client.delete(made.headers["Location"]))
        program = {
            "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
            "programName": "P",
            "programTypeDescriptor": "uri://ed-fi.org/ProgramTypeDescriptor#Other",
        }
        assert "actions/Create'" in client.post("programs", json=program).json()["errors"][0]
    with pytest.raises(ValueError, match="the claim sets are"):
        twin(DISTRICT, claims="everything")


# The SIS's own records


@pytest.fixture(params=RELEASES, ids="-".join)
def vendor(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A fresh twin whose key may write plans, and mark enrolments."""
    standard, version = request.param
    with serve(twin(DISTRICT, standard=standard, version=version)) as url, Client(url) as client:
        yield client


def marked(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {"_etag", "_lastModifiedDate"}
    return {**{name: value for name, value in row.items() if name not in own}, "educationPlans": [PLAN], **more}


def test_an_enrolment_can_be_changed_and_keeps_what_the_server_does_not_know(vendor: Client) -> None:
    before = vendor.all("studentSchoolAssociations")
    row, others = before[0], before[1:]
    ext = {"_ext": {"mn": {"homeroom": "7", "pairs": [{"a": None, "b": 1}]}}, "residencyStatusDescriptor": "uri://x#y"}
    place = f"studentSchoolAssociations/{row['id']}"
    tag = vendor.get(place).headers["ETag"]
    done = vendor.put(place, json=marked(row, **ext), headers={"If-Match": tag})
    assert done.status_code == 204, done.text
    after = vendor.get(place).json()
    assert after["educationPlans"] == [PLAN] and after["_etag"] != row["_etag"]
    assert after["_ext"] == {"mn": {"homeroom": "7", "pairs": [{"b": 1}]}}
    assert after["residencyStatusDescriptor"] == "uri://x#y"
    assert {**after, "educationPlans": row["educationPlans"]}.items() >= {
        **{name: row[name] for name in ("id", "entryDate", "schoolReference", "studentReference", "primarySchool")}
    }.items()
    assert vendor.all("studentSchoolAssociations")[1:] == others
    stale = vendor.put(place, json=marked(row), headers={"If-Match": tag})
    assert stale.status_code == 412
    # What is left out is gone: a PUT replaces wholly.
    bare = {name: value for name, value in after.items() if name not in ("educationPlans", "_ext")}
    assert vendor.put(place, json=bare).status_code == 204
    assert vendor.get(place).json().keys().isdisjoint({"educationPlans", "_ext"})


def test_only_the_sis_enrols(vendor: Client) -> None:
    row = vendor.all("studentSchoolAssociations")[0]
    body = {name: value for name, value in marked(row).items() if name != "id"}
    assert vendor.post("studentSchoolAssociations", json=body).status_code == 200
    assert vendor.post("studentSchoolAssociations", json=body | {"entryDate": "2026-09-30"}).status_code == 403
    assert vendor.delete(f"studentSchoolAssociations/{row['id']}").status_code == 403
    unknown = [{"educationPlanDescriptor": "uri://ed-fi.org/EducationPlanDescriptor#Nothing"}]
    place = f"studentSchoolAssociations/{row['id']}"
    assert vendor.put(place, json=marked(row, educationPlans=unknown)).status_code == 400


def test_a_marker_stays_until_the_sis_sends_the_enrolment_again(vendor: Client) -> None:
    first, second = vendor.all("studentSchoolAssociations")[:2]
    for row in (first, second):
        assert vendor.put(f"studentSchoolAssociations/{row['id']}", json=marked(row)).status_code == 204
    vendor.change(with_new_students=2)

    def plans() -> list[list[Any]]:
        return [
            vendor.get(f"studentSchoolAssociations/{row['id']}").json()["educationPlans"] for row in (first, second)
        ]

    assert plans() == [[PLAN], [PLAN]]
    tag = vendor.get(f"studentSchoolAssociations/{first['id']}").headers["ETag"]
    assert vendor.post(f"{vendor.twin}/_sis/repost").status_code == 204
    assert plans() == [[], []]
    assert vendor.get(f"studentSchoolAssociations/{first['id']}").headers["ETag"] != tag
    assert len(vendor.all("studentSchoolAssociations")) == 8


def test_the_entry_date_is_part_of_a_key_that_may_change(sis: Client) -> None:
    row = sis.all("studentSchoolAssociations")[0]
    place = f"studentSchoolAssociations/{row['id']}"
    moved = sis.put(place, json=marked(row, entryDate="2026-08-31"))
    assert moved.status_code == 204, moved.text
    assert sis.get(moved.headers["Location"]).json()["entryDate"] == "2026-08-31"
    assert sis.get(place).status_code == 404
    [told] = sis.window("studentSchoolAssociations/keyChanges")
    assert (told["oldKeyValues"]["entryDate"], told["newKeyValues"]["entryDate"]) == (row["entryDate"], "2026-08-31")
    assert sis.window("studentSchoolAssociations/deletes") == []
    assert sis.post(f"{sis.twin}/_sis/repost").status_code == 204
    assert sis.get(place).json()["educationPlans"] == []


# Spelling, descriptors, tags


def test_only_the_ed_fi_api_minds_the_case_of_names(sis: Client) -> None:
    eight = "/v3" not in sis.urls["dataManagementApi"]
    optional = sis.post("students", json=NEW | {"MiddleName": "B."})
    assert optional.status_code == 201
    sis.post("studentSchoolAssociations", json=ENROLMENT)
    assert ("middleName" in sis.get(optional.headers["Location"]).json()) == (not eight)
    required = {name: value for name, value in NEW.items() if name != "birthDate"} | {"BirthDate": "2010-01-13"}
    answer = sis.post("students", json=required)
    assert answer.status_code == (400 if eight else 200)
    if eight:
        assert list(answer.json()["validationErrors"]) == ["$.birthDate"]


def test_the_descriptors_of_the_marker_can_be_looked_up(vendor: Client) -> None:
    found = vendor.get("educationPlanDescriptors", params={"codeValue": "Student Success Plan"}).json()
    assert [f"{one['namespace']}#{one['codeValue']}" for one in found] == [PLAN["educationPlanDescriptor"]]


def test_a_post_and_a_delete_mind_the_tag_too(vendor: Client) -> None:
    body = {
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programName": "P",
        "programTypeDescriptor": "uri://ed-fi.org/ProgramTypeDescriptor#Other",
    }
    made = vendor.post("programs", json=body)
    place, tag = made.headers["Location"], made.headers["ETag"]
    assert vendor.get(place, headers={"If-None-Match": tag}).status_code == 304
    assert vendor.post("programs", json=body | {"programId": "7"}, headers={"If-Match": tag}).status_code == 200
    assert vendor.get(place, headers={"If-None-Match": tag}).status_code == 200
    for answer in (
        vendor.post("programs", json=body, headers={"If-Match": tag}),
        vendor.put(place, json=body, headers={"If-Match": tag.strip('"')}),
        vendor.delete(place, headers={"If-Match": tag}),
    ):
        assert answer.status_code == 412
    assert vendor.delete(place, headers={"If-Match": "*"}).status_code == 204
