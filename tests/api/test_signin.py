"""People sign in over the real server: with an account and a second factor, or by their district's own provider."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from joserfc.jwk import ECKey
from sqlalchemy import text

from gateway import clock
from gateway.store import accounts, providers, purges, reading, registers, sessions
from gateway.store.database import Store
from gateway.store.providers import Provider
from gateway.store.registers import Actor
from tests.api.browser import Browser
from tests.api.conftest import serving
from tests.api.provider import CLIENT, SECRET, IdentityProvider
from tests.store.school import GONE, NUMBER, School, user

pytestmark = pytest.mark.usefixtures("cheap_passwords")
PASSWORD = "marmalade on the piano"


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> School:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    made.files["users"] += [
        user("prn-1", "administrator", "Hester", "Quimby", identifier="501", email="hester@fennel.example.org"),
        user(
            "tea-2",
            "teacher",
            "Ambrose",
            "Tarn",
            identifier="502",
            email="ambrose@fennel.example.org",
            username="a.tarn",
        ),
        user("tea-3", "teacher", "Ada", "Tarn", identifier="503", email="shared@fennel.example.org"),
        user("tea-4", "teacher", "Otto", "Tarn", identifier="504", email="shared@fennel.example.org"),
    ]
    await made.connect()
    await made.pull()
    return made


async def person(school: School, number: str) -> str:
    people = await reading.entities(school.store, school.district, "person")
    return next(str(p["id"]) for p in people if any(n["value"] == number for n in p.get("identifiers", ())))


async def enrolled(school: School, http: httpx.AsyncClient, number: str, name: str, *, factor: bool) -> tuple[str, str]:
    """An account that was set up by its link: the seed, and a recovery code."""
    token = await accounts.invite(school.store, school.district, await person(school, number), name, school.actor)
    browser = Browser(http)
    shown = await browser.get(f"/enrol/{token}")
    assert shown.status_code == 200 and name in shown.text
    seed = re.search(r"<code>([A-Z2-7]{32})</code>", shown.text)
    assert seed is not None
    code = pyotp.TOTP(seed[1]).now() if factor else ""
    done = await browser.fill(f"/enrol/{token}", password=PASSWORD, code=code)
    assert done.status_code == 200, done.text
    assert (await browser.get(f"/enrol/{token}")).status_code == 404, "a link works once"
    codes = re.findall(r"<code>([0-9A-F]{16})</code>", done.text)
    assert bool(codes) is factor
    return seed[1], codes[0] if codes else ""


async def name_of(school: School) -> str:
    async with school.store.transaction() as c:
        return str(await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": school.district}))


async def sign_in(school: School, browser: Browser, name: str, code: str = "", password: str = PASSWORD) -> int:
    await browser.get(f"/sign-in?district={await name_of(school)}&next=/v1/me")
    return (await browser.fill("/sign-in", name=name, password=password, code=code)).status_code


async def test_with_an_account_of_ours(school: School, http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    assert (await browser.get("/v1/me")).status_code == 401
    # a teacher may come without a second factor; a principal may not even set up an account without one
    await enrolled(school, http, "502", "ambrose@fennel.example.org", factor=False)
    link = await accounts.invite(school.store, school.district, await person(school, "501"), "hester", school.actor)
    await browser.get(f"/enrol/{link}")
    refused = await browser.fill(f"/enrol/{link}", password=PASSWORD, code="")
    assert refused.status_code == 403 and "authenticator" in refused.text
    refused = await browser.fill(f"/enrol/{link}", password="hesterhester1", code="")
    assert refused.status_code == 403 and "12 characters" in refused.text
    seed, recovery = await enrolled(school, http, "501", "hester", factor=True)

    browser = Browser(http)
    assert await sign_in(school, browser, "ambrose@fennel.example.org") == 303
    me = await browser.get("/v1/me")
    assert me.json() == {
        "person": await person(school, "502"), "district": await name_of(school), "means": "account",
        "second_factor": False,
    }  # fmt: skip
    [line] = [line for line in browser.set if line.startswith("__Host-planbridge=")]
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= {part.strip() for part in line.split(";")}
    shown = await browser.get("/sign-in")
    assert "Ambrose" in shown.text and "script" not in shown.text
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    assert (await browser.post("/sign-out", {"csrf": "guessed"})).status_code == 403
    assert (await browser.get("/v1/me")).status_code == 200, "a form of somebody else's page ends nothing"
    await browser.get("/sign-in")
    assert (await browser.fill("/sign-out")).status_code == 303
    assert (await browser.get("/v1/me")).status_code == 401

    # the second factor: the code that enrolled is used up, a later one serves once, a recovery code once
    browser = Browser(http)
    totp = pyotp.TOTP(seed)
    assert await sign_in(school, browser, "hester", totp.now()) == 403, "its step was spent at the enrolment"
    assert await sign_in(school, browser, "hester", recovery) == 303
    assert (await browser.get("/v1/me")).json()["second_factor"] is True
    assert await sign_in(school, browser, "hester", recovery) == 403
    later = totp.at(for_time=clock.now(), counter_offset=1)
    assert await sign_in(school, browser, "hester", later) == 303
    assert await sign_in(school, browser, "hester", later) == 403
    assert await sign_in(school, browser, "hester", "") == 403
    async with school.store.owner.connect() as c:
        for table in ("account", "account_link", "recovery_code", "session", "act", "sign_in_try"):
            rows = [row[0] for row in await c.execute(text(f"SELECT CAST(t AS text) FROM {table} t"))]
            kept = "\n".join(rows)
            told = (PASSWORD, seed, recovery, link, *browser.cookies.values())
            assert not any(secret in kept for secret in told), table


async def test_no_answer_tells_whether_there_is_an_account(school: School, http: httpx.AsyncClient) -> None:
    await enrolled(school, http, "502", "ambrose", factor=False)
    answers: dict[str, list[tuple[int, str]]] = {}
    for name in ("ambrose", "nobody"):
        browser, seen = Browser(http), answers.setdefault(name, [])
        for _ in range(6):
            await browser.get(f"/sign-in?district={await name_of(school)}")
            answer = await browser.fill("/sign-in", name=name, password="wrong all the same", code="")
            seen.append((answer.status_code, re.sub(r'value="[^"]*"', "", answer.text)))
    assert answers["ambrose"] == answers["nobody"]
    assert [status for status, _ in answers["nobody"]] == [403] * 5 + [429], "and both have to wait"
    browser = Browser(http, language="es-MX,en;q=0.5")
    assert await sign_in(school, browser, "ambrose") == 429, "with the right password too"
    assert "intentos fallidos" in browser.page and '<html lang="es">' in browser.page
    waits = []
    for _ in range(3):
        async with school.store.owner.begin() as c:
            await c.execute(text("UPDATE sign_in_try SET waits_until = now()"))
        assert await accounts.may_try(school.store, school.district, "ambrose")
        async with school.store.owner.begin() as c:
            seconds = "round(extract(epoch FROM waits_until - at))"  # two looks at the clock
            waits.append(await c.scalar(text(f"SELECT {seconds} FROM sign_in_try ORDER BY at DESC LIMIT 1")))
    assert waits == [60, 120, 240], "each wait is twice the one before"
    async with school.store.owner.begin() as c:
        await c.execute(text("UPDATE sign_in_try SET waits_until = now()"))
    assert await sign_in(school, browser, "ambrose") == 303
    assert await accounts.may_try(school.store, school.district, "ambrose"), "and it begins anew"


async def test_who_leaves_the_roster_is_out_with_the_run(school: School, http: httpx.AsyncClient) -> None:
    await enrolled(school, http, "502", "ambrose", factor=False)
    await enrolled(school, http, "500", "ferdinand", factor=False)
    teacher, other = Browser(http), Browser(http)
    assert await sign_in(school, teacher, "ambrose") == await sign_in(school, other, "ferdinand") == 303
    # one becomes a principal: what they showed is not enough any more
    school.row("users", "tea-1")["role"] = "administrator"
    await school.pull()
    assert (await teacher.get("/v1/me")).status_code == 200
    assert (await other.get("/v1/me")).status_code == 401
    assert await sign_in(school, other, "ferdinand") == 403 and "second factor" in other.page
    # the other one leaves
    school.files["users"] = [row for row in school.files["users"] if row["sourcedId"] != "tea-2"]
    summary = await school.pull()
    assert summary["state"] == "published", summary
    assert (await teacher.get("/v1/me")).status_code == 401
    async with school.store.owner.connect() as c:
        left = await c.scalar(
            text("SELECT count(*) FROM session WHERE district_id = :d AND means = 'account'"), {"d": school.district}
        )
        acts = await c.execute(
            text("SELECT detail FROM act WHERE district_id = :d AND act = 'sessions-end'"), {"d": school.district}
        )
        assert [row.detail for row in acts] == [{"sessions": 1}]
    assert left == 1, "it is gone with the publication, not only refused"
    assert await sign_in(school, teacher, "ambrose") == 403
    states = {one["name"]: one["state"] for one in await accounts.listed(school.store, school.district)}
    assert states == {"ambrose": "not on the roster", "ferdinand": "active"}


async def test_a_purge_takes_the_account_along(school: School, http: httpx.AsyncClient) -> None:
    await enrolled(school, http, NUMBER, "ptolemaia", factor=True)
    student = await person(school, NUMBER)
    await purges.purge_student(school.store, school.district, student, school.actor, "The family asked.")
    async with school.store.owner.connect() as c:
        for table in ("account", "account_link", "recovery_code", "session"):
            asked = text(f"SELECT count(*) FROM {table} WHERE district_id = :d")
            assert await c.scalar(asked, {"d": school.district}) == 0, table
    assert GONE in school.row("users", GONE).values()


async def test_suspended_ended_and_idle(school: School, http: httpx.AsyncClient) -> None:
    await enrolled(school, http, "502", "ambrose", factor=False)
    browser = Browser(http)
    ambrose = await person(school, "502")

    async def changed(statement: str) -> int:
        async with school.store.owner.begin() as c:
            await c.execute(text(statement))
        return (await browser.get("/v1/me")).status_code

    for statement in (
        "UPDATE session SET used_at = used_at - interval '31 minutes'",
        "UPDATE session SET ends_at = now()",
        "UPDATE district SET suspended_at = now() WHERE id = (SELECT max(district_id) FROM session)",
    ):
        assert await sign_in(school, browser, "ambrose") == 303
        assert (await browser.get("/v1/me")).status_code == 200
        assert await changed(statement) == 401, statement
        await changed("UPDATE district SET suspended_at = NULL")
    for _ in range(2):
        assert await sign_in(school, browser, "ambrose") == 303
    [one, *_] = await sessions.listed(school.store, school.district, ambrose)
    assert await sessions.end_all(school.store, school.district, ambrose, school.actor, one["id"]) == 1
    assert (await browser.get("/v1/me")).status_code == 401
    assert await sign_in(school, browser, "ambrose") == 303
    await accounts.suspend(school.store, school.district, "ambrose", "On leave.", school.actor)
    assert (await browser.get("/v1/me")).status_code == 401
    assert await sign_in(school, browser, "ambrose") == 403
    await accounts.resume(school.store, school.district, "ambrose", school.actor)
    assert await sign_in(school, browser, "ambrose") == 303
    link = await accounts.reset_factor(school.store, school.district, "ambrose", school.actor)
    assert (await browser.get("/v1/me")).status_code == 401
    assert await sign_in(school, browser, "ambrose") == 403
    assert (await browser.get(f"/enrol/{link}")).status_code == 200
    # whoever acts at the district's own machine under the name of an account is on record as that person
    async with school.store.transaction(school.district) as c:
        await registers.log_act(c, school.district, Actor("ambrose", "teacher"), "tried", "x", {})
        actor = await c.scalar(text("SELECT actor FROM act WHERE act = 'tried'"))
    assert actor == {"name": "ambrose", "role": "teacher", "person": ambrose}


# --- by the district's own provider ---------------------------------------------------------------------------------


@asynccontextmanager
async def provided(school: School, **chosen: str) -> AsyncIterator[IdentityProvider]:
    idp = IdentityProvider()
    async with serving(idp.app) as there:  # type: ignore[arg-type]
        idp.issuer = str(there.base_url).rstrip("/")
        provider = Provider(
            idp.issuer, CLIENT, "env:PLANTED_IDP", private_addresses=["127.0.0.1: a test"], **chosen
        )  # type: ignore[arg-type]  # fmt: skip
        await providers.choose(school.store, school.district, provider, school.actor)
        yield idp


async def come_back(school: School, browser: Browser, idp: IdentityProvider) -> httpx.Response:
    left = await browser.get(f"/sign-in/provider?district={await name_of(school)}&next=/v1/me")
    assert left.status_code == 303, left.text
    async with httpx.AsyncClient() as other:
        back = await other.get(left.headers["location"])
    where = urlsplit(back.headers["location"])
    return await browser.get(f"{where.path}?{where.query}")


async def test_with_the_districts_own_provider(
    school: School, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_IDP", SECRET)
    async with provided(school) as idp:
        idp.claims = {"email": "Ambrose@Fennel.example.org"}
        browser = Browser(http)
        shown = await browser.get(f"/sign-in?district={await name_of(school)}")
        assert "Sign in with your district" in shown.text
        back = await come_back(school, browser, idp)
        assert (back.status_code, back.headers["location"]) == (303, "/v1/me")
        me = (await browser.get("/v1/me")).json()
        assert me["person"] == await person(school, "502") and me["means"] == "provider"

        for claims, why in (
            ({"email": "stranger@example.org"}, "exactly one"),
            ({"email": "shared@fennel.example.org"}, "exactly one"),
            ({"email": ""}, "exactly one"),
            ({}, "exactly one"),
            ({"email": "ambrose@fennel.example.org", "email_verified": False}, "exactly one"),
            ({"email": "hester@fennel.example.org"}, "more than your own students"),
        ):
            idp.claims = claims
            refused = await come_back(school, Browser(http), idp)
            assert refused.status_code == 403 and why in refused.text, claims
        idp.claims = {"email": "hester@fennel.example.org", "amr": ["pwd", "mfa"]}
        assert (await come_back(school, Browser(http), idp)).status_code == 303

        idp.claims = {"email": "ambrose@fennel.example.org"}
        for said in (
            {"aud": "another"},
            {"iss": "https://elsewhere.example.org"},
            {"exp": 1_700_000_000},
            {"nonce": "of another sign-in"},
            {"aud": [CLIENT, "another"]},
            {"iat": 4_000_000_000},
        ):
            idp.said = said
            assert (await come_back(school, Browser(http), idp)).status_code == 403, said
        idp.said = {}
        idp.signs_with = ECKey.generate_key("P-256", {"kid": "one"})
        assert (await come_back(school, Browser(http), idp)).status_code == 403, "not its key"
        idp.key, idp.signs_with = idp.signs_with, None
        assert (await come_back(school, Browser(http), idp)).status_code == 303, "its key by now"

        # an answer is taken once, and only by the browser that left
        browser = Browser(http)
        left = await browser.get(f"/sign-in/provider?district={await name_of(school)}&next=//elsewhere.example.org")
        state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
        assert (await Browser(http).get(f"/sign-in/callback?state={state}&code=x")).status_code == 403
        assert (await browser.get(f"/sign-in/callback?state={state}&error=access_denied")).status_code == 403
        assert (await browser.get(f"/sign-in/callback?state={state}&code=guessed")).status_code == 403
        assert (await browser.get(f"/sign-in/callback?state={state}&code=guessed")).status_code == 403
    async with school.store.transaction(school.district) as c:
        for matched_by, value in (("identifier", "502"), ("sourced-id", "tea-2"), ("username", "a.tarn")):
            found = await providers.people(c, school.district, matched_by, value)
            assert [id for id, _ in found] == [await person(school, "502")], matched_by
            assert await providers.people(c, school.district, matched_by, "5") == []
    async with school.store.owner.connect() as c:
        kept = await c.scalar(text("SELECT string_agg(CAST(p AS text), '') FROM identity_provider p"))
        assert SECRET not in str(kept)
