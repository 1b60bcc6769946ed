"""How a client gets a token, what it is refused, and when the token ends."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import text

from gateway.errors import ConfigError, Refused
from gateway.store import clients, registers
from gateway.store.clients import SCOPES
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import token


@dataclass(frozen=True)
class Known:
    """A client that may see connections and runs."""

    id: str
    secret: str
    district: int

    @property
    def form(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "client_id": self.id, "client_secret": self.secret}


@pytest.fixture
async def known(store: Store, district: int, actor: Actor) -> Known:
    made = await clients.add(store, district, "planner", ["runs.read", "connections.read"], actor, clients.Grant("sis"))
    return Known(*made, district)


def basic(user: str | bytes, password: str = "") -> dict[str, str]:
    said = user if isinstance(user, bytes) else f"{user}:{password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(said).decode()}"}


async def ask(http: httpx.AsyncClient, form: Mapping[str, str], header: dict[str, str] | None = None) -> httpx.Response:
    return await http.post("/oauth/token", data=dict(form), headers=header or {})


async def test_a_client_gets_a_token_by_form_or_by_basic(http: httpx.AsyncClient, known: Known) -> None:
    for form, header in (
        (known.form, None),
        ({"grant_type": "client_credentials"}, basic(known.id, known.secret)),
        ({"grant_type": "client_credentials", "client_id": known.id}, basic(known.id, known.secret)),
    ):
        answer = await ask(http, form, header)
        assert answer.status_code == 200
        given = answer.json()
        assert given.keys() == {"access_token", "token_type", "expires_in", "scope"}
        assert (given["token_type"], given["expires_in"]) == ("Bearer", 3600)
        assert answer.headers["cache-control"] == "no-store"
        used = await http.get("/v1/runs", headers={"Authorization": f"bearer {given['access_token']}"})
        assert (used.status_code, used.json()) == (200, [])


async def test_a_token_has_the_scopes_asked_for_or_all_of_the_client(http: httpx.AsyncClient, known: Known) -> None:
    every = await ask(http, known.form)
    assert every.json()["scope"] == "connections.read runs.read"
    one = await ask(http, known.form | {"scope": " runs.read "})
    assert one.json()["scope"] == "runs.read"
    header = {"Authorization": f"Bearer {one.json()['access_token']}"}
    assert (await http.get("/v1/runs", headers=header)).status_code == 200
    assert (await http.get("/v1/connections", headers=header)).status_code == 403


@pytest.mark.parametrize("scope", ["runs.write", "runs.read runs.write", "everything"])
async def test_a_scope_the_client_lacks_is_an_error(http: httpx.AsyncClient, known: Known, scope: str) -> None:
    answer = await ask(http, known.form | {"scope": scope})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": "guessed"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": "client-0"}, "invalid_client"),
        ({"client_id": "client\0"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
    ],
)
async def test_what_is_wrong_has_its_name(
    http: httpx.AsyncClient, known: Known, changed: dict[str, str], error: str
) -> None:
    answer = await ask(http, known.form | changed)
    assert answer.json()["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.headers.get("www-authenticate", "").startswith("Basic " if error == "invalid_client" else "")


async def test_credentials_stand_in_one_place_and_once(http: httpx.AsyncClient, known: Known) -> None:
    right = basic(known.id, known.secret)
    for form, header in (
        (known.form, right),
        ({"grant_type": "client_credentials", "client_id": "client-0"}, right),
    ):
        answer = await ask(http, form, header)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    twice = f"grant_type=client_credentials&client_id={known.id}&client_secret={known.secret}&scope=a&scope=b"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.post("/oauth/token", content=twice, headers=kind)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("header", ["Basic !", "Basic", "Bearer x", basic(b"\xff:\xff")["Authorization"], "Basic YWJj"])
async def test_a_header_that_is_none_is_no_client(http: httpx.AsyncClient, header: str) -> None:
    answer = await ask(http, {"grant_type": "client_credentials"}, {"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_revoked_client_is_shut_out_at_once(
    http: httpx.AsyncClient, store: Store, known: Known, actor: Actor
) -> None:
    header = {"Authorization": f"Bearer {(await ask(http, known.form)).json()['access_token']}"}
    assert (await http.get("/v1/runs", headers=header)).status_code == 200
    await clients.revoke(store, known.district, known.id, actor)
    assert (await http.get("/v1/runs", headers=header)).status_code == 401
    assert (await ask(http, known.form)).status_code == 401
    with pytest.raises(ConfigError, match="client-unknown"):
        await clients.revoke(store, known.district, known.id, actor)


async def test_a_token_ends_and_is_dropped(http: httpx.AsyncClient, store: Store, known: Known) -> None:
    header = {"Authorization": f"Bearer {(await ask(http, known.form)).json()['access_token']}"}
    async with store.transaction(known.district) as c:
        await c.execute(
            text("UPDATE client_token SET expires_at = now() - interval '1 second' WHERE client_id = :id"),
            {"id": known.id},
        )
    answer = await http.get("/v1/runs", headers=header)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    await ask(http, known.form)
    async with store.transaction(known.district) as c:
        left = await c.scalar(text("SELECT count(*) FROM client_token WHERE client_id = :id"), {"id": known.id})
    assert left == 1


async def test_neither_secret_nor_token_is_kept(http: httpx.AsyncClient, store: Store, known: Known) -> None:
    token = (await ask(http, known.form)).json()["access_token"]
    async with store.owner.begin() as c:
        kept = ""
        for table in ("client", "client_token", "act"):
            kept += str(await c.scalar(text(f"SELECT json_agg(t)::text FROM {table} t")))
    assert known.id in kept
    assert known.secret not in kept
    assert token not in kept


async def test_clients_belong_to_their_district(store: Store, known: Known, actor: Actor) -> None:
    elsewhere = await registers.district(store, "elsewhere")
    assert [one["id"] for one in await clients.listed(store, known.district)] == [known.id]
    assert known.id not in [one["id"] for one in await clients.listed(store, elsewhere)]
    with pytest.raises(ConfigError, match="client-unknown"):
        await clients.revoke(store, elsewhere, known.id, actor)
    assert await clients.authenticate(store, known.id, known.secret) is not None


async def test_a_client_has_scopes_that_exist(store: Store, district: int, actor: Actor) -> None:
    with pytest.raises(ConfigError, match="scope-unknown"):
        await clients.add(store, district, "planner", [*SCOPES, "everything"], actor)
    with pytest.raises(ConfigError, match="scope-missing"):
        await clients.add(store, district, "planner", [], actor)


async def test_no_vendor_is_given_what_runs_the_district(
    store: Store, district: int, actor: Actor, http: httpx.AsyncClient
) -> None:
    """Nor has it what was given to it before it was so."""
    for scope in sorted(clients.ADMIN):
        with pytest.raises(Refused) as refused:
            await clients.add(store, district, "planner", ["students.read", scope], actor)
        assert refused.value.code == "scope-not-for-vendors"
    id, _ = await clients.add(store, district, "of before", ["runs.read"], actor, clients.Grant("sis"))
    header = await token(store, district, id)
    assert (await http.get("/v1/runs", headers=header)).status_code == 200
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE client SET kind = 'vendor' WHERE id = :id"), {"id": id})
    answer = await http.get("/v1/runs", headers=header)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert 'scope="runs.read"' in answer.headers["www-authenticate"]
