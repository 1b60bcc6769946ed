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
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        self._note(scope, b"".join(message.get("body", b"") for message in messages))

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, again, send)

    def _note(self, scope: Scope, body: bytes) -> None:
        """Before it is answered: who reads the ledger after an answer finds the request."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if "authorization" in headers:
            headers["authorization"] = headers["authorization"].partition(" ")[0]
        headers.pop("cookie", None)
        query, text = (
            _SECRET.sub(r"\1...", part)
            for part in (scope["query_string"].decode("latin-1"), body.decode(errors="replace"))
        )
        self._received.append(Received(scope["method"], scope["path"], query, headers, text))


def ledger() -> deque[Received]:
    """An empty one; the oldest go where there are very many."""
    return deque(maxlen=_KEPT)
