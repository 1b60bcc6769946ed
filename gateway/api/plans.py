"""Plans: what they say as the caller may see it, and their life, written by an educator through a program."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway import authoring, intake, showing, viewing
from gateway.api.agreeing import Author, asker, note_walked, refuse_bulk, writing
from gateway.api.oauth import Call, may
from gateway.api.paging import NEXT, Cursor, Fields, Limit, cursor, parts, place
from gateway.api.students import StudentPlan, shown_plan
from gateway.errors import ConfigError
from gateway.plans import GUARDS, TAKEN_BACK, Given, Step
from gateway.schema.codes import ClosingOutcome
from gateway.schema.plan import Plan, Review, published
from gateway.store import plans as stored
from gateway.store.plans import StoredPlan, StoredVersion

router = APIRouter(prefix="/v1", tags=["plans"])

Writing = Annotated[Author, writing()]
Reading = Annotated[Call, may("plans.read")]
IfMatch = Annotated[str | None, Header(description="The ETag, or revision, of the plan as it was read.")]


class PlanState(BaseModel):
    """Where a plan stands, without what it says."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    state: str
    revision: int = Field(description="An edit names it in If-Match.")
    version: int | None = Field(description="The newest finalized version.")
    standing: str | None = Field(description="Where that version stands, also while the next one is being written.")


class ListedPlan(PlanState):
    student: str


class Plans(BaseModel):
    plans: list[ListedPlan]
    next: str | None = Field(description=NEXT)


class PlanVersion(BaseModel):
    """A finalized version, which nobody can change."""

    version: int
    sha256: str = Field(description="Fingerprint of its canonical bytes.")
    finalized_at: datetime
    amends: int | None = Field(description="The version it took the place of.")


class PlanVersions(BaseModel):
    versions: list[PlanVersion] = Field(description="The newest first.")


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


class StepGiven(BaseModel):
    """What some steps ask for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"because": "The family moves house."}]})

    because: str = Field(default="", max_length=2000, description="Why, to hold it or to take it back.")
    outcome: ClosingOutcome | None = Field(default=None, description="With which outcome it is closed.")
    note: str = Field(default="", max_length=20_000, description="For whoever comes next, when it is closed.")


class Batch(BaseModel):
    """Many plans, each to become a draft or to be rejected."""

    plans: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=1000,
        description="Each with `id`, your own, `plan`, by the schema at /v1/schemas/plan, and, in the place of the "
        "student's entity id, `student_number` if you like.",
        examples=[[{"id": "own-1", "student_number": "004711", "plan": {"strengths": [{"statement": "Sings."}]}}]],
    )


class BatchFault(BaseModel):
    """One thing that is wrong with a plan that was rejected."""

    model_config = ConfigDict(from_attributes=True)

    row: int = Field(description="The plan's place in the list, or the row of the file, from one on.")
    plan: str = Field(description="Your own id of it.")
    field: str = Field(description="JSON pointer into the plan, or the column.")
    reason: str
    code: str


class BatchDone(BaseModel):
    """What became of many plans."""

    drafts: dict[str, str] = Field(description="Your id -> the id of the plan that is a draft now.")
    unchanged: dict[str, str] = Field(description="Your id -> the id of a plan that was taken in before.")
    rejected: int
    faults: list[BatchFault]


# --- what they say -----------------------------------------------------------------------------------------


@router.get("/plans")
async def list_plans(
    call: Reading,
    student: Annotated[UUID | None, Query(description="Only this student's.")] = None,
    given: Annotated[Cursor, Query(alias="cursor")] = "",
    limit: Limit = 50,
) -> Plans:
    """Where the plans stand of the students whom the caller may see, in the order of their ids."""
    after = place(given, "plans", str)
    asked = await asker(call, "plans")
    step = await refuse_bulk(call, "plans", limit, "plans", student, after, searched=student is not None and not after)
    found = await showing.plans(
        call.store, call.district, asked, str(after[0]) if after else "", limit, str(student) if student else None
    )
    await note_walked(call, step, len(found[:limit]))
    more = cursor("plans", [found[limit - 1]["id"]]) if len(found) > limit else None
    return Plans(plans=[ListedPlan.model_validate(one) for one in found[:limit]], next=more)


@router.get("/plans/{id}")
async def one_plan(
    id: UUID,
    response: Response,
    call: Reading,
    fields: Fields = "",
    as_of: Annotated[
        str, Query(description="The plan on this day (2026-11-28), or after the act of this number.", max_length=20)
    ] = "",
) -> StudentPlan:
    """What a plan says, section by section as the caller may see it today; also of an earlier moment."""
    wanted = parts(fields, Plan.model_fields)
    asked = await asker(call, "plans")
    if as_of:
        view = await showing.earlier(call.store, call.district, asked, str(id), _moment(as_of), wanted)
    else:
        view = await _view(call, asked, id, None, wanted)
        response.headers["ETag"] = f'"{view.revision}"'
    return shown_plan(view)


@router.get("/plans/{id}/versions")
async def list_plan_versions(id: UUID, call: Reading) -> PlanVersions:
    """The finalized versions of a plan, without what they say."""
    await showing.refuse_plan(call.store, call.district, await asker(call, "plans"), str(id))
    async with call.store.transaction(call.district) as c:
        found = await stored.versions(c, str(id))
    return PlanVersions(versions=[PlanVersion.model_validate(one) for one in found])


@router.get("/plans/{id}/versions/{version}")
async def one_plan_version(
    id: UUID, version: Annotated[int, Path(ge=1, lt=1 << 31)], call: Reading, fields: Fields = ""
) -> StudentPlan:
    """What a finalized version says, as the caller may see it today."""
    wanted = parts(fields, Plan.model_fields)
    return shown_plan(await _view(call, await asker(call, "plans"), id, version, wanted))


@router.get("/schemas/plan")
async def plan_schema(call: Reading) -> dict[str, Any]:
    """The JSON Schema of a plan, with its version, and of each field its meaning and the source of its term."""
    return published()


async def _view(
    call: Call, asked: showing.Asker, id: UUID, version: int | None, wanted: frozenset[str] | None
) -> viewing.View:
    async with call.store.transaction(call.district) as c:
        found = await stored.load(c, str(id))
    asked.refuse_unreached_plan(found)
    return await viewing.plan(
        call.store, call.district, found.student, asked.who, asked.actor,
        id=str(id), version=version, program=asked.program, parts=wanted,
    )  # fmt: skip


def _moment(given: str) -> int | date:
    if given.isascii() and given.isdigit():
        return int(given[:18])
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ConfigError(
            "moment-unknown", "This is neither the number of an act nor a day.", "As in 2026-11-28."
        ) from None


# --- their life --------------------------------------------------------------------------------------------


@router.post("/plans", status_code=201)
async def create_plan(plan: Plan, response: Response, author: Writing, gathering: bool = False) -> PlanState:
    """Keep a plan as a draft, for an educator of the student's. A draft need not be complete: the guards ask for that
    when a step is taken. One that is only being gathered for is nobody's draft yet."""
    call = author.call
    author.asker.refuse_unreached(plan.student)
    content = plan.model_dump(mode="json", by_alias=True)
    id = await authoring.create(call.store, call.district, content, call.actor, gathering=gathering)
    async with call.store.transaction(call.district) as c:
        made = await stored.load(c, id)
    response.headers["Location"] = f"/v1/plans/{id}"
    return _state(made, response)


@router.put("/plans/{id}")
async def edit_plan(
    id: UUID, plan: Plan, request: Request, response: Response, author: Writing, if_match: IfMatch = None
) -> PlanState:
    """Replace a plan's content, for an educator of the student's; what they were not shown of it stays as it is.
    If-Match names the revision it replaces, so that nobody's edit is lost unseen."""
    if if_match is None:
        raise HTTPException(428, "An edit needs the header If-Match with the plan's revision.")
    call, revision = author.call, _revision(if_match)
    await author.refuse_unreached(str(id))
    content = await request.json()  # as it was sent: `plan` has given its new items numbers from one on
    edited = await authoring.edit(call.store, call.district, str(id), content, call.actor, call.program, revision)
    return _state(edited, response)


@router.post("/plans/{id}/steps/{step}")
async def take_plan_step(
    id: UUID,
    step: Step,
    response: Response,
    author: Writing,
    said: StepGiven | None = None,
    dry_run: bool = False,
    if_match: IfMatch = None,
) -> Taken | Asked:
    """Take a step of the plan's life, for an educator of the student's; all its guards are asked. As a dry run it says
    what they would say, and changes nothing."""
    call, said = author.call, said or StepGiven()
    await author.refuse_unreached(str(id))
    given = Given(said.because, said.outcome or "", said.note)
    if dry_run:
        report = await authoring.ask(call.store, call.district, str(id), step, call.actor, given)
        verdicts = [Verdict(code=one.code, rule=one.text, ok=one.ok, missing=list(one.missing)) for one in report]
        return Asked(step=step, possible=all(one.ok for one in report), guards=verdicts)
    revision = _revision(if_match)
    taken = await authoring.take(call.store, call.district, str(id), step, call.actor, given, revision)
    async with call.store.transaction(call.district) as c:
        state = _state(await stored.load(c, str(id)), response)
        retract = await stored.holders(c, str(id)) if state.state in TAKEN_BACK else []
    return Taken(
        **state.model_dump(),
        sha256=taken.sha256 if isinstance(taken, StoredVersion) else None,
        guards=[Guard(code=code, rule=rule) for code, _, rule in GUARDS[step]],
        retract=retract,
    )


@router.post("/plans/{id}/reviews", status_code=201)
async def keep_plan_review(
    id: UUID, review: Review, response: Response, author: Writing, if_match: IfMatch = None
) -> PlanState:
    """Keep a review of a plan in force. Whether the plan goes on as it is, is a step of its own."""
    call = author.call
    await author.refuse_unreached(str(id))
    held = review.model_dump(mode="json", exclude_none=True)
    kept = await authoring.review(call.store, call.district, str(id), held, call.actor, _revision(if_match))
    return _state(kept, response)


@router.post("/plans/batch")
async def take_in_plans(batch: Batch, author: Writing) -> BatchDone:
    """Take in many plans for an educator of their students: each becomes a draft, or is rejected with the places that
    are wrong. What came before under the same id of yours stays as it is. As many bytes as 16 requests may have."""
    call = author.call
    given = [intake.one_of(row, one) for row, one in enumerate(batch.plans, 1)]
    done = await intake.take(
        call.store, call.district, given, call.actor, call.client.id, by_program=True, reached=author.asker.reached
    )
    faults = [BatchFault.model_validate(one) for one in done.faults]
    return BatchDone(drafts=done.drafts, unchanged=done.unchanged, rejected=done.rejected, faults=faults)


def _revision(if_match: str | None) -> int | None:
    if if_match is None:
        return None
    quoted = if_match.strip().removeprefix("W/").strip('"')
    if not (quoted.isascii() and quoted.isdigit() and len(quoted) < 10):
        raise HTTPException(412, "If-Match is not a revision of this plan.")
    return int(quoted)


def _state(plan: StoredPlan, response: Response) -> PlanState:
    response.headers["ETag"] = f'"{plan.revision}"'
    return PlanState.model_validate(plan)
