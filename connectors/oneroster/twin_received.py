"""What a twin was sent, without the client's secrets, for tests that ask what of a district's data went out."""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECRET = re.compile(r"(client_secret=)[^&]*")
_KEPT = 100_000


@dataclass(frozen=True)
class Received:
    """One request. Of Authorization only the scheme is here, and no cookie; names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str


class Ledger:
    """ASGI middleware that writes down every request but those to the side door."""

    def __init__(self, app: ASGIApp, *, received: deque[Received]) -> None:
        self._app = app
        self._received = received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_twin/"):
            await self._app(scope, receive, send)
            return
        body = b""

        async def hear() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        try:
            await self._app(scope, hear, send)
        finally:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            if "authorization" in headers:
                headers["authorization"] = headers["authorization"].partition(" ")[0]
            headers.pop("cookie", None)
            query, text = scope["query_string"].decode("latin-1"), body.decode("utf-8", "replace")
            self._received.append(
                Received(
                    scope["method"], scope["path"], _SECRET.sub(r"\1...", query), headers, _SECRET.sub(r"\1...", text)
                )
            )


def ledger() -> deque[Received]:
    """An empty one; the oldest go where there are very many."""
    return deque(maxlen=_KEPT)
