"""A vendor's sandbox: days pass in it, it refuses on request, and it never meets a real district."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway import jobs, projections, sandbox
from gateway.errors import ConfigError, Refused
from gateway.sandbox import REFUSALS, SYSTEM_PATH, Sandbox
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.conftest import Bearer, serving
from tests.e2e.processes import closed_port
from tests.test_seeing import typed as at_the_prompt

NAME = "sandbox of a vendor"
USERS = "/ims/oneroster/rostering/v1p2/users"


@dataclass
class Vendor:
    """A vendor's program, with the credentials of its sandbox."""

    http: httpx.AsyncClient
    store: Store
    made: Sandbox
    secret: str
    header: dict[str, str]

    async def token(self) -> int:
        answer = await self.http.post(
            "/oauth/token", auth=(self.made.client_id, self.secret), data={"grant_type": "client_credentials"}
        )
        if answer.is_success:
            self.header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return answer.status_code

    async def asks(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.http.request(method, path, json=body, headers=self.header)

    async def does(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.asks(method, path, body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
async def vendor(
    application: FastAPI, store: Store, settings: Settings, actor: Actor, cheap_passwords: None
) -> AsyncIterator[Vendor]:
    async with serving(application) as http:
        here = settings.model_copy(update={"port": http.base_url.port})
        district, run = await sandbox.begin(store, here, NAME, actor)
        await jobs.run_job(store, district, run)
        made = await sandbox.furnish(store, district, NAME)
        one = Vendor(http, store, made, made.client_secret, {})
        assert await one.token() == 200
        yield one
        await sandbox.remove(store, NAME, actor)
        with pytest.raises(ConfigError):
            await sandbox.remove(store, NAME, actor)
        assert (await http.get(f"{SYSTEM_PATH}/{district}/token")).status_code == 404


async def test_a_vendor_has_days_pass_and_meets_every_refusal(vendor: Vendor, actor: Actor) -> None:
    """In one go: to make a sandbox takes seconds."""
    store, made = vendor.store, vendor.made
    with pytest.raises(Refused, match="sandbox-apart"):
        await registers.add_connection(store, made.district, "real", "oneroster", {}, {}, actor)
    with pytest.raises(Refused, match="sandbox-apart"):
        await registers.change_settings(store, await registers.connection(store, made.district, "sis"), {}, {}, actor)

    before = await vendor.does("GET", "/v1/sandbox")
    assert set(before["refusals"]) == set(REFUSALS)
    assert (before["teacher"], before["student"]) == (made.teacher, made.student)
    passed = await vendor.does("POST", "/v1/sandbox/days")
    await jobs.run_job(store, made.district, passed["run"])
    await projections.follow(store, made.district)
    assert before["day"] < passed["day"] == (await vendor.does("GET", "/v1/sandbox"))["day"]

    kept = (await vendor.does("POST", "/v1/sandbox/refusals", {"what": "restriction"}))["student"]
    assert (await vendor.asks("GET", f"/v1/students/{kept}")).status_code == 404
    gone = (await vendor.does("GET", f"{USERS}?filter=status='tobedeleted'"))["users"]
    assert kept in [one["sourcedId"] for one in gone]
    await vendor.does("DELETE", "/v1/sandbox/refusals")
    await vendor.does("GET", f"/v1/students/{kept}")

    await vendor.does("POST", "/v1/sandbox/refusals", {"what": "agreement-ended"})
    assert (await vendor.asks("GET", USERS)).status_code == 401
    assert await vendor.token() == 200
    assert (await vendor.asks("GET", USERS)).status_code == 403
    await vendor.does("DELETE", "/v1/sandbox/refusals")
    await vendor.does("GET", USERS)

    secret = (await vendor.does("POST", "/v1/sandbox/refusals", {"what": "key-rotation"}))["client_secret"]
    assert (await vendor.asks("GET", USERS)).status_code == 401
    assert await vendor.token() == 401
    vendor.secret = secret
    assert await vendor.token() == 200
    await vendor.does("GET", USERS)

    challenge = {"code_challenge": "x" * 43, "redirect_uri": made.redirect_uri}
    elsewhere = await vendor.asks(
        "POST", "/v1/sandbox/consents", challenge | {"redirect_uri": "https://else.example.org"}
    )
    too_much = await vendor.asks("POST", "/v1/sandbox/consents", challenge | {"scope": "events.read"})
    assert [one.json()["code"] for one in (elsewhere, too_much)] == ["sandbox-redirect", "sandbox-scope"]


async def test_a_real_district_is_no_sandbox(
    store: Store, district: int, settings: Settings, http: httpx.AsyncClient, bearer: Bearer, actor: Actor
) -> None:
    header = await bearer(district, "sandbox")
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/days", None),
        *(("POST", "/refusals", {"what": what}) for what in REFUSALS),
        ("DELETE", "/refusals", None),
        ("POST", "/consents", {"code_challenge": "x" * 43, "redirect_uri": "x"}),
    ):
        answer = await http.request(method, f"/v1/sandbox{path}", json=body, headers=header)
        assert answer.status_code == 404, answer.text
        assert answer.json()["code"] in ("sandbox-unknown", "connection-unknown")
    assert (await http.get(f"{SYSTEM_PATH}/{district}/token")).status_code == 404
    async with store.transaction() as c:
        name = (await c.exec_driver_sql(f"SELECT name FROM district WHERE id = {district}")).scalar()
    with pytest.raises(ConfigError, match="sandbox-unknown"):
        await sandbox.remove(store, str(name), actor)
    for words, code in (
        (("day",), "sandbox-needs-service"),
        (("refuse", "restriction"), "sandbox-unknown"),
        (("refuse", "everything"), "sandbox-action"),
        (("restore",), "sandbox-unknown"),
        (("remove",), "sandbox-unknown"),
    ):
        ended, said = await typed(store, district, settings, str(name), *words)
        assert (ended, json.loads(said)["error"]) == (ConfigError.exit_code, code)


async def typed(store: Store, district: int, settings: Settings, *words: str) -> tuple[int, str]:
    """What `planbridge sandbox` says, where nobody serves the API."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANBRIDGE_PORT", str(closed_port()))
        return await at_the_prompt(Named(store, district), settings, "sandbox", *words, "--json")  # type: ignore[arg-type]


@dataclass
class Named:
    """Which district somebody types about."""

    store: Store
    district: int
