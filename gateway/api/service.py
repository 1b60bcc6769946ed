"""Whether the service can work: the database answers, and some worker is alive."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.store import runs

router = APIRouter(tags=["service"])


class Health(BaseModel):
    database: bool
    worker: bool = Field(description="Without a worker, pulls and deliveries wait.")


@router.get("/health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """200 while the database answers, else 503."""
    try:
        worker = await runs.worker_alive(request.app.state.store, request.app.state.settings.takeover_seconds)
        return Health(database=True, worker=worker)
    except Exception:  # whatever it is: nothing can be served
        response.status_code = 503
        return Health(database=False, worker=False)
