"""What happened since my last look: a feed of events that skips nothing, each told to whoever may know of it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from gateway import feed
from gateway.api.oauth import Call, may
from gateway.events import KEPT_DAYS, OF_WEBHOOKS, PATTERN, TYPES, Event

router = APIRouter(prefix="/v1/events", tags=["events"])

Types = Annotated[list[str] | None, Query(alias="type", description="Repeat it; else every type.", max_length=100)]


class Happened(BaseModel):
    """One event: ids, and no name or text. A webhook gets the same. # Standard Webhooks 1.0"""

    id: str = Field(description="The same for everybody, and however often it is told.")
    type: str
    timestamp: str = Field(json_schema_extra={"format": "date-time"})
    data: dict[str, str | int] = Field(description="Ids of what it is about.")


class Events(BaseModel):
    events: list[Happened]
    next: str = Field(description="Give it as `after` at the next look, within 30 days.")
    more: bool = Field(description="There are others already: look again at once.")


class Type(BaseModel):
    """A type of events, and what it says."""

    type: str
    says: str


def happened(event: Event) -> Happened:
    return Happened.model_validate(event.as_json())


@router.get("")
async def events(
    request: Request,
    call: Annotated[Call, may("events.read")],
    after: Annotated[
        str,
        Query(
            description="The `next` of the last look; `now` for a place without events; else all that are kept.",
            pattern=rf"^(|now|{PATTERN})$",
            max_length=80,
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    type: Types = None,
) -> Events:
    """What happened since the last look, of what the client may know. 410 where the place given as `after` is more than
    30 days old, or from before a restore: events are missing then, and all is to be read again."""
    days = min(KEPT_DAYS, request.app.state.settings.history_days)
    told = await feed.read(
        call.store,
        call.client,
        after or None,
        limit=limit,
        scopes=call.scopes,
        person=call.person,
        types=type or (),
        days=days,
    )
    return Events(events=[happened(one) for one in told.events], next=str(told.place), more=told.more)


@router.get("/types")
async def types(call: Annotated[Call, may("events.read")]) -> list[Type]:
    """Every type of events there is."""
    return [Type(type=name, says=says) for name, says in {**TYPES, **OF_WEBHOOKS}.items()]
