"""Assessment results, student by student, for a caller who may see each of them; never a number about a group."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway import showing
from gateway.api.agreeing import asker, note_walked, refuse_bulk
from gateway.api.oauth import Call, may
from gateway.api.paging import NEXT, Cursor, cursor, place
from gateway.store import purposes

router = APIRouter(prefix="/v1/students", tags=["results"])


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
    results: list[Score] = Field(description="In the order of their ids.")
    next: str | None = Field(description=NEXT)


@router.get("/results")
async def list_results(
    call: Annotated[Call, may("results.read")],
    student: Annotated[list[UUID] | None, Query(description="Repeat it; else all whom the person teaches.")] = None,
    measure: Annotated[str, Query(description="Refused: mean, growth, rate, ranking.", max_length=40)] = "",
    by: Annotated[str, Query(description="Refused: staff, class, school.", max_length=40)] = "",
    given: Annotated[Cursor, Query(alias="cursor")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 500,
) -> Results:
    """Results of students, one by one, for a person who may see each of them. A mean, growth, rate or ranking by staff,
    class or school is refused, and the refusal is on record."""
    if measure or by:
        await purposes.refuse_measure(call.store, call.district, measure, by, call.actor)
    after = place(given, "results", str)
    asked = await asker(call, "results")
    step = await refuse_bulk(call, "results", limit, "results", student, after, searched=bool(student) and not after)
    found = await showing.results(call.store, call.district, asked, [str(one) for one in student or ()])
    left = [one for one in sorted(found, key=lambda one: str(one["id"])) if not after or one["id"] > after[0]]
    await note_walked(call, step, len(left[:limit]))
    more = cursor("results", [left[limit - 1]["id"]]) if len(left) > limit else None
    return Results(results=[Score.model_validate(one) for one in left[:limit]], next=more)
