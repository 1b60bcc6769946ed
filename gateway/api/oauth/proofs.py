"""How a client proves who it is, at every endpoint that wants it; how often that may fail; and what an error says."""

import time
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.util import extract_basic_authorization  # type: ignore[import-untyped]
from authlib.oauth2.rfc7523.client import ASSERTION_TYPE, JWTBearerClientAssertion  # type: ignore[import-untyped]
from fastapi import Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from gateway.api.oauth.calls import TOKEN_PATH
from gateway.errors import PlanbridgeError
from gateway.http import Http, MemoryTokens, Network
from gateway.store import clients, credentials, rates
from gateway.store.clients import Client, Proving
from gateway.store.credentials import Keys, key_set
from gateway.store.database import Store

PER_ADDRESS = 600
"""Requests a minute from one address: a district's programs may share one."""
REFUSED_PER_ADDRESS = 60
"""Of them that prove nothing. Counted by address alone: nobody can shut out a client by guessing in its name."""
ASSERTION_SECONDS = 3600
"""The longest that an assertion may still be good: so long we remember that it was used."""
LEEWAY = 60
ALGORITHMS = ("ES256", "ES384", "RS256", "PS256", "Ed25519")
_KEYS_FRESH = 300.0  # seconds that keys are held which a client publishes
_KEYS_REST = 30.0  # at least between two questions for them: anybody can name a key that is not there
_LARGEST_KEYS = 1 << 20


class OAuthError(BaseModel):
    """# RFC 6749 5.2"""

    error: str
    error_description: str | None = Field(default=None, description="For whoever writes the client.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": OAuthError, "description": description}
    for status, description in (
        (400, "Something in the request is wrong."),
        (401, "The client did not prove who it is."),
        (429, "Too many requests; Retry-After says for how many seconds."),
    )
}


class TooMany(OAuth2Error):  # type: ignore[misc]
    """It is asked too often."""

    error = "temporarily_unavailable"
    status_code = 429

    def __init__(self, wait: int) -> None:
        super().__init__("Too many requests. Keep a token for as long as it is good, and wait before you ask again.")
        self.wait = wait


def answered(error: OAuth2Error) -> JSONResponse:
    """The error as an answer. # RFC 6749 5.2"""
    headers = {name: value for name, value in error.get_headers() if name == "WWW-Authenticate"}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.wait)
    return JSONResponse(dict(error.get_body()), error.status_code, headers)


async def form(request: Request) -> Mapping[str, str]:
    """What was sent, each parameter once."""
    items = (await request.form()).multi_items()
    if len({name for name, _ in items}) < len(items):
        raise InvalidRequestError("A parameter is given twice.")
    return {name: value for name, value in items if isinstance(value, str)}


async def refuse_many(request: Request) -> None:
    """TooMany where this address asks too often, or too often in vain."""
    store: Store = request.app.state.store
    place = place_of(request)
    for subject, most, times in (("asked", PER_ADDRESS, 1), ("refused", REFUSED_PER_ADDRESS, 0)):
        if (wait := await rates.count(store, f"{subject}/{place}", most, times)) is not None:
            raise TooMany(wait)


async def authenticated(request: Request, sent: Mapping[str, str]) -> Client:
    """The client that proves itself by a secret, in the header or the form, or by an assertion under its key;
    InvalidClientError, counted, where it does not."""
    try:
        if sent.get("client_assertion_type") or sent.get("client_assertion"):
            return await _by_assertion(request, sent)
        return await _by_secret(request.app.state.store, *_credentials(request.headers, sent))
    except InvalidClientError as error:
        store: Store = request.app.state.store
        await rates.count(store, f"refused/{place_of(request)}", REFUSED_PER_ADDRESS)
        if (named := _named(request.headers, sent)) is not None:
            await credentials.count_refused(store, named)
        # Authlib says 400 where no header was sent.
        raise InvalidClientError(error.description or "The client is not known.", status_code=401) from None


def place_of(request: Request) -> str:
    """Where a request comes from: an address, of IPv6 the network that one customer has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network(f"{host}/64", strict=False)) if isinstance(address, IPv6Address) else host


def _credentials(headers: Headers, sent: Mapping[str, str]) -> tuple[str, str]:
    """Id and secret from the one place where they stand. # RFC 6749 2.3"""
    client_id, secret = sent.get("client_id", ""), sent.get("client_secret", "")
    if "authorization" not in headers:
        return client_id, secret
    if secret:
        raise InvalidRequestError("The secret stands in the header and in the form.")
    user, password = _basic(headers)
    if client_id not in ("", user):
        raise InvalidRequestError("The header and the form name different clients.")
    return user or "", password or ""


def _basic(headers: Headers) -> tuple[str | None, str | None]:
    try:
        user, password = extract_basic_authorization(headers)
    except ValueError:  # not text
        return None, None
    return user, password


async def _by_secret(store: Store, client_id: str, secret: str) -> Client:
    if _is_id(client_id) and (client := await clients.authenticate(store, client_id, secret)):
        return client
    raise InvalidClientError("The client or its secret is not known.")


def _is_id(text: str | None) -> bool:
    # RFC 6749 appendix A: only visible characters. PostgreSQL would not take every other one.
    return bool(text) and str(text).isascii() and str(text).isprintable()


def _named(headers: Headers, sent: Mapping[str, str]) -> str | None:
    named = _subject(sent["client_assertion"]) if sent.get("client_assertion") else sent.get("client_id")
    named = named or _basic(headers)[0]
    return named if _is_id(named) else None


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    """Authlib's checks of what an assertion says: issuer, subject, audience, end. # RFC 7523 3"""

    def __init__(self, store: Store) -> None:
        super().__init__(validate_jti=False, leeway=LEEWAY)  # ours waits for the database
        self._audiences = [store.address, f"{store.address}{TOKEN_PATH}"]

    def get_audiences(self) -> list[str]:
        return self._audiences


def _subject(assertion: str) -> str | None:
    try:
        found = JWTBearerClientAssertion(validate_jti=False).extract_assertion(assertion)[1].get("sub")
    except (InvalidClientError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


async def _by_assertion(request: Request, sent: Mapping[str, str]) -> Client:
    store: Store = request.app.state.store
    if "authorization" in request.headers or sent.get("client_secret"):
        raise InvalidRequestError("The client proves itself in two ways at once.")
    if sent.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequestError(f"client_assertion_type must be {ASSERTION_TYPE}.")
    assertion = sent.get("client_assertion", "")
    subject = _subject(assertion)
    found = await clients.proving(store, subject) if subject is not None and _is_id(subject) else None
    if found is None or not found.keys or sent.get("client_id", found.client.id) != found.client.id:
        raise InvalidClientError("No client that proves itself by a key is named as the subject of the assertion.")
    checks = _Assertion(store)
    headers, _ = checks.extract_assertion(assertion)
    if headers.get("alg") not in ALGORITHMS:
        raise InvalidClientError(f"The assertion must be signed by one of {', '.join(ALGORITHMS)}.")
    keys = await _public_keys(request, found, str(headers.get("kid", "")))
    try:
        # Authlib would read it by the library's default algorithms alone.
        claims = jwt.decode(assertion, keys, ALGORITHMS).claims
        checks.verify_claims(claims)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise InvalidClientError("The assertion cannot be checked with the client's keys.") from error
    jti, until = claims.get("jti"), claims["exp"]
    if not isinstance(jti, str) or not jti:
        raise InvalidClientError("The assertion has no jti.")
    if until > time.time() + ASSERTION_SECONDS:
        raise InvalidClientError(f"The assertion must end within {ASSERTION_SECONDS} seconds.")
    if not await credentials.is_first_use(store, found.client.district, found.client.id, f"jti/{jti}", until + LEEWAY):
        raise InvalidClientError("The assertion was used before.")
    return found.client


_PUBLISHED: dict[str, tuple[float, float, KeySet | None]] = {}
"""Address -> when it was read, when it was last asked, well or in vain, and what was read."""


async def _public_keys(request: Request, found: Proving, kid: str) -> KeySet:
    """The client's keys, as registered, or as it publishes them; those are asked for again where they are old, or
    lack this one."""
    if found.keys.url is None:
        return key_set(found.keys.jwks or {})
    never = float("-inf")
    read_at, asked_at, keys = _PUBLISHED.get(found.keys.url, (never, never, None))
    if time.monotonic() - read_at > _KEYS_FRESH:
        keys = None
    lacks = keys is None or (bool(kid) and kid not in {key.kid for key in keys.keys})
    if lacks and time.monotonic() - asked_at > _KEYS_REST:
        try:
            keys = await _fetched(found.keys, request.app.state.network)
            read_at = time.monotonic()
        finally:
            _PUBLISHED[found.keys.url] = (read_at, time.monotonic(), keys)
    if keys is None:
        raise InvalidClientError("The keys of the client could not be read just now where it publishes them.")
    return keys


async def _fetched(keys: Keys, network: Network) -> KeySet:
    assert keys.url is not None
    try:
        async with Http(
            None,
            tokens=MemoryTokens(),
            network=network,
            timeout=5.0,
            attempts=2,
            longest_wait=1.0,
            largest=_LARGEST_KEYS,
        ) as http:
            reply = await http.get(keys.url)
        found = reply.json() if reply.status == 200 else None
        return key_set(found if isinstance(found, dict) else {})
    except PlanbridgeError as error:
        raise InvalidClientError("The keys of the client cannot be read where it publishes them.") from error
