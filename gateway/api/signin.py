"""Where people sign in: pages and the session cookie that they get, which a form must know of to be believed."""

import hashlib
import hmac
import secrets
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from gateway import accounts
from gateway.api.oauth.proofs import place_of
from gateway.api.pages import page, said
from gateway.errors import PlanbridgeError, Refused
from gateway.settings import Settings
from gateway.store import providers, rates, sessions
from gateway.store.database import Store
from gateway.store.sessions import Session

router = APIRouter(tags=["people"])

SESSION = "__Host-planbridge"
FORM = "__Host-planbridge-form"
BEGUN = "__Host-planbridge-begun"
KNOWN = "__Host-planbridge-known"
KNOWN_DAYS = 180
STATUS = {"sign-in-waits": 429, "sign-in-busy": 429}
PER_ADDRESS, WRONG_PER_ADDRESS = 600, 30
"""Tries to sign in that one address has in a minute, and how many of them may be wrong: a school may share one."""

Text = Annotated[str, Form(max_length=2000)]


async def session_of(request: Request) -> Session | None:
    """Who is signed in with the cookie of this request."""
    token = request.cookies.get(SESSION, "")
    return await accounts.current(request.app.state.store, token) if token else None


async def signed_in(request: Request) -> Session:
    """The same where nothing goes on without; 401."""
    session = await session_of(request)
    if session is None:
        raise HTTPException(401, "Nobody is signed in here, or not any more. Sign in again.")
    return session


class Me(BaseModel):
    """Whoever is signed in."""

    person: str = Field(description="Entity id on the roster.")
    district: str
    means: str = Field(description="account, or provider: the district's own sign-in.")
    second_factor: bool


@router.get("/v1/me")
async def me(request: Request) -> Me:
    """Who is signed in with this browser; 401 where nobody is, or not any more."""
    session = await signed_in(request)
    return Me(
        person=session.person, district=session.district_name, means=session.means, second_factor=session.second_factor
    )


@router.get("/sign-in", response_class=HTMLResponse, include_in_schema=False)
async def show(
    request: Request,
    district: Annotated[str, Query(max_length=200)] = "",
    next: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """The page to sign in at; whoever is signed in sees as whom, and how to sign out."""
    session = await session_of(request)
    if session is not None and not next and district in ("", session.district_name):
        name = session.doc.get("preferred_given_name") or session.doc.get("given_name", "")
        csrf = csrf_of(request.cookies[SESSION])
        return page(request, "home", name=name, district=session.district_name, csrf=csrf, root=root(request))
    return await _form(request, district, next)


async def _form(request: Request, district: str, next: str, status: int = 200, wrong: str = "") -> Response:
    store: Store = request.app.state.store
    found = await sessions.district_named(store, district)
    if found is None:
        return note(request, "district-unknown", 404)
    number, name = found
    provider = await providers.of(store, number) is not None
    cookie = request.cookies.get(FORM) or secrets.token_urlsafe(32)
    answer = page(
        request, "signin", status, district=name, next=_local(next), csrf=csrf_of(cookie), provider=provider,
        query=urlencode({"district": name, "next": _local(next)}), wrong=wrong, root=root(request),
    )  # fmt: skip
    _set(answer, FORM, cookie)
    return answer


@router.post("/sign-in", response_class=HTMLResponse, include_in_schema=False)
async def sign_in(
    request: Request,
    district: Text = "",
    name: Text = "",
    password: Text = "",
    code: Text = "",
    csrf: Text = "",
    next: Text = "",
) -> Response:
    """Sign in with an account."""
    store: Store = request.app.state.store
    if not is_form(request, FORM, csrf):
        return await _form(request, district, next, 403, said(request, "form-over", _FORM_OVER))
    found = await sessions.district_named(store, district)
    if found is None:
        return note(request, "district-unknown", 404)
    try:
        await _refuse_many(request)
        token = await accounts.sign_in(store, found[0], name, password, code, request.cookies.get(KNOWN, ""))
    except Refused as error:
        if error.code != "sign-in-busy":
            await rates.count(store, f"sign-in-wrong/{place_of(request)}", WRONG_PER_ADDRESS)
        return await _form(request, district, next, STATUS.get(error.code, 403), _sentence(request, error))
    answer = _in(request, token, next)
    _set(answer, KNOWN, accounts.known_browser(store, found[0], name), days=KNOWN_DAYS)
    return answer


async def _refuse_many(request: Request) -> None:
    """Refused where this address tries too often, or too often in vain, whoever it says it is."""
    store: Store = request.app.state.store
    place = place_of(request)
    for subject, most, times in (("sign-in", PER_ADDRESS, 1), ("sign-in-wrong", WRONG_PER_ADDRESS, 0)):
        if await rates.count(store, f"{subject}/{place}", most, times) is not None:
            raise Refused(
                "sign-in-busy", "From here there were too many tries to sign in.", "Wait a minute, then try again."
            )


def _in(request: Request, token: str, next: str) -> Response:
    answer = RedirectResponse(root(request) + (_local(next) or "/sign-in"), 303)
    _set(answer, SESSION, token)
    return answer


@router.get("/sign-in/provider", response_class=HTMLResponse, include_in_schema=False)
async def leave(
    request: Request,
    district: Annotated[str, Query(max_length=200)] = "",
    next: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Go to the district's own sign-in. (A form could not lead there: the page's policy lets it go to us alone.)"""
    store: Store = request.app.state.store
    found = await sessions.district_named(store, district)
    if found is None:
        return note(request, "district-unknown", 404)
    try:
        await _refuse_many(request)
        where, state = await accounts.leave(store, found[0], _callback(request), _local(next))
    except PlanbridgeError as error:
        return note(request, error.code, STATUS.get(error.code, 502), _sentence(request, error))
    answer = RedirectResponse(where, 303)
    _set(answer, BEGUN, state)
    return answer


@router.get("/sign-in/callback", response_class=HTMLResponse, include_in_schema=False)
async def come_back(
    request: Request,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Where the district's own sign-in sends people back to, in the browser that left for it."""
    begun = request.cookies.get(BEGUN, "")
    try:
        if not state or not hmac.compare_digest(begun.encode(), state.encode()):
            raise Refused("sign-in-over", "This sign-in took too long, or was begun elsewhere.", "Sign in again.")
        if not code:
            raise Refused("provider-refused", "The district's sign-in did not vouch for anybody.", "Sign in again.")
        token, next = await accounts.come_back(request.app.state.store, state, code, _callback(request))
    except PlanbridgeError as error:
        return note(request, error.code, 403 if isinstance(error, Refused) else 502, _sentence(request, error))
    return _in(request, token, next)


@router.post("/sign-out", response_class=HTMLResponse, include_in_schema=False)
async def sign_out(request: Request, csrf: Text = "", everywhere: Text = "") -> Response:
    """End this session, or every one of this person."""
    store: Store = request.app.state.store
    session = await signed_in(request)
    if not is_form(request, SESSION, csrf):
        return note(request, "form-over", 403)
    if everywhere:
        await sessions.end_all(store, session.district, session.person, session.actor)
    else:
        await sessions.close(store, session)
    answer = RedirectResponse(f"{root(request)}/sign-in", 303)
    answer.delete_cookie(SESSION, path="/", secure=True, httponly=True, samesite="lax")
    return answer


LinkToken = Annotated[str, Path(max_length=100, pattern=r"^[0-9]{1,9}\.[A-Za-z0-9_-]+$")]


@router.get("/enrol/{token}", response_class=HTMLResponse, include_in_schema=False)
async def invited(request: Request, token: LinkToken) -> Response:
    """The page behind a one-time link. Looking at it uses nothing up: mail programs look before people do."""
    return await _enrol_form(request, token)


async def _enrol_form(request: Request, token: str, status: int = 200, wrong: str = "") -> Response:
    who = await accounts.invited(request.app.state.store, token)
    if who is None:
        return note(request, "link-over", 404)
    cookie = request.cookies.get(FORM) or secrets.token_urlsafe(32)
    address = accounts.seed_address(who.seed, who.name)
    answer = page(
        request, "enrol", status, name=who.name, seed=who.seed, address=address, needs_factor=who.needs_factor,
        csrf=csrf_of(cookie), wrong=wrong,
    )  # fmt: skip
    _set(answer, FORM, cookie)
    return answer


@router.post("/enrol/{token}", response_class=HTMLResponse, include_in_schema=False)
async def enrol(request: Request, token: LinkToken, password: Text = "", code: Text = "", csrf: Text = "") -> Response:
    """Set password and second factor, once."""
    if not is_form(request, FORM, csrf):
        return await _enrol_form(request, token, 403, said(request, "form-over", _FORM_OVER))
    try:
        codes = await accounts.enrol(request.app.state.store, token, password, code)
    except Refused as error:
        return await _enrol_form(request, token, 403, _sentence(request, error))
    if codes is None:
        return note(request, "link-over", 404)
    return page(request, "enrolled", codes=codes)


# --- what every page needs ------------------------------------------------------------------------------------------


_FORM_OVER = "This page was open too long, or was not opened here. Please try again."


def note(request: Request, code: str, status: int, otherwise: str = "") -> Response:
    """A page that says why something did not work."""
    return page(request, "note", status, text=said(request, code, otherwise))


def _sentence(request: Request, error: PlanbridgeError) -> str:
    return said(request, error.code, f"{error.message} {error.fix}")


def csrf_of(cookie: str) -> str:
    """What a form must say that was made for the browser with this cookie: nobody else's page can know it."""
    return hashlib.sha256(f"form\x1f{cookie}".encode()).hexdigest()


def is_form(request: Request, cookie: str, csrf: str) -> bool:
    held = request.cookies.get(cookie, "")
    return bool(held) and hmac.compare_digest(csrf_of(held).encode(), csrf.encode())


def _local(next: str) -> str:
    """A place of ours, or nothing: nobody is led elsewhere from here."""
    plain = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable() and "\\" not in next
    return next if plain else ""


def root(request: Request) -> str:
    """What stands before our paths where others reach us, without host."""
    settings: Settings = request.app.state.settings
    return "" if settings.public_url is None else urlsplit(settings.public_url).path


def _callback(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return f"{settings.address}/sign-in/callback"


def _set(answer: Response, name: str, value: str, *, days: int | None = None) -> None:
    lasts = None if days is None else days * 86_400
    answer.set_cookie(name, value, max_age=lasts, path="/", secure=True, httponly=True, samesite="lax")
