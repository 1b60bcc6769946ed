"""How requests say who we are, and what a token endpoint is asked and answers."""

import base64
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlencode

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
class RefreshToken:
    """What a person gave by agreeing once (see gateway.http.grants): tokens are asked for with it, again and again.

    # RFC 6749 6. A server that gives another refresh token with each answer is not met yet, and would end this one."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    style: ClassVar[Style] = "form"
    try_form: ClassVar[bool] = False


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


Renewing = ClientCredentials | RefreshToken
"""What tokens are asked for with."""
Auth = Renewing | OAuth1 | StaticBearer
Proof = Token | OAuth1
"""What one request shows: the bearer token of now, or its own signature."""


def store_key(auth: Renewing) -> str:
    """Keyed by the secret: who knows only the client id of others must not be served their token."""
    granted = auth.refresh_token if isinstance(auth, RefreshToken) else auth.scope or ""
    text = "\n".join((auth.token_url, auth.client_id, granted))
    return hmac.new(auth.client_secret.encode(), text.encode(), "sha256").hexdigest()[:32]


def token_call(auth: Renewing, url: httpx.URL, style: Style) -> Call:
    # RFC 6749 4.4.2; both styles at once are refused by Ed-Fi.
    if isinstance(auth, RefreshToken):
        form = {"grant_type": "refresh_token", "refresh_token": auth.refresh_token}
    else:
        form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    headers = {"content-type": FORM}
    if style == "basic":
        # Unquoted, although RFC 6749 2.3.1 asks for quoting: Ed-Fi compares as is, as most do.
        pair = f"{auth.client_id}:{auth.client_secret}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    if style == "query":
        return Call("POST", url.copy_merge_params(form), headers_of(headers), b"")
    return Call("POST", url, headers_of(headers), urlencode(form).encode())


class _Grant(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    scope: str | None = None


_REFUSALS = ("invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client")


_UNSTATED_LIFE = 600.0  # seconds; a token that dies earlier is renewed at its first 401


def granted(reply: Reply, auth: Renewing, asked_at: float) -> Token:
    """The token in a token endpoint's answer, or the error that the answer amounts to."""
    answered = f"{reply.name} answered {reply.status}"
    trace = f"(correlation-id {reply.correlation_id})"
    if reply.status in (401, 403) or (reply.status == 400 and not reply.is_html):
        said = next((f" {code}" for code in _REFUSALS if code.encode() in reply.body), "")
        if isinstance(auth, RefreshToken) and "invalid_grant" in said:
            raise AuthError(
                "grant-ended",
                f"{answered}: what somebody agreed to there counts no more {trace}.",
                "Authorize it again: `planbridge connections authorize`, with the name of this connection.",
            )
        raise AuthError(
            "token-refused",
            f"{answered}{said} to the client id and secret {trace}.",
            "Check client id, client secret and scope with whoever issued them.",
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
    asked = auth.scope if isinstance(auth, ClientCredentials) else None
    return Token(grant.access_token, asked_at + 0.9 * life, grant.scope or asked or "")


def _is_header_safe(token: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]+", token) is not None
