"""A small server that behaves like Moodle's web services by REST, playing the invented district."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.moodle.twin_errors import Denied, maintenance, no_such_token, not_in_the_service, not_there
from connectors.moodle.twin_functions import FUNCTIONS, OTHERS
from connectors.moodle.twin_signatures import SIGNATURES, read
from connectors.moodle.twin_site import MANAGER, Role, Site, Token, User
from synthetic import District, build
from synthetic.damage import Answer, cut
from synthetic.model import Staff, Student

__all__ = ["PARENT", "SERVICE", "TEAM", "Site", "app", "playing", "served", "twin"]

TEAM, PARENT, CUSTODIAN = 12, 11, 10
"""Roles: one for the team of a plan, one for parents, and one that cannot be given in the context of a user."""
SERVICE = 2
"""The account that a token of ours stands for."""
_FIRST_PERSON = 3


def twin(district: District, *, token: str = "demo-token") -> Starlette:  # noqa: S107  a twin guards nothing
    """An ASGI application with an account for everybody in the district, by the numbers that the district gives.

    `app.state.site` is what it holds, and what a test changes as a person would; `app.state.faults` what it does wrong;
    `app.state.received` the calls so far, as (function, arguments of the form without the token).
    """
    return served(playing(district, token))


def playing(district: District, token: str) -> Site:
    """The invented district's site, with a service account that has what it needs."""
    site = Site()
    site.add(User(SERVICE, "gateway", "Gateway", "Service", "SVC-1", capabilities=MANAGER))
    site.tokens[token] = Token(SERVICE)
    site.roles = {
        TEAM: Role(TEAM, "successplanteam", frozenset({"planview"})),
        PARENT: Role(PARENT, "parent", frozenset({"planview"})),
        CUSTODIAN: Role(CUSTODIAN, "custodian", in_user_context=False),
    }
    people: list[Student | Staff] = [*district.students, *district.staff]
    for id, one in enumerate(people, start=_FIRST_PERSON):
        site.add(User(id, one.email.split("@")[0], one.given, one.family, one.number))
    return site


class Faults:
    """What goes wrong, so many times: `lose_answers` acts and then cuts the connection; `busy` and `maintenance` do
    nothing, with the status 503 or with a code in a whole answer; `throttle` answers 429 with `retry_after`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lose_answers = 0
        self.lose = ""
        """Only of this function; empty: of any that writes."""
        self.busy = 0
        self.maintenance = 0
        self.throttle = 0
        self.retry_after = 1

    def take(self, name: str) -> bool:
        left = getattr(self, name)
        if left:
            setattr(self, name, left - 1)
        return bool(left)


def served(site: Site) -> Starlette:
    """A site behind the address of its web services."""
    received: list[tuple[str, list[tuple[str, str]]]] = []
    faults = Faults()
    made = Starlette(routes=[Route("/webservice/rest/server.php", _door(site, faults, received), methods=["POST"])])
    made.add_middleware(_Losing, faults=faults, received=received)
    made.state.site, made.state.faults, made.state.received = site, faults, received
    return made


Received = list[tuple[str, list[tuple[str, str]]]]


def _door(site: Site, faults: Faults, received: Received) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        if faults.take("throttle"):
            return Response(status_code=429, headers={"retry-after": str(faults.retry_after)})
        if faults.take("busy"):
            return HTMLResponse("<!doctype html><title>Maintenance</title>", 503)
        form = parse_qsl((await request.body()).decode(), keep_blank_values=True)
        given = dict(form)
        args = [one for one in form if one[0] not in ("wstoken", "wsfunction", "moodlewsrestformat")]
        received.append((given.get("wsfunction", ""), args))
        try:
            if faults.take("maintenance"):
                raise maintenance()
            return JSONResponse(_called(site, given.get("wstoken", ""), given.get("wsfunction", ""), args))
        except Denied as denied:
            return JSONResponse(denied.body)

    return answer


def _called(site: Site, token: str, function: str, args: list[tuple[str, str]]) -> Any:
    """What a function answers. A token that has ended goes with the call that finds it so."""
    held = site.tokens.get(token)
    if held is None:
        raise no_such_token()
    if held.until is not None and held.until <= site.now():
        del site.tokens[token]
        raise not_in_the_service()
    if function in OTHERS:
        raise not_in_the_service()
    if function not in FUNCTIONS:
        raise not_there("functions")
    if held.functions is not None and function not in held.functions:
        raise not_in_the_service()
    return FUNCTIONS[function](site, site.users[held.user], read(args, SIGNATURES[function]))


class _Losing:
    """ASGI middleware that lets the site act and then cuts the connection."""

    def __init__(self, app: ASGIApp, *, faults: Faults, received: Received) -> None:
        self._app, self._faults, self._received = app, faults, received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._faults.lose_answers:
            await self._app(scope, receive, send)
            return
        answer = await Answer.of(self._app, scope, receive)
        function = self._received[-1][0] if self._received else ""
        writes = not any(word in function for word in ("_get_", "_list_", "_read_"))
        if (function == self._faults.lose or (not self._faults.lose and writes)) and self._faults.take("lose_answers"):
            await cut(answer, send, honest=False)
        else:
            await answer.send(send)


def app() -> Starlette:
    """The twin as `uvicorn --factory` wants it, sized and named by TWIN_* in the environment."""
    take = os.environ.get
    district = build(
        schools=int(take("TWIN_SCHOOLS", "3")),
        students=int(take("TWIN_STUDENTS", "600")),
        seed=int(take("TWIN_SEED", "2026")),
    )
    return twin(district, token=take("TWIN_CLIENT_SECRET", "demo-token"))
