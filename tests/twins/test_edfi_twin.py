"""The Ed-Fi twin keeps the published contract in both standards and plays the facts of the invented district."""

import json
import time
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from connectors.edfi.twin import app, twin
from connectors.edfi.twin.collection import Changes, Collection, Source
from connectors.edfi.twin.filters import filters
from connectors.edfi.twin.keys import natural_key
from connectors.edfi.twin.shapes import Fields, writable
from synthetic import build
from tests import openapi
from tests.openapi import CONTRACTS
from tests.serving import serve
from tests.twins.edfi import Client

with_contracts = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

DISTRICT = build(students=90)
NAMESPACE = "uri://mapleridge.example.org"
STANDARDS = ("4.0", "5.0")
PLANTED = "Quillwort-7Q"
ROSTER = [
    "localEducationAgencies",
    "schools",
    "students",
    "staffs",
    "studentSchoolAssociations",
    "studentEducationOrganizationAssociations",
    "staffEducationOrganizationAssignmentAssociations",
    "sessions",
    "courses",
    "courseOfferings",
    "sections",
    "studentSectionAssociations",
    "staffSectionAssociations",
    "assessments",
    "objectiveAssessments",
    "studentAssessments",
]
PEOPLE = {"4.0": ["parents", "studentParentAssociations"], "5.0": ["contacts", "studentContactAssociations"]}
WRITABLE = ["programs", "studentProgramAssociations", "interventions", "studentInterventionAssociations"]


@pytest.fixture(params=STANDARDS)
def standard(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(standard: str) -> Iterator[Client]:
    """A fresh twin of either standard."""
    with serve(twin(DISTRICT, standard=standard)) as url, Client(url) as client:
        yield client


@pytest.fixture
def modern() -> Iterator[Client]:
    """A fresh twin of Data Standard 5.0 on ODS/API 7.3."""
    with serve(twin(DISTRICT)) as url, Client(url) as client:
        yield client


# The published contract


def contract(name: str) -> dict[str, Any]:
    """One OpenAPI document in which no component takes a property that it does not name."""
    return openapi.closed(f"edfi-openapi/{name}.yaml")


def validator(document: dict[str, Any], resource: str) -> Draft202012Validator:
    answer = document["paths"][f"/ed-fi/{resource}"]["get"]["responses"]["200"]
    return openapi.validator(document, answer["content"]["application/json"]["schema"])


@cache
def core_values(standard: str) -> frozenset[str]:
    name = {"4.0": "3.3", "5.0": "5.2"}[standard]
    sets = json.loads((CONTRACTS / "edfi" / "derived" / f"descriptors-{name}.json").read_text())
    return frozenset(f"{one['namespace']}#{one['codeValue']}" for codes in sets.values() for one in codes)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar below a value, with the name of the property that holds it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name)
    else:
        yield name, value


@with_contracts
@pytest.mark.parametrize("planted", [None, PLANTED])
def test_every_row_is_one_the_standard_describes(standard: str, planted: str | None) -> None:
    document = contract(f"resources-ds-{standard}")
    with serve(twin(DISTRICT, standard=standard, planted=planted)) as url, Client(url) as client:
        write_plan(client)
        for resource in [*ROSTER, *PEOPLE[standard], *WRITABLE]:
            rows = client.all(resource)
            assert rows
            validator(document, resource).validate(rows)
            assert client.get(f"{resource}/{rows[0]['id']}").json() == rows[0]
            for name, value in leaves(rows):
                assert value is not None, name
                if name.endswith("Descriptor") and not value.startswith(NAMESPACE):
                    assert value in core_values(standard)


@with_contracts
def test_every_descriptor_row_is_one_the_standard_describes(client: Client, standard: str) -> None:
    document = contract(f"descriptor-api-{standard}")
    resources = [one["resource"] for one in httpx.get(client.urls["dependencies"]).json()]
    names = [name for name in (one.removeprefix("/ed-fi/") for one in resources) if name.endswith("Descriptors")]
    assert len(names) == 14
    for name in names:
        rows = client.all(name)
        validator(document, name).validate(rows)
        own = f"/{name[0].upper()}{name[1:-1]}#"
        served = {f"{row['namespace']}#{row['codeValue']}" for row in rows}
        expected = {value for value in core_values(standard) if own in value}
        assert {value for value in served if not value.startswith(NAMESPACE)} == expected


@with_contracts
def test_filters_are_query_parameters_of_the_standard(standard: str) -> None:
    paths = contract(f"resources-ds-{standard}")["paths"]
    for resource in [*ROSTER, *PEOPLE[standard], *WRITABLE]:
        known = {one.get("name") for one in paths[f"/ed-fi/{resource}"]["get"]["parameters"]}
        assert set(filters(resource)) <= known, resource


@with_contracts
def test_bodies_are_judged_by_the_rules_of_the_standard(standard: str) -> None:
    components = contract(f"resources-ds-{standard}")["components"]["schemas"]

    def compare(fields: Fields, component: dict[str, Any]) -> None:
        assert {name for name, field in fields.items() if field.required} == set(component["required"])
        for name, field in fields.items():
            described = component["properties"][name]
            described = described.get("items", described)
            if field.fields:
                compare(field.fields, components[described["$ref"].rpartition("/")[2]])
            else:
                assert field.limit == described.get("maxLength", 0), name

    for shape in writable(standard).values():
        compare(shape.fields, components[f"edFi_{shape.rel[0].lower()}{shape.rel[1:]}"])


# What it plays


def test_the_rows_are_the_facts_of_the_district(client: Client, standard: str) -> None:
    person = "contact" if standard == "5.0" else "parent"
    students = {row["studentUniqueId"]: row for row in client.all("students")}
    assert students.keys() == {student.number for student in DISTRICT.students}
    assert {row[f"{person}UniqueId"] for row in client.all(f"{person}s")} == {
        contact.number for contact in DISTRICT.contacts
    }
    attended = {
        (
            row["sectionReference"]["schoolId"],
            row["sectionReference"]["sectionIdentifier"],
            row["studentReference"]["studentUniqueId"],
            row["beginDate"],
        )
        for row in client.all("studentSectionAssociations")
    }
    assert attended == {
        (one.school, one.section, one.person, one.begin.isoformat())
        for one in DISTRICT.enrollments
        if one.role == "student"
    }
    results = {row["studentAssessmentIdentifier"]: row for row in client.all("studentAssessments")}
    assert {code: row["scoreResults"][0]["result"] for code, row in results.items()} == {
        sitting.code: str(sitting.score) for sitting in DISTRICT.sittings
    }
    teaching = [one for one in DISTRICT.enrollments if one.role == "teacher"]
    assert len(client.all("staffSectionAssociations")) == len(teaching) > len(DISTRICT.sections)
    assert len(client.all("sections")) == len(DISTRICT.sections)
    assert len(client.all("courseOfferings")) == len({(one.school, one.course, one.term) for one in DISTRICT.sections})


def test_a_nickname_is_told_in_the_way_of_the_standard(client: Client, standard: str) -> None:
    nicknamed = {one.number: one.preferred_given for one in DISTRICT.students if one.preferred_given}
    rows = {row["studentUniqueId"]: row for row in client.all("students")}
    assert nicknamed
    for number, name in nicknamed.items():
        if standard == "5.0":
            assert rows[number]["preferredFirstName"] == name
        else:
            assert rows[number]["otherNames"][0]["firstName"] == name


def test_the_links_of_references_lead_to_the_items(client: Client, standard: str) -> None:
    write_plan(client)
    unserved = ("/ed-fi/classPeriods/", "/ed-fi/schoolYearTypes/")
    for resource in [*ROSTER, *PEOPLE[standard], *WRITABLE]:
        row = client.get(resource, params={"limit": 1}).json()[0]
        links = [value for name, value in leaves(row) if name == "href"]
        assert len(links) == json.dumps(row).count('Reference": {'), resource
        for link in links:
            if not link.startswith(unserved):
                assert client.get(link.removeprefix("/ed-fi")).status_code == 200, (resource, link)


def test_planted_text_stands_only_where_it_was_asked_for(client: Client, standard: str) -> None:
    assert PLANTED not in client.get("students", params={"limit": 500}).text
    with serve(twin(DISTRICT, standard=standard, planted=PLANTED)) as url, Client(url) as planted:
        student, code = planted.get("students").json()[0], "studentEducationOrganizationAssociations"
        holding = {name for name, value in leaves(student) if PLANTED in str(value)}
        assert {"birthCity", "citizenshipStatusDescriptor", "visaDescriptor", "documentTitle"} <= holding
        assert all(PLANTED in json.dumps(row) for row in planted.all(PEOPLE[standard][0]) + planted.all("staffs"))
        assert planted.get(code).json()[0]["profileThumbnail"] == PLANTED
    with pytest.raises(ValueError, match="2 to 17"):
        twin(DISTRICT, planted="x" * 18)


def test_the_factory_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_STANDARD", "4.0")
    monkeypatch.setenv("TWIN_STUDENTS", "7")
    with serve(app()) as url, Client(url) as client:
        assert len(client.all("students")) == 7
        assert client.get("contacts").status_code == 404


# What it says without a token


def test_discovery_describes_the_release(client: Client, standard: str) -> None:
    told = httpx.get(client.twin).json()
    assert told["dataModels"][0]["version"] == f"{standard}.0"
    assert (told["version"], told.get("apiMode")) == {"4.0": ("6.2", "Year Specific"), "5.0": ("7.3", None)}[standard]
    assert all(url.startswith(f"{client.twin}/") for url in told["urls"].values())
    assert ("/2027" in told["urls"]["dataManagementApi"]) == (standard == "4.0")


def test_people_stand_twice_among_the_dependencies(client: Client, standard: str) -> None:
    listed = httpx.get(client.urls["dependencies"]).json()
    for name in ("students", "staffs", PEOPLE[standard][0]):
        entries = [one for one in listed if one["resource"] == f"/ed-fi/{name}"]
        assert [one["operations"] for one in entries] == [["Create"], ["Update"]]
    assert [one["order"] for one in listed] == sorted(one["order"] for one in listed)


def test_the_openapi_list_leads_to_the_longest_page(client: Client, standard: str) -> None:
    listed = httpx.get(client.urls["openApiMetadata"]).json()
    assert [one["name"] for one in listed] == ["Resources", "Descriptors"]
    document = httpx.get(listed[0]["endpointUri"]).json()
    limit = (
        document["components"]["parameters"]["limit"]["schema"]
        if standard == "5.0"
        else document["parameters"]["limit"]
    )
    assert limit["maximum"] == 500


# Tokens


def test_a_token_comes_by_basic_or_by_form_but_not_by_both(client: Client) -> None:
    grant = {"grant_type": "client_credentials"}
    own = {"client_id": "demo-key", "client_secret": "demo-secret"}
    assert client.token().json()["token_type"] == "bearer"
    assert client.token(auth=None, data=grant | own).status_code == 200
    assert client.token(auth=None, data=None, json=grant | own).status_code == 200
    for how, status, error in (
        ({"data": grant | own}, 400, "invalid_client"),
        ({"auth": ("demo-key", "wrong")}, 401, "invalid_client"),
        ({"auth": None}, 401, "invalid_client"),
        ({"auth": None, "headers": {"Authorization": "Basic ?"}}, 401, "invalid_client"),
        ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": {}}, 400, "invalid_request"),
    ):
        answer = client.token(**how)
        assert (answer.status_code, answer.json()) == (status, {"error": error}), how


def test_the_sixteenth_live_token_is_refused_from_7_2_on(client: Client, standard: str) -> None:
    answers = [client.token() for _ in range(15)]
    assert [answer.status_code for answer in answers[:14]] == [200] * 14
    if standard == "4.0":
        assert answers[14].status_code == 200
    else:
        assert_refused(answers[14], 429, "security:authentication:too-many-tokens", "5.0")


def test_a_token_expires_and_makes_room() -> None:
    with serve(twin(DISTRICT, token_seconds=0.3)) as url, Client(url) as client:
        assert client.get("schools").status_code == 200
        time.sleep(0.4)
        assert client.get("schools").status_code == 401
        assert [client.token().status_code for _ in range(15)] == [200] * 15


def test_token_info_tells_what_the_key_may_do(client: Client) -> None:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    told = client.post(f"{client.twin}/oauth/token_info", data={"token": token}).json()
    operations = {one["resource"]: one["operations"] for one in told["resources"]}
    assert told["active"] and told["education_organizations"][0]["education_organization_id"] == DISTRICT.number
    assert operations["/ed-fi/students"] == ["Read", "ReadChanges"] and "Create" in operations["/ed-fi/programs"]
    other = client.post(f"{client.twin}/oauth/token_info", data={"token": "another"})
    assert other.status_code == 401


# Pages


def walk(client: Client, resource: str, token: str = "", **query: Any) -> list[list[dict[str, Any]]]:
    """Every page by cursor, the empty last one too."""
    pages = []
    while True:
        answer = client.get(resource, params=query | ({"pageToken": token} if token else {}))
        pages.append(answer.json())
        if "Next-Page-Token" not in answer.headers:
            return pages
        token = answer.headers["Next-Page-Token"]


def test_the_cursor_reaches_every_row_once_and_ends_with_an_empty_page(modern: Client) -> None:
    resource = "studentSectionAssociations"
    expected = [row["id"] for row in modern.all(resource)]
    pages = walk(modern, resource, pageSize=100)
    assert [row["id"] for page in pages for row in page] == expected
    assert {len(page) for page in pages[:-2]} == {100} and pages[-1] == []
    assert len(walk(modern, "schools")[0]) == 3


def test_a_cursor_loses_nothing_when_the_district_changes_between_pages(modern: Client) -> None:
    first = modern.get("students", params={"pageSize": 30})
    modern.change(with_new_students=5)
    rest = walk(modern, "students", first.headers["Next-Page-Token"], pageSize=30)
    read = [row["studentUniqueId"] for page in [first.json(), *rest] for row in page]
    assert len(read) == len(set(read)) == 95


def test_the_cursor_still_reaches_every_row_after_rows_were_changed(modern: Client) -> None:
    modern.change(moved=0.5)
    pages = walk(modern, "studentSectionAssociations", pageSize=100)
    expected = modern.all("studentSectionAssociations")
    assert [row for page in pages for row in page] == expected
    assert len(expected) > sum(one.role == "student" for one in DISTRICT.enrollments)


def test_partitions_cover_every_row_once(modern: Client) -> None:
    resource, query = "studentSectionAssociations", {"schoolId": DISTRICT.schools[0].number}
    tokens = modern.get(f"{resource}/partitions", params={"number": 4, "pageSize": 5, **query}).json()["pageTokens"]
    expected = [row["id"] for row in modern.get(resource, params={"limit": 500, **query}).json()]
    read = [row["id"] for one in tokens for page in walk(modern, resource, one, pageSize=7, **query) for row in page]
    assert len(tokens) == 4 and read == expected


def test_offset_pages_and_counts(client: Client, standard: str) -> None:
    rows = client.all("students")
    page = client.get("students", params={"offset": 80, "limit": 25, "totalCount": "true"})
    assert page.json() == rows[80:] and page.headers["Total-Count"] == "90"
    assert len(client.get("students").json()) == 25
    assert ("Next-Page-Token" in page.headers) == (standard == "5.0")
    zero = client.get("students", params={"limit": 0, "totalCount": "true"})
    assert zero.status_code == (200 if standard == "5.0" else 400)
    # Without cursor paging its parameters are unknown names, and those are ignored.
    assert (client.get("students", params={"pageSize": 3}).json() == rows[:25]) == (standard == "4.0")


def test_queries_filter_by_known_names_and_ignore_all_others(client: Client) -> None:
    number, grade = DISTRICT.students[0].number, "uri://ed-fi.org/GradeLevelDescriptor#Third grade"
    [row] = client.get("Students", params={"studentuniqueid": number}).json()
    assert row["studentUniqueId"] == number
    assert client.get("students", params={"id": row["id"]}).json() == [row]
    assert len(client.get("students", params={"studentNumber": number, "limit": 500}).json()) == 90
    third = client.get("studentSchoolAssociations", params={"entryGradeLevelDescriptor": grade, "limit": 500})
    assert len(third.json()) == sum(student.grade == "03" for student in DISTRICT.students)


def test_only_the_rows_of_the_page_are_rendered() -> None:
    rendered = []
    collection = Collection("numbers", Changes(), dict, ["id"])
    collection.load(Source(range(100_000), lambda one: (one,), lambda one: rendered.append(one) or {"n": one}))
    assert [collection.row(entry, dated=True)["n"] for entry in collection.matching({}, 0, None)[7:9]] == [7, 8]
    assert rendered == [7, 8]


# Changes


def test_a_change_moves_only_what_changed(client: Client) -> None:
    def versions() -> dict[str, str]:
        return {row["id"]: row["_etag"] for row in client.all("studentSectionAssociations")}

    def newest() -> int:
        answer = client.get(f"{client.urls['changeQueries'].rstrip('/')}/availableChangeVersions").json()
        return int(answer["newestChangeVersion"])

    before, mark = versions(), newest()
    client.change(moved=0.1)
    after, window = versions(), {"minChangeVersion": mark + 1, "maxChangeVersion": newest(), "limit": 500}
    touched = {row["id"] for row in client.get("studentSectionAssociations", params=window).json()}
    assert len(after) > len(before) and before.keys() <= after.keys()
    assert touched == {key for key, tag in after.items() if before.get(key) != tag}
    assert client.get("schools", params=window).json() == []
    client.change(without_students=0.3)
    assert len(client.all("students")) == 63
    client.change(reset=True)
    assert versions().keys() == before.keys()


@with_contracts
def test_tombstones_name_the_natural_keys_of_the_standard(client: Client, standard: str) -> None:
    keys = json.loads((CONTRACTS / "edfi/derived/natural-keys-by-table.json").read_text(encoding="utf-8"))
    tables = {name.lower(): parts for name, parts in keys["4.0.0" if standard == "4.0" else "5.2.0"].items()}
    for name in (*ROSTER, *PEOPLE[standard], *WRITABLE):
        table = "localeducationagency" if name == "localEducationAgencies" else name.removesuffix("s").lower()
        assert sorted(natural_key(name, five=standard == "5.0")) == sorted(tables[table]), name


def test_what_was_deleted_is_told_until_it_is_created_anew(client: Client) -> None:
    gone = client.window("studentSchoolAssociations/deletes")
    client.change(without_students=0.1)
    told = client.window("studentSchoolAssociations/deletes")
    assert (gone, len(told)) == ([], 9)
    assert set(told[0]["keyValues"]) == {"entryDate", "schoolId", "studentUniqueId"}
    assert {one["keyValues"]["studentUniqueId"] for one in told} == {
        one["keyValues"]["studentUniqueId"] for one in client.window("students/deletes")
    }
    newest = max(one["changeVersion"] for one in client.window("students/deletes"))
    assert client.window("students/deletes", minChangeVersion=newest + 1) == []
    client.change(reset=True)
    assert client.window("studentSchoolAssociations/deletes") == []


def test_changes_of_one_key_are_told_from_the_first_to_the_last(client: Client) -> None:
    before = {one["studentReference"]["studentUniqueId"]: one for one in client.all("studentSchoolAssociations")}
    client.change(begun_later=1.0)
    client.change(begun_later=1.0)
    told = client.window("studentSchoolAssociations/keyChanges")
    assert len(told) == len(before) == 90
    for one in told:
        old, new = one["oldKeyValues"], one["newKeyValues"]
        assert old["entryDate"] == before[old["studentUniqueId"]]["entryDate"] < new["entryDate"]
        assert {**old, "entryDate": ""} == {**new, "entryDate": ""}
    assert client.window("studentSchoolAssociations/deletes") == []
    assert len(client.all("studentSchoolAssociations")) == 90


@with_contracts
def test_change_versions_are_told_as_the_contract_says(client: Client) -> None:
    answer = client.get(f"{client.urls['changeQueries'].rstrip('/')}/availableChangeVersions")
    found = openapi.document("edfi-openapi/change-queries-api-1.0.0.yaml")
    Draft202012Validator(found["components"]["schemas"]["availableChangeVersion"]).validate(answer.json())


@pytest.mark.parametrize(("changes", "status"), [("not granted", 403), ("off", 404)])
def test_a_host_may_not_tell_what_changed(changes: str, status: int) -> None:
    with serve(twin(DISTRICT, changes=changes)) as url, Client(url) as client:
        assert ("changeQueries" in client.urls) == (changes != "off")
        assert client.get("/students/deletes").status_code == client.get("/students/keyChanges").status_code == status
        versions = client.get(f"{url}/changeQueries/v1/availableChangeVersions")
        assert versions.status_code == (404 if changes == "off" else 200)


# Writes


def program(**more: Any) -> dict[str, Any]:
    return {
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programName": "Student Success Plan",
        "programTypeDescriptor": f"{NAMESPACE}/ProgramTypeDescriptor#Student Success Plan",
        **more,
    }


def participation(**more: Any) -> dict[str, Any]:
    own = program()
    del own["educationOrganizationReference"]
    return {
        "beginDate": "2026-10-01",
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.number},
        "programReference": {"educationOrganizationId": DISTRICT.number, **own},
        "studentReference": {"studentUniqueId": DISTRICT.students[0].number},
        "services": [{"serviceDescriptor": f"{NAMESPACE}/ServiceDescriptor#Tutoring"}],
        **more,
    }


def intervention(**more: Any) -> dict[str, Any]:
    return {
        "educationOrganizationReference": {"educationOrganizationId": DISTRICT.schools[0].number},
        "interventionIdentificationCode": "SSP-1-A",
        "beginDate": "2026-10-01",
        "deliveryMethodDescriptor": "uri://ed-fi.org/DeliveryMethodDescriptor#Small Group",
        "interventionClassDescriptor": "uri://ed-fi.org/InterventionClassDescriptor#Supplement",
        "minDosage": "30",
        "staffs": [{"staffReference": {"staffUniqueId": DISTRICT.staff[0].number}}],
        **more,
    }


def taking_part(**more: Any) -> dict[str, Any]:
    key = {"educationOrganizationId": DISTRICT.schools[0].number, "interventionIdentificationCode": "SSP-1-A"}
    student = {"studentUniqueId": DISTRICT.students[0].number}
    return {"interventionReference": key, "studentReference": student, "dosage": 30, **more}


PLAN = dict(zip(WRITABLE, (program, participation, intervention, taking_part), strict=True))


def write_plan(client: Client) -> None:
    for resource, body in PLAN.items():
        assert client.post(resource, json=body()).status_code == 201, resource


def test_a_post_creates_then_replaces_by_natural_key(client: Client) -> None:
    first = client.post("programs", json=program(programId="7", fancy="ignored"))
    assert (first.status_code, first.content) == (201, b"")
    location = first.headers["Location"]
    assert location.startswith(str(client.base_url)) and len(location.rpartition("/")[2]) == 32
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
    if standard == "5.0":
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


def assert_refused(answer: httpx.Response, status: int, kind: str, standard: str, old: int = 0) -> None:
    """The right status in the right shape; `old` is the status before 7.2 where it was another."""
    body = answer.json()
    if standard == "5.0":
        assert (answer.status_code, body["type"], body["status"]) == (status, f"urn:ed-fi:api:{kind}", status)
        assert body.keys() >= {"detail", "title", "correlationId"}
    else:
        assert answer.status_code == (old or status), body
        assert body.keys() == ({"message", "modelState"} if "modelState" in body else {"message"})


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
    if path and standard == "5.0":
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
        (httpx.get(f"{client.base_url}schools"), 401, "security:authentication"),
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


def test_a_page_token_is_used_alone_and_as_given(modern: Client) -> None:
    token = modern.get("schools").headers["Next-Page-Token"]
    for query in ({"pageToken": token, "limit": 5}, {"pageToken": "made up"}, {"pageSize": 501}):
        answer = modern.get("schools", params=query)
        assert_refused(answer, 400, "bad-request:parameter-validation-failed", "5.0")


def test_programs_can_be_closed_to_the_key(standard: str) -> None:
    with serve(twin(DISTRICT, standard=standard, allow_programs=False)) as url, Client(url) as client:
        answer = client.post("programs", json=program())
        assert_refused(answer, 403, "security:authorization:access-denied:action", standard)
        assert client.post("interventions", json=intervention()).status_code == 201


def test_a_correlation_id_comes_back(modern: Client) -> None:
    answer = modern.get("starships", headers={"correlation-id": "run-7"})
    assert answer.json()["correlationId"] == "run-7"


def test_faults_speak_as_the_server_does(client: Client, standard: str) -> None:
    client.put(
        f"{client.twin}/_twin/faults",
        json=[
            {"kind": "status", "path": "/schools", "status": 429, "retry_after": 2},
            {"kind": "expire_tokens", "path": "/staffs"},
        ],
    )
    busy = client.get("schools")
    assert busy.headers["Retry-After"] == "2"
    assert_refused(busy, 429, "rate-limit", standard)
    assert client.get("schools").status_code == 200
    assert client.get("staffs").status_code == 401
    client.sign_in()
    assert client.get("staffs").status_code == 200
    logged = client.get(f"{client.twin}/_twin/log").json()
    assert [one["status"] for one in islice(logged, 2, 6)] == [429, 200, 401, 200]


def test_revoked_credentials_get_no_token(client: Client) -> None:
    client.put(f"{client.twin}/_twin/faults", json=[{"kind": "revoke", "path": "/schools"}])
    assert client.get("schools").status_code == 401
    assert client.token().status_code == 401
    client.delete(f"{client.twin}/_twin/faults")
    client.sign_in()
    assert client.get("schools").status_code == 200
