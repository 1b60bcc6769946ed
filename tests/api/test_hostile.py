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
from tests.api.test_oauth_proofs import OTHER, PUBLIC, add, ask, assertion
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


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:80@evil.example.org/back",
        "https://planner.example.org@evil.example.org/back",
        "https://planner.example.org; script-src *",
        "https:///back",
        "https://planner.example.org:x/back",
        "https://planner.example.org\\@evil.example.org/back",
        "http://localhost.evil.example.org/back",
        "HTTP://127.0.0.1/back",
    ],
)
async def test_nobody_is_sent_back_over_the_open_wire_or_to_a_disguised_place(
    store: Store, district: int, actor: Actor, uri: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        await grants.set_redirects(store, district, "client-0", [uri], actor)
    assert refused.value.code == "redirect-uri"


async def test_a_token_of_the_provider_is_what_it_says_and_serves_once(school: School, http: httpx.AsyncClient) -> None:
    program = await Program.known(http, school)
    async with provided(school, audiences={"lantern-app": program.id}) as idp:  # type: ignore[arg-type]

        async def exchange(token: str) -> str:
            answer = await program.token(
                EXCHANGE, subject_token=token, subject_token_type="urn:ietf:params:oauth:token-type:id_token"
            )
            assert answer.status_code in (200, 400), answer.text
            return str(answer.json().get("error", "given"))

        def said(head: dict[str, Any] | None = None, **changed: Any) -> str:
            claims = {
                "iss": idp.issuer, "aud": "lantern-app", "iat": int(time.time()), "exp": time.time() + 300,
                "email": "ambrose@fennel.example.org",
            } | changed  # fmt: skip
            return jwt.encode({"alg": "ES256", "kid": "one"} | (head or {}), claims, idp.key, ["ES256"])

        good = said({"typ": "JWT"})
        # Who has one signature by an elliptic curve can make another: a second use is not known by the text.
        said_by, _, seal = good.rpartition(".")
        r_s = base64.urlsafe_b64decode(f"{seal}==")
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        turned = r_s[:32] + (order - int.from_bytes(r_s[32:])).to_bytes(32)
        other = f"{said_by}.{base64.urlsafe_b64encode(turned).rstrip(b'=').decode()}"
        assert jwt.decode(other, idp.key).claims == jwt.decode(good, idp.key).claims
        assert (await exchange(good), await exchange(good), await exchange(other)) == (
            "given", "invalid_grant", "invalid_grant"
        )  # fmt: skip
        for token in (
            said({"typ": "logout+jwt"}),
            said({"typ": "at+jwt"}),
            said(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
            said(email_verified="false"),
            said(email_verified=False),
            said(exp=10**400),
            said(exp=float("inf"), iat=1),
            said(iat=time.time() + 3600),
            said(aud=["lantern-app", "another"]),
            said(iss=f"{idp.issuer}/"),
            jwt.encode({"alg": "ES256", "kid": "one"}, jwt.decode(good, idp.key).claims, OTHER, ["ES256"]),
        ):
            assert await exchange(token) == "invalid_grant", token
        assert await exchange(said(email_verified=True, jti="1")) == "given"
        assert await exchange(said(email_verified=True, jti="1", iat=1)) == "invalid_grant"


async def test_whoever_is_shut_out_is_out_with_all_that_acts_for_them(school: School, http: httpx.AsyncClient) -> None:
    store, district, ambrose = school.store, school.district, await person(school, "502")
    await enrolled(school, http, "502", "ambrose", factor=False)
    program, browser = await Program.known(http, school), Browser(http)

    async def allowed() -> dict[str, str]:
        assert await sign_in(school, browser, "ambrose") == 303
        return dict((await program.redeem(await program.code(browser))).json())

    # an account that somebody else got hold of is set up anew: what they allowed meanwhile goes as well
    given = await allowed()
    link = await accounts.reset_factor(store, district, "ambrose", school.actor)
    assert await program.reads(given["access_token"]) == 401
    refreshed = await program.token("refresh_token", refresh_token=given["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    assert await people.enrol(store, link, PASSWORD, "") == []
    # a token that was being issued while the account was suspended is there, and opens nothing
    given = await allowed()
    await accounts.suspend(store, district, "ambrose", "On leave.", school.actor)
    client = (await clients.proving(store, program.id)).client  # type: ignore[union-attr]
    late = await clients.issue_token(store, client, ["students.read"], ambrose)
    assert await program.reads(late) == await program.reads(given["access_token"]) == 401
    async with store.transaction(district) as c:
        session = await sessions.begin(c, district, ambrose, "account", second_factor=False)
    assert await people.current(store, session) is None
    await accounts.resume(store, district, "ambrose", school.actor)
    assert await program.reads(given["access_token"]) == 401
    # what the district takes from a program goes from the tokens that are out
    given = await allowed()
    assert await program.reads(given["access_token"]) == 200
    async with store.transaction(district) as c:
        await c.execute(text("UPDATE client SET scopes = '[\"plans.read\"]' WHERE id = :id"), {"id": program.id})
    assert await program.reads(given["access_token"]) == 403


async def test_one_place_that_tries_many_names_waits(school: School, application: FastAPI) -> None:
    await enrolled_without_pages(school, "502", "ambrose")
    async with serving(application, trusted_proxy="127.0.0.1") as http:
        http.headers["x-forwarded-proto"] = "https"
        browser = Browser(http)
        await browser.get(f"/sign-in?district={await name_of(school)}")
        async with school.store.transaction() as c:
            await c.execute(text("DELETE FROM token_rate"))

        async def tries(name: str, **headers: str) -> int:
            browser.http.headers.update(headers)
            return (await browser.fill("/sign-in", name=name, password=PASSWORD, code="")).status_code

        seen = [await tries(f"nobody-{n}", **{"x-forwarded-for": f"10.9.8.{n}, 192.0.2.7"}) for n in range(31)]
        assert seen == [403] * 30 + [429], "and what a caller says of itself makes no other place of it"
        assert await tries("ambrose") == 429
        assert await tries("ambrose", **{"x-forwarded-for": "192.0.2.8"}) == 303, "nobody else is kept out"


async def enrolled_without_pages(school: School, number: str, name: str) -> None:
    link = await accounts.invite(school.store, school.district, await person(school, number), name, school.actor)
    assert await people.enrol(school.store, link, PASSWORD, "") == []


async def test_who_knows_a_name_keeps_its_owner_out_of_no_browser_they_know(
    school: School, http: httpx.AsyncClient
) -> None:
    await enrolled_without_pages(school, "502", "ambrose")
    known, stranger = Browser(http), Browser(http)
    assert await sign_in(school, known, "ambrose") == 303
    assert [await sign_in(school, stranger, "ambrose", password="x" * 12) for _ in range(6)] == [403] * 5 + [429]
    assert await sign_in(school, stranger, "ambrose") == 429
    assert await sign_in(school, Browser(http), "ambrose") == 429
    assert await sign_in(school, known, "ambrose") == 303
    # it is known for this name alone, and only as often as everybody may be wrong
    assert [await sign_in(school, known, "ferdinand", password="x" * 12) for _ in range(6)] == [403] * 5 + [429]
    assert [await sign_in(school, known, "ambrose", password="x" * 12) for _ in range(6)] == [403] * 5 + [429]
    assert await sign_in(school, known, "ambrose") == 429
    forged = Browser(http, cookies={"__Host-planbridge-known": f"{'a' * 22}.{'b' * 40}"})
    assert await sign_in(school, forged, "ambrose") == 429
