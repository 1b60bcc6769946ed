"""The Ed-Fi twin takes what can be written as each standard and release has it, and refuses the rest."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.edfi.twin import twin
from connectors.edfi.twin.roster import roster
from connectors.edfi.twin.shapes import Fields, writable
from tests import openapi
from tests.openapi import CONTRACTS
from tests.serving import serve
from tests.twins.edfi import (
    DISTRICT,
    NAMESPACE,
    PLAN,
    WRITABLE,
    Client,
    assert_refused,
    intervention,
    participation,
    program,
    read,
    taking_part,
    write_plan,
)

with_contracts = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

STANDARDS = ("3.3", "4.0", "5.0", "6.0")


@pytest.fixture(params=STANDARDS)
def standard(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(standard: str) -> Iterator[Client]:
    """A fresh twin of each standard, played by its usual release: 5.4, 6.2, 7.3 and 8.0."""
    with serve(twin(DISTRICT, standard=standard)) as url, Client(url) as client:
        yield client


@pytest.fixture
def modern() -> Iterator[Client]:
    """A fresh twin of Data Standard 5.0 on ODS/API 7.3."""
    with serve(twin(DISTRICT)) as url, Client(url) as client:
        yield client


def contract(standard: str) -> dict[str, Any]:
    """The OpenAPI document in which no component takes a property that it does not name."""
    return openapi.closed(f"edfi-openapi/resources-ds-{standard}.yaml")


@with_contracts
def test_bodies_are_judged_by_the_rules_of_the_standard(standard: str) -> None:
    components = contract(standard)["components"]["schemas"]

    def compare(fields: Fields, component: dict[str, Any]) -> None:
        assert {name for name, field in fields.items() if field.required} == set(component["required"])
        for name, field in fields.items():
            described = component["properties"][name]
            described = described.get("items", described)
            if field.fields:
                compare(field.fields, components[described["$ref"].rpartition("/")[2]])
            else:
                assert field.limit == described.get("maxLength", 0), name

    for shape in (*writable(standard).values(), *roster(standard).values()):
        component = components[f"edFi_{shape.rel[0].lower()}{shape.rel[1:]}"]
        if shape.open:  # which need not name everything
            component = component | {"required": [name for name in component["required"] if name in shape.fields]}
        compare(shape.fields, component)


@with_contracts
def test_what_was_written_is_served_as_the_standard_describes_it(standard: str) -> None:
    document = contract(standard)
    with serve(twin(DISTRICT, standard=standard)) as url, Client(url) as client:
        write_plan(client)
        row = client.all("studentSchoolAssociations")[0]
        plan = {"educationPlanDescriptor": "uri://ed-fi.org/EducationPlanDescriptor#Student Success Plan"}
        marked = {**row, "educationPlans": [plan]}
        assert client.put(f"studentSchoolAssociations/{row['id']}", json=marked).status_code == 204
        for resource in (*WRITABLE, "studentSchoolAssociations"):
            rows = client.all(resource)
            validator(document, resource).validate(rows)
            assert rows


@with_contracts
def test_every_descriptor_row_is_one_the_standard_describes(client: Client, standard: str) -> None:
    document = openapi.closed(f"edfi-openapi/descriptor-api-{standard}.yaml")
    listed = [one["resource"].removeprefix("/ed-fi/") for one in read(client.urls["dependencies"]).json()]
    names = [name for name in listed if name.endswith("Descriptors")]
    assert len(names) >= 14
    for name in names:
        rows = client.all(name)
        validator(document, name).validate(rows)
        own = f"/{name[0].upper()}{name[1:-1]}#"
        served = {f"{row['namespace']}#{row['codeValue']}" for row in rows}
        expected = {value for value in core_values(standard) if own in value}
        assert {value for value in served if not value.startswith(NAMESPACE)} == expected, name


def validator(document: dict[str, Any], resource: str) -> Draft202012Validator:
    answer = document["paths"][f"/ed-fi/{resource}"]["get"]["responses"]["200"]
    return openapi.validator(document, answer["content"]["application/json"]["schema"])


def core_values(standard: str) -> frozenset[str]:
    """What the standard ships; no list of 4.0 and of 6.0 is published, and those before them hold."""
    name = "5.2" if standard >= "5" else "3.3"
    sets = json.loads((CONTRACTS / "edfi" / "derived" / f"descriptors-{name}.json").read_text(encoding="utf-8"))
    return frozenset(f"{one['namespace']}#{one['codeValue']}" for codes in sets.values() for one in codes)


def test_a_post_creates_then_replaces_by_natural_key(client: Client) -> None:
    first = client.post("programs", json=program(programId="7", fancy="ignored"))
    assert (first.status_code, first.content) == (201, b"")
    location = first.headers["Location"]
    assert location.startswith(str(client.base_url)) and location.rpartition("/")[2]
    again = client.post("programs", json=program(programId="7"))
    assert (again.status_code, again.headers["Location"]) == (200, location)
    assert again.headers["ETag"] == first.headers["ETag"]
    bare = client.post("programs", json=program(programId=None))
    assert bare.status_code == 200 and bare.headers["ETag"] != first.headers["ETag"]
    kept = client.get(location)
    assert kept.headers["ETag"] == f'"{kept.json()["_etag"]}"' == bare.headers["ETag"]
    assert kept.json().keys().isdisjoint({"programId", "fancy"})
    assert client.get(location, headers={"If-None-Match": kept.headers["ETag"]}).status_code == 304
    assert len(client.all("programs")) == 1


def test_a_put_replaces_wholly_and_minds_the_etag(client: Client, standard: str) -> None:
    write_plan(client)
    location = client.post("interventions", json=intervention()).headers["Location"]
    tag = client.get(location).headers["ETag"]
    body = intervention(maxDosage=60) | {"id": location.rpartition("/")[2]}
    del body["staffs"]
    done = client.put(location, json=body, headers={"If-Match": tag})
    assert (done.status_code, done.headers["Location"]) == (204, location)
    assert client.get(location).json()["maxDosage"] == 60 and "staffs" not in client.get(location).json()
    stale = client.put(location, json=body, headers={"If-Match": tag})
    assert_refused(stale, 412, "optimistic-lock-failed", standard)
    renamed = client.put(location, json=intervention(interventionIdentificationCode="SSP-1-B"))
    if standard >= "5":
        assert_refused(renamed, 400, "bad-request:data-validation-failed:key-change-not-supported", standard)
    else:
        assert renamed.status_code == 204
        assert client.get(location).json()["interventionIdentificationCode"] == "SSP-1-A"


def test_a_delete_spares_what_is_referenced(client: Client, standard: str) -> None:
    write_plan(client)
    place = {resource: client.post(resource, json=body()).headers["Location"] for resource, body in PLAN.items()}
    for resource in ("programs", "interventions"):
        assert_refused(client.delete(place[resource]), 409, "data-conflict:dependent-item-exists", standard)
    for resource in reversed(WRITABLE):
        assert client.delete(place[resource]).status_code == 204
        assert_refused(client.get(place[resource]), 404, "not-found", standard)


def test_a_district_defines_its_own_descriptors(client: Client, standard: str) -> None:
    own = {"codeValue": "Low Credits", "namespace": f"{NAMESPACE}/DiagnosisDescriptor", "shortDescription": "Credits"}
    diagnoses = [{"diagnosisDescriptor": f"{NAMESPACE}/DiagnosisDescriptor#Low Credits"}]
    assert client.post("interventions", json=intervention(diagnoses=diagnoses)).status_code == 400
    location = client.post("diagnosisDescriptors", json=own).headers["Location"]
    assert client.post("interventions", json=intervention(diagnoses=diagnoses)).status_code == 201
    assert_refused(client.delete(location), 409, "data-conflict:dependent-item-exists", standard)
    foreign = client.post("diagnosisDescriptors", json=own | {"namespace": "uri://ed-fi.org/DiagnosisDescriptor"})
    kind = "security:authorization:namespace:access-denied:namespace-mismatch"
    assert_refused(foreign, 403, kind, standard)


# Refusals


UNKNOWN = {"studentUniqueId": "nobody"}
NO_PROGRAM = {**participation()["programReference"], "programName": "None such"}
ELSEWHERE = {"educationOrganizationId": 1}
INVALID = "bad-request:data-validation-failed"
UNRESOLVED = "data-conflict:unresolved-reference"


@pytest.mark.parametrize(
    ("resource", "body", "status", "kind", "path", "old"),
    [
        ("programs", program(programName=None), 400, INVALID, "programName", 0),
        ("programs", program(programName="x" * 61), 400, INVALID, "programName", 0),
        ("programs", program(programName=" Plan"), 400, INVALID, "programName", 0),
        ("programs", program(id="0" * 32), 400, INVALID, "", 0),
        ("programs", program(programTypeDescriptor="uri://x#y"), 400, INVALID, "programTypeDescriptor", 0),
        ("programs", program(educationOrganizationReference=ELSEWHERE), 403, "security:authorization", "", 0),
        ("programs", [], 400, "bad-request", "", 0),
        ("interventions", intervention(beginDate="1 Oct"), 400, INVALID, "beginDate", 0),
        ("interventions", intervention(minDosage="ten"), 400, INVALID, "minDosage", 0),
        ("interventions", intervention(staffs=[{}]), 400, INVALID, "staffs[0].staffReference", 0),
        (
            "studentInterventionAssociations",
            taking_part(diagnosticStatement="<b>"),
            400,
            INVALID,
            "diagnosticStatement",
            0,
        ),
        ("studentInterventionAssociations", taking_part(), 409, UNRESOLVED, "", 0),
        ("studentProgramAssociations", participation(programReference=NO_PROGRAM), 409, UNRESOLVED, "", 0),
        ("studentProgramAssociations", participation(studentReference=UNKNOWN), 409, UNRESOLVED, "", 400),
        ("students", {}, 403, "security:authorization:access-denied:action", "", 0),
        ("starships", {}, 404, "not-found", "", 0),
    ],
)
def test_a_bad_post_is_refused(
    client: Client, standard: str, resource: str, body: Any, status: int, kind: str, path: str, old: int
) -> None:
    client.post("programs", json=program())
    answer = client.post(resource, json=body)
    assert_refused(answer, status, kind, standard, old)
    if path and standard >= "5":
        assert list(answer.json()["validationErrors"]) == [f"$.{path}"]
    elif path:
        assert list(answer.json()["modelState"]) == [f"request.{path}"]
    assert len(client.all(resource)) == (1 if resource == "programs" else 0) if resource in WRITABLE else True


def test_the_old_server_names_what_it_could_not_resolve() -> None:
    with serve(twin(DISTRICT, standard="4.0")) as url, Client(url) as client:
        client.post("programs", json=program())
        person = client.post("studentProgramAssociations", json=participation(studentReference=UNKNOWN))
        other = client.post("studentProgramAssociations", json=participation(programReference=NO_PROGRAM))
        assert person.json()["message"].endswith("Student reference could not be resolved.")
        assert other.json()["message"] == "The value supplied for the related 'program' resource does not exist."


def test_other_refusals_have_the_shape_of_their_generation(client: Client, standard: str) -> None:
    item = f"students/{client.all('students')[0]['id']}"
    bad = "bad-request:parameter-validation-failed"
    for answer, status, kind in (
        (client.get("schools", headers={"Authorization": "Bearer old"}), 401, "security:authentication"),
        (client.get("schools", headers={"Authorization": "Basic eA=="}), 401, "security:authentication"),
        (read(f"{client.base_url}schools"), 401, "security:authentication"),
        (client.get("students/" + "0" * 32), 404, "not-found"),
        (client.get(f"{client.twin}/nowhere"), 404, "not-found"),
        (client.get("schools", params={"limit": 501}), 400, bad),
        (client.get("schools", params={"offset": -1}), 400, bad),
        (client.patch(item, json={}), 405, "method-not-allowed"),
        (client.post(item, json={}), 405, "method-not-allowed"),
        (client.delete("programs"), 405, "method-not-allowed"),
        (client.delete(item), 403, "security:authorization:access-denied:action"),
        (client.post("programs", content=b"{,}"), 400, INVALID),
        (client.post("programs"), 400, "bad-request"),
    ):
        assert_refused(answer, status, kind, standard)


def test_programs_can_be_closed_to_the_key(standard: str) -> None:
    with serve(twin(DISTRICT, standard=standard, allow_programs=False)) as url, Client(url) as client:
        answer = client.post("programs", json=program())
        assert_refused(answer, 403, "security:authorization:access-denied:action", standard)
        assert client.post("interventions", json=intervention()).status_code == 201


def test_a_correlation_id_comes_back(modern: Client) -> None:
    answer = modern.get("starships", headers={"correlation-id": "run-7"})
    assert answer.json()["correlationId"] == "run-7"
