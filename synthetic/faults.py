"""What a twin does wrong on request, and the side door by which a test or the demo asks for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthetic import changes, damage, disasters
from synthetic.damage import Answer
from synthetic.model import District
from synthetic.year import Year

Kind = Literal[
    "status", "drop", "truncate", "html", "slow", "clock", "expire_tokens", "revoke",
    "empty", "mistype", "poison", "missing", "twice", "unstable", "total",
]  # fmt: skip
Poison = Literal["garbled", "nul", "deep", "huge"]
Into = Literal["", "number", "text", "truth", "list", "object"]

_DOOR = "/_twin/"
_LOGGED = 10_000
_STATUSES = (429, 500, 503)
_CHANGES: Mapping[str, Callable[[District, Any, int], District]] = {
    change.__name__: change
    for change in (
        changes.without_students, changes.with_new_students, changes.moved, changes.begun_later,
        changes.with_other_names, changes.recoded, changes.with_other_numbers, changes.left_sections,
        disasters.reissued, disasters.renumbered, disasters.schools_renumbered, disasters.reshuffled,
        disasters.without_sections, disasters.with_twins, disasters.twins_merged, disasters.twins_mixed,
    )
}  # fmt: skip
_LOGIN_PAGE = "<!doctype html><title>Sign in</title><h1>Your session has ended. Please sign in.</h1>"


@dataclass
class Fault:
    """One thing to do wrong `times` times, on requests whose path and query contain `path`.

    The first `skip` of these are let through. Which rows it hits is drawn from `seed`.

    - `status`: 429, 500 or 503, with `retry_after` seconds if given (a date, where the clock is wrong);
    - `drop`, `truncate`, `html`: half an answer and no more, half an answer that calls itself whole, a web page;
    - `slow`: waits `seconds` first;
    - `clock`: its clock is `ahead` seconds of the world's, or behind; until the faults are changed, tokens are judged
      by it;
    - `expire_tokens`, `revoke`: no token given so far is good; nor is the secret, until the faults are changed;
    - `empty`: a page without rows, and `total` as their number if given;
    - `mistype`, `poison`: `rows` rows with a field of another type, of whichever if not the one it turns `into`; one
      row that has the given `shape`;
    - `missing`, `twice`, `unstable`: another page instead, another page as well, `rows` rows out of another page;
    - `total`: that number as the total, or none.
    """

    kind: Kind
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0
    ahead: float = 0.0
    rows: int = 1
    into: Into = ""
    shape: Poison = "garbled"
    total: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no such kind of fault; there are {', '.join(get_args(Kind))}")
        if self.shape not in get_args(Poison):
            raise ValueError(f"no such poison; there are {', '.join(get_args(Poison))}")
        if self.into not in get_args(Into):
            raise ValueError(f"no such type; there are {', '.join(get_args(Into)[1:])}")
        if self.status not in _STATUSES:
            raise ValueError("a fault's status is 429, 500 or 503")


class Tokens(Protocol):
    """What a twin gives its tokens out by. While `revoked`, the secret is not accepted. The clock that ends tokens is
    `ahead` seconds of the one that gives them out."""

    revoked: bool
    ahead: float

    def forget(self) -> None:
        """Make every token bad that was given so far."""

    def renew(self, secret: str) -> None:
        """From now on this is the secret."""


class Faults:
    """ASGI middleware around a twin: does the queued faults, changes the district, keeps a log.

    On the twin's own socket, unless `control` is off:

    - `PUT /_twin/faults` a JSON list of `Fault`s replaces the queue, `DELETE` empties it;
    - `POST /_twin/change` `{"without_students": 0.33}`, `{"with_new_students": 40}`, `{"moved": 0.1}` or another
      function of `changes` and `disasters`, or `{"reset": true}`, hands the changed district to `play`; each change
      differs from those before it; `{"day": "2026-10-05"}` plays the first district as `Year` has it on that day;
    - `PUT /_twin/secret` `{"secret": "..."}` ends the client's secret and every token, and sets another;
    - `GET /_twin/log` the last requests as `{method, path, query, status, fault, retry_after, at}`, `DELETE` forgets
      them; `at` is in seconds, by a clock that never jumps, `retry_after` the rest in seconds that the answer asks for.

    `error` gives the JSON body with which this system answers a status.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        district: District,
        play: Callable[[District], None],
        error: Callable[[int], object],
        tokens: Tokens,
        control: bool = True,
    ) -> None:
        self._app = app
        self._first = self._district = district
        self._play = play
        self._error = error
        self._tokens = tokens
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
                    self._go_wrong([Fault(**fault) for fault in await request.json()])
                case "DELETE", "faults":
                    self._go_wrong([])
                case "POST", "change":
                    self._change(await request.json())
                case "PUT", "secret":
                    self._tokens.renew((await request.json())["secret"])
                    self._tokens.forget()
                case "GET", "log":
                    return JSONResponse(list(self._log))
                case "DELETE", "log":
                    self._log.clear()
                case _:
                    return JSONResponse({"detail": "no such control"}, 404)
        except (KeyError, TypeError, ValueError) as problem:
            return JSONResponse({"detail": str(problem)}, 400)
        return Response(status_code=204)

    def _go_wrong(self, queue: list[Fault]) -> None:
        self._queue = queue
        self._tokens.revoked, self._tokens.ahead = False, 0.0

    def _change(self, wanted: dict[str, Any]) -> None:
        district = self._district
        for name, amount in wanted.items():
            if name == "reset":
                district = self._first
            elif name == "day":
                district = self._year.on(date.fromisoformat(amount))
            elif name in _CHANGES:
                self._changes += 1
                district = _CHANGES[name](district, amount, self._changes)
            else:
                raise ValueError(f"no such change; there are reset, day, {', '.join(_CHANGES)}")
        self._district = district
        self._play(district)

    @cached_property
    def _year(self) -> Year:
        return Year(self._first)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        fault = self._due(f"{scope['path']}?{query}")
        entry = {
            "method": scope["method"],
            "path": scope["path"],
            "query": query,
            "status": None,
            "fault": fault and fault.kind,
            "retry_after": fault and fault.retry_after,
            "at": time.monotonic(),
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
            case Fault(kind="expire_tokens" | "revoke" as kind):
                self._tokens.revoked |= kind == "revoke"
                self._tokens.forget()
                await self._app(scope, receive, send)
            case Fault(kind="slow"):
                await asyncio.sleep(fault.seconds)
                await self._app(scope, receive, send)
            case Fault(kind="drop" | "truncate" as kind):
                await damage.cut(await Answer.of(self._app, scope, receive), send, honest=kind == "truncate")
            case Fault():
                self._tokens.ahead = fault.ahead or self._tokens.ahead
                answer = await Answer.of(self._app, scope, receive)
                await self._spoil(answer, fault, scope, receive)
                await answer.send(send)
            case None:
                await self._app(scope, receive, send)

    async def _spoil(self, answer: Answer, fault: Fault, scope: Scope, receive: Receive) -> None:
        match fault.kind:
            case "empty":
                damage.empty(answer, fault.total)
            case "mistype":
                damage.mistype(answer, fault.rows, fault.seed, fault.into)
            case "poison":
                damage.poison(answer, fault.shape, fault.seed)
            case "missing" | "twice" | "unstable":
                other = await Answer.of(self._app, damage.elsewhere(scope), receive)
                damage.mix(answer, other, fault.kind, fault.rows, fault.seed)
            case "total":
                damage.count(answer, fault.total)
            case "clock":
                damage.by_clock(answer, fault.ahead)

    def _refusal(self, fault: Fault) -> Response:
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if fault.ahead:
            headers |= damage.dates(fault.ahead, fault.retry_after)
        return JSONResponse(self._error(fault.status), fault.status, headers)
