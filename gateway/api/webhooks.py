"""A client's own webhooks: where it has events sent, with what secret, and how sending them goes."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway import webhooks
from gateway.api.oauth import Call, may
from gateway.store import webhooks as stored

router = APIRouter(prefix="/v1/webhooks", tags=["events"])

Writing = Annotated[Call, may("webhooks.write")]


class Wanted(BaseModel):
    """A new webhook."""

    url: str = Field(max_length=2000, description="An https address on the public internet.")
    types: list[str] = Field(default=[], max_length=200, description="Types of events; without any, every one.")


class Secret(BaseModel):
    """A webhook and its secret, which is not shown again. # Standard Webhooks 1.0"""

    id: int
    secret: str


class Webhook(BaseModel):
    """Where events go, without what is secret of it."""

    id: int
    to: str = Field(description="Scheme, host and port of its address.")
    types: list[str]
    stopped: str | None = Field(description="Why nothing is sent there any more; `gone`: it answered 410.")
    waiting: int
    parked: int = Field(description="Messages that could not be sent within a day.")
    former_until: datetime | None = Field(description="Until when the secret before the rotation signs too.")
    created_at: datetime


class Outcome(BaseModel):
    """What became of a test."""

    arrived: bool
    status: int | None
    code: str | None
    ms: int


class Attempt(BaseModel):
    """One attempt to send a message. `code` says what went wrong where there was no answer."""

    at: datetime
    message: str
    type: str
    status: int | None
    code: str | None
    ms: int


class Parked(BaseModel):
    """A message that could not be sent within a day, and why."""

    message: str
    type: str
    queued_at: datetime
    attempts: int
    reason: str | None


class Replay(BaseModel):
    """Which parked messages are sent once more."""

    messages: list[str] = Field(default=[], max_length=2000, description="Ids of messages; without any, all.")


class Replayed(BaseModel):
    messages: int


@router.get("")
async def list_webhooks(call: Writing) -> list[Webhook]:
    """The client's webhooks."""
    async with call.store.transaction(call.district) as c:
        return [Webhook.model_validate(one) for one in await stored.listed(c, call.client.id)]


@router.post("", status_code=201)
async def add(call: Writing, wanted: Wanted) -> Secret:
    """Have events sent to an address, from now on. The secret is shown this once."""
    made, secret = await stored.add(
        call.store, call.district, call.client.id, wanted.url, wanted.types, call.actor, allow_private=False
    )
    return Secret(id=made, secret=secret)


@router.delete("/{webhook}", status_code=204)
async def remove(call: Writing, webhook: int) -> None:
    """Send nothing there any more, not even what waits."""
    async with call.store.transaction(call.district) as c:
        await stored.remove(call.store, c, await _own(c, call, webhook), call.actor)


@router.post("/{webhook}/rotate")
async def rotate(call: Writing, webhook: int) -> Secret:
    """A new secret; for a day every message is signed by it and by the former one."""
    async with call.store.transaction(call.district) as c:
        secret = await stored.rotate(call.store, c, await _own(c, call, webhook), call.actor)
    return Secret(id=webhook, secret=secret)


@router.post("/{webhook}/test")
async def test(call: Writing, webhook: int) -> Outcome:
    """Send a test now, once."""
    found = await webhooks.test(call.store, call.district, webhook, call.client.id)
    return Outcome(arrived=found.arrived, status=found.status, code=found.code, ms=found.ms)


@router.post("/{webhook}/resume", status_code=204)
async def resume(call: Writing, webhook: int) -> None:
    """Send there again what comes, after it was stopped. What is parked stays so until it is replayed."""
    async with call.store.transaction(call.district) as c:
        await stored.resume(c, await _own(c, call, webhook), call.actor)


@router.get("/{webhook}/attempts")
async def attempts(call: Writing, webhook: int, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Attempt]:
    """The newest attempts to send something there, of the last 30 days."""
    async with call.store.transaction(call.district) as c:
        found = await stored.attempts(c, (await _own(c, call, webhook)).id, limit)
        return [Attempt.model_validate(one) for one in found]


@router.get("/{webhook}/parked")
async def parked(call: Writing, webhook: int) -> list[Parked]:
    """What could not be sent within a day; it is kept for 30."""
    async with call.store.transaction(call.district) as c:
        return [Parked.model_validate(one) for one in await stored.parked(c, (await _own(c, call, webhook)).id)]


@router.post("/{webhook}/replay")
async def replay(call: Writing, webhook: int, wanted: Replay | None = None) -> Replayed:
    """Send what is parked once more."""
    async with call.store.transaction(call.district) as c:
        marks = wanted.messages if wanted else []
        return Replayed(messages=await stored.replay(c, await _own(c, call, webhook), marks, call.actor))


async def _own(c: Any, call: Call, webhook: int) -> stored.Webhook:
    return await stored.get(call.store, c, webhook, call.client.id)
