"""The page behind a link to a plan that stands elsewhere, in a file or a platform; the link itself tells nothing."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gateway import launching, printing
from gateway.api.pages import language_of, sheet
from gateway.api.signin import note, root, session_of
from gateway.errors import PlanbridgeError
from gateway.store import launches
from gateway.store.database import Store

router = APIRouter(tags=["people"], include_in_schema=False)


@router.get("/plans/{plan}", response_class=HTMLResponse)
async def doorway(
    request: Request, plan: Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
) -> Response:
    """A plan, as whoever is signed in may see it; who is not, signs in first."""
    store: Store = request.app.state.store
    session = await session_of(request)
    if session is None:
        district = await launches.district_of_plan(store, plan)
        query = urlencode({"district": district, "next": f"/plans/{plan}"})
        return RedirectResponse(f"{root(request)}/sign-in?{query}", 303, {"Referrer-Policy": "no-referrer"})
    try:
        view = await launching.plan(store, session.district, session.person, plan)
        return sheet(await printing.page(store, session.district, view, language_of(request)))
    except PlanbridgeError as error:
        unknown = error.code in ("plan-unknown", "plan-not-shown")
        sentence = f"{error.message} {error.fix}" if unknown else error.message
        return note(request, error.code, 404 if unknown else 403, sentence)
