"""The feed of events: whatever happened is told once, to whoever may know of it, and as ids."""

import json
import time
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import projections
from gateway.access import SECTIONS
from gateway.store import clients
from gateway.store.clients import Client, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Rule
from tests.api.world import PLANTED, World, finalized
from tests.store.served_rows import agreed, terms

ALL = ("events.read", "changes.read", "plans.read", "deliveries.read", "webhooks.write")


async def program(
    store: Store, district: int, actor: Actor, *scopes: str, kind: str = "sis", sections: bool = True
) -> tuple[Client, dict[str, str]]:
    """A program of the district's own unless `kind` says otherwise, and the header with its token."""
    every = [section for section in SECTIONS if section in ("identity", "academic", "goals", "supports")]
    grant = Grant(kind, "planning", every if sections else ())
    id, secret = await clients.add(store, district, "listener", scopes or ALL, actor, grant)
    client = await clients.authenticate(store, id, secret)
    assert client is not None
    return client, {"Authorization": f"Bearer {await clients.issue_token(store, client, client.scopes)}"}


async def look(http: httpx.AsyncClient, header: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await http.get("/v1/events", params=query, headers=header)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refusal(http: httpx.AsyncClient, header: dict[str, str], **query: Any) -> tuple[int, str]:
    answer = await http.get("/v1/events", params=query, headers=header)
    return answer.status_code, answer.json()["code"]


async def happens(c: AsyncConnection, district: int, op: str, *ids: str, kind: str = "course") -> None:
    """As a publication writes it."""
    values = {"district": district, "kind": kind, "op": op}
    publication = await c.scalar(
        text("INSERT INTO publication (district_id, at) VALUES (:district, now()) RETURNING id"), values
    )
    for id in ids:
        await c.execute(
            text(
                "INSERT INTO change (district_id, publication, kind, entity_id, op) "
                "VALUES (:district, :publication, :kind, CAST(:id AS uuid), :op)"
            ),
            values | {"publication": publication, "id": id},
        )


async def test_everything_is_told_once_in_pages_of_any_size_and_as_ids(
    world: World, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    _, header = await program(store, world.district, actor)
    whole = await look(http, header, limit=1000)
    paged, place, more = [], "", True
    while more:
        page = await look(http, header, limit=7, after=place)
        paged, place, more = paged + page["events"], page["next"], page["more"]
    assert paged == whole["events"] and not whole["more"]
    assert len({one["id"] for one in paged}) == len(paged)
    told = {one["type"] for one in paged}
    assert {"student.added", "contact.added", "plan.created", "plan.finalized", "delivery.parked"} <= told
    assert [word for word in PLANTED if word in json.dumps(whole)] == []
    final = [one["data"] for one in paged if one["type"] == "plan.finalized"]
    assert final == [{"plan": world.final, "student": world.student, "version": 1}]

    assert (await look(http, header, after=place))["events"] == []
    another = await finalized(store, world, actor)
    news = await look(http, header, after=place)
    assert {one["data"]["plan"] for one in news["events"]} == {another}
    assert (await look(http, header, after="now"))["events"] == []
    only = await look(http, header, type=["plan.finalized"])
    assert {one["type"] for one in only["events"]} == {"plan.finalized"}
    assert await refusal(http, header, type=["student.named"]) == (400, "event-type-invalid")

    # Each scope opens its own, and the sections that were granted open plans.
    _, roster = await program(store, world.district, actor, "events.read", "changes.read")
    _, none = await program(store, world.district, actor, "events.read")
    _, bare = await program(store, world.district, actor, "events.read", "plans.read", sections=False)
    kinds = {one["type"].partition(".")[0] for one in (await look(http, roster, limit=1000))["events"]}
    assert "student" in kinds and not kinds & {"plan", "delivery"}
    assert (await look(http, none))["events"] == (await look(http, bare))["events"] == []
    client, _ = await program(store, world.district, actor)
    token = await clients.issue_token(store, client, ["events.read", "plans.read"])  # fewer than the client has
    fewer = await look(http, {"Authorization": f"Bearer {token}"}, limit=1000)
    assert {one["type"].partition(".")[0] for one in fewer["events"]} == {"plan"}
    _, without = await program(store, world.district, actor, "changes.read")
    assert (await refusal(http, without))[0] == 403


async def test_a_vendor_is_told_of_what_it_reaches_and_of_what_leaves_its_reach(
    world: World, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    client, header = await program(store, world.district, actor, kind="vendor")
    assert await refusal(http, header) == (403, "agreement-none")
    await projections.follow(store, world.district)
    named = dict.fromkeys(("users", "plans"))
    await agreed(store, world.district, actor, terms(collections=named), client.id)
    assert await refusal(http, header) == (403, "agreement-collection")
    named["events"] = None
    students = frozenset({"student"})
    await agreed(store, world.district, actor, terms(collections=named, rule=Rule(people=students)), client.id)
    first = await look(http, header, limit=1000)
    told = [(one["type"], one["data"].get("student") or one["data"]["id"]) for one in first["events"]]
    assert {type for type, _ in told} >= {"student.added", "plan.finalized", "delivery.parked"}
    assert not {type for type, _ in told} & {"contact.added", "staff.added", "organization.added"}
    assert len([one for one in told if one == ("student.added", world.student)]) == 1

    # Nobody is within reach any more: whoever was is told as gone, and of plans nothing more is told.
    grade = Rule(people=students, grades=frozenset({"12"}))
    await agreed(store, world.district, actor, terms(collections=named, rule=grade), client.id)
    await finalized(store, world, actor)
    async with store.transaction(world.district) as c:
        await happens(c, world.district, "changed", world.student, kind="person")
    gone = await look(http, header, after=first["next"], limit=1000)
    assert {one["type"] for one in gone["events"]} == {"student.removed"}
    assert sorted(one["data"]["id"] for one in gone["events"]) == sorted(
        {id for type, id in told if type == "student.added"}
    )

    async with store.transaction(world.district) as c:
        rows = await c.execute(
            text(
                "SELECT fields, sets[array_position(students, CAST(:student AS uuid))] AS at FROM client_read "
                "WHERE client_id = :client AND collection = 'events' ORDER BY id"
            ),
            {"client": client.id, "student": world.student},
        )
        noted = [set(row.fields[row.at]) for row in rows]
        assert "plan.finalized" in noted[0] and noted[1] == {"student.removed"}
        await c.execute(text("UPDATE vendor_agreement SET ended_at = now() WHERE client_id = :id"), {"id": client.id})
    assert await refusal(http, header) == (403, "agreement-ended")


async def test_what_a_slow_transaction_writes_is_told_after_it_and_nothing_overtakes_it(
    district: int, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    _, header = await program(store, district, actor, "events.read", "changes.read")
    place = (await look(http, header, after="now"))["next"]
    slow, quick = str(uuid4()), str(uuid4())
    async with store.transaction(district) as c:
        await happens(c, district, "added", slow)
        async with store.transaction(district) as other:
            await happens(other, district, "added", quick)
        early = await look(http, header, after=place)
        assert early["events"] == []
    late = await look(http, header, after=early["next"])
    assert [one["data"]["id"] for one in late["events"]] == [slow, quick]
    async with store.transaction(district) as c:  # what a student needs is nobody's event
        await happens(c, district, "added", str(uuid4()), kind="program_status")
        await happens(c, district, "added", str(uuid4()), kind="meal_eligibility")
        await happens(c, district, "removed", slow)
    assert [one["type"] for one in (await look(http, header, after=late["next"]))["events"]] == ["course.removed"]


async def test_a_place_that_is_lost_is_said_to_be(
    district: int, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    _, header = await program(store, district, actor, "events.read", "changes.read")
    place = (await look(http, header, after="now"))["next"]
    epoch, at, *rest = place.split("-")
    days = int(time.time() - int(at)) + 86_400
    young, old = ("-".join([epoch, str(int(at) - n * days), *rest]) for n in (29, 31))
    assert (await look(http, header, after=young))["events"] == []
    assert await refusal(http, header, after=old) == (410, "events-expired")
    assert await refusal(http, header, after=f"{'0' * 12}-{at}-{'-'.join(rest)}") == (410, "events-reset")
    assert (await refusal(http, header, after="yesterday"))[0] == 422
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE district SET feed = gen_random_uuid() WHERE id = :id"), {"id": district})
    assert await refusal(http, header, after=place) == (410, "events-reset")


async def test_a_client_keeps_its_own_webhooks_and_sees_nobody_elses(
    district: int, store: Store, http: httpx.AsyncClient, actor: Actor
) -> None:
    _, mine = await program(store, district, actor)
    _, other = await program(store, district, actor)
    url = "https://hooks.vendor.example.org/in/planted-key"
    made = await http.post("/v1/webhooks", json={"url": url, "types": ["student.changed"]}, headers=mine)
    assert made.status_code == 201 and made.json()["secret"].startswith("whsec_")
    path = f"/v1/webhooks/{made.json()['id']}"
    for body, code in (
        ({"url": url}, "webhook-exists"),
        ({"url": "http://hooks.vendor.example.org/"}, "url-not-https"),
        ({"url": "https://other.example.org/", "types": ["x"]}, "event-type-invalid"),
    ):
        refused = await http.post("/v1/webhooks", json=body, headers=mine)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
    shown = await http.get("/v1/webhooks", headers=mine)
    assert [(one["to"], one["types"]) for one in shown.json()] == [
        ("https://hooks.vendor.example.org", ["student.changed"])
    ]
    assert "planted-key" not in shown.text and made.json()["secret"] not in shown.text
    assert (await http.get("/v1/webhooks", headers=other)).json() == []
    for method, tail in (
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/parked"),
        ("POST", "/replay"),
    ):
        assert (await http.request(method, path + tail, headers=other)).status_code == 404
    rotated = await http.post(f"{path}/rotate", headers=mine)
    assert rotated.json()["secret"] != made.json()["secret"]
    assert (await http.get(f"{path}/attempts", headers=mine)).json() == []
    assert (await http.delete(path, headers=mine)).status_code == 204
    assert (await http.get("/v1/webhooks", headers=mine)).json() == []
