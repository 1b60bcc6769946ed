"""Every operation of OneRoster 1.1 that reads, against the published document, by tokens and by signatures."""

import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from oauthlib import oauth1
from sqlalchemy import text

from gateway import api
from gateway.api.oneroster.asking import BASE
from gateway.api.oneroster.operations import OLDER_OPERATIONS, OLDER_WRITINGS, Operation
from gateway.scopes import ONEROSTER, V1P1
from gateway.settings import Settings
from gateway.store import clients, credentials, registers
from gateway.store.database import Store
from tests.api import wire, writing
from tests.api.conftest import serving
from tests.api.test_oneroster import ACTOR, Served, flat, minor, token
from tests.api.wire import RECORDS, name, ref
from tests.openapi import CONTRACTS, document, resolved, validator

DOCUMENT = "oneroster/openapi/v1p1/oneroster_v1p1_openapi3.json"
ROOT = "/ims/oneroster/v1p1"
module = pytest.mark.asyncio(loop_scope="module")
published = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the OneRoster documents are not beside this checkout")

MORE: dict[str, dict[str, dict[str, Any]]] = {
    "users": {
        "pam": {"enabledUser": "false", "givenName": "Pam", "familyName": "Hale", "username": "pam", "pronouns": "she",
                "roles": [{"roleType": "secondary", "role": "parent", "org": ref("orgs", "birch")},
                          {"roleType": "primary", "role": "principal", "org": ref("orgs", "alder")},
                          {"roleType": "secondary", "role": "counselor", "org": ref("orgs", "birch")},
                          {"roleType": "secondary", "role": "teacher", "org": ref("orgs", "birch")}]},
        "guest": {"enabledUser": "true", "givenName": "Gus", "familyName": "Hale",
                  "roles": [{"roleType": "primary", "role": "ext:visitor", "org": ref("orgs", "alder")}]},
    },
    "demographics": {"cy": {"sex": "other", "white": "true"}},
    "enrollments": {
        "pam-m5a": {"user": ref("users", "pam"), "class": ref("classes", "m5a"), "school": ref("orgs", "alder"),
                    "role": "ext:aide"},
    },
    "lineItems": {
        "talk": {**RECORDS["lineItems"]["quiz"], "title": "Talk", "academicSession": ref("academicSessions", "fall"),
                 "resultValueMin": 2},
    },
    "classes": {"m5c": {**RECORDS["classes"]["m5b"], "title": "Maths 5c", "periods": ["1", "3"],
                        "classType": "ext:club"}},
}  # fmt: skip
"""What 1.1 says in other words than 1.2, or not at all."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    store = await Store.open(settings)
    district = await registers.district(store, "older")
    laid = await wire.lay(store, district, ACTOR, *ONEROSTER)
    async with store.transaction(district) as c:
        for collection, records in MORE.items():
            for short, record in records.items():
                at = wire.START + timedelta(seconds=100)
                await wire.put(c, district, collection, short, record, at)
                await wire.reach(c, laid, collection, short, at)
    async with serving(api.create_app(store, settings)) as http:
        store.address = str(http.base_url).rstrip("/")
        yield Served(store, http, laid, await token(store, laid))
    await store.close()


async def get(served: Served, path: str, **parameters: str) -> httpx.Response:
    return await served.get(f"/v1p1{path}", params=parameters or None)


async def names(served: Served, path: str, **parameters: str) -> set[str]:
    answer = await get(served, path, **parameters)
    assert answer.status_code == 200, answer.text
    [rows] = answer.json().values()
    assert int(answer.headers["x-total-count"]) == len(rows)
    return {SHORT[row["sourcedId"]] for row in rows}


SHORT = {name(short): short for of in (RECORDS, MORE) for records in of.values() for short in records}


def published_paths() -> list[str]:
    """Every GET of the document."""
    return [path for path, one in document(DOCUMENT)["paths"].items() if "get" in one] if CONTRACTS.is_dir() else []


def address(operation: Operation) -> str:
    """Where an operation is asked for something that is there."""
    path = operation.path
    here = {"schools": "alder", "terms": "fall", "gradingPeriods": "first", "teachers": "tess"}
    for parameter in operation.parameters:
        short = (wire.PARENTS | {"student": "ann"}).get(parameter.removesuffix("SourcedId"))
        short = short or here.get(operation.view.name, next(iter(RECORDS[operation.view.collection])))
        path = path.replace(f"{{{parameter}}}", name(short))
    return path


def complaints(path: str, answer: httpx.Response) -> list[str]:
    found = document(DOCUMENT)
    answers = found["paths"][path]["get"]["responses"]
    described = resolved(found, answers.get(str(answer.status_code), answers["default"]))
    assert answer.headers["content-type"] == "application/json"
    schema = described["content"]["application/json"]["schema"]
    return [error.message for error in validator(found, schema).iter_errors(answer.json())]


@published
def test_every_operation_of_the_document_is_served_and_one_more_that_clients_ask() -> None:
    ours = {one.path for one in OLDER_OPERATIONS}
    assert ours - {"/classes/{classSourcedId}/categories"} == set(published_paths())
    assert len(ours) == len(OLDER_OPERATIONS) == 56


@published
@module
async def test_each_answers_with_data_as_the_document_says(served: Served) -> None:
    known = {one.path: one for one in OLDER_OPERATIONS}
    hrefs: set[str] = set()
    for path in published_paths():
        operation = known[path]
        answer = await get(served, address(operation))
        assert answer.status_code == 200, (path, answer.text)
        assert complaints(path, answer) == [], path
        content = answer.json()[operation.envelope]
        rows = [content] if operation.one else content
        assert rows, path
        assert None not in flat(rows)
        models = document(DOCUMENT)["components"]["schemas"]
        listed = resolved(document(DOCUMENT), document(DOCUMENT)["paths"][path]["get"]["responses"]["200"])
        assert set().union(*rows) <= properties(models, listed), path
        hrefs.update(re.findall(r'"href":"([^"]+)"', answer.text))
    for href in hrefs:
        assert href.startswith(f"{served.http.base_url}{ROOT}/")
        assert (await served.http.get(href, headers=served.headers)).status_code == 200, href


def properties(models: Any, answer: Any) -> set[str]:
    """The names that a record of an answer may have."""
    envelope = resolved(document(DOCUMENT), answer["content"]["application/json"]["schema"])
    [content] = envelope["properties"].values()
    record = resolved(document(DOCUMENT), content.get("items", content))
    return {field for part in record["allOf"] for field in resolved(document(DOCUMENT), part)["properties"]}


# --- what a record is in 1.1 ---------------------------------------------------------------------------------


@module
async def test_a_person_has_one_role_and_the_orgs_at_which_it_is_held(served: Served) -> None:
    users = {SHORT[row["sourcedId"]]: row for row in (await get(served, "/users")).json()["users"]}
    held = {short: (row["role"], [SHORT[org["sourcedId"]] for org in row["orgs"]]) for short, row in users.items()}
    assert held == {
        "ann": ("student", ["alder"]), "bo": ("student", ["alder"]), "cy": ("student", ["birch"]),
        "tess": ("teacher", ["alder"]), "gil": ("guardian", ["alder"]), "pam": ("administrator", ["alder", "birch"]),
    }  # fmt: skip
    assert (users["pam"]["enabledUser"], users["pam"]["username"], users["ann"]["username"]) == (False, "pam", "")
    assert users["ann"]["metadata"] == {"house": "Red", "points": 7}
    assert (await get(served, f"/users/{name('guest')}")).status_code == 404


@module
async def test_words_that_came_later_are_said_as_1_1_has_them(served: Served) -> None:
    one = (await get(served, f"/enrollments/{name('pam-m5a')}")).json()["enrollment"]
    assert one["role"] == "aide"
    one = (await get(served, f"/demographics/{name('cy')}")).json()["demographics"]
    assert one.keys() == {"sourcedId", "status", "dateLastModified", "white"} and one["white"] is True
    one = (await get(served, f"/classes/{name('m5c')}")).json()["class"]
    assert (one["periods"], "classType" in one) == ("1,3", False)
    one = (await get(served, f"/lineItems/{name('talk')}")).json()["lineItem"]
    assert (SHORT[one["gradingPeriod"]["sourcedId"]], one["resultValueMin"]) == ("fall", 2)
    assert (await get(served, f"/lineItems/{name('quiz')}")).json()["lineItem"]["resultValueMin"] == 0
    one = (await get(served, f"/resources/{name('atlas')}")).json()["resource"]
    assert (one["role"], "roles" in one) == ("student", False)


@module
async def test_what_1_1_cannot_say_is_left_out_and_gone_for_a_delta(served: Served) -> None:
    assert await names(served, "/results") == {"ann-quiz"}  # the others have no score, and a zero would be a lie
    since = {"filter": f"dateLastModified>'{wire.START.isoformat()}'"}
    rows = (await get(served, "/results", **since)).json()["results"]
    assert {SHORT[row["sourcedId"]]: (row["status"], len(row) > 3) for row in rows} == {
        "ann-quiz": ("active", True), "bo-quiz": ("tobedeleted", False), "cy-essay": ("tobedeleted", False),
    }  # fmt: skip
    active = {"filter": f"status='active' AND {since['filter']}"}
    assert await names(served, "/results", **active) == {"ann-quiz"}
    users = (await get(served, "/users", **since)).json()["users"]
    gone = {SHORT[row["sourcedId"]] for row in users if row["status"] == "tobedeleted"}
    assert gone == {"guest", "gone", "left"}
    assert all(row.keys() == {"sourcedId", "status", "dateLastModified"} for row in users if row["status"] != "active")


# --- what is asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "filter", "expected"),
    [
        ("/users", "role='administrator'", {"pam"}),
        ("/users", "role='teacher'", {"tess", "pam"}),
        ("/users", "role!='student'", {"tess", "gil", "pam"}),
        ("/users", "role!='administrator' AND role~'er'", {"tess"}),
        ("/users", "role='visitor'", set()),
        ("/users", f"orgs.sourcedId='{name('birch')}'", {"cy", "tess", "pam"}),
        ("/users", "enabledUser='false' OR givenName='Ann'", {"pam", "ann"}),
        ("/enrollments", "role='aide'", {"pam-m5a"}),
        ("/enrollments", "role!='student'", {"tess-m5a", "pam-m5a"}),
        ("/resources", "role='teacher'", {"atlas"}),
        ("/lineItems", f"gradingPeriod.sourcedId='{name('fall')}'", {"talk"}),
        ("/lineItems", f"gradingPeriod.sourcedId!='{name('fall')}'", {"quiz", "essay"}),
        ("/lineItems", "class.sourcedId='x' OR resultValueMin>='1'", {"talk"}),
    ],
)
@module
async def test_a_filter_goes_by_the_fields_of_1_1(served: Served, path: str, filter: str, expected: set[str]) -> None:
    assert await names(served, path, filter=filter) == expected


@module
async def test_fields_are_those_of_1_1_and_on_record_by_what_they_are_made_of(served: Served) -> None:
    async with served.store.transaction(served.laid.district) as c:
        last = await c.scalar(text("SELECT coalesce(max(id), 0) FROM client_read"))
    [row] = (await get(served, "/users", fields="role,username", filter="givenName='Ann'")).json()["users"]
    assert row == {"role": "student", "username": ""}
    async with served.store.transaction(served.laid.district) as c:
        kept = (await c.execute(text("SELECT fields FROM client_read WHERE id > :last"), {"last": last})).scalar_one()
    assert kept == [["givenName", "roles"]], "by what she was found, and of what she was told"
    in_order = (await get(served, "/users", sort="familyName", orderBy="acs", fields="familyName")).json()["users"]
    assert [row["familyName"] for row in in_order[:2]] == ["Hale", "Marrow"]


@module
async def test_an_agreement_names_fields_of_1_2(served: Served) -> None:
    try:
        await wire.reagree(
            served.store, served.laid, {"users": frozenset({"givenName", "email"}), "results": frozenset({"student"})}
        )
        users = (await get(served, "/users", limit="2")).json()["users"]
        assert all(row.keys() <= {*BASE, "givenName", "email"} for row in users)
        assert len((await get(served, "/results")).json()["results"]) == 3  # nobody learns who has no score
        for path in ("/users?filter=role='student'", "/students", "/orgs", "/users?filter=orgs.sourcedId='x'"):
            answer = await get(served, path)
            assert (answer.status_code, minor(answer)) == (403, "unauthorisedrequest"), path
    finally:
        await wire.reagree(served.store, served.laid, wire.WHOLE)


# --- refusals ------------------------------------------------------------------------------------------------


@published
@module
async def test_a_refusal_is_in_the_words_of_1_1(served: Served) -> None:
    for query, status, code in (
        ("filter=pronouns='x'", 400, "invaliddata"),
        ("filter=title", 400, "invaliddata"),
        ("filter=orgs='x'", 400, "invaliddata"),
        ("fields=sourcedId,roles", 400, "invalid_selection_field"),
        ("limit=0", 422, "invaliddata"),
        ("limit=1001", 403, "unauthorisedrequest"),
        ("orderBy=up", 422, "invaliddata"),
    ):
        answer = await get(served, f"/users?{query}")
        assert (answer.status_code, minor(answer)) == (status, code), query
        assert complaints("/users", answer) == []
        assert answer.json()["imsx_messageRefIdentifier"] == answer.headers["correlation-id"]
    for path in ("/scoreScales", f"/users/{name('ann')}/resources", "/assessmentResults", f"/users/{name('nobody')}"):
        answer = await get(served, path)
        assert (answer.status_code, minor(answer)) == (404, "unknownobject"), path
    answer = await served.http.put(f"{ROOT}/users/{name('ann')}", headers=served.headers)
    assert (answer.status_code, minor(answer)) == (405, "unsupportedoperation")


@published
@module
async def test_without_the_right_token_nothing_is_served(served: Served) -> None:
    for operation in OLDER_OPERATIONS:
        where = f"{ROOT}{address(operation)}"
        others = await served.token(*(set(ONEROSTER) - operation.scopes))
        for headers, status in (({}, 401), ({"Authorization": "Bearer nonsense"}, 401), (others, 403)):
            answer = await served.http.get(where, headers=headers)
            assert (answer.status_code, minor(answer)) == (status, "unauthorisedrequest"), where
        [*_, scope] = sorted(operation.scopes)
        assert scope.startswith(V1P1)
        assert (await served.http.get(where, headers=await served.token(scope))).status_code == 200


@module
async def test_a_mistake_of_ours_shows_a_number_and_nothing_else(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whose = "Quillfeather"  # a trace quotes the line that raises

    async def fail(*args: Any) -> None:
        raise RuntimeError(whose)

    monkeypatch.setattr("gateway.store.serving.page", fail)
    answer = await get(served, "/users")
    assert (answer.status_code, minor(answer)) == (500, "targetreadfailure")
    assert answer.json()["imsx_messageRefIdentifier"] == answer.headers["correlation-id"]
    assert whose not in caplog.text + answer.text


# --- what programs write -------------------------------------------------------------------------------------


@published
def test_what_1_1_writes_is_written() -> None:
    theirs = {
        (method.upper(), path)
        for path, there in document(DOCUMENT)["paths"].items()
        for method in there
        if method in ("put", "delete")
    }
    assert {(one.method, one.path) for one in OLDER_WRITINGS} == theirs
    assert len(theirs) == 6


async def test_a_record_of_1_1_is_put_read_in_both_versions_and_deleted(
    store: Store, settings: Settings, district: int, tmp_path: Path
) -> None:
    book = await writing.lay(store, district, tmp_path / "roster")
    item = {
        "title": "Fractions", "assignDate": "2026-10-01T00:00:00.000Z", "class": book.ref("m5a"),
        "category": {"sourcedId": "own-work"}, "gradingPeriod": book.ref("fall"), "resultValueMin": 0,
    }  # fmt: skip
    result = {
        "lineItem": {"sourcedId": "own-item"}, "student": book.ref("ann"), "score": 7, "scoreDate": "2026-10-03",
        "scoreStatus": "fully graded",
    }  # fmt: skip
    records = {
        "categories": ("category", "own-work", {"title": "Homework"}),
        "lineItems": ("lineItem", "own-item", item),
        "results": ("result", "own-result", result),
    }
    async with serving(api.create_app(store, settings)) as http:
        http.timeout = httpx.Timeout(60)  # where much else runs, what is written takes its time
        vendor = await book.vendor(http, "Quizzes")

        async def call(method: str, path: str, body: Any = None, root: str = ROOT) -> httpx.Response:
            return await http.request(method, f"{root}{path}", json=body, headers=vendor.headers)

        for collection, (envelope, id, record) in records.items():
            where = f"/{collection}/{id}"
            answer = await call("PUT", where, {envelope: {"sourcedId": id, "status": "active", **record}})
            assert (answer.status_code, answer.content) == (201, b""), answer.text
            answer = await call("GET", where)
            if CONTRACTS.is_dir():
                assert complaints(f"/{collection}/{{sourcedId}}", answer) == []
            assert (
                answer.json()[envelope].items() >= {k: v for k, v in record.items() if k in ("title", "score")}.items()
            )
            assert (await call("GET", where, root=writing.GRADEBOOK)).status_code == 200
        wrong = await call("PUT", "/results/own-result", {"result": {**result, "student": {"sourcedId": "nobody"}}})
        assert minor(wrong) == "unknownobject" and "imsx_messageRefIdentifier" in wrong.json()
        theirs = await call("DELETE", f"/results/{book.ids['ann-quiz']}")
        assert (theirs.status_code, minor(theirs)) == (403, "unauthorisedrequest")
        for collection, (_, id, _) in reversed(records.items()):
            assert (await call("DELETE", f"/{collection}/{id}")).status_code == 204
            assert (await call("GET", f"/{collection}/{id}")).status_code == 404
        reader = await clients.issue_token(
            store, clients.Client(vendor.client, district, "", frozenset(ONEROSTER)), [f"{V1P1}gradebook.readonly"]
        )
        vendor.headers["Authorization"] = f"Bearer {reader}"
        for one in OLDER_WRITINGS:
            answer = await call(one.method, one.path.replace("{sourcedId}", "x"), {})
            assert (answer.status_code, minor(answer)) == (403, "unauthorisedrequest")


# --- signatures ----------------------------------------------------------------------------------------------


@module
async def test_a_signature_opens_the_core_of_the_roster_where_the_district_allows_it(served: Served) -> None:
    store, laid = served.store, served.laid
    root = f"{store.address}{ROOT}"
    filter = "filter=familyName%3D%27O%27%27Quill%27&limit=1&fields=sourcedId,givenName"

    async def status(path: str, secret: str, **given: Any) -> int:
        signer = oauth1.Client(laid.client, secret, **given)
        answer = await served.http.get(f"{root}{path}", headers=dict(signer.sign(f"{root}{path}")[1]))
        return answer.status_code

    assert await status("/orgs", "guessed") == 401
    secret = await credentials.switch_oauth1(store, laid.district, laid.client, True, ACTOR)
    assert secret is not None
    for method in (oauth1.SIGNATURE_HMAC_SHA1, oauth1.SIGNATURE_HMAC_SHA256):
        assert await status(f"/users?{filter}", secret, signature_method=method) == 200
    core = [one for one in OLDER_OPERATIONS if f"{V1P1}roster-core.readonly" in one.scopes]
    assert len(core) == 22
    for operation in OLDER_OPERATIONS:
        assert await status(address(operation), secret) == (200 if operation in core else 403), operation.path
    assert await status("/orgs", secret, timestamp=str(int(time.time()) - 3600)) == 401
    signed = dict(oauth1.Client(laid.client, secret).sign(f"{root}/users?{filter}")[1])
    newer = "/ims/oneroster/rostering/v1p2/orgs"
    for where, expected in (
        (f"{root}/users?{filter}", 200),
        (f"{root}/users?{filter}", 401),  # the nonce was used
        (f"{root}/users?{filter}&offset=1", 401),
    ):
        assert (await served.http.get(where, headers=signed)).status_code == expected
    header = dict(oauth1.Client(laid.client, secret).sign(f"{store.address}{newer}")[1])
    assert (await served.http.get(newer, headers=header)).status_code == 401  # 1.2 knows no signatures
    await credentials.switch_oauth1(store, laid.district, laid.client, False, ACTOR)
    assert await status("/orgs", secret) == 401


@module
async def test_a_signature_reaches_no_further_than_the_agreement(served: Served) -> None:
    district = await registers.district(served.store, "older, not agreed")
    id, _ = await clients.add(served.store, district, "reader", ONEROSTER, ACTOR)
    secret = await credentials.switch_oauth1(served.store, district, id, True, ACTOR)
    where = f"{served.store.address}{ROOT}/orgs"
    header = dict(oauth1.Client(id, secret).sign(where)[1])
    answer = await served.http.get(where, headers=header)
    assert (answer.status_code, minor(answer)) == (403, "unauthorisedrequest")


async def test_behind_a_proxy_the_public_address_is_what_was_signed(
    store: Store, settings: Settings, district: int
) -> None:
    laid = await wire.lay(store, district, ACTOR, *ONEROSTER)
    secret = await credentials.switch_oauth1(store, district, laid.client, True, ACTOR)
    public = "https://planbridge.example.org/gw"
    known = settings.model_copy(update={"public_url": public, "trusted_proxy": "127.0.0.1"})
    store.address = known.address
    async with serving(api.create_app(store, known), "127.0.0.1") as http:
        path = f"{ROOT}/classes?limit=1&sort=title"
        header = dict(oauth1.Client(laid.client, secret).sign(f"{public}{path}")[1])
        inside = dict(oauth1.Client(laid.client, secret).sign(f"{http.base_url}{path}")[1])
        proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
        answer = await http.get(path, headers=header | proxied)
        refused = await http.get(path, headers=inside | proxied)
    assert (answer.status_code, refused.status_code) == (200, 401)
    [row] = answer.json()["classes"]
    assert row["school"]["href"].startswith(f"{public}{ROOT}/orgs/")
    assert answer.links["next"]["url"] == f"{public}{ROOT}/classes?sort=title&limit=1&offset=1"
