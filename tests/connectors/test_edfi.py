"""The Ed-Fi connector against servers that answer as odd as real ones do, and against the published contract."""

import asyncio
import csv
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connectors.edfi import CONNECTOR, models, models_roster
from connectors.edfi.client import EdfiSource
from connectors.edfi.resources import resources
from connectors.edfi.server import EdfiSettings, Server, auth, discover
from connectors.edfi.sink import WRITTEN, EdfiSink
from connectors.edfi.twin import twin
from gateway.connector import START, Document, Page, Resource
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http import Http, MemoryTokens
from gateway.mapping import Alias, Claim
from gateway.schema import KINDS
from mappings.edfi import MAPPING
from synthetic import build
from tests.openapi import CONTRACTS, document, validator
from tests.openapi import resolved as referred
from tests.serving import serve

FOLDER = Path(__file__).parents[2] / "connectors" / "edfi"
CASES = Path(__file__).parents[2] / "mappings" / "edfi" / "cases"
contract = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published contracts are not beside the checkout")

# --- a server that answers as a test tells it ---------------------------------------------------------------


@dataclass
class Edge:
    """Discovery, tokens, and one answer for everything else; `asked` is every request for data. `standard` is told
    instead of the sample's; `newest` is its change version, if it tells one."""

    answer: Callable[[Request], Response] = lambda request: JSONResponse([])
    sample: str = "discovery-7.1.json"
    token_info: Response | None = None
    standard: str = ""
    newest: int | None = None
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        request.state.body = body
        await self._response(request)(scope, receive, send)

    def _response(self, request: Request) -> Response:
        path = request.url.path
        if path.endswith("/oauth/token"):
            return JSONResponse({"access_token": "t-1", "expires_in": 1800, "token_type": "bearer"})
        if path.endswith("/oauth/token_info"):
            return self.token_info or PlainTextResponse("", 404)
        if path.endswith("/availableChangeVersions"):
            told = {"oldestChangeVersion": 0, "newestChangeVersion": self.newest}
            return JSONResponse(told) if self.newest is not None else PlainTextResponse("", 404)
        if path.endswith("/snapshots"):
            return PlainTextResponse("", 404)
        if "/ed-fi/" in path:
            self.asked.append(request)
            return self.answer(request)
        assert "authorization" not in request.headers
        found = discovery(self.sample, str(request.base_url).rstrip("/"))
        named = {"dataModels": [{"name": "Ed-Fi", "version": self.standard}]} if self.standard else {}
        return JSONResponse(found | named)

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(request.url.query)) for request in self.asked]


def discovery(sample: str, base: str) -> Any:
    return json.loads((FOLDER / "samples" / sample).read_text().replace("https://edfi.example.org", base))


def settings(base_url: str, **more: Any) -> EdfiSettings:
    return EdfiSettings(base_url=base_url, key="a-key", secret="a-secret", allow_private=True, **more)


@asynccontextmanager
async def connected(edge: Edge, path: str = "", **more: Any) -> AsyncIterator[tuple[EdfiSettings, Http]]:
    with serve(edge) as url:
        wanted = settings(url + path, **more)
        async with Http(auth(wanted), tokens=MemoryTokens(), allow_private=True, attempts=1) as http:
            yield wanted, http


@asynccontextmanager
async def source(edge: Edge, path: str = "", **more: Any) -> AsyncIterator[EdfiSource]:
    async with connected(edge, path, **more) as (wanted, http):
        assert CONNECTOR.open_source is not None
        opened = await CONNECTOR.open_source(wanted, http)
        assert isinstance(opened, EdfiSource)
        yield opened


@asynccontextmanager
async def sink(edge: Edge) -> AsyncIterator[EdfiSink]:
    async with connected(edge, education_organization_id=990100) as (wanted, http):
        assert CONNECTOR.open_sink is not None
        opened = await CONNECTOR.open_sink(wanted, http)
        assert isinstance(opened, EdfiSink)
        yield opened


def named(opened: EdfiSource, name: str) -> Resource:
    return next(resource for resource in opened.resources if resource.name == name)


async def pulled(opened: EdfiSource, name: str) -> tuple[list[Any], list[Page]]:
    rows, pages = await raw_rows(opened, named(opened, name))
    return [msgspec.json.decode(row) for row in rows], pages


async def raw_rows(opened: EdfiSource, resource: Resource) -> tuple[list[Any], list[Page]]:
    """Every row of a collection, each cursor followed side by side with those known at the same time."""
    pages, cursors = [], [START]
    while cursors:
        round_ = await asyncio.gather(*(opened.pull(resource, cursor) for cursor in cursors))
        pages += round_
        cursors = [cursor for page in round_ for cursor in page.next]
    return [row for page in pages for row in page.rows], pages


@dataclass
class Collection:
    """Rows served by offset, as ODS/API before 7.3 does. `clamp` cuts a larger limit, `largest` refuses it; `total` is
    a wrong one; at `twice_at` the first page comes too, once."""

    rows: Sequence[Any]
    clamp: int = 500
    largest: int = 500
    counts: bool = True
    refusal: Any = None
    short_at: int | None = None
    total: int | None = None
    twice_at: int | None = None

    def __call__(self, request: Request) -> Response:
        query = request.query_params
        limit, offset = int(query.get("limit", 25)), int(query.get("offset", 0))
        if not 0 <= limit <= self.largest:
            return JSONResponse(self.refusal, 400)
        count = min(limit, self.clamp)
        if offset == self.short_at:
            self.short_at, count = None, count - 3
        counted = self.counts and query.get("totalCount") == "true"
        headers = {"Total-Count": str(len(self.rows) if self.total is None else self.total)} if counted else {}
        rows = self.rows[offset : offset + count]
        if offset == self.twice_at:
            rows, self.twice_at = [*rows, *self.rows[:count]], None
        return JSONResponse(rows, headers=headers)


def students(count: int) -> list[dict[str, Any]]:
    return [{"studentUniqueId": f"{number:06}"} for number in range(count)]


# --- discovery ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "path", "data", "version", "standard", "by_token"),
    [
        ("discovery-6.1-year.json", "", "/data/v3/2027", (6, 1), 4, False),
        ("discovery-7.1.json", "", "/data/v3", (7, 1), 5, False),
        ("discovery-7.3-tenant.json", "/larkspur/2027", "/larkspur/2027/data/v3", (7, 3, 1), 5, True),
        ("discovery-8.json", "/api/", "/api/data", (8, 0), 5, False),
    ],
)
async def test_every_server_generation_is_found(
    sample: str, path: str, data: str, version: tuple[int, ...], standard: int, by_token: bool
) -> None:
    with serve(Edge(sample=sample)) as url:
        server = await discover(settings(url + path))
    assert server.data_url == url + data
    assert (server.version, server.standard, server.pages_by_token) == (version, standard, by_token)
    assert server.token_info_url == url + path.rstrip("/") + "/oauth/token_info"
    assert server.counting_limit == (1 if version == (6, 1) else 0)


async def refused(change: Callable[[Any, str], Any], **more: Any) -> ConfigError:
    """The error that a changed discovery document leads to."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        base = str(Request(scope).base_url).rstrip("/")
        found = change(discovery("discovery-7.1.json", base), base)
        answer = found if isinstance(found, Response) else JSONResponse(found)
        await answer(scope, receive, send)

    with serve(app) as url, pytest.raises(ConfigError) as caught:
        await discover(settings(url, **more))
    return caught.value


async def test_an_unknown_data_standard_is_refused() -> None:
    for unknown in ("2.1.0", "7.0.0-pre"):
        named = {"dataModels": [{"name": "Ed-Fi", "version": unknown}]}
        error = await refused(lambda found, base, named=named: found | named)  # type: ignore[misc]
        assert (error.code, unknown in error.message) == ("edfi-standard", True)
    error = await refused(lambda found, base: {**found, "dataModels": [{"name": "TPDM", "version": "1.1"}]})
    assert error.code == "edfi-standard"


async def test_data_on_another_host_or_scheme_is_refused() -> None:
    def with_data(url: str) -> Callable[[Any, str], Any]:
        return lambda found, base: {
            **found,
            "urls": {**found["urls"], "dataManagementApi": url.replace("BASE", base.removeprefix("http://"))},
        }

    for url in ("https://elsewhere.example.org/data/v3", "https://BASE/data/v3"):
        assert (await refused(with_data(url))).code == "left-origin"


async def test_credentials_go_nowhere_but_where_the_settings_say() -> None:
    def elsewhere(found: Any, base: str) -> Any:
        return {**found, "urls": {**found["urls"], "oauth": "https://login.example.org/connect/token"}}

    error = await refused(elsewhere)
    assert error.code == "edfi-token-url"
    assert "https://login.example.org/connect/token" in error.message and "token address" in error.fix

    def downgraded(found: Any, base: str) -> Any:
        return {**found, "urls": {**found["urls"], "oauth": base.replace("http:", "ftp:") + "/oauth/token"}}

    assert (await refused(downgraded)).code == "edfi-token-url"


async def test_a_token_address_that_was_entered_is_taken() -> None:
    with serve(Edge()) as url:
        wanted = settings(url, token_url="https://login.example.org/connect/token")
        server = await discover(wanted)
    assert auth(wanted).token_url == "https://login.example.org/connect/token"
    assert server.token_info_url == ""  # the token is shown to nobody else


async def test_what_is_no_discovery_document_is_named_so() -> None:
    assert (await refused(lambda found, base: {"hello": "world"})).code == "edfi-no-discovery"
    assert (await refused(lambda found, base: JSONResponse({}, 404))).code == "edfi-no-discovery"
    page = Response("<html>Sign in</html>", media_type="text/html")
    assert (await refused(lambda found, base: page)).code == "http-html-instead-of-json"


def test_settings_refuse_what_is_no_address_and_hide_the_secret() -> None:
    wanted = settings("https://edfi.example.org/api", scope="990100")
    assert auth(wanted).scope == "990100"
    assert "a-secret" not in repr(wanted) + repr(auth(wanted))
    for wrong in ("edfi.example.org", "https://", "https://edfi.example.org/?x=1"):
        with pytest.raises(ValueError, match="base_url"):
            settings(wrong)


# --- pages by offset ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1230])
@pytest.mark.parametrize("counts", [True, False])
async def test_every_row_comes_once_whatever_the_size(count: int, counts: bool) -> None:
    rows = students(count)
    edge = Edge(Collection(rows, counts=counts))
    async with source(edge) as opened:
        got, pages = await pulled(opened, "students")
    assert sorted(row["studentUniqueId"] for row in got) == [row["studentUniqueId"] for row in rows]
    assert pages[0].total == (count if counts else None)
    if counts:
        # A full last page is asked for a next one: rows may have come since they were counted.
        assert len(pages) == (1 if count <= 500 else count // 500 + 1)


async def test_pages_after_the_first_are_known_at_once() -> None:
    async with source(Edge(Collection(students(1230)))) as opened:
        first = await opened.pull(named(opened, "students"), START)
    assert first.next == ("offset:500:500", "tail:1000:500")


async def test_a_server_that_gives_less_than_asked_is_followed() -> None:
    edge = Edge(Collection(students(1230), clamp=100))
    async with source(edge) as opened:
        got, pages = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == len(got) == 1230
    assert len(pages) == 13


UNNAMED = {"message": "Limit must be omitted or set to a value between 1 and max value defined."}


@pytest.mark.parametrize(
    ("largest", "refusal", "limits"),
    [
        (
            120,
            {
                "detail": "The limit parameter was incorrect.",
                "type": "urn:ed-fi:api:bad-request:parameter-validation-failed",
                "status": 400,
                "errors": ["Limit must be omitted or set to a value between 0 and 120."],
            },
            ["500", "120"],
        ),
        (120, UNNAMED, ["500", "100"]),
        (60, UNNAMED, ["500", "100", "20"]),
    ],
)
async def test_a_refused_limit_is_lowered_once(largest: int, refusal: Any, limits: list[str]) -> None:
    edge = Edge(Collection(students(1230), largest=largest, refusal=refusal))
    async with source(edge) as opened:
        got, _ = await pulled(opened, "students")
        await pulled(opened, "schools")
    assert len(got) == 1230
    asked = [query["limit"] for query in edge.queries]
    assert asked[: len(limits)] == limits and set(asked[len(limits) :]) == {limits[-1]}


async def test_rows_missing_in_a_middle_page_are_asked_for_again() -> None:
    edge = Edge(Collection(students(1600), short_at=500))
    async with source(edge) as opened:
        got, pages = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == len(got) == 1600
    assert ("offset:997:3",) in [page.next for page in pages]


@pytest.mark.parametrize("total", [0, 7, 499, 501, 1229, 2000])
async def test_a_wrong_total_neither_ends_nor_prolongs_a_pull(total: int) -> None:
    async with source(Edge(Collection(students(1230), total=total))) as opened:
        got, pages = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == 1230
    assert pages[0].total == total


@pytest.mark.parametrize("twice_at", [500, 1000])
async def test_a_page_with_another_page_in_it_moves_nothing_that_follows(twice_at: int) -> None:
    async with source(Edge(Collection(students(1600), twice_at=twice_at))) as opened:
        got, _ = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == 1600


async def test_rows_added_while_paging_come_too() -> None:
    rows = students(1000)
    collection = Collection(rows)
    async with source(Edge(collection)) as opened:
        resource = named(opened, "students")
        first = await opened.pull(resource, START)
        collection.rows = students(1203)
        last = await opened.pull(resource, first.next[-1])
        after = await opened.pull(resource, last.next[0])
    assert (len(last.rows), len(after.rows), after.next) == (500, 203, ())


async def test_an_empty_first_page_of_many_is_neither_the_end_nor_our_fault() -> None:
    """The count stays, so that the run is incomplete and nothing counts as gone."""
    edge = Edge(lambda request: JSONResponse([], headers={"Total-Count": "30"}), newest=7)
    async with source(edge) as opened:
        page = await opened.pull(named(opened, "students"), START)
    assert (page.rows, page.next, page.total) == ([], (), 30)


async def test_a_server_that_ignores_the_limit_cannot_make_us_run_for_ever() -> None:
    async with source(Edge(lambda request: JSONResponse(students(10), headers={"Total-Count": "10"}))) as opened:
        got, pages = await pulled(opened, "students")
    assert (len(got), len(pages)) == (10, 1)


# --- pages by token -----------------------------------------------------------------------------------------


@dataclass
class Cursors:
    """ODS/API 7.3: a token names a range of rows; every page with rows names a next one."""

    rows: Sequence[Any]
    partitions: bool = True
    largest: int = 500

    def __call__(self, request: Request) -> Response:
        query = request.query_params
        if request.url.path.endswith("/partitions"):
            if not self.partitions:
                return JSONResponse({"type": "urn:ed-fi:api:not-found"}, 404)
            step = -(-len(self.rows) // int(query["number"]))
            starts = range(0, len(self.rows), step)
            return JSONResponse({"pageTokens": [f"{at}:{min(at + step, len(self.rows))}" for at in starts]})
        if "totalCount" in query:
            assert "pageToken" not in query and "pageSize" not in query
            return JSONResponse([], headers={"Total-Count": str(len(self.rows))})
        size = int(query["pageSize"])
        if size > self.largest:
            text = f"The pageSize must be between 1 and {self.largest}."
            return JSONResponse({"type": "urn:ed-fi:api:bad-request:parameter", "errors": [text]}, 400)
        assert "offset" not in query and "limit" not in query
        at, end = map(int, query.get("pageToken", f"0:{len(self.rows)}").split(":"))
        page = self.rows[at : min(at + size, end)]
        headers = {"Next-Page-Token": f"{at + len(page)}:{end}"} if page else {}
        return JSONResponse(page, headers=headers)


@pytest.mark.parametrize("count", [0, 3, 1000, 5000, 12345])
@pytest.mark.parametrize("partitions", [True, False])
async def test_tokens_lead_to_every_row_once(count: int, partitions: bool) -> None:
    edge = Edge(Cursors(students(count), partitions=partitions), sample="discovery-7.3-tenant.json")
    async with source(edge, "/larkspur/2027") as opened:
        got, pages = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == len(got) == count
    assert pages[0].total == count
    assert all(page.total is None for page in pages[1:])
    if count == 12345 and partitions:
        assert len(pages[0].next) == 4  # a partition has at least five pages
    if count:
        assert pages[-1].rows == [] and pages[-1].next == ()


async def test_a_refused_page_size_is_lowered_in_every_chain() -> None:
    edge = Edge(Cursors(students(6000), largest=200), sample="discovery-7.3-tenant.json")
    async with source(edge, "/larkspur/2027") as opened:
        got, _ = await pulled(opened, "students")
    assert len({row["studentUniqueId"] for row in got}) == len(got) == 6000


# --- what a server may answer instead of a page -------------------------------------------------------------


@pytest.mark.parametrize("sample", ["discovery-7.1.json", "discovery-7.3-tenant.json"])
@pytest.mark.parametrize(("status", "reason"), [(403, "not granted to this key"), (404, "not offered by this server")])
async def test_a_collection_that_is_not_served_is_absent(sample: str, status: int, reason: str) -> None:
    path = "/larkspur/2027" if "tenant" in sample else ""
    async with source(Edge(lambda request: JSONResponse({}, status), sample), path) as opened:
        page = await opened.pull(named(opened, "students"), START)
    assert page == Page(absent=reason)


async def test_a_right_that_is_lost_while_paging_is_an_error() -> None:
    denied = {"type": "urn:ed-fi:api:security:authorization:access-denied:action", "detail": "No."}
    async with source(Edge(lambda request: JSONResponse(denied, 403))) as opened:
        with pytest.raises(AuthError, match="claim set does not grant this"):
            await opened.pull(named(opened, "students"), "offset:500:500")


async def test_other_answers_are_errors_that_say_what_to_do() -> None:
    async with source(Edge(lambda request: JSONResponse({"message": "Pigs."}, 400))) as opened:
        with pytest.raises(ConfigError) as caught:
            await opened.pull(named(opened, "students"), START)
    assert caught.value.code == "edfi-refused" and "Pigs" not in str(caught.value)
    async with source(Edge(lambda request: JSONResponse({"items": []}))) as opened:
        with pytest.raises(Unavailable, match="without a list"):
            await opened.pull(named(opened, "students"), START)


# --- what is never kept -------------------------------------------------------------------------------------


async def test_identity_numbers_do_not_pass_the_edge() -> None:
    def code(system: str, number: str) -> dict[str, str]:
        return {"studentIdentificationSystemDescriptor": system, "identificationCode": number}

    uri = "uri://ed-fi.org/StudentIdentificationSystemDescriptor#"
    own = "uri://larkspur.example.org/StudentIdentificationSystemDescriptor#Social Security Number"
    record = {
        "studentIdentificationCodes": [
            code(uri + "SSN", "000-00-0001"),
            code(uri + "District", "4711"),
            code(uri + "Canadian SIN", "000-000-002"),
            code(own, "000-00-0003"),
            code(uri + "SSNake club", "9"),
        ],
        "weight": 1.5,
    }
    async with source(Edge(Collection([record, {"studentIdentificationCodes": []}]))) as opened:
        page = await opened.pull(named(opened, "studentEducationOrganizationAssociations"), START)
        staff = {"staffIdentificationSystemDescriptor": uri.replace("Student", "Staff") + "Drivers License"}
    kept = msgspec.json.decode(page.rows[0])
    assert [each["identificationCode"] for each in kept["studentIdentificationCodes"]] == ["4711", "9"]
    assert kept["weight"] == 1.5 and bytes(page.rows[1]) == b'{"studentIdentificationCodes":[]}'

    async with source(Edge(Collection([{"identificationCodes": [staff]}]))) as opened:
        page = await opened.pull(named(opened, "staffs"), START)
    assert msgspec.json.decode(page.rows[0]) == {"identificationCodes": []}


async def test_where_a_number_is_a_record_the_record_stays_without_it() -> None:
    for who in ("student", "staff"):
        system = f"{who}IdentificationSystemDescriptor"
        uri = f"uri://ed-fi.org/{system[0].upper()}{system[1:]}#"
        common = {
            "educationOrganizationReference": {"educationOrganizationId": 990100},
            f"{who}Reference": {f"{who}UniqueId": "0012001"},
        }
        number = {"identificationCode": "000-00-0001", "assigningOrganizationIdentificationCode": "000-00-0002"}
        rows = [
            {**common, system: uri + "SSN", **number, "_ext": {"larkspur": {"old": "000-00-0003"}}},
            {**common, system: uri + "State", **number},
        ]
        async with source(Edge(Collection(rows), standard="6.0.0")) as opened:
            resource = named(opened, f"{who}IdentificationCodes")
            page = await opened.pull(resource, START)
        assert b"000-00-000" not in bytes(page.rows[0]) and msgspec.json.decode(page.rows[1]) == rows[1]
        records = [msgspec.json.decode(row, type=resource.wire) for row in page.rows]
        assert len({resource.key(record) for record in records}) == 2
        assert [len(list(MAPPING.inbound[resource.wire](record, MAPPING.codes()))) for record in records] == [0, 1]


def test_the_drop_list_is_what_the_readme_says() -> None:
    promised = (FOLDER / "README.md").read_text()
    for standard in STANDARDS.values():
        for resource in resources(standard):
            for path in resource.drop:
                assert f"`{path}`" in promised, f"{resource.name}: {path}"


def test_the_readme_explains_every_error() -> None:
    raised = {
        code for path in (*FOLDER.glob("*.py"), *CASES.parent.glob("*.py")) for code in CODE.findall(path.read_text())
    }
    explained = set(re.findall(r"^\| `(edfi-[\w-]+)`", (FOLDER / "README.md").read_text(), re.MULTILINE))
    assert raised == explained


CODE = re.compile(r'"(edfi-[\w-]+)"')

# --- writing ------------------------------------------------------------------------------------------------

PROGRAM = Document(
    "programs",
    {"programName": "Success Plan"},
    {
        "educationOrganizationReference": {"educationOrganizationId": 990100},
        "programName": "Success Plan",
        "programTypeDescriptor": "uri://larkspur.example.org/ProgramTypeDescriptor#Support & care",
    },
    create_only=True,
)
PARTICIPATION = Document(
    "studentProgramAssociations",
    {"studentUniqueId": "0012001"},
    {
        "beginDate": "2026-09-21",
        "educationOrganizationReference": {"educationOrganizationId": 990100},
        "programReference": {
            "educationOrganizationId": 990100,
            "programName": "Success Plan",
            "programTypeDescriptor": "uri://larkspur.example.org/ProgramTypeDescriptor#Support & care",
        },
        "studentReference": {"studentUniqueId": "0012001"},
        "services": [{"serviceDescriptor": "uri://larkspur.example.org/ServiceDescriptor#Tutoring"}],
    },
)


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("remote_id", ["9f0c4a4be9324b53b2f1c5f4a2b9d101", "9f0c4a4b-e932-4b53-b2f1-c5f4a2b9d101"])
async def test_a_record_is_sent_as_it_is(status: int, remote_id: str) -> None:
    def accept(request: Request) -> Response:
        location = f"{request.url}/{remote_id}"
        return Response(status_code=status, headers={"Location": location, "ETag": '"52501"'})

    edge = Edge(accept)
    async with sink(edge) as opened:
        receipt = await opened.push(PARTICIPATION)
    assert (receipt.status, receipt.remote_id, receipt.revision) == (status, remote_id, '"52501"')
    assert receipt.delivered and not receipt.unchanged
    (request,) = edge.asked
    assert (request.method, request.url.path) == ("POST", "/data/v3/ed-fi/studentProgramAssociations")
    assert json.loads(request.state.body) == PARTICIPATION.body


async def test_a_shared_record_that_is_there_is_left_alone() -> None:
    stranger = {**PROGRAM.body, "programName": "Another", "id": "1"}
    there = {**PROGRAM.body, "id": "77", "_etag": "5", "programName": "SUCCESS PLAN", "sponsors": []}
    edge = Edge(lambda request: JSONResponse([stranger, there]))
    async with sink(edge) as opened:
        receipt = await opened.push(PROGRAM)
    assert (receipt.status, receipt.remote_id, receipt.unchanged) == (200, "77", True)
    assert [request.method for request in edge.asked] == ["GET"]
    # The whole descriptor arrives: its # and & are not read as the end of the value.
    assert edge.queries == [
        {
            "educationOrganizationId": "990100",
            "programName": "Success Plan",
            "programTypeDescriptor": "uri://larkspur.example.org/ProgramTypeDescriptor#Support & care",
        }
    ]


async def test_a_shared_record_that_is_missing_is_made() -> None:
    # The server ignores filters it does not know, and then gives back what was not asked for.
    stranger = {**PROGRAM.body, "programName": "Another"}

    def answer(request: Request) -> Response:
        return JSONResponse([stranger]) if request.method == "GET" else Response(status_code=201)

    edge = Edge(answer)
    async with sink(edge) as opened:
        receipt = await opened.push(PROGRAM)
    assert (receipt.status, receipt.unchanged) == (201, False)
    assert [request.method for request in edge.asked] == ["GET", "POST"]


async def test_reading_back_gives_the_record_without_what_the_server_adds() -> None:
    stored = json.loads(json.dumps(PARTICIPATION.body))
    stored |= {"id": "1", "_etag": "5", "_lastModifiedDate": "2026-09-21T10:00:00Z"}
    stored["studentReference"]["link"] = {"rel": "Student", "href": "/ed-fi/students/1"}
    other = json.loads(json.dumps(stored)) | {"beginDate": "2025-09-01"}
    edge = Edge(lambda request: JSONResponse([other, stored]))
    async with sink(edge) as opened:
        assert await opened.read_back(PARTICIPATION) == PARTICIPATION.body
    assert set(edge.queries[0]) == set(WRITTEN["studentProgramAssociations"])
    # The # of a descriptor does not cut the address off, nor does the & in it begin another name.
    assert edge.queries[0]["programTypeDescriptor"] == PARTICIPATION.body["programReference"]["programTypeDescriptor"]


async def test_reading_back_what_is_not_there_gives_nothing() -> None:
    other = {**PARTICIPATION.body, "beginDate": "2025-09-01"}
    async with sink(Edge(lambda request: JSONResponse([other]))) as opened:
        assert await opened.read_back(PARTICIPATION) is None
    async with sink(Edge(lambda request: JSONResponse({}, 403))) as opened:
        with pytest.raises(AuthError):
            await opened.read_back(PARTICIPATION)


async def test_nothing_is_written_in_nobodys_name() -> None:
    with serve(Edge()) as url:
        async with Http(None, tokens=MemoryTokens(), allow_private=True) as http:
            assert CONNECTOR.open_sink is not None
            with pytest.raises(ConfigError) as caught:
                await CONNECTOR.open_sink(settings(url), http)
    assert caught.value.code == "edfi-no-organization"


# --- check --------------------------------------------------------------------------------------------------


async def test_check_tells_what_is_right_and_what_is_wrong() -> None:
    def answer(request: Request) -> Response:
        if request.url.path.endswith("/students"):
            return JSONResponse([], headers={"Total-Count": "600"})
        return JSONResponse({}, 404 if request.url.path.endswith("/contacts") else 403)

    known = JSONResponse(json.loads((FOLDER / "samples" / "token-info.json").read_text()))
    edge = Edge(answer, token_info=known, newest=7)
    async with source(edge, education_organization_id=990100) as opened:
        findings = await opened.check()
    said = {finding.text: finding.ok for finding in findings}
    assert said["Ed-Fi ODS/API 7.1, data standard 5.0.0 answers."]
    assert said["Key and secret are accepted."]
    assert said["The key belongs to Larkspur Valley School District (990100), claim set Success plans."]
    assert said["students: 600"]
    assert said[
        "The key may not read deletions and key changes: each pull reads everything."
        " With ReadChanges in its claim set, pulls read what changed."
    ]
    assert said["contacts: not offered by this server."] is False
    assert said["sections: not granted to this key."] is False
    assert said["interventions: the key may not create them, so plans cannot be written."] is False
    assert "programs: the key may not create them, so plans cannot be written." not in said
    assert [finding.text for finding in findings if not finding.ok and not finding.fix] == []
    assert {query["limit"] for query in edge.queries} == {"0"}


async def test_check_counts_older_servers_with_one_row() -> None:
    edge = Edge(Collection(students(9)), sample="discovery-6.1-year.json", newest=7)
    async with source(edge) as opened:
        findings = await opened.check()
    assert {query["limit"] for query in edge.queries} == {"1"}
    assert "students: 9" in [finding.text for finding in findings]
    assert "Pulls read what changed, deletions included." in [finding.text for finding in findings]


async def test_check_warns_of_profiles_and_goes_on_without_token_info() -> None:
    profiled = {"active": True, "assigned_profiles": ["Names only"]}
    async with source(Edge(token_info=JSONResponse(profiled))) as opened:
        texts = [finding.text for finding in await opened.check() if not finding.ok]
    assert texts == ["The key is bound to API profiles: Names only."]
    for odd in (
        JSONResponse({"no": "idea"}),
        PlainTextResponse("later", 503),
        Response("<html>", media_type="text/html"),
    ):
        async with source(Edge(token_info=odd)) as opened:
            assert all(finding.ok for finding in await opened.check())


async def test_check_says_when_the_credentials_are_wrong() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        if request.url.path.endswith("/token"):
            answer = JSONResponse({"error": "invalid_client"}, 401)
        else:
            answer = JSONResponse(discovery("discovery-7.1.json", str(request.base_url).rstrip("/")))
        await answer(scope, receive, send)

    async with source(app) as opened:  # type: ignore[arg-type]
        findings = await opened.check()
    assert [finding.ok for finding in findings] == [True, True, False]
    assert findings[-1].fix and "a-secret" not in findings[-1].text


# --- the published contract ---------------------------------------------------------------------------------


def openapi(standard: str) -> Any:
    return document(f"edfi-openapi/resources-ds-{standard}.yaml")


def item_schema(standard: str, resource: str) -> Any:
    answers = openapi(standard)["paths"][f"/ed-fi/{resource}"]["get"]["responses"]
    return resolved(standard, answers["200"]["content"]["application/json"]["schema"]["items"])


def resolved(standard: str, schema: Any) -> Any:
    return referred(openapi(standard), schema)


STANDARDS = {"3.3": 3, "4.0": 4, "5.0": 5, "6.0": 6}


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_every_field_that_is_read_is_in_the_contract(standard: str) -> None:
    for resource in resources(STANDARDS[standard]):
        if "504" in resource.name and standard != "6.0":  # Ed-Fi: from 5.2 on, of which there is no document
            continue
        compare(standard, resource.wire, schemas(resource.name), resource.name)


def schemas(resource: str) -> list[tuple[str, Any]]:
    """A collection in each standard that has it, under both names: what they share is declared once."""
    return [
        (standard, item_schema(standard, name))
        for standard in STANDARDS
        for name in {resource, resource.replace("parents", "contacts")}
        if f"/ed-fi/{name}" in openapi(standard)["paths"]
    ]


def props(resource: str) -> set[str]:
    return {name for _, schema in schemas(resource) for name in schema["properties"]}


def compare(standard: str, wire: type, described: list[tuple[str, Any]], where: str) -> None:
    """A field is known in one of the standards, and what must be there is required in this one."""
    for part in msgspec.structs.fields(wire):
        if part.name == "link":
            continue
        inner = [
            (other, schema["properties"][part.name]) for other, schema in described if part.name in schema["properties"]
        ]
        assert inner, f"{where}.{part.name}"
        if part.required:
            own = [set(schema.get("required", ())) for other, schema in described if other == standard]
            assert all(part.name in required for required in own), f"{where}.{part.name} is optional in {standard}"
        for struct in structs(part.type):
            below = [(other, resolved(other, resolved(other, one).get("items", one))) for other, one in inner]
            if below := [(other, one) for other, one in below if "properties" in one]:
                compare(standard, struct, below, f"{where}.{part.name}")


def structs(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for part in getattr(hint, "__args__", ()):
        yield from structs(part)


@contract
def test_every_field_that_is_dropped_is_in_the_contract() -> None:
    for resource in CONNECTOR.resources:
        assert set(resource.drop) <= props(resource.name), resource.name


@contract
@pytest.mark.parametrize("standard", STANDARDS)
def test_every_query_is_in_the_contract(standard: str) -> None:
    for resource, filters in WRITTEN.items():
        parameters = openapi(standard)["paths"][f"/ed-fi/{resource}"]["get"]["parameters"]
        keys = {each["name"] for each in parameters if each.get("x-Ed-Fi-isIdentity")}
        assert set(filters) == keys
        for path in filters.values():
            schema = item_schema(standard, resource)
            for name in path:
                schema = resolved(standard, schema["properties"][name])
    paging = openapi(standard)["components"]["parameters"]
    assert {"offset", "limit", "totalCount"} <= {each["name"] for each in paging.values()}
    assert resolved(standard, paging["limit"]["schema"])["maximum"] == 500


CASE_FILES = sorted(CASES.glob("*.json"))


@contract
@pytest.mark.parametrize("path", CASE_FILES, ids=lambda path: path.stem)
def test_golden_inputs_are_what_a_server_may_send(path: Path) -> None:
    standard = path.stem[:3]
    case = json.loads(path.read_text())
    resource = next(r for r in resources(int(standard[0])) if r.wire.__name__ == case["wire"])
    schema = item_schema(standard, resource.name)
    said = {name: value for name, value in case["input"].items() if value is not None}
    errors = list(validator(openapi(standard), schema).iter_errors(said))
    assert not errors, errors[0].message
    unknown = set(said) - set(schema["properties"]) - {"_lastModifiedDate"}
    assert not unknown


def test_every_wire_type_has_a_golden_case() -> None:
    covered = {json.loads(path.read_text())["wire"] for path in CASE_FILES}
    assert covered == {wire.__name__ for wire in MAPPING.inbound}
    assert set(MAPPING.inbound) == {
        resource.wire for standard in STANDARDS.values() for resource in resources(standard)
    }


TABLES = {
    "assessment_category": "AssessmentCategory",
    "attendance_category": "AttendanceEventCategory",
    "classroom_position": "ClassroomPosition",
    "course_code": "CourseIdentificationSystem",
    "device": "PrimaryLearningDeviceAwayFromSchool",
    "device_access": "PrimaryLearningDeviceAccess",
    "device_provider": "PrimaryLearningDeviceProvider",
    "economic_disadvantage": "EconomicDisadvantage",
    "english_proficiency": "LimitedEnglishProficiency",
    "grade": "GradeLevel",
    "grade_type": "GradeType",
    "internet_barrier": "BarrierToInternetAccessInResidence",
    "internet_performance": "InternetPerformanceInResidence",
    "internet_type": "InternetAccessTypeInResidence",
    "language_use": "LanguageUse",
    "meal_service": "SchoolFoodServiceProgramService",
    "program_type": "ProgramType",
    "race": "Race",
    "relation": "Relation",
    "result_datatype": "ResultDatatypeType",
    "sex": "Sex",
    "staff_classification": "StaffClassification",
    "student_characteristic": "StudentCharacteristic",
    "telephone": "TelephoneNumberType",
    "term": "Term",
    "title_i_participant": "TitleIPartAParticipant",
}


@contract
@pytest.mark.parametrize("version", ["3.3", "5.2"])
def test_crosswalks_know_every_code_that_the_standard_ships(version: str) -> None:
    shipped = json.loads((CONTRACTS / "edfi" / "derived" / f"descriptors-{version}.json").read_text())
    codes = MAPPING.codes()
    assert {table for table in codes.tables if not table.startswith("out_")} == set(TABLES)
    for table, kind in TABLES.items():
        # one is from data standard 6; of devices and internet at home 3.3 has the fields and ships no codes
        later = table == "economic_disadvantage" or table.startswith(("device", "internet_"))
        assert f"{kind}Descriptor" in shipped or later
        for each in shipped.get(f"{kind}Descriptor", ()):
            assert f"{each['namespace']}#{each['codeValue']}" in codes.tables[table], (table, each["codeValue"])


@contract
def test_crosswalks_agree_with_the_alliances_own_mapping() -> None:
    tables = {
        "TermDescriptor": "term",
        "SexDescriptor": "sex",
        "RaceDescriptor": "race",
        "StaffClassificationDescriptor": "staff_classification",
    }
    text = (CONTRACTS / "edfi" / "edfi-oneroster" / "descriptorMappings.jsonl").read_text()
    decoder, at, compared, codes = json.JSONDecoder(), 0, 0, MAPPING.codes()
    while (at := at + len(text[at:]) - len(text[at:].lstrip())) < len(text):
        line, at = decoder.raw_decode(text, at)
        table = tables.get(line["namespace"].rpartition("/")[2])
        if table is None:
            continue
        theirs = "" if line["mappedValue"] == "?" else re.sub("(?<!^)([A-Z])", r"_\1", line["mappedValue"]).lower()
        row = codes.tables[table][f"{line['namespace']}#{line['value']}"]
        assert row.target == theirs, line["value"]
        compared += 1
    assert compared > 55


def test_crosswalks_have_no_line_twice() -> None:
    for path in (CASES.parent / "crosswalks").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as lines:
            sources = [line["source"] for line in csv.DictReader(lines)]
        assert len(sources) == len(set(sources)), path.name


# --- keys ---------------------------------------------------------------------------------------------------


def test_keys_of_different_records_never_meet() -> None:
    assert models.joined("a|b", "c") != models.joined("a", "b|c")
    assert models.joined("a\\", "b") != models.joined("a", "\\b")
    assert models.StudentReference("7").key != models.StaffReference("7").key


def test_a_section_is_known_by_one_key_wherever_it_is_named() -> None:
    offering = models.CourseOfferingReference("ENG|9", 990103, 2027, "Fall")
    section = models_roster.Section("S-1", offering)
    assert section.key == models.SectionReference("ENG|9", 990103, 2027, "S-1", "Fall").key
    session = models.SessionReference(990103, 2027, "Fall")
    course = models.CourseReference("ENG-09", 990100)
    assert models_roster.CourseOffering("ENG|9", course, session).key == offering.key
    assert offering.session.key == session.key


def test_what_is_shown_before_connecting_names_each_collection_once() -> None:
    names = [resource.name for resource in CONNECTOR.resources]
    assert len(names) == len(set(names)) == 39
    assert {"parents", "contacts"} <= set(names)


def test_a_server_without_a_version_is_the_newest_and_counts_with_nothing() -> None:
    server = Server("", "", (), 5, "")
    assert (server.pages_by_token, server.counting_limit) == (False, 0)
    assert Server("", "", (8, 0), 5, "").pages_by_token is False
    assert Server("", "", (8, 1), 5, "").pages_by_token is True


# --- the twin -----------------------------------------------------------------------------------------------

DISTRICT = build(schools=3, students=90, seed=7)


@asynccontextmanager
async def at_the_twin(**options: Any) -> AsyncIterator[tuple[EdfiSource, EdfiSink]]:
    with serve(twin(DISTRICT, **options)) as url:
        wanted = EdfiSettings(
            base_url=url,
            key="demo-key",
            secret="demo-secret",
            allow_private=True,
            education_organization_id=DISTRICT.number,
        )
        async with Http(auth(wanted), tokens=MemoryTokens(), allow_private=True) as http:
            assert CONNECTOR.open_source is not None and CONNECTOR.open_sink is not None
            yield await CONNECTOR.open_source(wanted, http), await CONNECTOR.open_sink(wanted, http)


@pytest.mark.parametrize(
    "options",
    [
        {"standard": "4.0"},
        {"standard": "5.0"},
        {"standard": "5.0", "cursor": False},
        {"standard": "5.0", "page_limit": 60},
        {"standard": "4.0", "page_limit": 60},
        {"standard": "3.3"},
        {"standard": "6.0"},
    ],
    ids=str,
)
async def test_the_whole_district_is_pulled_and_mapped(options: dict[str, Any]) -> None:
    claims: dict[str, dict[str, Claim]] = defaultdict(dict)
    aliases: dict[str, str] = {}
    codes = MAPPING.codes()
    async with at_the_twin(**options) as (opened, _):
        for resource in opened.resources:
            rows, pages = await raw_rows(opened, resource)
            assert not any(page.absent for page in pages), resource.name
            assert pages[0].total == len(rows) > 0, resource.name
            keys = set()
            for row in rows:
                record = msgspec.json.decode(row, type=resource.wire)
                keys.add(resource.key(record))
                for statement in MAPPING.inbound[resource.wire](record, codes):
                    if isinstance(statement, Alias):
                        aliases[statement.key] = statement.same_as
                    elif statement.anchor:
                        claims[statement.kind][statement.key] = statement
            assert len(keys) == len(rows), resource.name
    assert not codes.unmapped
    assert {kind: len(found) for kind, found in claims.items()} == expected()
    for kind, found in claims.items():
        for claim in found.values():
            assert_resolved(kind, claim, claims, aliases)


def expected() -> dict[str, int]:
    """What the facts of the district amount to in claims."""
    parts = {assessment.code: len(assessment.objectives) for assessment in DISTRICT.assessments}
    return {
        "organization": 1 + len(DISTRICT.schools),
        "person": len(DISTRICT.students) + len(DISTRICT.staff) + len(DISTRICT.contacts),
        "program_status": sum(one.english_learner + one.economically_disadvantaged for one in DISTRICT.students),
        "relationship": len(DISTRICT.kinships),
        "session": len(DISTRICT.terms) * len(DISTRICT.schools),
        "course": len(DISTRICT.courses),
        "class": len(DISTRICT.sections),
        "enrollment": len(DISTRICT.enrollments),
        "assessment": len(parts) + sum(parts.values()),
        "assessment_result": len(DISTRICT.sittings) + sum(len(one.objectives) for one in DISTRICT.sittings),
    }


def assert_resolved(kind: str, claim: Claim, claims: dict[str, dict[str, Claim]], aliases: dict[str, str]) -> None:
    values = msgspec.to_builtins(claim.values)
    assert set(KINDS[kind].required) <= set(values), claim.key
    for reference in KINDS[kind].references:
        stated = values.get(reference.field, [])
        for key in stated if reference.many else [stated] if stated else []:
            key = key[reference.part] if reference.part else key
            assert aliases.get(key, key) in claims[reference.kind], f"{kind} {claim.key}: {reference.field}"


@pytest.mark.parametrize("standard", STANDARDS)
async def test_nothing_planted_where_planning_has_no_use_for_it_is_left(standard: str) -> None:
    async with at_the_twin(standard=standard, planted="zq-planted") as (opened, _):
        planted = 0
        for resource in opened.resources:
            for row in (await raw_rows(opened, resource))[0]:
                record = msgspec.json.decode(row)
                planted += "zq-planted" in str(record)
                kept = {name: value for name, value in record.items() if name not in resource.drop}
                assert "zq-planted" not in str(kept), resource.name
    assert planted > 100


@pytest.mark.parametrize("standard", STANDARDS)
async def test_a_plan_is_written_and_read_back(standard: str) -> None:
    student = DISTRICT.students[0].number
    organization = {"educationOrganizationId": DISTRICT.number}
    kind = "uri://ed-fi.org/ProgramTypeDescriptor#Other"
    program = {**organization, "programName": "Success Plan", "programTypeDescriptor": kind}
    code = {**organization, "interventionIdentificationCode": "SSP-1-1"}
    uri = "uri://ed-fi.org/{}Descriptor#{}".format
    documents = [
        Document(
            "programs",
            program,
            {
                "educationOrganizationReference": organization,
                "programName": "Success Plan",
                "programTypeDescriptor": kind,
            },
            create_only=True,
        ),
        Document(
            "studentProgramAssociations",
            {"studentUniqueId": student},
            {
                "beginDate": "2026-09-21",
                "educationOrganizationReference": organization,
                "programReference": program,
                "studentReference": {"studentUniqueId": student},
            },
        ),
        Document(
            "interventions",
            code,
            {
                "educationOrganizationReference": organization,
                "interventionIdentificationCode": "SSP-1-1",
                "beginDate": "2026-09-21",
                "deliveryMethodDescriptor": uri("DeliveryMethod", "Individual"),
                "interventionClassDescriptor": uri("InterventionClass", "Practice"),
            },
        ),
        Document(
            "studentInterventionAssociations",
            {**code, "studentUniqueId": student},
            {"interventionReference": code, "studentReference": {"studentUniqueId": student}, "dosage": 30},
        ),
    ]
    async with at_the_twin(standard=standard) as (opened, sink):
        assert await sink.read_back(documents[1]) is None
        early = await sink.push(documents[3])
        assert (early.status, early.delivered) == (409, False) or early.status == 400
        assert "not known to the server" in early.message and student not in early.message
        for document in documents:
            receipt = await sink.push(document)
            assert (receipt.status, bool(receipt.remote_id), receipt.unchanged) == (201, True, False), receipt
            assert await sink.read_back(document) == document.body
        again = [await sink.push(document) for document in documents]
        assert [(receipt.status, receipt.unchanged) for receipt in again] == [(200, True)] + [(200, False)] * 3
        findings = await opened.check()
    assert all(finding.ok for finding in findings), [finding.text for finding in findings if not finding.ok]
