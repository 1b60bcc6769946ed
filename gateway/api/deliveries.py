"""Deliveries: a finalized plan is sent to a destination, and what became of it, never what was in it."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import dispatch, showing
from gateway.api.agreeing import asker
from gateway.api.oauth import Call, may
from gateway.store import deliveries
from gateway.store import plans as stored

router = APIRouter(prefix="/v1", tags=["deliveries"])


class Destination(BaseModel):
    """Where to send a plan's newest version."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(description="Name of the connection.", max_length=200, pattern=r"^[^\x00]*$")
    doorway: bool = Field(default=False, description="Send a link and nothing of the plan.")


class Receipt(BaseModel):
    """What the destination said to one object. Why it was refused stands in the causes."""

    resource: str
    status: int | None
    attempts: int
    delivered: bool


class Cause(BaseModel):
    """Why records were refused: once for all of which the destination said the same. The words are ours."""

    status: int = Field(description="What the destination answered; 0 where nothing was sent to it.")
    message: str = Field(description="Why, and what to do. Empty where nothing was sent: it may tell of the plan.")
    resources: list[str]
    refused: int = Field(description="Records of which the destination said so.")
    not_sent: int = Field(description="Records that were not sent because of those.")
    correlation_id: str = Field(description="Under which the destination's host finds one of the refusals.")


class Loss(BaseModel):
    """Something of the plan that the destination did not get: it cannot hold it, or it is withheld."""

    pointer: str
    kind: str


class Delivery(BaseModel):
    """What became of a delivery."""

    id: int
    plan: str
    version: int
    destination: str
    state: str
    doorway: bool = Field(description="A link, and nothing of the plan.")
    created_at: datetime
    finished_at: datetime | None
    delivered: int = Field(description="Objects the destination has.")
    refused: int = Field(description="Objects it does not have.")
    causes: list[Cause] = Field(description="Why it is parked, the cause that explains most records first.")
    receipts: list[Receipt]
    losses: list[Loss]


class Queued(BaseModel):
    """A delivery that waits for the worker."""

    delivery: int


class Deliveries(BaseModel):
    deliveries: list[Delivery] = Field(description="The newest first, at most 100.")


@router.post("/plans/{id}/deliveries", status_code=202)
async def deliver(
    id: UUID, to: Destination, response: Response, call: Annotated[Call, may("deliveries.write")]
) -> Queued:
    """Send a plan's newest finalized version to a destination; it waits for the worker. A vendor sends those of
    students whom its agreement reaches."""
    await showing.refuse_plan(call.store, call.district, await asker(call, "plans"), str(id), told=False)
    number = await dispatch.request_push(
        call.store, call.district, str(id), to.destination, call.actor, doorway=to.doorway
    )
    response.headers["Location"] = f"/v1/deliveries/{number}"
    return Queued(delivery=number)


@router.get("/plans/{id}/deliveries")
async def list_deliveries(id: UUID, call: Annotated[Call, may("deliveries.read")]) -> Deliveries:
    """What became of the deliveries of a plan, for whoever may see anything of its student."""
    await showing.refuse_plan(call.store, call.district, await asker(call, "plans"), str(id))
    async with call.store.transaction(call.district) as c:
        numbers = await deliveries.of_plan(c, str(id), 100)
        return Deliveries(deliveries=[_delivery(await deliveries.status(c, one)) for one in numbers])


@router.get("/deliveries/{id}")
async def one_delivery(
    id: Annotated[int, Path(ge=1, lt=1 << 63)], call: Annotated[Call, may("deliveries.read")]
) -> Delivery:
    """What became of a delivery, object by object, without what was in them, for whoever may see anything of the
    student."""
    async with call.store.transaction(call.district) as c:
        found = await deliveries.status(c, id)
        plan = await stored.load(c, found["plan"])
    asked = await asker(call, "plans")
    if asked.reached is not None and plan.student not in asked.reached:
        raise deliveries.unknown(id)
    await showing.refuse_plan(call.store, call.district, asked, plan.id)
    return _delivery(found)


def _delivery(found: Mapping[str, Any]) -> Delivery:
    counted = Counter(receipt["delivered"] for receipt in found["receipts"])
    causes = [
        one | {"message": one["message"] if one["status"] else "", "correlation_id": one["trace"]}
        for one in found["causes"]
    ]
    return Delivery.model_validate({**found, "causes": causes, "delivered": counted[True], "refused": counted[False]})
