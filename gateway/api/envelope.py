"""What holds for every request and answer: how much may be sent, an id to find it by, what a bug of ours shows."""

import json
import logging
import traceback
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api import removals

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""Of a request's body. The longest plan that somebody writes by hand is a tenth of it."""
MORE_BYTES = {"/v1/plans/batch": 16 << 20}
"""Where a request is many of them."""


class Envelope:
    """Stands around every route. (FastAPI's own limit answers from outside of it, without what we promise.)

    An exception that nobody caught is our bug. Its text may hold what a request held, so neither the caller nor
    the log gets it: the caller gets a correlation id, the log that id, the kind of error and the lines of code.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        correlation = uuid4().hex
        scope.setdefault("state", {})["correlation"] = correlation
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["correlation-id"] = correlation
                headers.setdefault("cache-control", "no-store")  # but what is the same for everybody for ever
                headers["x-content-type-options"] = "nosniff"
                headers.update(removals.headers(scope["method"], scope["path"]))
            await send(message)

        try:
            await self.app(scope, _limited(scope, receive), send_marked)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s: %s\n%s", correlation, type(error).__name__, where)
            if not started:
                await _send_bug(send_marked, correlation)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Reading the body raises 413 as soon as it is, or says it will be, larger than the route's limit."""
    most = MORE_BYTES.get(scope["path"], MOST_BYTES)
    declared = Headers(scope=scope).get("content-length", "")
    too_large = declared.isdigit() and int(declared) > most
    read = 0

    async def receive_limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if too_large or read > most:
            raise HTTPException(413, f"A body has at most {most} bytes here.")
        return message

    return receive_limited


async def _send_bug(send: Send, correlation: str) -> None:
    problem = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "correlation_id": correlation,
    }
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
