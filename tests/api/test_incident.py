"""An incident's list against what a program was told over HTTP; and whole collections, with and without leave."""

import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from gateway import api, clock, vendors
from gateway.api.oneroster import ROOT
from gateway.api.oneroster.operations import OLDER_OPERATIONS, OPERATIONS, Operation
from gateway.api.paging import cursor
from gateway.sections import touched
from gateway.settings import Settings
from gateway.store import bulk, clients, outbox, reads, registers
from gateway.store import vendors as stored
from gateway.store.clients import ADMIN, FOR_VENDORS, Grant
from gateway.store.database import Store
from tests import village
from tests.api import wire
from tests.api.conftest import agree, serving, token
from tests.api.test_oneroster import ACTOR, address
from tests.api.test_oneroster_older import address as older
from tests.api.wire import RECORDS, Laid, name
from tests.village import Village

module = pytest.mark.asyncio(loop_scope="module")
READS = 40
Told = set[tuple[str, str, str]]
"""Student, collection, field."""


@dataclass
class Place:
    """A district with a roster as OneRoster has it, and with a student with a plan; and a vendor that reaches both."""

    store: Store
    http: httpx.AsyncClient
    laid: Laid
    village: Village
    headers: list[dict[str, str]]

    @property
    def district(self) -> int:
        return self.laid.district


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(settings: Settings) -> AsyncIterator[Place]:
    store = await Store.open(settings)
    async with serving(api.create_app(store, settings)) as http:
        yield await populated(store, http)
    await store.close()


async def populated(store: Store, http: httpx.AsyncClient) -> Place:
    district = await registers.district(store, "incident")
    laid = await wire.lay(store, district, ACTOR, *FOR_VENDORS)
    await wire.reagree(store, laid, dict.fromkeys(vendors.COLLECTIONS))
    here = await village.populate(store, district)
    await village.finalize(here)
    granted = sorted(vendors.GRANTABLE)
    async with store.transaction(district) as c:
        await c.execute(
            text("UPDATE client SET sections = CAST(:sections AS json) WHERE id = :id"),
            {"sections": str(granted).replace("'", '"'), "id": laid.client},
        )
        for collection, ids in (("students", ("student", "other")), ("users", ("student", "other"))):
            for one in ids:
                await c.execute(
                    text(
                        "INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible) "
                        "VALUES (:district, :agreement, :collection, :id, true)"
                    ),
                    {"district": district, "agreement": laid.agreement, "collection": collection, "id": here.ids[one]},
                )
    headers = [await token(store, district, laid.client, person=who) for who in (None, here.teacher)]
    return Place(store, http, laid, here, headers)


async def read(place: Place, chance: random.Random) -> Told:
    """One read that succeeds, of anything that a program may read; what it was told of whom."""
    header = chance.choice(place.headers)
    if chance.random() < 0.6:
        operation = chance.choice(OPERATIONS)
        answer = await place.http.get(
            f"{ROOT}{address(operation)}", params=parameters(operation, chance), headers=header
        )
        assert answer.status_code == 200, answer.text
        return set(of_rows(operation, answer.json()))
    student, plan = place.village.student, place.village.plan
    path = chance.choice(
        [
            "/v1/students",
            "/v1/students?fields=given_name,family_name",
            f"/v1/students/{student}",
            f"/v1/students/{student}?fields=given_name",
            f"/v1/students/{student}/plan",
            f"/v1/students/{student}/plan?fields=goals",
            f"/v1/students/results?student={student}",
            "/v1/plans",
            f"/v1/plans/{plan}",
            f"/v1/plans/{plan}?fields=needs,title",
            f"/v1/plans/{plan}/versions",
            f"/v1/plans/{plan}/versions/1",
            f"/v1/plans/{plan}/deliveries",
            "/v1/events?limit=50",
        ]
    )
    answer = await place.http.get(path, headers=header)
    assert answer.status_code in (200, 403), answer.text
    return set(of_answer(path, student, answer.json())) if answer.status_code == 200 else set()


def parameters(operation: Operation, chance: random.Random) -> dict[str, str]:
    asked = {}
    if chance.random() < 0.4:
        known = sorted(vendors.fields_of(operation.view.collection))
        asked["fields"] = ",".join(["sourcedId", *chance.sample(known, min(2, len(known)))])
    if not operation.one and chance.random() < 0.4:
        asked["limit"] = str(chance.randint(1, 3))
    if not operation.one and chance.random() < 0.3:
        asked["filter"] = "dateLastModified>'2026-01-01T00:00:00.000Z'"
    return asked


def whose(collection: str, short: str) -> str | None:
    """The student of whom a record tells."""
    record = RECORDS[collection][short]
    match collection:
        case "users":
            return name(short) if "student" in {role["role"] for role in record["roles"]} else None
        case "demographics":
            return name(short)
        case "enrollments":
            return str(record["user"]["sourcedId"]) if record["role"] == "student" else None
        case "results" | "assessmentResults":
            return str(record["student"]["sourcedId"])
    return None


WHOSE = {(collection, name(short)): whose(collection, short) for collection, rows in RECORDS.items() for short in rows}


def of_rows(operation: Operation, answer: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    [found] = answer.values()
    collection = operation.view.collection
    for row in [found] if operation.one else found:
        student = WHOSE[collection, row["sourcedId"]]
        if student is not None:
            yield from ((student, collection, field) for field in row)


def of_answer(path: str, student: str, answer: Any) -> Iterator[tuple[str, str, str]]:
    if "events" in answer:
        for one in answer["events"]:
            whom = one["data"].get("student") or (one["data"]["id"] if one["type"].startswith("student.") else None)
            if whom is not None:
                yield whom, "events", one["type"]
    elif "results" in answer:
        yield from ((one["student"], "record", "academic") for one in answer["results"])
    elif "plans" in answer:
        yield from ((one["student"], "plans", "state") for one in answer["plans"])
    elif path.endswith(("/versions", "/deliveries")):
        yield student, "plans", "state"
    elif "content" in answer:
        yield from ((student, "plans", section) for section in touched(answer["content"] or {}))
    else:
        for one in answer.get("students", [answer]):
            named = one["given_name"] is not None
            yield from (
                (one["id"], "record", what) for what in (["identity"] if named else ["id", "grades", "schools"])
            )


async def recorded(place: Place, chance: random.Random, n: int) -> tuple[Told, Told]:
    """So many reads: what the program was told, and what the list says of that time."""
    before = await now(place)
    expected: Told = set()
    for _ in range(n):
        expected |= await read(place, chance)
    until = await now(place)
    await read(place, chance)  # after it
    async with place.store.transaction(place.district) as c:
        found = await reads.incident(c, place.laid.client, before, until)
    return expected, {(one["student"], one["collection"], one["field"]) for one in found}


async def now(place: Place) -> Any:
    async with place.store.transaction(place.district) as c:
        return (await c.execute(text("SELECT clock_timestamp()"))).scalar_one()


@module
async def test_an_incident_has_what_was_told_and_no_more(place: Place) -> None:
    expected, found = await recorded(place, random.Random(7), READS)
    assert (sorted(found - expected), sorted(expected - found)) == ([], [])
    assert len(expected) > 40 and len({collection for _, collection, _ in expected}) > 5


# --- whole collections ---------------------------------------------------------------------------------------


@module
async def test_each_way_to_a_whole_collection_takes_leave_and_leaves_an_act_and_a_notice(place: Place) -> None:
    client, header = await walker(place, pages=1, bulk=True)
    lists = [one for one in OPERATIONS if not one.one]
    paths = [f"{ROOT}{address(one)}" for one in lists]
    paths += [f"{ROOT}/v1p1{older(one)}" for one in OLDER_OPERATIONS if not one.one]
    assert sum(bool(one.parents) for one in lists) > 20
    ways = [(path, query) for path in paths for query in ({"limit": 1001}, {"limit": 1, "offset": 1})]
    for path, query in ways:
        answer = await place.http.get(path, params=query, headers=header)
        assert answer.status_code == 403 and "privilege" in answer.text, (path, query)
    assert await traces(place) == (0, 0)
    async with place.store.transaction(place.district) as c:
        agreement = await stored.in_force(c, client, clock.today())
        until = clock.today() + timedelta(days=1)
        await bulk.grant(c, place.district, agreement, "The yearly load.", 100, until, ACTOR)
    for path, query in ways:
        answer = await place.http.get(path, params=query, headers=header)
        assert answer.status_code == 200, (path, query, answer.text)
    collections = {one.view.collection for one in lists}
    assert await traces(place) == (len(collections), len(collections)), "one of each for each export"


@pytest.mark.parametrize("clause", ["sourcedId>'{}'", "sourcedId>'{}' OR sourcedId>'{}'"])
@module
async def test_no_way_of_asking_gets_round_the_leave(place: Place, clause: str) -> None:
    """A walk from id to id begins anew each time, as far as its offset tells."""
    _, header = await walker(place, pages=2)
    path, last, pages = f"{ROOT}/rostering/v1p2/users", "", 0
    while True:
        asked = {"limit": 1, "filter": clause.format(last, last)}
        answer = await place.http.get(path, params=asked, headers=header)
        if answer.status_code == 403:
            break
        assert (await place.http.get(path, params=asked, headers=header)).status_code == 200, "the same is no new page"
        [row], pages = answer.json()["users"], pages + 1
        last = row["sourcedId"]
    assert pages == 2 and "privilege" in answer.text
    for asked in ({"limit": 1, "sort": "familyName"}, {"limit": 1, "filter": "role='student'"}):
        assert (await place.http.get(path, params=asked, headers=header)).status_code in (400, 403)
    one = {"filter": f"sourcedId='{last}'"}
    assert (await place.http.get(path, params=one, headers=header)).json()["users"], "who it has may be looked up"
    assert (await place.http.get(path.replace("users", "orgs"), headers=header)).status_code == 200


@module
async def test_how_far_somebody_walked_is_not_theirs_to_say(place: Place) -> None:
    """What a cursor says is a place and nothing else: one that a caller made up counts as much as ours."""
    _, header = await walker(place, pages=1, person=place.village.teacher)
    asked = {"limit": 1}
    first = (await place.http.get("/v1/students", params=asked, headers=header)).json()
    assert len(first["students"]) == 1
    for forged in ("0", first["students"][0]["id"]):
        further = {**asked, "cursor": cursor("students", [forged])}
        answer = await place.http.get("/v1/students", params=further, headers=header)
        assert answer.status_code == 403 and "privilege" in answer.text
    assert (await place.http.get("/v1/students", params=asked, headers=header)).json() == first
    counted = {"cursor": cursor("students", ["", 0])}
    answer = await place.http.get("/v1/students", params=counted, headers=header)
    assert answer.json()["code"] == "cursor-invalid", "there is no number in it that would be believed"


@module
async def test_the_districts_own_systems_see_what_is_agreed_and_read_and_end_it(place: Place) -> None:
    client, header = await walker(place, pages=9)
    async with place.store.transaction(place.district) as c:
        number = (await stored.in_force(c, client, clock.today())).id
    own, _ = await clients.add(place.store, place.district, "own", sorted(ADMIN), ACTOR, Grant("sis"))
    ours = await token(place.store, place.district, own)
    users = f"{ROOT}/rostering/v1p2/users?fields=sourcedId,givenName"
    students = {row["sourcedId"] for row in (await place.http.get(users, headers=header)).json()["users"]}
    assert len(students) > 2

    listed = (await place.http.get("/v1/vendors", headers=ours)).json()["agreements"]
    assert {(one["id"], one["client"], one["state"]) for one in listed} >= {(number, client, "in force")}
    whole = (await place.http.get(f"/v1/vendors/{number}", headers=ours)).json()
    [version] = whole["versions"]
    assert (version["version"], version["terms"]["signer"], whole["destruction"]) == (1, "Ottoline Farrow", None)
    use = (await place.http.get(f"/v1/vendors/{number}/use", headers=ours)).json()["use"]
    [of_users] = [one for one in use if one["collection"] == "users"]
    assert of_users["reads"] == 1 and of_users["read"] == ["givenName"] and "familyName" in of_users["never_read"]

    end = f"/v1/vendors/{number}/end"
    assert (await place.http.post(end, json={"reason": " "}, headers=ours)).status_code == 422
    ended = (await place.http.post(end, json={"reason": "It is over."}, headers=ours)).json()
    received = {(one["collection"], one["field"]): one for one in ended["received"]}
    assert ("users", "givenName") in received and received["users", "givenName"]["times"] == ended["students"] > 0
    assert "ended on" in ended["request"] and ended["students"] <= len(students)
    assert (await place.http.get(users, headers=header)).status_code == 401
    again = await place.http.post(end, json={"reason": "Once more."}, headers=ours)
    assert (again.status_code, again.json()["code"]) == (404, "vendor-agreement-unknown")
    async with place.store.transaction(place.district) as c:
        by = await c.scalar(
            text("SELECT actor->>'client' FROM act WHERE act = 'vendor-agreement-ended' AND subject = :ref"),
            {"ref": str(number)},
        )
    assert by == own


async def walker(
    place: Place, *, pages: int, bulk: bool = False, person: str | None = None
) -> tuple[str, dict[str, str]]:
    """A program of its own that may walk so many pages, and reaches what the other one does; and its token."""
    granted = Grant(sections=sorted(vendors.GRANTABLE))
    client, _ = await clients.add(place.store, place.district, "walker", FOR_VENDORS, ACTOR, granted)
    await agree(place.store, place.district, client, pages=pages, bulk=bulk)
    async with place.store.transaction(place.district) as c:
        await c.execute(
            text(
                "INSERT INTO reach SELECT r.district_id, a.id, r.collection, r.sourced_id, r.visible, now() "
                "FROM reach r, vendor_agreement a WHERE r.agreement_id = :from AND a.client_id = :client "
                "ON CONFLICT DO NOTHING"
            ),
            {"from": place.laid.agreement, "client": client},
        )
    return client, await token(place.store, place.district, client, person=person)


async def traces(place: Place) -> tuple[int, int]:
    async with place.store.transaction(place.district) as c:
        acts = await c.scalar(text("SELECT count(*) FROM act WHERE act = 'bulk-export'"))
    told = [one for one in await outbox.listed(place.store, place.district) if one["event"] == "access"]
    return int(acts or 0), len(told)
