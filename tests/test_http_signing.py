"""OAuth 1.0a as an independent implementation reads it, oauthlib, behind a real socket."""

import datetime
import re
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oauthlib.common import Request
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint
from oauthlib.oauth1.rfc5849 import signature

from gateway.errors import AuthError, ConfigError
from gateway.http import Http, MemoryTokens, OAuth1
from gateway.http.signing import _text, signed
from tests.peers import OK, Asked, Peer, http, in_turn, whole

AWKWARD = ["secret", "a&b=c", "100%", "%41", "pä ss+wörd/~", '"quoted"', "日本", " spaced ", "a%26b", "-._~"]
PARAMETERS: list[dict[str, str | int]] = [
    {},
    {"limit": 100, "offset": 0},
    {"filter": "dateLastModified>'2026-10-01T00:00:00.000Z' AND status='active'"},
    {"filter": "familyName='O\\'Brien & Söhne+Co'", "a": "", "b": "=", "a%20b": "%20", "~": "*!()"},
    {"sort": "a b", "note": "100%25"},
]


class Validator(RequestValidator):
    """Knows one client, and each nonce once."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret
        self.nonces: list[tuple[str, str]] = []

    enforce_ssl = False
    dummy_client = "nobody"
    safe_characters = nonce_length = client_key_length = property(lambda self: None)

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        return ("HMAC-SHA1", "HMAC-SHA256")

    def check_client_key(self, client_key: str) -> bool:
        return True

    def check_nonce(self, nonce: str) -> bool:
        return len(nonce) >= 20

    def validate_client_key(self, client_key: str, request: Request) -> bool:
        return client_key == self._key

    def get_client_secret(self, client_key: str, request: Request) -> str:
        return self._secret

    def validate_timestamp_and_nonce(
        self, client_key: str, timestamp: str, nonce: str, request: Request, request_token: Any = None,
        access_token: Any = None,
    ) -> bool:  # fmt: skip
        known = (timestamp, nonce) in self.nonces
        self.nonces.append((timestamp, nonce))
        return not known


def verifying(validator: Validator, peer: list[Peer]) -> Any:
    """Answers 401 to whatever oauthlib does not take for signed by the client that it knows."""

    def answer(asked: Asked) -> bytes:
        endpoint = SignatureOnlyEndpoint(validator)
        valid, _ = endpoint.validate_request(
            peer[0].url + asked.path, asked.method, "", {"Authorization": asked.headers["authorization"]}
        )
        return OK if valid else whole(401, {})

    return answer


@pytest.mark.parametrize("hash", ["sha1", "sha256"])
@pytest.mark.parametrize("secret", AWKWARD)
async def test_signatures_verify_against_an_independent_implementation(hash: Any, secret: str) -> None:
    key = f"key of {secret}"
    validator, peers = Validator(key, secret), list[Peer]()
    async with Peer(verifying(validator, peers)) as peer, http(OAuth1(key, secret, hash)) as client:
        peers.append(peer)
        for parameters in PARAMETERS:
            assert (await client.get(f"{peer.url}/ims/oneroster/v1p1/users", parameters)).status == 200
            assert (await client.get(f"{peer.url}/a%20b/ü;x=1?z=1&z=0&z=&&y", parameters)).status == 200
        sent = await client.send("PUT", f"{peer.url}/results/r%2F1", json=b'{"result": {}}', repeatable=True)
    assert sent.status == 200
    methods = {re.search(r'signature_method="([^"]+)"', asked.headers["authorization"]) for asked in peer.asked}
    assert {found.group(1) for found in methods if found} == {f"HMAC-{hash.upper()}"}
    assert len(set(validator.nonces)) == len(peer.asked) == 2 * len(PARAMETERS) + 1


async def test_the_verifying_server_refuses_a_wrong_secret_hash_or_parameter() -> None:
    validator, peers = Validator("key", "secret"), list[Peer]()
    async with Peer(verifying(validator, peers)) as peer, http(OAuth1("key", "other")) as client:
        peers.append(peer)
        with pytest.raises(AuthError) as caught:
            await client.get(f"{peer.url}/users", {"limit": 1})
        assert caught.value.code == "unauthorized" and len(peer.asked) == 1
        header = signed("key", "secret", "sha256", httpx.Request("GET", f"{peer.url}/users?limit=1"))
        async with http() as plain:
            assert (await plain.get(f"{peer.url}/users?limit=1", headers={"authorization": header})).status == 200
            for path in ("/users?limit=2", "/orgs?limit=1", "/users"):
                with pytest.raises(AuthError):
                    await plain.get(peer.url + path, headers={"authorization": header})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    parameters=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=5),
    key=TEXT.filter(bool),
    secret=TEXT,
    hash=st.sampled_from(["sha1", "sha256"]),
    form=st.booleans(),
)
def test_any_parameters_and_any_secret_are_signed_as_oauthlib_signs_them(
    parameters: list[tuple[str, str]], key: str, secret: str, hash: Any, form: bool
) -> None:
    url = "https://SIS.example.org:8443/ims//oneroster/v1p1/users"
    if form:
        request = httpx.Request("POST", url, data=dict(parameters), headers={"content-type": FORM})
    else:
        request = httpx.Request("GET", httpx.URL(url, params=parameters))
    header = signed(key, secret, hash, request)
    collected = signature.collect_parameters(
        uri_query=request.url.query.decode(), body=request.content.decode(), headers={"Authorization": header}
    )
    text = signature.signature_base_string(
        request.method,
        signature.base_string_uri(str(request.url)),
        signature.normalize_parameters(collected),
    )
    sign = signature.sign_hmac_sha1_with_client if hash == "sha1" else signature.sign_hmac_sha256_with_client
    client = type("Client", (), {"client_secret": secret, "resource_owner_secret": ""})()
    (given_signature,) = re.findall(r'oauth_signature="([^"]*)"', header)
    assert httpx.QueryParams(f"s={given_signature}")["s"] == sign(text, client)


FORM = "application/x-www-form-urlencoded"


def test_the_example_of_the_standard_is_signed_as_it_says() -> None:
    """# RFC 5849 3.4.1.1, without its token: both sources of parameters, doubled names, an empty value."""
    request = httpx.Request(
        "POST",
        "http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b",
        content=b"c2&a3=2+q",
        headers={"content-type": FORM},
    )
    assert _text(request, {"oauth_consumer_key": "9djdj82h48djs9d2"}) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D"
        "%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2"
    )


async def test_each_attempt_is_signed_anew() -> None:
    async with Peer(in_turn(whole(503), whole(503), OK)) as peer, http(OAuth1("key", "secret")) as client:
        await client.get(f"{peer.url}/users")
    nonces = [re.findall(r'nonce="([^"]+)"', asked.headers["authorization"]) for asked in peer.asked]
    assert len({nonce for (nonce,) in nonces}) == 3


@pytest.mark.parametrize(("ahead", "code"), [(3600, "clock-differs"), (-3600, "clock-differs"), (5, "unauthorized")])
async def test_a_wrong_clock_explains_a_refused_signature(ahead: int, code: str) -> None:
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)
    answer = whole(401, {}, date=format_datetime(date, usegmt=True))
    async with Peer(in_turn(answer)) as peer, http(OAuth1("key", "canary-secret")) as client:
        with pytest.raises(AuthError) as caught:
            await client.get(f"{peer.url}/users")
    assert caught.value.code == code and len(peer.asked) == 1
    assert ("signed request" in str(caught.value)) == (code == "clock-differs")
    assert "canary" not in str(caught.value) + repr(client._auth)


async def test_where_requests_are_signed_there_is_no_token() -> None:
    async with Http(OAuth1("key", "secret"), tokens=MemoryTokens()) as client:
        with pytest.raises(ConfigError) as caught:
            await client.token()
    assert caught.value.code == "no-credentials"
