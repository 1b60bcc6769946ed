"""A POST that comes twice under one Idempotency-Key is carried out once, and the second is given the first's answer."""

from typing import Any

from fastapi.security import SecurityScopes
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api import oauth, problems
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.store import repeatable
from gateway.store.repeatable import Answer, Claim

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = ("content-type", "location", "etag")
NOT_BEGUN = (401, 403, 404, 413, 422, 428, 429, 503)
"""What says that nothing was begun: the same request may come again under its key."""
LONGEST = 255
DESCRIBED = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A key of your own, such as a UUID. A request that comes again under it within seven days is given "
    "the first one's answer and not carried out again; another request under it is an error.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
    "example": "1f9c5c1e-5a0d-4b8e-9d0a-6a1c0f6f2f11",
}
"""As the OpenAPI document says it of every POST."""


class Once:
    """Stands around the routes of /v1. (# draft-ietf-httpapi-idempotency-key-header)"""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/v1/")
        if not asked or HEADER.lower().encode() not in {name for name, _ in scope["headers"]}:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
            claim = await _claim(request, body)
            found: Any = None if claim is None else await repeatable.claim(request.app.state.store, claim)
            if isinstance(found, str) and found != "mine":
                raise _refusals()[found]
        except (PlanbridgeError, HTTPException) as error:
            await problems.answer(request, error)(scope, receive, send)
            return
        if isinstance(found, Answer):
            again = Response(found.body, found.status, {**found.headers, REPLAYED: "true"})
            await again(scope, receive, send)
            return
        again_received = _again(body, receive)
        if claim is None:
            await self.app(scope, again_received, send)
            return
        await self._carry_out(claim, scope, again_received, send)

    async def _carry_out(self, claim: Claim, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request out and keep its answer before anybody is given it."""
        store = scope["app"].state.store
        messages: list[Message] = []

        async def held(message: Message) -> None:
            messages.append(message)

        try:
            await self.app(scope, receive, held)
        except BaseException:
            await repeatable.failed(store, claim)
            raise
        start = next(one for one in messages if one["type"] == "http.response.start")
        if start["status"] in NOT_BEGUN:
            await repeatable.let_go(store, claim)
        else:
            headers = MutableHeaders(scope=start)
            text = b"".join(one.get("body", b"") for one in messages).decode()
            kept = {name: headers[name] for name in KEPT if name in headers}
            await repeatable.answered(store, claim, Answer(start["status"], kept, text))
        for message in messages:
            await send(message)


async def _claim(request: Request, body: bytes) -> Claim | None:
    """The request as it is told from others; None where nobody is known to ask, who is then refused as ever."""
    key = request.headers[HEADER]
    if not 1 <= len(key) <= LONGEST or len(request.headers.getlist(HEADER)) > 1:
        raise ConfigError(
            "idempotency-key", f"{HEADER} is 1 to {LONGEST} characters, and there is one.", "Use a UUID of your own."
        )
    try:
        call = await oauth.calling(request, SecurityScopes(), request.headers.get("authorization"))
    except (HTTPException, Refused):
        return None
    # the same words for another person are another request
    said = f"{request.url.path}?{request.url.query}\n{call.person}\n{body.decode('utf-8', 'replace')}"
    return Claim(call.district, call.client.id, key, said, call.scopes)


def _refusals() -> dict[str, Refused]:
    return {
        "other": Refused(
            "idempotency-reused",
            f"Another request came under this {HEADER}.",
            "Give each request a key of its own; only the very same one may come again under it.",
        ),
        "narrower": Refused(
            "idempotency-narrower",
            "The first answer under this key was given to a token with more scopes than this one.",
            "Ask for a token with the scopes that the first one had, and send the same again.",
        ),
        "running": Refused(
            "idempotency-running", "The first request under this key is still being carried out.", "Ask again shortly."
        ),
        "unfinished": Refused(
            "idempotency-unfinished",
            "It is not known what became of the first request under this key.",
            "Look whether it took effect; where it did not, send it again under another key.",
        ),
    }


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, for whoever reads it next."""
    given = False

    async def received() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received
