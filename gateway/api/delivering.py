"""What a delivery would send and who would see it, deliveries as a list, and what is done about them afterwards."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import delivery, destination, dispatch, jobs, showing
from gateway.api.agreeing import asker
from gateway.api.deliveries import Loss, Queued
from gateway.api.oauth import Call, may
from gateway.errors import PlanbridgeError, Refused
from gateway.store import delivered, deliveries, registers, verifications
from gateway.store import plans as stored
from gateway.store.destinations import EditedThere
from gateway.store.rollouts import Stage

router = APIRouter(prefix="/v1", tags=["deliveries"])

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Object(BaseModel):
    """An object that would be sent. The body stands there for those who read all that it tells of the student."""

    resource: str
    body: dict[str, Any] | None


class Viewers(BaseModel):
    """People who would see it there, as the destination tells; nobody is named."""

    relation: str
    may: bool = Field(description="Whether they may see all that stands in it.")
    because: str
    people: int


class Preview(BaseModel):
    """Exactly what a delivery would send. Nothing was sent."""

    version: int
    sha256: str
    doorway: bool
    would_send: list[Object]
    losses: list[Loss]
    audience: list[Viewers] | None = Field(description="Null where the destination does not tell, or did not answer.")
    refusal: str = Field(description="Why it would not be sent, because of those who would see it; else empty.")


class Line(BaseModel):
    """A delivery, in a list."""

    id: int
    plan: str
    version: int
    destination: str
    kind: str
    state: str
    doorway: bool
    created_at: datetime
    finished_at: datetime | None


class Lines(BaseModel):
    deliveries: list[Line] = Field(description="The newest first.")
    next: int | None = Field(description="`before` of the next page; null on the last one.")


class Withdrawal(BaseModel):
    """Why a plan is taken back, and from where: from everywhere, where no destination is named."""

    model_config = ConfigDict(extra="forbid")

    because: str = Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")
    destination: Name | None = None


class Withdrawals(BaseModel):
    deliveries: list[int] = Field(description="One for each destination; each waits for the worker.")


class Lost(BaseModel):
    """An object that is not there as it was delivered: changed, or gone."""

    plan: str
    version: int
    resource: str
    lost: str
    since: datetime


class Reconciled(BaseModel):
    """What the last look at a destination found."""

    destination: str
    looked_at: datetime | None
    plans: int
    objects: int
    error_code: str | None = Field(description="Why a look since then ended early.")
    lost: list[Lost]


class Everything(BaseModel):
    """Where all plans are to go."""

    model_config = ConfigDict(extra="forbid")

    destination: Name = Field(description="Name of the connection.")


class Sent(BaseModel):
    queued: int = Field(description="Deliveries that wait for the worker.")


class Choices(BaseModel):
    """What the district chose for a destination."""

    destination: str
    stage: Stage = Field(description="`shadow`: nothing is sent; `schools`: for these alone; `all`.")
    schools: list[str] = Field(description="Entity ids, in the stage `schools`.")
    edited_there: EditedThere = Field(description="What becomes of a text that somebody edited there.")
    profile: dict[str, Any] = Field(description="Fields of its delivery profile that were chosen.")


class Wanted(BaseModel):
    """What is to be chosen; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    stage: Stage | None = None
    schools: list[Name] | None = Field(
        default=None, max_length=1000, description="With the stage `schools`: each by entity id, number or name."
    )
    edited_there: EditedThere | None = None
    profile: dict[str, Any] | None = Field(
        default=None, max_length=100, description="Fields of its delivery profile; others stay."
    )


@router.get("/plans/{id}/deliveries/preview")
async def preview(
    id: UUID,
    call: Annotated[Call, may("deliveries.read")],
    destination: Annotated[Name, Query(description="Name of the connection.")],
    doorway: Annotated[bool, Query(description="A link and nothing of the plan.")] = False,
) -> Preview:
    """What a delivery of a plan's newest version would send, what it would leave out, and who would see it there.
    Bodies are shown to those who may read every section that stands in them."""
    asked = await asker(call, "plans")
    plan = await showing.refuse_plan(call.store, call.district, asked, str(id))
    made = await delivery.preview(call.store, call.district, plan.id, destination, doorway=doorway)
    whole = await showing.reads_all(call.store, call.district, asked, plan, {*made.stands, "identity"})
    try:
        seen = await delivery.seen_by(call.store, call.district, destination, made)
    except PlanbridgeError:  # what would be sent is the same, whatever the destination says to it
        seen = None
    return Preview(
        version=made.version,
        sha256=made.sha256,
        doorway=doorway,
        would_send=[Object(resource=one.resource, body=one.body if whole else None) for one in made.documents],
        losses=[Loss(pointer=one.pointer, kind=one.kind) for one in made.losses],
        audience=[Viewers(**one) for one in seen.counted()] if seen and seen.told else None,
        refusal=seen.refusal if seen else "",
    )


@router.get("/deliveries")
async def list_all(
    call: Annotated[Call, may("deliveries.read")],
    destination: Annotated[Name | None, Query(description="Only those to this connection.")] = None,
    state: Annotated[str, Query(description="Only those in this state.", max_length=20)] = "",
    before: Annotated[int, Query(ge=0, lt=1 << 63, description="Only those with a smaller number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Lines:
    """Deliveries of the plans whose students may be seen, the newest first. A page may have fewer than asked for."""
    asked = await asker(call, "plans")
    only = (await registers.connection(call.store, call.district, destination)).id if destination else None
    async with call.store.transaction(call.district) as c:
        rows = await delivered.listed(c, connection=only, state=state, before=before, most=limit)
    plans = await showing.known(call.store, call.district, asked, {one["plan"] for one in rows})
    return Lines(
        deliveries=[Line.model_validate(one) for one in rows if one["plan"] in plans],
        next=rows[-1]["id"] if len(rows) == limit else None,
    )


@router.post("/deliveries/{id}/resend", status_code=202)
async def resend(
    id: Annotated[int, Path(ge=1, lt=1 << 63)], response: Response, call: Annotated[Call, may("deliveries.write")]
) -> Queued:
    """Send again what was parked, or is to be tried again: the plan's newest version."""
    async with call.store.transaction(call.district) as c:
        found = await deliveries.status(c, id)
        plan = await stored.load(c, found["plan"])
    asked = await asker(call, "plans")
    if asked.reached is not None and plan.student not in asked.reached:
        raise deliveries.unknown(id)
    await showing.refuse_plan(call.store, call.district, asked, plan.id, told=False)
    number = await dispatch.request_resend(call.store, call.district, id, call.actor)
    response.headers["Location"] = f"/v1/deliveries/{number}"
    return Queued(delivery=number)


@router.post("/deliveries", status_code=202)
async def deliver_all(to: Everything, call: Annotated[Call, may("deliveries.write")]) -> Sent:
    """Send the newest finalized version of every plan that a destination does not have; each waits for the worker.
    What cannot be sent is parked with its reason. `GET /v1/deliveries` tells how they fare."""
    _refuse_vendors(call)
    return Sent(queued=len(await dispatch.request_push_all(call.store, call.district, to.destination, call.actor)))


@router.post("/plans/{id}/withdrawals", status_code=202)
async def withdraw(id: UUID, wanted: Withdrawal, call: Annotated[Call, may("deliveries.write")]) -> Withdrawals:
    """Take back what one destination has of a plan, or all of them."""
    await showing.refuse_plan(call.store, call.district, await asker(call, "plans"), str(id), told=False)
    numbers = await dispatch.request_withdrawal(
        call.store, call.district, str(id), call.actor, wanted.because, wanted.destination or ""
    )
    return Withdrawals(deliveries=numbers)


@router.get("/destinations/{name}")
async def choices(name: Annotated[Name, Path()], call: Annotated[Call, may("deliveries.read")]) -> Choices:
    """How far a destination is rolled out, what it gets, and what becomes of a text that somebody edited there."""
    _refuse_vendors(call)
    return Choices(**vars(await destination.chosen(call.store, call.district, name)))


@router.put("/destinations/{name}")
async def choose(
    name: Annotated[Name, Path()], wanted: Wanted, call: Annotated[Call, may("destinations.write")]
) -> Choices:
    """Roll a destination out, or choose what it gets: on record with who did. What is left out stays as it is, and
    where anything is refused nothing is changed."""
    given = wanted.model_dump(exclude_none=True)
    await destination.choose(call.store, call.district, name, call.actor, **given)
    return Choices(**vars(await destination.chosen(call.store, call.district, name)))


@router.post("/destinations/{name}/reconcile", status_code=202)
async def reconcile(name: Annotated[Name, Path()], call: Annotated[Call, may("deliveries.write")]) -> Reconciled:
    """Read back all that a destination was ever sent; the worker does. What the last look found is told meanwhile."""
    _refuse_vendors(call)
    await jobs.request_look(call.store, call.district, name, whole=True)
    return await _reconciled(call, name)


@router.get("/destinations/{name}/reconcile")
async def reconciled(name: Annotated[Name, Path()], call: Annotated[Call, may("deliveries.read")]) -> Reconciled:
    """What a destination changed or lost of all that it was sent, as the last look found it."""
    _refuse_vendors(call)
    return await _reconciled(call, name)


def _refuse_vendors(call: Call) -> None:
    """A destination has plans of everybody."""
    if call.client.kind == "vendor":
        raise Refused(
            "agreement-collection",
            "What a destination has of all students is for the district's own systems: no agreement names everybody.",
            "Ask for the deliveries of each plan.",
        )


async def _reconciled(call: Call, name: str) -> Reconciled:
    asked = await asker(call, "plans")
    found = await registers.connection(call.store, call.district, name)
    async with call.store.transaction(call.district) as c:
        last: Mapping[str, Any] = await verifications.last(c, found.id) or {}
        lost: Sequence[Mapping[str, Any]] = await verifications.lost(c, found.id)
    plans = await showing.known(call.store, call.district, asked, {one["plan"] for one in lost})
    return Reconciled(
        destination=name,
        looked_at=last.get("looked_at"),
        plans=last.get("plans") or 0,
        objects=last.get("objects") or 0,
        error_code=last.get("error_code"),
        lost=[Lost.model_validate(one) for one in lost if one["plan"] in plans],
    )
