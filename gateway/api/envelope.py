"""What every answer carries, whatever it says: an id to find it by, no caching; and what a bug of ours shows."""

import json
import logging
import traceback
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)


class Envelope:
    """Stands around the whole application.

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
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["correlation-id"] = correlation
                headers["cache-control"] = "no-store"
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s: %s\n%s", correlation, type(error).__name__, where)
            if not started:
                await _send_bug(send_marked, correlation)


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
