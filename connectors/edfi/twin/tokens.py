"""The OAuth side of the server: who gets a token, how many, and for how long."""

import hmac
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.edfi.twin import refusals

# Ed-Fi: BearerTokenPerClientLimit, ODS/API 7.2 on
_MOST = 15


class Tokens:
    """Client credentials for one key. `limited`: no more than fifteen live tokens at a time. `web`: as the Ed-Fi API
    (8.0) has it, with a JWT for a token, and credentials in the header only, but for the other address."""

    def __init__(self, key: str, secret: str, seconds: float, *, limited: bool, web: bool = False) -> None:
        self.key = key
        self._secret = secret
        self._seconds = seconds
        self._limited = limited
        self._web = web
        self._live: dict[str, float] = {}
        self.revoked = False
        self.ahead = 0.0

    async def grant(self, request: Request) -> Response:
        form = fields(request, await request.body())
        basic = request.headers.get("authorization", "")
        if self._web and request.url.path.endswith("/oauth/token"):
            # Ed-Fi: the proxy of the Ed-Fi API reads the header and nothing else.
            form = {name: value for name, value in form.items() if not name.startswith("client_")}
        if basic and "client_id" in form:
            return _no_token("invalid_client", 400)
        if form.get("grant_type") != "client_credentials":
            return _no_token("unsupported_grant_type" if "grant_type" in form else "invalid_request", 400)
        if not self._knows(basic, form):
            return _no_token("invalid_client", 401)
        now = time.monotonic()
        self._live = {token: end for token, end in self._live.items() if end > now}
        if self._limited and len(self._live) >= _MOST:
            raise refusals.too_many_tokens(_MOST)
        token = self._signed() if self._web else secrets.token_hex(16)
        self._live[token] = now + self._seconds
        answer = {
            "access_token": token,
            "expires_in": int(self._seconds),
            "token_type": "Bearer" if self._web else "bearer",
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def check(self, request: Request) -> str:
        """The live token of the request. Raises Refusal (401)."""
        header = request.headers.get("authorization")
        if header is None:
            raise refusals.unauthenticated("Authorization header is missing.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise refusals.unauthenticated("Unknown Authorization header scheme.")
        if not token.strip():
            raise refusals.unauthenticated("Missing Authorization header bearer token value.")
        if self._live.get(token, 0) <= time.monotonic() + self.ahead:
            raise refusals.unauthenticated("Invalid Authorization header.")
        return token

    def forget(self) -> None:
        """Every token given so far is bad from now on."""
        self._live.clear()

    def renew(self, secret: str) -> None:
        """The key has this secret from now on."""
        self._secret = secret

    def _signed(self) -> str:
        """What looks like a JWT; nobody but this server reads it."""
        parts = ({"alg": "HS256", "typ": "JWT"}, {"client_id": self.key, "jti": secrets.token_hex(8)})
        return ".".join([*(_segment(json.dumps(part).encode()) for part in parts), _segment(secrets.token_bytes(32))])

    def _knows(self, basic: str, form: Mapping[str, str]) -> bool:
        given = f"{form.get('client_id', '')}:{form.get('client_secret', '')}".encode()
        if basic:
            scheme, _, encoded = basic.partition(" ")
            try:
                given = b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
            except ValueError:
                return False
        return not self.revoked and hmac.compare_digest(given, f"{self.key}:{self._secret}".encode())


def fields(request: Request, body: bytes) -> dict[str, str]:
    """The fields of a form, or of a JSON object; ODS takes both."""
    if "json" not in request.headers.get("content-type", ""):
        return dict(parse_qsl(body.decode("latin-1")))
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}


def _segment(part: bytes) -> str:
    return urlsafe_b64encode(part).decode().rstrip("=")


def _no_token(error: str, status: int) -> Response:
    return JSONResponse({"error": error}, status)
