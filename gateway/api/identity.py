"""Who is who, as far as a client may see and say it: ids and codes, no personal data."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway import decisions, waiting
from gateway.api.oauth import Call, may

router = APIRouter(prefix="/v1/identity", tags=["identity"])

Id = Annotated[str, Field(max_length=36)]


class Candidate(BaseModel):
    """A published person whom the case resembles."""

    person: str
    strength: str = Field(description="conflict, strong, fair or weak.")
    how: list[str] = Field(description="By what the pair was found.")
    likelihood: float | None = Field(description="Of a proposal, between 0 and 1. It links nobody.")
    weights: dict[str, float] = Field(description="Of a proposal: which fields speak for it (above 0), which against.")


class Case(BaseModel):
    """A source key that waits for somebody to say who it is."""

    case: str
    connection: str
    population: str
    code: str
    denotes: str | None = Field(description="Whom the key denoted until it came back as somebody else.")
    candidates: list[Candidate]


class Queue(BaseModel):
    cases: list[Case]
    waiting: dict[str, int] = Field(description="Cause -> how many wait in all.")


class _Decision(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str = Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$", description="Kept with the decision.")


class Same(_Decision):
    """The case is this person; or it is not, and is proposed no more."""

    act: Literal["same", "different"]
    case: Id
    person: Id


class Merge(_Decision):
    """Two published records are one person; `into` stays."""

    act: Literal["merge"]
    person: Id
    into: Id
    with_plans: bool = Field(default=False, description="Also where both have success plans.")


class Split(_Decision):
    """One key of a person is somebody else's."""

    act: Literal["split"]
    person: Id
    key: Id


class Undo(_Decision):
    """A decision holds no more."""

    act: Literal["undo"]
    decision: int = Field(ge=1, lt=1 << 63)


Wanted = Annotated[Same | Merge | Split | Undo, Field(discriminator="act")]


class Decided(BaseModel):
    """What a decision did. `run` is null where it changed nothing; `plans` are read as the other student's now."""

    decision: int
    run: int | None
    plans: list[str]


@router.get("/queue")
async def queue(
    call: Annotated[Call, may("identity.read")], limit: Annotated[int, Query(ge=1, le=500)] = waiting.SHOWN
) -> Queue:
    """Who waits to be told apart, and whom they resemble."""
    found, causes = await waiting.queue(call.store, call.district, limit=limit)
    return Queue(cases=[Case.model_validate(waiting.summary(one)) for one in found], waiting=causes)


@router.post("/decisions", status_code=201)
async def decide(wanted: Wanted, call: Annotated[Call, may("identity.decide")]) -> Decided:
    """Say who is who. It is published at once, in a run of its own, and can be undone."""
    where = call.store, call.district
    match wanted:
        case Same(act="same"):
            done = await decisions.confirm(*where, wanted.case, wanted.person, call.actor, wanted.reason)
        case Same():
            done = await decisions.refuse(*where, wanted.case, wanted.person, call.actor, wanted.reason)
        case Merge():
            done = await decisions.merge(
                *where, wanted.person, wanted.into, call.actor, wanted.reason, with_plans=wanted.with_plans
            )
        case Split():
            done = await decisions.split(*where, wanted.person, wanted.key, call.actor, wanted.reason)
        case Undo():
            done = await decisions.undo(*where, wanted.decision, call.actor, wanted.reason)
    return Decided(decision=done.decision, run=done.run, plans=list(done.plans))
