"""The Ed-Fi twin keeps the published contract in both standards and plays the facts of the invented district."""

import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.edfi.twin import app, twin
from connectors.edfi.twin.collection import Changes, Collection, Source
from connectors.edfi.twin.filters import filters
from connectors.edfi.twin.keys import natural_key
from tests import openapi
from tests.openapi import CONTRACTS
from tests.serving import serve
from tests.twins.edfi import DISTRICT, WRITABLE, Client, assert_refused, read, write_plan

with_contracts = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

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
def test_filters_are_query_parameters_of_the_standard(standard: str) -> None:
    paths = contract(f"resources-ds-{standard}")["paths"]
    for resource in [*ROSTER, *PEOPLE[standard], *WRITABLE]:
        known = {one.get("name") for one in paths[f"/ed-fi/{resource}"]["get"]["parameters"]}
        assert set(filters(resource)) <= known, resource


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
    told = read(client.twin).json()
    assert told["dataModels"][0]["version"] == f"{standard}.0"
    assert (told["version"], told.get("apiMode")) == {"4.0": ("6.2", "Year Specific"), "5.0": ("7.3", None)}[standard]
    assert all(url.startswith(f"{client.twin}/") for url in told["urls"].values())
    assert ("/2027" in told["urls"]["dataManagementApi"]) == (standard == "4.0")


def test_people_stand_twice_among_the_dependencies(client: Client, standard: str) -> None:
    listed = read(client.urls["dependencies"]).json()
    for name in ("students", "staffs", PEOPLE[standard][0]):
        entries = [one for one in listed if one["resource"] == f"/ed-fi/{name}"]
        assert [one["operations"] for one in entries] == [["Create"], ["Update"]]
    assert [one["order"] for one in listed] == sorted(one["order"] for one in listed)


def test_the_openapi_list_leads_to_the_longest_page(client: Client, standard: str) -> None:
    listed = read(client.urls["openApiMetadata"]).json()
    assert [one["name"] for one in listed] == ["Resources", "Descriptors"]
    document = read(listed[0]["endpointUri"]).json()
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


# Refusals


def test_a_page_token_is_used_alone_and_as_given(modern: Client) -> None:
    token = modern.get("schools").headers["Next-Page-Token"]
    for query in ({"pageToken": token, "limit": 5}, {"pageToken": "made up"}, {"pageSize": 501}):
        answer = modern.get("schools", params=query)
        assert_refused(answer, 400, "bad-request:parameter-validation-failed", "5.0")


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
