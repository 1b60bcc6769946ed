"""What programs write by OneRoster: every operation that writes, whose a record is, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from connectors.oneroster.settings import OneRosterSettings, auth
from connectors.oneroster.sink import open_sink
from gateway import api, jobs
from gateway import record as running
from gateway.api.oneroster import discovery
from gateway.api.oneroster.operations import WRITINGS
from gateway.connector import Document
from gateway.errors import Refused
from gateway.events import CHANGES, REACH, Sources
from gateway.http import Http, MemoryTokens
from gateway.scopes import ONEROSTER
from gateway.served import WRITABLE
from gateway.settings import Settings
from gateway.store import clients, events, purges, reading, registers, runs, vendors
from gateway.store import writing as stored
from gateway.store.database import Store
from tests.api import writing
from tests.api.conftest import serving
from tests.api.test_oneroster import DOCUMENTS, minor, published, valid
from tests.api.writing import ACTOR, Gradebook, Vendor
from tests.openapi import document
from tests.records import small, tied_goal

module = pytest.mark.asyncio(loop_scope="module")
DAY = "2026-10-03"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(settings: Settings) -> AsyncIterator[Store]:
    opened = await Store.open(settings)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(store: Store, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(api.create_app(store, settings)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def book(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Gradebook:
    district = await registers.district(store, "gradebook")
    return await writing.lay(store, district, tmp_path_factory.mktemp("sis") / "roster")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendor(book: Gradebook, http: httpx.AsyncClient) -> Vendor:
    """With one record of each collection that it wrote: what others of these tests refer to."""
    made = await book.vendor(http, "Quizzes")
    for path, record in FIRST.items():
        answer = await made.put(path, **{name: _said(book, value) for name, value in record.items()})
        assert (answer.status_code, answer.content) == (201, b""), answer.text
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(book: Gradebook, http: httpx.AsyncClient, vendor: Vendor) -> Vendor:
    return await book.vendor(http, "Essays")


ITEM = {
    "title": "Fractions", "assignDate": "2026-10-01T00:00:00.000Z", "dueDate": "2026-10-08T00:00:00.000Z",
    "class": "ref m5a", "category": "ref own-work", "academicSession": "ref fall", "scoreScale": "ref own-scale",
    "resultValueMin": 0, "resultValueMax": 10,
    "learningObjectiveSet": [{"source": "case", "learningObjectiveIds": ["x-1"]}],
}  # fmt: skip
RESULT = {"lineItem": "ref own-item", "student": "ref ann", "score": 12, "scoreDate": DAY}
FIRST: dict[str, dict[str, Any]] = {
    "/categories/own-work": {"title": "Homework", "weight": 0.5, "metadata": None},
    "/scoreScales/own-scale": {"title": "Letters", "type": "ordinal", "class": "ref m5a",
                               "scoreScaleValue": [{"itemValueLHS": "A", "itemValueRHS": "4"}]},
    "/lineItems/own-item": ITEM,
    "/results/own-result": RESULT | {"comment": "", "late": True, "scoreStatus": "partially graded"},
    "/assessmentLineItems/own-test": {"title": "Unit test", "class": "ref m5a", "metadata": {"purpose": "Summative"}},
    "/assessmentResults/own-outcome": {"assessmentLineItem": "ref own-test", "student": "ref ann", "score": 7.5,
                                       "scoreDate": DAY, "scorePercentile": 81},
}  # fmt: skip
"""As lenient clients send them: no status, no dateLastModified, references with an id alone, nulls."""


def _said(book: Gradebook, value: Any) -> Any:
    return book.ref(value.removeprefix("ref ")) if isinstance(value, str) and value.startswith("ref ") else value


def item(book: Gradebook, **more: Any) -> dict[str, Any]:
    return {name: _said(book, value) for name, value in (ITEM | more).items()}


def result(book: Gradebook, **more: Any) -> dict[str, Any]:
    return {name: _said(book, value) for name, value in (RESULT | more).items()}


async def modified(vendor: Vendor, path: str) -> str:
    [row] = (await vendor.get(path)).json().values()
    return str(row["dateLastModified"])


# --- every operation ------------------------------------------------------------------------------------------


@published
def test_every_operation_that_writes_is_there_with_the_scopes_of_the_document() -> None:
    theirs = [
        (method.upper(), path, one["operationId"], frozenset(one["security"][0]["OAuth2CC"]))
        for path, there in document(DOCUMENTS["gradebook"])["paths"].items()
        for method, one in there.items()
        if method in ("put", "post", "delete")
    ]
    assert sorted(theirs, key=str) == sorted(((o.method, o.path, o.id, o.scopes) for o in WRITINGS), key=str)


@published
@pytest.mark.parametrize("path", FIRST)
@module
async def test_what_was_put_is_read_at_once_by_its_own_sourced_id(vendor: Vendor, path: str) -> None:
    answer = await vendor.get(path)
    assert answer.status_code == 200, answer.text
    assert valid("gradebook", f"{path[: path.rindex('/')]}/{{sourcedId}}", answer) == []
    [row] = answer.json().values()
    assert row["sourcedId"] == path.rpartition("/")[2]
    listed = (await vendor.get(path[: path.rindex("/")])).json()
    assert row in next(iter(listed.values()))
    for href in (one["href"] for one in row.values() if isinstance(one, dict) and "href" in one):
        assert (await vendor.http.get(href, headers=vendor.headers)).status_code == 200


@module
async def test_a_score_beyond_the_highest_is_kept_and_what_is_below_a_class_has_it(
    book: Gradebook, vendor: Vendor
) -> None:
    row = (await vendor.get("/results/own-result")).json()["result"]
    assert (row["score"], row["late"], row["scoreStatus"]) == (12, "true", "partially graded")
    assert row["lineItem"]["sourcedId"] == "own-item"
    below = await vendor.get(f"/classes/{book.ids['m5a']}/lineItems/own-item/results")
    assert [one["sourcedId"] for one in below.json()["results"]] == ["own-result"]


@module
async def test_the_same_again_changes_nothing_and_another_does(book: Gradebook, vendor: Vendor) -> None:
    path = "/results/again"
    assert (await vendor.put(path, **result(book))).status_code == 201
    [before] = await book.ask("SELECT count(*) AS runs FROM run")
    at = await modified(vendor, path)
    answer = await vendor.put(path, **result(book), dateLastModified="2026-11-01T00:00:00.000Z")
    assert (answer.status_code, await modified(vendor, path)) == (200, at)
    assert await book.ask("SELECT count(*) AS runs FROM run") == [before]
    assert (await vendor.put(path, **result(book, score=3))).status_code == 200
    assert await modified(vendor, path) > at


@module
async def test_what_was_deleted_leaves_a_tombstone_and_can_come_back(book: Gradebook, vendor: Vendor) -> None:
    path = "/results/short-lived"
    await vendor.put(path, **result(book))
    since = await modified(vendor, path)
    answer = await vendor.call("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await vendor.get(path)).status_code == 404
    gone = (await vendor.get(f"/results?filter=dateLastModified>'{since}'")).json()["results"]
    assert ("short-lived", "tobedeleted") in [(one["sourcedId"], one["status"]) for one in gone]
    assert (await vendor.call("DELETE", path)).status_code == 404
    assert (await vendor.put(path, **result(book))).status_code == 201
    assert (await vendor.get(path)).status_code == 200


@pytest.mark.parametrize("collection", WRITABLE)
@module
async def test_each_collection_can_be_deleted(book: Gradebook, vendor: Vendor, collection: str) -> None:
    first = next(path for path in FIRST if path.startswith(f"/{collection}/"))
    record = {name: _said(book, value) for name, value in FIRST[first].items()}
    assert (await vendor.put(f"/{collection}/to-go", **record)).status_code == 201
    assert (await vendor.call("DELETE", f"/{collection}/to-go")).status_code == 204
    assert (await vendor.get(f"/{collection}/to-go")).status_code == 404


@published
@pytest.mark.parametrize("operation", [one for one in WRITINGS if one.method == "POST"], ids=lambda one: one.id)
@module
async def test_what_is_posted_gets_sourced_ids_here(book: Gradebook, vendor: Vendor, operation: Any) -> None:
    made = item(book) if operation.collection == "lineItems" else result(book)
    given = [{**made, "sourcedId": "theirs-1"}, {**made, "sourcedId": "theirs-2"}]
    path = operation.path
    for parameter, short in PARENTS.items():
        path = path.replace(f"{{{parameter}}}", book.ids.get(short, short))
    answer = await vendor.call("POST", path, {operation.collection: given})
    assert answer.status_code == 201, answer.text
    described = document(DOCUMENTS["gradebook"])["paths"][operation.path]["post"]["responses"]["201"]
    assert described["content"]["application/json"]["schema"]["$ref"].endswith("/GUIDPairSetDType")
    pairs = answer.json()["sourcedIdPairs"]
    assert [one["suppliedSourcedId"] for one in pairs] == ["theirs-1", "theirs-2"]
    for one in pairs:
        assert (await vendor.get(f"/{operation.collection}/{one['allocatedSourcedId']}")).status_code == 200
        assert (await vendor.call("DELETE", f"/{operation.collection}/{one['allocatedSourcedId']}")).status_code == 204


PARENTS = {
    "classSourcedId": "m5a", "schoolSourcedId": "alder", "lineItemSourcedId": "own-item",
    "academicSessionSourcedId": "fall",
}  # fmt: skip


@module
async def test_the_service_describes_what_can_be_written(vendor: Vendor) -> None:
    told = (await vendor.http.get(f"{writing.GRADEBOOK}/discovery/{discovery.NAMES['gradebook']}")).json()
    for one in WRITINGS:
        described = told["paths"][one.path][one.method.lower()]
        assert described["operationId"] == one.id
        assert described["security"] == [{"OAuth2CC": [scope]} for scope in one.scopes]
        assert ("requestBody" in described) == (one.method != "DELETE")
        assert (
            one.scopes
            <= told["components"]["securitySchemes"]["OAuth2CC"]["flows"]["clientCredentials"]["scopes"].keys()
        )


@module
async def test_who_writes_at_once_waits_for_its_turn(
    vendor: Vendor, other: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PATIENCE", 60)
    asked = [one.put(f"/categories/at-once-{n}", title="Work") for n, one in enumerate((vendor, other, vendor))]
    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [201, 201, 201]


# --- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "changes", "told"),
    [
        ("/lineItems/new", {"title": None}, "title"),
        ("/lineItems/new", {"category": None}, "category"),
        ("/lineItems/new", {"assignDate": "soon"}, "assignDate"),
        ("/results/new", {"scoreDate": None}, "scoreDate"),
        ("/results/new", {"scoreStatus": "nearly"}, "nearly"),
        ("/results/new", {"student": None}, "student"),
        ("/results/new", {"status": "tobedeleted"}, "status"),
        ("/results/new", {"sourcedId": "another"}, "sourcedId"),
        ("/results/" + "x" * 256, {}, "sourcedId"),
    ],
)
@module
async def test_what_cannot_be_served_is_refused_by_its_field(
    book: Gradebook, vendor: Vendor, path: str, changes: dict[str, Any], told: str
) -> None:
    record = item(book, **changes) if path.startswith("/lineItems") else result(book, **changes)
    answer = await vendor.put(path, **record)
    assert (answer.status_code, minor(answer)) == (422, "invaliddata"), answer.text
    assert told in answer.json()["imsx_description"]
    assert (await vendor.get("/results/new")).status_code == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"results": []}', b'{"result": 7}', b"\xff" * 9, b"[" * 9999])
@module
async def test_a_body_that_is_none_is_refused(vendor: Vendor, body: bytes) -> None:
    url = f"{writing.GRADEBOOK}/results/new"
    answer = await vendor.http.put(url, content=body, headers=vendor.headers)
    assert (answer.status_code, minor(answer)) == (422, "invaliddata")


@pytest.mark.parametrize(
    "changes",
    [
        {"lineItem": "ref nowhere"},
        {"student": "ref nobody"},
        {"student": "ref cy"},  # at another school
        {"student": "ref tess"},  # no student
        {"scoreScale": "ref nowhere"},
    ],
)
@module
async def test_what_is_beyond_the_agreement_cannot_be_referred_to(
    book: Gradebook, vendor: Vendor, changes: dict[str, Any]
) -> None:
    answer = await vendor.put("/results/new", **result(book, **changes))
    assert (answer.status_code, minor(answer)) == (404, "unknownobject"), answer.text
    elsewhere = await vendor.put("/lineItems/new", **item(book, **{"class": "ref m5b"}))
    assert (elsewhere.status_code, minor(elsewhere)) == (404, "unknownobject")


@module
async def test_nobody_writes_over_what_is_anothers(book: Gradebook, vendor: Vendor, other: Vendor) -> None:
    theirs = [f"/lineItems/{book.ids['quiz']}", f"/results/{book.ids['ann-quiz']}"]
    for path, record in ((theirs[0], item(book)), (theirs[1], result(book))):
        before = (await vendor.get(path)).json()
        for answer in (await vendor.put(path, **record), await vendor.call("DELETE", path)):
            assert (answer.status_code, minor(answer)) == (403, "forbidden"), answer.text
        assert (await vendor.get(path)).json() == before
    await vendor.put("/results/mine", **result(book))
    for answer in (await other.put("/results/mine", **result(book)), await other.call("DELETE", "/results/mine")):
        assert (answer.status_code, minor(answer)) == (403, "forbidden"), answer.text
    await vendor.call("DELETE", "/results/mine")
    assert (await other.put("/results/mine", **result(book))).status_code == 403
    # A name counts within its collection; what another program wrote, and the district's own, can be referred to.
    assert (await other.put("/lineItems/mine", **item(book))).status_code == 201
    assert (await other.put("/results/theirs", **result(book, lineItem="ref own-item"))).status_code == 201
    assert (await other.put("/results/ours", **result(book, lineItem="ref quiz", student="ref bo"))).status_code == 201
    assert (await vendor.get("/results/ours")).json()["result"]["lineItem"]["sourcedId"] == book.ids["quiz"]


@module
async def test_it_takes_the_scope_and_an_agreement_that_names_the_collection(
    book: Gradebook, http: httpx.AsyncClient, vendor: Vendor
) -> None:
    reader = await book.vendor(http, "Reader", writes=frozenset({"categories"}))
    answer = await reader.put("/results/new", **result(book))
    assert (answer.status_code, minor(answer)) == (403, "forbidden")
    assert "agreement-writing" in answer.text
    assert (await reader.put("/categories/readers", title="Theirs")).status_code == 201
    made = clients.Client(vendor.client, book.district, "Quizzes", frozenset(ONEROSTER))
    for operation in WRITINGS:
        rest = sorted(set(ONEROSTER) - operation.scopes)
        token = await clients.issue_token(book.store, made, rest)
        path = operation.path.replace("{", "").replace("}", "")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await http.request(operation.method, f"{writing.GRADEBOOK}{path}", headers=headers)
        assert (answer.status_code, minor(answer)) == (403, "forbidden"), operation
        assert min(operation.scopes) in answer.headers["www-authenticate"]


@module
async def test_below_a_parent_stands_nothing_that_is_elsewhere(book: Gradebook, vendor: Vendor) -> None:
    elsewhere = {"results": [result(book, lineItem="ref quiz")]}
    answer = await vendor.call("POST", "/lineItems/own-item/results", elsewhere)
    assert (answer.status_code, minor(answer)) == (422, "invaliddata")
    assert (await vendor.call("POST", "/lineItems/nowhere/results", elsewhere)).status_code == 404
    assert (
        await vendor.call("POST", f"/schools/{book.ids['birch']}/lineItems", {"lineItems": [{}]})
    ).status_code == 404
    several = {"results": [result(book), result(book, student="ref nobody")]}
    before = (await vendor.get("/results?limit=1")).headers["x-total-count"]
    assert (await vendor.call("POST", "/lineItems/own-item/results", several)).status_code == 404
    assert (await vendor.get("/results?limit=1")).headers["x-total-count"] == before


@pytest.mark.parametrize("lock", ["purge", "publish", "project"])
@module
async def test_while_the_district_publishes_a_program_is_told_to_come_again(
    book: Gradebook, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr(stored, "PATIENCE", 0.01)
    async with book.store.transaction(book.district) as c:
        await c.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:lock), :d)"),
            {"lock": f"planbridge.{lock}", "d": book.district},
        )
        answer = await vendor.put("/results/new", **result(book))
    assert (answer.status_code, minor(answer)) == (429, "server_busy")
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.undo()
    assert (await vendor.put(f"/results/after-{lock}", **result(book))).status_code == 201


# --- what becomes of it ---------------------------------------------------------------------------------------


@module
async def test_it_survives_pulls_and_projections_and_is_found_as_it_is(book: Gradebook, vendor: Vendor) -> None:
    before = {path: (await vendor.get(path)).json() for path in FIRST}
    await book.pull()
    assert await book.follow() == {}
    assert await book.follow(everything=True) == {}
    assert {path: (await vendor.get(path)).json() for path in FIRST} == before
    [found] = await book.ask("SELECT count(*) AS n FROM waiting w JOIN connection n ON n.id = w.connection_id "
                             "WHERE n.client_id IS NOT NULL")  # fmt: skip
    assert found.n == 0


@module
async def test_others_are_told_of_it_by_its_own_sourced_id(book: Gradebook, vendor: Vendor, other: Vendor) -> None:
    async with book.store.transaction(book.district) as c:
        head = await events.head(c, book.district)
        agreement = await vendors.in_force(c, other.client, date.today())
    assert (await vendor.put("/results/told", **result(book))).status_code == 201
    kinds = Sources(("result",), plans=False, deliveries=False)
    async with book.store.transaction(book.district) as c:
        until = await events.head(c, book.district)
        since = head.at - timedelta(days=1)
        found = await events.since(c, head.place, until, since, kinds, 50, agreement.id)
        reached = await events.reached(c, agreement.id, [("results", "told")])
    assert {(one.op, one.id, one.student, one.ids["line_item"]) for one in found if one.id == "told"} == {
        ("added", "told", book.ids["ann"], "own-item")
    }
    assert {one.source for one in found if one.id == "told"} == {CHANGES, REACH}
    assert reached


@module
async def test_each_write_is_on_record_and_the_list_of_runs_is_not_flooded(book: Gradebook, vendor: Vendor) -> None:
    [made] = await book.ask("SELECT id, name FROM connection WHERE client_id = :client", client=vendor.client)
    acts = await book.ask(
        "SELECT a.actor->>'client' AS client, detail->>'collection' AS collection FROM act a "
        "JOIN run r ON a.subject = CAST(r.id AS text) WHERE act = 'oneroster-write' AND r.connection_id = :id",
        id=made.id,
    )
    assert {one.client for one in acts} == {vendor.client}
    assert {one.collection for one in acts} == set(WRITABLE)
    async with book.store.transaction(book.district) as c:
        shown = [one for one in await runs.summary(c) if one["connection"] == made.name]
        written = await book.ask("SELECT id FROM run WHERE connection_id = :id ORDER BY id", id=made.id)
        [first] = await runs.summary(c, run=written[0].id)
    assert [one["kind"] for one in shown] == ["write"]
    assert shown[0]["writes"] == len(written) == len(acts)
    assert first["id"] == written[0].id
    with pytest.raises(Refused, match="connection-written"):
        await jobs.request_pull(book.store, book.district, made.id, ACTOR)


@module
async def test_a_person_undoes_what_a_program_wrote_and_it_waits(
    book: Gradebook, http: httpx.AsyncClient, vendor: Vendor
) -> None:
    clumsy = await book.vendor(http, "Clumsy")
    await clumsy.put("/results/right", **result(book, lineItem="ref quiz", student="ref bo"))
    await clumsy.put("/results/wrong", **result(book, lineItem="ref quiz", student="ref bo"))
    [run] = await book.ask("SELECT max(id) AS id FROM run WHERE kind = 'write'")
    undo = await jobs.request_undo(book.store, book.district, run.id, ACTOR, "It was nonsense.")
    await jobs.run_job(book.store, book.district, undo)
    await book.follow()
    assert (await clumsy.get("/results/wrong")).status_code == 404
    assert (await clumsy.get("/results/right")).status_code == 200
    answer = await clumsy.put("/results/wrong", **result(book))
    assert (answer.status_code, "writing-stopped" in answer.text) == (403, True)
    made = await registers.connection(book.store, book.district, f"Clumsy ({clumsy.client})")
    await registers.resume(book.store, book.district, made.id, ACTOR)
    assert (await clumsy.put("/results/wrong", **result(book))).status_code == 201


@module
async def test_our_own_client_pushes_to_it_and_reads_it_back(book: Gradebook, http: httpx.AsyncClient) -> None:
    vendor = await book.vendor(http, "Planner")
    url = str(http.base_url).rstrip("/")
    given = {"base_url": url, "token_url": f"{url}/oauth/token", "client_id": vendor.client, "write": "put"}
    given |= {"client_secret": vendor.secret, "private_addresses": ["127.0.0.1: ours"], "version": "1.2"}
    settings = OneRosterSettings.model_validate(given)
    documents = [
        Document("categories", {"sourcedId": "plans"}, {"sourcedId": "plans", "title": "Plans"}, create_only=True),
        Document("lineItems", {"sourcedId": "goal-1"}, {
            "sourcedId": "goal-1", "title": "Goal", "assignDate": "2026-10-01T00:00:00.000Z",
            "dueDate": "2026-12-01T00:00:00.000Z", "resultValueMin": 0, "resultValueMax": 1,
            "class": {"sourcedId": book.ids["m5a"], "type": "class"},
            "school": {"sourcedId": book.ids["alder"], "type": "org"},
            "category": {"sourcedId": "plans", "type": "category"},
        }),
        Document("results", {"sourcedId": "step-1"}, {
            "sourcedId": "step-1", "scoreStatus": "submitted", "scoreDate": DAY, "comment": "Every Tuesday",
            "lineItem": {"sourcedId": "goal-1", "type": "lineItem"},
            "student": {"sourcedId": book.ids["ann"], "type": "user"},
        }),
    ]  # fmt: skip
    async with Http(auth(settings), tokens=MemoryTokens(), network=settings.network) as own:
        sink = await open_sink(settings, own)
        for one in documents:
            assert (await sink.push(one)).status == 201
            there = await sink.read_back(one)
            assert there is not None and there | dict(one.body) == there
        assert (await sink.push(documents[0])).unchanged
        assert (await sink.push(documents[1])).status == 200
        for one in reversed(documents):
            assert (await sink.delete(one)).delivered
            assert await sink.read_back(one) is None
            assert (await sink.delete(one)).unchanged


@module
async def test_an_outcome_that_a_program_writes_is_evidence_in_the_record(
    store: Store, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    district = await registers.district(store, "evidence")
    here = await small(store, district, ACTOR, tmp_path / "roster")
    await here.finalized(0, goals=[tied_goal(measure={"assessment": "Owl Reading", "score_method": "score"})])
    schools = await reading.entities(store, district, "organization")
    book = Gradebook(store, district, 0, {"alder": next(one["id"] for one in schools if one["type"] == "school")})
    owl = await book.vendor(http, "Owl")
    outcome = {"assessmentLineItem": {"sourcedId": "owl"}, "student": {"sourcedId": here.children[0]}}
    assert (await owl.put("/assessmentLineItems/owl", title="Owl Reading")).status_code == 201
    for score in (48, 48, 50):
        answer = await owl.put("/assessmentResults/winter", **outcome, score=score, scoreDate="2026-11-20")
        assert answer.status_code in (200, 201), answer.text
    found = await running.read(store, district, here.children[0])
    points = [one.said() for one in found.standing if one.kind == "progress_point"]
    assert [one.point.value for one in points if one and one.point] == [50]
    assert [one.kind for one in found.entries] == ["progress_point", "progress_point"], "the same is no second point"
    assert (await owl.call("DELETE", "/assessmentResults/winter")).status_code == 204
    read = await running.read(store, district, here.children[0])
    assert [one for one in read.standing if one.kind == "progress_point"] == []


@module
async def test_who_is_purged_is_purged_from_it(book: Gradebook, vendor: Vendor, other: Vendor) -> None:
    bo = book.ids["bo"]
    assert (await vendor.put("/results/of-bo", **result(book, student="ref bo"))).status_code == 201
    await purges.purge_student(book.store, book.district, bo, ACTOR, "The family asked.")
    await book.follow()
    assert (await vendor.get("/results/of-bo")).status_code == 404
    for table, column in (("record", "key"), ("served_results", "sourced_id"), ("reach", "sourced_id")):
        assert await book.ask(f"SELECT FROM {table} WHERE {column} = 'of-bo'") == []
    assert (await vendor.put("/results/of-bo", **result(book, student="ref bo"))).status_code == 404
    assert (await vendor.get("/results/own-result")).status_code == 200
