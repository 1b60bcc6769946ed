"""How the console is put together: its pages under one address, and what holds for every one of them."""

from collections.abc import Mapping

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as Raised

from gateway.api.application import NO_TELEMETRY, only_encrypted
from gateway.api.signin import root
from gateway.console import connecting, connections, home, runs
from gateway.console.pages import ASSETS, HEADERS, asset, page, status_of
from gateway.console.visit import ROOT, Visit, admitted
from gateway.errors import PlanbridgeError, Unavailable
from gateway.store.database import DatabaseError, explained


def install(application: FastAPI) -> None:
    """Serve the console under ROOT of an application, with its store and settings."""
    console = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
        # The first says how somebody may come at all, the second who may do what: no route goes without.
        dependencies=[Depends(only_encrypted), Depends(admitted)],
    )
    console.state = application.state
    for part in (home, connections, runs, connecting):
        console.include_router(part.router)
    console.add_api_route("/assets/{name}", _asset, methods=["GET"])
    console.add_exception_handler(PlanbridgeError, _planned)
    console.add_exception_handler(DatabaseError, _stored)
    console.add_exception_handler(Raised, _raised)
    console.add_exception_handler(RequestValidationError, _invalid)

    @application.get(ROOT, include_in_schema=False)
    async def without_slash(request: Request) -> Response:
        """The address as people type it."""
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{root(request)}{ROOT}/{query}", 303, HEADERS)

    application.mount(ROOT, console)


async def _asset(name: str) -> Response:
    """Style and script, which every page names by what is in them: a browser keeps them."""
    if name not in ASSETS:
        raise HTTPException(404)
    content, kind = asset(name)
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=kind, headers=HEADERS | kept)


# --- what went wrong is a page, too ---------------------------------------------------------------------------------


async def _planned(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlanbridgeError)
    return _wrong(request, status_of(error), error=error)


async def _stored(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseError)
    known: Unavailable | None = explained(error)
    if known is None:
        raise error
    return _wrong(request, 503, error=known)


async def _raised(request: Request, error: Exception) -> Response:
    assert isinstance(error, Raised)
    if error.status_code == 303:
        headers: Mapping[str, str] = error.headers or {}
        if _is_part(request):  # it would follow a redirect by itself, and put the sign-in into the page
            return Response(status_code=200, headers=HEADERS | {"HX-Redirect": headers["Location"]})
        return Response(status_code=303, headers={**HEADERS, **headers})
    reason = error.detail if error.detail in ("rights", "form", "long") else "nothing"
    return _wrong(request, error.status_code, reason=reason)


async def _invalid(request: Request, error: Exception) -> Response:
    return _wrong(request, 404, reason="nothing")


def _wrong(request: Request, status: int, *, error: PlanbridgeError | None = None, reason: str = "") -> Response:
    visit: Visit | None = getattr(request.state, "visit", None)
    if _is_part(request):
        return Response(status_code=status, headers=HEADERS | {"HX-Refresh": "true"})  # the whole page tells of it
    return page(request, visit, "wrong", status, error=error, reason=reason)


def _is_part(request: Request) -> bool:
    """Whether script asks for a part of a page that is open."""
    return request.headers.get("hx-request") == "true"
