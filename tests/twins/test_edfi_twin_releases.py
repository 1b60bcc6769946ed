"""The Ed-Fi twin plays each release: where it has its paths, what it tells of itself, how it says no."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from connectors.edfi.twin import twin
from connectors.edfi.twin.release import Release
from synthetic import build
from tests import openapi
from tests.openapi import CONTRACTS
from tests.serving import serve
from tests.twins.edfi import Client, read

with_contracts = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

DISTRICT = build(schools=1, students=6)
RELEASES = [
    ("3.3", "5.3"),
    ("3.3", "5.4"),
    ("4.0", "6.0"),
    ("4.0", "6.1"),
    ("4.0", "6.2"),
    ("4.0", "7.0"),
    ("5.0", "7.1"),
    ("5.0", "7.2"),
    ("5.0", "7.3"),
    ("6.0", "7.3"),
    ("5.0", "8.0"),
    ("6.0", "8.0"),
]


@contextmanager
def played(standard: str = "5.0", version: str = "", below: str = "", **how: Any) -> Iterator[Client]:
    with serve(twin(DISTRICT, standard=standard, version=version, **how)) as url, Client(url, below) as client:
        yield client


@pytest.fixture(scope="module")
def clients() -> Iterator[Mapping[tuple[str, str], Client]]:
    """One twin of each release, for tests that write nothing."""
    with _each(RELEASES) as found:
        yield found


@contextmanager
def _each(releases: list[tuple[str, str]]) -> Iterator[dict[tuple[str, str], Client]]:
    if not releases:
        yield {}
        return
    with played(*releases[0]) as client, _each(releases[1:]) as others:
        yield {releases[0]: client, **others}


def test_each_standard_has_a_usual_release_and_no_release_a_standard_it_never_served() -> None:
    assert [Release(standard).version for standard in ("3.3", "4.0", "5.0", "6.0")] == ["5.4", "6.2", "7.3", "8.0"]
    for standard, version in (("3.3", "6.2"), ("4.0", "8.0"), ("5.0", "6.2"), ("6.0", "7.2")):
        with pytest.raises(ValueError, match="never served"):
            Release(standard, version)
    with pytest.raises(ValueError, match="no paths by edfi_tenant"):
        Release("4.0", "6.2", route="edfi_tenant")


# Discovery


@cache
def discovery(number: str) -> Any:
    return openapi.document(f"edfi/discovery/discovery-api-{number}.yaml")["components"]["schemas"]


@with_contracts
@pytest.mark.parametrize("release", RELEASES, ids="-".join)
def test_what_it_tells_of_itself_is_as_the_discovery_contract_says(
    clients: Mapping[tuple[str, str], Client], release: tuple[str, str]
) -> None:
    client = clients[release]
    eight = release[1] == "8.0"
    known = discovery("2.0" if eight else "1.0")
    told = read(client.twin).json()
    root = known["discoveryRoot" if eight else "metadataRoot"]
    Draft202012Validator(root).validate(told)
    # tokenInfo is in no contract; the Ed-Fi API has it all the same.
    assert set(told) <= set(root["properties"]) | {"informationalVersion"}
    assert set(told["urls"]) <= set(root["properties"]["urls"]["properties"]) | {"tokenInfo"}
    for url, one in (("openApiMetadata", "apiSpecLink"), ("dependencies", "dependency")):
        for each in read(told["urls"][url]).json():
            Draft202012Validator(known[one]).validate(each)


@with_contracts
def test_the_year_specific_6_1_says_what_a_real_one_said() -> None:
    real = json.loads((CONTRACTS / "edfi/dependencies/v6.1-Version.json").read_text(encoding="utf-8"))
    base = "https://localhost/v6.1/WebApi"
    with played("4.0", "6.1") as client:
        told = read(client.twin).json()
    assert {name: told[name] for name in ("version", "suite", "apiMode")} == {
        name: real[name] for name in ("version", "suite", "apiMode")
    }
    year = str(DISTRICT.school_year)
    for name, url in told["urls"].items():
        assert url.removeprefix(client.twin) == real["urls"][name].removeprefix(base).replace("2025", year), name


@pytest.mark.parametrize(
    ("standard", "version", "route", "below", "data", "token"),
    [
        ("3.3", "5.4", "", "", "/data/v3", "/oauth/token"),
        ("3.3", "5.4", "instance/year", "", "/data/v3/west/2027", "/west/oauth/token"),
        ("4.0", "6.2", "year", "", "/data/v3/2027", "/oauth/token"),
        ("5.0", "7.1", "year", "/2027", "/2027/data/v3", "/oauth/token"),
        ("5.0", "7.3", "edfi_tenant", "/mapleridge", "/mapleridge/data/v3/", "/mapleridge/oauth/token"),
        (
            "5.0",
            "7.3",
            "edfi_tenant/year",
            "/mapleridge/2027",
            "/mapleridge/2027/data/v3/",
            "/mapleridge/oauth/token",
        ),
        ("6.0", "8.0", "", "/api", "/api/data", "/api/oauth/token"),
        (
            "6.0",
            "8.0",
            "edfi_tenant/year",
            "/api/mapleridge/2027",
            "/api/mapleridge/2027/data",
            "/api/mapleridge/2027/oauth/token",
        ),
    ],
)
def test_the_paths_say_which_data_is_meant(
    standard: str, version: str, route: str, below: str, data: str, token: str
) -> None:
    with played(standard, version, below, route=route) as client:
        assert client.urls["dataManagementApi"] == client.twin + data
        assert client.urls["oauth"] == client.twin + token
        assert len(client.get("students").json()) == 6
        assert all(url.startswith(client.twin) for url in client.urls.values())
        changes = client.get(f"{client.urls['changeQueries'].rstrip('/')}/availableChangeVersions")
        assert changes.status_code == 200
        for one in read(client.urls["openApiMetadata"]).json():
            assert read(one["endpointUri"]).status_code == 200


def test_a_server_that_is_not_told_which_data_leaves_the_place_open() -> None:
    with played("5.0", "7.3", "/mapleridge/2027", route="edfi_tenant/year") as client:
        told = read(client.twin).json()["urls"]["dataManagementApi"]
    assert told == f"{client.twin}/{{tenantIdentifier}}/{{schoolYearFromRoute}}/data/v3/"


def test_people_stand_twice_among_the_dependencies_from_6_1_on(clients: Mapping[tuple[str, str], Client]) -> None:
    for release, client in clients.items():
        listed = read(client.urls["dependencies"]).json()
        people = [one["operations"] for one in listed if one["resource"] == "/ed-fi/students"]
        twice = release[1] >= "6.1"
        assert people == ([["Create"], ["Update"]] if twice else [["Create", "Update"]]), release
        for area in openapi_of(client):
            served = {
                path.rpartition("/")[2] for path in read(area["endpointUri"]).json()["paths"] if path.count("/") == 2
            }
            assert served <= {one["resource"].removeprefix("/ed-fi/") for one in listed}, release


# OpenAPI


def test_the_served_document_tells_keys_lengths_and_the_longest_page(
    clients: Mapping[tuple[str, str], Client],
) -> None:
    for release, client in clients.items():
        [url] = [one["endpointUri"] for one in openapi_of(client) if one["name"] == "Resources"]
        document = read(url).json()
        new = release[1] >= "7.1"
        assert ("openapi" in document, "swagger" in document) == (new, not new), release
        schemas = document["components"]["schemas"] if new else document["definitions"]
        limit = document["components"]["parameters"]["limit"]["schema"] if new else document["parameters"]["limit"]
        assert (limit["minimum"], limit["maximum"]) == (0 if new else 1, 500), release
        program = schemas["edFi_program"]
        assert program["properties"]["programName"] == {
            "type": "string",
            "minLength": 1,
            "maxLength": 60,
            "x-Ed-Fi-isIdentity": True,
        }
        assert set(program["required"]) == {
            "educationOrganizationReference",
            "programName",
            "programTypeDescriptor",
        }
        flagged = {
            one["name"]
            for one in document["paths"]["/ed-fi/programs"]["get"]["parameters"]
            if one.get("x-Ed-Fi-isIdentity")
        }
        assert flagged == {"educationOrganizationId", "programName", "programTypeDescriptor"}
        assert ("/ed-fi/contacts" in document["paths"]) == (release[0] >= "5")
        assert ("/ed-fi/students/partitions" in document["paths"]) == (release[1] == "7.3")
        assert ("/ed-fi/students/keyChanges" in document["paths"]) == (release[1] != "5.3")


def openapi_of(client: Client) -> Any:
    return read(client.urls["openApiMetadata"]).json()


@pytest.mark.parametrize("release", [("3.3", "5.4"), ("5.0", "7.3"), ("6.0", "8.0")], ids="-".join)
def test_rows_are_what_the_served_document_describes(
    clients: Mapping[tuple[str, str], Client], release: tuple[str, str]
) -> None:
    client = clients[release]
    for area in openapi_of(client):
        document = json.loads(read(area["endpointUri"]).text.replace("#/definitions/", "#/components/schemas/"))
        schemas = document.get("definitions") or document["components"]["schemas"]
        found = {"components": {"schemas": schemas}}
        for path in (one for one in document["paths"] if one.count("/") == 2):
            name = path.rpartition("/")[2]
            answer = document["paths"][path]["get"]["responses"]["200"]
            schema = answer.get("schema") or answer["content"]["application/json"]["schema"]
            judge = openapi.validator(found, schema)
            rows = client.get(name).json()
            assert [error.message for error in judge.iter_errors(rows)] == [], name
            for row in rows:
                component = schemas[schema["items"]["$ref"].rpartition("/")[2]]
                assert set(row) <= set(component["properties"]), name


@with_contracts
@pytest.mark.parametrize("standard", ["3.3", "4.0", "5.0", "6.0"])
def test_what_the_served_document_says_of_writing_is_in_the_standard(standard: str) -> None:
    official = openapi.document(f"edfi-openapi/resources-ds-{standard}.yaml")
    with played(standard, "7.1" if standard == "5.0" else "") as client:
        document = read(openapi_of(client)[0]["endpointUri"]).json()
    schemas = document.get("definitions") or document["components"]["schemas"]
    for name in ("program", "studentProgramAssociation", "intervention", "studentInterventionAssociation"):
        ours, theirs = schemas[f"edFi_{name}"], official["components"]["schemas"][f"edFi_{name}"]
        assert set(ours["required"]) == set(theirs["required"]), name
        keys = {one for one, said in ours["properties"].items() if said.get("x-Ed-Fi-isIdentity")}
        assert keys == {one for one, said in theirs["properties"].items() if said.get("x-Ed-Fi-isIdentity")}, name
        for one, said in ours["properties"].items():
            if one in theirs["properties"] and "maxLength" in said:
                assert said["maxLength"] == theirs["properties"][one]["maxLength"], one


# Tokens, rows, changes


def test_what_came_with_each_release(clients: Mapping[tuple[str, str], Client]) -> None:
    for (standard, version), client in clients.items():
        answer = client.get("students", params={"limit": 1})
        [row] = answer.json()
        eight = version == "8.0"
        assert ("_lastModifiedDate" in row) == (version >= "7.0"), version
        assert ("Next-Page-Token" in answer.headers) == (version == "7.3"), version
        assert ("-" in row["id"], len(row["id"])) == ((True, 36) if eight else (False, 32))
        assert client.get(f"students/{row['id']}").json() == row
        zero = client.get("students", params={"limit": 0})
        assert zero.status_code == (200 if version >= "7.1" else 400), version
        versions = client.get(f"{client.urls['changeQueries'].rstrip('/')}/availableChangeVersions").json()
        assert ("OldestChangeVersion" in versions) == (version < "6.0"), version
        assert client.get("students/keyChanges").status_code == (404 if version == "5.3" else 200)
        assert ("." in client.headers["Authorization"]) == eight
        people = client.get("contacts" if standard >= "5" else "parents")
        assert people.status_code == 200


def test_the_links_of_the_ed_fi_api_have_dashes_too(clients: Mapping[tuple[str, str], Client]) -> None:
    client = clients["6.0", "8.0"]
    [row] = client.get("studentSchoolAssociations", params={"limit": 1}).json()
    student = client.get(row["studentReference"]["link"]["href"].removeprefix("/ed-fi/")).json()
    assert row["studentReference"]["link"]["href"].endswith(student["id"]) and "-" in student["id"]


@pytest.mark.parametrize(
    ("standard", "version", "other", "dashes"),
    [
        ("3.3", "5.3", False, False),
        ("5.0", "7.3", False, False),
        ("5.0", "7.3", True, True),
        ("6.0", "8.0", True, False),
    ],
)
def test_tombstones_have_what_the_release_gives_them(standard: str, version: str, other: bool, dashes: bool) -> None:
    with played(standard, version, dashed_tombstones=other) as client:
        before = {row["id"].replace("-", "") for row in client.get("students").json()}
        client.change(without_students=0.4)
        gone = client.get("students/deletes").json()
    assert gone and {one["id"].replace("-", "") for one in gone} <= before
    assert {"-" in one["id"] for one in gone} == {dashes}
    assert all(("keyValues" in one) == (version != "5.3") for one in gone)


def test_the_ed_fi_api_reads_credentials_in_the_header_but_at_its_own_address(
    clients: Mapping[tuple[str, str], Client],
) -> None:
    client = clients["6.0", "8.0"]
    form = {"grant_type": "client_credentials", "client_id": "demo-key", "client_secret": "demo-secret"}
    assert client.token(auth=None, data=form).status_code == 401
    there = httpx.post(f"{client.twin}/connect/token", data=form)
    assert (there.status_code, there.json()["token_type"]) == (200, "Bearer")
    assert client.token(auth=("demo-key", "demo-secret")).status_code == 200


@with_contracts
def test_token_info_is_as_its_contract_says(clients: Mapping[tuple[str, str], Client]) -> None:
    schemas = openapi.document("edfi-openapi/oauth-token-introspection-api-1.0.yaml")["components"]["schemas"]
    for release, client in clients.items():
        address = client.urls.get("tokenInfo", f"{client.urls['oauth']}_info")
        token = client.headers["Authorization"].removeprefix("Bearer ")
        told = client.post(address, data={"token": token})
        assert told.status_code == 200, release
        Draft202012Validator(schemas["tokenIntrospectionResponse"]).validate(told.json())
        assert set(told.json()) <= set(schemas["tokenIntrospectionResponse"]["properties"])


def test_sixteen_tokens_are_too_many_from_7_2_on() -> None:
    for standard, version, status in (("4.0", "7.1", 200), ("4.0", "7.2", 429)):
        with played(standard, version) as client:
            assert [client.token().status_code for _ in range(15)][-1] == status


# Refusals


def test_each_release_says_no_in_its_own_form(clients: Mapping[tuple[str, str], Client]) -> None:
    for (_, version), client in clients.items():
        where = {"correlation-id": "run-7"}
        plain = client.get("students/" + "0" * 32, headers=where)
        judged = client.post("programs", json={}, headers=where)
        assert (plain.status_code, judged.status_code) == (404, 400)
        if version < "7.2":
            named = {"correlationId": "run-7"} if version >= "7.0" else {}
            assert plain.json() == {"message": "The specified item could not be found."} | named, version
            assert judged.json().keys() == {"message", "modelState"} | named.keys(), version
        else:
            assert plain.json()["type"] == "urn:ed-fi:api:not-found"
            assert plain.json()["correlationId"] == judged.json()["correlationId"] == "run-7"
            assert "$.programName" in judged.json()["validationErrors"]


@pytest.mark.parametrize(("standard", "version"), [("5.0", "7.3"), ("6.0", "8.0")])
def test_only_the_ed_fi_api_names_every_reference_that_leads_nowhere(
    clients: Mapping[tuple[str, str], Client], standard: str, version: str
) -> None:
    body = {
        "interventionReference": {
            "educationOrganizationId": DISTRICT.number,
            "interventionIdentificationCode": "none such",
        },
        "studentReference": {"studentUniqueId": "nobody"},
    }
    answer = clients[standard, version].post("studentInterventionAssociations", json=body)
    said = answer.json()
    assert (answer.status_code, said["type"]) == (409, "urn:ed-fi:api:data-conflict:unresolved-reference")
    if version == "8.0":
        assert set(said["validationErrors"]) == {"$.interventionReference", "$.studentReference"}
        assert said["errors"] == []
    else:
        assert said["detail"] == "The referenced 'Student' item does not exist."
        assert "validationErrors" not in said


@pytest.mark.parametrize(
    ("standard", "version", "gone"), [("4.0", "6.2", 410), ("4.0", "7.0", 404), ("5.0", "7.3", 404)]
)
def test_a_snapshot_stays_as_it_was_made(standard: str, version: str, gone: int) -> None:
    """By its name up to 6.2, from 7.0 on by a header that has none; read only."""
    with played(standard, version, snapshots=True) as client:
        before = client.all("students")
        versions = f"{client.urls['changeQueries'].rstrip('/')}/availableChangeVersions"
        listed = client.get(f"{client.urls['changeQueries'].rstrip('/')}/snapshots")
        assert listed.status_code == (200 if gone == 410 else 404)
        named = {"Snapshot-Identifier": listed.json()[0]["snapshotIdentifier"]} if gone == 410 else {}
        header = named or {"Use-Snapshot": "true"}
        as_made = client.get(versions).json()
        client.change(without_students=0.5)
        assert len(client.all("students")) < len(before)
        frozen = client.get("students", headers=header).json()
        assert [row["id"] for row in frozen] == [row["id"] for row in before]
        if not named:
            live = client.get("students", headers={"Use-Snapshot": "false"}).json()
            assert len(live) < len(before), "only true asks for it"
        assert client.get("students/deletes", headers=header).json() == [] != client.get("students/deletes").json()
        assert client.get(versions, headers=header).json() == as_made != client.get(versions).json()
        assert client.post("programs", json={}, headers=header).status_code == 405
        assert client.post(f"{client.twin}/_host/snapshot").status_code == 204
        again = client.get("students", headers=header)
        assert again.status_code == (410 if named else 200)
        assert named or len(again.json()) < len(before)
        if named:
            [older], [newer] = listed.json(), client.get(str(listed.url)).json()
            assert newer["snapshotDateTime"] > older["snapshotDateTime"], "one takes the place of the one before it"
    with played(standard, version) as client:
        assert client.get("students", headers=header).status_code == gone
        none = client.get(f"{client.urls['changeQueries'].rstrip('/')}/snapshots")
        assert none.json() == [] if gone == 410 else none.status_code == 404


def test_the_ed_fi_api_has_no_snapshots() -> None:
    with played("5.0", "8.0", "/api", snapshots=True) as client:
        assert client.get("students", headers={"Use-Snapshot": "true"}).status_code == 200
