"""Every operation of OneRoster 1.2 that reads, against the published documents and a district that the tests know."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from gateway import api
from gateway.api.oneroster import discovery
from gateway.api.oneroster.operations import OPERATIONS, SERVICES, Operation
from gateway.scopes import ONEROSTER, V1P2
from gateway.settings import Settings
from gateway.store import clients, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api import wire
from tests.api.conftest import serving
from tests.api.wire import RECORDS, Laid, name
from tests.openapi import CONTRACTS, document, resolved, validator

DOCUMENTS = {
    "rostering": "oneroster/openapi/v1p2/onerosterv1p2rostersservice_openapi3_v1p0.yaml",
    "gradebook": "oneroster/openapi/v1p2/onerosterv1p2gradebookservice_openapi3_v1p0.yaml",
    "resources": "oneroster/openapi/v1p2/onerosterv1p2resourcesservice_openapi3_v1p0.yaml",
}
ACTOR = Actor("it@district.example.org", "district_it")
module = pytest.mark.asyncio(loop_scope="module")
published = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the OneRoster documents are not beside this checkout")


@dataclass
class Served:
    """The application on a socket, and who may ask it."""

    store: Store
    http: httpx.AsyncClient
    laid: Laid
    headers: Mapping[str, str]

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(f"/ims/oneroster{path}", headers=self.headers, **more)

    async def token(self, *scopes: str) -> dict[str, str]:
        """The same program with a token for these scopes alone."""
        return await token(self.store, self.laid, scopes)


async def token(store: Store, laid: Laid, scopes: Any = ONEROSTER) -> dict[str, str]:
    client = clients.Client(laid.client, laid.district, "reader", frozenset(ONEROSTER))
    return {"Authorization": f"Bearer {await clients.issue_token(store, client, sorted(scopes))}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    store = await Store.open(settings)
    district = await registers.district(store, "oneroster")
    laid = await wire.lay(store, district, ACTOR, *ONEROSTER)
    async with serving(api.create_app(store, settings)) as http:
        yield Served(store, http, laid, await token(store, laid))
    await store.close()


def published_operations() -> list[tuple[str, str, str]]:
    """Every GET of the three documents: service, path, operationId."""
    found = []
    for service, file in DOCUMENTS.items() if CONTRACTS.is_dir() else ():
        paths = document(file)["paths"]
        found += [(service, path, one["get"]["operationId"]) for path, one in paths.items() if "get" in one]
    return found


def ours(service: str, path: str) -> Operation:
    return next(one for one in OPERATIONS if (one.service, one.path) == (service, path))


def address(operation: Operation) -> str:
    """Where an operation is asked for something that is there."""
    path = operation.path
    for parameter in operation.parameters:
        short = wire.PARENTS.get(parameter.removesuffix("SourcedId")) or present(operation)
        path = path.replace(f"{{{parameter}}}", name(short))
    return f"/{operation.service}/v1p2{path}"


def present(operation: Operation) -> str:
    return {"schools": "alder", "terms": "fall", "gradingPeriods": "first", "teachers": "tess"}.get(
        operation.view.name, next(iter(RECORDS[operation.view.collection]))
    )


@published
def test_every_operation_of_the_documents_is_served_and_no_other() -> None:
    assert sorted(published_operations()) == sorted((one.service, one.path, one.id) for one in OPERATIONS)
    assert len(OPERATIONS) == 41 + 19 + 5


@published
@pytest.mark.parametrize(("service", "path", "id"), published_operations())
def test_it_takes_the_scopes_that_the_document_names(service: str, path: str, id: str) -> None:
    [security] = document(DOCUMENTS[service])["paths"][path]["get"]["security"]
    assert ours(service, path).scopes == set(security["OAuth2CC"])


@published
@pytest.mark.parametrize(("service", "path", "id"), published_operations())
@module
async def test_it_answers_with_data_as_the_document_says(served: Served, service: str, path: str, id: str) -> None:
    operation = ours(service, path)
    answer = await served.get(address(operation))
    assert answer.status_code == 200, answer.text
    assert valid(service, path, answer) == []
    content = answer.json()[operation.envelope]
    rows = [content] if operation.one else content
    assert rows
    assert None not in flat(rows)
    if not operation.one:
        assert int(answer.headers["x-total-count"]) == len(rows)
        assert [row["sourcedId"] for row in rows] == sorted(row["sourcedId"] for row in rows)
    for href in (one for one in flat(rows) if isinstance(one, str) and "/v1p2/" in one):
        assert (await served.http.get(href, headers=served.headers)).status_code == 200, href


def valid(service: str, path: str, answer: httpx.Response) -> list[str]:
    found = document(DOCUMENTS[service])
    answers = found["paths"][path]["get"]["responses"]
    described = resolved(found, answers.get(str(answer.status_code), answers["default"]))
    assert answer.headers["content-type"] == "application/json"
    schema = described["content"]["application/json"]["schema"]
    return [error.message for error in validator(found, schema).iter_errors(answer.json())]


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in flat(part)]
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, list) else [value]


BELOW = {
    "/rostering/v1p2/classes/{m5a}/students": {"ann", "bo"},
    "/rostering/v1p2/classes/{m5a}/teachers": {"tess"},
    "/rostering/v1p2/courses/{maths}/classes": {"m5a", "m5b"},
    "/rostering/v1p2/schools/{alder}/classes": {"m5a", "art"},
    "/rostering/v1p2/schools/{alder}/courses": {"arts", "maths"},
    "/rostering/v1p2/schools/{birch}/courses": {"maths"},
    "/rostering/v1p2/schools/{birch}/students": {"cy"},
    "/rostering/v1p2/schools/{birch}/teachers": set(),
    "/rostering/v1p2/schools/{alder}/teachers": {"tess"},
    "/rostering/v1p2/schools/{alder}/enrollments": {"ann-m5a", "bo-m5a", "bo-art", "tess-m5a"},
    "/rostering/v1p2/schools/{alder}/terms": {"fall"},
    "/rostering/v1p2/schools/{alder}/classes/{art}/students": {"bo"},
    "/rostering/v1p2/schools/{alder}/classes/{art}/teachers": set(),
    "/rostering/v1p2/schools/{alder}/classes/{m5a}/enrollments": {"ann-m5a", "bo-m5a", "tess-m5a"},
    "/rostering/v1p2/students/{bo}/classes": {"m5a", "art"},
    "/rostering/v1p2/users/{tess}/classes": {"m5a"},
    "/rostering/v1p2/teachers/{tess}/classes": {"m5a"},
    "/rostering/v1p2/terms/{fall}/gradingPeriods": {"first"},
    "/rostering/v1p2/schools": {"alder", "birch"},
    "/rostering/v1p2/terms": {"fall"},
    "/rostering/v1p2/students": {"ann", "bo", "cy"},
    "/rostering/v1p2/teachers": {"tess"},
    "/gradebook/v1p2/classes/{m5a}/categories": {"tests"},
    "/gradebook/v1p2/classes/{m5a}/results": {"ann-quiz", "bo-quiz"},
    "/gradebook/v1p2/classes/{m5a}/students/{bo}/results": {"bo-quiz"},
    "/gradebook/v1p2/classes/{m5a}/lineItems/{quiz}/results": {"ann-quiz", "bo-quiz"},
    "/gradebook/v1p2/schools/{alder}/scoreScales": {"letters"},
    "/gradebook/v1p2/schools/{birch}/scoreScales": set(),
    "/resources/v1p2/classes/{m5a}/resources": {"atlas"},
    "/resources/v1p2/courses/{maths}/resources": {"reader"},
    "/resources/v1p2/users/{ann}/resources": {"atlas"},
}


@module
async def test_a_list_has_what_belongs_to_its_parent_and_within_reach(served: Served) -> None:
    for path, expected in BELOW.items():
        answer = await served.get(path.replace("{", "{0[").replace("}", "]}").format(Names()))
        [rows] = answer.json().values()
        assert {row["sourcedId"] for row in rows} == {name(short) for short in expected}, path


class Names(dict[str, str]):
    def __missing__(self, short: str) -> str:
        return name(short)


@module
async def test_a_parent_that_is_not_there_is_unknown(served: Served) -> None:
    below = [one for one in OPERATIONS if one.parents]
    for operation in below:
        # never within reach, and what is no text for PostgreSQL
        for wrong in (name("hidden"), "%00"):
            path = operation.path
            for parameter in operation.parameters:
                path = path.replace(f"{{{parameter}}}", wrong)
            answer = await served.get(f"/{operation.service}/v1p2{path}")
            assert (answer.status_code, minor(answer)) == (404, "unknownobject"), path
    elsewhere = f"/rostering/v1p2/schools/{name('birch')}/classes/{name('m5a')}/students"
    assert (await served.get(elsewhere)).status_code == 404


def minor(answer: httpx.Response) -> str:
    [field] = answer.json()["imsx_CodeMinor"]["imsx_codeMinorField"]
    assert field["imsx_codeMinorFieldName"] == "TargetEndSystem"
    return str(field["imsx_codeMinorFieldValue"])


# --- refusals ------------------------------------------------------------------------------------------------


@published
@pytest.mark.parametrize(("service", "path", "id"), published_operations())
@module
async def test_without_the_right_token_nothing_is_served(served: Served, service: str, path: str, id: str) -> None:
    operation = ours(service, path)
    where = f"/ims/oneroster{address(operation)}"
    others = await served.token(*(set(ONEROSTER) - operation.scopes))
    for headers, status, code in (
        ({}, 401, "unauthorisedrequest"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthorisedrequest"),
        (others, 403, "forbidden"),
    ):
        answer = await served.http.get(where, headers=headers)
        assert (answer.status_code, minor(answer)) == (status, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert valid(service, path, answer) == []
    one = await served.token(min(operation.scopes))
    assert (await served.http.get(where, headers=one)).status_code == 200


@published
@module
async def test_what_cannot_be_asked_is_answered_in_the_words_of_the_standard(served: Served) -> None:
    for query, status, code in (
        ("filter=nothing='x'", 400, "invalid_filter_field"),
        ("filter=title", 400, "invalid_filter_field"),
        ("filter=dateLastModified>'soon'", 400, "invalid_filter_field"),
        ("fields=sourcedId,nothing", 400, "invalid_selection_field"),
        ("limit=0", 422, "invaliddata"),
        ("limit=x", 422, "invaliddata"),
        ("limit=²", 422, "invaliddata"),
        ("limit=10001", 422, "invaliddata"),
        ("limit=1001", 403, "forbidden"),
        ("limit=1&limit=2", 422, "invaliddata"),
        ("offset=-1", 422, "invaliddata"),
        ("offset=99999999999", 422, "invaliddata"),
        ("orderBy=up", 422, "invaliddata"),
    ):
        answer = await served.get(f"/rostering/v1p2/classes?{query}")
        assert (answer.status_code, minor(answer)) == (status, code), query
        assert valid("rostering", "/classes", answer) == []
    for path in ("/rostering/v1p2/nothing", "/rostering/v1p2/users/", "/rostering/v1p1/users"):
        answer = await served.get(path)
        assert (answer.status_code, minor(answer)) == (404, "unknownobject")
    answer = await served.http.delete(f"/ims/oneroster/rostering/v1p2/users/{name('ann')}", headers=served.headers)
    assert answer.status_code == 405
    assert answer.json()["imsx_codeMajor"] == "failure"


@module
async def test_without_an_agreement_or_past_its_end_nothing_is_served(served: Served) -> None:
    other = await registers.district(served.store, "no agreement")
    id, _ = await clients.add(served.store, other, "reader", ONEROSTER, ACTOR)
    theirs = Laid(other, id, 0)
    for until, words in ((None, "No agreement"), (date(2026, 1, 31), "ended on 2026-01-31")):
        if until is not None:
            await wire.agree(served.store, other, id, until=until)
        answer = await served.http.get("/ims/oneroster/rostering/v1p2/orgs", headers=await token(served.store, theirs))
        assert (answer.status_code, minor(answer)) == (403, "forbidden")
        assert words in answer.json()["imsx_description"]


@module
async def test_the_agreement_says_which_collections_and_fields(served: Served) -> None:
    try:
        agreed = {"orgs": None, "users": frozenset({"givenName", "roles"}), "classes": None}
        await wire.reagree(served.store, served.laid, agreed)
        [first, *_] = (await served.get("/rostering/v1p2/users")).json()["users"]
        assert first.keys() == {"sourcedId", "status", "dateLastModified", "givenName", "roles"}
        narrow = (await served.get("/rostering/v1p2/users?fields=givenName,email")).json()["users"]
        assert [row.keys() for row in narrow] == [{"givenName"}] * len(narrow)
        for path in (
            "/rostering/v1p2/demographics",
            f"/rostering/v1p2/classes/{name('m5a')}/students",  # who is in a class stands in enrollments
            "/rostering/v1p2/users?filter=email='ann@example.org'",
            f"/rostering/v1p2/users/{name('tess')}/classes",
        ):
            answer = await served.get(path)
            assert (answer.status_code, minor(answer)) == (403, "forbidden"), path
        in_order = (await served.get("/rostering/v1p2/users?sort=email")).json()["users"]
        assert [row["sourcedId"] for row in in_order] == sorted(row["sourcedId"] for row in in_order)
    finally:
        await wire.reagree(served.store, served.laid, wire.WHOLE)


# --- pages, order, fields ------------------------------------------------------------------------------------


@module
async def test_a_walk_by_links_meets_every_row_once(served: Served) -> None:
    path, seen, pages = "/rostering/v1p2/users?limit=2&filter=status='active'&fields=sourcedId", [], 0
    where: str | None = f"/ims/oneroster{path}"
    while where:
        answer = await served.http.get(where, headers=served.headers)
        seen += [row["sourcedId"] for row in answer.json()["users"]]
        assert answer.headers["x-total-count"] == "5"
        links = {rel: one["url"] for rel, one in answer.links.items()}
        assert set(links) == {"first", "last"} | ({"next"} if pages < 2 else set()) | ({"prev"} if pages else set())
        assert all(httpx.URL(link).params["filter"] == "status='active'" for link in links.values())
        assert httpx.URL(links["last"]).params["offset"] == "4"
        where, pages = links.get("next"), pages + 1
    whole = (await served.get("/rostering/v1p2/users")).json()["users"]
    assert seen == [row["sourcedId"] for row in whole]
    beyond = await served.get("/rostering/v1p2/users?offset=77")
    assert (beyond.json(), beyond.headers["x-total-count"]) == ({"users": []}, "5")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=familyName", ["tess", "bo", "ann", "gil", "cy"]),
        ("sort=familyName&orderBy=desc", ["cy", "ann", "gil", "bo", "tess"]),
        ("sort=email", ["ann"]),
        ("sort=dateLastModified&orderBy=desc", ["gil", "tess", "cy", "bo", "ann"]),
        ("sort=nothing&orderBy=desc", None),
        ("sort=sourcedId&orderBy=desc", "backwards"),
    ],
)
@module
async def test_rows_come_in_the_order_asked_for(served: Served, query: str, expected: Any) -> None:
    found = [row["sourcedId"] for row in (await served.get(f"/rostering/v1p2/users?{query}")).json()["users"]]
    if expected is None or expected == "backwards":
        assert found == sorted(found, reverse=expected is not None)
        return
    places = [found.index(name(short)) for short in expected if short not in ("ann", "gil") or len(expected) == 1]
    assert places == sorted(places)
    assert found[0] == name(expected[0]) or expected[0] in ("ann", "gil")


@module
async def test_far_pages_are_those_that_counting_from_the_start_gives(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.serving.LISTED", 1)
    monkeypatch.setattr("gateway.store.serving.STEP", 2)
    whole = (await served.get("/rostering/v1p2/enrollments?filter=role!='x'")).json()["enrollments"]
    for offset in range(len(whole)):
        for limit in (1, 3):
            query = {"filter": "role!='x'", "offset": offset, "limit": limit}
            rows = (await served.get("/rostering/v1p2/enrollments", params=query)).json()["enrollments"]
            assert rows == whole[offset : offset + limit]


@module
async def test_one_row_with_some_of_its_fields(served: Served) -> None:
    answer = await served.get(f"/rostering/v1p2/users/{name('ann')}?fields=sourcedId, roles&limit=nonsense")
    role = {"roleType": "primary", "role": "student", "org": wire.ref("orgs", "alder")}
    role["org"] |= {"href": f"{served.http.base_url}/ims/oneroster/rostering/v1p2/orgs/{name('alder')}"}
    assert answer.json() == {"user": {"sourcedId": name("ann"), "roles": [role]}}
    assert (await served.get(f"/rostering/v1p2/teachers/{name('ann')}")).status_code == 404
    for short in ("hidden", "left", "gone", "nobody"):
        answer = await served.get(f"/rostering/v1p2/users/{name(short)}")
        assert (answer.status_code, minor(answer)) == (404, "unknownobject")


# --- those who are gone --------------------------------------------------------------------------------------


@module
async def test_a_delta_tells_of_the_gone_nothing_but_that(served: Served) -> None:
    filter = {"filter": f"dateLastModified>'{wire.START.isoformat()}'"}
    answer = await served.get("/rostering/v1p2/users", params=filter)
    rows = {row["sourcedId"]: row for row in answer.json()["users"]}
    assert len(rows) == int(answer.headers["x-total-count"]) == 7
    for short in ("left", "gone"):
        row = rows[name(short)]
        assert row.keys() == {"sourcedId", "status", "dateLastModified"}
        assert row["status"] == "tobedeleted"
    assert name("hidden") not in rows
    assert rows[name("ann")]["status"] == "active"
    students = (await served.get("/rostering/v1p2/students", params=filter)).json()["users"]
    assert {row["sourcedId"] for row in students} == {name(one) for one in ("ann", "bo", "cy", "left", "gone")}


@module
async def test_what_came_into_reach_or_left_it_is_new_to_its_program(served: Served) -> None:
    async with served.store.transaction(served.laid.district) as c:
        await c.execute(
            text("UPDATE reach SET visible = false, at = '2026-10-01' WHERE sourced_id = :id"), {"id": name("cy")}
        )
    since = {"filter": "dateLastModified>='2026-09-30T00:00:00.000Z'"}
    try:
        told = (await served.get("/rostering/v1p2/users", params=since)).json()["users"]
        assert told == [
            {"sourcedId": name("cy"), "status": "tobedeleted", "dateLastModified": "2026-10-01T00:00:00.000Z"}
        ]
        assert len((await served.get("/rostering/v1p2/users")).json()["users"]) == 4
    finally:
        async with served.store.transaction(served.laid.district) as c:
            await c.execute(
                text("UPDATE reach SET visible = true, at = '2026-10-02' WHERE sourced_id = :id"), {"id": name("cy")}
            )
    [back] = (await served.get("/rostering/v1p2/users", params=since)).json()["users"]
    assert (back["givenName"], back["dateLastModified"]) == ("Cy", "2026-10-02T00:00:00.000Z")


@module
async def test_whoever_was_merged_is_followed_to_who_they_are_now(served: Served) -> None:
    async with served.store.transaction(served.laid.district) as c:
        await c.execute(
            text("UPDATE served_users SET survivor = :into WHERE sourced_id = :id"),
            {"into": name("ann"), "id": name("gone")},
        )
    answer = await served.get("/rostering/v1p2/users", params={"filter": "status='tobedeleted'"})
    [gone] = [row for row in answer.json()["users"] if row["sourcedId"] == name("gone")]
    assert gone["metadata"] == {"planbridge.mergedInto": name("ann")}
    assert name("ann") in (await served.get(f"/rostering/v1p2/users/{name('gone')}")).json()["imsx_description"]


# --- what is kept, and what is told of us --------------------------------------------------------------------


@module
async def test_each_answer_is_on_record_with_what_it_really_told(served: Served) -> None:
    async with served.store.transaction(served.laid.district) as c:
        last = await c.scalar(text("SELECT coalesce(max(id), 0) FROM client_read"))
    await served.get("/rostering/v1p2/students?fields=email,givenName&limit=2&sort=givenName")
    await served.get(f"/rostering/v1p2/demographics/{name('bo')}")
    await served.get("/rostering/v1p2/users/nobody")
    async with served.store.transaction(served.laid.district) as c:
        rows = await c.execute(
            text("SELECT collection, fields, students, sets FROM client_read WHERE id > :last ORDER BY id"),
            {"last": last},
        )
        kept = [
            (row.collection, {str(who): row.fields[n] for who, n in zip(row.students, row.sets, strict=True)})
            for row in rows
        ]
    base = ["dateLastModified", "sourcedId", "status"]
    assert kept == [
        ("users", {name("ann"): ["email", "givenName"], name("bo"): ["givenName"]}),
        ("demographics", {name("bo"): sorted([*base, "birthDate", "hispanicOrLatinoEthnicity"])}),
    ]


@published
@module
async def test_each_service_describes_itself(served: Served) -> None:
    for service in SERVICES:
        path = f"/ims/oneroster/{service}/v1p2/discovery/{discovery.NAMES[service]}"
        told = (await served.http.get(path)).json()
        theirs = document(DOCUMENTS[service])
        for where, described in theirs["paths"].items():
            if "get" not in described:
                continue
            mine = told["paths"][where]["get"]
            assert mine["operationId"] == described["get"]["operationId"]
            given = {(one["name"], one["in"]) for one in described["get"]["parameters"]}
            assert {(one["name"], one["in"]) for one in mine["parameters"]} == given
            assert {scope for one in mine["security"] for scope in one["OAuth2CC"]} == set(
                described["get"]["security"][0]["OAuth2CC"]
            )
        for operation in (one for one in OPERATIONS if one.service == service):
            answer = await served.get(address(operation))
            schema = told["paths"][operation.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert [error.message for error in validator(told, schema).iter_errors(answer.json())] == []


@module
async def test_a_mistake_of_ours_shows_a_number_and_nothing_else(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whose = "Quillfeather"  # a trace quotes the line that raises

    async def fail(*args: Any) -> None:
        raise RuntimeError(whose)

    monkeypatch.setattr("gateway.store.serving.page", fail)
    answer = await served.get("/rostering/v1p2/users")
    assert (answer.status_code, minor(answer)) == (500, "internal_server_error")
    assert answer.headers["correlation-id"] in caplog.text
    assert whose not in caplog.text + answer.text


async def test_links_and_addresses_are_those_by_which_others_reach_it(
    store: Store, settings: Settings, district: int
) -> None:
    laid = await wire.lay(store, district, ACTOR, f"{V1P2}roster.readonly")
    known = settings.model_copy(update={"public_url": "https://planbridge.example.org/gw"})
    async with serving(api.create_app(store, known)) as http:
        headers = await token(store, laid, [f"{V1P2}roster.readonly"])
        answer = await http.get("/ims/oneroster/rostering/v1p2/classes?limit=1", headers=headers)
    [row] = answer.json()["classes"]
    root = "https://planbridge.example.org/gw/ims/oneroster/rostering/v1p2"
    assert row["school"]["href"].startswith(f"{root}/orgs/")
    assert answer.links["next"]["url"] == f"{root}/classes?limit=1&offset=1"
