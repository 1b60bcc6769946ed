"""How clients prove themselves beside a secret in the form, how secrets and keys are renewed, how often one may ask."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from oauthlib import oauth1
from sqlalchemy import text

from gateway.api.oauth import proofs, signed_call, tokens
from gateway.api.oauth.published import described as described_at
from gateway.cli import clients as commands
from gateway.errors import ConfigError
from gateway.http import Network, PrivateAddress
from gateway.scopes import V1P1, V1P2, meant
from gateway.store import clients, credentials, keys, rates
from gateway.store.clients import SCOPES, Grant
from gateway.store.credentials import Keys
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.serving import serve

KEY = ECKey.generate_key("P-256", auto_kid=True)
OTHER = ECKey.generate_key("P-256", auto_kid=True)
PUBLIC = KeySet([KEY]).as_dict(private=False)
CORE = f"{V1P1}roster-core.readonly"


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


async def add(store: Store, district: int, actor: Actor, *scopes: str, **granted: Any) -> tuple[str, str]:
    of_its_own = Grant("sis", **granted)  # a vendor would need an agreement beside it
    return await clients.add(store, district, "planner", scopes or ["runs.read"], actor, of_its_own)


def assertion(client: str, key: Any = KEY, alg: str = "ES256", **changes: Any) -> dict[str, str]:
    """The form of a client that signs what says who it is."""
    said = {
        "iss": client, "sub": client, "aud": "http://127.0.0.1:8433/oauth/token", "exp": int(time.time()) + 60,
        "jti": str(time.monotonic_ns()), **changes,
    }  # fmt: skip
    head = {"alg": alg, "kid": KEY.kid if alg == "HS256" else key.kid}
    made = jwt.encode(head, {k: v for k, v in said.items() if v is not None}, key, [alg])
    return {
        "grant_type": "client_credentials", "client_assertion_type": proofs.ASSERTION_TYPE, "client_assertion": made
    }  # fmt: skip


async def ask(http: httpx.AsyncClient, form: Mapping[str, str], path: str = "/oauth/token") -> httpx.Response:
    return await http.post(path, data=dict(form))


def by_secret(client: str, secret: str, **more: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, **more}


async def test_a_key_proves_a_client_and_each_assertion_once(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, secret = await add(store, district, actor, keys=Keys(PUBLIC))
    assert secret == ""
    for aud in (f"{store.address}/oauth/token", store.address, [store.address]):
        answer = await ask(http, assertion(id, aud=aud))
        assert answer.status_code == 200, answer.text
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await http.get("/v1/runs", headers=header)).status_code == 200
    long = RSAKey.generate_key(2048, auto_kid=True)
    await credentials.replace_keys(store, district, id, Keys(KeySet([KEY, long]).as_dict(private=False)), actor)
    for key, alg in ((long, "RS256"), (long, "PS256"), (KEY, "ES256")):
        assert (await ask(http, assertion(id, key, alg))).status_code == 200
    form = assertion(id)
    answers = await asyncio.gather(*(ask(http, form) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    again = await ask(http, form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert "used before" in again.json()["error_description"]


async def test_an_assertion_that_is_not_right_proves_nothing(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, _ = await add(store, district, actor, keys=Keys(PUBLIC))
    plain, secret = await add(store, district, actor)
    shared = OctKey.import_key(json.dumps(PUBLIC["keys"][0]))
    for form in (
        assertion(id, OTHER),
        assertion(plain),
        assertion("client-0"),
        assertion(id, iss="client-0"),
        assertion(id, aud="https://elsewhere.example.org/oauth/token"),
        assertion(id, aud=None),
        assertion(id, exp=None),
        assertion(id, exp=int(time.time()) - 120),
        assertion(id, exp=int(time.time()) + 7200),
        assertion(id, jti=None),
        assertion(id, jti=7),
        assertion(id, shared, "HS256"),
        {**assertion(id), "client_id": plain},
        {**assertion(id), "client_assertion": "a.b.c"},
        by_secret(id, ""),
        by_secret(id, "guessed"),
    ):
        answer = await ask(http, form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), form
    for form in ({**assertion(id), "client_secret": secret}, {**assertion(id), "client_assertion_type": "other"}):
        assert (await ask(http, form)).json()["error"] == "invalid_request"
    [one] = [one for one in await clients.listed(store, district) if one["id"] == id]
    assert one["proof"] == "keys" and one["refused"] >= 12


@pytest.fixture
def publishing() -> Iterator[tuple[str, list[Any]]]:
    """A server of the client's that publishes what is put into the list, and counts how often it is asked."""
    application, served = FastAPI(), [PUBLIC, 0]

    @application.get("/jwks.json")
    def jwks() -> Any:
        served[1] += 1
        return served[0]

    with serve(application) as url:
        yield f"{url}/jwks.json", served


async def test_keys_are_read_where_the_client_publishes_them(
    application: FastAPI, http: httpx.AsyncClient, store: Store, district: int, actor: Actor,
    publishing: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url, served = publishing
    id, _ = await add(store, district, actor, keys=Keys(url=url))
    # A private address is asked nowhere by itself.
    answer = await ask(http, assertion(id))
    assert (answer.status_code, served[1]) == (401, 0)
    proofs._PUBLISHED.clear()
    application.state.network = Network(private=[PrivateAddress("127.0.0.1", "a test")])
    assert (await ask(http, assertion(id))).status_code == 200
    assert (await ask(http, assertion(id))).status_code == 200
    assert served[1] == 1
    served[0] = KeySet([OTHER]).as_dict(private=False)
    assert (await ask(http, assertion(id, OTHER))).status_code == 401, "asked again too soon"
    monkeypatch.setattr(proofs, "_KEYS_REST", -1.0)
    assert (await ask(http, assertion(id, OTHER))).status_code == 200
    assert served[1] == 2
    # Anybody can have them asked for: that they cannot be read is remembered as well.
    monkeypatch.setattr(proofs, "_KEYS_REST", 30.0)
    proofs._PUBLISHED.clear()
    served[0] = {"keys": []}
    for _ in range(3):
        assert (await ask(http, assertion(id, OTHER))).status_code == 401
    assert served[1] == 3


async def test_two_secrets_are_good_while_one_follows_the_other(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, first = await add(store, district, actor)
    second, until = await credentials.rotate(store, district, id, timedelta(days=7), actor)
    assert timedelta(days=6) < until - datetime.now(UTC) < timedelta(days=8)
    for secret in (first, second):
        assert (await ask(http, by_secret(id, secret))).status_code == 200
    third, _ = await credentials.rotate(store, district, id, timedelta(0), actor)
    for secret, status in ((first, 401), (second, 401), (third, 200)):
        assert (await ask(http, by_secret(id, secret))).status_code == status
    with pytest.raises(ConfigError, match="overlap-invalid"):
        await credentials.rotate(store, district, id, timedelta(days=31), actor)
    await credentials.replace_keys(store, district, id, Keys(PUBLIC), actor)
    assert (await ask(http, by_secret(id, third))).status_code == 401
    with pytest.raises(ConfigError, match="client-unknown"):
        await credentials.rotate(store, district, id, timedelta(0), actor)
    async with store.transaction(district) as c:
        acts = (
            await c.execute(text("SELECT act, CAST(detail AS text) FROM act WHERE subject = :id"), {"id": id})
        ).all()
    assert [act for act, _ in acts] == ["client-add", "client-rotate", "client-rotate", "client-keys"]
    assert not any(secret in detail for secret in (first, second, third) for _, detail in acts)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"keys": []}, KEY.as_dict(private=True), {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, {"kty": "EC"}],
)
def test_only_public_keys_are_registered(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="client-keys-unusable"):
        Keys(wrong)


def test_where_keys_are_published_is_encrypted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="url-not-https"):
        Keys(url="http://vendor.example.org/jwks.json")
    with pytest.raises(ConfigError, match="client-keys-twice"):
        Keys(PUBLIC, "https://vendor.example.org/jwks.json")
    file = tmp_path / "jwks.json"
    for said in ("[]", "{", None):
        if said is not None:
            file.write_text(said)
        with pytest.raises(ConfigError, match="client-keys-unreadable"):
            commands._keys(file if said is not None else tmp_path / "none", None)
    assert commands._duration("12h") == timedelta(hours=12)


async def test_without_a_scope_the_default_and_a_near_miss_is_named(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    core = f"{V1P2}roster-core.readonly"
    id, secret = await add(store, district, actor, "runs.read", core, default=["runs.read"])
    assert (await ask(http, by_secret(id, secret))).json()["scope"] == "runs.read"
    assert (await ask(http, by_secret(id, secret, scope=core))).json()["scope"] == core
    for near in (core.replace("https", "http"), core.upper(), core + "/", "roster-core.readonly"):
        answer = await ask(http, by_secret(id, secret, scope=near))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
        assert core in answer.json()["error_description"]
    [one] = await clients.listed(store, district)
    assert one["scopes_missed"] == {core: 4}
    with pytest.raises(ConfigError, match="scope-default"):
        await add(store, district, actor, "runs.read", default=["runs.write"])


def test_what_is_meant_is_no_guess() -> None:
    assert meant(CORE.replace("https", "http"), SCOPES) == CORE
    assert meant("run.read", SCOPES) == "runs.read"
    assert meant("everything", SCOPES) is None
    assert sum(scope.startswith(V1P2) for scope in SCOPES) == 13 and sum(s.startswith(V1P1) for s in SCOPES) == 7


async def test_whoever_asks_too_often_waits(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, secret = await add(store, district, actor)
    other, its = await add(store, district, actor)
    monkeypatch.setattr(tokens, "PER_CLIENT", 1)
    assert (await ask(http, by_secret(id, secret))).status_code == 200
    answer = await ask(http, by_secret(id, secret))
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= rates.SECONDS
    assert (await ask(http, by_secret(other, its))).status_code == 200
    monkeypatch.setattr(proofs, "REFUSED_PER_ADDRESS", 2)
    for status in (401, 401, 429):
        assert (await ask(http, by_secret(id, "guessed"))).status_code == status
    assert (await ask(http, by_secret(other, its))).status_code == 429, "by address, whoever it is"
    async with store.transaction() as c:
        kept = str((await c.execute(text("SELECT subject FROM token_rate"))).all())
        await c.execute(text("UPDATE token_rate SET began = now() - interval '61 seconds'"))
    assert "127.0.0.1" not in kept and id not in kept
    assert (await ask(http, by_secret(other, its))).status_code == 200
    monkeypatch.setattr(proofs, "PER_ADDRESS", 1)
    assert (await ask(http, {"token": "x"}, "/oauth/introspect")).status_code == 429


async def test_a_token_is_ended_and_asked_about_by_its_own_client(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, secret = await add(store, district, actor)
    other, its = await add(store, district, actor)
    looker, looks = await add(store, district, actor, "tokens.introspect")
    token = (await ask(http, by_secret(id, secret))).json()["access_token"]
    own, asked = by_secret(id, secret, token=token), by_secret(other, its, token=token)
    known = (await ask(http, own, "/oauth/introspect")).json()
    assert known.items() >= {"active": True, "scope": "runs.read", "client_id": id, "sub": id}.items()
    assert known["exp"] - known["iat"] == 3600
    assert (await ask(http, asked, "/oauth/introspect")).json() == {"active": False}
    assert (await ask(http, by_secret(looker, looks, token=token), "/oauth/introspect")).json() == known
    assert (await ask(http, by_secret(id, "x", token=token), "/oauth/introspect")).status_code == 401
    assert (await ask(http, by_secret(id, secret), "/oauth/introspect")).json()["error"] == "invalid_request"
    header = {"Authorization": f"Bearer {token}"}
    for form, status in ((asked, 200), (own, 401)):
        assert (await ask(http, form, "/oauth/revoke")).status_code == 200
        assert (await http.get("/v1/runs", headers=header)).status_code == status
    assert (await ask(http, {**own, "token": "none of ours"}, "/oauth/revoke")).status_code == 200
    assert (await ask(http, own, "/oauth/introspect")).json() == {"active": False}


async def test_a_token_says_what_rfc_9068_wants_and_anybody_can_check_it(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, secret = await add(store, district, actor)
    client = await clients.authenticate(store, id, secret)
    assert client is not None
    person = "00000000-0000-4000-8000-000000000001"
    token = await clients.issue_token(store, client, client.scopes, person)
    described = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert described["issuer"] == store.address and described["grant_types_supported"] == sorted(tokens.GRANTS)
    assert described["jwks_uri"] == f"{store.address}/.well-known/jwks.json"
    assert {"private_key_jwt", "client_secret_basic"} <= set(described["token_endpoint_auth_methods_supported"])
    # Authlib knows no server without redirects: what it wants of them is said for it.
    public = described_at("https://plans.district.example.org")
    type(public)({**public, "response_types_supported": ["code"]}).validate()
    published = (await http.get("/.well-known/jwks.json")).json()
    assert not any("d" in key for key in published["keys"])
    read = jwt.decode(token, KeySet.import_key_set(published), ["ES256"])
    assert read.header["typ"] == "at+jwt"
    expected = {"iss": store.address, "aud": store.address, "sub": person, "client_id": id, "scope": "runs.read"}
    assert read.claims.items() >= expected.items() and {"jti", "iat", "exp"} <= read.claims.keys()
    assert await clients.token_client(store, token) is None, "and nobody of that id is on the roster"


async def test_what_was_signed_elsewhere_or_never_issued_opens_nothing(
    http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    id, secret = await add(store, district, actor)
    now = int(time.time())
    claims = {
        "iss": store.address, "aud": store.address, "sub": id, "client_id": id, "scope": "runs.read",
        "jti": "never", "iat": now, "exp": now + 600, keys.DISTRICT: district,
    }  # fmt: skip
    good = (await ask(http, by_secret(id, secret))).json()["access_token"]
    head, body, seal = good.split(".")
    for token in (
        await keys.sign(store, claims),
        await keys.sign(store, {**claims, keys.DISTRICT: "x"}),
        jwt.encode({"alg": "ES256", "kid": jwt_kid(good), "typ": "at+jwt"}, claims, OTHER, ["ES256"]),
        f"{head}.{body}.",
        f"{head}.{body}.{seal[::-1]}",
        f"{head}.{body}",
        "x" * 5000,
    ):
        answer = await http.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
    assert await keys.said(store, await keys.sign(store, {**claims, "aud": "https://elsewhere.example.org"})) is None
    assert await keys.said(store, await keys.sign(store, {**claims, "exp": now - 1})) is None


def jwt_kid(token: str) -> str:
    return str(keys._kid(token))


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_after(
    store: Store, district: int, actor: Actor
) -> None:
    id, secret = await add(store, district, actor)
    client = await clients.authenticate(store, id, secret)
    assert client is not None
    before = await clients.issue_token(store, client, client.scopes)
    new = await keys.rotate(store, actor)
    assert (await keys.published(store))[0]["kid"] == new
    assert jwt_kid(await clients.issue_token(store, client, client.scopes)) == jwt_kid(before) != new
    at = datetime.now(UTC)
    made = {"a": at, "b": at + timedelta(days=90)}
    for days, kid, gone in ((0, "a", []), (90, "a", []), (90.1, "b", []), (91.1, "b", ["a"])):
        assert (keys.signing(made, at + timedelta(days=days)), keys.outlived(made, at + timedelta(days=days))) == (
            kid, gone,
        )  # fmt: skip
    assert await clients.token_client(store, before) is not None
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE signing_key SET created_at = created_at - interval '91 days'"))
    await keys._ring(store, again=0.0)
    aged = await clients.issue_token(store, client, client.scopes)
    assert jwt_kid(aged) == new, "by age a successor is made, which does not sign yet"
    assert len(await keys.published(store)) == 2 and jwt_kid(before) not in {
        k["kid"] for k in await keys.published(store)
    }
    only = await keys.rotate(store, actor, at_once=True)
    assert [key["kid"] for key in await keys.published(store)] == [only]
    assert await clients.token_client(store, aged) is None
    assert jwt_kid(await clients.issue_token(store, client, client.scopes)) == only
    async with store.transaction(district) as c:
        acts = (
            await c.execute(text("SELECT actor->>'role' FROM act WHERE act = 'signing-key' ORDER BY seq"))
        ).scalars()
        assert list(acts) == ["district_it", "system", "district_it"]


async def test_an_old_client_signs_its_requests_where_the_district_allows_it(
    application: FastAPI, http: httpx.AsyncClient, store: Store, district: int, actor: Actor
) -> None:
    @application.get("/signed/{it}")
    async def signed(it: str, request: Request) -> list[str]:
        return sorted((await signed_call(request)).scopes)

    store.address = str(http.base_url).rstrip("/")
    id, _ = await add(store, district, actor, CORE, "runs.read", f"{V1P1}roster-demographics.readonly")
    secret = await credentials.switch_oauth1(store, district, id, True, actor)
    url = f"{store.address}/signed/a%20b?limit=2&filter=role%3D%27student%27&offset=0"

    def made(secret: str | None = secret, **given: Any) -> dict[str, str]:
        one = oauth1.Client(id, secret, **given)
        return dict(one.sign(url)[1])

    for method in (oauth1.SIGNATURE_HMAC_SHA1, oauth1.SIGNATURE_HMAC_SHA256):
        header = made(signature_method=method)
        answer = await http.get(url, headers=header)
        assert (answer.status_code, answer.json()) == (200, [CORE]), answer.text
        assert (await http.get(url, headers=header)).status_code == 401, "used before"
    old = str(int(time.time()) - 3600)
    for header in (
        made("guessed"), made(timestamp=old), made(signature_method=oauth1.SIGNATURE_PLAINTEXT),
        {"Authorization": "Bearer x"}, {"Authorization": "OAuth"}, {},
    ):  # fmt: skip
        assert (await http.get(url, headers=header)).status_code == 401
    assert (await http.get(url + "&sort=x", headers=made())).status_code == 401, "the query is signed too"
    async with store.owner.begin() as c:
        kept = str((await c.execute(text("SELECT CAST(json_agg(t) AS text) FROM client t"))).scalar())
    assert secret is not None and secret not in kept
    await credentials.switch_oauth1(store, district, id, False, actor)
    assert (await http.get(url, headers=made())).status_code == 401
