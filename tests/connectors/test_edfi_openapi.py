"""What an Ed-Fi server's OpenAPI documents offer, read out of every published one, and records held against them."""

import gc
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.edfi import openapi
from connectors.edfi.keys import _KEYS, natural_key
from connectors.edfi.openapi import Offered
from connectors.edfi.server import EdfiSettings, Server
from gateway.errors import ConfigError
from tests.openapi import CONTRACTS, document
from tests.serving import serve

contract = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published contracts are not beside the checkout")

STANDARDS = ("3.3", "4.0", "5.0", "6.0")
SWAGGER = ("Swagger-Resources-API-Docs.json", "Swagger-Descriptors-API-Docs.json")


@cache
def published(name: str) -> Offered:
    """A published document, as a server would serve it."""
    return openapi.read([json.dumps(document(f"edfi-openapi/{name}.yaml"), default=str).encode()])


def resources(standard: str) -> Offered:
    return published(f"resources-ds-{standard}")


@cache
def swagger(name: str) -> Offered:
    text = (CONTRACTS / "edfi-swagger2" / name).read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:  # the published file breaks off in its last member, the list of tags
        text = text[: text.rindex(b',"tags":[')] + b"}"
    return openapi.read([text])


# --- every published document -------------------------------------------------------------------------------


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_a_published_document_tells_resources_limits_and_filters(standard: str) -> None:
    offered = resources(standard)
    assert offered.has("students")
    assert offered.has("ed-fi/sections")
    assert offered.has("contacts") is (standard >= "5")
    assert offered.has("parents") is (standard < "5")
    assert offered.has("tpdm/candidates") is (standard < "6")  # then part of the core
    assert offered.writable == offered.resources
    assert {offered.limit(name) for name in offered.resources} == {500}
    assert {"offset", "limit", "totalCount", "schoolId"} <= offered.filters("sections")
    assert ("pageToken" in offered.filters("sections")) is (standard == "6.0")
    assert "studentSchoolAssociation.schoolId" not in offered.filters("sections")


# The keys of these differ between the document and the table of a later release, or are marked wrongly in it.
ODDITIES = {
    ("3.3", "ed-fi/gradebookEntries"),
    ("3.3", "ed-fi/studentGradebookEntries"),
    ("5.0", "ed-fi/studentSpecialEducationProgramEligibilityAssociations"),
    ("6.0", "ed-fi/certificationExamResults"),
}


@contract
@pytest.mark.parametrize(
    ("standard", "tables"), [("3.3", "4.0.0"), ("4.0", "4.0.0"), ("5.0", "5.2.0"), ("6.0", "6.1.0")]
)
def test_the_identity_is_the_primary_key_of_the_table(standard: str, tables: str) -> None:
    keys = json.loads((CONTRACTS / "edfi/derived/natural-keys-by-table.json").read_text())[tables]
    offered = resources(standard)
    compared = 0
    for resource in offered.resources:
        name = resource.partition("/")[2]
        table = name[0].upper() + (name[1:-3] + "y" if name.endswith("ies") else name[1:-1])
        if table in keys and (standard, resource) not in ODDITIES:
            compared += 1
            assert sorted(offered.identity(resource)) == sorted(keys[table]), resource
    assert compared > 100


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_our_own_table_of_keys_says_the_same(standard: str) -> None:
    offered = resources(standard)
    for name in filter(offered.has, _KEYS):
        assert tuple(sorted(offered.identity(name))) == natural_key(name, five=standard >= "5"), name


@contract
def test_a_key_field_is_found_behind_its_role() -> None:
    assert resources("5.0").identity("studentProgramAssociations") == {
        "beginDate": ("beginDate",),
        "educationOrganizationId": ("educationOrganizationReference", "educationOrganizationId"),
        "programEducationOrganizationId": ("programReference", "educationOrganizationId"),
        "programName": ("programReference", "programName"),
        "programTypeDescriptor": ("programReference", "programTypeDescriptor"),
        "studentUniqueId": ("studentReference", "studentUniqueId"),
    }
    grades = resources("4.0").identity("grades")
    assert grades["gradingPeriodSequence"] == ("gradingPeriodReference", "periodSequence")
    assert grades["schoolYear"] == ("studentSectionAssociationReference", "schoolYear")


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_descriptors_have_a_document_of_their_own(standard: str) -> None:
    offered = published(f"descriptor-api-{standard}")
    assert offered.has("gradeLevelDescriptors")
    code = {"codeValue": "Ninth grade", "namespace": "uri://example.org/GradeLevelDescriptor", "shortDescription": "9"}
    assert offered.problems("gradeLevelDescriptors", code) == []
    assert offered.problems("gradeLevelDescriptors", code | {"codeValue": "x" * 51}) == [
        "codeValue is longer than 50 characters"
    ]


@contract
def test_a_server_of_openapi_2_tells_the_same() -> None:
    offered = swagger(SWAGGER[0])
    assert offered.has("parents")
    assert offered.writable == offered.resources
    assert offered.limit("students") == 100
    assert offered.identity("sections")["schoolId"] == ("courseOfferingReference", "schoolId")
    assert tuple(sorted(offered.identity("studentProgramAssociations"))) == natural_key(
        "studentProgramAssociations", five=False
    )
    assert offered.problems("students", STUDENT) == []
    assert offered.problems("students", STUDENT | {"birthDate": "1.2.2012"}) == ["birthDate is not a date (yyyy-mm-dd)"]
    assert swagger(SWAGGER[1]).has("gradeLevelDescriptors")


@contract
@pytest.mark.parametrize("name", sorted(path.stem for path in (CONTRACTS / "edfi-openapi").glob("*.yaml")))
def test_no_published_document_is_unreadable(name: str) -> None:
    published(name)


# --- records ------------------------------------------------------------------------------------------------

STUDENT = {"studentUniqueId": "S-1", "firstName": "Ida", "lastSurname": "Muster", "birthDate": "2012-02-01"}


def program() -> dict[str, Any]:
    return {
        "beginDate": "2026-09-01",
        "educationOrganizationReference": {"educationOrganizationId": 255901},
        "programReference": {
            "educationOrganizationId": 255901,
            "programName": "Student Success Plan",
            "programTypeDescriptor": "uri://ed-fi.org/ProgramTypeDescriptor#Other",
        },
        "studentReference": {"studentUniqueId": "S-1"},
        "services": [{"serviceDescriptor": "uri://ed-fi.org/ServiceDescriptor#Counseling", "primaryIndicator": True}],
    }


def cases() -> Iterator[tuple[str, Any, str]]:
    yield "beginDate", None, "beginDate is missing"
    yield "beginDate", "2026-02-30", "beginDate is not a date (yyyy-mm-dd)"
    yield "beginDate", "20260901", "beginDate is not a date (yyyy-mm-dd)"
    yield "beginDate", 20260901, "beginDate is not a text"
    yield "BeginDate", "2026-09-01", "BeginDate must be spelt beginDate"
    yield "color", "blue", "color is not known to this server"
    yield "id", "a" * 32, "id is given by the server and must not be sent"
    yield (
        "studentReference",
        {"studentUniqueID": "S-1"},
        "studentReference.studentUniqueID must be spelt studentUniqueId",
    )
    yield "studentReference", {}, "studentReference.studentUniqueId is missing"
    yield "studentReference", "S-1", "studentReference is not an object"
    yield (
        "studentReference",
        {"studentUniqueId": " S-1"},
        "studentReference.studentUniqueId begins or ends with a space, which is refused in a key",
    )
    yield (
        "studentReference",
        {"studentUniqueId": "x" * 33},
        "studentReference.studentUniqueId is longer than 32 characters",
    )
    yield (
        "studentReference",
        {"studentUniqueId": "\N{GRINNING FACE}" * 17},
        "studentReference.studentUniqueId is longer than 32 characters",
    )
    yield (
        "educationOrganizationReference",
        {"educationOrganizationId": "255901"},
        "educationOrganizationReference.educationOrganizationId is not a whole number",
    )
    yield (
        "educationOrganizationReference",
        {"educationOrganizationId": True},
        "educationOrganizationReference.educationOrganizationId is not a whole number",
    )
    yield (
        "educationOrganizationReference",
        {"educationOrganizationId": 2**63},
        "educationOrganizationReference.educationOrganizationId is too large for int64",
    )
    yield "services", [{"primaryIndicator": True}], "services[0].serviceDescriptor is missing"
    yield "services", {}, "services is not a list"
    yield (
        "services",
        [{"serviceDescriptor": "Counseling"}],
        "services[0].serviceDescriptor is not a descriptor (namespace#code)",
    )
    yield (
        "services",
        [{"serviceDescriptor": "uri://x#y", "primaryIndicator": "yes"}],
        "services[0].primaryIndicator is not true or false",
    )


@contract
@pytest.mark.parametrize(("name", "value", "problem"), list(cases()))
def test_what_is_wrong_with_a_record_is_told_by_its_place(name: str, value: Any, problem: str) -> None:
    record = {**program(), name: value}
    if name == "BeginDate":
        del record["beginDate"]
    assert resources("5.0").problems("studentProgramAssociations", record) == [problem]


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_a_right_record_has_no_problem(standard: str) -> None:
    offered = resources(standard)
    assert offered.problems("studentProgramAssociations", program()) == []
    assert offered.problems("studentProgramAssociations", program() | {"endDate": None}) == []
    assert offered.problems("studentProgramAssociations", program() | {"id": "0" * 32}, replacing=True) == []
    assert offered.problems("plans", {}) == ["ed-fi/plans is not offered by this server"]


@contract
def test_no_value_is_repeated() -> None:
    secret = "Muster, Ida"
    record = dict.fromkeys(program(), secret) | {"lastSurname": secret, "services": [secret, {secret: secret}]}
    for problem in resources("5.0").problems("studentProgramAssociations", record):
        # The name of a property comes from us and from overrides, never out of a record.
        assert secret not in problem.replace(f"services[1].{secret} is not known", "")


# --- documents over a socket --------------------------------------------------------------------------------

STUDENTS = {
    "swagger": "2.0",
    "paths": {
        "/ed-fi/students": {
            "get": {"parameters": [{"$ref": "#/parameters/limit"}]},
            "post": {
                "parameters": [{"in": "body", "name": "student", "schema": {"$ref": "#/definitions/edFi_student"}}]
            },
        },
        "/ed-fi/students/{id}": {},
        "/ed-fi/students/deletes": {},
        "/ed-fi/schoolYearTypes": {"get": {}},
    },
    "parameters": {"limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 250}},
    "definitions": {"edFi_student": {"properties": {"id": {"type": "string"}, "studentUniqueId": {"type": "string"}}}},
}
DESCRIPTORS = {"openapi": "3.0.1", "paths": {"/ed-fi/termDescriptors": {"get": {}}}}


class Metadata:
    """A server of documents; `listed` is what its list says, `asked` how often each address was asked."""

    def __init__(self) -> None:
        self.listed: Any = [
            {"name": "Resources", "endpointUri": "/r.json", "prefix": ""},
            {"name": "Descriptors", "endpointUri": "/d.json", "prefix": ""},
            {"name": "Enrollment", "endpointUri": "/never", "prefix": "Composites"},
        ]
        self.asked: list[str] = []

    async def answer(self, request: Request) -> Response:
        assert "authorization" not in request.headers
        self.asked.append(request.url.path)
        match request.url.path:
            case "/metadata":
                return JSONResponse(self.listed)
            case "/r.json":
                return JSONResponse(STUDENTS)
            case "/d.json":
                return JSONResponse(DESCRIPTORS)
        return JSONResponse({"message": "no"}, 404)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Metadata]]:
    metadata = Metadata()
    with serve(Starlette(routes=[Route("/{path:path}", metadata.answer)])) as url:
        yield url, metadata


@pytest.fixture
def fresh(served: tuple[str, Metadata]) -> Iterator[tuple[Server, Metadata]]:
    url, metadata = served
    metadata.__init__()  # type: ignore[misc]
    openapi.forget()
    yield Server(f"{url}/data/v3", "", (7, 1), 5, "ODS/API 7.1", openapi_url=f"{url}/metadata"), metadata
    openapi.forget()


def settings(url: str, **more: Any) -> EdfiSettings:
    return EdfiSettings.model_validate(
        {"base_url": url, "key": "k", "secret": "s", "private_addresses": "127.0.0.0/8: test"} | more
    )


async def asked(server: Server, **more: Any) -> Offered | None:
    return await openapi.offered(server, settings(server.data_url, **more))


async def test_all_documents_of_resources_are_read_once_a_day(fresh: tuple[Server, Metadata]) -> None:
    server, metadata = fresh
    first = await asked(server)
    assert first is not None
    assert first.resources == {"ed-fi/students", "ed-fi/schoolYearTypes", "ed-fi/termDescriptors"}
    assert first.writable == {"ed-fi/students"}
    assert (first.limit("students"), first.limit("termDescriptors")) == (250, None)
    assert first.identity("students") == {"studentUniqueId": ("studentUniqueId",)}
    assert first.problems("schoolYearTypes", {}) == ["ed-fi/schoolYearTypes cannot be written on this server"]
    assert await asked(server) is first
    assert metadata.asked == ["/metadata", "/r.json", "/d.json"]


async def test_what_many_servers_said_is_kept_small(fresh: tuple[Server, Metadata]) -> None:
    """A worker that serves a state has the documents of dozens of servers: read they are several megabytes each."""
    server, metadata = fresh
    before = offers()
    for n in range(5):
        assert await asked(server, key=f"of district {n}") is not None
    assert offers() == before, "none stays read that nobody works with"
    times = len(metadata.asked)
    again = await asked(server, key="of district 0")
    assert again is not None and again.limit("students") == 250 and again.writable == {"ed-fi/students"}
    assert len(metadata.asked) == times, "and nobody is asked again"


def offers() -> int:
    gc.collect()
    return sum(isinstance(one, Offered) for one in gc.get_objects())


async def test_another_version_or_another_key_asks_again(fresh: tuple[Server, Metadata]) -> None:
    server, metadata = fresh
    await asked(server)
    await asked(server, key="of another district")
    await asked(Server(**{**vars(server), "title": "ODS/API 7.2"}))
    assert metadata.asked.count("/metadata") == 3


@pytest.mark.parametrize(
    "listed",
    [
        {"name": "Resources"},
        [],
        [{"name": "Resources", "endpointUri": "/missing", "prefix": ""}],
        [{"name": "Resources", "endpointUri": "/metadata", "prefix": ""}],
        [{"name": "Resources", "endpointUri": "https://elsewhere.example.org/r.json", "prefix": ""}],
        [{"name": "Enrollment", "endpointUri": "/r.json", "prefix": "Composites"}],
    ],
)
async def test_what_cannot_be_read_is_done_without_and_said_when_asked(
    fresh: tuple[Server, Metadata], listed: Any
) -> None:
    server, metadata = fresh
    metadata.listed = listed
    assert await asked(server) is None
    with pytest.raises(ConfigError) as refused:
        await openapi.load(server, settings(server.data_url))
    assert refused.value.code == ("left-origin" if "elsewhere" in str(listed) else "edfi-openapi")


async def test_a_server_without_metadata_is_not_asked(fresh: tuple[Server, Metadata]) -> None:
    server, metadata = fresh
    assert await asked(Server(**{**vars(server), "openapi_url": ""})) is None
    assert metadata.asked == []
