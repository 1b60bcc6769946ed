"""What a twin does wrong on request, and the side door by which a test or the demo asks for it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthetic.changes import moved, with_new_students, without_students
from synthetic.model import District

Kind = Literal["status", "drop", "truncate", "html", "expire_tokens", "slow"]

_DOOR = "/_twin/"
_LOGGED = 10_000
_STATUSES = (429, 500, 503)
_CHANGES: Mapping[str, Callable[[District, Any, int], District]] = {
    "without_students": without_students,
    "with_new_students": with_new_students,
    "moved": moved,
}
_LOGIN_PAGE = "<!doctype html><title>Sign in</title><h1>Your session has ended. Please sign in.</h1>"


@dataclass
class Fault:
    """One thing to do wrong `times` times, on requests whose path and query contain `path`.

    The first `skip` of these are let through. `status` is one of 429, 500, 503, with `retry_after` seconds
    if given; `seconds` is how long "slow" waits.
    """

    kind: Kind
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no such kind of fault; there are {', '.join(get_args(Kind))}")
        if self.status not in _STATUSES:
            raise ValueError("a fault's status is 429, 500 or 503")


class Faults:
    """ASGI middleware around a twin: does the queued faults, changes the district, keeps a log.

    On the twin's own socket, unless `control` is off:

    - `PUT /_twin/faults` a JSON list of `Fault`s replaces the queue, `DELETE` empties it;
    - `POST /_twin/change` `{"without_students": 0.33}`, `{"with_new_students": 40}`, `{"moved": 0.1}` or
      `{"reset": true}` hands the changed district to `play`; each change differs from those before it;
    - `GET /_twin/log` the last requests as `{method, path, query, status, fault}`, `DELETE` forgets them.

    `error` gives the JSON body with which this system answers a status; `forget` makes every token bad.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        district: District,
        play: Callable[[District], None],
        error: Callable[[int], object],
        forget: Callable[[], None],
        control: bool = True,
    ) -> None:
        self._app = app
        self._first = self._district = district
        self._play = play
        self._error = error
        self._forget = forget
        self._control = control
        self._queue: list[Fault] = []
        self._log: deque[dict[str, object]] = deque(maxlen=_LOGGED)
        self._changes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._control and scope["path"].startswith(_DOOR):
            await (await self._steer(Request(scope, receive)))(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _steer(self, request: Request) -> Response:
        try:
            match request.method, request.url.path.removeprefix(_DOOR):
                case "PUT", "faults":
                    self._queue = [Fault(**fault) for fault in await request.json()]
                case "DELETE", "faults":
                    self._queue = []
                case "POST", "change":
                    self._change(await request.json())
                case "GET", "log":
                    return JSONResponse(list(self._log))
                case "DELETE", "log":
                    self._log.clear()
                case _:
                    return JSONResponse({"detail": "no such control"}, 404)
        except (TypeError, ValueError) as problem:
            return JSONResponse({"detail": str(problem)}, 400)
        return Response(status_code=204)

    def _change(self, wanted: dict[str, Any]) -> None:
        district = self._district
        for name, amount in wanted.items():
            if name == "reset":
                district = self._first
            elif name in _CHANGES:
                self._changes += 1
                district = _CHANGES[name](district, amount, self._changes)
            else:
                raise ValueError(f"no such change; there are reset, {', '.join(_CHANGES)}")
        self._district = district
        self._play(district)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        fault = self._due(f"{scope['path']}?{query}")
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "query": query,
            "status": None,
            "fault": fault and fault.kind,
        }
        self._log.append(entry)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        await self._answer(fault, scope, receive, noted)

    def _due(self, address: str) -> Fault | None:
        for fault in self._queue:
            if fault.path in address:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                self._queue = [other for other in self._queue if other.times > 0]
                return fault
        return None

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        match fault:
            case Fault(kind="status"):
                await self._refusal(fault)(scope, receive, send)
            case Fault(kind="html"):
                await HTMLResponse(_LOGIN_PAGE)(scope, receive, send)
            case Fault(kind="drop" | "truncate" as kind):
                await _half(self._app, scope, receive, send, honest=kind == "truncate")
            case Fault(kind="expire_tokens"):
                self._forget()
                await self._app(scope, receive, send)
            case Fault(kind="slow"):
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case None:
                await self._app(scope, receive, send)

    def _refusal(self, fault: Fault) -> Response:
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return JSONResponse(self._error(fault.status), fault.status, headers)


async def _half(app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, honest: bool) -> None:
    """Send the first half of what `app` answers.

    Honest: with the length of that half, a complete answer whose JSON is broken. Otherwise with the length of
    the whole; the server closes the connection of an application that returns before it has sent all.
    """
    start: Message = {}
    body = b""

    async def collect(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
        else:
            body += message.get("body", b"")

    await app(scope, receive, collect)
    half = body[: len(body) // 2]
    if honest:
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(half)).encode())]
    await send(start)
    await send({"type": "http.response.body", "body": half, "more_body": not honest})
