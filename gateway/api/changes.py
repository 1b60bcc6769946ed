"""What changed since my last look: a feed of ids that skips nothing."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.api.oauth import Call, may
from gateway.errors import Refused
from gateway.store import history

router = APIRouter(prefix="/v1", tags=["changes"])


class Change(BaseModel):
    """One entity that was added, changed or removed; what it is now is to be asked for where it is served."""

    kind: str
    entity: str
    op: str = Field(description="added, changed or removed.")
    publication: int = Field(description="What was published together has the same number.")


class Changes(BaseModel):
    changes: list[Change] = Field(description="In the order of their publication; an entity may come several times.")
    next: str = Field(description="Give it as `after` at the next look. Valid for as long as changes are kept.")


@router.get("/changes")
async def changes(
    call: Annotated[Call, may("changes.read")],
    after: Annotated[
        str, Query(description="The `next` of the last look.", pattern=r"^\d{1,18}-\d{1,18}$", max_length=40)
    ] = "0-0",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Changes:
    """What was published since the last look. What a long publish still writes comes at a later look, and is never
    skipped, also where younger changes were faster."""
    if call.client.kind == "vendor":
        raise Refused(
            "agreement-collection",
            "The feed of all changes is for the district's own systems: no agreement names everybody.",
            "Follow /v1/events, which tells of what the agreement reaches.",
        )
    transaction, _, seq = after.partition("-")
    place = int(transaction), int(seq)
    feed = await history.changes_since(call.store, call.district, place, limit)
    return Changes(changes=[Change(**one) for one in feed.changes], next=f"{feed.place[0]}-{feed.place[1]}")
