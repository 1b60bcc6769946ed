"""The LTI tool as browsers and platforms come to it: login, launch, the page behind it, keys, registration."""

import secrets
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from gateway import launching, printing
from gateway.api.oauth.proofs import place_of
from gateway.api.pages import language_of, page, said, sheet
from gateway.api.signin import root
from gateway.errors import AuthError, ConfigError, PlanbridgeError, Refused, Unavailable
from gateway.lti.launch import origin
from gateway.lti.login import Asked
from gateway.settings import Settings
from gateway.store import launches, rates, tool_keys
from gateway.store.database import Store

router = APIRouter(prefix="/lti", tags=["people"], include_in_schema=False)

BROWSER = "__Host-planbridge-lti-browser"
PAGE = "__Host-planbridge-lti"
PER_ADDRESS = 600
"""Logins that one address may begin in a minute: a school may share one."""
ANYWHERE = ("https:",)
"""Where a page may be shown that holds nothing of anybody: whoever is refused is told so in the frame."""
CLOSE = '(window.opener || window.parent).postMessage({subject: "org.imsglobal.lti.close"}, "*");'
"""Lets a platform know that it may close the window. # Dynamic Registration 1.0, 3.7"""

Word = Annotated[str, Form(max_length=4000)]
Asking = Annotated[str, Query(max_length=4000)]


def _by_address(
    iss: Asking = "",
    login_hint: Asking = "",
    target_link_uri: Asking = "",
    lti_message_hint: Asking = "",
    client_id: Asking = "",
    lti_deployment_id: Asking = "",
) -> Asked:
    return Asked(iss, login_hint, target_link_uri, lti_message_hint, client_id, lti_deployment_id)


def _by_form(
    iss: Word = "",
    login_hint: Word = "",
    target_link_uri: Word = "",
    lti_message_hint: Word = "",
    client_id: Word = "",
    lti_deployment_id: Word = "",
) -> Asked:
    return Asked(iss, login_hint, target_link_uri, lti_message_hint, client_id, lti_deployment_id)


@router.get("/login", response_class=HTMLResponse)
async def login(request: Request, asked: Annotated[Asked, Depends(_by_address)]) -> Response:
    """Where a platform sends a browser to, before it says who is there. # Security Framework 1.1, 5.1.1.1"""
    return await _login(request, asked, tried=False)


@router.post("/login", response_class=HTMLResponse)
async def login_by_form(request: Request, asked: Annotated[Asked, Depends(_by_form)]) -> Response:
    """The same, by a form."""
    return await _login(request, asked, tried=False)


@router.get("/begin", response_class=HTMLResponse)
async def begin(request: Request, asked: Annotated[Asked, Depends(_by_address)]) -> Response:
    """The same again, to see whether the browser kept the cookie that it was just given. Where it keeps none within
    another page, a window of its own does: nothing of the platform was used up by then."""
    return await _login(request, asked, tried=True)


async def _login(request: Request, asked: Asked, *, tried: bool) -> Response:
    store: Store = request.app.state.store
    browser = request.cookies.get(BROWSER, "")
    try:
        if await rates.count(store, f"launch/{place_of(request)}", PER_ADDRESS) is not None:
            raise Refused("launch-busy", "From here there were too many launches.", "Wait a minute, then try again.")
        where = await launching.begun(store, asked, _address(request), browser) if browser else ""
    except PlanbridgeError as error:
        return _note(request, error)
    if where:
        return RedirectResponse(where, 303, {"Referrer-Policy": "no-referrer"})
    words = {
        "iss": asked.issuer, "login_hint": asked.hint, "target_link_uri": asked.target,
        "lti_message_hint": asked.message, "client_id": asked.client, "lti_deployment_id": asked.deployment,
    }  # fmt: skip
    words = {name: value for name, value in words.items() if value}
    if tried:
        return page(request, "lti_window", within=ANYWHERE, asked=words, root=root(request))
    answer = RedirectResponse(f"{root(request)}/lti/begin?{urlencode(words)}", 303)
    _set(answer, BROWSER, secrets.token_urlsafe(32))
    return answer


@router.post("/launch", response_class=HTMLResponse)
async def launch(
    request: Request,
    state: Annotated[str, Form(max_length=200)] = "",
    id_token: Annotated[str, Form(max_length=1 << 16)] = "",
    error: Word = "",
) -> Response:
    """Where a platform sends a browser back to, with its word on who is there. # Security Framework 1.1, 5.1.1.3"""
    store: Store = request.app.state.store
    try:
        if error:  # OpenID Connect Core 3.1.2.6: most of all, that nobody is signed in there
            raise Refused(
                "launch-nobody",
                "Your learning platform did not say who is there.",
                "Sign in to it again, then open the link once more.",
            )
        opened = await launching.launched(
            store, state, request.cookies.get(BROWSER, ""), id_token, _address(request),
            before=request.cookies.get(PAGE, ""),
        )  # fmt: skip
    except PlanbridgeError as error:
        return _note(request, error)
    if opened.back:
        return page(
            request, "lti_link", leads_to=origin(opened.back), within=opened.frames, back=opened.back,
            signed=opened.signed,
        )  # fmt: skip
    answer = RedirectResponse(root(request) + opened.path, 303, {"Referrer-Policy": "no-referrer"})
    _set(answer, PAGE, opened.token)
    return answer


@router.get("/plans", response_class=HTMLResponse)
async def plans(request: Request, all: Annotated[str, Query(max_length=1)] = "") -> Response:
    """The students with a plan that this person may see: those of the course that they came from, or all."""
    store: Store = request.app.state.store
    found = await launching.opened(store, request.cookies.get(PAGE, ""))
    if found is None:
        return _over(request)
    shown = await launching.plans(store, found, everyone=bool(all))
    return page(
        request, "lti_plans", within=found.frames, lines=shown.lines, narrowed=shown.narrowed, more=shown.more,
        root=root(request),
    )  # fmt: skip


@router.get("/plans/{plan}", response_class=HTMLResponse)
async def plan(
    request: Request, plan: Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
) -> Response:
    """A plan, as this person may see it."""
    store: Store = request.app.state.store
    found = await launching.opened(store, request.cookies.get(PAGE, ""))
    if found is None:
        return _over(request)
    try:
        view = await launching.plan(store, found.district, found.person, plan)
        html = await printing.page(store, found.district, view, language_of(request))
    except PlanbridgeError as error:
        return _note(request, error, found.frames)
    return sheet(html, found.frames)


@router.get("/jwks")
async def jwks(request: Request) -> Response:
    """The public keys by which the tool signs what it says to platforms. # RFC 7517"""
    keys = await tool_keys.published(request.app.state.store)
    return JSONResponse({"keys": keys})


# --- registration ---------------------------------------------------------------------------------------------------

LinkToken = Annotated[str, Path(max_length=100, pattern=r"^[0-9]{1,9}\.[A-Za-z0-9_-]+$")]


@router.get("/register/{token}", response_class=HTMLResponse)
async def invited(
    request: Request, token: LinkToken, openid_configuration: Asking = "", registration_token: Asking = ""
) -> Response:
    """The page behind a link of `planbridge lti invite`, as a platform opens it. Looking uses nothing up."""
    found = await launches.invited(request.app.state.store, token)
    place = origin(openid_configuration)
    if found is None or not place:
        code = "lti-link-over" if found is None else "lti-link-alone"
        return page(request, "note", 404 if found is None else 400, within=ANYWHERE, text=said(request, code, ""))
    return page(
        request, "lti_register", within=[place], district=found.district_name, place=place, name=found.name,
        token=token, openid_configuration=openid_configuration, registration_token=registration_token,
        root=root(request),
    )  # fmt: skip


@router.post("/register/{token}", response_class=HTMLResponse)
async def register(
    request: Request, token: LinkToken, openid_configuration: Word = "", registration_token: Word = ""
) -> Response:
    """Register the tool at the platform, once."""
    place = origin(openid_configuration)
    try:
        made = await launching.registered(
            request.app.state.store, token, openid_configuration, registration_token, _address(request)
        )
    except PlanbridgeError as error:
        return _note(request, error, [place] if place else ANYWHERE)
    return page(
        request, "lti_registered", within=[place], script=CLOSE, district=made.district_name, name=made.name
    )  # fmt: skip


# --- what every page needs ------------------------------------------------------------------------------------------


def _note(request: Request, error: PlanbridgeError, frames: Sequence[str] = ANYWHERE) -> Response:
    """A page that says why something did not work, in words for whoever reads it."""
    status: dict[type[PlanbridgeError], int] = {Unavailable: 503, AuthError: 502, ConfigError: 400}
    found = next((status[kind] for kind in status if isinstance(error, kind)), 403)
    sentence = error.message if error.code == "access-refused" else f"{error.message} {error.fix}"
    found = 429 if error.code == "launch-busy" else 404 if error.code in ("plan-unknown", "plan-not-shown") else found
    return page(request, "note", found, within=frames, text=said(request, error.code, sentence))


def _over(request: Request) -> Response:
    error = Refused("launch-page-over", "This page was open too long.", "Open the link in the learning platform again.")
    return _note(request, error)


def _address(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.address


def _set(answer: Response, name: str, value: str) -> None:
    """A cookie that goes along where our page stands within another one, and nowhere but within that other site."""
    # Starlette knows `Partitioned` with Python 3.14 alone.
    line = f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
    answer.headers.append("set-cookie", line)
