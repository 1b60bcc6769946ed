"""A program acts for a person who allowed it, or whom their district's provider vouches for; automation for nobody."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import text

from gateway import clock, oidc
from gateway.errors import ConfigError
from gateway.store import automation, clients, grants
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.browser import Browser
from tests.api.conftest import agree
from tests.api.provider import IdentityProvider
from tests.api.test_signin import enrolled, name_of, person, provided
from tests.store.school import School, user

pytestmark = pytest.mark.usefixtures("cheap_passwords")
BACK = "https://vendor.example.org/back?from=planbridge"
VERIFIER = "v" * 64
SCOPES = ["students.read", "plans.read", "changes.read"]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> School:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    made.files["users"] += [
        user("prn-1", "administrator", "Hester", "Quimby", identifier="501", email="hester@fennel.example.org"),
        user("tea-2", "teacher", "Ambrose", "Tarn", identifier="502", email="ambrose@fennel.example.org"),
    ]
    await made.connect()
    await made.pull()
    return made


class Program:
    """A vendor's application that people may be sent back to."""

    def __init__(self, http: httpx.AsyncClient, school: School, id: str, secret: str) -> None:
        self.http, self.school, self.id, self.secret = http, school, id, secret

    @classmethod
    async def known(cls, http: httpx.AsyncClient, school: School) -> "Program":
        id, secret = await clients.add(school.store, school.district, "Lantern Planner", SCOPES, school.actor)
        await agree(school.store, school.district, id)
        await grants.set_redirects(school.store, school.district, id, [BACK], school.actor)
        return cls(http, school, id, secret)

    def address(self, **changed: str) -> str:
        asked = {
            "response_type": "code", "client_id": self.id, "redirect_uri": BACK, "scope": "plans.read students.read",
            "state": "s & t", "code_challenge": oidc.challenge(VERIFIER), "code_challenge_method": "S256",
        } | changed  # fmt: skip
        return f"/oauth/authorize?{urlencode({name: value for name, value in asked.items() if value})}"

    async def code(self, browser: Browser) -> str:
        await browser.get(self.address())
        return query(await browser.fill("/oauth/authorize", decision="yes"))["code"]

    async def token(self, grant: str, **more: str) -> httpx.Response:
        form = {"grant_type": grant, "client_id": self.id, "client_secret": self.secret} | more
        return await self.http.post("/oauth/token", data=form)

    async def redeem(self, code: str, verifier: str = VERIFIER, redirect_uri: str = BACK) -> httpx.Response:
        return await self.token("authorization_code", code=code, code_verifier=verifier, redirect_uri=redirect_uri)

    async def reads(self, token: str) -> int:
        return (await self.http.get("/v1/students", headers={"Authorization": f"Bearer {token}"})).status_code


def query(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    where = answer.headers["location"]
    assert where.startswith(BACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}


async def test_a_person_allows_a_program(school: School, http: httpx.AsyncClient) -> None:
    await enrolled(school, http, "502", "ambrose", factor=False)
    program, browser = await Program.known(http, school), Browser(http)
    # to sign in first, and from there to the page that asks
    sent = await browser.get(program.address())
    assert sent.status_code == 303
    await browser.get(sent.headers["location"])
    signed_in = await browser.fill("/sign-in", name="ambrose", password="marmalade on the piano", code="")
    assert signed_in.status_code == 303
    shown = await browser.get(signed_in.headers["location"])
    for word in (
        "Lantern Planner",
        await name_of(school),
        "Ambrose",
        "vendor.example.org",
        clients.SCOPES["plans.read"],
    ):
        assert word in shown.text
    assert "runs" not in shown.text and "<script" not in shown.text
    assert "form-action 'self' https://vendor.example.org" in shown.headers["content-security-policy"]
    forged = await browser.post("/oauth/authorize", dict(parse_qsl(program.address())) | {"decision": "yes"})
    assert forged.status_code == 403, "only the page's own form"
    no = query(await Browser(http, cookies=browser.cookies, page=shown.text).fill("/oauth/authorize", decision="no"))
    assert no["error"] == "access_denied" and no["state"] == "s & t"
    spanish = await Browser(http, "es", cookies=browser.cookies).get(program.address())
    assert "No permitir" in spanish.text and "Ver lo que dice un plan" in spanish.text

    code = await program.code(browser)
    other = await Program.known(http, school)
    assert (await other.redeem(code)).json()["error"] == "invalid_grant", "given to another program"
    assert (await program.redeem(code, verifier="w" * 64)).json()["error"] == "invalid_grant"
    assert (await program.redeem(code, redirect_uri=f"{BACK}x")).json()["error"] == "invalid_grant"
    assert (await program.redeem(code, verifier="")).json()["error"] == "invalid_request"
    given = (await program.redeem(code)).json()
    assert given["scope"] == "plans.read students.read"
    held = await clients.token_client(school.store, given["access_token"])
    assert held is not None and held.person == await person(school, "502")
    assert await program.reads(given["access_token"]) == 200
    async with school.store.owner.connect() as c:
        allowed = await c.execute(text("SELECT actor, subject FROM act WHERE act = 'client-allowed'"))
        assert [(row.actor["person"], row.subject) for row in allowed][-1:] == [(held.person, program.id)]

    # a refresh token serves once; one that comes again ends all of its family
    second = (await program.token("refresh_token", refresh_token=given["refresh_token"])).json()
    assert await program.reads(second["access_token"]) == 200
    narrow = await program.token("refresh_token", refresh_token=second["refresh_token"], scope="changes.read")
    assert narrow.json()["error"] == "invalid_scope"
    again = await program.token("refresh_token", refresh_token=given["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    assert await program.reads(second["access_token"]) == await program.reads(given["access_token"]) == 401

    told = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert told["authorization_endpoint"] == f"{school.store.address}/oauth/authorize"
    assert {"authorization_code", "refresh_token", EXCHANGE} <= set(told["grant_types_supported"])
    assert told["code_challenge_methods_supported"] == ["S256"]
    given = (await program.redeem(await program.code(browser))).json()
    proof = {"client_id": program.id, "client_secret": program.secret, "token": given["refresh_token"]}
    assert (await http.post("/oauth/revoke", data=proof)).status_code == 200
    assert await program.reads(given["access_token"]) == 401

    # so does a code; of several at once one gets the tokens, and then nobody has them
    code = await program.code(browser)
    answers = await asyncio.gather(*(program.redeem(code) for _ in range(3)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1, "none, where the second one came before the first had its token"
    for one in won:
        assert await program.reads(one["access_token"]) == 401, "it was seen by somebody else"
    late = await program.code(browser)
    async with school.store.owner.begin() as c:
        await c.execute(text("UPDATE authorization_code SET expires_at = expires_at - interval '60 seconds'"))
    assert (await program.redeem(late)).json()["error"] == "invalid_grant"
    async with school.store.owner.connect() as c:
        for table in ("authorization_code", "refresh_token", "client_token"):
            kept = str(await c.scalar(text(f"SELECT string_agg(CAST(t AS text), '') FROM {table} t")))
            assert late not in kept and given["refresh_token"] not in kept

    # who leaves loses the tokens in the same run
    given = (await program.redeem(await program.code(browser))).json()
    assert await program.reads(given["access_token"]) == 200
    school.row("users", "tea-2")["enabledUser"] = "false"
    await school.pull()
    assert await program.reads(given["access_token"]) == 401
    gone = await program.token("refresh_token", refresh_token=given["refresh_token"])
    assert gone.json()["error"] == "invalid_grant"
    async with school.store.owner.connect() as c:
        for table, column in (("client_token", "person"), ("refresh_token", "person_id")):
            left = text(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND district_id = :d")
            assert await c.scalar(left, {"d": school.district}) == 0, table


def parse_qsl(address: str) -> list[tuple[str, str]]:
    return [(name, values[0]) for name, values in parse_qs(urlsplit(address).query).items()]


async def test_nobody_is_sent_where_a_program_is_not_known_to_be(school: School, http: httpx.AsyncClient) -> None:
    program, browser = await Program.known(http, school), Browser(http)
    for changed in (
        {"client_id": "client-guessed"},
        {"redirect_uri": "https://vendor.example.org/back"},
        {"redirect_uri": f"{BACK}&more=1"},
        {"redirect_uri": "https://elsewhere.example.org/"},
        {"redirect_uri": ""},
    ):
        answer = await browser.get(program.address(**changed))
        assert (answer.status_code, "location" in answer.headers) == (400, False), changed
    assert (await browser.get(f"{program.address()}&scope=plans.read")).status_code == 400, "twice"
    for changed, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"scope": "changes.read"}, "invalid_scope"),
        ({"scope": "plans.read plan.write"}, "invalid_scope"),
    ):
        told = query(await browser.get(program.address(**changed)))
        assert told["error"] == error and told["state"] == "s & t", changed
        assert told["iss"] == school.store.address
    for uri in ("http://vendor.example.org/", "https://vendor.example.org/#x", "javascript:alert(1)"):
        with pytest.raises(ConfigError) as refused:
            await grants.set_redirects(school.store, school.district, program.id, [uri], school.actor)
        assert refused.value.code == "redirect-uri"


async def test_a_token_of_the_districts_provider_is_exchanged(school: School, http: httpx.AsyncClient) -> None:
    program = await Program.known(http, school)

    async def exchanged(idp: IdentityProvider, **said: object) -> httpx.Response:
        token = idp.made(**{"aud": "app-1", **said})
        return await program.token(
            EXCHANGE, subject_token=token, subject_token_type="urn:ietf:params:oauth:token-type:id_token"
        )

    async with provided(school, audiences={"app-1": program.id, "app-2": "client-other"}) as idp:
        idp.claims = {"email": "ambrose@fennel.example.org"}
        answer = (await exchanged(idp, jti="one")).json()
        assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        assert "refresh_token" not in answer
        held = await clients.token_client(school.store, answer["access_token"])
        assert held is not None and held.person == await person(school, "502")
        assert await program.reads(answer["access_token"]) == 200
        for said in (
            {"jti": "one"},
            {"aud": "app-2", "jti": "2"},
            {"aud": "planbridge-at-the-district", "jti": "3"},
            {"exp": int(time.time()) - 100, "jti": "4"},
            {"iss": "https://elsewhere.example.org", "jti": "5"},
            {"email": "stranger@example.org", "jti": "6"},
            {"email": "hester@fennel.example.org", "jti": "7"},
        ):
            refused = await exchanged(idp, **said)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant"), said
        factor = await exchanged(idp, email="hester@fennel.example.org", amr=["mfa"], jti="8")
        assert factor.status_code == 200
        wrong = await program.token(EXCHANGE, subject_token="x", subject_token_type="saml")
        assert wrong.json()["error"] == "invalid_request"
        garbage = await program.token(
            EXCHANGE, subject_token="x.y.z", subject_token_type="urn:ietf:params:oauth:token-type:jwt"
        )
        assert garbage.json()["error"] == "invalid_grant"


async def test_automation_has_tokens_that_end(
    store: Store, district: int, actor: Actor, http: httpx.AsyncClient
) -> None:
    until = clock.now() + timedelta(days=30)
    token = await automation.add(store, district, "nightly", ["runs.read"], until, actor)
    assert token.startswith("pbt_")
    header = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/v1/runs", headers=header)).json() == []
    assert (await http.get("/v1/students", headers=header)).status_code == 403
    assert (await http.get("/v1/runs", headers={"Authorization": f"Bearer {token}x"})).status_code == 401
    [shown] = await automation.listed(store, district)
    assert shown["name"] == "nightly" and shown["scopes"] == ["runs.read"] and shown["used_on"] is not None
    async with store.owner.connect() as c:
        for table in ("api_token", "client", "act"):
            assert token not in str(await c.scalar(text(f"SELECT string_agg(CAST(t AS text), '') FROM {table} t")))
    for name, scopes, end, code in (
        ("nightly", ["runs.read"], until, "token-exists"),
        ("other", ["runs.everything"], until, "scope-unknown"),
        ("other", [], until, "scope-missing"),
        ("other", ["runs.read"], clock.now() + timedelta(days=400), "token-until"),
        ("other", ["runs.read"], clock.now(), "token-until"),
    ):
        with pytest.raises(ConfigError) as refused:
            await automation.add(store, district, name, scopes, end, actor)
        assert refused.value.code == code
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE api_token SET expires_at = now() WHERE district_id = :d"), {"d": district})
    assert (await http.get("/v1/runs", headers=header)).status_code == 401
    await automation.revoke(store, district, "nightly", actor)
    second = await automation.add(store, district, "nightly", ["runs.read"], until, actor)
    header = {"Authorization": f"Bearer {second}"}
    assert (await http.get("/v1/runs", headers=header)).status_code == 200
    await automation.revoke(store, district, "nightly", actor)
    assert (await http.get("/v1/runs", headers=header)).status_code == 401
