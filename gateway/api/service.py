"""What monitors ask: whether the process lives, whether it can serve, and the numbers behind it."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from gateway.api import numbers
from gateway.settings import Settings
from gateway.status import late
from gateway.store import states, workers
from gateway.store.database import Store

router = APIRouter(tags=["service"])


class Alive(BaseModel):
    alive: bool = True


class Health(BaseModel):
    database: bool
    schema_fits: bool = Field(description="False after a newer version of the program changed the database.")
    worker: bool = Field(description="Without a worker, pulls and deliveries wait.")
    late: int = Field(description="How many connections had no good sync for longer than their limits.")


@router.get("/health/live")
async def live() -> Alive:
    """200 as long as the process answers at all: restart it where it does not."""
    return Alive()


@router.get("/health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """200 while the database answers and is the one this program knows, else 503: send no calls here then."""
    store: Store = request.app.state.store
    try:
        found = Health(
            database=True,
            schema_fits=await store.fits(),
            worker=await workers.alive(store, request.app.state.settings.takeover_seconds),
            late=len(late(await states.read(store))),
        )
    except Exception:  # whatever it is: nothing can be served
        found = Health(database=False, schema_fits=False, worker=False, late=0)
    if not found.schema_fits:
        response.status_code = 503
    return found


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    """How every connection of the installation stands, and the queue, as Prometheus reads it. It takes the token that
    PLANBRIDGE_METRICS_TOKEN sets, and is not there without: connections have names, and whoever stands behind a
    proxy on this machine looks as if they came from it."""
    settings: Settings = request.app.state.settings
    if settings.metrics_token is None:
        raise HTTPException(404, "Nobody may read the numbers until PLANBRIDGE_METRICS_TOKEN is set.")
    expected = f"Bearer {settings.metrics_token.get_secret_value()}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(401, "This needs the token for the numbers.", {"WWW-Authenticate": "Bearer"})
    text = await numbers.exposition(request.app.state.store, settings.takeover_seconds)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
