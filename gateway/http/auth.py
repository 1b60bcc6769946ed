"""How requests say who we are, and what a token endpoint is asked and answers."""

import base64
import hmac
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import msgspec

from gateway.errors import AuthError, ConfigError
from gateway.http.answers import Call, Reply, headers_of
from gateway.http.signing import FORM, Hash
from gateway.http.tokens import Token

Style = Literal["basic", "form", "query"]


@dataclass(frozen=True)
class ClientCredentials:
    """OAuth 2 client credentials, from a token URL that may lie anywhere; without a `scope` none is sent.

    `style` is where id and secret stand: in a Basic header, in the form, or in the query of the URL (Infinite Campus).
    `try_form`: where Basic is refused, try the form (Ed-Fi's CMS wants it)."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    style: Style = "basic"
    try_form: bool = False


@dataclass(frozen=True)
class SignedAssertion:
    """OAuth 2 client credentials by an assertion that we sign instead of a secret that both sides know.

    `key` is our private key, an RSA key as a JWK with its `kid`. `audience`: for whom the assertion is; empty where
    that is the token URL, letter by letter. # RFC 7523; private_key_jwt of OpenID Connect Core 9"""

    token_url: str
    client_id: str
    key: str = field(repr=False)
    scope: str | None = None
    audience: str = ""


@dataclass(frozen=True)
class RefreshToken:
    """What a person gave by agreeing once (see gateway.http.grants): tokens are asked for with it, again and again.

    # RFC 6749 6. A server that gives another refresh token with each answer is not met yet, and would end this one."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: None = None


@dataclass(frozen=True)
class OAuth1:
    """OAuth 1.0a with a consumer key and its secret: every request is signed, and there is no token.

    # OneRoster 1.1 names SHA-1; what descends from ClassLink signs by SHA-256."""

    consumer_key: str
    consumer_secret: str = field(repr=False)
    hash: Hash = "sha256"


@dataclass(frozen=True)
class StaticBearer:
    """A token that a vendor hands out once and never renews."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_header_safe(self.token):
            raise ConfigError(
                "token-malformed",
                "The access token has characters that no token has.",
                "Paste it again, without spaces or line ends.",
            )


Asking = ClientCredentials | RefreshToken | SignedAssertion
"""What a token is asked for with."""
Auth = Asking | OAuth1 | StaticBearer
Proof = Token | OAuth1
"""What one request shows: the bearer token of now, or its own signature."""


def store_key(auth: Asking) -> str:
    """Keyed by the secret: who knows only the client id of others must not be served their token."""
    secret = auth.key if isinstance(auth, SignedAssertion) else auth.client_secret
    granted = auth.refresh_token if isinstance(auth, RefreshToken) else auth.scope or ""
    text = "\n".join((auth.token_url, auth.client_id, granted))
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()[:32]


def token_call(auth: Asking, url: httpx.URL, style: Style) -> Call:
    # RFC 6749 4.4.2; both styles at once are refused by Ed-Fi.
    if isinstance(auth, RefreshToken):
        form = {"grant_type": "refresh_token", "refresh_token": auth.refresh_token}
    else:
        form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"content-type": FORM}
    if isinstance(auth, SignedAssertion):
        form |= {"client_assertion_type": _BY_JWT, "client_assertion": _assertion(auth)}
    elif style == "basic":
        # Unquoted, although RFC 6749 2.3.1 asks for quoting: Ed-Fi compares as is, as most do.
        pair = f"{auth.client_id}:{auth.client_secret}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    if style == "query":
        return Call("POST", url.copy_merge_params(form), headers_of(headers), b"")
    return Call("POST", url, headers_of(headers), urlencode(form).encode())


_BY_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTED = 60  # seconds that an assertion counts; each is used once


def _assertion(auth: SignedAssertion) -> str:
    """A new one for each request: a strict platform takes none twice. # RFC 7523 3; 1EdTech Security Framework 4.1.1"""
    # What signs is loaded by the first assertion: it takes megabytes, and most workers never see one.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    now = int(time.time())
    claims = {
        "iss": auth.client_id,
        "sub": auth.client_id,
        "aud": auth.audience or auth.token_url,
        "iat": now,
        "exp": now + _ASSERTED,
        "jti": str(uuid4()),
    }
    try:
        key = RSAKey.import_key(msgspec.json.decode(auth.key))
        return jwt.encode({"alg": "RS256", "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=["RS256"])
    except (JoseError, ValueError, TypeError):
        pass  # raised out here: what was wrong with it would quote the key
    raise ConfigError(
        "signing-key-unusable",
        "There is no key to sign with for this platform.",
        "Let the gateway make one: see the keys of the tool in docs/lti.md.",
    )


class _Grant(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    scope: str | None = None


_REFUSALS = ("invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client")


_CHECK_KEYS = (
    "Check with the platform's administrator: the client id, that it reads our keys (/lti/jwks), that its services are"
    " switched on for this tool, the audience it wants, and that its clock is right."
)
_UNSTATED_LIFE = 600.0  # seconds; a token that dies earlier is renewed at its first 401


def granted(reply: Reply, auth: Asking, asked_at: float) -> Token:
    """The token in a token endpoint's answer, or the error that the answer amounts to."""
    answered = f"{reply.name} answered {reply.status}"
    trace = f"(correlation-id {reply.correlation_id})"
    # Moodle says that its JSON is a web page.
    is_page = reply.is_html and not reply.body.lstrip().startswith(b"{")
    if reply.status in (401, 403) or (reply.status == 400 and not is_page):
        said = next((f" {code}" for code in _REFUSALS if code.encode() in reply.body), "")
        if isinstance(auth, RefreshToken) and "invalid_grant" in said:
            raise AuthError(
                "grant-ended",
                f"{answered}: what somebody agreed to there counts no more {trace}.",
                "Authorize it again: `planbridge connections authorize`, with the name of this connection.",
            )
        signed = isinstance(auth, SignedAssertion)
        raise AuthError(
            "token-refused",
            f"{answered}{said} to the client id and {'what we signed' if signed else 'secret'} {trace}.",
            _CHECK_KEYS if signed else "Check client id, client secret and scope with whoever issued them.",
        )
    grant = None
    if reply.status == 200:
        with suppress(msgspec.MsgspecError):
            # Not strict: some write expires_in as a string.
            grant = msgspec.json.decode(reply.body, type=_Grant, strict=False)
    if grant is None or not _is_header_safe(grant.access_token):
        raise ConfigError(
            "token-url-wrong",
            f"{answered}, and gave no token {trace}.",
            "Check the token URL of this system.",
        )
    life = grant.expires_in if grant.expires_in and grant.expires_in > 0 else _UNSTATED_LIFE
    return Token(grant.access_token, asked_at + 0.9 * life, grant.scope or auth.scope or "")


def _is_header_safe(token: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]+", token) is not None
