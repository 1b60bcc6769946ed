"""Who stands at the door of a page: signed in, in a role that may, with a form of ours; everybody else is sent away."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Request

from gateway import clock
from gateway.access import Role
from gateway.api.pages import language_of
from gateway.api.signin import SESSION, csrf_of, is_form, root, session_of
from gateway.console import rights
from gateway.store import reading
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.sessions import Session

ROOT = "/console"
LONGEST = 4000
"""Of what stands in one field of a form."""


@dataclass(frozen=True)
class Visit:
    """One request of somebody who may make it. `form`: what they sent, without the token that shows it is ours."""

    store: Store
    session: Session
    roles: frozenset[Role]
    language: str
    csrf: str
    form: Mapping[str, str]

    @property
    def district(self) -> int:
        return self.session.district

    @property
    def actor(self) -> Actor:
        return self.session.actor

    def may(self, route: str) -> bool:
        return rights.may(self.roles, route)

    def __getitem__(self, name: str) -> str:
        return self.form.get(name, "")


async def admitted(request: Request) -> Visit | None:
    """Asked of every request of the console. None for what is open to everybody; else 303 to the sign-in, or 403."""
    route = f"{request.method} {request.scope['route'].path}"
    if route in rights.OPEN:
        return None
    session = await session_of(request)
    if session is None:
        raise HTTPException(303, headers={"Location": _sign_in(request)})
    held = rights.offices(session.doc, clock.today().isoformat())
    store: Store = request.app.state.store
    places = await reading.entities(store, session.district, "organization", ids=[at for _, at in held if at])
    mine = rights.roles(held, {str(one["id"]): one.get("type", "") for one in places})
    cookie = request.cookies[SESSION]
    form = {} if request.method in ("GET", "HEAD") else await _form(request)
    visit = Visit(store, session, mine, language_of(request), csrf_of(cookie), form)
    request.state.visit = visit  # what went wrong is told on a page of theirs
    if not visit.may(route):
        raise HTTPException(403, "rights")
    return visit


async def _form(request: Request) -> dict[str, str]:
    """What was sent, if a page of ours sent it in this session. A browser that says where it came from is believed in
    what speaks against it."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "form")
    sent = await request.form(max_files=0, max_fields=200)
    given = {name: value for name, value in sent.items() if isinstance(value, str)}
    if not is_form(request, SESSION, given.pop("csrf", "")):
        raise HTTPException(403, "form")
    if any(len(value) > LONGEST or "\0" in value for value in given.values()):
        raise HTTPException(422, "long")
    return given


def _sign_in(request: Request) -> str:
    """Where to sign in, and then back to the page that was asked for; a form has to be filled in again."""
    here = request.url.path if request.method == "GET" else ROOT
    district = request.query_params.get("district", "")[:200]
    base = root(request)
    next = here.removeprefix(base) if base else here
    return f"{base}/sign-in?{urlencode({'district': district, 'next': next})}"


async def _there(visit: Annotated[Visit | None, Depends(admitted)]) -> Visit:
    assert visit is not None, "an open route asks for no visitor"
    return visit


Visitor = Annotated[Visit, Depends(_there)]
"""What a route of the console declares: who came, after the door has let them in."""

__all__ = ["ROOT", "Visit", "Visitor", "admitted"]
