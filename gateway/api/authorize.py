"""Where a person allows a program to act for them: the page that asks, and the code that the program gets for a yes."""

import re
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc6749 import InvalidScopeError  # type: ignore[import-untyped]
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import QueryParams

from gateway.api.oauth.people import AUTHORIZE_PATH, scopes_for
from gateway.api.pages import page
from gateway.api.signin import SESSION, csrf_of, is_form, note, root, session_of
from gateway.store import clients, grants, sessions
from gateway.store.clients import SCOPES, Client
from gateway.store.database import Store
from gateway.store.sessions import Session

router = APIRouter(tags=["people"])

ASKED = ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method")


@router.get(AUTHORIZE_PATH, response_class=HTMLResponse, include_in_schema=False)
async def ask(request: Request) -> Response:
    """Ask whoever is signed in whether the program may act for them. # RFC 6749 4.1.1, RFC 7636 4.3"""
    asked = request.query_params
    client = await _client(request, asked)
    if client is None:
        return note(request, "client-unknown", 400)
    if wrong := _wrong(client, asked):
        return _back(request, asked, wrong)
    session = await session_of(request)
    if session is None or session.district != client.district:
        district = await sessions.district_name(request.app.state.store, client.district)
        next = f"{AUTHORIZE_PATH}?{urlencode({name: asked[name] for name in ASKED if name in asked})}"
        return RedirectResponse(f"{root(request)}/sign-in?{urlencode({'district': district, 'next': next})}", 303)
    where = urlsplit(asked["redirect_uri"])
    return page(
        request, "consent", leads_to=f"{where.scheme}://{where.netloc}", application=client.name,
        district=session.district_name, name=_first_name(session), scopes=scopes_for(client, asked.get("scope", "")),
        sentences=SCOPES, where=where.netloc, asked={name: asked[name] for name in ASKED if name in asked},
        csrf=csrf_of(request.cookies[SESSION]), root=root(request),
    )  # fmt: skip


@router.post(AUTHORIZE_PATH, response_class=HTMLResponse, include_in_schema=False)
async def decide(
    request: Request,
    decision: Annotated[str, Form(max_length=10)] = "",
    csrf: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Send the browser back to the program, with a code where the person said yes. # RFC 6749 4.1.2, RFC 9207"""
    form = await request.form()
    asked = QueryParams([(name, str(value)) for name, value in form.multi_items() if name in ASKED])
    client = await _client(request, asked)
    if client is None:
        return note(request, "client-unknown", 400)
    session = await session_of(request)
    if session is None or session.district != client.district or not is_form(request, SESSION, csrf):
        return note(request, "form-over", 403)
    if wrong := _wrong(client, asked):
        return _back(request, asked, wrong)
    if decision != "yes":
        return _back(request, asked, {"error": "access_denied"})
    code = await grants.add_code(
        request.app.state.store, client, session.person, asked["redirect_uri"], asked["code_challenge"],
        scopes_for(client, asked.get("scope", "")), session.second_factor,
    )  # fmt: skip
    return _back(request, asked, {"code": code})


async def _client(request: Request, asked: QueryParams) -> Client | None:
    """The client that asks, with an address that is registered for it letter by letter; None otherwise: then nobody is
    sent anywhere."""
    store: Store = request.app.state.store
    id = asked.get("client_id", "")
    if len(asked.multi_items()) > len(asked) or not id.isascii() or not id.isprintable():
        return None
    proving = await clients.proving(store, id)
    if proving is None or proving.client.suspended:
        return None
    return proving.client if asked.get("redirect_uri") in await grants.redirects(store, proving.client) else None


def _wrong(client: Client, asked: QueryParams) -> dict[str, str] | None:
    if asked.get("response_type") != "code":
        return {"error": "unsupported_response_type", "error_description": "Only response_type=code is answered."}
    if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
        return {"error": "invalid_request", "error_description": "PKCE with code_challenge_method=S256 is needed."}
    try:
        scopes_for(client, asked.get("scope", ""))
    except InvalidScopeError as error:
        return {"error": "invalid_scope", "error_description": str(error.description)}
    return None


_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 4.2: a SHA-256 in base64url


def _back(request: Request, asked: QueryParams, said: dict[str, str]) -> Response:
    store: Store = request.app.state.store
    state = {"state": asked["state"]} if "state" in asked else {}
    where = asked["redirect_uri"]
    said = said | state | {"iss": store.address}
    return RedirectResponse(f"{where}{'&' if '?' in where else '?'}{urlencode(said)}", 303)


def _first_name(session: Session) -> str:
    return str(session.doc.get("preferred_given_name") or session.doc.get("given_name", ""))
