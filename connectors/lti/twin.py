"""A strict platform that plays the invented district: it launches our tool, gives tokens, serves its gradebooks."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.lti import twin_keys
from connectors.lti.twin_courses import Courses
from connectors.lti.twin_services import MEMBERSHIP, ROLES, Kind, Services
from connectors.lti.twin_tokens import SCOPES, Door
from synthetic import District
from synthetic.damage import Answer

CLAIM = "https://purl.imsglobal.org/spec/lti/claim"
_WRITES = ("POST", "PUT", "DELETE")


class Platform:
    """One platform and its side door for tests.

    `courses` are its people, courses and gradebooks; `door` its tokens; `received` every request as (method, path with
    query, body), without what is signed or secret. `lose_answers`: so many of the next writes to a service are carried
    out and never answered; `busy`: so many of the next requests are turned away.
    """

    def __init__(
        self,
        courses: Courses,
        door: Door,
        kind: Kind,
        *,
        deployment: str,
        redirects: Sequence[str],
        custom: Mapping[str, str],
    ) -> None:
        self.courses, self.door, self.kind = courses, door, kind
        self.deployment, self.redirects, self.custom = deployment, list(redirects), dict(custom)
        self.received: deque[tuple[str, str, str]] = deque(maxlen=10_000)
        self.lose_answers = 0
        self.busy = 0

    def launch(self, base: str, number: str, course: str, *, nonce: str, target: str, **claims: Any) -> str:
        """A signed launch of somebody (their number) in a course (its id), as `base`, the platform's own address, tells
        it; `claims` take the place of what it would say, None leaves it out. # LTI 1.3, 5.3"""
        person, place = self.courses.person(number), self.courses.courses[course]
        role = ROLES[place.members.get(person.id, "parent")]
        now = int(time.time())
        said: dict[str, Any] = {
            "iss": base,
            "aud": self.door.client_id,
            "sub": person.id,
            "iat": now,
            "exp": now + 60,
            "nonce": nonce,
            "jti": str(uuid4()),
            "name": person.name,
            f"{CLAIM}/message_type": "LtiResourceLinkRequest",
            f"{CLAIM}/version": "1.3.0",
            f"{CLAIM}/deployment_id": self.deployment,
            f"{CLAIM}/target_link_uri": target,
            f"{CLAIM}/roles": [f"{MEMBERSHIP}{role}"],
            f"{CLAIM}/resource_link": {"id": f"link-{place.id}"},
            f"{CLAIM}/context": {"id": place.id, "label": place.code, "title": place.title},
            f"{CLAIM}/lis": {"person_sourcedid": person.number},
            f"{CLAIM}/custom": {
                name: person.number if value == "$Person.sourcedId" else value for name, value in self.custom.items()
            },
            "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": {
                "scope": [scope for scope in self.door.scopes if "lti-ags" in scope],
                "lineitems": f"{base}/courses/{place.id}/lineitems",
            },
            "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
                "context_memberships_url": f"{base}/courses/{place.id}/memberships",
                "service_versions": ["2.0"],
            },
        }
        said |= claims
        return twin_keys.signed({name: value for name, value in said.items() if value is not None})

    async def authenticate(self, request: Request) -> Response:
        """Answers a tool's authentication request with a form that the browser posts. `login_hint` is the number of
        who is signed in, `lti_message_hint` the course. # OpenID Connect Core 3.2; 1EdTech Security Framework 5.1.1"""
        asked = dict(request.query_params) | {name: str(value) for name, value in (await request.form()).items()}
        wanted = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": self.door.client_id,
        }
        wrong = [name for name, value in wanted.items() if asked.get(name) != value]
        wrong += [name for name in ("nonce", "state", "login_hint") if not asked.get(name)]
        if asked.get("redirect_uri") not in self.redirects:
            wrong.append("redirect_uri")
        if wrong:
            return JSONResponse({"error": "invalid_request", "error_description": ", ".join(wrong)}, 400)
        token = self.launch(
            str(request.base_url).rstrip("/"),
            asked["login_hint"],
            asked["lti_message_hint"],
            nonce=asked["nonce"],
            target=asked["redirect_uri"],
        )
        fields = {"id_token": token, "state": asked["state"]}
        inputs = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items()
        )
        return HTMLResponse(f'<form method="post" action="{escape(asked["redirect_uri"])}">{inputs}</form>')


def twin(
    district: District,
    tool_keys: Callable[[], Sequence[Mapping[str, Any]]],
    *,
    kind: Kind = "moodle",
    client_id: str = "planbridge-tool",
    deployment: str = "1",
    redirects: Sequence[str] = (),
    custom: Mapping[str, str] | None = None,
    scopes: Sequence[str] = SCOPES,
    curly: bool | None = None,
    page_size: int | None = None,
) -> Starlette:
    """An ASGI application that is one platform; `app.state.platform` is its side door.

    `tool_keys` gives the public JWKs of the tool; `kind` whose refusals it has; `scopes` what it grants at most.
    `curly` links are Moodle's; with a `page_size` lists come in pages, whether the tool asks for that or not. `custom`
    are the custom parameters of the tool, `$Person.sourcedId` is filled in.
    """
    door = Door(client_id, tool_keys, scopes, html=kind == "moodle")
    courses = Courses(district)
    platform = Platform(courses, door, kind, deployment=deployment, redirects=redirects, custom=custom or {})
    services = Services(courses, door, kind, curly=kind == "moodle" if curly is None else curly, page_size=page_size)
    made = Starlette(
        routes=[
            Route("/openid-configuration", _configuration),
            Route("/jwks", _keys),
            Route("/auth", platform.authenticate, methods=["GET", "POST"]),
            Route("/token", door.token, methods=["POST"]),
            *services.routes(),
        ],
        middleware=[Middleware(_Wire, platform=platform)],
    )
    made.state.platform = platform
    return made


async def _keys(request: Request) -> Response:
    return JSONResponse(twin_keys.published())


async def _configuration(request: Request) -> Response:
    """# 1EdTech Dynamic Registration 1.0, 3.3"""
    base = str(request.base_url).rstrip("/")
    return JSONResponse(
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "jwks_uri": f"{base}/jwks",
            "scopes_supported": ["openid", *SCOPES],
        }
    )


class _Wire:
    """ASGI middleware: writes down every request, and loses answers on request."""

    def __init__(self, app: ASGIApp, *, platform: Platform) -> None:
        self._app, self._platform = app, platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        secret = scope["path"] in ("/token", "/auth")
        self._platform.received.append(
            (scope["method"], str(request.url).removeprefix(str(request.base_url)), "" if secret else body.decode())
        )

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        if self._platform.busy and not secret:
            self._platform.busy -= 1
            await JSONResponse({"status": 429}, 429, headers={"retry-after": "0"})(scope, again, send)
        elif self._platform.lose_answers and scope["method"] in _WRITES and not secret:
            self._platform.lose_answers -= 1
            answer = await Answer.of(self._app, scope, again)
            answer.body = b""
            await answer.send(send, length=1)  # the connection ends before it
        else:
            await self._app(scope, again, send)
