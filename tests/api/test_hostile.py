"""What somebody tries who means no good: at the tokens, at the sign-in, at what acts for people."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from sqlalchemy import text

from gateway import accounts as people
from gateway.errors import ConfigError
from gateway.store import accounts, clients, grants, sessions
from gateway.store.credentials import Keys
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.browser import Browser
from tests.api.conftest import serving
from tests.api.test_acting_for import EXCHANGE, Program
from tests.api.test_oauth_proofs import KEY, OTHER, PUBLIC, add, ask, assertion
from tests.api.test_signin import PASSWORD, enrolled, name_of, person, provided, sign_in
from tests.store.school import School, user

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> School:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    made.files["users"].append(
        user("tea-2", "teacher", "Ambrose", "Tarn", identifier="502", email="ambrose@fennel.example.org")
    )
    await made.connect()
    await made.pull()
    return made


def encoded(said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def test_no_text_whatever_is_a_fault_of_ours(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, _ = await add(store, district, actor, keys=Keys(PUBLIC))
    deep = "[" * 2900
    tokens = [
        f"{encoded(head)}.{encoded(body)}.x"
        for head in (deep, {"alg": "none"}, {"alg": ["ES256"]}, {"alg": "ES256", "kid": {"a": 1}}, {"kid": "\0"})
        for body in (deep, {"sub": id, "iss": id}, [1], '{"sub": "\\ud800"}')
    ]
    for token in [*tokens, "..", "a.b.c.d.e"]:
        answer = await http.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, (token, answer.text)
        form = assertion(id) | {"client_assertion": token}
        assert (await ask(http, form)).status_code in (400, 401), token
        assert (await ask(http, form | {"token": token}, "/oauth/introspect")).status_code in (400, 401), token
        async with store.transaction() as c:
            await c.execute(text("DELETE FROM token_rate"))
    for wrong in ({"exp": float("nan")}, {"exp": 10**400}, {"exp": True}, {"nbf": float("nan")}, {"jti": "\0"}):
        answer = await ask(http, assertion(id, **wrong))
        assert answer.status_code in (200, 401) and (answer.status_code == 401 or "exp" not in wrong), wrong
    browser = Browser(http)
    async with store.transaction() as c:
        name = str(await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": district}))
    for given in ({"name": "a\0b"}, {"name": "a" * 2000}, {"district": "\0"}, {"next": "\0"}, {"code": "\0١٢٣٤٥٦"}):
        await browser.get(f"/sign-in?district={name}")
        answer = await browser.fill("/sign-in", **{"name": "nobody", "password": "p\0", "code": ""} | given)
        assert answer.status_code in (403, 404), given
    too_long = await browser.fill("/sign-in", name="nobody", password="marmalade" * 400, code="")
    assert too_long.status_code == 422 and "marmalade" not in too_long.text
    for path in ("/sign-in?district=%00", "/sign-in/provider?district=%00", "/sign-in/callback?state=1.%00&code=x"):
        assert (await browser.get(path)).status_code in (403, 404), path
    for path in ("client_id=%00", "client_id=a&redirect_uri=%00", "client_id=\u0663"):
        assert (await browser.get(f"/oauth/authorize?{path}")).status_code == 400, path
