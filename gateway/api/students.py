"""What a client may see of a student: a plan and results, for a person it names, never more than it was granted."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway import viewing
from gateway.access import Who
from gateway.api.oauth import Call, For, may
from gateway.store import purposes
from gateway.viewing import View

router = APIRouter(prefix="/v1/students", tags=["students"])


class Seen(BaseModel):
    """Whether a section may be seen, as what, and why."""

    section: str
    may: str
    how: str
    reason: str


class StudentPlan(BaseModel):
    """A plan as somebody may see it. What is left out is named by its place, and nothing of it is told."""

    student: str
    plan: str | None = Field(description="Null where the student has no plan that is under way.")
    state: str | None
    revision: int | None
    version: int | None
    content: dict[str, Any] | None = Field(description="Null where nothing was finalized yet, for whoever needs that.")
    left_out: list[str] = Field(description="JSON pointers into the whole plan.")
    sections: list[Seen]


class Score(BaseModel):
    """One student's result, as its source reports it."""

    id: str
    student: str
    assessment: str
    title: str | None
    purpose: str = Field(description="What the results count as: diagnostic where nobody said anything else.")
    on: str | None
    period: str | None
    scores: list[dict[str, Any]]
    performance_levels: list[dict[str, Any]]


class Results(BaseModel):
    results: list[Score]


@router.get("/results")
async def results(
    call: Annotated[Call, may("results.read")],
    person: For = None,
    student: Annotated[list[UUID] | None, Query(description="Repeat it; else all whom the person teaches.")] = None,
    measure: Annotated[str, Query(description="Refused: mean, growth, rate, ranking.", max_length=40)] = "",
    by: Annotated[str, Query(description="Refused: staff, class, school.", max_length=40)] = "",
) -> Results:
    """Results of students, one by one, for a person who may see each of them. A mean, growth, rate or ranking by staff,
    class or school is refused, and the refusal is on record."""
    if measure or by:
        await purposes.refuse_measure(call.store, call.district, measure, by, call.actor)
    asked = [str(one) for one in student or ()]
    found = await viewing.results(call.store, call.district, asked, _who(call, person), call.actor, call.program)
    return Results(results=[Score.model_validate(one) for one in found])


@router.get("/{id}/plan")
async def plan(id: UUID, call: Annotated[Call, may("plans.read")], person: For = None) -> StudentPlan:
    """A student's newest plan, section by section as the person may see it for whom the client asks (the header
    Planbridge-On-Behalf-Of), and of that what was granted to the client. Staff see the plan as it stands; everybody
    else its newest finalized version, a family also what is put before it."""
    who = _who(call, person)
    return _answer(await viewing.plan(call.store, call.district, str(id), who, call.actor, program=call.program))


def _who(call: Call, person: UUID | None) -> Who:
    if person is not None:
        return Who(person=str(person))
    return viewing.itself(call.program)


def _answer(view: View) -> StudentPlan:
    return StudentPlan(
        student=view.student,
        plan=view.plan,
        state=view.state,
        revision=view.revision,
        version=view.version,
        content=view.content,
        left_out=[one.pointer for one in view.left],
        sections=[
            Seen(section=section, may="yes" if one.allowed else "no", how=one.how, reason=one.reason)
            for section, one in view.decisions.items()
        ],
    )
