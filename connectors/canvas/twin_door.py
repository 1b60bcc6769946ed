"""Who is let into the twin: the code grant of OAuth 2, tokens made by hand, and a bucket that leaks."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

OOB = "urn:ietf:wg:oauth:2.0:oob"


class Denied(Exception):
    """Ends a request with this answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


@dataclass
class Door:
    """One developer key, its scopes not enforced, and one token made by hand."""

    client_id: str
    client_secret: str
    by_hand: str
    token_seconds: int = 3600
    revoked: bool = False
    ahead: float = 0.0
    granted: int = 0
    """How many access tokens were given out."""
    _codes: set[str] = field(default_factory=set)
    _refresh: set[str] = field(default_factory=set)
    _given: dict[str, float] = field(default_factory=dict)

    def agree(self, request: Request) -> Response:
        """Where somebody agrees: here they always do."""
        asked = request.query_params
        if "code" in asked:
            return HTMLResponse("<title>The code is in the address</title>")
        if asked.get("client_id") != self.client_id or asked.get("response_type") != "code":
            return HTMLResponse("<title>invalid client_id</title>", 401)
        code = self.code()
        home = "/login/oauth2/auth" if asked.get("redirect_uri") == OOB else asked.get("redirect_uri", "")
        told = {"code": code} | ({"state": asked["state"]} if "state" in asked else {})
        return RedirectResponse(f"{home}?{urlencode(told)}", 302)

    def code(self) -> str:
        """What somebody is shown who agreed."""
        code = secrets.token_hex(32)
        self._codes.add(code)
        return code

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return _no("invalid_client", "unknown client", 401)
        match form.get("grant_type"):
            case "authorization_code":
                code = form.get("code", "")
                if code not in self._codes:
                    return _no("invalid_grant", "authorization_code not found")
                self._codes.remove(code)
                refresh = secrets.token_hex(32)
                self._refresh.add(refresh)
                return JSONResponse(self._new() | {"refresh_token": refresh})
            case "refresh_token":
                if self.revoked or form.get("refresh_token") not in self._refresh:
                    return _no("invalid_grant", "refresh_token not found")
                return JSONResponse(self._new())
        return _no("unsupported_grant_type", "The grant_type you requested is not currently supported")

    def _new(self) -> dict[str, object]:
        token = secrets.token_hex(32)
        self._given[token] = time.monotonic() + self.token_seconds
        self.granted += 1
        user = {"id": 1, "name": "Planbridge", "global_id": "10000000000001", "effective_locale": "en"}
        life = {"expires_in": self.token_seconds}
        return {"access_token": token, "token_type": "Bearer", "user": user, "canvas_region": "us-east-1", **life}

    def demand(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            answer = {"status": "unauthenticated", "errors": [{"message": "user authorization required"}]}
            raise Denied(JSONResponse(answer, 401, {"WWW-Authenticate": 'Bearer realm="canvas-lms"'}))
        known = token == self.by_hand or self._given.get(token, 0.0) > time.monotonic() + self.ahead
        if self.revoked or not known:
            answer = {"errors": [{"message": "Invalid access token."}]}
            raise Denied(JSONResponse(answer, 401, {"WWW-Authenticate": 'Bearer realm="canvas-lms"'}))

    def forget(self) -> None:
        self._given.clear()

    def renew(self, secret: str) -> None:
        self.client_secret = secret


def _no(error: str, says: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": says}, status)


@dataclass
class Bucket:
    """Units of work: what a request costs goes in, and so many leak a second; who finds it full is refused. `costs` is
    what one request comes to, `booked` what it holds until then; `answers` is the status of a refusal, 0 for never."""

    answers: int = 403
    brim: float = 600.0
    leak: float = 10.0
    booked: float = 50.0
    costs: float = 1.0
    clock: Callable[[], float] = time.monotonic
    level: float = 0.0
    refused: int = 0
    at: float = 0.0

    def enter(self) -> None:
        now = self.clock()
        self.level = max(0.0, self.level - (now - self.at) * self.leak)
        self.at = now
        if self.answers and self.level >= self.brim:
            self.refused += 1
            words = "403 Forbidden" if self.answers == 403 else "429 Too Many Requests"
            text = f"{words} (Rate Limit Exceeded)\n"
            raise Denied(PlainTextResponse(text, self.answers, {"X-Rate-Limit-Remaining": "0.0"}))
        self.level += self.booked

    def leave(self, answer: Response) -> None:
        self.level += self.costs - self.booked
        answer.headers["X-Request-Cost"] = str(self.costs)
        answer.headers["X-Rate-Limit-Remaining"] = str(max(0.0, self.brim - self.level))
