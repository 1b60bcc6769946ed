"""A platform's door: who gets a token, strict about every claim of what they sign, and what each token opens."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.lti import twin_keys

AGS = "https://purl.imsglobal.org/spec/lti-ags/scope"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
SCOPES = (f"{AGS}/lineitem", f"{AGS}/lineitem.readonly", f"{AGS}/result.readonly", f"{AGS}/score", NRPS)
_BY_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_OLDEST, _AHEAD, _LONGEST = 300, 30, 3600  # seconds


class Door:
    """Tokens for one client. `keys` are the public JWKs of the tool today; `html`: says of its JSON that it is a web
    page, as Moodle does. `asked` counts what was asked for, `refusals` says why it was refused."""

    def __init__(
        self, client_id: str, keys: Callable[[], Sequence[Mapping[str, Any]]], scopes: Sequence[str], *, html: bool
    ) -> None:
        self.client_id, self.keys, self.scopes = client_id, keys, list(scopes)
        self.asked = 0
        self.refusals: list[str] = []
        self._html = html
        self._seen: set[str] = set()
        self._tokens: dict[str, tuple[frozenset[str], float]] = {}

    async def token(self, request: Request) -> Response:
        """# RFC 6749 4.4, RFC 7523 2.2"""
        self.asked += 1
        form = await request.form()
        said = {name: str(value) for name, value in form.items()}
        if said.get("grant_type") != "client_credentials" or said.get("client_assertion_type") != _BY_JWT:
            return self._no("unsupported_grant_type", "not client credentials by a signed assertion")
        if wrong := self._wrong(said.get("client_assertion", ""), f"{str(request.base_url).rstrip('/')}/token"):
            return self._no("invalid_client", wrong)
        granted = [scope for scope in said.get("scope", "").split() if scope in self.scopes]
        if not granted:
            return self._no("invalid_scope", "none of the scopes")
        token = secrets.token_hex(16)
        self._tokens[token] = frozenset(granted), time.time() + 3600
        return self._answer(
            {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": " ".join(granted)}
        )

    def forget(self) -> None:
        """No token given so far is good."""
        self._tokens.clear()

    def refusal(self, request: Request, *scopes: str) -> Response | None:
        """Why a request is not served: no good token, or one without any of these scopes."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        granted, until = self._tokens.get(token, (frozenset(), 0.0))
        if scheme != "Bearer" or until < time.time():
            return JSONResponse({"status": 401, "reason": "Unauthorized"}, 401)
        return None if granted.intersection(scopes) else JSONResponse({"status": 403, "reason": "Forbidden"}, 403)

    def _wrong(self, assertion: str, audience: str) -> str:
        try:
            header, claims = twin_keys.read(assertion)
        except ValueError:
            return "no assertion"
        key = next((one for one in self.keys() if one.get("kid") == header.get("kid")), None)
        now = time.time()
        iat, exp, aud = claims.get("iat"), claims.get("exp"), claims.get("aud")
        if header.get("alg") != "RS256" or key is None or not twin_keys.is_good(assertion, key):
            return "signature"
        if claims.get("iss") != self.client_id or claims.get("sub") != self.client_id:
            return "iss, sub"
        if aud != audience and not (isinstance(aud, list) and audience in aud):
            return "aud"
        if not isinstance(iat, int) or not now - _OLDEST <= iat <= now + _AHEAD:
            return "iat"
        if not isinstance(exp, int) or not now < exp <= iat + _LONGEST:
            return "exp"
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti or jti in self._seen:
            return "jti"
        self._seen.add(jti)
        return ""

    def _no(self, error: str, why: str) -> Response:
        self.refusals.append(why)
        return self._answer({"error": error}, 400)

    def _answer(self, body: dict[str, Any], status: int = 200) -> Response:
        answer = JSONResponse(body, status)
        if self._html:
            answer.headers["content-type"] = "text/html; charset=utf-8"
        return answer
