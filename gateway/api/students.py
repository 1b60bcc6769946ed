"""Students as the caller may see them: ids, schools and grades, names where they may be read, plan, consents."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway import showing, viewing
from gateway.api.agreeing import asker, note_walked, refuse_bulk
from gateway.api.oauth import Call, may
from gateway.api.paging import NEXT, Cursor, Fields, Limit, cursor, parts, place
from gateway.schema.plan import Plan
from gateway.viewing import View

router = APIRouter(prefix="/v1/students", tags=["students"])

NAMES = ("given_name", "family_name")


class Student(BaseModel):
    """A student. Names are null unless they are asked for with `fields` and the caller may read them."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    schools: list[str] = Field(description="Entity ids of the schools the student is at today.")
    grades: list[str]
    given_name: str | None = None
    family_name: str | None = None


class Students(BaseModel):
    students: list[Student]
    total: int = Field(description="Students of whom it was asked whether the caller may see anything of them.")
    next: str | None = Field(description=NEXT)


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


class Consent(BaseModel):
    """A consent that is, or was, on record."""

    id: int
    grantor: str
    capacity: str
    recipient: str = Field(description="Kind and name: destination, program, person or organization.")
    sections: list[str]
    purpose: str
    permit: bool = Field(description="False where it forbids.")
    from_on: date
    until_on: date
    revoked_at: datetime | None


class Consents(BaseModel):
    consents: list[Consent] = Field(description="The newest first.")


@router.get("")
async def list_students(
    call: Annotated[Call, may("students.read")],
    given: Annotated[Cursor, Query(alias="cursor")] = "",
    limit: Limit = 100,
    fields: Fields = "",
) -> Students:
    """The students of whom the caller may see anything, in the order of their ids. Names come with
    `fields=given_name,family_name` where they may be read, and that they were is on record."""
    after, wanted = place(given, "students", str), parts(fields, NAMES)
    step = await refuse_bulk(call, "record", limit, "students", after)
    page, total = await showing.students(
        call.store, call.district, await asker(call), str(after[0]) if after else "", limit, names=wanted is not None
    )
    await note_walked(call, step, len(page[:limit]))
    more = cursor("students", [page[limit - 1].id]) if len(page) > limit else None
    return Students(students=[Student.model_validate(one) for one in page[:limit]], total=total, next=more)


@router.get("/{id}")
async def one_student(id: UUID, call: Annotated[Call, may("students.read")], fields: Fields = "") -> Student:
    """One student."""
    names = parts(fields, NAMES) is not None
    return Student.model_validate(
        await showing.student(call.store, call.district, await asker(call), str(id), names=names)
    )


@router.get("/{id}/plan")
async def student_plan(id: UUID, call: Annotated[Call, may("plans.read")], fields: Fields = "") -> StudentPlan:
    """A student's newest plan, section by section as the person may see it for whom the token was issued, and of that
    what was granted to the client. Staff see the plan as it stands; everybody else its newest finalized version, a
    family also what is put before it."""
    wanted = parts(fields, Plan.model_fields)
    asked = await asker(call, "plans")
    asked.refuse_unreached(str(id))
    view = await viewing.plan(
        call.store, call.district, str(id), asked.who, asked.actor, program=asked.program, parts=wanted
    )
    return shown_plan(view)


@router.get("/{id}/consents")
async def student_consents(id: UUID, call: Annotated[Call, may("record.read")]) -> Consents:
    """The consents on record for a student, for whoever reads the section of consultations and consents."""
    found = await showing.consents(call.store, call.district, await asker(call, "record"), str(id))
    return Consents(consents=[Consent.model_validate(one) for one in found])


def shown_plan(view: View) -> StudentPlan:
    """A view as it is answered."""
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
