"""Who is let in, and by what: client credentials, a fixed bearer token, a signature, and the session behind it."""

import hmac
import secrets
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.oneroster.twin_errors import Denied
from connectors.oneroster.twin_fields import Version
from connectors.oneroster.twin_quirks import Access
from connectors.oneroster.twin_signatures import Signatures

_SCOPE = {
    "1.2": "https://purl.imsglobal.org/spec/or/v1p2/scope/",
    "1.1": "https://purl.imsglobal.org/spec/or/v1p1/scope/",
}
_IN_BOTH = (
    "roster.readonly roster-core.readonly roster-demographics.readonly resource.readonly gradebook.readonly"
    " gradebook.createput gradebook.delete"
)
_SCOPES = {
    "1.1": _IN_BOTH.split(),
    "1.2": [
        *_IN_BOTH.split(),
        *["gradebook-core.readonly", "gradebook.createpost", "resource-core.readonly"],
        *["assessment.readonly", "assessment.createput", "assessment.delete"],
    ],
}


def scopes(version: Version, names: str) -> frozenset[str]:
    """The scopes of these names as this version spells them, without those that it does not have."""
    return frozenset(_SCOPE[version] + name for name in names.split() if name in _SCOPES[version])


class Door(Protocol):
    """What `synthetic.faults` needs to end what was given out, and what a service asks at every request."""

    revoked: bool
    ahead: float

    def demand(self, request: Request, wanted: frozenset[str]) -> None:
        """Refuse whoever is not known (401), or known and may not do any of what is wanted (403)."""

    def forget(self) -> None: ...

    def renew(self, secret: str) -> None: ...


def door(access: Access, client_id: str, client_secret: str, versions: tuple[Version, ...]) -> "Tokens | Signatures":
    """The door of a system with this way of letting in."""
    if access.style == "oauth1":
        return Signatures(client_id, client_secret, access.hashes, access.window)
    every = frozenset(_SCOPE[version] + name for version in versions for name in _SCOPES[version])
    return Tokens(access, client_id, client_secret, every)


class Tokens:
    """The OAuth 2 client credentials grant (RFC 6749 4.4) for one client, and the tokens it gave out.

    Where the secret itself is the token, none is given out.
    """

    def __init__(self, access: Access, client_id: str, client_secret: str, every: frozenset[str]) -> None:
        self._access = access
        self._id = client_id
        self._every = every
        self._given: dict[str, tuple[frozenset[str], float]] = {}
        self.revoked = False
        self.ahead = 0.0
        self.renew(client_secret)

    async def grant(self, request: Request) -> Response:
        body = (await request.body()).decode("latin-1")
        sent = [*parse_qsl(body, keep_blank_values=True), *self._in_query(request)]
        form = dict(sent)
        if not self._knows(request, dict(parse_qsl(body, keep_blank_values=True))):
            return _no_token("invalid_client", 401, {"WWW-Authenticate": 'Basic realm="OneRoster"'})
        if len(form) < len(sent) or "grant_type" not in form:
            return _no_token("invalid_request")
        if form["grant_type"] != "client_credentials":
            return _no_token("unsupported_grant_type")
        if self._access.scope == "refused" and "scope" in form:
            return _no_token("invalid_request")
        granted = self._granted(form.get("scope", ""))
        if not granted:
            return _no_token("invalid_scope")
        token = secrets.token_urlsafe(24)
        self._given[token] = granted, time.monotonic() + self._access.token_seconds
        answer = {
            "access_token": token,
            "token_type": self._access.token_type,
            "expires_in": int(self._access.token_seconds),
            "scope": " ".join(sorted(granted)),
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def _in_query(self, request: Request) -> list[tuple[str, str]]:
        return request.query_params.multi_items() if "query" in self._access.client else []

    def _knows(self, request: Request, form: Mapping[str, str]) -> bool:
        """Whether the credentials are there, in a place where they are looked for."""
        found = {
            "basic": _basic(request.headers.get("authorization", "")),
            "form": f"{form.get('client_id', '')}:{form.get('client_secret', '')}",
            "query": f"{request.query_params.get('client_id', '')}:{request.query_params.get('client_secret', '')}",
        }
        return not self.revoked and any(
            hmac.compare_digest(found[place].encode(), self._client) for place in self._access.client
        )

    def _granted(self, asked: str) -> frozenset[str]:
        match self._access.scope:
            case "ignored" | "refused":
                return self._every
            case "required":
                return frozenset(asked.split()) & self._every
            case "optional":
                return frozenset(asked.split()) & self._every if asked.split() else self._every

    def demand(self, request: Request, wanted: frozenset[str]) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Denied(401, "The access token is missing, unknown or expired.")
        if self._access.style == "bearer":
            if self.revoked or not hmac.compare_digest(f"{self._id}:{token}".encode(), self._client):
                raise Denied(401, "The access token is unknown.")
            return
        granted, until = self._given.get(token, (frozenset(), 0.0))
        if until <= time.monotonic() + self.ahead:
            raise Denied(401, "The access token is missing, unknown or expired.")
        if not granted & wanted:
            raise Denied(403, "The access token lacks the scope of this collection.")

    def forget(self) -> None:
        self._given.clear()

    def renew(self, secret: str) -> None:
        self._client = f"{self._id}:{secret}".encode()


def _basic(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    try:
        said = b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""
    name, _, secret = said.partition(":")
    return f"{unquote_plus(name)}:{unquote_plus(secret)}" if scheme.lower() == "basic" else ""  # RFC 6749 2.3.1


def _no_token(error: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, {"Cache-Control": "no-store", **(headers or {})})


class Sessions:
    """The cookie of a session: given with the first answer that a token gets, demanded with every request after it."""

    _NAME = "ONEROSTERSESSION"

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._begun: set[str] = set()

    def demand(self, request: Request) -> None:
        """Refuse a request that is not the first with its token and brings no cookie."""
        credential = request.headers.get("authorization", "")
        if credential in self._begun and request.cookies.get(self._NAME) not in self._known:
            raise Denied(401, "The session is unknown: send its cookie with every request.")
        self._begun.add(credential)

    def begin(self, request: Request, answer: Response, credential: str = "") -> None:
        """Give out a cookie where the request had none; `credential` is what the next request will be known by."""
        if credential:
            self._begun.add(credential)
        if request.cookies.get(self._NAME) not in self._known:
            session = secrets.token_urlsafe(12)
            self._known.add(session)
            answer.set_cookie(self._NAME, session, httponly=True)
