"""Plans and deliveries, as far as a client may act on them: told ids, states and guards, never what a plan says."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import authoring, jobs, planning
from gateway.api.oauth import Call, For, may
from gateway.plans import GUARDS, TAKEN_BACK, Given, Step
from gateway.schema.codes import ClosingOutcome
from gateway.schema.plan import Plan, Review
from gateway.store import deliveries
from gateway.store import plans as stored
from gateway.store.plans import StoredPlan, StoredVersion

router = APIRouter(prefix="/v1", tags=["plans"])

Writing = Annotated[Call, may("plans.write")]


class PlanState(BaseModel):
    """Where a plan stands. Its content is not shown until access rules say who may see what of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    state: str
    revision: int = Field(description="An edit names it in If-Match.")
    version: int | None = Field(description="The newest finalized version.")
    standing: str | None = Field(description="Where that version stands, also while the next one is being written.")


class Guard(BaseModel):
    """A guard that was asked and had no objection."""

    code: str
    rule: str


class Verdict(Guard):
    """What a guard would say."""

    ok: bool
    missing: list[str] = Field(description="Pointers into the plan, or into what is given with the step.")


class Asked(BaseModel):
    """What a step would say. Nothing was changed."""

    step: Step
    possible: bool
    guards: list[Verdict]


class Taken(PlanState):
    """A step that was taken. One that is refused answers 409 with what is missing, as pointers into the plan."""

    sha256: str | None = Field(description="Fingerprint of the version that was finalized by this step.")
    guards: list[Guard]
    retract: list[str] = Field(description="Destinations that have something of a plan that was just taken back.")


class Wanted(BaseModel):
    """The step to take, and what some steps ask for."""

    model_config = ConfigDict(extra="forbid")

    step: Step
    because: str = Field(default="", max_length=2000, description="Why, to hold it or to take it back.")
    outcome: ClosingOutcome | None = Field(default=None, description="With which outcome it is closed.")
    note: str = Field(default="", max_length=20_000, description="For whoever comes next, when it is closed.")


class Destination(BaseModel):
    """Where to send a plan's newest version."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(description="Name of the connection.", max_length=200, pattern=r"^[^\x00]*$")


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


@router.post("/plans", status_code=201)
async def create(
    plan: Plan, response: Response, call: Writing, person: For = None, gathering: bool = False
) -> PlanState:
    """Keep a plan as a draft, for an educator of the student's. A draft need not be complete: the guards ask for that
    when a step is taken. One that is only being gathered for is nobody's draft yet."""
    actor = call.on_behalf_of(person)
    id = await authoring.create(call.store, call.district, _content(plan), actor, gathering=gathering)
    async with call.store.transaction(call.district) as c:
        made = await stored.load(c, id)
    response.headers["Location"] = f"/v1/plans/{id}"
    return _state(made, response)


@router.put("/plans/{id}")
async def edit(
    id: UUID,
    plan: Plan,
    request: Request,
    response: Response,
    call: Writing,
    person: For = None,
    if_match: Annotated[str | None, Header()] = None,
) -> PlanState:
    """Replace a plan's content, for an educator of the student's; what they were not shown of it stays as it is.
    If-Match names the revision it replaces, so that nobody's edit is lost unseen."""
    if if_match is None:
        raise HTTPException(428, "An edit needs the header If-Match with the plan's revision.")
    actor, revision = call.on_behalf_of(person), _revision(if_match)
    content = await request.json()  # as it was sent: `plan` has given its new items numbers from one on
    edited = await authoring.edit(call.store, call.district, str(id), content, actor, call.program, revision)
    return _state(edited, response)


def _revision(if_match: str | None) -> int | None:
    if if_match is None:
        return None
    quoted = if_match.strip().removeprefix("W/").strip('"')
    if not (quoted.isascii() and quoted.isdigit() and len(quoted) < 10):
        raise HTTPException(412, "If-Match is not a revision of this plan.")
    return int(quoted)


def _content(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(mode="json", by_alias=True)


def _state(plan: StoredPlan, response: Response) -> PlanState:
    response.headers["ETag"] = f'"{plan.revision}"'
    return PlanState.model_validate(plan)


@router.post("/plans/{id}/steps")
async def take_step(
    id: UUID,
    wanted: Wanted,
    response: Response,
    call: Writing,
    person: For = None,
    dry_run: bool = False,
    if_match: Annotated[str | None, Header()] = None,
) -> Taken | Asked:
    """Take a step of the plan's life, for an educator of the student's; all its guards are asked. As a dry run it says
    what they would say, and changes nothing."""
    given = Given(wanted.because, wanted.outcome or "", wanted.note)
    if dry_run:
        report = await planning.ask(call.store, call.district, str(id), wanted.step, given)
        said = [Verdict(code=one.code, rule=one.text, ok=one.ok, missing=list(one.missing)) for one in report]
        return Asked(step=wanted.step, possible=all(one.ok for one in report), guards=said)
    revision = _revision(if_match)
    actor = call.on_behalf_of(person)
    taken = await authoring.take(call.store, call.district, str(id), wanted.step, actor, given, revision)
    async with call.store.transaction(call.district) as c:
        state = _state(await stored.load(c, str(id)), response)
        retract = await stored.holders(c, str(id)) if state.state in TAKEN_BACK else []
    return Taken(
        **state.model_dump(),
        sha256=taken.sha256 if isinstance(taken, StoredVersion) else None,
        guards=[Guard(code=code, rule=rule) for code, _, rule in GUARDS[wanted.step]],
        retract=retract,
    )


@router.post("/plans/{id}/reviews", status_code=201)
async def keep_review(
    id: UUID,
    review: Review,
    response: Response,
    call: Writing,
    person: For = None,
    if_match: Annotated[str | None, Header()] = None,
) -> PlanState:
    """Keep a review of a plan in force. Whether the plan goes on as it is, is a step of its own."""
    held = review.model_dump(mode="json", exclude_none=True)
    actor = call.on_behalf_of(person)
    kept = await authoring.review(call.store, call.district, str(id), held, actor, _revision(if_match))
    return _state(kept, response)


@router.post("/plans/{id}/deliveries", status_code=202)
async def deliver(
    id: UUID, to: Destination, response: Response, call: Annotated[Call, may("deliveries.write")]
) -> Queued:
    """Send a plan's newest finalized version to a destination; it waits for the worker."""
    async with call.store.transaction(call.district) as c:
        await stored.load(c, str(id))
    number = await jobs.request_push(call.store, call.district, str(id), to.destination, call.actor)
    response.headers["Location"] = f"/v1/deliveries/{number}"
    return Queued(delivery=number)


@router.get("/deliveries/{id}")
async def one_delivery(
    id: Annotated[int, Path(ge=1, lt=1 << 63)], call: Annotated[Call, may("deliveries.read")]
) -> Delivery:
    """What became of a delivery, object by object, without what was in them."""
    async with call.store.transaction(call.district) as c:
        return _delivery(await deliveries.status(c, id))


def _delivery(found: Mapping[str, Any]) -> Delivery:
    counted = Counter(receipt["delivered"] for receipt in found["receipts"])
    causes = [
        one | {"message": one["message"] if one["status"] else "", "correlation_id": one["trace"]}
        for one in found["causes"]
    ]
    return Delivery.model_validate({**found, "causes": causes, "delivered": counted[True], "refused": counted[False]})
