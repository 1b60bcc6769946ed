"""What people were told, as far as a client may see it: counts, codes and times, and no address of anybody."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.api.oauth import Call, may
from gateway.store import outbox

router = APIRouter(prefix="/v1", tags=["notices"])


class Told(BaseModel):
    """The five parts of a message."""

    what_happened: str
    affected: str = Field(description="How many are affected.")
    live_now: str
    to_do: str
    by_when: str


class Notice(BaseModel):
    """Something people were told, and how many channels it has reached."""

    id: int
    at: datetime
    event: str
    connection: str | None
    run: int | None
    message: Told
    sent: int
    queued: int
    failed: int = Field(description="Channels that could not be reached within a day.")


@router.get("/notices")
async def list_notices(
    call: Annotated[Call, may("notices.read")], limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> list[Notice]:
    """What people were told, the latest first."""
    return [Notice.model_validate(one) for one in await outbox.listed(call.store, call.district, limit)]
