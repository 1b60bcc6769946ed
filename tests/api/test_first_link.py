"""The one-time link for a district's first administrator; and callers that come past the proxy."""

import asyncio

import httpx
import pytest
from sqlalchemy import text

from gateway import api
from gateway.settings import Settings
from gateway.store import clients, districts
from gateway.store.clients import SCOPES
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer, serving


async def test_a_link_makes_one_client_once(store: Store, actor: Actor, http: httpx.AsyncClient) -> None:
    token = await districts.add(store, "Sorrel County", actor)
    looked = await http.get(f"/first-admin/{token}")
    assert looked.status_code == 200 and "POST" in looked.text, "looking at it uses nothing up"
    answers = await asyncio.gather(*(http.post(f"/first-admin/{token}") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 404, 404, 404]
    [made] = [answer.json() for answer in answers if answer.status_code == 201]
    assert set(made["scopes"]) == set(SCOPES)
    client = await clients.authenticate(store, made["client_id"], made["client_secret"])
    assert client is not None and client.district == await districts.named(store, "Sorrel County")
    assert client.scopes == set(SCOPES)
    async with store.owner.connect() as c:
        kept = await c.execute(text("SELECT CAST(l AS text) FROM first_link l"))
        assert all(token not in row for row in kept.scalars()), "only its hash is kept"


async def test_a_link_ends_when_its_time_is_over_or_another_takes_its_place(
    store: Store, actor: Actor, http: httpx.AsyncClient
) -> None:
    first = await districts.add(store, "Burdock County", actor)
    second = await districts.link(store, "Burdock County", actor)
    assert (await http.post(f"/first-admin/{first}")).status_code == 404
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE first_link SET expires_at = expires_at - interval '72 hours'"))
    assert (await http.post(f"/first-admin/{second}")).status_code == 404
    for nothing in ("guessed", "a" * 43, "%00", "x" * 200):
        assert (await http.post(f"/first-admin/{nothing}")).status_code in (404, 422)


async def test_a_suspended_district_refuses_its_clients(
    store: Store, actor: Actor, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    token = await districts.add(store, "Tansy County", actor)
    district = await districts.named(store, "Tansy County")
    header = await bearer(district, "students.read")
    assert (await http.get("/v1/students", headers=header)).status_code == 200
    id, secret = await clients.add(store, district, "planner", ["students.read"], actor)
    await districts.suspend(store, "Tansy County", actor, "unpaid")
    answer = await http.get("/v1/students", headers=header)
    assert (answer.status_code, answer.json()["code"]) == (409, "district-suspended")
    asked = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=(id, secret))
    assert (asked.status_code, asked.json()["error"]) == (400, "unauthorized_client")
    assert (await http.post(f"/first-admin/{token}")).json()["code"] == "district-suspended"


FAR = {"X-Forwarded-For": "203.0.113.9"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 200), (FAR, 403), (FAR | {"X-Forwarded-Proto": "http"}, 403), (FAR | {"X-Forwarded-Proto": "https"}, 200)],
)
async def test_behind_a_proxy_only_what_came_to_it_encrypted_is_answered(
    store: Store, settings: Settings, headers: dict[str, str], status: int
) -> None:
    behind = settings.model_copy(update={"trusted_proxy": "127.0.0.1", "public_url": "https://plans.example.org/api"})
    async with serving(api.create_app(store, behind), trusted_proxy="127.0.0.1") as http:
        assert (await http.get("/health/live", headers=headers)).status_code == status
        assert (await http.get("/openapi.json")).json()["servers"] == [{"url": "https://plans.example.org/api"}]
    async with serving(api.create_app(store, behind), trusted_proxy="127.0.0.2") as http:
        forwarded = 403 if headers else 200
        assert (await http.get("/health/live", headers=headers)).status_code == forwarded, "a stranger is not believed"
